"""Tables: rows that other rows look up by a key, such as the products behind the lines of a basket."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from sys import intern
from typing import Any

from bespeak.errors import InvalidInput, TooLarge
from bespeak.sources.fields import CellError, Values, reader, text_reader
from bespeak.sources.import_map import FieldSpec, Section
from bespeak.sources.rows import Reading


class Table:
    """The rows of a section of target `table`; of two with one key, the later.

    Parameters
    ----------
    most
        Rows that it may hold; they stand in memory while files are read.
    """

    def __init__(self, section: Section, *, most: int) -> None:
        self._names = tuple(f"{section.label}.{column}" for column in section.take)
        self._nothing: tuple[Any, ...] = (None,) * len(self._names)
        self._key_column = section.key
        self._key = text_reader(section.key, section)
        self._cells = [reader(FieldSpec(column=column), section) for column in section.take]
        self._rows: dict[str, tuple[Any, ...]] = {}
        self._most = most

    def add(self, values: Values) -> None:
        """Take in a row, or raise `CellError` where it has no key.

        Raises
        ------
        TooLarge
            It holds as many as it may.
        """
        key = self._key(values)
        if key is None:
            raise CellError(self._key_column, "a key", "nothing")
        cells = [read(values) for read in self._cells]
        self._rows[key] = tuple(intern(cell) if isinstance(cell, str) else cell for cell in cells)
        if len(self._rows) > self._most:
            raise TooLarge(f"a table that an import looks up holds at most {self._most:,} rows")

    def columns(self, key: str | None) -> Mapping[str, Any]:
        """Return the columns of a row as `TABLE.COLUMN`; each None where there is no such row."""
        cells = self._nothing if key is None else self._rows.get(key, self._nothing)
        return dict(zip(self._names, cells, strict=True))


class Joins:
    """What the rows of one section have of tables."""

    def __init__(self, section: Section, tables: Mapping[str, Table]) -> None:
        self._joins = [(text_reader(column, section), tables[table]) for table, column in section.join.items()]

    def joined(self, values: Values) -> Values:
        """Return a row with the columns of the tables that it looks up."""
        for key, table in self._joins:
            values = {**values, **table.columns(key(values))}
        return values


def tables_of(found: Iterable[Reading], *, most: int) -> dict[str, Table]:
    """Return a table, still empty, for each section that is one, by its label.

    Raises
    ------
    InvalidInput
        What is read looks something up in a file that is not given.
    """
    sections = {reading.section.label: reading.section for reading in found}
    tables = {label: Table(one, most=most) for label, one in sections.items() if one.target == "table"}
    for label, section in sections.items():
        missing = sorted(section.join.keys() - tables.keys())
        if missing:
            raise InvalidInput(f"{label} looks things up in the table {missing[0]!r}: give its file, too")
    return tables
