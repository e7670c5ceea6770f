"""Two values of a person, an event or an item against one another: `traits.last_total > traits.first_total`.

The rules are those of constants: any element of a list on either side will do, nothing compares across types, what is
missing holds for nothing, numbers are ordered by size and texts by code point. The cost grows with the two lists, not
with their product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from operator import ge, gt, le, lt
from typing import Any, NamedTuple, TypeAlias, cast

from bespeak.clock import DAY
from bespeak.conditions.tree import Compare, Operator
from bespeak.conditions.values.dates import instants
from bespeak.conditions.values.folding import fold
from bespeak.conditions.values.zones import Zone, wall_at, zone_of

Pair: TypeAlias = Callable[[object, object, object], bool]
"""Whether two values pass, in the zone of a name."""

_ORDERS: dict[Operator, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}


class _Sorts(NamedTuple):
    """The elements of a value that have an order, by sort."""

    numbers: list[float]
    texts: list[str]


def pair(test: Compare) -> Pair:
    """Build what says whether the operand of a comparison and what stands on its right pass it."""
    op, exact = test.op, test.exact
    if op in {"=", "!="}:
        negated = op == "!="
        return lambda one, other, _zone: (
            (not keys(one, exact=exact).isdisjoint(keys(other, exact=exact))) is not negated
        )
    if op == "on":
        return lambda one, other, name: _share_a_day(one, other, zone_of(name))
    return lambda one, other, _zone: _ordered(op, _sorted(one), _sorted(other))


def is_between(value: object, low: object, high: object) -> bool:
    """Say whether an element of a value lies between two others, both ends in."""
    lows, highs = _sorted(low), _sorted(high)
    found = map(_sorted, ([element] for element in elements(value)))
    return any(_ordered(">=", one, lows) and _ordered("<=", one, highs) for one in found)


def hull(low: object, high: object) -> list[tuple[float, float] | tuple[str, str]]:
    """Return the ends between which a value lies when it `is_between`, by sort; of a sort that one lacks, none."""
    lows, highs = _sorted(low), _sorted(high)
    ends: list[tuple[float, float] | tuple[str, str]] = []
    if lows.numbers and highs.numbers:
        ends.append((min(lows.numbers), max(highs.numbers)))
    if lows.texts and highs.texts:
        ends.append((min(lows.texts), max(highs.texts)))
    return ends


def keys(value: object, *, exact: bool) -> AbstractSet[tuple[str, object]]:
    """Return what makes the elements of a value equal to others: their sort, and what they are, texts folded."""
    found: set[tuple[str, object]] = set()
    for one in elements(value):
        if isinstance(one, str):
            found.add(("text", one if exact else fold(one)))
        elif isinstance(one, bool):
            found.add(("flag", one))
        elif isinstance(one, int | float):
            found.add(("number", one))
    return found


def elements(value: object) -> Iterable[object]:
    """Return the elements of a list, or the one value."""
    return cast("Iterable[object]", value) if isinstance(value, list | tuple) else (value,)


def _sorted(value: object) -> _Sorts:
    sorts = _Sorts([], [])
    for one in elements(value):
        if isinstance(one, str):
            sorts.texts.append(one)
        elif isinstance(one, int | float) and not isinstance(one, bool):
            sorts.numbers.append(one)
    return sorts


def _ordered(op: Operator, one: _Sorts, other: _Sorts) -> bool:
    """Say whether any two elements of one sort are in order: the least of one against the most of the other tells."""
    return _extremes(op, one.numbers, other.numbers) or _extremes(op, one.texts, other.texts)


def _extremes(op: Operator, ones: list[Any], others: list[Any]) -> bool:
    if not ones or not others:
        return False
    if op in {"<", "<="}:
        return _ORDERS[op](min(ones), max(others))
    return _ORDERS[op](max(ones), min(others))


def _share_a_day(one: object, other: object, zone: Zone) -> bool:
    days = {wall_at(at, zone) // DAY for at in instants(one, zone)}
    return any(wall_at(at, zone) // DAY in days for at in instants(other, zone))
