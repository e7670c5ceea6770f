"""A condition made ready to be asked: what it depends on, whether it holds, until when, and why."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import msgspec

from bespeak.clock import Instant
from bespeak.conditions.asking.answers import (
    Answer,
    Answers,
    Holds,
    Visitor,
    answers_function,
    has_window,
    holds_function,
    operands,
    reads_zone,
)
from bespeak.conditions.asking.explain import Explain, Explanation, Sentence, explain_function, sentence_function
from bespeak.conditions.asking.marked import events_of, paths_of
from bespeak.conditions.asking.source import as_test
from bespeak.conditions.derived import Worked, asked_within, unfolded
from bespeak.conditions.meaning.check import check
from bespeak.conditions.meaning.heads import local_part
from bespeak.conditions.text.printer import format_operand
from bespeak.conditions.tree import And, Condition, Declared, InSegment, Leaf, Not, Or, Path


class Depends(msgspec.Struct, frozen=True):
    """What can change the answer of a condition.

    Parameters
    ----------
    events
        The events that its aggregates count, as they are meant: names, or what names begin with (`Product*`).
    paths
        Paths that it reads, membership of segments left out; where days or the local time count, `zone` is one.
    segments
        Segments that it asks for membership.
    aggregates
        Aggregates, and other parts that stand on events, that must be maintained for it, each once; `performed(...)`
        is a count.
    """

    events: frozenset[str]
    paths: frozenset[str]
    segments: frozenset[str]
    aggregates: tuple[Declared, ...]


class Compiled:
    """A condition, ready to be asked. Pure: everything it knows comes through the visitor.

    Parameters
    ----------
    condition
        The condition; it is kept in its normal form.

    Raises
    ------
    ConditionError
        The condition breaks a bound or has no meaning; see `check`.
    """

    holds: Holds
    """Say whether it holds for a visitor at an instant."""

    def __init__(self, condition: Condition) -> None:
        self.condition = check(condition)
        self.depends = depends_on(self.condition)
        self.windowed = has_window(self.condition)
        self.holds = holds_function(self.condition)

    def answer(self, visitor: Visitor, at: Instant) -> Answer:
        """Return `holds` and `next_flip` in one go."""
        return self.answers(visitor, at)

    def next_flip(self, visitor: Visitor, at: Instant) -> Instant:
        """Return the earliest instant after `at` at which the answer can change without a new event.

        Until then it is sure not to; at that instant it must be asked again. `clock.NEVER` when nothing in it
        changes by itself.
        """
        return self.answers(visitor, at)[1]

    def explain(self, visitor: Visitor, at: Instant) -> Explanation:
        """Return each part with the value that it found, what it asks, and when that changes by itself."""
        return self._explain(visitor, at)

    @cached_property
    def answers(self) -> Answers:
        """The function behind `answer`."""
        return answers_function(self.condition)

    @cached_property
    def sentence(self) -> Sentence:
        """The function that says why in one line, given what the answer is; as `explain(...).sentence()`, but quick."""
        return sentence_function(self.condition)

    @cached_property
    def _explain(self) -> Explain:
        return explain_function(self.condition)


def compile_condition(condition: Condition) -> Compiled:
    """Make a condition ready to be asked.

    Raises
    ------
    ConditionError
        The condition breaks a bound or has no meaning.
    """
    return Compiled(condition)


def depends_on(condition: Condition) -> Depends:
    """Return what can change the answer of a (checked) condition."""
    paths: set[str] = set()
    segments: set[str] = set()
    aggregates: dict[str, Declared] = {}
    stack = [condition]
    while stack:
        match stack.pop():
            case And(parts) | Or(parts):
                stack.extend(reversed(parts))
            case Not(part):
                stack.append(part)
            case InSegment(segment):
                segments.add(segment)
            case leaf:
                test = as_test(leaf)
                if reads_zone(test):
                    paths.add("zone")
                stack.extend(asked_within(operands(test)))
                for operand in unfolded(operands(test)):
                    if isinstance(operand, Worked):
                        continue
                    paths.update(paths_of(operand))
                    if not isinstance(operand, Path):
                        aggregates[format_operand(operand)] = operand
                    elif local_part(operand.path) is not None:
                        paths.add("zone")
    events = frozenset(event for aggregate in aggregates.values() for event in events_of(aggregate))
    return Depends(events, frozenset(paths), frozenset(segments), tuple(aggregates.values()))


def counted_by(leaf: Leaf) -> Sequence[Declared]:
    """Return the aggregates that a leaf reads, itself or by what is worked out of them."""
    read = operands(as_test(leaf))
    if any(isinstance(one, Worked) for one in read):
        return depends_on(leaf).aggregates
    return [one for one in read if not isinstance(one, Path)]
