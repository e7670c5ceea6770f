"""Answers over time: whether a condition holds, and until when it is sure to stay so without new events.

Three things move by themselves: events come into windows and leave them, dates are passed, and what fades passes a
number. Between two instants at which anything moves an answer stands; so it is asked again at each of them, in order,
until it differs. What nearly all segments ask, whether so many events are in a rolling window, is answered at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import groupby
from typing import cast

from bespeak.clock import NEVER, Instant
from bespeak.conditions.asking.answers_counts import counted, reached_up_to_now, summed
from bespeak.conditions.asking.marked import holds_of, is_moving, spans_of, standing
from bespeak.conditions.asking.scored import Answering, Drawn, answer_function, asked_of_score, curve_of
from bespeak.conditions.asking.source import Source, as_test, matcher, read_on_the_right
from bespeak.conditions.asking.visitor import FADING, Answer, Answers, Holds, Later, Passes, Read, Visitor
from bespeak.conditions.asking.worth import Made, fading_passes, made_of, moves_alone, parts_function, waning_passes
from bespeak.conditions.counting.aggregates import key
from bespeak.conditions.counting.reads import (
    BETWEEN,
    EVER,
    NEVER_MISSING,
    changes,
    count_in,
    last_in,
    reached_in,
    sum_in,
)
from bespeak.conditions.counting.waning import waned
from bespeak.conditions.counting.windows import Frame, Rolling, ends_now, fades, frame, is_fixed, is_rolling, zone_read
from bespeak.conditions.derived import Derived, Worked, operands_of, unfolded
from bespeak.conditions.meaning.check import walk
from bespeak.conditions.meaning.heads import Part, local_part
from bespeak.conditions.tree import (
    Aggregate,
    And,
    AnyOf,
    Asked,
    Between,
    Compare,
    Condition,
    Counted,
    HasBeen,
    In,
    Kind,
    Marked,
    Moment,
    Not,
    Or,
    Path,
    Sequence,
    Test,
    Within,
)
from bespeak.conditions.values.dates import is_dated, moves
from bespeak.conditions.values.local import clocked, next_tick, shown
from bespeak.conditions.values.nested import turner

__all__ = [
    "FADING", "READS", "STEPS_MAX", "Answer", "Answers", "Holds", "Later", "Read", "Visitor",
    "answers_function", "has_window", "holds_function", "operands", "read_expression", "reader", "reads_zone",
    "scored_function", "test_expression", "turn",
]  # fmt: skip


STEPS_MAX = 1_000
"""Instants at which dates are passed that one answer looks ahead; after so many it says when to ask again."""
_ORDERED = frozenset({"<", "<=", ">", ">="})

READS: dict[str, object] = {
    "count": count_in,
    "sum": sum_in,
    "last": last_in,
    "shown": shown,
    **{f"{kind}_ever": read for kind, read in EVER.items()},
    **{f"{kind}_between": read for kind, read in BETWEEN.items()},
    "waned": waned,
}
"""What generated functions call to read a state."""


def operands(test: Test) -> tuple[Asked, ...]:
    """Return what a test reads: what it asks, and what that is compared with, where it is no constant."""
    return (test.operand, *read_on_the_right(test))


def read_expression(source: Source, operand: Asked) -> str:
    """Write what reads an operand, of `visitor`, `get`, `state` and `at`."""
    if isinstance(operand, Worked):
        return f"{source.constant(reader(operand))}(visitor, at)"
    if isinstance(operand, Path):
        part = local_part(operand.path)
        if part is not None:
            return f"shown({source.constant(part)}, at, get('zone'))"
        return f"get({source.constant(operand.path)})"
    if isinstance(operand, Sequence | HasBeen):
        return f"{source.constant(holds_of(operand))}(state({source.constant(key(operand))}), get, at)"
    state, kind = f"state({source.constant(key(operand))})", operand.kind
    window = frame(operand.within)
    if fades(operand.within):
        return f"waned({state}, at)"
    if window is None:
        return f"{kind}({state}, None, at)" if kind in READS else f"{kind}_ever({state})"
    if not isinstance(window, Rolling):
        return f"{kind}_between({state}, *{source.constant(window.bounds)}(get, at))"
    within = source.constant(window.span)
    return f"{kind}({state}, {within}, at)" if kind in READS else f"{kind}_between({state}, at - {within}, at)"


def reader(operand: Asked) -> Read:
    """Build the function that reads an operand of a visitor at an instant."""
    if isinstance(operand, Worked):
        return _made(operand.derived).read
    if isinstance(operand, Path):
        path, part = operand.path, local_part(operand.path)
        if part is not None:
            return lambda visitor, at: shown(part, at, visitor.get("zone"))
        return lambda visitor, _at: visitor.get(path)
    name = key(operand)
    if isinstance(operand, Sequence | HasBeen):
        marked = holds_of(operand)
        return lambda visitor, at: marked(visitor.state(name), visitor.get, at)
    window = frame(operand.within)
    if fades(operand.within):
        return lambda visitor, at: waned(visitor.state(name), at)
    if window is None:
        ever = EVER[operand.kind]
        return lambda visitor, _at: ever(visitor.state(name))
    between, bounds = BETWEEN[operand.kind], window.bounds
    return lambda visitor, at: between(visitor.state(name), *bounds(visitor.get, at))


def holds_function(condition: Condition) -> Holds:
    """Build the function that says whether a (checked) condition holds."""
    source = Source()
    source.namespace.update(READS, reached=reached_in)
    expression = source.expression(condition, lambda leaf: _leaf(source, as_test(leaf)))
    setup = "    get = visitor.get\n" * ("get" in expression) + "    state = visitor.state\n" * ("state(" in expression)
    return source.function("visitor, at", expression, setup)


def _leaf(source: Source, test: Test) -> str:
    operand, turns = test.operand, turn(test)
    if (
        turns is not None
        and isinstance(operand, Aggregate)
        and (is_rolling(operand.within) or is_fixed(operand.within))
    ):
        least, reached = turns
        state = source.constant(key(operand))
        within = source.constant(operand.within if is_rolling(operand.within) else None)
        return f"({'' if reached else 'not '}reached(state({state}), {source.constant(least)}, {within}, at))"
    return test_expression(source, test, read_expression(source, operand))


def test_expression(source: Source, test: Test, value: str) -> str:
    """Write whether a test passes, given the expression of what it asks; a number that is never missing needs less."""
    operand = test.operand
    if (
        isinstance(test, Compare)
        and isinstance(operand, Aggregate)
        and operand.kind in NEVER_MISSING
        and isinstance(test.value, int | float)
        and not isinstance(test.value, bool)
    ):
        return f"({value} {'==' if test.op == '=' else test.op} {source.constant(test.value)})"
    return source.test(test, value, [read_expression(source, one) for one in read_on_the_right(test)])


def has_window(condition: Condition) -> bool:
    """Say whether any leaf moves by itself: events leave its window, what it reads fades, or it waits for a date."""
    match condition:
        case And():
            return any(map(has_window, condition.all))
        case Or():
            return any(map(has_window, condition.any))
        case Not():
            return has_window(condition.condition)
        case _:
            test = as_test(condition)
            return any(map(_slides, operands(test))) or moves(test)


def _slides(operand: Asked) -> bool:
    if isinstance(operand, Worked):
        return moves_alone(operand.derived, has_window) or any(map(_slides, operands_of(operand.derived)))
    if isinstance(operand, Path):
        return operand.path.startswith(FADING) or local_part(operand.path) is not None
    if isinstance(operand, Sequence | HasBeen):
        return is_moving(operand)
    return frame(operand.within) is not None or fades(operand.within)


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
            return _moving(as_test(condition))


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


def _moving(test: Test) -> Answers:
    """Answer a leaf that moves by itself."""
    operand = test.operand
    if isinstance(operand, Sequence | HasBeen):
        return _marked(operand)
    scored = scored_function(test)
    if scored is not None:
        curve, answer = scored
        return lambda visitor, at: answer(curve(visitor, at), visitor, at)
    if isinstance(operand, Path) and not isinstance(operand, Worked) and moves(test) and len(operands(test)) == 1:
        return _dated(operand.path, test)
    others = _beside_the_clock(test)
    if others is not None:
        zone: Read = lambda visitor, _at: zone_read(visitor.get)  # noqa: E731  a name of its type
        return clocked(test, holds_function(test), zone, map(reader, others))
    if len(operands(test)) > 1 or isinstance(operand, Path) or is_dated(test) or fades(operand.within):
        return _piecewise(test)
    window = cast("Frame", frame(operand.within))
    windowed = _windowed(operand, window, test)
    turns = turn(test)
    if not isinstance(window, Rolling):
        return (
            windowed
            if turns is None or not ends_now(operand.within)
            else reached_up_to_now(window, windowed, key(operand), turns)
        )
    if turns is not None:
        return counted(key(operand), window.span, *turns, otherwise=windowed)
    if operand.kind == "sum" and isinstance(test, Compare) and test.op in _ORDERED:
        return summed(key(operand), window.span, matcher(test), otherwise=windowed)
    return windowed


def _marked(operand: Marked) -> Answers:
    """Answer what stands on the order of events: it holds from some instants until others."""
    name, spans = key(operand), spans_of(operand)

    def marked(visitor: Visitor, at: Instant) -> Answer:
        return standing(spans(visitor.state(name), visitor.get), at)

    return marked


def _windowed(operand: Counted, window: Frame, test: Test) -> Answers:
    """Answer what one aggregate in a window must be: it slides until what it is passes no more, or at last."""
    name, kind, between, passes = key(operand), operand.kind, BETWEEN[operand.kind], matcher(test)

    def windowed(visitor: Visitor, at: Instant) -> Answer:
        state = visitor.state(name)
        holds = passes(between(state, *window.bounds(visitor.get, at)))
        for change, value in changes(kind, state, window, visitor.get, at):
            if passes(value) is not holds:
                return holds, change
        return holds, NEVER

    return windowed


def _dated(path: str, test: Test) -> Answers:
    """Answer what waits for a date: it is known when it comes."""
    turns = turner(test)

    def dated(visitor: Visitor, at: Instant) -> Answer:
        return turns(visitor.get(path), at, zone_read(visitor.get))

    return dated


def _beside_the_clock(test: Test) -> list[Path] | None:
    """Return what a test of the person's clock reads beside it; None where it asks no clock, or what else moves."""
    paths = [one for one in operands(test) if isinstance(one, Path) and not one.path.startswith(FADING)]
    others = [one for one in paths if local_part(one.path) is None]
    if moves(test) or len(paths) < len(operands(test)) or len(others) == len(paths):
        return None
    return others


