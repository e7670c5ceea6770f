"""The segments on the areas of a site have the members that pandas finds in the file by their sentences."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.data

FILE = "anonymous-msweb.data.gz"
END = "1998-02-16T00:00:00Z"
"""The end of the week."""
EUROPE = ["Germany", "Sweden", "Spain", "UK", "France", "Italy", "Denmark", "Belgium", "Norway"]


def visits_in(folder: Path) -> pd.DataFrame:
    """Return the visits in the order of the file, with the visitor above them and the title and address of the area."""
    lines = pd.read_csv(folder / FILE, names=["kind", "id", "b", "title", "url", "c"], dtype=str)
    lines["who"] = lines["id"].where(lines["kind"] == "C").ffill()
    areas = lines[lines["kind"] == "A"].set_index("id")[["title", "url"]]
    return lines.loc[lines["kind"] == "V", ["who", "id"]].join(areas, on="id").reset_index(drop=True)


def expected(folder: Path, _moment: str) -> dict[str, set[str]]:
    visits = visits_in(folder)
    who, title, url, lower = visits["who"], visits["title"], visits["url"], visits["title"].str.lower()

    def some(rows: pd.Series) -> set[str]:
        return set(who[rows])

    def those(people: pd.Series) -> set[str]:
        return set(people.index[people])

    def often(rows: pd.Series, least: int) -> set[str]:
        return those(rows.groupby(who).sum() >= least)

    size, areas = visits.groupby("who").size(), visits.groupby("who")["id"].nunique()
    first, last = lower.groupby(who).first(), lower.groupby(who).last()
    support, search, base = lower.str.contains("support"), title == "Microsoft.com Search", title == "Knowledge Base"
    needing = some(title == "Free Downloads") & some(support)
    windows, office = (lower.str.contains(name).groupby(who).sum() for name in ("windows", "office"))
    makers = often(lower.str.contains("developer|visual c|visual basic|activex|java"), 2)
    clerks = often(lower.str.contains("word|excel|powerpoint|access|outlook|office"), 2)
    return {
        "one-area": those(size == 1),
        "explorers": those(areas >= 10),
        "downloaders-in-need": needing,
        "developers": makers,
        "office-people": clerks,
        "windows-over-office": those(windows > office),
        "browser-only": some(url.str.startswith("/ie")) - some(~url.str.startswith("/ie")),
        "left-for-support": those(last.str.endswith("support") & (size >= 2)),
        "job-seekers": some(title.isin(["Job Openings", "Job Listings for Pre-Grads"])),
        "europe": some(title.isin(EUROPE)) & those(size > 1),
        "ms-in-capitals": some(title.str.startswith("MS ")),
        "entered-by-search": those((first == "microsoft.com search") & (size >= 3)),
        "support-of-a-product": some(url.str.fullmatch("/[a-z]+support")),
        "searched-in-vain": (some(search) & some(base)) - needing,
        "players": some(lower.str.contains("games")) - makers - clerks,
        "searched-then-found": some(support & (search.groupby(who).cumsum() > 0)),
    }


def sampled(lines: list[str], is_sampled) -> list[str]:
    """Return the lines without those of visitors who are not in the sample."""
    kept, wanted = [], True
    for line in lines:
        if line.startswith("C,"):
            wanted = is_sampled(line.rstrip().rpartition(",")[2])
        if wanted or not line.startswith(("C,", "V,")):
            kept.append(line)
    return kept


@pytest.mark.parametrize("late", [False, True], ids=["defined before", "defined after"])
def test_visitors_of_the_site_are_where_pandas_puts_them(agreement, published, is_sampled, tmp_path, late):
    with gzip.open(published("msweb") / FILE, "rt") as lines:
        text = "".join(sampled(list(lines), is_sampled))
    (tmp_path / FILE).write_bytes(gzip.compress(text.encode()))
    agreement("msweb", expected).check([(tmp_path, END)], late=late)


@pytest.mark.slow
def test_all_visitors_of_the_site_are_where_pandas_puts_them(agreement, published):
    found = agreement("msweb", expected).check([(published("msweb"), END)])
    assert [name for name, members in found[0].items() if not 0 < len(members) < 32_711 / 2] == []
