"""The log in SQLite: rows chained by CRC, so that a torn, changed, missing or swapped row is found."""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections.abc import Iterator, Sequence

from bespeak.errors import CorruptLog
from bespeak.stores.store import LogRow

_chained = struct.Struct("<Iqqq")

START_CRC = 0
"""What the first row is chained to."""

ROWS_AT_ONCE = 32
"""Rows written by one statement: each statement gives the interpreter away, and has to wait until it comes back."""


def chain(previous: int, row: LogRow) -> int:
    """Return the CRC-32 of a row, over the CRC of the row before it and everything in this one."""
    return zlib.crc32(row.payload, zlib.crc32(_chained.pack(previous, row.first, row.count, row.received)))


def append(writer: sqlite3.Connection, rows: Sequence[LogRow], crc: int) -> int:
    """Write rows behind the one whose CRC is `crc`, and return the CRC of the last; inside a transaction."""
    values: list[tuple[int, int, int, int, bytes]] = []
    for row in rows:
        crc = chain(crc, row)
        values.append((row.first, row.count, row.received, crc, row.payload))
    for start in range(0, len(values), ROWS_AT_ONCE):
        some = values[start : start + ROWS_AT_ONCE]
        places = ", ".join(["(?, ?, ?, ?, ?)"] * len(some))
        insert = f"INSERT INTO log (first, count, received, crc, payload) VALUES {places}"  # noqa: S608
        writer.execute(insert, [value for each in some for value in each])
    return crc


def end_of_log(reader: sqlite3.Connection) -> tuple[int, int]:
    """Return the last offset and the CRC of the last row; (0, START_CRC) for an empty log."""
    row = reader.execute("SELECT first, count, crc FROM log ORDER BY first DESC LIMIT 1").fetchone()
    if row is None:
        return 0, START_CRC
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
        return 1, START_CRC
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
