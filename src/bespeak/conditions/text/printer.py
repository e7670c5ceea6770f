"""Conditions as text: the inverse of `parse`.

Examples
--------
>>> format_condition(Not(In(Path("traits.country"), ("DE", "FR"))))
'traits.country not in ["DE", "FR"]'
"""

from __future__ import annotations

import json
import re
from typing import assert_never

from bespeak.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND, Duration
from bespeak.conditions.derived import Pairs
from bespeak.conditions.meaning.check import check
from bespeak.conditions.meaning.heads import BUCKET
from bespeak.conditions.tree import (
    Aggregate,
    And,
    AnyOf,
    Asked,
    Between,
    Calendar,
    Compare,
    Condition,
    Deed,
    Exists,
    FromTo,
    HalfLife,
    HasAll,
    HasBeen,
    In,
    InList,
    InSegment,
    LastPerformed,
    Matches,
    Moment,
    Near,
    Not,
    Or,
    Path,
    Performed,
    Right,
    Sequence,
    Since,
    Step,
    Test,
    Text,
    ThisSession,
    Value,
    Version,
    Window,
    Within,
)

_PLAIN_PART = re.compile(r"[\w$-]+")
_UNITS = (("day", DAY), ("hour", HOUR), ("minute", MINUTE), ("second", SECOND), ("millisecond", MILLISECOND))
_BUCKET = f"{BUCKET}."
_HOW = {"contains": "contains", "starts": "starts with", "ends": "ends with"}


def format_condition(condition: Condition) -> str:
    """Write a condition as one line of text that `parse` reads back into the same tree.

    Raises
    ------
    ConditionError
        The condition breaks a bound or a rule of `check`, so that no text stands for it.
    """
    return _format(check(condition))


def format_operand(operand: Asked) -> str:
    """Write what a test reads as text: a path, an aggregate, or the test itself."""
    match operand:
        case Path(path) if path.startswith(_BUCKET):
            return f"{BUCKET}({format_value(path.removeprefix(_BUCKET))})"
        case Path():
            return _format_path(operand.path)
        case Aggregate():
            of = f"{_format_path(operand.of)}{_format_amount(operand)} of " if operand.of is not None else ""
            return f"{operand.kind}({of}{_format_event(operand.event, operand.where, operand.within)})"
        case LastPerformed():
            event = _format_event(operand.event, operand.where, operand.within)
            return f"last({event}) has ({_format(operand.has)})"
        case Sequence():
            return f"sequence({_format_sequence(operand)})"
        case HasBeen():
            less = "less than " if operand.less else ""
            value = f"{_exactly(exact=operand.exact)}{format_value(operand.value)}"
            return f"{_format_path(operand.path)} has been {value} for {less}{format_within(operand.lasting)}"
        case _:
            assert_never(operand)


def _format_amount(operand: Aggregate) -> str:
    return f" with {operand.amount or 'nothing'}" if isinstance(operand, Pairs) else ""


def format_value(value: Value) -> str:
    """Write a literal: JSON's way, with every character that can stand for itself left as it is."""
    return json.dumps(value, ensure_ascii=False)


def format_right(value: Right) -> str:
    """Write what stands on the right of a comparison: a literal, a date, a version, a path or an aggregate."""
    match value:
        case Moment():
            return f"date {format_value(value.expr)}"
        case Version():
            return f"version {format_value(value.text)}"
        case Path() | Aggregate():
            return format_operand(value)
        case _:
            return format_value(value)


def format_within(within: Duration) -> str:
    """Write a length of time in its largest whole unit: `30 days`, `1 hour`, `90 seconds`."""
    unit, size = next((unit, size) for unit, size in _UNITS if within % size == 0 or unit == "millisecond")
    amount = within // size
    return f"{amount} {unit}" if amount == 1 else f"{amount} {unit}s"


def format_window(window: Window) -> str:
    """Write a window as it stands after the comma: `last 30 days`, `today`, `since date "2026-01-01"`."""
    match window:
        case int():
            return f"last {format_within(window)}"
        case Calendar(unit="day"):
            return "yesterday" if window.back else "today"
        case Calendar():
            return f"{'last' if window.back else 'this'} {window.unit}"
        case Since():
            return f"since date {format_value(window.date)}"
        case FromTo():
            return f"from date {format_value(window.start)} to date {format_value(window.end)}"
        case ThisSession():
            return "this session"
        case HalfLife():
            return f"half-life {format_within(window.halflife)}"
        case _:
            assert_never(window)


