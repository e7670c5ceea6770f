"""Rows as Parquet, by DuckDB, in memory only: what is on disk is sealed, and nothing is ever spilled there.

DuckDB writes encrypted Parquet only with an extension that it downloads at run time, or with random numbers that it
calls unsafe itself. So it writes plain Parquet to a file that has no place on any disk (`memfd_create`), and the
whole of it is sealed by us.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

import msgspec

from bespeak.analytics.columns import COLUMNS, Column
from bespeak.analytics.rows import Row
from bespeak.errors import StoreError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

AT_ONCE: Final = 4 << 20
"""Bytes of rows, as JSON, handed to DuckDB in one statement; one row more."""

_NAMES: Final = tuple(column.name for column in COLUMNS)
_encode = msgspec.json.Encoder().encode


def connect(*, threads: int, mib: int) -> DuckDBPyConnection:
    """Open a DuckDB that is all in memory: it spills nothing, fetches nothing, and sees no variable of Python's."""
    import duckdb

    return duckdb.connect(
        ":memory:",
        config={
            "threads": threads,
            "memory_limit": f"{mib}MiB",
            "temp_directory": "",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "preserve_insertion_order": "true",
        },
    )


@contextmanager
def memory_file(name: str) -> Generator[int]:
    """Give the descriptor of an empty file in memory; it goes with its last descriptor.

    Raises
    ------
    StoreError
        This system has none; Linux does.
    """
    if not hasattr(os, "memfd_create"):
        raise StoreError("the archive needs files in memory (memfd_create), which this system lacks; Linux has them")
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def path_of(descriptor: int) -> str:
    """Return a path by which this process can open a file in memory."""
    return f"/proc/self/fd/{descriptor}"


class Table:
    """Rows on their way to a Parquet file; close it, or use it in a `with`.

    Parameters
    ----------
    mib
        RAM that it may take.
    connection
        Where the table is made; by default in a DuckDB of its own.
    """

    def __init__(self, *, mib: int = 4_096, connection: DuckDBPyConnection | None = None, name: str = "events") -> None:
        self._own = connection is None
        self._connection = connection or connect(threads=1, mib=mib)
        self._name = name
        self._lines: list[bytes] = []
        self._size = 0
        self.rows = 0
        columns = ", ".join(f'"{column.name}" {column.kind}' for column in COLUMNS)
        self._connection.execute(f'CREATE TABLE "{name}" ({columns})')

    def add(self, row: Row) -> None:
        """Take in one row."""
        line = _encode({name: value for name, value in zip(_NAMES, row, strict=True) if value is not None})
        self._lines.append(line)
        self._size += len(line)
        self.rows += 1
        if self._size >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Hand what was taken in to DuckDB, which reads lines of JSON faster than any other form that we can give."""
        if not self._lines:
            return
        lines, self._lines, self._size = self._lines, [], 0
        with memory_file("rows") as given:
            if os.write(given, b"\n".join(lines)) < sum(map(len, lines)) + len(lines) - 1:
                raise StoreError("there is no room in memory for the rows of a file of the archive")
            self._connection.execute(_insert(self._name, path_of(given), max(map(len, lines))))

    def write(self, into: int) -> None:
        """Write all rows, in their order, to a file in memory."""
        self.flush()
        copy_to(self._connection, f'FROM "{self._name}"', path_of(into))

    def close(self) -> None:
        """Let go of the rows."""
        if self._own:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def copy_to(connection: DuckDBPyConnection, query: str, path: str) -> None:
    """Write the answer of a query as Parquet."""
    connection.execute(f"COPY ({query}) TO {quoted(path)} (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)")


def rewrite(source: int, into: int, *, keys: Sequence[int], ids: Sequence[str], mib: int = 4_096) -> int:
    """Copy a Parquet file in memory without some people; every other row stays as it is. Returns the rows left.

    Parameters
    ----------
    keys
        Numbers of data keys: rows that are sealed under them in the log go.
    ids
        Profile ids of the same people. By them rows of logs that are older than keys are found, as a replay of such a
        log leaves them out: a row about one of them goes, a device or former id of theirs is taken out of the others.
    """
    connection = connect(threads=1, mib=mib)
    try:
        users = _texts([one[2:] for one in ids if one.startswith("u:")])
        devices = _texts([one[2:] for one in ids if one.startswith("a:")])
        former = _texts([one[2:] for one in ids])
        numbers = ", ".join(map(str, keys)) or "-1"
        query = f"""
            SELECT * REPLACE (
                CASE WHEN data_key = 0 AND anonymous_id IN {devices} THEN NULL ELSE anonymous_id END AS anonymous_id,
                CASE WHEN data_key = 0 AND previous_id IN {former} THEN NULL ELSE previous_id END AS previous_id)
            FROM read_parquet({quoted(path_of(source))})
            WHERE data_key NOT IN ({numbers}) AND NOT (data_key = 0 AND coalesce(
                user_id IN {users} OR (user_id IS NULL AND anonymous_id IN {devices}), false))
        """  # noqa: S608  numbers, and text that is quoted
        copy_to(connection, query, path_of(into))
        counted = connection.execute(
            f"SELECT count(*) FROM read_parquet({quoted(path_of(into))})"  # noqa: S608
        ).fetchone()
        return 0 if counted is None else int(counted[0])
    finally:
        connection.close()


def quoted(text: str) -> str:
    """Return text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def _texts(values: Iterable[str]) -> str:
    return "(" + ", ".join(["NULL", *map(quoted, values)]) + ")"


def _value(column: Column) -> str:
    match column.kind:
        case "TIMESTAMP":
            return f'make_timestamp("{column.name}")'
        case "DATE":
            return f"DATE '1970-01-01' + \"{column.name}\""
        case _:
            return f'"{column.name}"'


_VALUES: Final = ", ".join(f'{_value(column)} AS "{column.name}"' for column in COLUMNS)
_TYPES: Final = ", ".join(f"{column.name}: {quoted(column.wire or column.kind)}" for column in COLUMNS)


def _insert(name: str, path: str, longest: int) -> str:
    """Return the statement that adds rows from lines of JSON; what a line does not have stays NULL."""
    form = f"format='newline_delimited', compression='uncompressed', maximum_object_size={max(AT_ONCE, longest + 1)}"
    read = f"read_json({quoted(path)}, columns={{{_TYPES}}}, {form})"
    return f'INSERT INTO "{name}" BY NAME SELECT {_VALUES} FROM {read}'  # noqa: S608  our own names
