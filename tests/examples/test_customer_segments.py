"""The segments on customers of a shop of CDs have the members that pandas finds in the file by their sentences."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bespeak.computed import Spread
from bespeak.computed.spread import KEPT

pytestmark = pytest.mark.data

FILE = "CDNOW_master.txt.gz"
HALFWAY, END, LATER = "1998-01-01T00:00:00Z", "1998-07-01T00:00:00Z", "1998-08-15T00:00:00Z"
"""The end of the first year, the end of the data, and six weeks on, by the borders of before."""
DRAWN = (HALFWAY, END)
CELLS = {
    5: "new,potential loyalist,potential loyalist,champions,champions",
    4: "promising,potential loyalist,potential loyalist,loyal,loyal",
    3: "about to sleep,about to sleep,needs attention,loyal,loyal",
    2: "hibernating,hibernating,at risk,at risk,cannot lose",
    1: "lost,hibernating,at risk,at risk,cannot lose",
}
"""By recency, and then by the mean of the other two, as the documentation has it."""
DAY = pd.Timedelta(days=1)


def orders_in(folder: Path) -> pd.DataFrame:
    """Return the orders as they happened, money in whole cents."""
    columns = {"who": str, "date": str, "cds": int, "usd": float}
    orders = pd.read_csv(folder / FILE, sep=r"\s+", skiprows=1, names=[*columns], dtype=columns)
    orders["at"] = pd.to_datetime(orders["date"], format="%Y%m%d", utc=True)
    orders["cents"] = (orders["usd"] * 100).round().astype(int)
    return orders.sort_values(["who", "at"], kind="stable").reset_index(drop=True)


def figures(orders: pd.DataFrame, moment: str) -> pd.DataFrame:
    """Return recency in days, frequency and monetary value in cents, of who had ordered by a moment."""
    now = pd.Timestamp(moment)
    people = orders[orders["at"] <= now].groupby("who").agg(at=("at", "max"), f=("at", "size"), m=("cents", "sum"))
    return people.assign(r=(now - people["at"]) / DAY)


def fifths(values: pd.Series) -> list[float]:
    ordered = values.sort_values().to_list()
    return [ordered[-(-part * len(ordered) // 5) - 1] for part in range(1, 5)]


def borders_as_of(moment: str) -> str:
    return max(one for one in DRAWN if one <= moment)


def grades(orders: pd.DataFrame, moment: str) -> pd.DataFrame:
    """Return the grades at a moment, by the borders that were drawn last."""
    now, drawn = figures(orders, moment), figures(orders, borders_as_of(moment))
    found = {name: 1 + np.searchsorted(fifths(drawn[name]), now[name]) for name in ("f", "m")}
    found["r"] = 5 - np.searchsorted(fifths(drawn["r"]), now["r"])
    graded = pd.DataFrame(found, index=now.index)
    mean = -(-(graded["f"] + graded["m"]) // 2)
    graded["cell"] = [CELLS[r].split(",")[place - 1] for r, place in zip(graded["r"], mean, strict=True)]
    return graded


def warmth(orders: pd.DataFrame, moment: str) -> pd.Series:
    left = 0.5 ** ((pd.Timestamp(moment) - orders["at"]) / (60 * DAY))
    large = left.where(orders["cds"] >= 3, 0.0)
    good = orders["cents"].groupby(orders["who"]).sum() >= 20_000
    points = 10 * left.groupby(orders["who"]).sum() + (5 * large.groupby(orders["who"]).sum()).clip(upper=20)
    return (points + 5 * good).clip(0, 100).round(9)


def those(people: pd.Series) -> set[str]:
    return set(people.index[people])


def expected(folder: Path, moment: str) -> dict[str, set[str]]:
    orders, now = orders_in(folder), pd.Timestamp(moment)
    people, graded, warm = figures(orders, moment), grades(orders, moment), warmth(orders, moment)
    cell, idle = graded["cell"], people["r"]
    risky = those(cell.isin(["at risk", "cannot lose"]))
    cds = orders.groupby("who")["cds"].sum()
    return {
        "champions": those(cell == "champions"),
        "loyal": those(cell.isin(["loyal", "champions"])),
        "at-risk": risky,
        "promising": those(cell.isin(["promising", "potential loyalist"])),
        "slipping-big-spenders": those((graded["m"] >= 4) & (graded["r"] <= 2)),
        "one-large-order": those((people["f"] == 1) & (people["m"] >= 5_000)),
        "expensive-taste": those((people["f"] >= 3) & (people["m"] >= 1_600 * cds) & (cds > 0)),
        "going-quiet": those((people["f"] >= 3) & (idle >= 90) & (idle <= 180)),
        "hot": those(warm >= 20),
        "cooling-off": those((warm >= 5) & (warm < 20) & (idle >= 45)),
        "warm-savers": those((warm >= 10) & (graded["m"] <= 3)),
        "test-mailing": {who for who in risky if dealt(who) < 0.25},
        **of_their_order(orders, now),
    }


def of_their_order(orders: pd.DataFrame, now: pd.Timestamp) -> dict[str, set[str]]:
    """Return the segments in which it matters when there was which order."""
    who, at = orders["who"], orders["at"]
    autumn = (at >= "1997-07-01T00:00:00Z") & (at < "1998-01-01T00:00:00Z")
    since = at >= "1998-01-01T00:00:00Z"
    before, after = (orders["cents"].where(rows, 0).groupby(who).sum() for rows in (autumn, since))
    following = at.groupby(who).shift(-1)
    quick = following - at <= 30 * DAY
    gone = (following.isna() | (following - at > 90 * DAY)) & (at + 90 * DAY <= now) & (at > now - 365 * DAY)
    left = 0.5 ** ((now - at) / (90 * DAY))
    return {
        "growing": those(after > before) & set(who[autumn]),
        "stocked-up-and-back": set(who[(orders["cds"] >= 3) & quick]),
        "gone-after-a-large-order": set(who[(orders["cents"] >= 10_000) & gone]),
        "often-lately": those(left.groupby(who).sum().round(9) >= 1.5),
    }


def dealt(who: str) -> float:
    """Return the number by which GrowthBook's own package deals somebody."""
    core = pytest.importorskip(
        "growthbook.core", reason="GrowthBook's package is not installed: pip install growthbook"
    )
    return float(core.gbhash("test mailing", f"u:{who}", 2))


