"""Tests on an item with everything else filled in: dates as they are now, and what the person holds as constants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias, cast

from bespeak.clock import Instant
from bespeak.conditions.tree import (
    Aggregate,
    And,
    AnyOf,
    Asked,
    Between,
    Compare,
    Condition,
    In,
    Moment,
    Not,
    Operand,
    Operator,
    Or,
    Path,
    Right,
    Value,
    Within,
)
from bespeak.conditions.values.dates import instants, settle
from bespeak.conditions.values.pairs import elements, hull, is_between

Known: TypeAlias = Mapping[Asked, object]
"""What is read of the person, by operand; what is not in it is the item's."""

INSTANTS = frozenset({"item.created"})
"""Paths of items that hold an instant, in microseconds since 1970, and no text."""

_HELD_INSTANTS = frozenset(map(Path, INSTANTS))
_MIRRORED: dict[Operator, Operator] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def settled(condition: Condition, at: Instant, zone: object) -> Condition:
    """Return a condition with its dates fixed as they are at an instant, those inside `any of` included."""
    match condition:
        case And(parts):
            return And(tuple(settled(part, at, zone) for part in parts))
        case Or(parts):
            return Or(tuple(settled(part, at, zone) for part in parts))
        case Not(part):
            return Not(settled(part, at, zone))
        case AnyOf(path, where):
            return AnyOf(path, settled(where, at, zone))
        case Compare(value=Moment()) | Between(low=Moment()) | Within():
            found = settle(condition, at, zone)
            return _in_numbers(found) if found.operand in _HELD_INSTANTS else found
        case _:
            return condition


def _in_numbers(test: Compare | Between) -> Condition:
    """Return a settled test about dates for what holds instants as numbers."""

    def number(value: Right) -> int:
        return instants(cast("Moment", value).expr, None)[0]

    if isinstance(test, Compare):
        return Compare(test.operand, test.op, number(test.value))
    return And((Compare(test.operand, ">=", number(test.low)), Compare(test.operand, "<=", number(test.high))))


def filled(test: Compare | Between, known: Known, zone: object) -> Condition:
    """Return what a comparison of the person with the item asks of the item; maybe an `and` or `or` of nothing."""
    if isinstance(test, Between):
        return _filled_between(test, known)
    item, op = test.operand, test.op
    other: Right = test.value
    if item in known:
        item, other, op = cast("Operand", other), item, _MIRRORED.get(op, op)
    value = known[other] if isinstance(other, Path | Aggregate) else other
    if op == "!=":
        return Not(_compared(item, "=", value, zone, exact=test.exact))
    return _compared(item, op, value, zone, exact=test.exact)


def _compared(item: Operand, op: Operator, value: object, zone: object, *, exact: bool) -> Condition:
    """Ask the item for any of the elements of a value; of those in order the farthest is enough."""
    if op == "=":
        values = tuple(dict.fromkeys((one.__class__, one) for one in _plain(value)))
        return In(item, tuple(one for _, one in values), exact) if values else Or(())
    if op == "on":
        days = [Compare(item, "on", Moment(one)) for one in dict.fromkeys(_plain(value)) if isinstance(one, str)]
        return _any([settle(day, 0, zone) for day in days if instants(cast("Moment", day.value).expr, None)])
    most = 1 if op in {"<", "<="} else 0
    return _any([Compare(item, op, ends[most]) for ends in hull(value, value)])


def _filled_between(test: Between, known: Known) -> Condition:
    low, high = (known.get(end, end) if isinstance(end, Path | Aggregate) else end for end in (test.low, test.high))
    if test.operand not in known:
        return _between(test.operand, low, high)
    parts: list[Condition] = []
    for one in dict.fromkeys(_plain(known[test.operand])):
        sides = (_side(low, "<=", one), _side(high, ">=", one))
        parts.append(And(sides))
    return _any(parts)


def _between(item: Operand, low: object, high: object) -> Condition:
    """Ask for an element between two ends, of which one may be the item's."""
    lows = [low] if isinstance(low, Path) else [ends[0] for ends in hull(low, low)]
    highs = [high] if isinstance(high, Path) else [ends[1] for ends in hull(high, high)]
    ends = [(one, other) for one in lows for other in highs if _are_alike(one, other)]
    return _any([Between(item, cast("Right", one), cast("Right", other)) for one, other in ends])


def _are_alike(one: object, other: object) -> bool:
    return isinstance(one, Path) or isinstance(other, Path) or isinstance(one, str) is isinstance(other, str)


def _side(end: object, op: Operator, one: Value) -> Condition:
    """Ask whether an end, the item's or a value, is below or above a value."""
    if isinstance(end, Path):
        return _compared(end, op, one, None, exact=False)
    holds = is_between(end, end, one) if op == "<=" else is_between(end, one, end)
    return And(()) if holds else Or(())


def _any(parts: list[Condition]) -> Condition:
    return parts[0] if len(parts) == 1 else Or(tuple(parts))


def _plain(value: object) -> list[Value]:
    return [one for one in elements(value) if isinstance(one, str | int | float | bool)]
