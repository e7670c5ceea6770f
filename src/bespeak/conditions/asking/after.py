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
from bespeak.conditions.asking.answers import Visitor
from bespeak.conditions.asking.compile import Compiled, counted_by
from bespeak.conditions.asking.explain import counted_sentence
from bespeak.conditions.asking.families import (
    Move,
    reached_by_sums,
    turned_for_ever,
    turned_in_windows,
    turning,
    turning_leaf,
)
from bespeak.conditions.asking.flips import Flips
from bespeak.conditions.asking.marked import events_of
from bespeak.conditions.asking.together import Direction, Pass, direction, together
from bespeak.conditions.counting.aggregates import Fed, State, key
from bespeak.conditions.counting.states_figures import Count, Sums, Times
from bespeak.conditions.counting.windows import is_rolling
from bespeak.conditions.names import is_meant
from bespeak.conditions.tree import And, Condition, Declared, Leaf, Not, Or

Named: TypeAlias = tuple[str, Compiled]

_Member: TypeAlias = Move | Pass
"""A move, where the condition is one count alone and nothing else; else the pass that asks it."""

_Turned: TypeAlias = Callable[[State, Instant], Iterable[tuple[_Member, Instant]]]


class _Standing(msgspec.Struct):
    """What stands on one state, each once: figures by number and window, and what is asked whatever the state holds.

    `everybody` are the conditions behind the figures.
    """

    counts: dict[tuple[_Member, int, Duration], None] = {}
    for_ever: dict[tuple[_Member, int], None] = {}
    sums: dict[tuple[_Member, int, Duration], None] = {}
    asked: dict[_Member, None] = {}
    everybody: dict[str, Compiled] = {}


class AfterEvent:
    """What is asked after an event of a name.

    Parameters
    ----------
    conditions
        Those whose answers were right before the event, and which only what it feeds can have changed.
    always
        What is asked whatever it has fed.
    """

    __slots__ = ("_always", "_turned")

    def __init__(self, event: str, conditions: Iterable[Named], always: Pass | None = None) -> None:
        groups: dict[object, list[tuple[str, Compiled, Direction]]] = {}
        for name, compiled in conditions:
            way = direction(compiled.condition, event)
            if way is not None:
                leaves = _leaves(compiled.condition, event)
                alone = turning(compiled.condition) is not None
                asked_by = frozenset(key(operand) for leaf, operand in leaves if not alone and not _turns(leaf))
                groups.setdefault(asked_by or name, []).append((name, compiled, way))
        standing: dict[str, _Standing] = {}
        for group in groups.values():
            _stand(standing, group, event)
        self._turned = {state: _turned(found) for state, found in standing.items()}
        self._always = always

    def concerns(self, fed: Fed) -> bool:
        """Say whether anything is to be asked after an event that fed these states."""
        return bool(fed) or self._always is not None

    def ask(self, visitor: Visitor, at: Instant, fed: Fed, held: Mapping[str, object], flips: Flips) -> list[Move]:
        """Ask at an instant, given what the event fed, who held before it, and the noted flips; returns who moved.

        The flips are brought up to date.
        """
        moved = self._always(visitor, at, held, flips) if self._always is not None else []
        asked: dict[Pass, None] = {}
        turned = self._turned
        for state, value in fed.items():
            if state in turned:
                for member, until in turned[state](value, at):
                    if callable(member):
                        asked[member] = None
                    elif (member[0] in held) is not member[1]:
                        moved.append(member)
                        if until != NEVER:
                            flips.note(member[0], until)
        for each in asked:
            moved += each(visitor, at, held, flips)
        return moved


def _leaves(condition: Condition, event: str) -> Iterator[tuple[Leaf, Declared]]:
    """Yield the leaves that an event of a name can change, and what they read."""
    match condition:
        case And(parts) | Or(parts):
            for part in parts:
                yield from _leaves(part, event)
        case Not(part):
            yield from _leaves(part, event)
        case leaf:
            for operand in counted_by(leaf):
                if any(is_meant(one, event) for one in events_of(operand)):
                    yield leaf, operand


