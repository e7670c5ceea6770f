"""A checkpoint written in parts: its rows take their places one part after the other, and count together.

What stood where a part writes is put aside in the table `undone`. Until the checkpoint comes, readers see that in the
place of the rows (`see_through`); with it, what was put aside goes. Parts whose checkpoint never came are undone by the
next one's first part. So no transaction is long, and none of this needs a write when a store is opened.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from bespeak.ids import ProfileId
from bespeak.stores import sqlite_many
from bespeak.stores.store import ProfileRow

SCHEMA = """
CREATE TABLE undone (id TEXT PRIMARY KEY, next_flip_at INTEGER, data BLOB);
CREATE INDEX undone_due ON undone (next_flip_at, id) WHERE next_flip_at IS NOT NULL AND data IS NOT NULL
"""
"""What stood in `profiles`; no data where nothing stood."""

_ASIDE = (
    "INSERT INTO undone (id, next_flip_at, data)"
    " SELECT column1, next_flip_at, profiles.data FROM ({values}) LEFT JOIN profiles ON profiles.id = column1"
    " WHERE true ON CONFLICT (id) DO NOTHING"
)
_PUT = "INSERT INTO profiles (id, next_flip_at, data)"
_REPLACE = "ON CONFLICT (id) DO UPDATE SET next_flip_at = excluded.next_flip_at, data = excluded.data"
_BRING_BACK = f"{_PUT} SELECT id, next_flip_at, data FROM undone WHERE data IS NOT NULL {_REPLACE}"  # noqa: S608  our own names
_REMOVE = "DELETE FROM profiles WHERE id IN ({values}) AND id NOT IN (SELECT id FROM undone)"

_VIEW = """
CREATE TEMP VIEW profiles AS
    SELECT id, next_flip_at, data FROM main.profiles AS now
    WHERE NOT EXISTS (SELECT 1 FROM main.undone AS was WHERE was.id = now.id)
    UNION ALL SELECT id, next_flip_at, data FROM main.undone WHERE data IS NOT NULL
"""


def make(writer: sqlite3.Connection) -> None:
    """Make the table; inside a transaction."""
    for statement in SCHEMA.split(";"):
        writer.execute(statement)


def see_through(reader: sqlite3.Connection) -> None:
    """Let a reader see the profiles of the checkpoint in force, whatever parts of the next one are written.

    To be called before the reader is held to reading. In a file of before there were parts there is nothing to hide.
    """
    if reader.execute("SELECT 1 FROM main.sqlite_master WHERE name = 'undone'").fetchone() is not None:
        reader.execute(_VIEW)


def put(writer: sqlite3.Connection, rows: Sequence[ProfileRow]) -> None:
    """Write a part, after putting aside what stands there; inside a transaction."""
    sqlite_many.each(writer, _ASIDE, [row.id for row in rows])
    put_rows(writer, rows)


def put_rows(writer: sqlite3.Connection, rows: Sequence[ProfileRow]) -> None:
    """Write rows over those of the same ids; inside a transaction."""
    sqlite_many.put(writer, _PUT, ((row.id, row.next_flip_at, row.data) for row in rows), _REPLACE)


def remove(writer: sqlite3.Connection, ids: Sequence[ProfileId]) -> None:
    """Remove rows that no part of this checkpoint has written; inside a transaction."""
    sqlite_many.each(writer, _REMOVE, ids)


def undo(writer: sqlite3.Connection) -> None:
    """Bring back what stood where parts have written; inside a transaction."""
    if writer.execute("SELECT 1 FROM undone LIMIT 1").fetchone() is None:
        return
    writer.execute("DELETE FROM profiles WHERE id IN (SELECT id FROM undone WHERE data IS NULL)")
    writer.execute(_BRING_BACK)
    end(writer)


def end(writer: sqlite3.Connection) -> None:
    """Let the parts count; inside a transaction."""
    writer.execute("DELETE FROM undone")
