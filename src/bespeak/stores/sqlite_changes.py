"""Changes of memberships in SQLite: numbered as they come, each kept once, and dropped from the oldest on.

A number is never given twice, also when the newest row is gone: whoever has read up to one misses nothing behind it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import takewhile

from bespeak.clock import Instant
from bespeak.ids import ProfileId
from bespeak.stores import sqlite_many
from bespeak.stores.store import ChangeRow

SCHEMA = """
CREATE TABLE changes (
    number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, at INTEGER NOT NULL, cause TEXT NOT NULL,
    written INTEGER NOT NULL, data BLOB NOT NULL);
CREATE UNIQUE INDEX changes_once ON changes (at, cause, name)
"""

# The index begins with the time: what is written together stands together in it. Begun with the name, a commit would
# change a page of it for each row.

_DROPPED = "changes_dropped"
"""The key in `meta` of the highest number that was dropped for its age."""

_COLUMNS = "name, at, cause, written, data, number"
_PUT = "INSERT INTO changes (name, at, cause, written, data)"
_ONCE = "ON CONFLICT (at, cause, name) DO NOTHING"


def make(writer: sqlite3.Connection) -> None:
    """Make the table; inside a transaction."""
    for statement in SCHEMA.split(";"):
        writer.execute(statement)


def stand_in(reader: sqlite3.Connection) -> None:
    """Let a reader of a file from before there were changes find none; the file stays as it is."""
    if reader.execute("SELECT 1 FROM main.sqlite_master WHERE name = 'changes'").fetchone() is not None:
        return
    reader.execute("PRAGMA query_only=0")
    reader.execute(SCHEMA.split(";", maxsplit=1)[0].replace("CREATE TABLE", "CREATE TEMP TABLE"))
    reader.execute("PRAGMA query_only=1")


def put(writer: sqlite3.Connection, rows: Sequence[ChangeRow]) -> None:
    """Add rows, but those that are there already; inside a transaction."""
    sqlite_many.put(writer, _PUT, ((row.name, row.at, row.cause, row.written, row.data) for row in rows), _ONCE)


def read(
    reader: sqlite3.Connection, after: int, limit: int, names: Sequence[ProfileId] | None
) -> tuple[ChangeRow, ...]:
    """Return the first rows behind a number, of these names (None: of all), in order."""
    whose = "" if names is None else f" AND name IN ({', '.join('?' * len(names))})"
    query = f"SELECT {_COLUMNS} FROM changes WHERE number > ?{whose} ORDER BY number LIMIT ?"  # noqa: S608  our own
    return tuple(ChangeRow(*row) for row in reader.execute(query, (after, *(names or ()), max(0, limit))))


def newest(reader: sqlite3.Connection) -> ChangeRow | None:
    """Return the newest row; None when there is none."""
    row = reader.execute(f"SELECT {_COLUMNS} FROM changes ORDER BY number DESC LIMIT 1").fetchone()  # noqa: S608
    return None if row is None else ChangeRow(*row)


def last(reader: sqlite3.Connection) -> int:
    """Return the highest number that was given so far; 0 when none was."""
    row = reader.execute("SELECT seq FROM sqlite_sequence WHERE name = 'changes'").fetchone()
    return 0 if row is None else int(row[0])


def dropped(reader: sqlite3.Connection) -> int:
    """Return the highest number that was dropped for its age; 0 when none was."""
    row = reader.execute("SELECT value FROM meta WHERE key = ?", (_DROPPED,)).fetchone()
    return 0 if row is None else int(row[0])


def drop(writer: sqlite3.Connection, upto: int, before: Instant, rows: int) -> int:
    """Drop the oldest rows, at most so many; returns how many it were. Inside a transaction."""
    query = "SELECT number, written FROM changes WHERE number <= ? ORDER BY number LIMIT ?"
    found = writer.execute(query, (upto, rows)).fetchall()
    gone = [row[0] for row in takewhile(lambda row: row[1] < before, found)]
    if gone:
        writer.execute("DELETE FROM changes WHERE number <= ?", (gone[-1],))
        writer.execute(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (_DROPPED, gone[-1]),
        )
    return len(gone)


def forget(writer: sqlite3.Connection, names: Sequence[ProfileId]) -> None:
    """Drop everything of somebody; inside a transaction."""
    sqlite_many.each(writer, "DELETE FROM changes WHERE name IN ({values})", names)
