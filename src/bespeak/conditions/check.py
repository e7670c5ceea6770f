"""What a condition must be to have a meaning: its bounds, its names, its values.

Everything that reads a condition from outside (`parse`, `from_json`, `load`) and everything that
compiles or prints one goes through `check`, so that no later step meets a tree it cannot handle.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import assert_never, cast

from bespeak.clock import MILLISECOND, Duration
from bespeak.conditions.tree import (
    MAX_DEPTH,
    MAX_NAME,
    MAX_NODES,
    MAX_VALUES,
    MAX_WITHIN,
    Aggregate,
    And,
    Compare,
    Condition,
    Exists,
    In,
    InSegment,
    Leaf,
    Not,
    Operand,
    Or,
    Path,
    Performed,
    Value,
    Window,
)
from bespeak.errors import ConditionError, Problem

KEYWORDS = frozenset(
    {
        "and", "or", "not", "in", "is", "exists", "missing", "where", "of", "last", "count", "sum", "performed",
        "in_segment", "true", "false", "null",
    }
)  # fmt: skip
"""Words of the text form; none of them can be the first part of a path."""

_ROOT = re.compile(r"[^\W\d][\w$-]*")
_EVENT_ROOTS = ("properties.", "context.")
_MAX_INTEGER = 2**63


def check(condition: Condition) -> Condition:
    """Return the condition in its normal form: an `and` or `or` of one part is that part.

    Raises
    ------
    ConditionError
        It is too deep or too large, names a path, event or segment that cannot be, or compares with
        a value that nothing can equal.
    """
    _check_size(condition)
    return _normal(condition, in_where=False)


def check_aggregate(aggregate: Aggregate) -> Aggregate:
    """Return the aggregate with its filter in normal form.

    Raises
    ------
    ConditionError
        As `check`.
    """
    return cast("Aggregate", cast("Exists", check(Exists(aggregate))).operand)


def check_leaf(leaf: Leaf, *, of_event: bool) -> None:
    """Refuse a leaf that has no meaning; `of_event` when it filters events, so that only the event is known.

    Raises
    ------
    Misfit
        As `check`, but for depth and size.
    """
    _normal(leaf, in_where=of_event)


class Misfit(ConditionError):
    """A part of a condition that has no meaning; `remedy` says what would do."""

    def __init__(self, where: str, expected: str, found: str, remedy: str = "") -> None:
        advice = f"; {remedy}" if remedy else ""
        problem = Problem(where, expected, found)
        super().__init__(f"condition, {where}: expected {expected}, found {found}{advice}", problems=(problem,))
        self.expected = expected
        self.found = found
        self.remedy = remedy


def children(condition: Condition) -> tuple[Condition, ...]:
    """Return the conditions directly inside a condition, filters on events included."""
    match condition:
        case And():
            return condition.all
        case Or():
            return condition.any
        case Not():
            return (condition.condition,)
        case Performed():
            return () if condition.where is None else (condition.where,)
        case Compare() | In() | Exists():
            operand = condition.operand
            return (operand.where,) if isinstance(operand, Aggregate) and operand.where is not None else ()
        case InSegment():
            return ()
        case _:
            assert_never(condition)


def walk(condition: Condition) -> Iterator[Condition]:
    """Yield the condition and everything inside it, filters on events included; each node once."""
    stack = [condition]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(children(node))


def _check_size(condition: Condition) -> None:
    stack = [(condition, 1)]
    nodes = 0
    while stack:
        node, depth = stack.pop()
        nodes += 1
        if depth > MAX_DEPTH:
            raise Misfit("depth", f"at most {MAX_DEPTH} levels", f"{depth} or more", "split it into segments")
        if nodes > MAX_NODES:
            raise Misfit("size", f"at most {MAX_NODES} parts", f"{nodes} or more", "split it into segments")
        stack.extend((child, depth + 1) for child in children(node))


def _normal(condition: Condition, *, in_where: bool) -> Condition:
    match condition:
        case And():
            parts = tuple(_normal(part, in_where=in_where) for part in condition.all)
            return parts[0] if len(parts) == 1 else And(parts)
        case Or():
            parts = tuple(_normal(part, in_where=in_where) for part in condition.any)
            return parts[0] if len(parts) == 1 else Or(parts)
        case Not():
            return Not(_normal(condition.condition, in_where=in_where))
        case Compare():
            _check_comparison(condition)
            return Compare(_normal_operand(condition.operand, in_where=in_where), condition.op, condition.value)
        case In():
            _check_list(condition)
            return In(_normal_operand(condition.operand, in_where=in_where), condition.values)
        case Exists():
            return Exists(_normal_operand(condition.operand, in_where=in_where))
        case Performed():
            _refuse_nested(in_where, "performed(...)")
            where = _normal_event(condition.event, condition.where, condition.within)
            return Performed(condition.event, where, condition.within)
        case InSegment():
            _refuse_nested(in_where, "in_segment(...)")
            _check_name("in_segment", condition.segment)
            return condition
        case _:
            assert_never(condition)


def _normal_operand(operand: Operand, *, in_where: bool) -> Operand:
    match operand:
        case Path():
            check_path(operand.path, of_event=in_where)
            return operand
        case Aggregate():
            _refuse_nested(in_where, f"{operand.kind}(...)")
            _check_of(operand)
            where = _normal_event(operand.event, operand.where, operand.within)
            return Aggregate(operand.kind, operand.event, operand.of, where, operand.within)
        case _:
            assert_never(operand)


def _normal_event(event: str, where: Condition | None, within: Window | None) -> Condition | None:
    _check_name("event name", event)
    if isinstance(within, int):
        check_within(within)
    return None if where is None else _normal(where, in_where=True)


def check_path(path: str, *, of_event: bool = False) -> None:
    """Refuse a path that has no text form, or, where only the event is known, reads something else.

    Raises
    ------
    ConditionError
        Names the path and what it may be.
    """
    root, *parts = path.split(".")
    if not _ROOT.fullmatch(root) or root in KEYWORDS or not all(parts) or len(path) > MAX_NAME:
        raise Misfit("path", f"a dotted path of at most {MAX_NAME} characters such as traits.country", repr(path)[:80])
    _check_text("path", path)
    if of_event and path != "type" and not path.startswith(_EVENT_ROOTS):
        raise Misfit("filter on an event", "properties.NAME, context.NAME or type", repr(path)[:80])


def check_within(within: Duration) -> None:
    """Refuse a window that is empty, too long, or not whole milliseconds.

    Raises
    ------
    ConditionError
        Says the bounds.
    """
    if not MILLISECOND <= within <= MAX_WITHIN or within % MILLISECOND:
        raise Misfit("window", "whole milliseconds, from 1 millisecond to 3,660 days", f"{within} microseconds")


def _check_of(aggregate: Aggregate) -> None:
    if aggregate.kind == "count":
        if aggregate.of is not None:
            raise Misfit("count", "no property", repr(aggregate.of)[:80], "count counts events")
    elif aggregate.of is None:
        raise Misfit(aggregate.kind, "a property such as properties.revenue", "none")
    else:
        check_path(aggregate.of, of_event=True)


def _check_comparison(leaf: Compare) -> None:
    _check_value(leaf.value)
    if leaf.op not in {"=", "!="} and isinstance(leaf.value, bool):
        raise Misfit(
            f"after {leaf.op}", "a number or a string", format(leaf.value).lower(), "true and false have no order"
        )
    if isinstance(leaf.operand, Aggregate) and leaf.operand.kind not in {"first", "last", "most_frequent"} and not _is_number(leaf.value):
        raise Misfit(leaf.operand.kind, "a number to compare with", repr(leaf.value)[:80])


def _check_list(leaf: In) -> None:
    if not 1 <= len(leaf.values) <= MAX_VALUES:
        raise Misfit("in", f"1 to {MAX_VALUES:,} values", str(len(leaf.values)))
    for value in leaf.values:
        _check_value(value)


def _check_value(value: Value) -> None:
    if value is None:
        raise Misfit("value", "a string, a number, true or false", "null", "write `is missing` or `exists`")
    if isinstance(value, str):
        _check_text("value", value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise Misfit("value", "a finite number", str(value))
    elif isinstance(value, int) and not -_MAX_INTEGER <= value < _MAX_INTEGER:
        raise Misfit("value", "a whole number of at most 64 bits", f"{str(value)[:20]}...")


def _check_name(what: str, name: str) -> None:
    if not 1 <= len(name) <= MAX_NAME:
        raise Misfit(what, f"1 to {MAX_NAME} characters", str(len(name)))
    _check_text(what, name)


def _check_text(what: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Misfit(what, "text that UTF-8 can hold", ascii(text)[:80]) from None


def _refuse_nested(in_where: bool, what: str) -> None:  # noqa: FBT001 - one flag, private
    if in_where:
        raise Misfit("filter on an event", "properties.NAME, context.NAME or type", what)


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
