"""What is asked after an event: only what it can have moved.

An event moves a condition by the states that it feeds. Where it makes a count one more, it moves only those conditions
of which it turns a leaf, and `families` say which these are; whatever else stands on a state that was fed is asked.
A condition whose leaves did not turn stays as it is, and so does its flip: a window in which there are more events
than before ends later, so that what is noted can be too early only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias, cast

import msgspec

from bespeak.clock import NEVER, Duration, Instant
from bespeak.conditions.aggregates import State, key
from bespeak.conditions.answers import Visitor
from bespeak.conditions.compile import Compiled
from bespeak.conditions.explain import counted_sentence
from bespeak.conditions.families import Move, turned_for_ever, turned_in_windows, turning, turning_leaf
from bespeak.conditions.flips import Flips
from bespeak.conditions.source import as_test
from bespeak.conditions.states import Count, Times
from bespeak.conditions.together import Direction, Pass, direction, together
from bespeak.conditions.tree import Aggregate, And, Condition, Leaf, Not, Or

AfterEvent: TypeAlias = Callable[[Visitor, Instant, Mapping[str, State], Mapping[str, object], Flips], list[Move]]
"""Ask at an instant, given the states that the event fed, who held before it, and the noted flips.

Returns who moved; the flips are brought up to date.
"""

Named: TypeAlias = tuple[str, Compiled]

_Member: TypeAlias = Move | Pass
"""A move, where the condition is one count alone and nothing else; else the pass that asks it."""

_Turned: TypeAlias = Callable[[State, Instant], Iterable[tuple[_Member, Instant]]]


class _Standing(msgspec.Struct):
    """What stands on one state, each once: counts by number and window, and what is asked whatever the state holds."""

    in_windows: dict[tuple[_Member, int, Duration], None] = {}
    for_ever: dict[tuple[_Member, int], None] = {}
    asked: dict[_Member, None] = {}
    everybody: dict[str, Compiled] = {}


def after_event(event: str, conditions: Iterable[Named], always: Iterable[Named]) -> AfterEvent:
    """Build what is asked after an event of a name.

    Parameters
    ----------
    conditions
        Those whose answers were right before the event, and which only what it feeds can have changed.
    always
        Those that are asked whatever it has fed.
    """
    groups: dict[object, list[tuple[str, Compiled, Direction]]] = {}
    for name, compiled in conditions:
        way = direction(compiled.condition, event)
        if way is not None:
            leaves = _leaves(compiled.condition, event)
            asked_by = frozenset(key(operand) for leaf, operand in leaves if turning_leaf(leaf) is None)
            groups.setdefault(asked_by or name, []).append((name, compiled, way))
    standing: dict[str, _Standing] = {}
    for group in groups.values():
        _stand(standing, group, event)
    asked: list[tuple[str, Compiled, Direction]] = [(name, compiled, "both") for name, compiled in always]
    return _ask({state: _turned(found) for state, found in standing.items()}, together(asked) if asked else None)


def _leaves(condition: Condition, event: str) -> Iterator[tuple[Leaf, Aggregate]]:
    """Yield the leaves that an event of a name can change, and what they read."""
    match condition:
        case And(parts) | Or(parts):
            for part in parts:
                yield from _leaves(part, event)
        case Not(part):
            yield from _leaves(part, event)
        case leaf:
            operand = as_test(leaf).operand
            if isinstance(operand, Aggregate) and operand.event == event:
                yield leaf, operand


def _stand(standing: dict[str, _Standing], group: list[tuple[str, Compiled, Direction]], event: str) -> None:
    """Note a condition, or a group that is asked together, at each state that it stands on."""
    name, first, _ = group[0]
    alone = turning(first.condition)
    member: _Member = together(group)
    if alone is not None:
        member = (name, alone.reached, counted_sentence(alone.aggregate, alone.least))
    for each, compiled, _ in group:
        for leaf, operand in _leaves(compiled.condition, event):
            found, turns = standing.setdefault(key(operand), _Standing()), turning_leaf(leaf)
            if turns is None:
                found.asked[member] = None
                continue
            found.everybody[each] = compiled
            if operand.within is None:
                found.for_ever[member, turns.least] = None
            else:
                found.in_windows[member, turns.least, operand.within] = None


def _turned(standing: _Standing) -> _Turned:
    """Build what says which members are moved or asked, given the state as it is now."""
    asked = [(member, NEVER) for member in standing.asked]
    everybody = together((name, compiled, "both") for name, compiled in standing.everybody.items())
    in_windows, for_ever = turned_in_windows(standing.in_windows), turned_for_ever(standing.for_ever)

    def windowed(state: State, at: Instant) -> Iterable[tuple[_Member, Instant]]:
        times = cast("Times", state).times
        if times[-1] > at:
            return [(everybody, NEVER), *asked]  # at an instant before the newest event windows may turn by themselves
        turned = in_windows(times, at)
        return [*turned, *asked] if asked else turned

    def counted(state: State, _at: Instant) -> Iterable[tuple[_Member, Instant]]:
        turned = for_ever(cast("Count", state).n)
        return [*turned, *asked] if asked else turned

    if standing.in_windows:
        return windowed
    return counted if standing.for_ever else lambda _state, _at: asked


def _ask(turned: Mapping[str, _Turned], always: Pass | None) -> AfterEvent:
    def ask(
        visitor: Visitor, at: Instant, fed: Mapping[str, State], held: Mapping[str, object], flips: Flips
    ) -> list[Move]:
        moved = always(visitor, at, held, flips) if always is not None else []
        passes: dict[Pass, None] = {}
        for state, value in fed.items():
            if state not in turned:
                continue
            for member, until in turned[state](value, at):
                if not isinstance(member, tuple):
                    passes[member] = None
                elif (member[0] in held) is not member[1]:
                    moved.append(member)
                    if until != NEVER:
                        flips.note(member[0], until)
        for each in passes:
            moved += each(visitor, at, held, flips)
        return moved

    return ask
