"""Families: conditions that stand on one state and differ in a number or a value, decided together.

One more event makes a count one more. So it can turn those only that ask for just as many as their windows now hold:
all others of the family, be they hundreds, need no look. Of conditions that ask for different values of one property
only those of the value that is there now can hold, and a dictionary knows them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from operator import ge, gt, itemgetter
from typing import TypeAlias, TypeVar, cast

import msgspec

from bespeak.clock import NEVER, Duration, Instant
from bespeak.conditions.asking.answers import Holds, Visitor, turn
from bespeak.conditions.asking.source import as_test
from bespeak.conditions.counting.states_figures import MILLIONTHS
from bespeak.conditions.counting.windows import is_fixed, is_rolling
from bespeak.conditions.tree import Aggregate, And, Compare, Condition, In, Leaf, Not, Or, Test
from bespeak.conditions.values.folding import fold

Move: TypeAlias = tuple[str, bool, str | None]
"""Name of a condition, whether it holds now, and the sentence that says why, where it is known already."""

AskValue: TypeAlias = Callable[[object, Visitor, Instant, Mapping[str, object], list[Move]], None]
"""Given the value that is there now, and who holds so far: note who moves."""

T = TypeVar("T")

_SUM_MAX = 1_000_000_000
"""Up to here neighbouring millionths are different floats, so that one of them is the turn."""


class Turning(msgspec.Struct, frozen=True):
    """A count, or a sum in a window, against one number: it is `reached` from `least` on up, and else not.

    `least` is 1 or more; that of a sum is in millionths, and exact as long as no amount is below zero.
    """

    aggregate: Aggregate
    least: int
    reached: bool


def turning(condition: Condition) -> Turning | None:
    """Return a (checked) condition as a figure that turns at one number; None where it is something else."""
    if isinstance(condition, Not):
        found = turning(condition.condition)
        return None if found is None else Turning(found.aggregate, found.least, not found.reached)
    if isinstance(condition, And | Or):
        return None
    return turning_leaf(condition)


def turning_leaf(leaf: Leaf) -> Turning | None:
    """Return a leaf as a figure, ever or in a rolling window, that turns at one number; None where it is another."""
    test = as_test(leaf)
    if not isinstance(test.operand, Aggregate) or not (
        is_rolling(test.operand.within) or is_fixed(test.operand.within)
    ):
        return None
    turns = turn(test) if test.operand.kind == "count" else _turn_of_sum(test, test.operand)
    return None if turns is None else Turning(test.operand, *turns)


def _turn_of_sum(test: Test, total: Aggregate) -> tuple[int, bool] | None:
    if not isinstance(test, Compare) or total.kind != "sum" or not is_rolling(total.within):
        return None
    value = test.value
    if test.op in {"=", "!="} or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= _SUM_MAX:
        return None
    passes = ge if test.op in {">=", "<"} else gt
    least = int(value * MILLIONTHS) - 1
    while not passes(least / MILLIONTHS, value):
        least += 1
    return (least, test.op in {">", ">="}) if least > 0 else None


def turned_in_windows(
    members: Iterable[tuple[T, int, Duration]],
) -> Callable[[list[Instant], Instant], Iterable[tuple[T, Instant]]]:
    """Build what says which counts in windows one more time has turned, and when each turns back.

    The answer may hold some that had turned before, where the time that was added is not the newest.

    Parameters
    ----------
    members
        The number that each asks for (1 or more), and its window.

    Examples
    --------
    >>> turned = turned_in_windows([("keen", 2, 30), ("avid", 3, 60), ("fan", 3, 90)])
    >>> turned([20, 80, 100], 100)
    [('keen', 110), ('fan', 110)]
    >>> turned([20, 80, 100, 101], 101)
    [('avid', 140)]
    """
    by_count: dict[int, list[tuple[Duration, T]]] = {}
    for member, least, within in members:
        by_count.setdefault(least, []).append((within, member))
    groups = [_group(least, by_count[least]) for least in sorted(by_count)]
    shortest, most = min((group[1] for group in groups), default=0), max(by_count, default=0)
    longest = max((group[2] for group in groups), default=0)
    beginnings = [bisect_left(groups, least, key=itemgetter(0)) for least in range(most + 2)]

    def turned(times: list[Instant], at: Instant) -> Iterable[tuple[T, Instant]]:
        total = len(times)
        if total > most and times[~most] + shortest > at:
            return ()  # the shortest window holds more than anybody asks for, and did before
        found: list[tuple[T, Instant]] = []
        inside = total - bisect_right(times, at - shortest)
        for least, briefest, widest, windows, asking in groups[beginnings[min(inside, most + 1)] :]:
            if least > total:
                break
            oldest = times[-least]
            if oldest + widest <= at:
                if oldest + longest <= at:
                    break
                continue
            last = len(windows)
            if least < total:
                earlier = at - times[~least]
                if earlier < briefest:
                    continue  # the common case: there were as many before
                last = bisect_right(windows, earlier)
            first = bisect_right(windows, at - oldest)
            found += [(asking[place], oldest + windows[place]) for place in range(first, last)]
        return found

    return turned


def _group(least: int, members: list[tuple[Duration, T]]) -> tuple[int, Duration, Duration, list[Duration], list[T]]:
    """Return what asks for one number: the number, the shortest and the longest window, the windows, and whose."""
    members.sort(key=itemgetter(0))
    windows = [within for within, _ in members]
    return least, windows[0], windows[-1], windows, [member for _, member in members]


def turned_for_ever(members: Iterable[tuple[T, int]]) -> Callable[[int], Iterable[tuple[T, Instant]]]:
    """Build what says which counts without a window, by the number that each asks for, one more event has turned."""
    by_count: dict[int, list[tuple[T, Instant]]] = {}
    for member, least in members:
        by_count.setdefault(least, []).append((member, NEVER))
    return lambda count: by_count.get(count, ())


def reached_by_sums(
    members: Iterable[tuple[T, int, Duration]],
) -> Callable[[list[Instant], list[int], Instant], Iterable[tuple[T, Instant]]]:
    """Build what says which sums in windows, of amounts that are 0 or more, are reached, and when each turns back.

    Parameters
    ----------
    members
        The number of millionths that each asks for (1 or more), and its window.

    Examples
    --------
    >>> reached = reached_by_sums([("buyers", 50, 30), ("patrons", 200, 90), ("savers", 60, 5)])
    >>> reached([20, 80, 100], [100, 20, 40], 100)
    [('buyers', 110)]
    """
    ordered = sorted(members, key=lambda one: one[1])

    def reached(times: list[Instant], amounts: list[int], at: Instant) -> Iterable[tuple[T, Instant]]:
        if not ordered or sum(amounts) < ordered[0][1]:
            return ()
        found: list[tuple[T, Instant]] = []
        newest = list(accumulate(reversed(amounts)))
        for member, least, within in ordered:
            if least > newest[-1]:
                break
            until = times[~bisect_left(newest, least)] + within
            if until > at:
                found.append((member, until))
        return found

    return reached


def choosing(condition: Condition) -> tuple[Aggregate, frozenset[str]] | None:
    """Return the last value that a (checked) condition stands on, and the texts, folded, of which it must be one.

    None where it stands on none. The value has no window: it changes by events only.
    """
    for part in condition.all if isinstance(condition, And) else (condition,):
        if not isinstance(part, Compare | In) or not isinstance(part.operand, Aggregate):
            continue
        values = part.values if isinstance(part, In) else (part.value,) if part.op == "=" else ()
        texts = [fold(value) for value in values if isinstance(value, str)]
        if part.operand.kind == "last" and is_fixed(part.operand.within) and texts and len(texts) == len(values):
            return part.operand, frozenset(texts)
    return None


def chosen_by_value(members: Iterable[tuple[str, frozenset[str], Holds]]) -> AskValue:
    """Build what asks conditions that choose by one value: the name of each, its texts, and whether it holds.

    Those of another value do not hold. Texts that are alike but for case and accents are looked up as one.
    """
    by_text: dict[str, list[tuple[str, Holds]]] = {}
    for name, texts, holds in members:
        for text in {fold(text) for text in texts}:
            by_text.setdefault(text, []).append((name, holds))
    names = frozenset(name for group in by_text.values() for name, _ in group)

    def ask(value: object, visitor: Visitor, at: Instant, held: Mapping[str, object], moved: list[Move]) -> None:
        chosen = by_text.get(fold(value), ()) if isinstance(value, str) else _of_any(by_text, value)
        for name, holds in chosen:
            if (now := holds(visitor, at)) is not (name in held):
                moved.append((name, now, None))
        if not held.keys().isdisjoint(names):
            still = {name for name, _ in chosen}
            moved += [(name, False, None) for name in held if name in names and name not in still]

    return ask


def _of_any(by_text: Mapping[str, list[tuple[str, Holds]]], value: object) -> Iterable[tuple[str, Holds]]:
    """Return those that a list chooses, by any of its elements, each once."""
    elements = cast("Iterable[object]", value) if isinstance(value, list | tuple) else ()
    texts = [fold(element) for element in elements if isinstance(element, str)]
    return {name: (name, holds) for text in texts for name, holds in by_text.get(text, ())}.values()
