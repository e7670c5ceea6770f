"""The log in SQLite: rows chained by CRC, so that a torn, changed, missing or swapped row is found."""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from bespeak.clock import Instant
from bespeak.errors import CorruptLog
from bespeak.stores import sqlite_many
from bespeak.stores.store import LogRow

_chained = struct.Struct("<Iqqq")

START_CRC = 0
"""What the first row is chained to."""


def chain(previous: int, row: LogRow) -> int:
    """Return the CRC-32 of a row, over the CRC of the row before it and everything in this one."""
    return zlib.crc32(row.payload, zlib.crc32(_chained.pack(previous, row.first, row.count, row.received)))


def append(writer: sqlite3.Connection, rows: Sequence[LogRow], crc: int) -> int:
    """Write rows behind the one whose CRC is `crc`, and return the CRC of the last; inside a transaction."""
    values: list[tuple[int, int, int, int, bytes]] = []
    for row in rows:
        crc = chain(crc, row)
        values.append((row.first, row.count, row.received, crc, row.payload))
    sqlite_many.put(writer, "INSERT INTO log (first, count, received, crc, payload)", values)
    return crc


def start_of_log(reader: sqlite3.Connection) -> tuple[int, int]:
    """Return the last offset that was dropped and the CRC that its row had; (0, START_CRC) when none was."""
    query = "SELECT key, value FROM meta WHERE key IN ('dropped', 'dropped_crc')"
    held: dict[str, object] = dict(reader.execute(query))
    if not held:
        return 0, START_CRC
    offset, crc = held.get("dropped"), held.get("dropped_crc")
    if not isinstance(offset, int) or not isinstance(crc, int):
        raise CorruptLog("log: what its first row is chained to is not made of numbers")
    return offset, crc


def drop(writer: sqlite3.Connection, upto: int, before: Instant, *, rows: int) -> tuple[int, bool]:
    """Drop rows from the beginning, and keep the CRC that the next one is chained to; inside a transaction.

    Returns
    -------
    The last offset dropped by now, and whether more may be.

    Raises
    ------
    CorruptLog
        The log does not begin where it should.
    """
    last, crc = start_of_log(writer)
    count = 0
    for row in writer.execute("SELECT first, count, received, crc FROM log ORDER BY first LIMIT ?", (rows,)).fetchall():
        if not all(isinstance(value, int) for value in row) or row[0] != last + 1:
            raise CorruptLog(f"log: expected a row from offset {last + 1}, found one from {row[0]!r}")
        end = row[0] + row[1] - 1
        if end > upto or row[2] >= before:
            break
        last, crc = end, row[3]
        count += 1
    if count:
        writer.execute("DELETE FROM log WHERE first <= ?", (last,))
        writer.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", (("dropped", last), ("dropped_crc", crc)))
    return last, count == rows


def end_of_log(reader: sqlite3.Connection) -> tuple[int, int]:
    """Return the last offset and the CRC of the last row, also where it was dropped; (0, START_CRC) without any."""
    row = reader.execute("SELECT first, count, crc FROM log ORDER BY first DESC LIMIT 1").fetchone()
    if row is None:
        return start_of_log(reader)
    if not all(isinstance(value, int) for value in row):
        raise CorruptLog(f"log: its last row, from offset {row[0]!r}, is not made of numbers")
    return row[0] + row[1] - 1, row[2]


def read(reader: sqlite3.Connection, after: int) -> Iterator[LogRow]:
    """Yield the rows that hold records with offset > `after`, each checked against the one before.

    Raises
    ------
    CorruptLog
        A row is missing, torn or changed; the message names it. The rows before it have been given.
    """
    expected, crc = _before(reader, after)
    query = "SELECT first, count, received, payload, crc FROM log WHERE first >= ? ORDER BY first"
    cursor = reader.execute(query, (expected,))
    while True:
        try:
            found = cursor.fetchone()
        except sqlite3.OperationalError:
            raise
        except (sqlite3.DatabaseError, UnicodeError) as error:
            raise CorruptLog(f"log: cannot read the row from offset {expected}: {error}") from error
        if found is None:
            return
        row, crc = _checked(found, expected, crc)
        expected = row.first + row.count
        if expected > after + 1:
            yield row


def _before(reader: sqlite3.Connection, after: int) -> tuple[int, int]:
    """Return where the row that holds `after` begins (as the row before it says), and what it is chained to."""
    query = "SELECT first, count, crc FROM log WHERE first <= ? ORDER BY first DESC LIMIT 2"
    rows = reader.execute(query, (max(after, 1),)).fetchall()
    if len(rows) < 2:
        start, crc = start_of_log(reader)
        return start + 1, crc
    first, count, crc = rows[1]
    if not isinstance(count, int) or not isinstance(crc, int):
        raise CorruptLog(f"log: the row from offset {first} is not made of numbers")
    return first + count, crc


def _checked(found: tuple[object, ...], expected: int, crc: int) -> tuple[LogRow, int]:
    first, count, received, payload, stored = found
    if not (isinstance(first, int) and isinstance(count, int) and isinstance(received, int)):
        raise CorruptLog(f"log: the row from offset {expected} is not made of numbers")
    if not isinstance(payload, bytes) or not isinstance(stored, int):
        raise CorruptLog(f"log: the row from offset {expected} has no payload or no CRC")
    if first != expected:
        raise CorruptLog(f"log: expected a row from offset {expected}, found one from {first}: what is between is gone")
    row = LogRow(first, count, received, payload)
    computed = chain(crc, row)
    if computed != stored:
        raise CorruptLog(
            f"log: the row from offset {first} to {first + count - 1} has CRC {computed:08x}, expected {stored:08x};"
            " it was changed or torn, or the row before it was",
        )
    return row, computed


def ends(connection: sqlite3.Connection, path: Path) -> tuple[int, int, int]:
    """Return the log's last offset and CRC, and the offset that the checkpoint includes."""
    last, crc = end_of_log(connection)
    found = connection.execute("SELECT value FROM meta WHERE key = 'checkpoint'").fetchone()
    if found is None or not isinstance(found[0], int):
        raise CorruptLog(f"{path} does not say which offset its checkpoint includes")
    if found[0] > last:
        raise CorruptLog(f"log: it ends at offset {last}, but the checkpoint of {path} includes {found[0]}")
    return last, crc, found[0]
