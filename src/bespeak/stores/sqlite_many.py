"""Many rows by few statements: each statement gives the interpreter away, and has to wait until it comes back.

A row written by a statement of its own took 120 us beside a busy thread, and takes 17 in a statement with others.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Final, TypeAlias

ROWS_AT_ONCE: Final = 100
"""Rows written by one statement; SQLite takes 32,766 values."""

Value: TypeAlias = int | str | bytes | None


def put(writer: sqlite3.Connection, insert: str, rows: Iterable[Sequence[Value]], then: str = "") -> None:
    """Write rows of equal width: `insert` is a statement up to `VALUES`, and `then` what follows the values."""
    waiting = iter(rows)
    while some := list(islice(waiting, ROWS_AT_ONCE)):
        row = f"({', '.join('?' * len(some[0]))})"
        writer.execute(f"{insert} VALUES {', '.join([row] * len(some))} {then}", list(chain.from_iterable(some)))


def each(writer: sqlite3.Connection, statement: str, values: Iterable[Value]) -> None:
    """Run a statement for many values: `{values}` in it becomes `VALUES (?), ...`, a table of one column."""
    waiting = iter(values)
    while some := list(islice(waiting, ROWS_AT_ONCE)):
        writer.execute(statement.format(values=f"VALUES {', '.join(['(?)'] * len(some))}"), some)


def read(reader: sqlite3.Connection, query: str, values: Iterable[Value]) -> Iterator[tuple[Any, ...]]:
    """Yield what a query finds for many different values: `{values}` in it becomes `?, ?, ...`."""
    waiting = iter(values)
    while some := list(islice(waiting, ROWS_AT_ONCE)):
        yield from reader.execute(query.format(values=", ".join("?" * len(some))), some).fetchall()
