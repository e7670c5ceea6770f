"""Rows on their way into DuckDB: what is put in is what comes out."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import pytest

from bespeak.analytics import COLUMNS, Row, Table, parquet, row_of
from bespeak.events import Event

TEXTS = [
    "", " ", "\0", "a\0b", "\n", "\r\n", "\\", '"', "'; DROP TABLE events", "é", "e\u0301", "😀", "\u2028", "\ufeff",
    "null", "NaN", "true", "1", "1.50", "{}", "[]", "2026-01-01", "12:00:00", "\x1f\x7f",
]  # fmt: skip


def row(offset: int, text: str, **properties: Any) -> Row:
    event = Event(
        type="track", name=text, message_id=text, time=-1, received=offset, user_id=text,
        properties={"path": text, "brand": text, **properties}, context={"locale": text}, source=text,
    )  # fmt: skip
    return row_of(event, offset=offset, data_key=2**62, imported=True, person=text, joined=None)


def held(rows: list[Row]) -> list[dict[str, Any]]:
    with closing(parquet.connect(threads=1, mib=64)) as connection:
        table = Table(connection=connection)
        for one in rows:
            table.add(one)
        table.flush()
        assert table.rows == len(rows)
        found = connection.execute("SELECT * FROM events").fetchall()
    return [dict(zip((column.name for column in COLUMNS), one, strict=True)) for one in found]


@pytest.mark.parametrize("at_once", [1, 1_000, parquet.AT_ONCE])
def test_text_of_any_kind_stays_as_it_is_and_in_its_order(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(parquet, "AT_ONCE", at_once)
    found = held([row(offset, text) for offset, text in enumerate(TEXTS)])
    assert [one["log_offset"] for one in found] == list(range(len(TEXTS)))
    for one, text in zip(found, TEXTS, strict=True):
        names = ("name", "message_id", "user_id", "path", "brand", "locale", "source", "person")
        assert [one[name] for name in names] == [text] * len(names)
        assert json.loads(one["properties"]) == {"path": text, "brand": text}
        assert (one["data_key"], one["imported"], one["joined"]) == (2**62, True, None)


def test_a_row_longer_than_what_is_handed_over_at_once_is_taken_in() -> None:
    text = "x" * (parquet.AT_ONCE + 1)
    found = held([row(1, "a"), row(2, "b", note=text), row(3, "c")])
    assert [one["name"] for one in found] == ["a", "b", "c"]
    assert json.loads(found[1]["properties"])["note"] == text
