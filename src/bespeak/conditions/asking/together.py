"""Many conditions asked in one pass: one generated function, which reads each state once, whoever stands on it.

After an event most answers cannot have changed, or only in one way: one more view can lead into "3 views or more"
and never out of it. `direction` says which way, and a pass leaves out who is already there. Their noted flip may then
come too early (more views make the window's end later, never sooner): asked at that instant, they stay, and the true
one is noted. No flip is ever noted too late, which is what keeps memberships exact.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Literal, TypeAlias, cast

from bespeak.clock import NEVER, Instant
from bespeak.conditions.asking.answers import (
    READS,
    Holds,
    Visitor,
    answers_function,
    has_window,
    read_expression,
    scored_function,
    test_expression,
)
from bespeak.conditions.asking.compile import Compiled, counted_by, depends_on
from bespeak.conditions.asking.families import Move, Turning, choosing, chosen_by_value, turning, turning_leaf
from bespeak.conditions.asking.flips import Flips
from bespeak.conditions.asking.marked import events_of
from bespeak.conditions.asking.scored import asked_of_score
from bespeak.conditions.asking.source import Source, as_test
from bespeak.conditions.counting.aggregates import key
from bespeak.conditions.counting.states_figures import Sums, Times
from bespeak.conditions.counting.windows import is_rolling
from bespeak.conditions.derived import Worked
from bespeak.conditions.meaning.heads import local_part
from bespeak.conditions.names import is_meant
from bespeak.conditions.text.printer import format_operand
from bespeak.conditions.tree import (
    Aggregate,
    And,
    Compare,
    Condition,
    Declared,
    HasBeen,
    Leaf,
    Not,
    Or,
    Path,
    Sequence,
    Test,
)

Direction: TypeAlias = Literal["in", "out", "both"]
"""Where one more event can lead: only into the condition, only out of it, or either way."""

Pass: TypeAlias = Callable[[Visitor, Instant, Mapping[str, object], Flips], list[Move]]
"""Ask all at an instant, given who holds so far and the noted flips, which are brought up to date: who moves?"""


def direction(condition: Condition, event: str) -> Direction | None:
    """Say which way one more event of a name can move a (checked) condition; None when not at all."""
    match condition:
        case And(parts) | Or(parts):
            found: set[Direction] = {way for part in parts if (way := direction(part, event)) is not None}
            return None if not found else found.pop() if len(found) == 1 else "both"
        case Not(part):
            way = direction(part, event)
            return "out" if way == "in" else "in" if way == "out" else way
        case leaf:
            return _leaf_direction(leaf, event)


def _leaf_direction(leaf: Leaf, event: str) -> Direction | None:
    if not any(is_meant(one, event) for counted in counted_by(leaf) for one in events_of(counted)):
        return None
    turns = turning_leaf(leaf)
    if turns is None:
        return _score_direction(as_test(leaf), event)
    return "in" if turns.reached else "out"


def _score_direction(test: Test, event: str) -> Direction:
    """Say which way an event moves a score past a number: up with points above zero, whatever came before."""
    score = asked_of_score(test)
    if score is None or not isinstance(test, Compare) or test.op not in {"<", "<=", ">", ">="}:
        return "both"
    if not isinstance(test.value, int | float):  # a band is a text, and what is read as well may move, too
        return "both"
    asked = [name for term in score.terms if term.condition for name in depends_on(term.condition).events]
    if any(is_meant(name, event) for name in asked):
        return "both"
    counted = [(term.counted.event, term.points) for term in score.terms if term.counted is not None]
    rises = {points > 0 for name, points in counted if is_meant(name, event)}
    if len(rises) != 1:
        return "both"
    return "in" if rises.pop() is (test.op in {">", ">="}) else "out"


def together(asked: Iterable[tuple[str, Compiled, Direction]], *, anew: bool = False) -> Pass:
    """Build the pass that asks these conditions, each by its name, and each where its direction can lead.

    Where a direction is given, the answers were right before the event, and the event is in their states.

    Parameters
    ----------
    anew
        Whether no flips are noted when it is asked.
    """
    asked = tuple(asked)
    writer = _Writer("note" if anew else "by", several=len(asked) > 1)
    for name, compiled, way in asked:
        writer.ask(name, compiled, way)
    return writer.build()


class _Writer:
    """Writes a pass: what is read by several stands at the top, then a few lines for each condition."""

    def __init__(self, note: Literal["note", "by"], *, several: bool) -> None:
        self._source = Source()
        self._note = note
        self._several = several
        self._top: list[str] = []
        self._lines: list[str] = []
        self._read: dict[str, str] = {}
        self._asked: list[tuple[str, Compiled]] = []
        self._answers = 0
        self._values: dict[str, tuple[Aggregate, list[tuple[str, frozenset[str], Holds]]]] = {}

    def build(self) -> Pass:
        """Return the pass."""
        families = self._families()
        self._source.namespace.update(
            READS,
            Times=Times,
            Sums=Sums,
            NEVER=NEVER,
            NOTHING=(),
            plain=_one_by_one(self._asked),
            bisect_left=bisect_left,
            accumulate=accumulate,
        )
        top = [f"state, get, {self._note}, moved = visitor.state, visitor.get, flips.{self._note}, []", *self._top]
        lines = [*top, *families, *self._lines, "return moved"]
        return cast("Pass", self._source.steps("visitor, at, held, flips", lines))

    def ask(self, name: str, compiled: Compiled, way: Direction) -> None:
        """Write what asks one condition."""
        self._asked.append((name, compiled))
        condition, here = compiled.condition, self._source.shared(name)
        if not has_window(condition):
            self._standing(name, compiled, way)
        else:
            holds, until, lines = self._answer(condition)
            self._lines += [
                {"in": f"if {here} not in held:", "out": f"if {here} in held:", "both": "if True:"}[way],
                *_indented(lines),
                f" if {until} != NEVER: {self._note}({here}, {until})",
                f" if {holds} is not ({here} in held): moved.append(({here}, {holds}, None))",
            ]

    def _families(self) -> list[str]:
        """Write what asks those that choose by one value."""
        return [
            f"{self._source.constant(chosen_by_value(members))}({self._value(aggregate)}, visitor, at, held, moved)"
            for aggregate, members in self._values.values()
        ]

    def _standing(self, name: str, compiled: Compiled, way: Direction) -> None:
        """Write a condition that only events and facts change."""
        condition = compiled.condition
        chooses = choosing(condition)
        if chooses is not None:
            aggregate, texts = chooses
            self._values.setdefault(key(aggregate), (aggregate, []))[1].append((name, texts, compiled.holds))
            return
        holds, here = self._source.expression(condition, self._leaf), self._source.shared(name)
        enters, leaves = (f"moved.append({self._source.constant((name, into, None))})" for into in (True, False))
        if way == "in":
            self._lines.append(f"if {here} not in held and {holds}: {enters}")
        elif way == "out":
            self._lines.append(f"if {here} in held and not {holds}: {leaves}")
        else:
            self._lines += [
                f"if {holds}:",
                f" if {here} not in held: {enters}",
                f"elif {here} in held: {leaves}",
            ]

    def _answer(self, condition: Condition) -> tuple[str, str, list[str]]:
        """Write the answer of a condition with windows: the names of whether and until when, and the lines to them."""
        number = self._answers = self._answers + 1
        holds, until = f"h{number}", f"u{number}"
        turns = turning(condition)
        match condition:
            case _ if turns is not None and is_rolling(turns.aggregate.within):
                return holds, until, self._turning(holds, until, turns)
            case And(parts):
                return holds, until, self._group(holds, until, parts, every=True)
            case Or(parts):
                return holds, until, self._group(holds, until, parts, every=False)
            case Not(part):
                inner, until, lines = self._answer(part)
                return holds, until, [*lines, f"{holds} = not {inner}"]
            case _:
                return holds, until, [f"{holds}, {until} = {self._moving(condition)}"]

    def _moving(self, leaf: Leaf) -> str:
        """Write what answers a leaf that moves by itself; what a score is made of is read once for all who ask."""
        test = as_test(leaf)
        scored = scored_function(test)
        if scored is None:
            return f"{self._source.constant(answers_function(leaf))}(visitor, at)"
        curve, answer = scored
        name = f"curve {id(curve)}"
        if name not in self._read:
            local = self._read[name] = f"c{len(self._read)}"
            self._top.append(f"{local} = {self._source.constant(curve)}(visitor, at)")
        return f"{self._source.constant(answer)}({self._read[name]}, visitor, at)"

    def _turning(self, holds: str, until: str, turns: Turning) -> list[str]:
        """Write a count or sum in a window: it has turned until the oldest of the newest that reach `least` leaves."""
        aggregate, least, reached = turns.aggregate, turns.least, turns.reached
        within = self._source.shared(aggregate.within)
        if aggregate.kind == "count":
            times = self._times(aggregate)
            turns_back = f"{times}[-{least}] + {within} if n{times} >= {least} else 0"
        else:
            times = self._sums(aggregate)
            place = f"place := bisect_left(s{times}, {self._source.constant(least)})"
            turns_back = f"{times}[~place] + {within} if ({place}) < n{times} else 0"
        return [
            f"{until} = {turns_back}",
            f"if {until} > at: {holds} = {reached}",
            f"else: {holds}, {until} = {not reached}, NEVER",
        ]

    def _group(self, holds: str, until: str, parts: tuple[Condition, ...], *, every: bool) -> list[str]:
        """Write an `and` or an `or`: it stands until its first part turns, or until all have that keep it as it is."""
        standing = [part for part in parts if not has_window(part)]
        asked = [self._answer(part) for part in parts if has_window(part)]
        answers, ends = [one for one, _, _ in asked], [one for _, one, _ in asked]
        agreed = f" {'and' if every else 'or'} ".join(answers)
        keeping = ", ".join(f"0 if {one} else {its}" if every else f"{its} if {one} else 0" for one, its, _ in asked)
        lines = [line for _, _, its in asked for line in its]
        lines.append(f"{holds} = {agreed}")
        if len(asked) == 1:
            lines.append(f"{until} = {ends[0]}")
        else:
            lines.append(f"{until} = min({', '.join(ends)}) if {holds} is {every} else max({keeping})")
        if not standing:
            return lines
        settled = self._source.expression(And(tuple(standing)) if every else Or(tuple(standing)), self._leaf)
        return [
            f"if {settled}:" if every else f"if not {settled}:",
            *_indented(lines),
            f"else: {holds}, {until} = {not every}, NEVER",
        ]

    def _leaf(self, leaf: Leaf) -> str:
        test = as_test(leaf)
        operand = test.operand
        value = self._path(operand) if isinstance(operand, Path) else self._value(operand)
        return test_expression(self._source, test, value)

    def _path(self, path: Path) -> str:
        """Return what reads a path, or, where several conditions are asked, the name of what was found there."""
        if local_part(path.path) is not None:
            return read_expression(self._source, path)
        name = self._source.shared(path.path)
        read = read_expression(self._source, path) if isinstance(path, Worked) else f"get({name})"
        if not self._several:
            return read
        if name not in self._read:
            local = self._read[name] = f"p{len(self._read)}"
            self._top.append(f"{local} = {read}")
        return self._read[name]

    def _value(self, aggregate: Declared) -> str:
        """Return the name of what an aggregate holds whose window never changes by itself."""
        # Several kinds, and all sequences of the same events, share a state.
        kind = format_operand(aggregate) if isinstance(aggregate, Sequence | HasBeen) else aggregate.kind
        name = f"{kind} {key(aggregate)}"
        if name not in self._read:
            local = self._read[name] = f"x{len(self._read)}"
            self._top.append(f"{local} = {read_expression(self._source, aggregate)}")
        return self._read[name]

    def _times(self, aggregate: Aggregate) -> str:
        """Return the name of the times of a windowed count; `n` + name is how many there are."""
        name = self._source.shared(key(aggregate))
        if name not in self._read:
            times = self._read[name] = f"t{len(self._read)}"
            self._top += [
                f"{times} = {times}.times if ({times} := state({name})).__class__ is Times else NOTHING",
                f"n{times} = len({times})",
                f"if n{times} and {times}[-1] > at: return plain(visitor, at, held, flips)",
            ]
        return self._read[name]

    def _sums(self, aggregate: Aggregate) -> str:
        """Return the name of the times of a windowed sum; `n` + name is how many, `s` + name what the newest add up to.

        Amounts below zero make a sum fall where it should rise: such a person is asked one by one.
        """
        name = self._source.shared(key(aggregate))
        if name not in self._read:
            times = self._read[name] = f"w{len(self._read)}"
            self._top += [
                f"amounts = found.amounts if (found := state({name})).__class__ is Sums else NOTHING",
                f"{times} = found.times if amounts else NOTHING",
                f"n{times} = len({times})",
                f"if amounts and ({times}[-1] > at or min(amounts) < 0): return plain(visitor, at, held, flips)",
                f"s{times} = list(accumulate(reversed(amounts)))",
            ]
        return self._read[name]


def _indented(lines: Iterable[str]) -> list[str]:
    return [" " + line for line in lines]


def _one_by_one(asked: Iterable[tuple[str, Compiled]]) -> Pass:
    """Build the pass that asks each condition alone: for instants before the newest event, and sums that may fall."""
    asked = tuple(asked)

    def plain(visitor: Visitor, at: Instant, held: Mapping[str, object], flips: Flips) -> list[Move]:
        moved: list[Move] = []
        for name, compiled in asked:
            holds, until = compiled.answers(visitor, at)
            if until != NEVER:
                flips.by(name, until)
            if holds is not (name in held):
                moved.append((name, holds, None))
        return moved

    return plain
