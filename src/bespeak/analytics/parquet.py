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

from bespeak.analytics.columns import COLUMNS, MONEY, Column
from bespeak.analytics.rows import Row
from bespeak.errors import StoreError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

AT_ONCE: Final = 2_000
"""Rows handed to DuckDB in one statement."""

_LINES = [{"item": "VARCHAR", "category": "VARCHAR", "price": MONEY, "quantity": MONEY}]
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
        self._rows: list[Row] = []
        self.rows = 0
        columns = ", ".join(f'"{column.name}" {column.kind}' for column in COLUMNS)
        self._connection.execute(f'CREATE TABLE "{name}" ({columns})')

    def add(self, row: Row) -> None:
        """Take in one row."""
        self._rows.append(row)
        self.rows += 1
        if len(self._rows) >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Hand what was taken in to DuckDB."""
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        values = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))
        filled = [column for column in COLUMNS if values[column].count(None) < len(rows)]
        body = _encode({column.name: values[column] for column in filled}).decode()
        structure = _encode({column.name: _structure(column) for column in filled}).decode()
        self._connection.execute(_insert(self._name, filled), [body, structure])

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


def _structure(column: Column) -> object:
    if column.name == "lines":
        return [_LINES]
    kind = column.wire or column.kind
    return [[kind.removesuffix("[]")]] if kind.endswith("[]") else [kind]


def _value(column: Column) -> str:
    value = f'unnest(c."{column.name}")'
    match column.kind:
        case "TIMESTAMP":
            return f"make_timestamp({value})"
        case "DATE":
            return f"DATE '1970-01-01' + {value}"
        case _:
            return value


def _insert(name: str, columns: Iterable[Column]) -> str:
    """Return the statement that adds rows from arrays by column; a column that is not among them stays NULL."""
    values = ", ".join(f'{_value(column)} AS "{column.name}"' for column in columns)
    return f'INSERT INTO "{name}" BY NAME SELECT {values} FROM (SELECT json_transform_strict(?, ?) AS c)'  # noqa: S608
