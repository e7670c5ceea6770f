"""The time of a row, as a map describes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from bespeak.clock import SECOND, Instant, from_datetime, parse_time
from bespeak.sources.fields import CellError, Values, reader, shown
from bespeak.sources.import_map import Section, Time

_REMEMBERED = 65_536
"""Files repeat their times: of a day's resolution there are few, and strptime is slow."""
_FIRST = parse_time("0001-01-02T00:00:00Z")
_LAST = parse_time("9999-12-30T00:00:00Z")


def time_reader(time: Time, section: Section) -> Callable[[Values], Instant]:
    """Return the function that reads the time of a row; it raises `CellError`."""
    read = reader(time.spec(), section)
    layouts = (time.format,) if isinstance(time.format, str) else time.format
    zone = ZoneInfo(time.zone)
    where = time.column or time.template or "time"
    columns = tuple(time.spec().columns()) if section.format == "delimited" else ()
    known: dict[tuple[object, ...], Instant] = {}

    def slow(values: Values) -> Instant:
        value = read(values)
        text = value if isinstance(value, str) else repr(value)
        for layout in layouts:
            try:
                at = _parse(text, layout, zone)
            except (ValueError, OverflowError):
                continue
            if _FIRST <= at <= _LAST:
                return at
        raise CellError(where, f"a time as {' or '.join(layouts)}", shown(value))

    def instant(values: Values) -> Instant:
        cells = tuple([values[column] for column in columns])
        at = known.get(cells)
        if at is None:
            at = slow(values)
            if len(known) < _REMEMBERED:
                known[cells] = at
        return at

    return instant if columns else slow


def _parse(text: str, layout: str, zone: ZoneInfo) -> Instant:
    if layout == "unix":
        return int(text) * SECOND if text.isdecimal() else round(float(text) * SECOND)
    if layout == "unix_ms":
        return round(float(text) * 1_000)
    moment = datetime.fromisoformat(text.strip()) if layout == "iso" else datetime.strptime(text, layout)  # noqa: DTZ007 - the zone follows
    return from_datetime(moment if moment.tzinfo is not None else moment.replace(tzinfo=zone))
