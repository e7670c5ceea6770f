"""What events add up to, worked out from the raw events each time: the counting half of the second evaluator.

It shares nothing with the one at work but the tree: a period of the calendar is found by the names of the local days,
not by where it begins; an average is a fraction; what differs is told apart in a set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

from bespeak.clock import Duration, Instant
from bespeak.conditions.tree import Calendar, FromTo, HalfLife, Kind, Since, ThisSession, Unit, Window
from bespeak.events import Event

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TYPES: dict[type, Literal["flag", "number", "text"]] = {bool: "flag", int: "number", float: "number", str: "text"}
_SUMMED_MAX = 10**12
_TEXT_MAX = 1_000
_LIST_MAX = 100

Get = Callable[[str], object]


def type_of(value: object) -> Literal["flag", "number", "text", "other"]:
    """Return what kind of value it is: only values of one kind compare."""
    return _TYPES.get(type(value), "other")


def is_meant(event: str, name: str) -> bool:
    """Say whether an event of a name is what a condition calls so: by a star at the end, any that begins like it."""
    if event.endswith("\\*"):
        return name == event[: len(event) - 2] + "*"
    return name.startswith(event[: len(event) - 1]) if event.endswith("*") else name == event


def is_inside(window: Window | None, time: Instant, at: Instant, get: Get) -> bool:
    """Say whether an event of a time is in a window at an instant, given what is known of the person."""
    match window:
        case None | HalfLife():
            return True
        case Since(start):
            return _instant(start) <= time
        case FromTo(start, end):
            return _instant(start) <= time < _instant(end)
        case Calendar(unit, back):
            zone = str(get("zone") or "UTC")
            return time <= at and _period(_day(time, zone), unit) == _period(_day(at, zone), unit) - back
        case ThisSession():
            started = get("sessions.started")
            return started is not None and _instant(str(started)) <= time <= at
        case _:
            return at - window < time <= at


def figure(kind: Kind, found: Sequence[tuple[Instant, str, object]]) -> object:
    """Return what an aggregate is over these events: time, message id and value of each."""
    if kind == "count":
        return len(found)
    if kind in {"sum", "avg", "min", "max"}:
        return _of_numbers(kind, [Fraction(Decimal(repr(value))) for _, _, value in found if _is_summed(value)])
    kept = sorted(
        ((time, message_id, value) for time, message_id, given in found if (value := _kept(given)) is not None),
        key=lambda entry: entry[:2],
    )
    if kind == "distinct":
        return len({one for _, _, value in kept for one in _typed(value)})
    if kind == "most_frequent":
        return _most_frequent([(time, one) for time, _, value in kept for one in _typed(value)])
    return kept[0 if kind == "first" else -1][2] if kept else None


def halved(kind: Kind, found: Sequence[tuple[Instant, str, object]], by: HalfLife, at: Instant) -> float:
    """Return what a count or a sum is of which each part loses half in every half-life, to nine decimals."""
    counted = [(time, 1 if kind == "count" else value) for time, _, value in found]
    amounts = [(time, Fraction(Decimal(repr(value)))) for time, value in counted if _is_summed(value)]
    now = max([at, *(time for time, _ in amounts)])
    return round(sum(float(amount) * math.pow(0.5, (now - time) / by.halflife) for time, amount in amounts), 9)


def zone_of(events: Iterable[Event], trait: object, default: str) -> str:
    """Return the time zone of somebody: the newest that a device named, else that of their trait, else the default."""
    named = [event for event in events if is_zone(event.context.get("timezone"))]
    if named:
        newest = max(named, key=lambda event: (event.time, event.message_id))
        return str(newest.context["timezone"])
    return str(trait) if is_zone(trait) else default


def session_started(times: Iterable[Instant], gap: Duration) -> str | None:
    """Return when the newest visit began, ISO 8601: no two events of it that follow each other are `gap` apart."""
    started: Instant | None = None
    last: Instant | None = None
    for time in sorted(times):
        if last is None or time - last >= gap:
            started = time
        last = time
    return None if started is None else _moment(started).isoformat()


def is_zone(name: object) -> bool:
    """Say whether something is the name of a time zone."""
    try:
        return isinstance(name, str) and bool(ZoneInfo(name))
    except (OSError, ValueError, KeyError):
        return False


def _moment(at: Instant) -> datetime:
    return _EPOCH + timedelta(microseconds=at)


def _instant(text: str) -> Instant:
    moment = datetime.fromisoformat(text)
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def _day(at: Instant, zone: str) -> date:
    return _moment(at).astimezone(ZoneInfo(zone)).date()


def _period(day: date, unit: Unit) -> int:
    """Number the periods of a unit, one after the other."""
    if unit in {"day", "week"}:
        monday = day - timedelta(days=day.weekday())
        return day.toordinal() if unit == "day" else monday.toordinal() // 7
    in_a_year = {"month": 12, "quarter": 4, "year": 1}[unit]
    return day.year * in_a_year + (day.month - 1) * in_a_year // 12


def _is_summed(value: object) -> bool:
    return type_of(value) == "number" and abs(cast("float", value)) <= _SUMMED_MAX


def _of_numbers(kind: Kind, numbers: list[Fraction]) -> float | None:
    if kind == "sum":
        return float(sum(numbers))
    if not numbers:
        return None
    return float({"avg": sum(numbers) / len(numbers), "min": min(numbers), "max": max(numbers)}[kind])


def _kept(value: object) -> object:
    if not isinstance(value, list):
        return value if _is_kept(value) else None
    elements = cast("list[object]", value)
    return [one for one in elements if _is_kept(one)] or None if len(elements) <= _LIST_MAX else None


def _is_kept(value: object) -> bool:
    return type_of(value) != "other" and not (isinstance(value, str) and len(value) > _TEXT_MAX)


def _typed(value: object) -> set[tuple[str, Any]]:
    listed = cast("list[object]", value) if isinstance(value, list) else [value]
    return {(type_of(one), one) for one in listed}


def _most_frequent(found: list[tuple[Instant, tuple[str, Any]]]) -> object:
    def rank(one: tuple[str, Any]) -> tuple[int, Instant]:
        times = [time for time, other in found if other == one]
        return len(times), max(times)

    different = {one for _, one in found}
    top = max(map(rank, different), default=None)
    return min((one for one in different if rank(one) == top), key=_text, default=("", None))[1]


def _text(one: tuple[str, Any]) -> tuple[str, str]:
    kind, value = one
    whole = kind == "number" and float(value).is_integer() and abs(value) < 2**63
    return kind, str(int(value)) if whole else str(value).lower() if kind == "flag" else str(value)