def format_expected(test: Test) -> str:
    """Write what a leaf asks of its operand, without the operand: `>= 5`, `in ["DE"]`, `exists`."""
    match test:
        case Compare():
            return f"{test.op} {_exactly(exact=test.exact)}{format_right(test.value)}"
        case In():
            return f"in {_exactly(exact=test.exact)}{_format_values(test.values)}"
        case HasAll():
            return f"has all {_exactly(exact=test.exact)}{_format_values(test.values)}"
        case Text():
            several = len(test.values) > 1
            found = f"any {_format_values(test.values)}" if several else format_value(test.values[0])
            return f"{_HOW[test.how]} {_exactly(exact=test.exact)}{found}"
        case Matches():
            return f"matches {format_value(test.pattern)}"
        case Between():
            return f"between {format_right(test.low)} and {format_right(test.high)}"
        case Within():
            return f"within last {format_within(test.within)}"
        case Near():
            place = f"({_degrees(test.latitude)}, {_degrees(test.longitude)})"
            return f"within {_degrees(test.within)} {test.unit} of {place}"
        case AnyOf():
            return f"any where ({_format(test.where)})"
        case Exists():
            return "exists"
        case LastPerformed() | Sequence() | HasBeen():
            return "= true"
        case _:
            assert_never(test)


def _degrees(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)


def _exactly(*, exact: bool) -> str:
    return "exactly " if exact else ""


def _format_values(values: tuple[Value, ...]) -> str:
    return f"[{', '.join(map(format_value, values))}]"


def _format(condition: Condition) -> str:
    match condition:
        case AnyOf():
            return f"any of {_format_path(condition.path)} where ({_format(condition.where)})"
        case Performed():
            return f"performed({_format_event(condition.event, condition.where, condition.within)})"
        case InSegment():
            return f"in_segment({format_value(condition.segment)})"
        case InList():
            return f"in_list({format_value(condition.list)})"
        case LastPerformed() | Sequence() | HasBeen():
            return format_operand(condition)
        case And():
            return " and ".join(map(_format_part, condition.all)) or "true"
        case Or():
            return " or ".join(map(_format_part, condition.any)) or "false"
        case Not():
            return _format_not(condition.condition)
        case _:
            return f"{format_operand(condition.operand)} {format_expected(condition)}"


def _format_not(inner: Condition) -> str:
    match inner:
        case In():
            return f"{format_operand(inner.operand)} not {format_expected(inner)}"
        case Exists():
            return f"{format_operand(inner.operand)} is missing"
        case Performed() | InSegment() | InList() | AnyOf() | LastPerformed() | Sequence() | And(all=()) | Or(any=()):
            return f"not {_format(inner)}"
        case _:
            return f"not ({_format(inner)})"


def _format_part(part: Condition) -> str:
    """Write one side of an `and` or `or`; groups stand in brackets, so that the tree comes back as it was."""
    match part:
        case And(all=()) | Or(any=()):
            return _format(part)
        case And() | Or():
            return f"({_format(part)})"
        case _:
            return _format(part)


def _format_event(event: str, where: Condition | None, within: Window | None) -> str:
    filtered = f" where {_format(where)}" if where is not None else ""
    window = f", {format_window(within)}" if within is not None else ""
    return f"{format_value(event)}{filtered}{window}"


def _format_sequence(sequence: Sequence) -> str:
    steps = " then ".join(map(_format_step, sequence.steps))
    quiet = sequence.after
    after = f" {_format_without(quiet.without)} for {format_within(quiet.lasting)}" if quiet is not None else ""
    window = f", {format_window(sequence.within)}" if sequence.within is not None else ""
    return f"{steps}{after}{window}"


def _format_step(step: Step) -> str:
    within = f" within {format_within(step.within)}" if step.within is not None else ""
    without = f" {_format_without(step.without)}" if step.without else ""
    return f"{format_deed(Deed(step.event, step.where))}{within}{without}"


def _format_without(deeds: tuple[Deed, ...]) -> str:
    return f"without {', '.join(map(format_deed, deeds))}"


def format_deed(deed: Deed) -> str:
    """Write an event and its filter: `"Product Viewed" where properties.price > 50`."""
    return _format_event(deed.event, deed.where, None)


def _format_path(path: str) -> str:
    return ".".join(part if _PLAIN_PART.fullmatch(part) else format_value(part) for part in path.split("."))
