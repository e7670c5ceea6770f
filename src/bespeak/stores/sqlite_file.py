"""The SQLite file itself: made, recognised, opened, and its schema."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from bespeak.errors import StoreError
from bespeak.stores import sqlite_changes, sqlite_format, sqlite_kept, sqlite_keys, sqlite_parts
from bespeak.stores.settings import SqliteSettings

APPLICATION_ID = 0x62737065
"""`bspe` in the file's header: tells our files from other SQLite databases."""

PAGE_SIZE = 8192

_ADDED = (sqlite_keys, sqlite_kept, sqlite_parts, sqlite_changes)
"""Modules with tables of their own, in the order in which formats brought them."""

TROUBLE = (sqlite3.Error, UnicodeError, OverflowError)
"""What a statement may raise: a full disk, a number over 64 bits, text that is none (SQLite's, in a damaged file)."""

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT INTO meta VALUES ('format', 5), ('checkpoint', 0);

CREATE TABLE log (
    first INTEGER PRIMARY KEY, count INTEGER NOT NULL, received INTEGER NOT NULL, crc INTEGER NOT NULL,
    payload BLOB NOT NULL);

CREATE TABLE profiles (id TEXT PRIMARY KEY, next_flip_at INTEGER, data BLOB NOT NULL);
CREATE INDEX profiles_due ON profiles (next_flip_at, id) WHERE next_flip_at IS NOT NULL;
CREATE TABLE aliases (alias TEXT PRIMARY KEY, id TEXT NOT NULL);
CREATE TABLE products (name TEXT PRIMARY KEY, included INTEGER NOT NULL, data BLOB NOT NULL);

CREATE TABLE documents (
    kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, data BLOB, PRIMARY KEY (kind, id, version));

-- Part 0: digests as they came, a row for each commit and hour. Other parts: sorted, in rows of one page.
CREATE TABLE seen (row INTEGER PRIMARY KEY, hour INTEGER NOT NULL, part INTEGER NOT NULL, low BLOB, data BLOB NOT NULL);
CREATE INDEX seen_by_hour ON seen (hour);
CREATE INDEX seen_sorted ON seen (part, low) WHERE part > 0;
-- Nothing but its key: without a rowid it is one tree instead of two.
CREATE TABLE seen_ageless (digest BLOB PRIMARY KEY) WITHOUT ROWID;

CREATE TABLE rejected (
    row INTEGER PRIMARY KEY, source TEXT NOT NULL, place TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL,
    data BLOB NOT NULL);
CREATE INDEX rejected_by_source ON rejected (source)
"""
"""The tables of a new file, but for those of the keys, of snapshots, of checkpoints in parts and of changes."""


def connect(path: Path, settings: SqliteSettings, *, cache_kib: int) -> sqlite3.Connection:
    """Open one more connection: transactions by hand, every commit synced, no checkpoint inside a commit."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",  # a file that is missing is an error, not an empty database
        uri=True,
        timeout=settings.busy_ms / 1000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=64,
    )
    try:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute(f"PRAGMA cache_size=-{cache_kib}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path, settings: SqliteSettings) -> sqlite3.Connection:
    """Open one more connection that can only read."""
    connection = connect(path, settings, cache_kib=max(1, settings.cache_kib // 4))
    try:
        sqlite_parts.see_through(connection)
        connection.execute("PRAGMA query_only=1")
    except BaseException:
        connection.close()
        raise
    return connection


def open_writer(path: Path, settings: SqliteSettings) -> sqlite3.Connection:
    """Open the writing connection, making the file (mode 0600) where it is missing.

    Raises
    ------
    StoreError
        The file cannot be made or read, is not ours, or has a format that this version cannot read.
    """
    try:
        _make(path)
        connection = connect(path, settings, cache_kib=settings.cache_kib)
    except OSError as error:
        raise StoreError(f"cannot make the store {path}: {error.strerror}") from error
    except TROUBLE as error:
        raise StoreError(f"cannot open the store {path}: {error}") from error
    try:
        _prepare(connection, path)
    except TROUBLE as error:
        connection.close()
        raise StoreError(f"cannot open the store {path}: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path) -> None:
    """Make an empty file that only its owner may read, and make its name durable.

    A file that is there is not opened: with the descriptor that is closed, a process loses every lock that SQLite holds
    on the file for it (POSIX, fcntl), and the next process that reads the store takes itself for the last, and removes
    the write-ahead log.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    elif path.stat().st_mode & 0o077:
        path.chmod(0o600)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables:
        recognise(connection, path)
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise StoreError(f"{path}: expected a file system with shared memory (WAL mode), got mode {mode!r}")
    if tables:
        sqlite_format.migrate(connection, path)
    else:
        _create(connection)


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in ";".join((SCHEMA, *(one.SCHEMA for one in _ADDED))).split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def recognise(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreError unless the file is ours and of a format that this version can read or migrate."""
    found = connection.execute("PRAGMA application_id").fetchone()[0]
    if found != APPLICATION_ID:
        raise StoreError(f"{path} is an SQLite database of another program; name another file in store.path")
    sqlite_format.readable(connection, path)
