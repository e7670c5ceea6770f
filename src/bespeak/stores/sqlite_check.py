"""The whole log looked at, row by row, going on behind what is damaged; `sqlite_log.read` stops there."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from bespeak.clock import Instant
from bespeak.errors import CorruptLog
from bespeak.stores.gaps import is_gap, solve
from bespeak.stores.sqlite_file import TROUBLE
from bespeak.stores.sqlite_log import START_CRC, chain, start_of_log
from bespeak.stores.store import LogRow

Advance: TypeAlias = Callable[[int, int], None]
"""Told how far it is: offsets looked at, and offsets in all."""

_FILE_PROBLEMS = 20
_COUNT_MAX = 1_000_000
"""Records that a damaged row is believed to have held, if it says so; the row behind it knows better."""

_COLUMNS = "first, count, received, payload, crc"


class BadRow(msgspec.Struct, frozen=True, kw_only=True):
    """A place of the log that does not hold what was written there.

    Parameters
    ----------
    first, last
        The offsets of the records that stood there.
    place
        Row of the table `log` in the file; None where no row is left.
    whole
        Whether only the CRC itself is wrong: the row behind it vouches for the content, and nothing is lost.
    received
        When the row came, as far as that can be read.
    data
        The bytes that stand there now.
    """

    first: int
    last: int
    place: int | None
    reason: str
    whole: bool = False
    received: Instant | None = None
    data: bytes = b""


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at the whole log found.

    Parameters
    ----------
    last
        Offset of the newest record that can be read.
    checkpoint
        Offset that the checkpoint includes.
    dropped
        The last offset whose row was dropped for its age; 0 when the log begins with its first.
    gaps
        First and last offset of what earlier repairs have skipped.
    file
        What SQLite itself says about the file; empty when it is in order.
    """

    rows: int
    records: int
    last: int
    checkpoint: int
    dropped: int = 0
    bad: tuple[BadRow, ...] = ()
    gaps: tuple[tuple[int, int], ...] = ()
    file: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether everything is what was written."""
        return not self.bad and not self.file


class Mend(msgspec.Struct, frozen=True):
    """What a repair writes: the CRC that the row at `first` to `last` must come to; None at the end of the log.

    `before` is the CRC that the row before it has, and `received` the instant that it is given.
    """

    first: int
    last: int
    before: int
    needed: int | None
    received: Instant
    whole: bool


class _Row(msgspec.Struct, frozen=True):
    place: int
    count: object = None
    received: object = None
    payload: object = None
    crc: object = None
    trouble: str = ""


def check_log(reader: sqlite3.Connection, progress: Advance | None = None) -> tuple[Checked, tuple[Mend, ...]]:
    """Look at every row, and at the file; nothing is changed.

    Returns
    -------
    What was found, and what would mend it.
    """
    walk = _Walk(_included(reader), *_start(reader))
    end = _end(reader)
    for row in _rows(reader, end):
        walk.take(row)
        if progress is not None:
            progress(min(walk.expected - 1, end), end)
    walk.finish()
    return walk.answer(_file_problems(reader)), walk.mends()


class _Walk:
    """Goes along the chain; `ends` are the CRCs that the row before may have had, None when nobody knows."""

    def __init__(self, checkpoint: int, dropped: int, crc: int) -> None:
        self.expected = dropped + 1
        self._ends: tuple[int, ...] | None = (crc,)
        self._checkpoint = checkpoint
        self._dropped = dropped
        self._sound = crc
        self._received: Instant = 0
        self._rows = self._records = 0
        self._bad: list[BadRow] = []
        self._open: list[BadRow] = []
        self._gaps: list[tuple[int, int]] = []
        self._mends: list[Mend] = []

    def take(self, row: _Row) -> None:
        if self._open and row.place <= self._open[-1].last:
            # A damaged row said that it held more than it did: the next row knows better.
            self._open[-1] = msgspec.structs.replace(self._open[-1], last=row.place - 1)
            self.expected = row.place
        if row.place > self.expected:
            reason = f"{_span(self.expected, row.place - 1)} gone: no row holds them"
            self._open.append(BadRow(first=self.expected, last=row.place - 1, place=None, reason=reason))
            self._ends = None
        log_row, reason = _readable(row)
        if log_row is None:
            self._damaged(row, reason)
            self._ends = None
            return
        stored = int(row.crc) if isinstance(row.crc, int) else -1
        before = self._before(log_row, stored)
        if before is None:
            said = tuple(chain(end, log_row) for end in self._ends or ())
            self._damaged(row, f"CRC {said[0]:08x}, expected {stored:08x}: it was changed or torn")
            self._ends = (stored, *said)
            return
        self._good(log_row, stored, before)

    def finish(self) -> None:
        """Note what is missing at the end: the checkpoint includes it, so it was there."""
        if self._checkpoint >= self.expected:
            reason = f"{_span(self.expected, self._checkpoint)} gone: the checkpoint includes them, and the log ends"
            self._open.append(BadRow(first=self.expected, last=self._checkpoint, place=None, reason=reason))
        self._close(None)

    def answer(self, file: tuple[str, ...]) -> Checked:
        return Checked(
            rows=self._rows,
            records=self._records,
            last=self.expected - 1,
            checkpoint=self._checkpoint,
            dropped=self._dropped,
            bad=tuple(self._bad),
            gaps=tuple(self._gaps),
            file=file,
        )

    def mends(self) -> tuple[Mend, ...]:
        return tuple(self._mends)

    def _before(self, row: LogRow, stored: int) -> int | None:
        """Return the CRC of the row before that makes this one right; None when none does."""
        if self._ends is None:
            return solve(lambda end: chain(end, row), stored)
        return next((end for end in self._ends if chain(end, row) == stored), None)

    def _good(self, row: LogRow, stored: int, before: int) -> None:
        self._close(before)
        self._ends, self._sound, self._received = (stored,), stored, row.received
        self.expected = row.first + row.count
        self._rows += 1
        if is_gap(row):
            self._gaps.append((row.first, row.first + row.count - 1))
        else:
            self._records += row.count

    def _damaged(self, row: _Row, reason: str) -> None:
        count = row.count if isinstance(row.count, int) and 1 <= row.count <= _COUNT_MAX else 1
        last = row.place + count - 1
        self._open.append(
            BadRow(
                first=row.place,
                last=last,
                place=row.place,
                reason=reason,
                received=row.received if isinstance(row.received, int) else None,
                data=row.payload if isinstance(row.payload, bytes) else b"",
            )
        )
        self.expected = last + 1

    def _close(self, needed: int | None) -> None:
        """End a run of damaged rows: now it is known what the sound row behind them is chained to."""
        if not self._open:
            return
        first, last = self._open[0].first, self._open[-1].last
        whole = len(self._open) == 1 and needed is not None and self._ends is not None and needed != self._ends[0]
        if whole:
            reason = "only its CRC was changed: the row behind it vouches for the content"
            self._open = [msgspec.structs.replace(self._open[0], whole=True, reason=reason)]
        self._bad += self._open
        self._open = []
        self._mends.append(Mend(first, last, self._sound, needed, self._received, whole))


def _readable(row: _Row) -> tuple[LogRow | None, str]:
    if row.trouble:
        return None, f"cannot be read: {row.trouble}"
    if not (isinstance(row.count, int) and isinstance(row.received, int) and isinstance(row.crc, int)):
        return None, "is not made of numbers"
    if not isinstance(row.payload, bytes):
        return None, "has no payload"
    if row.count < 1:
        return None, f"says that it holds {row.count} records"
    return LogRow(row.place, row.count, row.received, row.payload), ""


def _rows(reader: sqlite3.Connection, end: int) -> Iterator[_Row]:
    """Yield every row in order, going on behind what SQLite cannot read."""
    after = -(2**62)
    query = f"SELECT {_COLUMNS} FROM log WHERE first > ? ORDER BY first"  # noqa: S608  our own names
    while True:
        try:
            for first, count, received, payload, crc in reader.execute(query, (after,)):
                yield _Row(first, count, received, payload, crc)
                after = first
            return
        except TROUBLE as error:
            found = _next_place(reader, after, end)
            if found is None:
                return
            if _is_readable(reader, found):
                after = found - 1
            else:
                yield _Row(found, trouble=str(error))
                after = found


def _next_place(reader: sqlite3.Connection, after: int, end: int) -> int | None:
    """Return the first row behind `after` whose place can be read; None when none can up to `end`."""
    low, high = after, max(after, end) + 1  # nothing can be read right behind `low`; assume that it can before `high`
    found: int | None = None
    while high - low >= 1:
        middle = (low + high) // 2
        place = _place(reader, middle)
        if place is None:
            low = middle + 1
        else:
            found, high = place, middle
    return found


def _place(reader: sqlite3.Connection, after: int) -> int | None:
    try:
        row = reader.execute("SELECT first FROM log WHERE first > ? ORDER BY first LIMIT 1", (after,)).fetchone()
    except TROUBLE:
        return None
    return row[0] if row else None


def _is_readable(reader: sqlite3.Connection, place: int) -> bool:
    try:
        reader.execute(f"SELECT {_COLUMNS} FROM log WHERE first = ?", (place,)).fetchone()  # noqa: S608
    except TROUBLE:
        return False
    return True


def _end(reader: sqlite3.Connection) -> int:
    try:
        row = reader.execute("SELECT first, count FROM log ORDER BY first DESC LIMIT 1").fetchone()
    except TROUBLE:
        return 0
    return row[0] + row[1] - 1 if row and isinstance(row[1], int) else 0


def _included(reader: sqlite3.Connection) -> int:
    try:
        row = reader.execute("SELECT value FROM meta WHERE key = 'checkpoint'").fetchone()
    except TROUBLE:
        return 0
    return row[0] if row and isinstance(row[0], int) else 0


def _start(reader: sqlite3.Connection) -> tuple[int, int]:
    try:
        return start_of_log(reader)
    except (*TROUBLE, CorruptLog):
        return 0, START_CRC


def _file_problems(reader: sqlite3.Connection) -> tuple[str, ...]:
    try:
        said = [str(row[0]) for row in reader.execute(f"PRAGMA quick_check({_FILE_PROBLEMS})")]
    except TROUBLE as error:
        return (str(error),)
    return tuple(one for one in said if one != "ok")


def _span(first: int, last: int) -> str:
    return f"offset {first} is" if first == last else f"offsets {first} to {last} are"
