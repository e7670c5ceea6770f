"""An older file is brought up to date when it is opened, whole or not at all; a newer one is refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from bespeak.errors import StoreError
from bespeak.stores import SqliteSettings, SqliteSnapshot, SqliteStore, copy_file, sqlite_format, verify_file
from bespeak.stores.sqlite_format import FORMAT, READABLE, STEPS, Step, version_of
from bespeak.testing.checks.store_model import digest, everything, full_commit

PROBES = (digest(10), digest(20))


def set_format(path: Path, version: int) -> None:
    other = sqlite3.connect(path)
    other.execute("UPDATE meta SET value = ? WHERE key = 'format'", (version,))
    other.commit()
    other.close()


def format_of(path: Path) -> int:
    other = sqlite3.connect(path)
    try:
        return version_of(other, path)
    finally:
        other.close()


def add_a_column(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE profiles ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue'")


def rename_the_column(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE profiles RENAME COLUMN colour TO hue")


def fail_half_way(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM profiles")
    raise sqlite3.OperationalError("database or disk is full")


def columns(path: Path) -> list[str]:
    other = sqlite3.connect(path)
    try:
        return [row[1] for row in other.execute("PRAGMA table_info(profiles)")]
    finally:
        other.close()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file as this version writes it."""
    path = tmp_path / "bespeak.db"
    store = SqliteStore(path)
    store.commit(full_commit(1, 1))
    store.close()
    return path


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Make ours a later bespeak, with these steps from the format of today."""

    def become(*steps: Step) -> int:
        monkeypatch.setattr(sqlite_format, "FORMAT", FORMAT + len(steps))
        monkeypatch.setattr(sqlite_format, "STEPS", {**STEPS, **dict(enumerate(steps, FORMAT))})
        return FORMAT + len(steps)

    return become


def test_an_older_file_is_migrated_when_it_is_opened_and_loses_nothing(old: Path, later: Callable[..., int]) -> None:
    wanted = later(add_a_column, rename_the_column)
    snapshot = SqliteSnapshot(old)
    before = everything(snapshot, PROBES)
    snapshot.close()
    assert format_of(old) == FORMAT, "a reader changes nothing"
    store = SqliteStore(old)
    assert everything(store, PROBES) == before
    store.close()
    assert (format_of(old), columns(old)[-1]) == (wanted, "hue")
    SqliteStore(old).close()
    assert (format_of(old), columns(old)[-1]) == (wanted, "hue"), "steps are taken once"


def test_an_older_file_can_be_verified_and_backed_up_before_it_is_migrated(
    old: Path, tmp_path: Path, later: Callable[..., int]
) -> None:
    wanted = later(add_a_column)
    assert verify_file(old, SqliteSettings()).sound
    copy_file(old, tmp_path / "copy.db", SqliteSettings())
    assert format_of(old) == format_of(tmp_path / "copy.db") == FORMAT
    SqliteStore(tmp_path / "copy.db").close()
    assert format_of(tmp_path / "copy.db") == wanted


def test_a_migration_that_fails_leaves_the_file_as_it_was(old: Path, later: Callable[..., int]) -> None:
    before = columns(old)
    later(add_a_column, rename_the_column, fail_half_way)
    with pytest.raises(StoreError, match="full"):
        SqliteStore(old)
    assert columns(old) == before
    assert format_of(old) == FORMAT
    connection = sqlite3.connect(old)
    assert connection.execute("SELECT count(*) FROM profiles").fetchone()[0] > 0
    connection.close()


def test_a_newer_file_is_refused_by_whoever_opens_it_and_left_alone(old: Path) -> None:
    set_format(old, FORMAT + 1)
    before = old.read_bytes()
    for opens in (SqliteStore, SqliteSnapshot):
        with pytest.raises(StoreError, match=f"store format {FORMAT + 1}, of a newer bespeak"):
            opens(old)
    assert old.read_bytes() == before


def test_a_file_from_which_there_is_no_way_is_refused(old: Path) -> None:
    set_format(old, 0)
    for opens in (SqliteStore, SqliteSnapshot):
        with pytest.raises(StoreError, match="knows no way from there"):
            opens(old)


def test_there_is_a_way_from_every_version_that_can_be_read() -> None:
    assert FORMAT in READABLE
    assert all(each in STEPS for version in READABLE for each in range(version, FORMAT))


def test_a_file_from_before_there_were_keys_is_read_as_one_without_any(old: Path) -> None:
    connection = sqlite3.connect(old)
    for table in ("keys", "snapshots", "kept_profiles", "kept_aliases", "kept_documents", "undone", "changes"):
        connection.execute(f"DROP TABLE {table}")
    connection.commit()
    connection.close()
    set_format(old, 1)
    before = old.read_bytes()
    snapshot = SqliteSnapshot(old)
    assert (snapshot.last_key(), list(snapshot.each_key())) == (0, [])
    assert (snapshot.snapshots(), snapshot.dropped()) == ((), 0)
    snapshot.close()
    assert old.read_bytes() == before


def test_a_file_of_format_2_gets_the_tables_of_snapshots_and_a_number_that_an_older_bespeak_refuses(old: Path) -> None:
    """What is new in format 3 stands in these tables, and inside rows that who wrote format 2 cannot read."""
    tables = "SELECT name, sql FROM sqlite_master ORDER BY name"
    connection = sqlite3.connect(old)
    wanted = connection.execute(tables).fetchall()
    for name in ("snapshots", "kept_profiles", "kept_aliases", "kept_documents", "undone", "changes"):
        connection.execute(f"DROP TABLE {name}")
    connection.commit()
    connection.close()
    assert format_of(old) == FORMAT, "what format 2 may hold, those read who wrote format 2"
    set_format(old, 2)
    SqliteSnapshot(old).close()
    assert format_of(old) == 2, "a reader changes nothing"
    SqliteStore(old).close()
    connection = sqlite3.connect(old)
    assert connection.execute(tables).fetchall() == wanted
    connection.close()
    assert format_of(old) == FORMAT
