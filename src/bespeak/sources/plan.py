"""An import put in order: every record read once, packed, sorted by time, and named so that it is known again.

The message id of a record is

    imp-[SEQUENCE-]RANK-DIGEST

RANK counts the records of one file that have the same time (and the same sequence number, which stands before
it when the map names a sequence column), in the order of the file, so that ids of the same time sort as the file
does. DIGEST is BLAKE2b-80 of the name of the map, the label of the section and the cells as they stand in the
file. So the id depends on nothing but the source, the content and the place among equals: the same file again,
under another name, compressed, or with rows appended, gives each row the id it had.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bespeak.catalog.item import Item
from bespeak.clock import Instant
from bespeak.errors import TooLarge
from bespeak.events import Event
from bespeak.sources.build import EventBuilder, ItemBuilder, Moment, MomentBuilder
from bespeak.sources.fields import CellError, Values
from bespeak.sources.import_map import ImportMap, Target
from bespeak.sources.limits import ImportLimits
from bespeak.sources.rejected import RejectedLine
from bespeak.sources.rows import Position, Reading, Row, read_file, readings
from bespeak.sources.tables import Joins, Table, tables_of

Reject = Callable[[RejectedLine], None]

_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_DECODER = msgspec.msgpack.Decoder()
_STEP = 1_000


class _Source:
    """One reading with what is made of its rows."""

    def __init__(
        self,
        reading: Reading,
        import_map: ImportMap,
        limits: ImportLimits,
        tables: Mapping[str, Table],
        *,
        received: Instant,
    ) -> None:
        section = reading.section
        self.reading = reading
        self.target: Target = section.target
        self.group_by = None if section.group is None else section.group.by
        self.keyed = section.format == "json_lines"
        self.columns: tuple[str, ...] = ()
        self.moments = MomentBuilder(section, received)
        self.events = EventBuilder(section, limits, source=_source_of(import_map), received=received)
        self.items = None if section.item is None else ItemBuilder(section.item, section)
        self.table = tables.get(section.label)
        self.joined = Joins(section, tables).joined
        self._seed = hashlib.blake2b(
            _ENCODER.encode((import_map.name, section.label)), digest_size=10, person=b"bespeak.import"
        )

    def pack(self, rows: Sequence[Values]) -> bytes:
        return _ENCODER.encode(list(rows) if self.keyed else [list(values.values()) for values in rows])

    def unpack(self, packed: bytes) -> list[Values]:
        rows: list[Any] = _DECODER.decode(packed)
        return rows if self.keyed else [dict(zip(self.columns, cells, strict=True)) for cells in rows]

    def digest(self, packed: bytes) -> str:
        state = self._seed.copy()
        state.update(packed)
        return state.hexdigest()


class _Records:
    """Packed records, and what they are sorted by."""

    def __init__(self) -> None:
        self.times = array("q")
        self.orders = array("q")
        self.sources = array("q")
        self.lines = array("q")
        self.starts = array("q")
        self.packed = bytearray()

    def add(self, moment: Moment, source: int, line: int, packed: bytes) -> None:
        self.times.append(moment.time)
        self.orders.append(moment.order)
        self.sources.append(source)
        self.lines.append(line)
        self.starts.append(len(self.packed))
        self.packed += packed

    def record(self, index: int) -> bytes:
        end = self.starts[index + 1] if index + 1 < len(self.starts) else len(self.packed)
        return bytes(memoryview(self.packed)[self.starts[index] : end])


class Plan:
    """What an import will do: its items, and its events in the order of time.

    `load` first, to its end; then `items` and `events`. Lines that cannot be used go to `reject` as they are met.
    """

    def __init__(self, sources: Sequence[_Source], limits: ImportLimits, reject: Reject) -> None:
        self._sources = sources
        self._limits = limits
        self._reject = reject
        self._records = _Records()
        self._items: dict[str, Item] = {}
        self._described: dict[str, Item] = {}
        self.read: dict[Target, int] = {}
        self.rejected = 0
        self.item_rows = 0
        self.bytes_total = sum(source.reading.path.stat().st_size for source in sources)

    def load(self) -> Iterator[int]:
        """Read every file; yield the bytes read so far, about every thousand rows.

        Raises
        ------
        InvalidInput
            A file cannot be read, is not in its encoding, or lacks a column that the map names.
        TooLarge
            There is more than an import may hold; nothing was imported.
        """
        before = 0
        for number, source in enumerate(self._sources):
            position = Position()
            open_rows: list[Row] = []
            rows = read_file(source.reading, self._limits, position)
            for count, row in enumerate(rows):
                if count % _STEP == 0:
                    yield before + position.bytes_read
                if isinstance(row, RejectedLine):
                    self._count(source.target)
                    self._refuse(row)
                elif source.table is not None:
                    self._add_to_table(source, source.table, row)
                elif source.target == "items" and source.items is not None:
                    self._add_item(source, source.items, row)
                else:
                    self._add_row(source, number, open_rows, row)
            self._close(source, number, open_rows)
            before += source.reading.path.stat().st_size
        yield before

    def items(self) -> tuple[Item, ...]:
        """Return the items of item files, each as its last row says."""
        return tuple(self._items.values())

    def described(self) -> tuple[Item, ...]:
        """Return the items that no item file names, each as the first event about it says."""
        return tuple(item for item in self._described.values() if item.id not in self._items)

    @property
    def records(self) -> int:
        """Number of records that events will be made of."""
        return len(self._records.times)

    def events(self) -> Iterator[Event]:
        """Yield the events in the order of time, then of sequence, then of the files."""
        records = self._records
        order, ranks = _order(records)
        for index in order:
            source = self._sources[records.sources[index]]
            packed = records.record(index)
            moment = Moment(records.times[index], records.orders[index])
            sequence = f"{moment.order:012d}-" if source.moments.ordered else ""
            message_id = f"imp-{sequence}{ranks[index]:08d}-{source.digest(packed)}"
            rows = source.unpack(packed)
            try:
                yield source.events.build([source.joined(values) for values in rows], moment, message_id)
            except CellError as error:
                self._refuse_cells(source, records.lines[index], rows, error)

    def _add_to_table(self, source: _Source, table: Table, row: Row) -> None:
        """Take in a row that others look up: no record, unless it has to be rejected."""
        try:
            table.add(row.values)
        except CellError as error:
            self._count(source.target)
            self._refuse_cells(source, row.line_number, [row.values], error)

    def _add_item(self, source: _Source, builder: ItemBuilder, row: Row) -> None:
        self._count("items")
        try:
            item = builder.build(source.joined(row.values))
        except CellError as error:
            self._refuse_cells(source, row.line_number, [row.values], error)
            return
        self.item_rows += 1
        self._items[item.id] = item
        self._check_items()

    def _add_row(self, source: _Source, number: int, open_rows: list[Row], row: Row) -> None:
        if not source.columns:
            source.columns = tuple(row.values)
        key = source.group_by
        if key is None:
            self._take(source, number, [row.values], row.line_number)
            return
        if open_rows:
            first = open_rows[0].values.get(key)
            if not first or first != row.values.get(key) or len(open_rows) >= self._limits.group_rows:
                self._close(source, number, open_rows)
        open_rows.append(row)

    def _close(self, source: _Source, number: int, open_rows: list[Row]) -> None:
        """Take the rows that stand open as one record."""
        if open_rows:
            self._take(source, number, [row.values for row in open_rows], open_rows[0].line_number)
            open_rows.clear()

    def _take(self, source: _Source, number: int, rows: list[Values], line: int) -> None:
        self._count(source.target)
        try:
            joined = [source.joined(values) for values in rows]
            moment = source.moments.build(joined[0])
            self._describe(source, joined)
        except CellError as error:
            self._refuse_cells(source, line, rows, error)
            return
        self._records.add(moment, number, line, source.pack(rows))
        if self.records > self._limits.records or len(self._records.packed) > self._limits.record_bytes:
            raise self._too_many()

    def _describe(self, source: _Source, rows: Sequence[Values]) -> None:
        if source.items is None:
            return
        for values in rows:
            item_id = source.items.id(values)
            if item_id is not None and item_id not in self._described:
                self._described[item_id] = source.items.build(values)
                self._check_items()

    def _too_many(self) -> TooLarge:
        return TooLarge(
            f"an import holds at most {self._limits.records:,} records, packed at most "
            f"{self._limits.record_bytes:,} bytes: import it in parts, the oldest first"
        )

    def _check_items(self) -> None:
        if len(self._items) + len(self._described) > self._limits.items:
            raise TooLarge(f"an import holds at most {self._limits.items:,} items: import them in parts")

    def _count(self, target: Target) -> None:
        self.read[target] = self.read.get(target, 0) + 1

    def _refuse(self, rejected: RejectedLine) -> None:
        self.rejected += 1
        self._reject(rejected)

    def _refuse_cells(self, source: _Source, line: int, rows: Sequence[Values], error: CellError) -> None:
        row: object = rows[0] if len(rows) == 1 else rows
        file = str(source.reading.path)
        self._refuse(RejectedLine(file=file, line=line, reason=error.reason, problems=(error.problem,), row=row))


def plan_import(
    files: Sequence[str | Path],
    import_map: ImportMap,
    *,
    received: Instant,
    reject: Reject,
    limits: ImportLimits | None = None,
) -> Plan:
    """Return the plan of an import; nothing is read yet.

    The source of its events is `import:` and the name of the map. Duplicates are told by it and the message id.

    Parameters
    ----------
    files
        Files, or folders that stand for those of their files that the map knows.
    received
        The moment of the import: what the events say they were received.
    reject
        Called with each line that cannot be used.

    Raises
    ------
    NotFound, InvalidInput
        A file is not there, no section of the map reads it, or a table that is looked up is not given.
    """
    bounds = limits or ImportLimits()
    found = sorted(readings(files, import_map), key=lambda one: one.section.target != "table")
    tables = tables_of(found, most=bounds.items)
    return Plan([_Source(one, import_map, bounds, tables, received=received) for one in found], bounds, reject)


def _source_of(import_map: ImportMap) -> str:
    return f"import:{import_map.name}"


def _order(records: _Records) -> tuple[list[int], NDArray[np.int64]]:
    """Return the indexes of the records by time, sequence, file and row; and each record's rank among its equals."""
    count = len(records.times)
    if not count:
        return [], np.empty(0, np.int64)
    times, orders = np.array(records.times, np.int64), np.array(records.orders, np.int64)
    files = np.array(records.sources, np.int64)
    by_file = np.lexsort((orders, times, files))
    sorted_rows = np.stack((files, times, orders))[:, by_file]
    new = np.ones(count, np.bool_)
    new[1:] = (sorted_rows[:, 1:] != sorted_rows[:, :-1]).any(axis=0)
    places = np.arange(count, dtype=np.int64)
    starts = np.maximum.accumulate(np.where(new, places, 0))
    ranks = np.empty(count, np.int64)
    ranks[by_file] = places - starts
    in_time: list[int] = np.lexsort((files, orders, times)).tolist()
    return in_time, ranks
