"""Why: each part of a condition with what it found, what it asks, and when that will change by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec

from bespeak.clock import NEVER, Instant
from bespeak.conditions.asking.answers import (
    Answers,
    Later,
    Visitor,
    answers_function,
    holds_function,
    operands,
    reader,
)
from bespeak.conditions.asking.families import Turning, turning
from bespeak.conditions.asking.marked import behind_of
from bespeak.conditions.asking.source import as_test
from bespeak.conditions.counting.aggregates import key
from bespeak.conditions.counting.reads import count_in, times_inside
from bespeak.conditions.counting.states import State, is_approximate
from bespeak.conditions.counting.states_values import First, Last
from bespeak.conditions.counting.waning import Waning
from bespeak.conditions.counting.windows import frame, is_rolling
from bespeak.conditions.derived import Worked, unfolded
from bespeak.conditions.text.printer import format_condition, format_expected, format_operand
from bespeak.conditions.tree import (
    Aggregate,
    And,
    Asked,
    Condition,
    HasBeen,
    Leaf,
    Not,
    Or,
    Path,
    Sequence,
)

SENTENCE_MAX = 500
"""Characters of a sentence; longer ones end in an ellipsis."""
EVENTS_MAX = 10
"""Events behind a leaf that an explanation names: the newest."""
TURNS_MAX = 1_000
"""Instants at which a group is asked, to find the one at which its answer turns."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a condition holds or does not. JSON-ready.

    Parameters
    ----------
    text
        The condition, or the part of it that this is about.
    holds
        Whether it holds.
    operand, value, expected
        What a leaf reads, what it found there (None: nothing), and what it asks of it (`>= 5`); of a group None.
    against
        What the value is compared with, where that is read as well: what was found there, from left to right.
    next_change
        The instant at which `holds` changes without any new event; None when it will not by itself. Where it takes
        more than a thousand steps to find, the last of them: it changes at none before.
    approximate
        Whether more events were in the window than are kept, so that `value` is a bound or an estimate.
    decides
        Whether this part made the answer what it is: all parts of an `and` that holds, those of one that does not
        which do not hold either; of an `or` the other way round. True at the top.
    events
        When the newest events happened that stand behind the value of a leaf, newest first, at most ten; of what is
        only counted without a window no times are kept.
    children
        The parts of a group, in order.
    """

    text: str
    holds: bool
    operand: str | None = None
    value: object = None
    expected: str | None = None
    against: tuple[object, ...] = ()
    next_change: Instant | None = None
    approximate: bool = False
    decides: bool = True
    events: tuple[Instant, ...] = ()
    group: str | None = None
    children: tuple[Explanation, ...] = ()

    def sentence(self) -> str:
        """Say it in one line: what was found, in those leaves that made the answer what it is."""
        return _sentence([_found(leaf.operand, leaf.value) for leaf in _deciding(self)], holds=self.holds)


Explain: TypeAlias = Callable[[Visitor, Instant], Explanation]
Sentence: TypeAlias = Callable[[Visitor, Instant, bool], str]
"""Say in one line why a condition holds, or does not: as `Explanation.sentence`, at a tenth of the cost."""

_Behind: TypeAlias = Callable[[Visitor, Instant], tuple[tuple[Instant, ...], bool]]
_Findings: TypeAlias = Callable[[Visitor, Instant, bool], list[str]]
_SURELY_SHORT = SENTENCE_MAX - 50
"""With this many characters before a count, its sentence needs no look at its length."""
_json = json.JSONEncoder(ensure_ascii=False, default=str).encode


def explain_function(condition: Condition) -> Explain:
    """Build the function that explains a (checked) condition."""
    match condition:
        case And():
            return _group(condition, condition.all, "and")
        case Or():
            return _group(condition, condition.any, "or")
        case Not():
            return _group(condition, (condition.condition,), "not")
        case _:
            return _leaf(condition)


def _group(condition: Condition, parts: tuple[Condition, ...], group: str) -> Explain:
    text, answers = format_condition(condition), answers_function(condition)
    explainers = tuple(map(explain_function, parts))

    def explain(visitor: Visitor, at: Instant) -> Explanation:
        holds, until = next_turn(answers, visitor, at)
        found = tuple(part(visitor, at) for part in explainers)
        all_decide = group == "not" or holds == (group == "and")
        children = tuple(child if all_decide or child.holds == holds else _undecided(child) for child in found)
        return Explanation(text=text, holds=holds, next_change=_instant(until), group=group, children=children)

    return explain


def _undecided(explanation: Explanation) -> Explanation:
    children = tuple(map(_undecided, explanation.children))
    return msgspec.structs.replace(explanation, decides=False, children=children)


def next_turn(answers: Answers, visitor: Visitor, at: Instant) -> tuple[bool, Instant]:
    """Return the answer, and the instant at which it truly turns if nothing happens: `answers` may say one before."""
    holds, until = answers(visitor, at)
    for _ in range(TURNS_MAX):
        if until >= NEVER:
            break
        later, then = answers(Later(visitor, until), until)
        if later is not holds:
            break
        until = then
    return holds, until


def _leaf(leaf: Leaf) -> Explain:
    test = as_test(leaf)
    text, operand, expected = format_condition(leaf), test.operand, format_expected(test)
    shown, answers = format_operand(operand), answers_function(leaf)
    read, *others = (reader(one) for one in operands(test))
    behind = _events_behind(operand)

    def explain(visitor: Visitor, at: Instant) -> Explanation:
        holds, until = next_turn(answers, visitor, at)
        events, approximate = behind(visitor, at)
        return Explanation(
            text=text,
            holds=holds,
            operand=shown,
            value=read(visitor, at),
            expected=expected,
            against=tuple(other(visitor, at) for other in others),
            next_change=_instant(until),
            approximate=approximate,
            events=events,
        )

    return explain


def _events_behind(operand: Asked) -> _Behind:
    """Build what finds the times of the newest events behind an operand, and whether not all of them are known."""
    if isinstance(operand, Worked):
        return _events_within(operand)
    if isinstance(operand, Path):
        return lambda _visitor, _at: ((), False)
    name = key(operand)
    if isinstance(operand, Sequence | HasBeen):
        marked = behind_of(operand)
        return lambda visitor, at: marked(visitor.state(name), visitor.get, at)
    window = frame(operand.within)
    line = {"first": slice(0, 1), "last": slice(-1, None)}.get(operand.kind, slice(-EVENTS_MAX, None))

    def behind(visitor: Visitor, at: Instant) -> tuple[tuple[Instant, ...], bool]:
        state = visitor.state(name)
        if window is None:
            return _kept_times(state), is_approximate(state, None)
        after, until = window.bounds(visitor.get, at)
        return tuple(reversed(times_inside(state, after, until)[line])), is_approximate(state, after)

    return behind


def _events_within(operand: Worked) -> _Behind:
    """Build what finds the newest events behind what is worked out of several aggregates."""
    counted = {format_operand(one): one for one in unfolded((operand,)) if isinstance(one, Aggregate)}
    several = [_events_behind(one) for one in counted.values()]

    def behind(visitor: Visitor, at: Instant) -> tuple[tuple[Instant, ...], bool]:
        found = [one(visitor, at) for one in several]
        times = sorted((time for events, _ in found for time in events), reverse=True)
        return tuple(times[:EVENTS_MAX]), any(approximate for _, approximate in found)

    return behind


def _kept_times(state: State | None) -> tuple[Instant, ...]:
    match state:
        case First(entry):
            return (entry[0],)
        case Last(_, entries):
            return (entries[-1][0],)
        case Waning(_, _, time):
            return (time,)
        case _:
            return ()


def _instant(until: Instant) -> Instant | None:
    return None if until >= NEVER else until


def _deciding(explanation: Explanation) -> list[Explanation]:
    """Return the leaves that made the answer."""
    if explanation.group is None:
        return [explanation] if explanation.decides else []
    return [leaf for child in explanation.children for leaf in _deciding(child)]


def sentence_function(condition: Condition) -> Sentence:
    """Build the function that says in one line why a (checked) condition holds or not; its answer is known already."""
    if not isinstance(condition, And | Or | Not):
        finding = _finding(condition)
        operand = as_test(condition).operand
        if isinstance(operand, Aggregate) and operand.kind == "count" and len(format_operand(operand)) < _SURELY_SHORT:
            return lambda visitor, at, _holds: finding(visitor, at)
        return lambda visitor, at, _holds: _shortened(finding(visitor, at))
    if isinstance(condition, And | Or):
        parts = condition.all if isinstance(condition, And) else condition.any
        counts = [found for part in parts if (found := turning(part)) is not None and found.aggregate.kind == "count"]
        if parts and len(counts) == len(parts) == len({format_operand(one.aggregate) for one in counts}):
            return _counts_sentence(counts, decided_by_all=isinstance(condition, And))
    findings = _findings(condition)
    return lambda visitor, at, holds: _sentence(findings(visitor, at, holds), holds=holds)


def _counts_sentence(counts: Iterable[Turning], *, decided_by_all: bool) -> Sentence:
    """Build the sentence of an `and` or an `or` of different counts: what people abandon, and what they do not do."""
    asked = tuple(
        (
            f"{format_operand(one.aggregate)} is ",
            key(one.aggregate),
            one.aggregate.within if is_rolling(one.aggregate.within) else None,
            one.least,
            one.reached,
        )
        for one in counts
    )

    def sentence(visitor: Visitor, at: Instant, holds: bool) -> str:  # noqa: FBT001
        found: list[str] = []
        for shown, name, within, least, reached in asked:
            count = count_in(visitor.state(name), within, at)
            if holds is decided_by_all or ((count >= least) is reached) is holds:
                found.append(f"{shown}{count}")
        return _shortened("; ".join(found))

    return sentence


def counted_sentence(aggregate: Aggregate, count: int) -> str:
    """Say why of a condition that stands on one count alone, given what it is."""
    return _shortened(f"{format_operand(aggregate)} is {count}")


def _findings(condition: Condition) -> _Findings:
    match condition:
        case And():
            return _findings_of(condition.all, decided_by_all=True)
        case Or():
            return _findings_of(condition.any, decided_by_all=False)
        case Not():
            inner = _findings(condition.condition)
            return lambda visitor, at, holds: inner(visitor, at, not holds)
        case _:
            finding = _finding(condition)
            return lambda visitor, at, _holds: [finding(visitor, at)]


def _findings_of(parts: tuple[Condition, ...], *, decided_by_all: bool) -> _Findings:
    """Return what the deciding parts found: all of them where all had to agree, else those that made the answer."""
    asked = tuple((holds_function(part), _findings(part)) for part in parts)

    def findings(visitor: Visitor, at: Instant, holds: bool) -> list[str]:  # noqa: FBT001
        decided = holds is decided_by_all
        found: list[str] = []
        for part_holds, part in asked:
            if decided or part_holds(visitor, at) is holds:
                found += part(visitor, at, holds)
        return found

    return findings


def _finding(leaf: Leaf) -> Callable[[Visitor, Instant], str]:
    operand = as_test(leaf).operand
    shown, read = format_operand(operand), reader(operand)
    if isinstance(operand, Aggregate) and operand.kind == "count":
        name, within = key(operand), operand.within
        if is_rolling(within) or within is None:
            return lambda visitor, at: f"{shown} is {count_in(visitor.state(name), within, at)}"
    return lambda visitor, at: _found(shown, read(visitor, at))


def _sentence(found: list[str], *, holds: bool) -> str:
    return _shortened("; ".join(dict.fromkeys(found))) if found else f"always {str(holds).lower()}"


def _shortened(text: str) -> str:
    return text if len(text) <= SENTENCE_MAX else text[: SENTENCE_MAX - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _found(operand: str | None, value: object) -> str:
    if value is None:
        return f"{operand} is missing"
    if value.__class__ is int:
        return f"{operand} is {value}"
    if isinstance(value, float) and value.is_integer():
        return f"{operand} is {int(value)}"
    return f"{operand} is {_json(value)}"
