"""The local time of a person: the hour, the day of the week and the date that their clock shows, and when it turns them.

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

from collections.abc import Callable
from typing import assert_never

from bespeak.clock import DAY, HOUR, NEVER, Instant, to_datetime
from bespeak.conditions.heads import Part
from bespeak.conditions.zones import next_change, wall_at, zone_of

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


def turner(part: Part, passes: Callable[[object], bool]) -> Callable[[Instant, str], tuple[bool, Instant]]:
    """Build what says whether the clock shows what passes, and when that turns.

    A date that turns after more than a thousand days only is to be asked again then.
    """
    kept: dict[tuple[str, Instant, bool], Instant] = {}

    def turns(at: Instant, zone: str) -> tuple[bool, Instant]:
        holds, tick = passes(shown(part, at, zone)), next_tick(part, at, zone)
        until = kept.get((zone, tick, holds))
        if until is None:
            if len(kept) >= _KEPT:
                kept.clear()
            until = kept[zone, tick, holds] = _turn(part, passes, tick, zone, holds=holds)
        return holds, until

    return turns


def _turn(part: Part, passes: Callable[[object], bool], tick: Instant, zone: str, *, holds: bool) -> Instant:
    for _ in range(_LOOKS[part]):
        if passes(shown(part, tick, zone)) is not holds:
            return tick
        tick = next_tick(part, tick, zone)
    return tick if part == "date" else NEVER