def _turns(leaf: Leaf) -> bool:
    """Say whether one more event turns a leaf at one number or leaves it as it is: so do counts."""
    found = turning_leaf(leaf)
    return found is not None and found.aggregate.kind == "count"


def _stand(standing: dict[str, _Standing], group: list[tuple[str, Compiled, Direction]], event: str) -> None:
    """Note a condition, or a group that is asked together, at each state that it stands on."""
    name, first, _ = group[0]
    alone = turning(first.condition)
    member: _Member
    if alone is None:
        member = _when_asked(group)
    else:
        why = counted_sentence(alone.aggregate, alone.least) if alone.aggregate.kind == "count" else None
        member = (name, alone.reached, why)
    for each, compiled, _ in group:
        for leaf, operand in _leaves(compiled.condition, event):
            found, turns = standing.setdefault(key(operand), _Standing()), turning_leaf(leaf)
            if turns is None or not (alone or _turns(leaf)):
                found.asked[member] = None
                continue
            found.everybody[each] = compiled
            kind, within = turns.aggregate.kind, turns.aggregate.within
            if not is_rolling(within):
                found.for_ever[member, turns.least] = None
            elif kind == "sum":
                found.sums[member, turns.least, within] = None
            else:
                found.counts[member, turns.least, within] = None


def _when_asked(group: list[tuple[str, Compiled, Direction]]) -> Pass:
    """Return the pass of a group; it is written when it is asked for the first time, since many never are."""
    if len(group) == 1:
        return _alone(*group[0])
    written: list[Pass] = []

    def ask(visitor: Visitor, at: Instant, held: Mapping[str, object], flips: Flips) -> list[Move]:
        if not written:
            written.append(together(group))
        return written[0](visitor, at, held, flips)

    return ask


def _alone(name: str, compiled: Compiled, way: Direction) -> Pass:
    """Return the pass of one condition, which needs no writing."""
    answers, settled = compiled.answers, {"in": True, "out": False, "both": None}[way]

    def ask(visitor: Visitor, at: Instant, held: Mapping[str, object], flips: Flips) -> list[Move]:
        inside = name in held
        if inside is settled:
            return []
        holds, until = answers(visitor, at)
        if until != NEVER:
            flips.by(name, until)
        return [] if holds is inside else [(name, holds, None)]

    return ask


def _turned(standing: _Standing) -> _Turned:
    """Build what says which members are moved or asked, given the state as it is now."""
    asked = [(member, NEVER) for member in standing.asked]
    everybody = _when_asked([(name, compiled, "both") for name, compiled in standing.everybody.items()])
    all_asked: list[tuple[_Member, Instant]] = [(everybody, NEVER), *asked]
    turned, for_ever = turned_in_windows(standing.counts), turned_for_ever(standing.for_ever)
    reached = reached_by_sums(standing.sums)

    def counts(state: State, at: Instant) -> Iterable[tuple[_Member, Instant]]:
        times = cast("Times", state).times
        if times[-1] > at:
            return all_asked  # before its newest event a window may turn by itself
        return [*turned(times, at), *asked] if asked else turned(times, at)

    def sums(state: State, at: Instant) -> Iterable[tuple[_Member, Instant]]:
        times, amounts = cast("Sums", state).times, cast("Sums", state).amounts
        if times[-1] > at or min(amounts) < 0:
            return all_asked
        return [*reached(times, amounts, at), *asked] if asked else reached(times, amounts, at)

    def counts_for_ever(state: State, _at: Instant) -> Iterable[tuple[_Member, Instant]]:
        return [*for_ever(cast("Count", state).n), *asked]

    if standing.counts:
        return counts
    if standing.sums:
        return sums
    return counts_for_ever if standing.for_ever else lambda _state, _at: asked
