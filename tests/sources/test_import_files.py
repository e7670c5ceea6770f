"""Imports from end to end, against an engine that only remembers; and the real data sets, counted."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bespeak.clock import DAY, SECOND, format_time, parse_time
from bespeak.sources import (
    ImportMap,
    Progress,
    Quarantine,
    RejectedLine,
    Summary,
    import_files,
    load_map,
    parse_map,
)

RECEIVED = parse_time("2026-01-31T12:00:00Z")
CLICKS = parse_map(
    b"""
name: clicks
sections:
  - target: events
    user_id: who
    event: {value: Product Viewed}
    time: {column: at, format: unix}
    properties: {product_id: what}
    item: {id: what}
""",
    where="clicks",
)


def run(into: Any, files: list[Path], import_map: ImportMap, **arguments: Any) -> tuple[Summary, list[RejectedLine]]:
    rejected: list[RejectedLine] = []
    reject = arguments.pop("reject", rejected.append)
    return (
        asyncio.run(import_files(into, files, import_map, received=RECEIVED, reject=reject, **arguments)),
        rejected,
    )


def adds_up(summary: Summary) -> bool:
    return summary.read == summary.accepted + summary.duplicate + summary.rejected


@pytest.fixture
def clicks(tmp_path: Path) -> Path:
    path = tmp_path / "clicks.csv"
    path.write_text("who,what,at\n" + "".join(f"u{at % 7},p{at % 5},{at}\n" for at in range(100, 0, -1)))
    return path


def test_the_same_file_again_changes_nothing(into: Any, clicks: Path) -> None:
    first, _ = run(into, [clicks], CLICKS)
    assert (first.read, first.accepted, first.duplicate, first.rejected, first.items) == (100, 100, 0, 0, 5)
    kept = list(into.events)
    assert [event.time for event in kept] == [at * SECOND for at in range(1, 101)]
    second, _ = run(into, [clicks], CLICKS)
    assert (second.read, second.accepted, second.duplicate, second.rejected, second.items) == (100, 0, 100, 0, 0)
    assert into.events == kept


def test_a_file_that_has_grown_brings_only_what_is_new(into: Any, clicks: Path) -> None:
    run(into, [clicks], CLICKS)
    with clicks.open("a") as out:
        out.write("u1,p9,50\nu1,p9,500\n")
    summary, _ = run(into, [clicks], CLICKS)
    assert (summary.accepted, summary.duplicate, summary.items) == (2, 100, 1)


def test_an_import_that_broke_off_goes_on_where_it_stopped(into: Any, clicks: Path) -> None:
    into.fail_after = 40
    with pytest.raises(ConnectionError):
        run(into, [clicks], CLICKS, batch=10)
    assert len(into.events) == 40
    into.fail_after = None
    summary, _ = run(into, [clicks], CLICKS, batch=10)
    assert (summary.accepted, summary.duplicate) == (60, 40)
    assert [event.time for event in into.events] == [at * SECOND for at in range(1, 101)]


def test_the_summary_adds_up_with_rejected_and_refused(into: Any, clicks: Path) -> None:
    with clicks.open("a") as out:
        out.write("null,p1,7\nu1,p1\nu1,p1,soon\n")
    into.refuse = lambda event: event.user_id == "u3"
    summary, rejected = run(into, [clicks], CLICKS)
    assert adds_up(summary)
    assert summary.refused == sum(at % 7 == 3 for at in range(1, 101))
    assert summary.rejected == 3 + summary.refused
    assert Counter(bad.reason for bad in rejected) == {"no_user_anon_id": 1, "wrong_cells": 1, "invalid_cell": 1}
    assert sorted(bad.line for bad in rejected) == [102, 103, 104]


def test_rejected_lines_are_kept_beside_the_file_for_its_owner(into: Any, clicks: Path) -> None:
    with clicks.open("a") as out:
        out.write("null,p1,7\nu1,p1,soon\n")
    quarantine = Quarantine()
    run(into, [clicks], CLICKS, reject=quarantine.add)
    quarantine.close()
    (path,) = quarantine.paths()
    assert path == clicks.with_name("clicks.csv.rejected.jsonl")
    assert path.stat().st_mode & 0o777 == 0o600
    told = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["line"], line["reason"]) for line in told] == [(103, "invalid_cell"), (102, "no_user_anon_id")]
    assert told[0]["problems"] == [{"path": "at", "expected": "a time as unix", "found": "'soon'"}]
    assert told[0]["row"] == {"who": "u1", "what": "p1", "at": "soon"}


def test_progress_goes_forward_to_the_end_of_each_stage(into: Any, clicks: Path) -> None:
    seen: list[Progress] = []
    run(into, [clicks], CLICKS, batch=30, progress=seen.append)
    stages = ["reading", "putting", "importing"]
    for stage in stages:
        steps = [step for step in seen if step.stage == stage]
        assert [step.done for step in steps] == sorted(step.done for step in steps)
        assert steps[-1].done == steps[-1].total
    assert [step.done for step in seen if step.stage == "importing"] == [30, 60, 90, 100]
    order = [stages.index(step.stage) for step in seen]
    assert order == sorted(order)


INVOICES = """InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER ,6,12/1/2010 8:26,2.55,17850,United Kingdom
536365,71053,WHITE METAL LANTERN,6,12/1/2010 8:26,3.39,17850,United Kingdom
536366,22633,HAND WARMER UNION JACK,6,2010-12-01 08:28:00,1.85,17850,United Kingdom
C536379,D,Discount,-1,12/1/2010 9:41,27.5,14527,United Kingdom
536414,22139,,56,12/1/2010 11:52,0,,United Kingdom
536367,84879,ASSORTED COLOUR BIRD ORNAMENT,many,12/1/2010 8:34,1.69,13047,United Kingdom
536367,22745,POPPY'S PLAYHOUSE BEDROOM ,6,12/1/2010 8:34,2.1,13047,United Kingdom
"""


def test_the_lines_of_an_invoice_are_one_order_and_c_is_a_refund(into: Any, tmp_path: Path) -> None:
    path = tmp_path / "retail.csv"
    path.write_text(INVOICES)
    summary, rejected = run(into, [path], load_map("invoices"))
    assert (summary.read, summary.accepted, summary.rejected) == (5, 3, 2)
    assert adds_up(summary)
    first, second, refund = into.events
    assert (first.name, first.user_id, first.time) == ("Order Completed", "17850", parse_time("2010-12-01T08:26:00Z"))
    assert first.properties == {
        "order_id": "536365",
        "country": "United Kingdom",
        "products": [
            {"product_id": "85123A", "name": "WHITE HANGING HEART T-LIGHT HOLDER", "quantity": 6, "price": 2.55},
            {"product_id": "71053", "name": "WHITE METAL LANTERN", "quantity": 6, "price": 3.39},
        ],
        "revenue": 35.64,
    }
    assert second.properties["revenue"] == 11.1
    assert (refund.name, refund.properties["order_id"], refund.properties["revenue"]) == (
        "Order Refunded",
        "C536379",
        27.5,
    )
    assert [(bad.line, bad.reason) for bad in rejected] == [(7, "invalid_cell"), (6, "no_user_anon_id")]
    assert into.items["85123A"].title == "WHITE HANGING HEART T-LIGHT HOLDER"
    again, _ = run(into, [path], load_map("invoices"))
    assert (again.accepted, again.duplicate, again.rejected) == (0, 3, 2)


@pytest.mark.data
def test_every_click_of_eshop_clothing_is_imported_as_pandas_counts_it(
    into: Any, require_data: Callable[[str], Path]
) -> None:
    folder = require_data("eshop_clothing")
    summary, rejected = run(into, [folder], load_map("eshop_clothing"))
    assert (summary.read, summary.accepted, summary.duplicate, summary.rejected) == (165_474, 165_474, 0, 0)
    assert (rejected, summary.items) == ([], 217)
    table = pd.read_csv(folder / "e-shop_clothing_2008.csv.gz")
    by_session = table.groupby("session ID").size().to_dict()
    assert Counter(event.anonymous_id for event in into.events) == {str(key): n for key, n in by_session.items()}
    poland = table[table["country"] == 29]
    assert sum(event.properties["country"] == "Poland" for event in into.events) == len(poland)
    assert sum(event.properties["price"] for event in into.events) == table["price"].sum()
    days = [f"{year}-{month:02}-{day:02}" for year, month, day in zip(table.year, table.month, table.day, strict=True)]
    clicks = sorted(zip(table["session ID"].astype(str), table["order"], days, strict=True))
    found = sorted((e.anonymous_id, e.properties["order"], format_time(e.time)[:10]) for e in into.events)
    assert found == clicks
    assert all(event.time % DAY == event.properties["order"] * SECOND for event in into.events)


@pytest.mark.data
def test_movielens_is_imported_with_its_people_and_films(into: Any, require_data: Callable[[str], Path]) -> None:
    folder = require_data("ml-100k")
    summary, rejected = run(into, [folder], load_map("ml-100k"))
    assert summary.targets == {"events": 100_000, "traits": 943, "items": 1_682}
    assert (summary.accepted, summary.items, rejected) == (102_625, 1_682, [])
    assert adds_up(summary)
    assert [event.type for event in into.events[:943]] == ["identify"] * 943
    first_user = next(event for event in into.events if event.user_id == "1")
    assert first_user.properties == {"age": 24, "gender": "M", "occupation": "technician", "zip_code": "85711"}
    ratings = pd.read_csv(folder / "u.data.gz", sep="\t", names=["user", "item", "rating", "at"])
    found = Counter(event.properties["rating"] for event in into.events[943:])
    assert found == ratings["rating"].value_counts().to_dict()
    assert {(e.user_id, e.properties["product_id"], e.time // SECOND) for e in into.events[943:]} == {
        (str(user), str(item), at) for user, item, _, at in ratings.itertuples(index=False)
    }
    toy_story = into.items["1"]
    assert (toy_story.title, toy_story.tags) == ("Toy Story (1995)", ("Animation", "Children's", "Comedy"))
    films = pd.read_csv(folder / "u.item", sep="|", header=None, encoding="latin-1")
    assert sum(len(item.tags) for item in into.items.values()) == films.iloc[:, 5:].to_numpy().sum()
    assert {item.title for item in into.items.values()} == set(films[1])


@pytest.mark.data
def test_a_single_file_of_a_folder_map_is_read_by_its_section(into: Any, require_data: Callable[[str], Path]) -> None:
    folder = require_data("ml-100k")
    summary, _ = run(into, [folder / "u.user"], load_map("ml-100k"))
    assert summary.targets == {"traits": 943}
