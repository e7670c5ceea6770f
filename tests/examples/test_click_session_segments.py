"""The segments on sessions of clicks have the members that pandas finds in the files by their sentences."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.data

MOMENTS = ("2014-04-08T00:50:02Z", "2014-04-08T00:53:10Z", "2014-04-08T22:00:00Z", "2014-04-09T12:00:00Z")
"""The second after the last click, three minutes later, midnight in Berlin, and noon in Greenwich the day after."""
HALFWAY = ("2014-04-05T12:00:00Z", 1396699200)
BESTSELLERS = ["214839313", "214826705", "214826955", "214717003"]


def clicks_in(folder: Path) -> pd.DataFrame:
    files = sorted(folder.glob("*.tsv.gz"))
    clicks = pd.concat(pd.read_csv(file, sep="\t", dtype=str) for file in files)
    micros = (clicks["Time"].map(float) * 1_000_000).round().astype("int64")
    clicks["time"] = pd.to_datetime(micros, unit="us", utc=True)
    clicks = clicks.rename(columns={"SessionId": "who", "ItemId": "item"})
    return clicks.sort_values(["who", "time"], kind="stable").reset_index(drop=True)


def favourite(clicks: pd.DataFrame) -> pd.Series:
    """Return the item that each looked at most often; of equals the one seen last."""
    often = clicks.reset_index().groupby(["who", "item"])["index"].agg(["size", "max"]).reset_index()
    return often.sort_values(["size", "max"]).groupby("who")["item"].last()


def expected(folder: Path, moment: str) -> dict[str, set[str]]:
    clicks = clicks_in(folder)
    now = pd.Timestamp(moment).tz_convert("Europe/Berlin")
    who, item, local = clicks["who"], clicks["item"], clicks["time"].dt.tz_convert("Europe/Berlin")
    today = now.normalize()
    yesterday = today - pd.DateOffset(days=1)
    monday = today - pd.DateOffset(days=now.weekday())

    def those(people: pd.Series) -> set[str]:
        return set(people.index[people])

    def some(rows: pd.Series) -> set[str]:
        return set(who[rows])

    def often(rows: pd.Series, least: int) -> set[str]:
        return those(who[rows].value_counts() >= least)

    def lately(**span: int) -> pd.Series:
        return local > now - pd.Timedelta(**span)

    size, items = who.value_counts().sort_index(), item.groupby(who).nunique()
    first, last = item.groupby(who).first(), item.groupby(who).last()
    new = item.str.startswith("2148")
    last_week = (local >= monday - pd.DateOffset(days=7)) & (local < monday)
    weekend = local.dt.strftime("%Y-%m-%d").isin(["2014-04-05", "2014-04-06"])
    away = clicks["time"].groupby(who).diff() >= pd.Timedelta(minutes=30)
    visit = away.groupby(who).cumsum()
    present = visit == visit.groupby(who).transform("max")
    came_back = some(away)
    best = item.isin(BESTSELLERS)
    since_best = clicks["time"].where(best).groupby(who).ffill()
    following = local.groupby(who).shift(-1).fillna(now + pd.Timedelta(days=1))
    half_an_hour = pd.Timedelta(minutes=30)
    over = (following - local > half_an_hour) & (local + half_an_hour <= now)
    length = clicks["time"][present].groupby(who).agg(lambda times: times.max() - times.min())
    return {
        "on-the-site-now": some(lately(minutes=30)),
        "in-a-hurry": often(lately(minutes=5), 3),
        "here-today": often(local >= today, 2),
        "busy-yesterday": often((local >= yesterday) & (local < today), 10),
        "curious-this-week": those(item[local >= monday].groupby(who).nunique() >= 6),
        "deep-last-week": often(last_week, 15) - some(lately(days=2)),
        "weekend": some(weekend),
        "one-thing": those((size >= 3) & (items == 1)),
        "full-circle": those((items >= 3) & (first == last)),
        "only-what-is-new": some(new) - some(~new),
        "bestsellers-lately": some(item.isin(BESTSELLERS) & lately(days=3)),
        "taken-with-a-bestseller": those((size >= 4) & favourite(clicks).isin(BESTSELLERS[:2])),
        "came-back": came_back,
        "back-for-more": came_back & those(item[present].groupby(who).nunique() >= 3),
        "long-look": those(length >= pd.Timedelta(minutes=40)),
        "fading": often(lately(days=3), 5) - often(lately(days=2), 5),
        "away-from-a-bestseller": some(~best & (clicks["time"] - since_best <= pd.Timedelta(minutes=1))),
        "just-gone": some(over & lately(days=1)),
        "in-the-evening": often(local.dt.hour >= 18, 3),
    }


@pytest.fixture
def some(published, is_sampled, tmp_path):
    """Return a folder with some sessions, the last among them, and one with what they had come to halfway."""
    folders = tmp_path / "all", tmp_path / "half"
    for folder, until in zip(folders, (2_000_000_000, HALFWAY[1]), strict=True):
        folder.mkdir()
        for file in published("yoochoose_100k").glob("*.tsv.gz"):
            rows = pd.read_csv(file, sep="\t", dtype=str)
            chosen = rows["SessionId"].map(is_sampled) | (rows["Time"] > "1396913000")
            rows = rows[rows["SessionId"].isin(rows["SessionId"][chosen]) & (rows["Time"].map(float) <= until)]
            rows.to_csv(folder / file.name, sep="\t", index=False)
    return folders


@pytest.mark.parametrize("late", [False, True], ids=["defined before", "defined after"])
def test_sessions_are_where_pandas_puts_them(agreement, some, late):
    agreement("yoochoose_100k", expected).check([(some[0], moment) for moment in MOMENTS], late=late)


def test_sessions_are_there_when_history_comes_in_two_parts(agreement, some):
    stages = [(some[1], HALFWAY[0]), *[(some[0], moment) for moment in MOMENTS]]
    agreement("yoochoose_100k", expected).check(stages)


@pytest.mark.slow
def test_all_sessions_are_where_pandas_puts_them(agreement, published):
    folder = published("yoochoose_100k")
    found = agreement("yoochoose_100k", expected).check([(folder, moment) for moment in MOMENTS])
    assert [name for name, members in found[0].items() if not 0 < len(members) < 21_210 * 0.6] == []
