"""Answers over time: whether a condition holds, and until when it is sure to stay so without new events."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias

from bespeak.clock import NEVER, Duration, Instant
from bespeak.conditions.aggregates import key
from bespeak.conditions.source import Source, as_test, matcher
from bespeak.conditions.states import (
    MILLIONTHS,
    State,
    Sums,
    Times,
    count_in,
    last_in,
    reached_in,
    sum_in,
    values_after,
)
from bespeak.conditions.tree import Aggregate, And, Compare, Condition, Leaf, Not, Or, Path, Test


class Visitor(Protocol):
    """What a condition may see of one person, one request, one item."""

    def get(self, path: str, /) -> object:
        """Return the value at a dotted path; None where there is none."""
        ...

    def state(self, key: str, /) -> State | None:
        """Return the state of a declared aggregate; None where no event has fed it."""
        ...


Holds: TypeAlias = Callable[[Visitor, Instant], bool]
Answer: TypeAlias = tuple[bool, Instant]
Answers: TypeAlias = Callable[[Visitor, Instant], Answer]
"""Whether it holds at an instant, and the earliest later instant at which that may change by itself."""
Read: TypeAlias = Callable[[State | None, Duration | None, Instant], object]

_ORDERED = frozenset({"<", "<=", ">", ">="})
READS: dict[str, Read] = {"count": count_in, "sum": sum_in, "last": last_in}


def holds_function(condition: Condition) -> Holds:
    """Build the function that says whether a (checked) condition holds."""
    source = Source()
    source.namespace.update(READS, reached=reached_in)
    expression = source.expression(condition, lambda leaf: _leaf(source, as_test(leaf)))
    setup = "    get = visitor.get\n" * ("get(" in expression) + "    state = visitor.state\n" * (
        "state(" in expression
    )
    return source.function("visitor, at", expression, setup)


def _leaf(source: Source, test: Test) -> str:
    operand = test.operand
    if isinstance(operand, Path):
        return source.test(test, f"get({source.constant(operand.path)})")
    state, within = f"state({source.constant(key(operand))})", source.constant(operand.within)
    turns = turn(test)
    if turns is not None:
        least, reached = turns
        return f"({'' if reached else 'not '}reached({state}, {source.constant(least)}, {within}, at))"
    read = f"{operand.kind}({state}, {within}, at)"
    if isinstance(test, Compare) and operand.kind != "last":
        return f"({read} {'==' if test.op == '=' else test.op} {source.constant(test.value)})"
    return source.test(test, read)


def has_window(condition: Condition) -> bool:
    """Say whether any leaf reads a rolling window, so that the answer can change by itself."""
    match condition:
        case And():
            return any(map(has_window, condition.all))
        case Or():
            return any(map(has_window, condition.any))
        case Not():
            return has_window(condition.condition)
        case _:
            operand = as_test(condition).operand
            return isinstance(operand, Aggregate) and operand.within is not None


def answers_function(condition: Condition) -> Answers:
    """Build the function that answers a (checked) condition, and says until when the answer stands."""
    if not has_window(condition):
        return _standing(holds_function(condition))
    match condition:
        case And():
            return _every(_parts(condition.all, And))
        case Or():
            return _any(_parts(condition.any, Or))
        case Not():
            return _opposite(answers_function(condition.condition))
        case _:
            return _windowed(condition)


def _parts(parts: tuple[Condition, ...], group: Callable[[tuple[Condition, ...]], Condition]) -> list[Answers]:
    """Return the answers of each part; those that never change by themselves come first, as one."""
    standing = tuple(part for part in parts if not has_window(part))
    moving = [answers_function(part) for part in parts if has_window(part)]
    return [_standing(holds_function(group(standing))), *moving] if standing else moving


def _standing(holds: Holds) -> Answers:
    return lambda visitor, at: (holds(visitor, at), NEVER)


def _opposite(answers: Answers) -> Answers:
    def opposite(visitor: Visitor, at: Instant) -> Answer:
        holds, until = answers(visitor, at)
        return not holds, until

    return opposite


def _every(parts: Iterable[Answers]) -> Answers:
    """While all hold, the first to change ends it; while some fail, all of those must change first."""
    parts = tuple(parts)

    def every(visitor: Visitor, at: Instant) -> Answer:
        soonest, latest, failed = NEVER, at, False
        for part in parts:
            holds, until = part(visitor, at)
            if holds:
                soonest = min(soonest, until)
            elif until == NEVER:
                return False, NEVER
            else:
                failed, latest = True, max(latest, until)
        return (False, latest) if failed else (True, soonest)

    return every


def _any(parts: Iterable[Answers]) -> Answers:
    """The mirror image of `_every`."""
    every_fails = _every([_opposite(part) for part in parts])
    return _opposite(every_fails)


def _windowed(leaf: Leaf) -> Answers:
    test = as_test(leaf)
    operand = test.operand
    if not isinstance(operand, Aggregate) or operand.within is None:
        raise TypeError("only a window changes by itself")
    name, within, read, passes = key(operand), operand.within, READS[operand.kind], matcher(test)

    def windowed(visitor: Visitor, at: Instant) -> Answer:
        state = visitor.state(name)
        holds = passes(read(state, within, at))
        for change, value in values_after(state, within, at):
            if passes(value) != holds:
                return holds, change
        return holds, NEVER

    turns = turn(test)
    if turns is not None:
        return _counted(name, within, *turns, otherwise=windowed)
    if operand.kind == "sum" and isinstance(test, Compare) and test.op in _ORDERED:
        return _summed(name, within, passes, otherwise=windowed)
    return windowed


def _counted(name: str, within: Duration, least: int, reached: bool, *, otherwise: Answers) -> Answers:  # noqa: FBT001
    """Answer a count that turns at one number: it stands until the `least` newest event leaves the window."""
    stays = (not reached, NEVER)

    def counted(visitor: Visitor, at: Instant) -> Answer:
        state = visitor.state(name)
        if not isinstance(state, Times):
            return stays
        times = state.times
        if times[-1] > at:
            return otherwise(visitor, at)
        if len(times) >= least:
            leaves = times[-least] + within
            if leaves > at:
                return reached, leaves
        return stays

    return counted


def _summed(name: str, within: Duration, passes: Callable[[object], bool], *, otherwise: Answers) -> Answers:
    """Answer a sum of amounts that are 0 or more against a bound: it stands while the newest that reach it are in."""

    def summed(visitor: Visitor, at: Instant) -> Answer:
        state = visitor.state(name)
        if not isinstance(state, Sums):
            return passes(0), NEVER
        times = state.times
        inside = state.amounts[bisect_right(times, at - within) :]
        if times[-1] > at or (inside and min(inside) < 0):
            return otherwise(visitor, at)
        holds = passes(sum(inside) / MILLIONTHS)
        if passes(0) == holds:  # what is left only falls, towards 0
            return holds, NEVER
        newest = 0
        for place in range(1, len(inside) + 1):
            newest += inside[-place]
            if passes(newest / MILLIONTHS) == holds:
                return holds, times[-place] + within
        return holds, NEVER

    return summed


def turn(test: Test) -> tuple[int, bool] | None:
    """Return the least count, 1 or more, at which the answer turns, and what it is from there on up.

    None where the answer turns at no count, or at more than one.
    """
    if not isinstance(test, Compare) or not isinstance(test.operand, Aggregate) or test.operand.kind != "count":
        return None
    if not isinstance(test.value, int | float):
        return None
    match test.op:
        case ">=" | "<":
            least = math.ceil(test.value)
        case ">" | "<=":
            least = math.floor(test.value) + 1
        case "=" | "!=" if test.value == 0:
            least = 1
        case _:
            return None
    return (least, test.op in {">", ">=", "!="}) if least >= 1 else None
