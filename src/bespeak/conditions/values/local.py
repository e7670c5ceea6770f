"""The local time of a person: the hour, the day of the week and the date that their clock shows, and when these turn.

It is worked out of the instant that is asked about and the person's zone, and held nowhere. Where clocks are put back
an hour comes twice, and where they go over midnight a day does; where they leap an hour never comes.

Examples
--------
>>> from bespeak.clock import parse_time
>>> at = parse_time("2026-12-24T21:30:00Z")
>>> [shown(part, at, "Asia/Tokyo") for part in ("hour", "weekday", "date")]
[6, 5, '2026-12-25']
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias, TypeVar, assert_never

from bespeak.clock import DAY, HOUR, NEVER, Instant, to_datetime
from bespeak.conditions.meaning.heads import Part, constants, local_part
from bespeak.conditions.tree import Matches, Path, Test, Text
from bespeak.conditions.values.pairs import elements
from bespeak.conditions.values.zones import next_change, wall_at, zone_of

V = TypeVar("V")
"""Whoever is asked about."""
Read: TypeAlias = Callable[[V, Instant], object]

_DATE: frozenset[Part] = frozenset({"date"})
_LOOKS: dict[Part, int] = {"hour": 60, "weekday": 20, "date": 1_000}
"""Ticks after which an hour or a day of the week has come again for sure; of a date, after which it is asked again."""
_KEPT = 2_000
"""Turns that are remembered for one test: by zone, hour or day, and what holds in it."""


def shown(part: Part, at: Instant, zone: object) -> int | str:
    """Return what the clock in the zone of a name shows; anything that is no name of a zone is UTC."""
    wall = wall_at(at, zone_of(zone))
    match part:
        case "hour":
            return wall // HOUR % 24
        case "weekday":
            return (wall // DAY + 3) % 7 + 1  # 1970 began on a Thursday
        case "date":
            return to_datetime(wall).date().isoformat()
        case _:
            assert_never(part)


def next_tick(part: Part, at: Instant, zone: object) -> Instant:
    """Return an instant up to which the clock shows the same: the next full hour, midnight, or change of the clock."""
    where = zone_of(zone)
    wall = wall_at(at, where)
    size = HOUR if part == "hour" else DAY
    return min(at + size - wall % size, next_change(at, where))


def clocked(
    test: Test, asked: Callable[[V, Instant], bool], zone: Callable[[V, Instant], object], others: Iterable[Read[V]]
) -> Callable[[V, Instant], tuple[bool, Instant]]:
    """Build what says whether a test of the clock holds of a visitor, and when that turns if nothing happens.

    A date that turns after more than a thousand days only is to be asked again then.

    Parameters
    ----------
    asked
        Whether it holds of a visitor at an instant.
    zone, others
        What read the name of the zone, and what the clock is compared with, where that is read as well.
    """
    parts, others = _parts_of(test), tuple(others)
    kept: dict[tuple[str, Instant, bool], Instant] = {}

    def answer(visitor: V, at: Instant) -> tuple[bool, Instant]:
        name = str(zone(visitor, at))
        holds, tick = asked(visitor, at), _tick(parts, at, name)
        until = None if others else kept.get((name, tick, holds))
        if until is None:
            last = _last_day(test, [read(visitor, at) for read in others])
            until = _turn(parts, lambda then: asked(visitor, then), tick, name, last, holds=holds)
            if len(kept) >= _KEPT:
                kept.clear()
            if not others:
                kept[name, tick, holds] = until
        return holds, until

    return answer


def _parts_of(test: Test) -> frozenset[Part]:
    paths = (test.operand, *(one for one in constants(test, read=True)))
    return frozenset(part for one in paths if isinstance(one, Path) and (part := local_part(one.path)) is not None)


def _tick(parts: Iterable[Part], at: Instant, zone: str) -> Instant:
    return min(next_tick(part, at, zone) for part in parts)


def _last_day(test: Test, known: Iterable[object]) -> str | None:
    """Return a day after which all are alike to a test that compares with what is known; None where there is none."""
    if isinstance(test, Text | Matches):
        return None
    said = (*constants(test), *(one for value in known for one in elements(value)))
    return max((value for value in said if isinstance(value, str)), default="")


def _turn(
    parts: frozenset[Part], asked: Callable[[Instant], bool], tick: Instant, zone: str, last: str | None, *, holds: bool
) -> Instant:
    for _ in range(max(_LOOKS[part] for part in parts) * len(parts)):
        if asked(tick) is not holds:
            return tick
        if last is not None and parts == _DATE and str(shown("date", tick - 2 * DAY, zone)) > last:
            return NEVER  # two days, since clocks may be put back over midnight
        tick = _tick(parts, tick, zone)
    return tick if "date" in parts or len(parts) > 1 else NEVER
