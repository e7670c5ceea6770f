"""The whole log looked at: what is damaged is named, a repair loses exactly that, and the store opens again."""

from __future__ import annotations

import base64
import json
import sqlite3
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bespeak.errors import CorruptLog, StoreError
from bespeak.stores import (
    Checked,
    Checkpoint,
    Commit,
    LogRow,
    SqliteSettings,
    SqliteSnapshot,
    SqliteStore,
    is_gap,
    repair_file,
    verify_file,
)
from bespeak.stores.gaps import solve

SETTINGS = SqliteSettings()
FIRSTS = (1, 3, 5, 7, 9)


def payload(first: int) -> bytes:
    return b"payload of %d" % first


def made(path: Path, *, checkpoint: int = 0) -> Path:
    store = SqliteStore(path)
    for first in FIRSTS:
        store.commit(Commit(rows=(LogRow(first, 2, 1_000 + first, payload(first)),)))
    if checkpoint:
        store.commit(Commit(checkpoint=Checkpoint(offset=checkpoint)))
    store.close()
    return path


def damage(path: Path, *statements: str) -> None:
    other = sqlite3.connect(path)
    for statement in statements:
        other.execute(statement)
    other.commit()
    other.close()


def lost(checked: Checked) -> list[tuple[int, int]]:
    return [(row.first, row.last) for row in checked.bad if not row.whole]


DAMAGE = {
    "a flipped byte": (["UPDATE log SET payload = CAST('payload of S' AS BLOB) WHERE first = 5"], [(5, 6)]),
    "a torn payload": (["UPDATE log SET payload = CAST('payl' AS BLOB) WHERE first = 5"], [(5, 6)]),
    "an empty payload": (["UPDATE log SET payload = x'' WHERE first = 5"], [(5, 6)]),
    "a payload that is text": (["UPDATE log SET payload = 'text' WHERE first = 5"], [(5, 6)]),
    "a count too high": (["UPDATE log SET count = 3 WHERE first = 5"], [(5, 6)]),
    "a count too low": (["UPDATE log SET count = 1 WHERE first = 5"], [(5, 5), (6, 6)]),
    "a count of none": (["UPDATE log SET count = 0 WHERE first = 5"], [(5, 5), (6, 6)]),
    "a count that is no number": (["UPDATE log SET count = 'two' WHERE first = 5"], [(5, 5), (6, 6)]),
    "a changed time": (["UPDATE log SET received = 1 WHERE first = 5"], [(5, 6)]),
    "a missing row": (["DELETE FROM log WHERE first = 5"], [(5, 6)]),
    "two missing rows": (["DELETE FROM log WHERE first IN (5, 7)"], [(5, 8)]),
    "the first row": (["UPDATE log SET payload = x'00' WHERE first = 1"], [(1, 2)]),
    "the first row missing": (["DELETE FROM log WHERE first = 1"], [(1, 2)]),
    "the last row": (["UPDATE log SET payload = x'00' WHERE first = 9"], [(9, 10)]),
    "the last row missing": (["DELETE FROM log WHERE first = 9"], [(9, 10)]),
    "two rows beside each other": (["UPDATE log SET payload = x'00' WHERE first IN (3, 5)"], [(3, 4), (5, 6)]),
    "two rows apart": (["UPDATE log SET payload = x'00' WHERE first IN (3, 7)"], [(3, 4), (7, 8)]),
    "every row": (["UPDATE log SET payload = x'00'"], [(first, first + 1) for first in FIRSTS]),
}