def _piecewise(test: Test) -> Answers:
    """Answer whatever may move: at each instant at which something it reads moves, it is asked again."""
    asked, read = holds_function(test), tuple(unfolded(operands(test)))
    counted = [one for one in read if isinstance(one, Aggregate)]
    framed = [(one, frame(one.within)) for one in counted]
    windows: list[tuple[str, Kind, Frame]] = [(key(one), one.kind, it) for one, it in framed if it is not None]
    crossings = _crossings(test)

    def piecewise(visitor: Visitor, at: Instant) -> Answer:
        holds, moved, steps = asked(visitor, at), at, 0
        sliding = merge(
            *(
                (change for change, _ in changes(kind, visitor.state(name), window, visitor.get, at))
                for name, kind, window in windows
            )
        )
        for change in (*(one for one, _ in groupby(sliding)), NEVER):
            while (crossing := min(crossings(visitor, moved), default=NEVER)) < change:
                steps += 1
                if steps > STEPS_MAX or asked(Later(visitor, crossing), crossing) is not holds:
                    return holds, crossing
                moved = crossing
            if change != NEVER and asked(Later(visitor, change), change) is not holds:
                return holds, change
            moved = change
        return holds, NEVER

    return piecewise


def _crossings(test: Test) -> Callable[[Visitor, Instant], Iterator[Instant]]:
    """Build what yields when, after an instant, what fades or is worked out passes a number, or a date is passed."""
    passing = [(one, passes) for one in operands(test) if (passes := _passing(one)) is not None]
    turns, read = turner(test) if moves(test) else None, reader(test.operand)
    read_parts: list[Part | None] = [local_part(one.path) for one in operands(test) if isinstance(one, Path)]
    parts: list[Part] = [part for part in read_parts if part is not None]

    def crossings(visitor: Visitor, at: Instant) -> Iterator[Instant]:
        for operand, passes in passing:
            yield passes(visitor, at, list(_bounds(test, operand, visitor, at)))
        for part in parts:
            yield next_tick(part, at, visitor.get("zone"))
        if turns is not None:
            yield turns(read(Later(visitor, at), at), at, zone_read(visitor.get))[1]

    return crossings


