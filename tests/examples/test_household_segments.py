"""The segments on households have the members that pandas finds in six files by their sentences."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.data

EASTERN = "America/New_York"
MOMENTS = ("2018-01-01T04:59:59Z", "2018-01-01T05:00:00Z", "2018-01-30T12:00:00Z")
"""The last second of the year in the stores, the first of the next one, and a month on."""
HALFWAY = "2017-10-01T03:59:59Z"
"""The last second of the third quarter."""
WHOLE = ("products.csv.gz", "campaign_descriptions.csv.gz")
OF_HOUSEHOLDS = ("demographics.csv.gz", "transactions_sample.csv.gz", "campaigns.csv.gz", "coupon_redemptions.csv.gz")
ASKED = pd.Timestamp("2016-11-01T00:00:00Z")
"""When the households answered the questionnaire, as the map has it."""
NO_KIDS = "No Kids"
RICH = ["100-124K", "125-149K", "150-174K", "175-199K", "200-249K", "250K+"]


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{name}.csv.gz", dtype=str, keep_default_na=False).rename(
        columns={"household_id": "who"}
    )


@lru_cache(maxsize=2)
def bought_in(folder: Path) -> pd.DataFrame:
    """Return what was bought, as it happened, with what is known of the products; money in whole cents."""
    lines = table(folder, "transactions_sample").merge(table(folder, "products"), on="product_id", how="left")
    lines["local"] = pd.to_datetime(lines["transaction_timestamp"], utc=True).dt.tz_convert(EASTERN)
    lines["cents"] = (lines["sales_value"].astype(float) * 100).round().astype(int)
    lines["kind"] = lines["product_category"].fillna("").str.lower()
    return lines.fillna({"department": ""})


def of_campaigns(folder: Path, name: str, dated: str) -> pd.DataFrame:
    rows = table(folder, name).merge(table(folder, "campaign_descriptions"), on="campaign_id")
    rows["local"] = pd.to_datetime(rows[dated]).dt.tz_localize(EASTERN)
    return rows


def quarter_of(times: pd.Series) -> pd.Series:
    return times.dt.year * 4 + times.dt.quarter


def those(people: pd.Series) -> set[str]:
    return set(people.index[people])


def expected(folder: Path, moment: str) -> dict[str, set[str]]:
    homes = table(folder, "demographics").set_index("who")
    baskets = of_baskets(bought_in(folder), homes, moment)
    return {**of_answers(homes, moment), **baskets, **of_mailings(folder, baskets, moment)}


def of_answers(homes: pd.DataFrame, moment: str) -> dict[str, set[str]]:
    is_long = pd.Timestamp(moment) - ASKED >= pd.Timedelta(days=400)
    return {
        "settled": those(homes["home_ownership"] == "Homeowner") if is_long else set(),
        "families": those(homes["kids_count"].isin(["1", "2", "3+"])),
        "well-off-owners": those(
            homes["home_ownership"].isin(["Homeowner", "Probable Homeowner"]) & homes["income"].isin(RICH)
        ),
    }


def of_baskets(lines: pd.DataFrame, homes: pd.DataFrame, moment: str) -> dict[str, set[str]]:
    now = pd.Timestamp(moment).tz_convert(EASTERN)
    who, local, cents, kind = lines["who"], lines["local"], lines["cents"], lines["kind"]

    def some(rows: pd.Series) -> set[str]:
        return set(who[rows])

    def lately(days: int) -> pd.Series:
        return local > now - pd.Timedelta(days=days)

    def spent(rows: pd.Series) -> pd.Series:
        return cents.where(rows, 0).groupby(who).sum()

    size = lines.groupby("who").size()
    quarter, months = quarter_of(local), local.dt.year * 12 + local.dt.month
    this_quarter = now.year * 4 + now.quarter
    now_spent, then_spent = spent(quarter == this_quarter), spent(quarter == this_quarter - 1)
    month = now.year * 12 + now.month
    this_year = local.dt.year == now.year
    own, national = (((lines["brand"] == name) & this_year).groupby(who).sum() for name in ("Private", "National"))
    told = those(homes["income"] != "")
    babies = kind.str.contains("baby|diaper|infant") & lately(90)
    young = homes["household_comp"].str.endswith("Kids") & ~homes["household_comp"].str.contains(NO_KIDS)
    counter = lines["department"].isin(["PRODUCE", "MEAT", "SEAFOOD"]) & lately(30)
    departments = lines["department"][lines["department"] != ""].groupby(who).nunique()
    baskets, stores = (lines.groupby("who")[column].nunique() for column in ("basket_id", "store_id"))
    mean = cents.groupby(who).sum() / size
    days = local.dt.strftime("%Y-%m")
    return {
        "good-and-unknown": those(cents.groupby(who).sum() >= 20_000) - told,
        "strong-quarter": those(now_spent >= 6_000),
        "growing": those((now_spent > then_spent) & (then_spent > 0)),
        "lapsed": those(size >= 10) - some(lately(60)),
        "own-brand": those(own > national),
        "small-children": some(babies) | those(young & homes["age"].isin(["19-24", "25-34"])),
        "fresh": those(who[counter].value_counts() >= 3),
        "one-store": those((baskets >= 10) & (stores == 1)),
        "the-whole-shop": those(departments >= 7),
        "middling-lines": those((size >= 10) & (mean >= 400) & (mean <= 600)),
        "back-this-month": some(months == month) - some(months == month - 1),
        "christmas": some(kind.str.startswith("christmas") & days.isin(["2017-11", "2017-12"])),
        "seniors-with-wine": those(homes["age"] == "65+") & some(kind.str.contains("wine")),
    }


def of_mailings(folder: Path, baskets: dict[str, set[str]], moment: str) -> dict[str, set[str]]:
    year = pd.Timestamp(moment).tz_convert(EASTERN).year
    sent = of_campaigns(folder, "campaigns", "start_date")
    redeemed = of_campaigns(folder, "coupon_redemptions", "redemption_date")

    def of_type_a(rows: pd.DataFrame) -> set[str]:
        july = pd.Timestamp("2017-07-01T00:00:00Z")
        return set(rows["who"][(rows["campaign_type"] == "Type A") & (rows["local"] >= july)])

    this_year = redeemed[redeemed["local"].dt.year == year]
    deaf = those(sent.groupby("who")["campaign_id"].nunique() >= 5) - set(redeemed["who"])
    return {
        "coupon-clippers": those(this_year.groupby("who")["coupon_upc"].nunique() >= 3),
        "deaf-to-campaigns": deaf,
        "answer-to-type-a": of_type_a(sent) & of_type_a(redeemed),
        "best": (baskets["strong-quarter"] & baskets["growing"]) - deaf,
    }


@pytest.fixture
def some(published, is_sampled, tmp_path):
    """Return a folder with some households, and one with what they did until October."""
    source, folders = published("complete_journey"), (tmp_path / "all", tmp_path / "half")
    campaigns = pd.read_csv(source / "campaign_descriptions.csv.gz", dtype=str)
    early = campaigns["campaign_id"][campaigns["start_date"] < "2017-10-01"]
    for folder in folders:
        folder.mkdir()
        for name in WHOLE:
            (folder / name).symlink_to(source / name)
        for name in OF_HOUSEHOLDS:
            rows = pd.read_csv(source / name, dtype=str, keep_default_na=False)
            rows = rows[rows["household_id"].map(is_sampled)]
            if folder.name == "half" and name == "campaigns.csv.gz":
                rows = rows[rows["campaign_id"].isin(early)]
            elif folder.name == "half" and name != "demographics.csv.gz":
                rows = rows[rows.iloc[:, -1] < ("2017-10-01 04" if name.startswith("t") else "2017-10-01")]
            rows.to_csv(folder / name, index=False)
    return folders


@pytest.mark.parametrize("late", [False, True], ids=["defined before", "defined after"])
def test_households_are_where_pandas_puts_them(agreement, some, late):
    agreement("complete_journey", expected).check([(some[0], moment) for moment in MOMENTS], late=late)


def test_households_are_there_when_history_comes_in_two_parts(agreement, some):
    stages = [(some[1], HALFWAY), *[(some[0], moment) for moment in MOMENTS]]
    agreement("complete_journey", expected).check(stages)


@pytest.mark.slow
def test_all_households_are_where_pandas_puts_them(agreement, published):
    folder = published("complete_journey")
    found = agreement("complete_journey", expected).check([(folder, moment) for moment in MOMENTS])
    assert [name for name, members in found[0].items() if not 0 < len(members) < 2_377 / 2] == []