@pytest.mark.parametrize("statements,bad", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_named_and_a_repair_loses_exactly_that(
    tmp_path: Path, statements: list[str], bad: list[tuple[int, int]]
) -> None:
    path = made(tmp_path / "bespeak.db", checkpoint=10)
    damage(path, *statements)
    found = verify_file(path, SETTINGS)
    assert not found.sound
    assert lost(found) == bad
    assert verify_file(path, SETTINGS) == found, "looking changes nothing"

    assert repair_file(path, SETTINGS, tmp_path / "damaged.jsonl") == found
    again = verify_file(path, SETTINGS)
    assert again.sound, again
    gone = {offset for first, last in bad for offset in range(first, last + 1)}
    assert {offset for first, last in again.gaps for offset in range(first, last + 1)} == gone
    store = SqliteStore(path)
    rows = list(store.read(0))
    kept = [first for first in FIRSTS if first not in gone]
    assert [(row.first, row.payload) for row in rows if not is_gap(row)] == [(first, payload(first)) for first in kept]
    assert store.last_offset() == 10
    store.commit(Commit(rows=(LogRow(11, 1, 0, b"the log goes on"),)))
    store.close()
    assert verify_file(path, SETTINGS).sound


def test_a_sound_log_is_sound_and_counted(tmp_path: Path) -> None:
    path = made(tmp_path / "bespeak.db", checkpoint=4)
    seen: list[tuple[int, int]] = []
    found = verify_file(path, SETTINGS, lambda *far: seen.append(far))
    assert (found.rows, found.records, found.last, found.checkpoint, found.sound) == (5, 10, 10, 4, True)
    assert seen == [(2, 10), (4, 10), (6, 10), (8, 10), (10, 10)]
    assert repair_file(path, SETTINGS, tmp_path / "damaged.jsonl") == found
    assert not (tmp_path / "damaged.jsonl").exists()


def test_a_wrong_crc_alone_loses_nothing(tmp_path: Path) -> None:
    path = made(tmp_path / "bespeak.db")
    damage(path, "UPDATE log SET crc = crc + 1 WHERE first = 5")
    found = repair_file(path, SETTINGS, tmp_path / "damaged.jsonl")
    assert [(row.first, row.whole) for row in found.bad] == [(5, True)]
    store = SqliteStore(path)
    assert [row.payload for row in store.read(0)] == [payload(first) for first in FIRSTS]
    store.close()


def test_the_damaged_bytes_are_exported_for_their_owner_alone(tmp_path: Path) -> None:
    path, export = made(tmp_path / "bespeak.db"), tmp_path / "damaged.jsonl"
    damage(path, "UPDATE log SET payload = CAST('half a ro' AS BLOB) WHERE first = 7")
    repair_file(path, SETTINGS, export)
    (line,) = [json.loads(each) for each in export.read_text().splitlines()]
    assert (line["first"], line["last"], line["place"], line["received"]) == (7, 8, 7, 1_007)
    assert base64.b64decode(line["data"]) == b"half a ro"
    assert export.stat().st_mode & 0o777 == 0o600


def test_an_export_that_cannot_be_written_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    path, export = made(tmp_path / "bespeak.db"), tmp_path / "damaged.jsonl"
    damage(path, "UPDATE log SET payload = x'00' WHERE first = 7")
    export.touch()
    before = verify_file(path, SETTINGS)
    with pytest.raises(StoreError, match="nothing was changed"):
        repair_file(path, SETTINGS, export)
    assert verify_file(path, SETTINGS) == before


def test_a_log_cut_short_before_its_checkpoint_opens_again_after_a_repair(tmp_path: Path) -> None:
    path = made(tmp_path / "bespeak.db", checkpoint=10)
    damage(path, "DELETE FROM log WHERE first >= 7")
    with pytest.raises(CorruptLog, match="ends at offset 6"):
        SqliteStore(path)
    assert lost(repair_file(path, SETTINGS, tmp_path / "damaged.jsonl")) == [(7, 10)]
    store = SqliteStore(path)
    assert (store.last_offset(), store.checkpoint_offset()) == (10, 10)
    store.close()


def test_a_page_that_sqlite_cannot_read_is_named_with_what_stood_there(tmp_path: Path) -> None:
    path = tmp_path / "bespeak.db"
    store = SqliteStore(path)
    for first in range(1, 201):
        store.commit(Commit(rows=(LogRow(first, 1, 0, b"%04d" % first * 250),)))
    store.close()
    whole = bytearray(path.read_bytes())
    at = whole.index(b"0100" * 250) // 8192 * 8192
    whole[at : at + 8192] = bytes(8192)
    path.write_bytes(whole)
    found = verify_file(path, SETTINGS)
    assert found.file
    (hole,) = found.bad
    assert hole.first <= 100 <= hole.last
    assert hole.last - hole.first < 10, "only what stood on that page"
    assert found.last == 200
    with pytest.raises(StoreError, match="restore a backup"):
        repair_file(path, SETTINGS, tmp_path / "damaged.jsonl")


def test_what_is_no_store_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store"):
        verify_file(tmp_path / "bespeak.db", SETTINGS)
    (tmp_path / "bespeak.db").write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(StoreError, match="not a database"):
        verify_file(tmp_path / "bespeak.db", SETTINGS)


def test_a_snapshot_stays_as_it_was_whatever_is_committed(tmp_path: Path) -> None:
    path = made(tmp_path / "bespeak.db", checkpoint=4)
    store = SqliteStore(path)
    snapshot = SqliteSnapshot(path)
    store.commit(Commit(rows=(LogRow(11, 1, 0, b"new"),), checkpoint=Checkpoint(offset=11)))
    assert (snapshot.last_offset(), snapshot.checkpoint_offset()) == (10, 4)
    assert [row.first for row in snapshot.read(0)] == list(FIRSTS)
    with pytest.raises(StoreError, match="read only"):
        snapshot.commit(Commit())
    with pytest.raises(StoreError, match="read only"):
        snapshot.forget_seen(0)
    snapshot.close()
    snapshot.close()
    store.close()


@settings.get_profile("few")
@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(0, 2**32 - 1))
def test_four_bytes_anywhere_make_any_crc(before: bytes, behind: bytes, wanted: int) -> None:
    def crc(word: int) -> int:
        return zlib.crc32(before + word.to_bytes(4, "little") + behind)

    assert crc(solve(crc, wanted)) == wanted
