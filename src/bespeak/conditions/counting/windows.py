"""Which events are in a window at an instant, and when each comes in and leaves again.

Three kinds of windows:

- that of all events, ever; and those between two fixed instants (`since`, `from .. to`), which are the same but for
  what is let in: they never change without a new event;
- the rolling one, which holds the events of (t - D, t];
- those whose two ends jump: a day, week, month, quarter or year of the person's own zone, and the visit that is under
  way or was the last.

Whatever the window, an event that came in first leaves first. So a list sorted by time is all that is needed to walk
through the instants at which a window changes by itself.

Examples
--------
>>> from bespeak.clock import format_time, parse_time
>>> this_month = frame(Calendar("month"))
>>> known = {"zone": "Europe/Berlin"}.get
>>> after, until = this_month.bounds(known, parse_time("2026-03-31T21:59:00Z"))
>>> format_time(after + 1), format_time(this_month.leaves(after + 1, known))
('2026-02-28T23:00:00Z', '2026-03-31T22:00:00Z')
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Protocol, TypeAlias, TypeGuard, assert_never

import msgspec

from bespeak.clock import DAY, NEVER, Duration, Instant, from_datetime, to_datetime, zone_named
from bespeak.conditions.tree import Calendar, FromTo, HalfLife, Since, ThisSession, Unit, Window
from bespeak.conditions.values.moments import read_instant

Get: TypeAlias = Callable[[str], object]
"""Reads a path of a person: `zone`, the name of their time zone, and `sessions.started`, ISO 8601."""

SESSION_SPAN: Duration = 7 * DAY
"""How far back of the newest such event a visit is looked into."""

_DAYS: dict[Unit, int] = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}
_SLACK: Duration = 2 * DAY
"""By how much days may be longer than 24 hours: clocks are put back, and people move to another zone."""

_HELD_MAX = 5_000
_held: dict[tuple[str, Unit], tuple[Instant, Instant, int]] = {}
"""The period that was last asked for, by zone and unit: its two ends and its number."""


class Frame(Protocol):
    """A window that changes by itself."""

    @property
    def span(self) -> Duration:
        """How far back of an instant its events may be."""
        ...

    @property
    def paths(self) -> tuple[str, ...]:
        """What it reads of the person."""
        ...

    def bounds(self, get: Get, at: Instant, /) -> tuple[Instant, Instant]:
        """Return the two ends at `at`: events at `after < time <= until` are in, none where `after` is not the less."""
        ...

    def enters(self, time: Instant, get: Get, /) -> Instant:
        """Return when an event comes in, `time` or later; `clock.NEVER` when it never does."""
        ...

    def leaves(self, time: Instant, get: Get, /) -> Instant:
        """Return when an event is in no more, later than `enters`; `clock.NEVER` when it stays."""
        ...


class Rolling(msgspec.Struct, frozen=True):
    """The events of (t - span, t]."""

    span: Duration

    @property
    def paths(self) -> tuple[str, ...]:
        """As `Frame`."""
        return ()

    def bounds(self, _get: Get, at: Instant, /) -> tuple[Instant, Instant]:
        """As `Frame`."""
        return at - self.span, at

    def enters(self, time: Instant, _get: Get, /) -> Instant:
        """As `Frame`."""
        return time

    def leaves(self, time: Instant, _get: Get, /) -> Instant:
        """As `Frame`."""
        return time + self.span


class Period(msgspec.Struct, frozen=True):
    """A period of the calendar, in the zone of the person: the one of the instant, or `back` ones before it."""

    unit: Unit
    back: int

    @property
    def span(self) -> Duration:
        """As `Frame`."""
        return (self.back + 1) * _DAYS[self.unit] * DAY + _SLACK

    @property
    def paths(self) -> tuple[str, ...]:
        """As `Frame`."""
        return ("zone",)

    def bounds(self, get: Get, at: Instant, /) -> tuple[Instant, Instant]:
        """As `Frame`."""
        zone = zone_read(get)
        start, end, number = period_at(zone, self.unit, at)
        if self.back:
            start, end = (period_start(zone, self.unit, number - back) for back in (self.back, self.back - 1))
        return start - 1, min(at, end - 1)

    def enters(self, time: Instant, get: Get, /) -> Instant:
        """As `Frame`."""
        return self._start(time, get, self.back) if self.back else time

    def leaves(self, time: Instant, get: Get, /) -> Instant:
        """As `Frame`."""
        return self._start(time, get, self.back + 1)

    def _start(self, time: Instant, get: Get, later: int) -> Instant:
        zone = zone_read(get)
        return period_start(zone, self.unit, period_at(zone, self.unit, time)[2] + later)


class Visit(msgspec.Struct, frozen=True):
    """The events since the newest visit began."""

    @property
    def span(self) -> Duration:
        """As `Frame`."""
        return SESSION_SPAN

    @property
    def paths(self) -> tuple[str, ...]:
        """As `Frame`."""
        return ("sessions.started",)

    def bounds(self, get: Get, at: Instant, /) -> tuple[Instant, Instant]:
        """As `Frame`."""
        return _began(get) - 1, at

    def enters(self, time: Instant, get: Get, /) -> Instant:
        """As `Frame`."""
        return time if time >= _began(get) else NEVER

    def leaves(self, _time: Instant, _get: Get, /) -> Instant:
        """As `Frame`."""
        return NEVER


def frame(window: Window | None) -> Frame | None:
    """Return a window that events come into and leave, ready to be asked; None for one that they do not."""
    match window:
        case int():
            return Rolling(window)
        case Calendar(unit, back):
            return Period(unit, back)
        case ThisSession():
            return Visit()
        case Since() | FromTo() | HalfLife() | None:
            return None
        case _:
            assert_never(window)


def is_fixed(window: Window | None) -> bool:
    """Say whether a window never changes by itself: it has fixed ends, or none."""
    return window is None or isinstance(window, Since | FromTo)


def fades(window: Window | None) -> TypeGuard[HalfLife]:
    """Say whether events lose their worth in a window with time, instead of leaving it."""
    return isinstance(window, HalfLife)


def is_rolling(window: Window | None) -> TypeGuard[Duration]:
    """Say whether a window is the rolling one, of so many microseconds."""
    return isinstance(window, int)


def ends_now(window: Window | None) -> bool:
    """Say whether a window reaches up to the instant at which it is asked, as all do but the periods before this."""
    return not (isinstance(window, Calendar) and window.back > 0)


def fixed_ends(window: Since | FromTo) -> tuple[Instant, Instant]:
    """Return the instants from which on, and before which, events count; `clock.NEVER` where it has no end."""
    if isinstance(window, Since):
        return read_instant(window.date), NEVER
    return read_instant(window.start), read_instant(window.end)


def zone_read(get: Get) -> str:
    """Return the name of the time zone of a person; UTC where nothing is known."""
    zone = get("zone")
    return zone if isinstance(zone, str) else "UTC"


def _began(get: Get) -> Instant:
    started = get("sessions.started")
    return read_instant(started) if isinstance(started, str) else NEVER


def period_at(zone: str, unit: Unit, at: Instant) -> tuple[Instant, Instant, int]:
    """Return the period of an instant in a zone: when it starts, when the next one does, and its number.

    A period begins when its first midnight has struck, and lasts until the next has begun. Weeks begin on Mondays.

    Parameters
    ----------
    zone
        As in the tz database; UTC where there is no such zone.
    """
    held = _held.get((zone, unit))
    if held is not None and held[0] <= at < held[1]:
        return held
    info = zone_named(zone)
    day = (to_datetime(at) if info is None else to_datetime(at).astimezone(info)).date()
    number = _number(day, unit)
    # Where clocks are put back over midnight, the old day's name comes back after the new one's.
    while at >= (end := period_start(zone, unit, number + 1)):
        number += 1
    if len(_held) >= _HELD_MAX:
        _held.clear()
    _held[zone, unit] = found = period_start(zone, unit, number), end, number
    return found


@lru_cache(maxsize=10_000)
def period_start(zone: str, unit: Unit, number: int) -> Instant:
    """Return when the period of a number starts in a zone."""
    day = _first_day(number, unit)
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone_named(zone) or UTC)
    return from_datetime(midnight)


def _number(day: date, unit: Unit) -> int:
    match unit:
        case "day":
            return day.toordinal()
        case "week":
            return (day.toordinal() - 1) // 7  # the first day of all was a Monday
        case "month":
            return day.year * 12 + day.month - 1
        case "quarter":
            return day.year * 4 + (day.month - 1) // 3
        case "year":
            return day.year
        case _:
            assert_never(unit)


def _first_day(number: int, unit: Unit) -> date:
    match unit:
        case "day":
            return date.fromordinal(number)
        case "week":
            return date.fromordinal(number * 7 + 1)
        case "month":
            return date(number // 12, number % 12 + 1, 1)
        case "quarter":
            return date(number // 4, number % 4 * 3 + 1, 1)
        case "year":
            return date(number, 1, 1)
        case _:
            assert_never(unit)