def _passing(operand: Asked) -> Passes | None:
    """Build what says when an operand passes one of some numbers; None where it only does as windows slide."""
    if isinstance(operand, Worked):
        return _made(operand.derived).passes
    if isinstance(operand, Aggregate):
        return waning_passes(key(operand)) if fades(operand.within) else None
    return fading_passes(operand.path) if isinstance(operand, Path) and operand.path.startswith(FADING) else None


def _made(derived: Derived) -> Made:
    return made_of(derived, reader, holds_function, answers_function, _passing)


def scored_function(test: Test) -> tuple[Drawn, Answering] | None:
    """Return what reads the curve of a score, and what answers a test of it; None where it is another test."""
    if is_dated(test) or moves(test) or len(operands(test)) > 1:
        return None
    score = asked_of_score(test)
    if score is None:
        return None
    parts = parts_function(score, holds_function)
    return curve_of(score, answers_function), answer_function(test, score, parts)


def _bounds(test: Test, operand: Asked, visitor: Visitor, at: Instant) -> Iterator[float]:
    """Yield the numbers that an operand is compared with."""
    sides: tuple[object, ...]
    match test:
        case Compare(left, _, value):
            sides = (left, value)
        case Between(left, low, high):
            sides = (left, low, high)
        case In(_, values):
            sides = values
        case _:
            sides = ()
    for side in sides:
        found: object = side
        if isinstance(side, Path | Aggregate):
            found = reader(side)(Later(visitor, at), at) if side != operand else None
        yield from _numbers(found)


