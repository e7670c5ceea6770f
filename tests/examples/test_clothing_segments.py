"""The segments on a shop of clothes have the members that pandas finds in the file by their sentences."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.data

FILE = "e-shop_clothing_2008.csv.gz"
MOMENTS = (
    *("2008-08-13T20:00:00Z", "2008-08-13T22:00:00Z", "2008-08-17T21:59:59Z", "2008-08-17T22:00:00Z"),
    *("2008-08-31T21:59:59Z", "2008-08-31T22:00:00Z"),
)
"""The end of the data; midnight, the two seconds between weeks, and those between months, in Warsaw."""
HALFWAY = "2008-06-30T21:59:59Z"
TROUSERS, SKIRTS, SALE = 1, 2, 4
BLACK, BLUE, NAVY = 2, 3, 8
POLAND, DOMAINS = 29, range(43, 48)


def clicks_in(folder: Path) -> pd.DataFrame:
    """Return the clicks as they happened: each a second after the one before it, from midnight UTC on."""
    clicks = pd.read_csv(folder / FILE)
    days = pd.to_datetime(clicks[["year", "month", "day"]], utc=True)
    clicks["time"] = days + pd.to_timedelta(clicks["order"], unit="s")
    clicks["who"] = clicks["session ID"].astype(str)
    names = {"page 1 (main category)": "category", "page 2 (clothing model)": "model"}
    return clicks.rename(columns=names).sort_values("time", kind="stable").reset_index(drop=True)


def favourite(clicks: pd.DataFrame, column: str) -> pd.Series:
    """Return what each has most often; of equals what came last."""
    often = clicks.reset_index().groupby(["who", column])["index"].agg(["size", "max"]).reset_index()
    return often.sort_values(["size", "max"]).groupby("who")[column].last()


def expected(folder: Path, moment: str) -> dict[str, set[str]]:
    clicks = clicks_in(folder)
    now = pd.Timestamp(moment).tz_convert("Europe/Warsaw")
    local = clicks["time"].dt.tz_convert("Europe/Warsaw")
    today = now.normalize()
    monday = today - pd.DateOffset(days=now.weekday())
    who, model, category, price = clicks["who"], clicks["model"], clicks["category"], clicks["price"]

    def some(rows: pd.Series) -> set[str]:
        return set(who[rows])

    def those(people: pd.Series) -> set[str]:
        return set(people.index[people])

    size, models = clicks.groupby("who").size(), model.groupby(who).nunique()
    first, last = model.groupby(who).first(), model.groupby(who).last()
    country = clicks["country"].groupby(who).first()
    sale = those((category == SALE).groupby(who).sum() >= 3)
    yesterday = (local >= today - pd.DateOffset(days=1)) & (local < today)
    last_week = (local >= monday - pd.DateOffset(days=7)) & (local < monday)
    this_month = (local.dt.year == now.year) & (local.dt.month == now.month)
    june = clicks[(clicks["month"] == 6) & (clicks["year"] == 2008)].groupby("who").size()
    blue = clicks["colour"].isin([BLUE, NAVY])
    trousers = clicks["time"].where(category == TROUSERS).groupby(who).ffill()
    left = 0.5 ** ((now - local) / pd.Timedelta(days=7))
    return {
        "sale-lovers": sale,
        "trousers-only": some(category == TROUSERS) - some(category != TROUSERS),
        "fine-taste": those((size >= 5) & (price.groupby(who).mean() >= 55)),
        "torn": those((models >= 12) & (size == models)),
        "full-circle": those((first == last) & (models > 1)),
        "black-in-poland": those((favourite(clicks, "colour") == BLACK) & (country == POLAND)),
        "here-today": some(local >= today),
        "lost-yesterday": those(model[yesterday].groupby(who[yesterday]).nunique() >= 10) - some(local >= today),
        "abroad-last-week": some(last_week & (clicks["country"] != POLAND)),
        "bargains-this-month": some(this_month & (price <= 23)),
        "busy-in-june": those((june >= 20) & (june <= 40)),
        "blue-skirts-since-august": some((category == SKIRTS) & blue & (clicks["time"] >= "2008-08-01T00:00:00Z")),
        "deep-browsers": some(clicks["page"] >= 3) - some(category == SALE),
        "from-a-to-another": those(first.str.startswith("A") & ~last.str.startswith("A")),
        "from-somewhere": those(country.isin(DOMAINS)),
        "sale-and-more": sale & some(price > 70) & some(clicks["time"] > now - pd.Timedelta(days=60)),
        "trousers-then-sale": some((category == SALE) & (clicks["time"] - trousers <= pd.Timedelta(minutes=1))),
        "warm": those(left.groupby(who).sum().round(9) >= 5),
    }


@pytest.fixture
def some(published, is_sampled, tmp_path):
    """Return a folder with some visitors, those of the last day among them, and one with what they did until July."""
    rows = pd.read_csv(published("eshop_clothing") / FILE, dtype=str)
    last_day = (rows["month"] == "8") & (rows["day"] == "13")
    rows = rows[rows["session ID"].map(is_sampled) | last_day]
    folders = tmp_path / "all", tmp_path / "half"
    for folder, kept in zip(folders, (rows, rows[rows["month"] < "7"]), strict=True):
        folder.mkdir()
        kept.to_csv(folder / FILE, index=False)
    return folders


@pytest.mark.parametrize("late", [False, True], ids=["defined before", "defined after"])
def test_visitors_of_the_shop_are_where_pandas_puts_them(agreement, some, late):
    agreement("eshop_clothing", expected).check([(some[0], moment) for moment in MOMENTS], late=late)


def test_visitors_of_the_shop_are_there_when_history_comes_in_two_parts(agreement, some):
    stages = [(some[1], HALFWAY), *[(some[0], moment) for moment in MOMENTS]]
    agreement("eshop_clothing", expected).check(stages)


@pytest.mark.slow
def test_all_visitors_of_the_shop_are_where_pandas_puts_them(agreement, published):
    folder = published("eshop_clothing")
    found = agreement("eshop_clothing", expected).check([(folder, moment) for moment in MOMENTS])
    assert [name for name, members in found[0].items() if not 0 < len(members) < 24_026 / 2] == []
