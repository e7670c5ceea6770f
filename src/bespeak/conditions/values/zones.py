"""Wall clocks: what the clock on the wall shows at an instant, and at which instant it shows something.

A wall time is an `int` of microseconds too: what the clock shows, counted as if it were UTC. One that a clock shows
twice is its first instant; one that it leaps over is as long after the leap as it would have been without.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import TypeAlias
from zoneinfo import ZoneInfo

from bespeak.clock import DAY, HOUR, Duration, Instant, from_datetime, to_datetime, zone_named

Wall: TypeAlias = int
Zone: TypeAlias = ZoneInfo | None
"""A time zone; None is UTC."""

FIRST: Instant = from_datetime(datetime(2, 1, 1))  # noqa: DTZ001 - naive is UTC here
LAST: Instant = from_datetime(datetime(9998, 1, 1))  # noqa: DTZ001
"""Between these instants wall clocks are known; before and after, the nearest of them counts."""

_CHUNK: Duration = 400 * DAY
_AHEAD = 4
_PROBE: Duration = 12 * HOUR


def zone_of(name: object) -> Zone:
    """Return the time zone of a name (`Europe/Vienna`); UTC where it names none.

    Examples
    --------
    >>> zone_of("Europe/Vienna"), zone_of("Atlantis"), zone_of(None)
    (zoneinfo.ZoneInfo(key='Europe/Vienna'), None, None)
    """
    return zone_named(name) if isinstance(name, str) and name != "UTC" and len(name) <= 64 else None


def wall_at(at: Instant, zone: Zone) -> Wall:
    """Return what the clock shows at an instant."""
    return at if zone is None else at + _offset(at, zone)


def instant_of(wall: Wall, zone: Zone) -> Instant:
    """Return the first instant at which the clock shows a time."""
    if zone is None:
        return wall
    shown = to_datetime(min(max(wall, FIRST), LAST)).replace(tzinfo=zone)
    return wall - _microseconds(shown.utcoffset())


def next_change(at: Instant, zone: Zone) -> Instant:
    """Return until when clocks go as they do at an instant: the next change, or an instant before it, years ahead."""
    if zone is None:
        return LAST
    first = at // _CHUNK
    for chunk in range(first, first + _AHEAD):
        for change, _, _ in _changes(zone, chunk):
            if change > at:
                return change
    return (first + _AHEAD) * _CHUNK


def next_leap(wall: Wall, zone: Zone) -> Wall:
    """Return the wall time from which on `instant_of` goes by another offset, or one before it, years ahead."""
    if zone is None:
        return LAST
    first = (wall - 2 * DAY) // _CHUNK
    for chunk in range(first, first + _AHEAD):
        for change, before, after in _changes(zone, chunk):
            if change + max(before, after) > wall:
                return change + max(before, after)
    return (first + _AHEAD) * _CHUNK - 2 * DAY


@lru_cache(maxsize=5_000)
def _changes(zone: ZoneInfo, chunk: int) -> tuple[tuple[Instant, Duration, Duration], ...]:
    """Return the changes of a zone's offset within a chunk of time: when, from what, to what."""
    found: list[tuple[Instant, Duration, Duration]] = []
    for start in range(chunk * _CHUNK, (chunk + 1) * _CHUNK, _PROBE):
        before, after = _offset(start - 1, zone), _offset(start + _PROBE - 1, zone)
        if before != after:
            low, high = start - 1, start + _PROBE - 1
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if _offset(middle, zone) == after else (middle, high)
            found.append((high, before, after))
    return tuple(found)


def _offset(at: Instant, zone: ZoneInfo) -> Duration:
    return _microseconds(to_datetime(min(max(at, FIRST), LAST)).astimezone(zone).utcoffset())


def _microseconds(offset: timedelta | None) -> Duration:
    return 0 if offset is None else offset // timedelta(microseconds=1)
