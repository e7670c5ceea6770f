"""Data keys in SQLite: appended, overwritten in place, and destroyed so that no byte of one is left.

A row is as wide as it will ever be and rows are only added behind the last one, so that SQLite never moves one to
another page, which would leave a copy in the gap that it moved from. A destroyed key is zeros in the place of its
bytes. What an older page looked like is in the write-ahead log until that is cut (`SqliteStore.wipe`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from bespeak.stores import sqlite_many
from bespeak.stores.store import WrappedKey
from bespeak.stores.verify import SUBJECT_BYTES

SCHEMA = """
CREATE TABLE keys (number INTEGER PRIMARY KEY, subject BLOB NOT NULL, wrapped BLOB NOT NULL);
CREATE INDEX keys_by_subject ON keys (subject)
"""

_NOBODY = bytes(SUBJECT_BYTES)


def make(writer: sqlite3.Connection) -> None:
    """Make the table; inside a transaction."""
    for statement in SCHEMA.split(";"):
        writer.execute(statement)


def stand_in(reader: sqlite3.Connection) -> None:
    """Let a reader of a file from before there were keys find none; the file stays as it is."""
    if reader.execute("SELECT 1 FROM sqlite_master WHERE name = 'keys'").fetchone() is not None:
        return
    reader.execute("PRAGMA query_only=0")
    reader.execute("CREATE TEMP TABLE keys (number INTEGER PRIMARY KEY, subject BLOB, wrapped BLOB)")
    reader.execute("PRAGMA query_only=1")


def put(writer: sqlite3.Connection, keys: Sequence[WrappedKey]) -> None:
    """Add keys, or wrap known ones anew; a destroyed one stays destroyed. Inside a transaction."""
    sqlite_many.put(
        writer,
        "INSERT INTO keys (number, subject, wrapped)",
        ((key.number, key.subject, key.wrapped) for key in sorted(keys, key=lambda key: key.number)),
        "ON CONFLICT (number) DO UPDATE SET wrapped = excluded.wrapped WHERE subject = excluded.subject",
    )


def destroy(writer: sqlite3.Connection, numbers: Sequence[int]) -> None:
    """Overwrite keys with zeros; inside a transaction."""
    for number in numbers:
        row = writer.execute("SELECT length(wrapped) FROM keys WHERE number = ?", (number,)).fetchone()
        if row is not None:
            values = (_NOBODY, bytes(row[0]), number)
            writer.execute("UPDATE keys SET subject = ?, wrapped = ? WHERE number = ?", values)


def by_number(reader: sqlite3.Connection, number: int) -> WrappedKey | None:
    """Return a key, also a destroyed one; None when there never was one."""
    row = reader.execute("SELECT subject, wrapped FROM keys WHERE number = ?", (number,)).fetchone()
    if row is None:
        return None
    return WrappedKey(number, row[0], b"" if row[0] == _NOBODY else row[1])


def by_numbers(reader: sqlite3.Connection, numbers: Iterable[int]) -> Iterator[WrappedKey]:
    """Yield the keys of these numbers that there are or were."""
    query = "SELECT number, subject, wrapped FROM keys WHERE number IN ({values})"
    for number, subject, wrapped in sqlite_many.read(reader, query, numbers):
        yield WrappedKey(number, subject, b"" if subject == _NOBODY else wrapped)


def by_subject(reader: sqlite3.Connection, subject: bytes) -> WrappedKey | None:
    """Return the key of a subject; None when there is none."""
    query = "SELECT number, wrapped FROM keys WHERE subject = ? ORDER BY number DESC LIMIT 1"
    row = reader.execute(query, (subject,)).fetchone()
    return None if row is None else WrappedKey(row[0], subject, row[1])


def by_subjects(reader: sqlite3.Connection, subjects: Iterable[bytes]) -> Iterator[WrappedKey]:
    """Yield the keys of these subjects, as far as there are any."""
    query = "SELECT max(number), subject, wrapped FROM keys WHERE subject IN ({values}) GROUP BY subject"
    for row in sqlite_many.read(reader, query, subjects):
        yield WrappedKey(*row)


def all_kept(reader: sqlite3.Connection) -> Iterator[WrappedKey]:
    """Yield every key that was not destroyed, in order."""
    for row in reader.execute("SELECT number, subject, wrapped FROM keys ORDER BY number"):
        if row[1] != _NOBODY:
            yield WrappedKey(*row)


def last_number(reader: sqlite3.Connection) -> int:
    """Return the highest number; 0 when there is none."""
    return int(reader.execute("SELECT coalesce(max(number), 0) FROM keys").fetchone()[0])
