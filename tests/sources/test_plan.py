"""An import put in order: time first, ties as in the file, ids that stay, and every record accounted for."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bespeak.catalog.item import Item
from bespeak.clock import SECOND, parse_time
from bespeak.errors import TooLarge
from bespeak.events import Event
from bespeak.sources import ImportLimits, ImportMap, Plan, RejectedLine, plan_import

RECEIVED = parse_time("2026-01-31T12:00:00Z")
CLICKS = {
    "target": "events",
    "header": False,
    "columns": ["who", "what", "at"],
    "user_id": "who",
    "event": {"value": "Product Viewed"},
    "time": {"column": "at", "format": "unix"},
    "properties": {"product_id": "what"},
}


def clicks(name: str = "clicks", **members: Any) -> ImportMap:
    return msgspec.convert({"name": name, "sections": [{**CLICKS, **members}]}, ImportMap)


def plan(path: Path, import_map: ImportMap, **arguments: Any) -> tuple[Plan, list[RejectedLine]]:
    rejected: list[RejectedLine] = []
    found = plan_import([path], import_map, received=RECEIVED, reject=rejected.append, **arguments)
    for done in found.load():
        assert 0 <= done <= found.bytes_total
    return found, rejected


def events(path: Path, import_map: ImportMap | None = None, **arguments: Any) -> list[Event]:
    found, rejected = plan(path, import_map or clicks(), **arguments)
    made = list(found.events())
    assert not rejected
    return made


def write(path: Path, rows: list[tuple[str, str, int]]) -> Path:
    path.write_text("".join(f"{who},{what},{at}\n" for who, what, at in rows))
    return path


def test_an_event_of_a_row(tmp_path: Path) -> None:
    (event,) = events(write(tmp_path / "f", [("u1", "p1", 5)]))
    assert event == Event(
        type="track",
        name="Product Viewed",
        message_id=event.message_id,
        time=5 * SECOND,
        received=RECEIVED,
        user_id="u1",
        properties={"product_id": "p1"},
        source="import:clicks",
        signed=True,
    )
    assert event.message_id.startswith("imp-00000000-")
    assert len(event.message_id) <= 100


def test_events_come_in_order_of_time_and_ties_as_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "f", [("u", "c", 9), ("u", "a", 3), ("u", "z", 9), ("u", "b", 9), ("u", "y", 3)])
    found = events(path)
    assert [event.properties["product_id"] for event in found] == ["a", "y", "c", "z", "b"]
    assert sorted(found, key=lambda event: (event.time, event.message_id)) == found


def test_a_sequence_breaks_ties_before_the_file_does(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("u,c,9,10\nu,a,9,2\nu,b,9,2\n")
    found = events(path, clicks(columns=["who", "what", "at", "n"], sequence="n"))
    assert [event.properties["product_id"] for event in found] == ["a", "b", "c"]
    assert [event.message_id for event in found] == sorted(event.message_id for event in found)
    assert {event.time for event in found} == {9 * SECOND}


def test_a_sequence_with_a_step_is_added_to_the_time(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("u,c,9,3\nu,a,9,1\n")
    found = events(path, clicks(columns=["who", "what", "at", "n"], sequence={"column": "n", "step": "2 seconds"}))
    assert [(event.properties["product_id"], event.time) for event in found] == [("a", 11 * SECOND), ("c", 15 * SECOND)]


@pytest.mark.parametrize("cell, line", [("x", 2), ("-1", 2), ("1.5", 2), ("9" * 13, 2)])
def test_a_sequence_that_is_no_number_rejects_its_row(tmp_path: Path, cell: str, line: int) -> None:
    path = tmp_path / "f"
    path.write_text(f"u,c,9,3\nu,a,9,{cell}\n")
    _, rejected = plan(path, clicks(columns=["who", "what", "at", "n"], sequence="n"))
    assert [(bad.line, bad.reason, bad.problems[0].path) for bad in rejected] == [(line, "invalid_cell", "n")]


def test_identical_rows_are_different_events(tmp_path: Path) -> None:
    found = events(write(tmp_path / "f", [("u", "a", 3)] * 3))
    assert len({event.message_id for event in found}) == 3


def test_the_ids_do_not_depend_on_name_folder_compression_or_moment(tmp_path: Path) -> None:
    first = write(tmp_path / "first.csv", [("u", "a", 3), ("v", "b", 3)])
    second = tmp_path / "second.csv.gz"
    second.write_bytes(gzip.compress(first.read_bytes()))
    later: list[Event] = []
    again = plan_import([second], clicks(), received=RECEIVED + 1, reject=lambda bad: pytest.fail(str(bad)))
    for _ in again.load():
        pass
    later += again.events()
    assert [event.message_id for event in later] == [event.message_id for event in events(first)]


def test_the_ids_depend_on_the_map_and_the_section(tmp_path: Path) -> None:
    path = write(tmp_path / "f", [("u", "a", 3)])
    maps = [
        clicks(),
        clicks("others"),
        msgspec.convert({"name": "clicks", "sections": [{**CLICKS, "name": "second"}]}, ImportMap),
    ]
    assert len({events(path, one)[0].message_id for one in maps}) == 3


rows = st.tuples(st.sampled_from("uvw"), st.sampled_from("ab"), st.integers(0, 3))


@settings.get_profile("few")
@given(st.lists(rows, max_size=12), st.lists(rows, max_size=6))
def test_rows_appended_change_no_id_and_ties_follow_the_file(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str, int]], more: list[tuple[str, str, int]]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    before = events(write(folder / "before", table))
    after = events(write(folder / "after", table + more))
    ids = {event.message_id for event in before}
    assert len(ids) == len(table)
    assert ids <= {event.message_id for event in after}
    assert len({event.message_id for event in after}) == len(table) + len(more)
    key = [(event.time, event.message_id) for event in after]
    assert key == sorted(key)
    expected = sorted(table + more, key=lambda row: row[2])
    assert [(event.user_id, event.properties["product_id"]) for event in after] == [
        (who, what) for who, what, _ in expected
    ]


@pytest.mark.parametrize(
    "row, reason, path",
    [
        ("null,a,3", "no_user_anon_id", "user_id"),
        (",a,3", "no_user_anon_id", "user_id"),
        (f"{'u' * 201},a,3", "invalid_cell", "user_id"),
        ("u,a,soon", "invalid_cell", "at"),
        ("u,a,", "invalid_cell", "at"),
        ("u,a,1e300", "invalid_cell", "at"),
        ("u,a,nan", "invalid_cell", "at"),
        ("u,a", "wrong_cells", ""),
    ],
)
def test_a_row_that_cannot_be_used_is_rejected_and_the_rest_is_kept(
    tmp_path: Path, row: str, reason: str, path: str
) -> None:
    file = tmp_path / "f"
    file.write_text(f"u,a,1\n{row}\nu,b,2\n")
    found, rejected = plan(file, clicks())
    assert [event.properties["product_id"] for event in found.events()] == ["a", "b"]
    assert [(bad.file, bad.line, bad.reason) for bad in rejected] == [(str(file), 2, reason)]
    assert rejected[0].problems[0].path == path
    assert found.read == {"events": 3}
    assert found.rejected == 1


def test_fields_of_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("u,X-1,7,,Yes,-2.5,1,0,Red; Blue\n")
    columns = ["who", "code", "at", "empty", "flag", "amount", "Action", "Drama", "list"]
    import_map = clicks(
        columns=columns,
        event={
            "choose": [
                {"column": "empty", "present": True, "then": "A"},
                {"column": "code", "one_of": ["Y", "Z"], "then": "B"},
                {"column": "code", "starts_with": "X", "then": "C"},
            ],
            "otherwise": "D",
        },
        properties={
            "id": {"template": "{code}/{who}"},
            "absent": "empty",
            "never": {"template": "{code}/{empty}"},
            "flag": {"column": "flag", "as": "bool"},
            "amount": {"column": "amount", "as": ["float", "abs"]},
            "kind": {"column": "code", "values": {"X-1": "first"}, "as": "upper"},
            "constant": {"value": 5},
        },
        item={
            "id": "code",
            "title": {"template": "No. {code}"},
            "price": {"column": "amount", "as": ["float", "abs"]},
            "tags": {"flags": ["Action", "Drama"]},
            "categories": {"split": "list", "by": ";"},
        },
    )
    found, rejected = plan(path, import_map)
    assert not rejected
    (event,) = found.events()
    assert event.name == "C"
    assert event.properties == {
        "id": "X-1/u",
        "flag": True,
        "amount": 2.5,
        "kind": "FIRST",
        "constant": 5,
    }
    (item,) = found.described()
    assert item == Item(id="X-1", title="No. X-1", price=2.5, tags=("Action",), categories=("Red", "Blue"))


def test_json_lines_keep_their_types_and_are_read_by_path(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text('{"user":{"id":7},"at":5,"price":2.5,"tags":["a","b"],"x":null}\n{"user":{},"at":6}\n')
    import_map = clicks(
        format="json_lines",
        columns=[],
        header=True,
        user_id="user.id",
        properties={"price": "price", "tags": "tags", "x": "x", "deep": "user.id.more"},
    )
    found, rejected = plan(path, import_map)
    (event,) = found.events()
    assert (event.user_id, event.time, event.properties) == ("7", 5 * SECOND, {"price": 2.5, "tags": ["a", "b"]})
    assert [(bad.line, bad.reason) for bad in rejected] == [(2, "no_user_anon_id")]


@pytest.mark.parametrize(
    "text, time, instant",
    [
        ("2026-01-31T12:00:00Z", {}, "2026-01-31T12:00:00Z"),
        ("2026-01-31", {}, "2026-01-31T00:00:00Z"),
        ("2026-01-31 12:00", {"zone": "Europe/Berlin"}, "2026-01-31T11:00:00Z"),
        ("2026-01-31T12:00:00+02:00", {"zone": "Europe/Berlin"}, "2026-01-31T10:00:00Z"),
        ("1769860800.25", {"format": "unix"}, "2026-01-31T12:00:00.25Z"),
        ("1769860800123", {"format": "unix_ms"}, "2026-01-31T12:00:00.123Z"),
        ("31-Jan-2026", {"format": "%d-%b-%Y"}, "2026-01-31T00:00:00Z"),
        ("1/31/2026 8:26", {"format": ["iso", "%m/%d/%Y %H:%M"]}, "2026-01-31T08:26:00Z"),
    ],
)
def test_times_in_the_formats_of_files(tmp_path: Path, text: str, time: dict[str, Any], instant: str) -> None:
    path = tmp_path / "f"
    path.write_text(f"u,a,{text}\n")
    (event,) = events(path, clicks(time={"column": "at", **time}))
    assert event.time == parse_time(instant)


def test_traits_become_identify_events(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("id,age\n1,24\n2,53\n")
    section = {"target": "traits", "user_id": "id", "traits": {"age": {"column": "age", "as": "int"}}}
    import_map = msgspec.convert({"name": "people", "sections": [section]}, ImportMap)
    first, second = events(path, import_map)
    assert (first.type, first.name, first.user_id, first.properties) == ("identify", "Identified", "1", {"age": 24})
    assert first.time == second.time == RECEIVED
    assert first.message_id < second.message_id


def test_items_of_a_file_go_before_those_that_events_describe(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("id,title\na,Old\na,New\n")
    (tmp_path / "clicks.csv").write_text("u,a,1\nu,b,2\n")
    described = {**CLICKS, "files": ["clicks*"], "item": {"id": "what", "title": {"value": "Seen"}}}
    listed = {"target": "items", "files": ["items*"], "item": {"id": "id", "title": "title"}}
    found, rejected = plan(tmp_path, msgspec.convert({"name": "m", "sections": [described, listed]}, ImportMap))
    assert not rejected
    assert [(item.id, item.title) for item in found.items()] == [("a", "New")]
    assert [(item.id, item.title) for item in found.described()] == [("b", "Seen")]


def test_an_item_that_cannot_be_is_rejected_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("id,price\na,1\nb,-1\n,2\n")
    section = {"target": "items", "item": {"id": "id", "price": "price"}}
    found, rejected = plan(path, msgspec.convert({"name": "m", "sections": [section]}, ImportMap))
    assert [item.id for item in found.items()] == ["a"]
    assert [bad.line for bad in rejected] == [3, 4]
    assert "price must be 0 or more" in rejected[0].problems[0].found


def test_more_than_the_bound_is_refused_before_anything_is_imported(tmp_path: Path) -> None:
    path = write(tmp_path / "f", [("u", "a", 1)] * 3)
    with pytest.raises(TooLarge, match="at most 2 records"):
        plan(path, clicks(), limits=ImportLimits(records=2))
    with pytest.raises(TooLarge, match="at most 1 items"):
        plan(write(path, [("u", "a", 1), ("u", "b", 1)]), clicks(item={"id": "what"}), limits=ImportLimits(items=1))
