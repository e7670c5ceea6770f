"""Dates in conditions: what an expression is at an instant, whether a value passes, and when that changes by itself.

A value is a date when it is ISO 8601 text; never a number. A text without a zone, be it a value or an expression, is
meant in the person's zone, and so are days, weeks, months and years; hours, minutes and seconds are exact.

A rounded expression stands for a stretch of time, and so does a day without a time of day: `<` and `>=` ask for its
beginning, `<=` and `>` for its last microsecond, as in Elasticsearch (whose clocks end a day at 23:59:59.999).
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple, TypeAlias, assert_never, cast

from bespeak.clock import DAY, HOUR, MINUTE, NEVER, SECOND, WEEK, Duration, Instant, from_datetime, to_datetime
from bespeak.conditions.tree import (
    And,
    AnyOf,
    Between,
    Compare,
    Condition,
    InList,
    InSegment,
    Moment,
    Not,
    Operator,
    Or,
    Performed,
    Right,
    Test,
    Within,
)
from bespeak.conditions.values.moments import Date, DateMath, DateUnit, Step, read_date, read_moment
from bespeak.conditions.values.zones import (
    FIRST,
    LAST,
    Wall,
    Zone,
    instant_of,
    next_change,
    next_leap,
    wall_at,
    zone_of,
)

Dated: TypeAlias = Callable[[object, Instant, object], bool]
"""Whether a value passes at an instant, in the zone of a name (None: UTC)."""

_SIZES: dict[DateUnit, tuple[Duration, Duration]] = {
    "y": (365 * DAY, 366 * DAY),
    "M": (28 * DAY, 31 * DAY),
    "w": (WEEK, WEEK),
    "d": (DAY, DAY),
    "h": (HOUR, HOUR),
    "m": (MINUTE, MINUTE),
    "s": (SECOND, SECOND),
}
"""The shortest and the longest of each unit, as clocks show them."""
_CLOCKS: Duration = 27 * HOUR
"""No two clocks of one zone are ever further apart."""
_MONDAY: Duration = 3 * DAY
"""1970 began on a Thursday, three days after a Monday."""
_NOW = DateMath(None, ())
_WORK_MAX = 20_000
"""Bounds of elements that are asked for one turn; after so many, the instant found is one at which to ask again."""
_PIECES_MAX = 5_000


class Spot(NamedTuple):
    """Where an expression stands at an instant: for `left` microseconds more it moves along with time, or stands."""

    value: Instant
    left: Duration
    moves: bool


class _Term(NamedTuple):
    """`math`, rounded up or down, has reached a bound (or has not)."""

    math: DateMath
    up: bool
    bound: Instant
    reached: bool

    def holds(self, at: Instant, zone: Zone) -> bool:
        return (resolve(self.math, at, zone, up=self.up) >= self.bound) is self.reached


def resolve(math: DateMath, at: Instant, zone: Zone, *, up: bool) -> Instant:
    """Return what an expression is at an instant: the beginning of what it stands for, or with `up` its end.

    Examples
    --------
    >>> from bespeak.clock import format_time, parse_time
    >>> at = parse_time("2026-01-31T12:00:00Z")
    >>> [format_time(resolve(read_moment(text), at, None, up=False)) for text in ("now+1M", "now/d", "now-1w/w")]
    ['2026-02-28T12:00:00Z', '2026-01-31T00:00:00Z', '2026-01-19T00:00:00Z']
    """
    shift = _shift(math, zoned=zone is not None)
    return spot(math, at, zone, up=up).value if shift is None else at + shift


def looks(bounds: int) -> int:
    """Return how many times as many bounds may be asked for one turn: fewer times where there are more."""
    return max(1, _WORK_MAX // max(1, bounds))


def moves(test: Test) -> bool:
    """Say whether time alone can change the answer of a test, whatever its operand holds."""
    match test:
        case Within():
            return True
        case Compare():
            return _counts_from_now(test.value)
        case Between():
            return _counts_from_now(test.low) or _counts_from_now(test.high)
        case AnyOf():
            return any(moves(one) for one in asked_in(test.where))
        case _:
            return False


def asked_in(condition: Condition) -> Iterator[Test]:
    """Yield the tests of a condition on an element."""
    match condition:
        case And(parts) | Or(parts):
            for part in parts:
                yield from asked_in(part)
        case Not(part):
            yield from asked_in(part)
        case Performed() | InSegment() | InList():
            raise TypeError("an element has no events and is in no segment")
        case _:
            yield condition


def is_dated(test: Test) -> bool:
    """Say whether a test asks about dates, so that `dated` and `turns` answer it."""
    match test:
        case Within():
            return True
        case Compare():
            return isinstance(test.value, Moment)
        case Between():
            return isinstance(test.low, Moment)
        case _:
            return False


def dated(test: Test) -> Dated:
    """Build what says whether a value passes a test about dates."""
    negated = isinstance(test, Compare) and test.op == "!="

    def passes(value: object, at: Instant, name: object) -> bool:
        zone = zone_of(name)
        found = any(all(term.holds(at, zone) for term in _terms(test, x, zone)) for x in instants(value, zone))
        return found is not negated

    return passes


def turns(test: Test, value: object, at: Instant, zone: str | None) -> tuple[bool, Instant]:
    """Say whether a value passes a test about dates at an instant, and at which later instant that turns by itself.

    Parameters
    ----------
    test
        One that `is_dated`: a comparison with a date, `between` two dates, or `within last ...`.
    value
        What the operand holds, a list included.
    zone
        Name of the person's time zone; None, or a name that is none, is UTC.

    Returns
    -------
    tuple[bool, Instant]
        The answer, and the first instant after `at` at which it is another one if the value stays as it is;
        `clock.NEVER` when there is none. Of a list of more than about a hundred elements asked for `=`, `on` or
        `between` it may come earlier than the turn (and is then to be asked again), never later.

    Examples
    --------
    >>> from bespeak.clock import format_time, parse_time
    >>> from bespeak.conditions.tree import Path
    >>> fresh = Compare(Path("traits.joined"), ">", Moment("now-7d"))
    >>> holds, until = turns(fresh, "2026-01-01T12:00:00Z", parse_time("2026-01-02"), None)
    >>> holds, format_time(until)
    (True, '2026-01-08T12:00:00Z')
    """
    where = zone_of(zone)
    negated = isinstance(test, Compare) and test.op == "!="
    asked = _fewest([_terms(test, x, where) for x in instants(value, where)])
    zoned = where is not None
    waiting = sorted(((_nearest(one, zoned=zoned), one) for terms in asked for one in terms), key=itemgetter(0))
    holds, until = _any_holds(asked, at, where), at
    for _ in range(looks(sum(map(len, asked)))):
        until = _first_crossing(waiting, until, where)
        if until == NEVER or _any_holds(asked, until, where) is not holds:
            break
    return holds is not negated, until


def settle(test: Compare | Between | Within, at: Instant, name: object) -> Compare | Between:
    """Return a test about dates as it is at an instant in a zone, so that it moves no more and needs no zone.

    Only dates of the value that carry no zone are then meant in UTC.
    """
    zone = zone_of(name)

    def fixed(value: Right, *, up: bool) -> Moment:
        return _moment(resolve(read_moment(cast("Moment", value).expr), at, zone, up=up))

    match test:
        case Within():
            return Between(test.operand, _moment(at - test.within + 1), _moment(at))
        case Between():
            return Between(test.operand, fixed(test.low, up=False), fixed(test.high, up=True))
        case Compare(operand, "on", value):
            begins, ends = period(
                wall_at(resolve(read_moment(cast("Moment", value).expr), at, zone, up=False), zone), "d"
            )
            return Between(operand, _moment(instant_of(begins, zone)), _moment(instant_of(ends, zone) - 1))
        case Compare(operand, op, value):
            return Compare(operand, op, fixed(value, up=op in {"<=", ">"}))
        case _:
            assert_never(test)


def _moment(at: Instant) -> Moment:
    return Moment(to_datetime(min(max(at, FIRST), LAST)).isoformat().replace("+00:00", "Z"))


def instants(value: object, zone: Zone) -> list[Instant]:
    """Return the instants that a value stands for, or the elements of a list; what is no date is left out."""
    values = cast("Iterable[object]", value) if isinstance(value, list | tuple) else (value,)
    return [found for one in values if (found := _instant(one, zone)) is not None]


def spot(math: DateMath, at: Instant, zone: Zone, *, up: bool) -> Spot:
    """Return where an expression stands at an instant, and how long it goes on as it does."""
    if math.anchor is None:
        here = Spot(at, NEVER, moves=True)
    else:
        here = Spot(_instant_of(math.anchor, zone), NEVER, moves=False)
        if up and math.anchor.whole_day and not math.steps:
            return Spot(instant_of(math.anchor.time + DAY, zone) - 1, NEVER, moves=False)
    for step in math.steps:
        here = _stepped(here, step, zone, up=up)
    return here


def period(wall: Wall, unit: DateUnit) -> tuple[Wall, Wall]:
    """Return the beginning of the unit that a wall time is in, and that of the next one.

    Examples
    --------
    >>> period(5 * DAY + 1, "w") == (4 * DAY, 11 * DAY)
    True
    """
    wall = min(max(wall, FIRST), LAST)
    if unit in {"y", "M"}:
        shown = to_datetime(wall)
        begins = shown.replace(
            month=1 if unit == "y" else shown.month, day=1, hour=0, minute=0, second=0, microsecond=0
        )
        beginning = from_datetime(begins)
        return beginning, _months_on(beginning, 12 if unit == "y" else 1)
    size, shift = _SIZES[unit][0], _MONDAY if unit == "w" else 0
    beginning = (wall + shift) // size * size - shift
    return beginning, beginning + size


def _stepped(here: Spot, step: Step, zone: Zone, *, up: bool) -> Spot:
    value, left, moving = here
    if step.amount is not None and step.unit in {"h", "m", "s"}:
        return Spot(value + step.amount * _SIZES[step.unit][0], left, moving)
    wall = wall_at(value, zone)
    if moving:
        left = min(left, next_change(value, zone) - value)
    if step.amount is None:
        begins, ends = period(wall, step.unit)
        found = instant_of(ends, zone) - 1 if up else instant_of(begins, zone)
        return Spot(found, min(left, ends - wall) if moving else left, moves=False)
    if step.unit in {"M", "y"}:
        if moving:
            left = min(left, DAY - wall % DAY)
        wall = _months_on(wall, step.amount * (12 if step.unit == "y" else 1))
    else:
        wall += step.amount * _SIZES[step.unit][0]
    if moving:
        left = min(left, next_leap(wall, zone) - wall)
    return Spot(instant_of(wall, zone), left, moving)


def _months_on(wall: Wall, months: int) -> Wall:
    """Return the same day and time so many months on; of a month that is too short, its last day."""
    shown = to_datetime(min(max(wall, FIRST), LAST))
    years, month = divmod(shown.year * 12 + shown.month - 1 + months, 12)
    years = min(max(years, 2), 9_998)
    day = min(shown.day, monthrange(years, month + 1)[1])
    moved = shown.replace(year=years, month=month + 1, day=1) + timedelta(days=day - 1)
    return from_datetime(moved)


@lru_cache(maxsize=10_000)
def _shift(math: DateMath, *, zoned: bool) -> Duration | None:
    """Return how far from now an expression always is; None where that depends on the calendar."""
    exact = {"h", "m", "s"} if zoned else {"w", "d", "h", "m", "s"}
    if math.anchor is not None or any(step.amount is None or step.unit not in exact for step in math.steps):
        return None
    return sum((step.amount or 0) * _SIZES[step.unit][0] for step in math.steps)


@lru_cache(maxsize=10_000)
def _reach(math: DateMath, *, zoned: bool) -> tuple[Duration, Duration]:
    """Return the least and the most by which an expression that counts from now is ahead of now."""
    low = high = 0
    clocks = _CLOCKS if zoned else 0
    for step in math.steps:
        least, most = _SIZES[step.unit]
        if step.amount is None:
            low, high = low - most - clocks, high + most + clocks
        else:
            ends = (step.amount * least, step.amount * most)
            clock = clocks if step.unit in {"y", "M", "w", "d"} else 0
            low, high = low + min(ends) - clock, high + max(ends) + clock
    return low, high


def _nearest(term: _Term, *, zoned: bool) -> tuple[Instant, Instant]:
    """Return the first and the last instant at which an expression may cross its bound."""
    low, high = _reach(term.math, zoned=zoned)
    return term.bound - high, term.bound - low


def _first_crossing(waiting: Iterable[tuple[tuple[Instant, Instant], _Term]], at: Instant, zone: Zone) -> Instant:
    """Return when the first of these crosses its bound; those that may do so soonest come first."""
    first = NEVER
    for (earliest, latest), term in waiting:
        if earliest >= first:
            break
        if latest > at:
            first = min(first, _crossing(term, at, zone, before=first))
    return first


def _crossing(term: _Term, at: Instant, zone: Zone, *, before: Instant) -> Instant:
    """Return the first instant after `at` at which an expression reaches a bound, or no longer does.

    One that is not `before` an instant may be missed.

    Expressions mostly rise with time. They fall where a clock is set back, and where months are of different length:
    "in a month" is the 28th of February all through the last four days of January. So time is taken piece by piece,
    but only near the bound.
    """
    math, up, bound = term.math, term.up, term.bound
    if math.anchor is not None:
        return NEVER
    shift = _shift(math, zoned=zone is not None)
    if shift is not None:
        return bound - shift if bound - shift > at else NEVER
    low, high = _reach(math, zoned=zone is not None)
    reached = resolve(math, at, zone, up=up) >= bound
    here, settled = max(at, bound - high), bound - low
    for _ in range(_PIECES_MAX):
        value, left, moving = spot(math, here, zone, up=up)
        if (value >= bound) is not reached:
            return here
        if moving and value < bound <= value + left - 1:
            return here + bound - value
        if here >= min(settled, before, LAST):
            return NEVER
        here += left
    return here


def _terms(test: Test, x: Instant, zone: Zone) -> tuple[_Term, ...]:
    """Return what has to be so of dates for an instant to pass a test."""
    match test:
        case Within():
            return (
                _Term(_NOW, up=False, bound=x, reached=True),
                _Term(_NOW, up=False, bound=x + test.within, reached=False),
            )
        case Between():
            return (*_term(">=", test.low, x, zone), *_term("<=", test.high, x, zone))
        case Compare():
            return _term(test.op, test.value, x, zone)
        case _:
            raise TypeError("this test is not about dates")


def _term(op: Operator, value: Right, x: Instant, zone: Zone) -> tuple[_Term, ...]:
    math = read_moment(cast("Moment", value).expr)
    match op:
        case "<":
            return (_Term(math, up=False, bound=x + 1, reached=True),)
        case "<=":
            return (_Term(math, up=True, bound=x, reached=True),)
        case ">":
            return (_Term(math, up=True, bound=x, reached=False),)
        case ">=":
            return (_Term(math, up=False, bound=x + 1, reached=False),)
        case "=" | "!=":
            return (_Term(math, up=False, bound=x, reached=True), _Term(math, up=False, bound=x + 1, reached=False))
        case "on":
            begins, ends = period(wall_at(x, zone), "d")
            day = instant_of(begins, zone), instant_of(ends, zone)
            return (
                _Term(math, up=False, bound=day[0], reached=True),
                _Term(math, up=False, bound=day[1], reached=False),
            )
        case _:
            assert_never(op)


def _fewest(asked: list[tuple[_Term, ...]]) -> list[tuple[_Term, ...]]:
    """Leave out what cannot decide: of bounds of one expression, the nearest one does."""
    alone = [terms[0] for terms in asked if len(terms) == 1]
    if not alone:
        return list(dict.fromkeys(asked))
    nearest = min if alone[0].reached else max
    return [(nearest(alone, key=lambda term: term.bound),)]


def _any_holds(asked: Iterable[tuple[_Term, ...]], at: Instant, zone: Zone) -> bool:
    return any(all(term.holds(at, zone) for term in terms) for terms in asked)


def _instant(value: object, zone: Zone) -> Instant | None:
    found = read_date(value) if isinstance(value, str) else None
    return None if found is None else _instant_of(found, zone)


def _instant_of(date: Date, zone: Zone) -> Instant:
    return date.time if date.zoned else instant_of(date.time, zone)


def _counts_from_now(value: Right) -> bool:
    return isinstance(value, Moment) and read_moment(value.expr).anchor is None
