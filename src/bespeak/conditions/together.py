"""Many conditions asked in one pass: one generated function, which reads each state once, whoever stands on it.

After an event most answers cannot have changed, or only in one way: one more view can lead into "3 views or more"
and never out of it. `direction` says which way, and a pass leaves out who is already there. Their noted flip may then
come too early (more views make the window's end later, never sooner): asked at that instant, they stay, and the true
one is noted. No flip is ever noted too late, which is what keeps memberships exact.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Literal, TypeAlias, cast

from bespeak.clock import NEVER, Instant
from bespeak.conditions.aggregates import key
from bespeak.conditions.answers import READS, Answers, Visitor, has_window, turn
from bespeak.conditions.compile import Compiled
from bespeak.conditions.source import Source, as_test
from bespeak.conditions.states import Times
from bespeak.conditions.tree import Aggregate, And, Compare, Condition, Leaf, Not, Or, Path

Direction: TypeAlias = Literal["in", "out", "both"]
"""Where one more event can lead: only into the condition, only out of it, or either way."""

Move: TypeAlias = tuple[str, bool]
"""Name of a condition, and whether it holds now."""

Pass: TypeAlias = Callable[[Visitor, Instant, Container[str], dict[str, Instant]], tuple[list[Move], bool]]
"""Ask all at an instant, given who holds so far and the noted flips, which are brought up to date.

Returns who moved, and whether a flip was noted or taken away.
"""


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
    test = as_test(leaf)
    if isinstance(test.operand, Path) or test.operand.event != event:
        return None
    turns = turn(test)
    if turns is None:
        return "both"
    return "in" if turns[1] else "out"


def together(asked: Iterable[tuple[str, Compiled, Direction]]) -> Pass:
    """Build the pass that asks these conditions, each by its name, and each where its direction can lead."""
    writer = _Writer()
    for name, compiled, way in asked:
        writer.ask(name, compiled, way)
    return writer.build()


class _Writer:
    """Writes a pass: what is read by several stands at the top; each condition is a few lines below."""

    def __init__(self) -> None:
        self._source = Source()
        self._top: list[str] = []
        self._lines: list[str] = []
        self._read: dict[str, str] = {}
        self._asked: list[tuple[str, Answers]] = []

    def build(self) -> Pass:
        """Return the pass."""
        plain = _one_by_one(tuple(self._asked))
        self._source.namespace.update(READS, Times=Times, NEVER=NEVER, NOTHING=(), plain=plain)
        top = ["state, get = visitor.state, visitor.get", *self._top, "moved, touched = [], False"]
        lines = [*top, *self._lines, "return moved, touched"]
        return cast("Pass", self._source.steps("visitor, at, held, flips", lines))

    def ask(self, name: str, compiled: Compiled, way: Direction) -> None:
        """Write what asks one condition."""
        self._asked.append((name, compiled.answers))
        counted = _counted(compiled.condition)
        if not has_window(compiled.condition):
            self._standing(name, compiled.condition, way)
        elif counted is not None:
            self._count(name, *counted, one_way=way != "both")
        else:
            self._moving(name, compiled.answers, way)

    def _moves(self, name: str, *, into: bool) -> str:
        return f"moved.append({self._source.constant((name, into))})"

    def _standing(self, name: str, condition: Condition, way: Direction) -> None:
        """Write a condition that only events and facts change."""
        holds, here = self._source.expression(condition, self._leaf), self._source.shared(name)
        enters, leaves = self._moves(name, into=True), self._moves(name, into=False)
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

    def _count(self, name: str, aggregate: Aggregate, least: int, reached: bool, *, one_way: bool) -> None:  # noqa: FBT001
        """Write a count in a window that turns at one number; it turns back when the `least` newest event leaves."""
        times, here = self._times(aggregate), self._source.shared(name)
        within = self._source.shared(aggregate.within)
        turned = f"n{times} >= {least} and (until := {times}[-{least}] + {within}) > at"
        moves = f"{here} {'not in' if reached else 'in'} held"
        noted = f"flips[{here}] = until; touched = True"
        if one_way:
            self._lines += [f"if {turned} and {moves}:", f" {noted}; {self._moves(name, into=reached)}"]
            return
        self._lines += [
            f"if {turned}:",
            f" {noted}",
            f" if {moves}: {self._moves(name, into=reached)}",
            "else:",
            f" if flips.pop({here}, None) is not None: touched = True",
            f" if {here} {'in' if reached else 'not in'} held: {self._moves(name, into=not reached)}",
        ]

    def _moving(self, name: str, answers: Answers, way: Direction) -> None:
        """Write any other condition with windows."""
        here, answer = self._source.shared(name), self._source.constant(answers)
        self._lines += [
            {"in": f"if {here} not in held:", "out": f"if {here} in held:", "both": "if True:"}[way],
            f" holds, until = {answer}(visitor, at)",
            f" if until != NEVER: flips[{here}] = until; touched = True",
            f" elif flips.pop({here}, None) is not None: touched = True",
            f" if holds is not ({here} in held): moved.append(({here}, holds))",
        ]

    def _leaf(self, leaf: Leaf) -> str:
        test = as_test(leaf)
        operand = test.operand
        if isinstance(operand, Path):
            return self._source.test(test, f"get({self._source.shared(operand.path)})")
        value = self._value(operand)
        if isinstance(test, Compare) and operand.kind != "last":
            return f"({value} {'==' if test.op == '=' else test.op} {self._source.constant(test.value)})"
        return self._source.test(test, value)

    def _value(self, aggregate: Aggregate) -> str:
        """Return the name of what an aggregate without a window holds."""
        name = self._source.shared(key(aggregate))
        if name not in self._read:
            local = self._read[name] = f"x{len(self._read)}"
            self._top.append(f"{local} = {aggregate.kind}(state({name}), None, at)")
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


def _one_by_one(asked: tuple[tuple[str, Answers], ...]) -> Pass:
    """Build the pass that asks each condition alone: for instants before the newest event."""

    def plain(
        visitor: Visitor, at: Instant, held: Container[str], flips: dict[str, Instant]
    ) -> tuple[list[Move], bool]:
        moved: list[Move] = []
        for name, answers in asked:
            holds, until = answers(visitor, at)
            if until != NEVER:
                flips[name] = until
            else:
                flips.pop(name, None)
            if holds is not (name in held):
                moved.append((name, holds))
        return moved, True

    return plain


def _counted(condition: Condition) -> tuple[Aggregate, int, bool] | None:
    """Return a windowed count that turns at one number, that number, and what holds from there on; else None."""
    negated = isinstance(condition, Not)
    inner = condition.condition if isinstance(condition, Not) else condition
    if isinstance(inner, And | Or | Not):
        return None
    test = as_test(inner)
    turns = turn(test)
    if turns is None or not isinstance(test.operand, Aggregate) or test.operand.within is None:
        return None
    return test.operand, turns[0], turns[1] is not negated