def near_a_border(folder: Path, moment: str) -> set[str]:
    """Return who lies so near a border, as it was drawn, that the sketch may have them on its other side."""
    orders = orders_in(folder)
    now, drawn = figures(orders, moment), figures(orders, borders_as_of(moment))
    if len(drawn) <= KEPT:
        return set()
    spread = Spread()
    for row in range(KEPT + 1):
        spread.add(row)
    found: set[str] = set()
    for name in ("r", "f", "m"):
        ordered = drawn[name].sort_values().to_numpy()
        below = np.searchsorted(ordered, now[name], side="left") / len(ordered)
        for part in range(1, 5):
            found |= set(now.index[np.abs(below - part / 5) <= spread.rank_error])
    return found


@pytest.fixture
def some(published, is_sampled, tmp_path):
    """Return a folder with some customers, and one with what they did in 1997."""
    with gzip.open(published("cdnow") / FILE, "rt") as lines:
        head, *rows = lines
    rows = [row for row in rows if is_sampled(row.split()[0])]
    folders = tmp_path / "all", tmp_path / "half"
    for folder, kept in zip(folders, (rows, [row for row in rows if row.split()[1] < "1998"]), strict=True):
        folder.mkdir()
        with gzip.open(folder / FILE, "wt") as file:
            file.writelines([head, *kept])
    return folders


@pytest.mark.parametrize(
    "late", [pytest.param(False, marks=pytest.mark.slow), True], ids=["defined before", "defined after"]
)
def test_customers_are_where_pandas_puts_them(agreement, some, late):
    agreement("cdnow", expected, drawn=DRAWN).check([(some[0], END), (some[0], LATER)], late=late)


@pytest.mark.slow
def test_customers_are_there_when_history_comes_in_two_parts_and_borders_are_drawn_twice(agreement, some):
    agreement("cdnow", expected, drawn=DRAWN).check([(some[1], HALFWAY), (some[0], END), (some[0], LATER)])


@pytest.mark.slow
def test_all_customers_are_where_pandas_puts_them_but_for_those_at_a_border(agreement, published):
    folder = published("cdnow")
    shop = agreement("cdnow", expected, drawn=DRAWN, doubtful=near_a_border)
    found = shop.check([(folder, END), (folder, LATER)])
    assert len(near_a_border(folder, END)) < 23_570 * 0.05
    assert [name for name, members in found[0].items() if not 0 < len(members) < 23_570 / 2] == []
