"""What values must be to pass a test, worked out one by one: the values' half of the second evaluator.

It shares nothing with the one at work but the tree: texts are folded letter by letter by their Unicode names, dates are
counted with the calendar of the standard library, patterns are matched by Python's own `re`, and time turns nothing:
each instant is asked anew.
"""

from __future__ import annotations

import operator
import re
import unicodedata
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cmp_to_key
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

from bespeak.clock import Instant
from bespeak.conditions.tree import (
    Aggregate,
    AnyOf,
    Asked,
    Between,
    Compare,
    Condition,
    Exists,
    HasAll,
    In,
    Matches,
    Moment,
    Near,
    Path,
    Right,
    Test,
    Text,
    Version,
    Within,
)
from bespeak.testing.naive_counts import type_of
from bespeak.testing.naive_places import metres_apart, place_said

Read = Callable[[Asked], object]
HoldsOf = Callable[[Condition, Callable[[str], object]], bool]
"""Whether a condition holds of something that is read by path."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
}
_NAMED = {"AE": "ae", "THORN": "th", "ETH": "d", "DOTLESS I": "i", "ENG": "ng", "KRA": "k"}


def passes(test: Test, read: Read, at: Instant, zone: object, holds_of: HoldsOf) -> bool:
    """Say whether what is read passes a test at an instant.

    Parameters
    ----------
    read
        Returns what an operand is, on either side.
    zone
        Name of the time zone in which dates are meant; anything else is UTC.
    holds_of
        Says whether a condition holds of an element of a list.
    """
    value = read(test.operand)
    clock = _clock(zone)
    match test:
        case Exists():
            return value not in (None, [], ())
        case AnyOf(_, where):
            objects = [element for element in map(_Object, listed(value)) if element.is_one]
            return any(holds_of(where, one.get) for one in objects)
        case HasAll(_, values, exact):
            return value is not None and all(any(_same(one, v, exact=exact) for one in listed(value)) for v in values)
        case Compare(operand, "!=", right, exact):
            return not passes(Compare(operand, "=", right, exact), read, at, zone, holds_of)
        case _:
            return any(_one_passes(one, test, read, at, clock) for one in listed(value) if one is not None)


class _Object:
    """An element of a list, read by `it.NAME`."""

    def __init__(self, element: object) -> None:
        self._element = element
        self.is_one = isinstance(element, dict)

    def get(self, path: str) -> object:
        found = self._element
        for name in path.split(".")[1:]:
            found = cast("dict[str, object]", found).get(name) if isinstance(found, dict) else None
        return found


def _one_passes(one: object, test: Test, read: Read, at: Instant, clock: tzinfo) -> bool:
    match test:
        case Compare(_, op, right, exact):
            return _compares(one, op, _resolved(right, read), at, clock, exact=exact)
        case Between(_, low, high):
            above = _compares(one, ">=", _resolved(low, read), at, clock, exact=True)
            return above and _compares(one, "<=", _resolved(high, read), at, clock, exact=True)
        case In(_, values, exact):
            return any(_same(one, value, exact=exact) for value in values)
        case Text(_, how, values, exact):
            return isinstance(one, str) and any(_has(one, how, part, exact=exact) for part in values)
        case Matches(_, pattern):
            return isinstance(one, str) and re.fullmatch(pattern, one, re.ASCII) is not None
        case Near(_, latitude, longitude, within, unit):
            place = place_said(one)
            most = within * {"km": 1000, "miles": 1609.344, "metres": 1}[unit]
            return place is not None and metres_apart(place, (latitude, longitude)) <= most
        case Within(_, within):
            then = _date(one, clock)
            return then is not None and at - within < _instant(then) <= at
        case _:
            return False


def listed(value: object) -> list[object]:
    """Return the elements of a list, or the one value."""
    return list(cast("Iterable[object]", value)) if isinstance(value, list | tuple) else [value]


def folded(text: str) -> str:
    """Return a text without case and accents, letter by letter."""
    parts = "".join(unicodedata.normalize("NFKD", letter).casefold() for letter in unicodedata.normalize("NFKD", text))
    letters = [_plain(letter) for letter in unicodedata.normalize("NFKD", parts)]
    bare = "".join(letters)
    return unicodedata.normalize("NFC", bare or parts)


def _plain(letter: str) -> str:
    block = ord(letter) >> 4
    if 0x30 <= block <= 0x36 or 0x1AB <= block <= 0x1AF or 0x1DC <= block <= 0x1DF or 0x20D <= block <= 0x20F:
        return ""
    if block == 0xFE2:
        return ""
    name = unicodedata.name(letter, "")
    stroke = re.fullmatch("LATIN SMALL LETTER ([A-Z]) WITH STROKE", name)
    if stroke:
        return stroke[1].lower()
    if name == "LATIN SMALL LIGATURE OE":
        return "oe"
    return _NAMED.get(name.removeprefix("LATIN SMALL LETTER "), letter)


def _same(one: object, value: object, *, exact: bool) -> bool:
    if one is None or type_of(one) != type_of(value) or type_of(one) == "other":
        return False
    if isinstance(one, str) and isinstance(value, str) and not exact:
        return folded(one) == folded(value)
    return one == value


def _has(text: str, how: Literal["contains", "starts", "ends"], part: str, *, exact: bool) -> bool:
    whole, asked = (text, part) if exact else (folded(text), folded(part))
    place = {"contains": whole, "starts": whole[: len(asked)], "ends": whole[len(whole) - len(asked) :]}[how]
    return place.find(asked) >= 0


def _resolved(right: Right, read: Read) -> object:
    """Return what stands on the right: of a path or an aggregate what is read there, the elements of a list."""
    return listed(read(right)) if isinstance(right, Path | Aggregate) else right


def _compares(one: object, op: str, right: object, at: Instant, clock: tzinfo, *, exact: bool) -> bool:
    if isinstance(right, list):
        return any(_two(one, op, other, clock, exact=exact) for other in cast("list[object]", right))
    if isinstance(right, Moment):
        return _dated(one, op, right.expr, at, clock)
    if isinstance(right, Version):
        order = _version_order(one, right.text) if isinstance(one, str) else None
        return order is not None and _ORDERED[op](order, 0)
    return _two(one, op, right, clock, exact=exact)


def _two(one: object, op: str, other: object, clock: tzinfo, *, exact: bool) -> bool:
    if op == "on":
        days = _date(one, clock), _date(other, clock)
        return None not in days and len({cast("datetime", day).astimezone(clock).date() for day in days}) == 1
    if op == "=":
        return _same(one, other, exact=exact)
    if one is None or type_of(one) != type_of(other) or type_of(one) not in {"number", "text"}:
        return False
    return _ORDERED[op](one, other)


# Dates.


def _dated(one: object, op: str, expr: str, at: Instant, clock: tzinfo) -> bool:
    then = _date(one, clock)
    if then is None:
        return False
    if op == "on":
        return then.astimezone(clock).date() == _evaluated(expr, at, clock, up=False).astimezone(clock).date()
    bound = _evaluated(expr, at, clock, up=op in {"<=", ">"})
    return _ORDERED[op](_instant(then), _instant(bound))


def _date(value: object, clock: tzinfo) -> datetime | None:
    """Read a date: year, month and day, and perhaps a time, and perhaps a zone."""
    if not isinstance(value, str) or not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]|\Z)", value):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo is not None else _there(found, clock)


def _there(wall: datetime, clock: tzinfo) -> datetime:
    """Return when a clock shows a time; one that it leaps over is shown as much later."""
    return wall.replace(tzinfo=clock).astimezone(UTC)


def _evaluated(expr: str, at: Instant, clock: tzinfo, *, up: bool) -> datetime:
    if expr.startswith("now"):
        moment, rest = _EPOCH + timedelta(microseconds=at), expr[3:]
    else:
        text, bars, rest = expr.partition("||")
        moment = cast("datetime", _date(text, clock))
        if up and not bars and len(text) == len("2026-01-31"):
            return _there(datetime.fromisoformat(text) + timedelta(days=1), clock) - timedelta(microseconds=1)
    for sign, digits, unit in re.findall(r"([-+/])([0-9]*)([yMwdhHms])", rest):
        amount = int(digits or 1) * (-1 if sign == "-" else 1)
        moment = _rounded(moment, unit, clock, up=up) if sign == "/" else _moved(moment, amount, unit, clock)
    return moment


def _moved(moment: datetime, amount: int, unit: str, clock: tzinfo) -> datetime:
    if unit in "hHms":
        seconds = {"h": 3_600, "H": 3_600, "m": 60, "s": 1}[unit]
        return moment.astimezone(UTC) + timedelta(seconds=amount * seconds)
    wall = moment.astimezone(clock).replace(tzinfo=None)
    if unit in "wd":
        return _there(wall + timedelta(days=amount * (7 if unit == "w" else 1)), clock)
    months = wall.year * 12 + wall.month - 1 + amount * (12 if unit == "y" else 1)
    for day in range(wall.day, 0, -1):
        try:
            return _there(wall.replace(year=months // 12, month=months % 12 + 1, day=day), clock)
        except ValueError:
            continue
    raise AssertionError("a month has a day")


def _rounded(moment: datetime, unit: str, clock: tzinfo, *, up: bool) -> datetime:
    wall = moment.astimezone(clock).replace(tzinfo=None, fold=0)
    kept = {"s": 19, "m": 16, "h": 13, "H": 13, "d": 10, "w": 10, "M": 7, "y": 4}[unit]
    begins = datetime.fromisoformat(wall.isoformat()[:kept] + "0000-01-01T00:00:00"[kept:])
    if unit == "w":
        begins -= timedelta(days=begins.weekday())
    if not up:
        return _there(begins, clock)
    step = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "H": timedelta(hours=1)}
    ends = begins + step.get(unit, timedelta(days={"d": 1, "w": 7, "M": 32, "y": 367}.get(unit, 0)))
    if unit in "My":
        ends = ends.replace(day=1, month=ends.month if unit == "M" else 1)
    return _there(ends, clock) - timedelta(microseconds=1)


def _clock(zone: object) -> tzinfo:
    try:
        return ZoneInfo(zone) if isinstance(zone, str) else UTC
    except (OSError, ValueError, KeyError):
        return UTC


def _instant(moment: datetime) -> Instant:
    return (moment - _EPOCH) // timedelta(microseconds=1)


# Versions and objects.


def _version_order(one: str, other: str) -> int | None:
    """Return whether a version comes before (-1), with (0) or after (1) another; None where it is none."""
    first, second = _version(one), _version(other)
    if first is None or second is None:
        return None
    numbers = [(a > b) - (a < b) for a, b in zip(first[0], second[0], strict=True)]
    for order in numbers:
        if order:
            return order
    early, late = first[1], second[1]
    if early is None or late is None:
        return (early is None) - (late is None)
    key = cmp_to_key(_part_order)
    left, right = [key(part) for part in early], [key(part) for part in late]
    return (left > right) - (left < right)


def _version(text: str) -> tuple[list[int], list[str] | None] | None:
    found = re.fullmatch(r"[vV]?([0-9.]+)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?", text)
    if found is None:
        return None
    parts = found[1].split(".")
    early = found[2][1:].split(".") if found[2] else None
    late = found[3][1:].split(".") if found[3] else []
    if not all(0 < len(part) <= 18 for part in parts) or len(parts) > 8 or "" in (early or []) or "" in late:
        return None
    return [int(part) for part in parts] + [0] * (8 - len(parts)), early


def _part_order(one: str, other: str) -> int:
    numbers = one.isdecimal(), other.isdecimal()
    if all(numbers):
        return (int(one) > int(other)) - (int(one) < int(other))
    if any(numbers):
        return -1 if numbers[0] else 1
    return (one > other) - (one < other)