def _numbers(found: object) -> Iterator[float]:
    """Yield the numbers of a value, or of the elements of a list."""
    for one in cast("Iterable[object]", found) if isinstance(found, list | tuple) else (found,):
        if isinstance(one, int | float) and not isinstance(one, bool):
            yield one


def turn(test: Test) -> tuple[int, bool] | None:
    """Return the least count, 1 or more, at which the answer turns, and what it is from there on up.

    None where the answer turns at no count, or at more than one.
    """
    if not isinstance(test, Compare) or not isinstance(test.operand, Aggregate) or test.operand.kind != "count":
        return None
    if not isinstance(test.value, int | float) or not (
        is_fixed(test.operand.within) or is_rolling(test.operand.within)
    ):
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


def reads_zone(test: Test) -> bool:
    """Say whether the answer of a test depends on the person's time zone, whatever its windows are."""
    match test:
        case Compare(_, op, value):
            return op == "on" or isinstance(value, Moment | Path | Aggregate)
        case Between(_, low, high):
            return isinstance(low, Moment | Path | Aggregate) or isinstance(high, Moment | Path | Aggregate)
        case AnyOf():
            return any(reads_zone(as_test(one)) for one in walk(test.where) if not isinstance(one, And | Or | Not))
        case _:
            return isinstance(test, Within)
