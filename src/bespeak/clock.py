"""Time: an instant is an `int` of microseconds since 1970-01-01 UTC, a duration an `int` of microseconds.

Integers compare, subtract and index without allocation, are exact at both ends of a window, and fit
the 64 bits of every store. Text is ISO 8601 at the rim only. No pure step reads a clock: `at` is an argument.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bespeak.errors import InvalidInput

Instant = int
"""Microseconds since 1970-01-01T00:00:00Z."""
Duration = int
"""Microseconds."""

MILLISECOND: Duration = 1_000
SECOND: Duration = 1_000_000
MINUTE: Duration = 60 * SECOND
HOUR: Duration = 60 * MINUTE
DAY: Duration = 24 * HOUR
WEEK: Duration = 7 * DAY

NEVER: Instant = 2**62
"""Later than every instant: 'it will not change by itself'."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: dict[str, Duration] = {
    "millisecond": MILLISECOND,
    "second": SECOND,
    "minute": MINUTE,
    "hour": HOUR,
    "day": DAY,
    "week": WEEK,
}
_SHORT = {"ms": "millisecond", "s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week"}
_DURATION = re.compile(r"\s*(\d{1,9})\s*([a-z]+)\s*")


class Clock(Protocol):
    """Where the rim gets its time from."""

    def now(self) -> Instant:
        """Return the present instant in microseconds."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> Instant:
        """Return the present instant in microseconds."""
        return time.time_ns() // 1_000


class ManualClock:
    """A clock that stands still until it is told to move; for tests and simulated time.

    Examples
    --------
    >>> clock = ManualClock(0)
    >>> clock.advance(3 * SECOND)
    3000000
    """

    def __init__(self, at: Instant) -> None:
        self._at = at

    def now(self) -> Instant:
        """Return the instant the clock was set to."""
        return self._at

    def advance(self, duration: Duration) -> Instant:
        """Move by `duration` (it may be negative: clocks are set back) and return the new instant."""
        self._at += duration
        return self._at


@lru_cache(maxsize=1_024)
def zone_named(name: str) -> ZoneInfo | None:
    """Return the time zone of a name, as in the tz database; None when it names none.

    Examples
    --------
    >>> zone_named("Europe/Berlin"), zone_named("Berlin")
    (zoneinfo.ZoneInfo(key='Europe/Berlin'), None)
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def from_datetime(moment: datetime) -> Instant:
    """Return the instant of an aware or naive (then UTC) datetime, exactly."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def to_datetime(at: Instant) -> datetime:
    """Return the aware UTC datetime of an instant."""
    return _EPOCH + timedelta(microseconds=at)


def parse_time(text: str) -> Instant:
    """Read ISO 8601 with or without zone (then UTC), date alone included.

    Raises
    ------
    InvalidInput
        The text is not a time.

    Examples
    --------
    >>> parse_time("1970-01-01T00:00:01.5Z")
    1500000
    """
    try:
        return from_datetime(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise InvalidInput(f"expected an ISO 8601 time such as 2026-01-31T12:00:00Z, got {text!r}") from None


def format_time(at: Instant) -> str:
    """Write an instant as ISO 8601 in UTC with microseconds as needed.

    Examples
    --------
    >>> format_time(1_500_000)
    '1970-01-01T00:00:01.500000Z'
    """
    return to_datetime(at).isoformat().replace("+00:00", "Z")


def parse_duration(text: str) -> Duration:
    """Read `3 seconds`, `30 days`, `90s`, `2h`; more than zero.

    Raises
    ------
    InvalidInput
        Not a whole number followed by a unit, or zero.

    Examples
    --------
    >>> parse_duration("30 days") == 30 * DAY
    True
    """
    match = _DURATION.fullmatch(text.lower())
    if match:
        unit = _SHORT.get(match[2], match[2].removesuffix("s"))
        amount = int(match[1])
        if unit in _UNITS and amount > 0:
            return amount * _UNITS[unit]
    raise InvalidInput(f"expected a duration such as '30 days' or '90s', longer than zero, got {text!r}")


def format_duration(duration: Duration) -> str:
    """Write a duration in its largest whole unit; the inverse of `parse_duration`.

    Examples
    --------
    >>> format_duration(30 * DAY)
    '30 days'
    """
    for unit, size in reversed(_UNITS.items()):
        if unit != "week" and duration % size == 0 and duration >= size:
            amount = duration // size
            return f"{amount} {unit}" + ("s" if amount != 1 else "")
    return f"{max(1, duration // MILLISECOND)} milliseconds"
