"""A copy of a store in use: one moment of it, whole, or nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from bespeak.errors import CorruptLog, StoreError
from bespeak.stores import Commit, LogRow, SqliteSettings, SqliteStore, copy_file, put_in_place, verify_file
from bespeak.testing.checks.store_model import digest, everything, full_commit

SETTINGS = SqliteSettings()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "bespeak.db"


def commits(store: SqliteStore, firsts: range, size: int = 2_000) -> None:
    for first in firsts:
        store.commit(Commit(rows=(LogRow(first, 1, 0, bytes([first % 251]) * size),)))


def test_a_copy_is_the_store_as_it_was_when_it_began_whatever_is_committed_meanwhile(
    path: Path, tmp_path: Path
) -> None:
    store = SqliteStore(path)
    store.commit(full_commit(1, 1))
    commits(store, range(6, 3_000))
    probes = (digest(10), digest(20))
    nexts = iter(range(3_000, 9_000))
    stages: list[tuple[str, int, int]] = []

    def meanwhile(stage: str, done: int, total: int) -> None:
        stages.append((stage, done, total))
        commits(store, range(first := next(nexts), first + 1))

    kept = everything(store, probes)
    found = copy_file(path, tmp_path / "copy.db", SETTINGS, meanwhile)
    assert found.last == 2_999
    assert store.last_offset() > 3_000
    copying = [(done, total) for stage, done, total in stages if stage == "copying"]
    assert len({total for _, total in copying}) == 1, "it did not begin anew"
    assert [done for done, _ in copying] == sorted({done for done, _ in copying})
    store.close()
    copied = SqliteStore(tmp_path / "copy.db")
    assert everything(copied, probes) == kept
    copied.close()


def test_a_copy_is_one_file_for_its_owner_alone(path: Path, tmp_path: Path) -> None:
    store = SqliteStore(path)
    commits(store, range(1, 5))
    (tmp_path / "backup").mkdir()
    copy_file(path, tmp_path / "backup" / "copy.db", SETTINGS)
    store.close()
    (copied,) = (tmp_path / "backup").iterdir()
    assert copied.stat().st_mode & 0o777 == 0o600
    assert copied.read_bytes()[18:20] == b"\x01\x01", "no write-ahead log is expected beside it"


def test_a_damaged_store_gives_no_copy(path: Path, tmp_path: Path) -> None:
    store = SqliteStore(path)
    commits(store, range(1, 5))
    store.close()
    other = sqlite3.connect(path)
    other.execute("UPDATE log SET payload = x'00' WHERE first = 2")
    other.commit()
    other.close()
    target = tmp_path / "copy.db"
    target.write_bytes(b"the backup of yesterday")
    with pytest.raises(CorruptLog, match="damaged"):
        copy_file(path, target, SETTINGS)
    assert target.read_bytes() == b"the backup of yesterday"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.db", "data"]


def test_a_copy_that_cannot_be_written_says_why(path: Path, tmp_path: Path) -> None:
    SqliteStore(path).close()
    with pytest.raises(StoreError, match="cannot write"):
        copy_file(path, tmp_path / "nowhere" / "copy.db", SETTINGS)
    with pytest.raises(StoreError, match="unable to open"):
        copy_file(tmp_path / "nothing.db", tmp_path / "copy.db", SETTINGS)


def test_a_store_that_is_replaced_leaves_none_of_its_log_behind(path: Path, tmp_path: Path) -> None:
    store = SqliteStore(path)
    commits(store, range(1, 5))
    backup = tmp_path / "copy.db"
    copy_file(path, backup, SETTINGS)
    commits(store, range(5, 50))
    # Killed: the write-ahead log holds what came after the backup.
    wal = path.with_name(path.name + "-wal")
    kept = wal.read_bytes()
    store.close()
    wal.write_bytes(kept)
    put_in_place(backup, path, SETTINGS)
    assert sorted(each.name for each in path.parent.iterdir()) == ["bespeak.db"]
    again = SqliteStore(path)
    assert again.last_offset() == 4
    commits(again, range(5, 8))
    again.close()
    assert verify_file(path, SETTINGS).sound
    assert verify_file(backup, SETTINGS).last == 4, "the backup itself is as it was"
