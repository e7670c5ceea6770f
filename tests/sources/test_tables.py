"""What stands in another file, or in a line above: looked up, and part of the row as if it stood in it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bespeak.errors import InvalidInput, TooLarge
from bespeak.sources import ImportLimits, RejectedLine, Summary, import_files, parse_map

BASKETS = parse_map(
    b"""
name: baskets
sections:
  - target: events
    files: ["lines*.csv"]
    join: {goods: article, days: day}
    user_id: household
    event: {choose: [{column: goods.kind, equals: service, then: Service Booked}], otherwise: Product Bought}
    time: {column: days.date}
    properties:
      article: article
      brand: goods.brand
      label: {template: "{goods.kind} of {article}"}
    item: {id: article, brand: goods.brand, categories: [goods.kind]}
  - target: table
    name: goods
    files: [goods.csv]
    key: id
    take: [brand, kind]
    missing: ["", "-"]
  - target: table
    name: days
    files: [days.jsonl]
    format: json_lines
    key: day
    take: [date]
""",
    where="baskets",
)
FILES = {
    "lines-1.csv": "household,article,day\nann,p1,1\nbob,p2,2\n",
    "lines-2.csv": "household,article,day\nann,p9,2\ncleo,p1,3\n",
    "goods.csv": "id,brand,kind,ignored\np1,Acme,,x\np1,Acme,tool,x\n,none,none,x\np2,-,service,x\n",
    "days.jsonl": '{"day": 1, "date": "2026-01-01"}\n{"day": "2", "date": "2026-01-02"}\n',
}
WEBLOG = parse_map(
    b"""
name: weblog
sections:
  - target: table
    name: areas
    header: false
    lines: A
    columns: [kind, area, title]
    key: area
    take: [title]
  - target: events
    header: false
    lines: V
    columns: [kind, area]
    under: {C: {visitor: 2}, D: {day: 3}}
    join: {areas: area}
    anonymous_id: visitor
    event: {value: Area Visited}
    time: {column: day}
    properties: {area: area, title: areas.title}
""",
    where="weblog",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run(into: Any, files: list[Path], *, limits: ImportLimits | None = None) -> tuple[Summary, list[RejectedLine]]:
    rejected: list[RejectedLine] = []
    import_map = BASKETS if files[0].is_dir() or files[0].suffix == ".csv" else WEBLOG
    summary = asyncio.run(
        import_files(into, files, import_map, received=0, reject=rejected.append, limits=limits or ImportLimits())
    )
    return summary, rejected


def test_a_row_has_the_columns_of_the_tables_that_it_looks_up(into: Any, folder: Path) -> None:
    summary, rejected = run(into, [folder])
    assert [(one.user_id, one.name, one.properties) for one in into.events] == [
        ("ann", "Product Bought", {"article": "p1", "brand": "Acme", "label": "tool of p1"}),
        ("bob", "Service Booked", {"article": "p2", "label": "service of p2"}),
        ("ann", "Product Bought", {"article": "p9"}),
    ]
    assert {item.id: (item.brand, item.categories) for item in into.items.values()} == {
        "p1": ("Acme", ("tool",)),
        "p2": ("", ("service",)),
        "p9": ("", ()),
    }
    assert [(Path(bad.file).name, bad.line, bad.reason) for bad in rejected] == [
        ("goods.csv", 4, "invalid_cell"),
        ("lines-2.csv", 3, "invalid_cell"),
    ]
    assert (summary.read, summary.accepted, summary.rejected) == (5, 3, 2)
    assert summary.targets == {"events": 4, "table": 1}


def test_what_is_looked_up_is_no_part_of_an_id(into: Any, folder: Path) -> None:
    run(into, [folder])
    (folder / "goods.csv").write_text(FILES["goods.csv"].replace("Acme", "Best"))
    summary, _ = run(into, [folder])
    assert (summary.accepted, summary.duplicate) == (0, 3)


def test_a_table_that_is_not_given_is_asked_for(into: Any, folder: Path) -> None:
    with pytest.raises(InvalidInput, match="events looks things up in the table 'days': give its file, too"):
        run(into, [folder / "lines-1.csv", folder / "goods.csv"])
    assert into.events == []


def test_a_table_without_a_column_that_is_taken_is_refused(into: Any, folder: Path) -> None:
    (folder / "goods.csv").write_text("id,brand\np1,Acme\n")
    with pytest.raises(InvalidInput, match="no column kind; there are id, brand"):
        run(into, [folder])


def test_a_table_has_a_bound(into: Any, folder: Path) -> None:
    with pytest.raises(TooLarge, match="a table that an import looks up holds at most 1 rows"):
        run(into, [folder], limits=ImportLimits(items=1))


def test_a_line_has_what_stands_above_it_in_lines_of_other_kinds(into: Any, tmp_path: Path) -> None:
    file = tmp_path / "web.log"
    file.write_text(
        'A,1,"Home"\nV,1\nI,"made by",x,y\nD,day,2026-01-01\nC,ann\nV,1\nV,2\n\n'
        "C,bob,more\nD\nV,1\nD,x,2026-01-02\nV,1\n"
    )
    summary, rejected = run(into, [file])
    assert [(one.anonymous_id, one.properties) for one in into.events] == [
        ("ann", {"area": "1", "title": "Home"}),
        ("ann", {"area": "2"}),
        ("bob", {"area": "1", "title": "Home"}),
    ]
    assert [(bad.line, bad.reason) for bad in rejected] == [(2, "invalid_cell"), (11, "invalid_cell")]
    assert (summary.read, summary.accepted, summary.rejected) == (5, 3, 2)
