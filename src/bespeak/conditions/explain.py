"""Why: each part of a condition with what it found, what it asks, and when that will change by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TypeAlias, cast

import msgspec

from bespeak.clock import NEVER, Instant
from bespeak.conditions.aggregates import key
from bespeak.conditions.answers import READS, Answers, Visitor, answers_function, holds_function
from bespeak.conditions.families import Turning, turning
from bespeak.conditions.printer import format_condition, format_expected, format_operand
from bespeak.conditions.source import as_test
from bespeak.conditions.states import count_in, is_approximate
from bespeak.conditions.tree import (
    Aggregate,
    And,
    Compare,
    Condition,
    Exists,
    In,
    InSegment,
    Leaf,
    Not,
    Or,
    Path,
    Performed,
)

SENTENCE_MAX = 500
"""Characters of a sentence; longer ones end in an ellipsis."""


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
    next_change
        The instant at which `holds` may change without any new event; None when it will not by itself.
    approximate
        Whether more events were in the window than are kept, so that `value` is a lower bound.
    children
        The parts of a group, in order.
    """

    text: str
    holds: bool
    operand: str | None = None
    value: object = None
    expected: str | None = None
    next_change: Instant | None = None
    approximate: bool = False
    group: str | None = None
    children: tuple[Explanation, ...] = ()

    def sentence(self) -> str:
        """Say it in one line: what was found, in those leaves that made the answer what it is."""
        return _sentence([_found(leaf.operand, leaf.value) for leaf in _deciding(self)], holds=self.holds)


Explain: TypeAlias = Callable[[Visitor, Instant], Explanation]
Sentence: TypeAlias = Callable[[Visitor, Instant, bool], str]
"""Say in one line why a condition holds, or does not: as `Explanation.sentence`, at a tenth of the cost."""

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
        holds, until = answers(visitor, at)
        children = tuple(part(visitor, at) for part in explainers)
        return Explanation(text=text, holds=holds, next_change=_instant(until), group=group, children=children)

    return explain


def _leaf(leaf: Leaf) -> Explain:
    test = as_test(leaf)
    text, operand, expected = format_condition(leaf), test.operand, format_expected(test)
    shown = format_operand(operand)
    answers: Answers = answers_function(leaf)

    def explain_path(visitor: Visitor, at: Instant) -> Explanation:
        value = visitor.get(cast("Path", operand).path)
        return Explanation(text=text, holds=answers(visitor, at)[0], operand=shown, value=value, expected=expected)

    if isinstance(operand, Path):
        return explain_path
    name, within, read = key(operand), operand.within, READS[operand.kind]

    def explain(visitor: Visitor, at: Instant) -> Explanation:
        holds, until = answers(visitor, at)
        state = visitor.state(name)
        return Explanation(
            text=text,
            holds=holds,
            operand=shown,
            value=read(state, within, at),
            expected=expected,
            next_change=_instant(until),
            approximate=is_approximate(state, within, at),
        )

    return explain


def _instant(until: Instant) -> Instant | None:
    return None if until >= NEVER else until


def _deciding(explanation: Explanation) -> list[Explanation]:
    """Return the leaves that made the answer: all of a held `and`, the failing of a failed one; `or` the other way."""
    if explanation.group is None:
        return [explanation]
    children = explanation.children
    if explanation.group != "not":
        all_count = explanation.holds == (explanation.group == "and")
        children = children if all_count else tuple(child for child in children if child.holds == explanation.holds)
    return [leaf for child in children for leaf in _deciding(child)]


def sentence_function(condition: Condition) -> Sentence:
    """Build the function that says in one line why a (checked) condition holds or not; its answer is known already."""
    if isinstance(condition, Compare | In | Exists | Performed | InSegment):
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
        (f"{format_operand(one.aggregate)} is ", key(one.aggregate), one.aggregate.within, one.least, one.reached)
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
    shown = format_operand(operand)
    if isinstance(operand, Path):
        path = operand.path
        return lambda visitor, _at: _found(shown, visitor.get(path))
    name, within, read = key(operand), operand.within, READS[operand.kind]
    if operand.kind == "count":
        return lambda visitor, at: f"{shown} is {read(visitor.state(name), within, at)}"
    return lambda visitor, at: _found(shown, read(visitor.state(name), within, at))


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
