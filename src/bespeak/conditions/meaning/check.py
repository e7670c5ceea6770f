"""What a condition must be to have a meaning: its bounds, its names, its values.

Everything that reads a condition from outside (`parse`, `from_json`, `load`) and everything that
compiles or prints one goes through `check`, so that no later step meets a tree it cannot handle.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Literal, TypeAlias, TypeVar, assert_never, cast

import msgspec

from bespeak.conditions.meaning.check_marked import NAMES, check_fading, check_within, filters, normal_marked
from bespeak.conditions.meaning.check_told import check_told
from bespeak.conditions.meaning.check_values import check_instant, check_moment, check_pattern, check_version
from bespeak.conditions.meaning.heads import check_item, check_path, check_test
from bespeak.conditions.meaning.misfit import Misfit
from bespeak.conditions.tree import (
    MAX_DEPTH,
    MAX_NAME,
    MAX_NODES,
    MAX_VALUES,
    Aggregate,
    And,
    AnyOf,
    Between,
    Calendar,
    Compare,
    Condition,
    Declared,
    Exists,
    FromTo,
    HalfLife,
    HasAll,
    HasBeen,
    In,
    InList,
    InSegment,
    Kind,
    LastPerformed,
    Leaf,
    Matches,
    Moment,
    Near,
    Not,
    Operand,
    Or,
    Path,
    Performed,
    Plain,
    Right,
    Sequence,
    Since,
    Text,
    ThisSession,
    Value,
    Version,
    Window,
    Within,
)
from bespeak.conditions.values.near import checked

__all__ = [
    "FIGURES", "HEADS", "KEYWORDS", "Misfit", "Where",
    "check", "check_aggregate", "check_leaf", "check_within", "children", "walk",
]  # fmt: skip

KEYWORDS = frozenset(
    {
        "and", "or", "not", "in", "is", "exists", "missing", "where", "of", "performed", "in_segment", "in_list",
        "count", "sum", "avg", "min", "max", "distinct", "first", "last", "most_frequent",
        "any", "all", "has", "contains", "starts", "ends", "with", "matches", "between", "within", "on", "exactly",
        "sequence", "then", "without", "for", "been", "less", "than",
        "date", "version", "ago", "since", "from", "to", "today", "yesterday", "this", "half-life",
        "true", "false", "null",
    }
)  # fmt: skip
"""Words of the text form; none of them can be the first part of a path."""

HEADS = frozenset(
    {
        "traits", "context", "sessions", "interests", "segments", "consent", "user_id", "known", "zone", "local",
        "place", "device", "bucket", "lists", "scores", "computed", "item", "candidate", "properties", "type", "it",
    }
)  # fmt: skip
"""First parts that a path on the right of a comparison may have; other words there are strings without their quotes."""

FIGURES: frozenset[Kind] = frozenset({"count", "sum", "avg", "min", "max", "distinct"})
"""Aggregates that are numbers, whatever the events hold."""

Where: TypeAlias = Literal["person", "event", "element"]
"""What a condition is about: a person (or a request, or an item), an event in a filter, an element in `any of`."""

D = TypeVar("D", bound=Declared)

_ROOT = re.compile(r"[^\W\d][\w$-]*")
_EVENT_ROOTS = ("properties.", "context.", "item.", "local.")
_OF_EVENT = "properties.NAME, context.NAME, item.NAME or type"
_OF_ELEMENT = "it.NAME"
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
    return _normal(condition, "person")


def check_aggregate(aggregate: D) -> D:
    """Return an aggregate, or another part of a condition that a state is kept for, with its filters in normal form.

    Raises
    ------
    ConditionError
        As `check`.
    """
    if isinstance(aggregate, Aggregate):
        return cast("D", cast("Exists", check(Exists(aggregate))).operand)
    return cast("D", check(aggregate))


def check_leaf(leaf: Leaf, where: Where) -> Leaf:
    """Return a leaf in its normal form; refuse one that has no meaning.

    Raises
    ------
    Misfit
        As `check`, but for depth and size.
    """
    return cast("Leaf", _normal(leaf, where))


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
        case AnyOf():
            return (condition.where,)
        case Compare():
            return _filters(condition.operand, condition.value)
        case Between():
            return _filters(condition.operand, condition.low, condition.high)
        case In() | HasAll() | Text() | Matches() | Within() | Near() | Exists():
            return _filters(condition.operand)
        case Sequence() | LastPerformed() | HasBeen():
            return tuple(filters(condition))
        case InSegment() | InList():
            return ()
        case _:
            assert_never(condition)


def _filters(*sides: Right) -> tuple[Condition, ...]:
    return tuple(side.where for side in sides if isinstance(side, Aggregate) and side.where is not None)


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


def _normal(condition: Condition, where: Where) -> Condition:
    match condition:
        case And():
            parts = tuple(_normal(part, where) for part in condition.all)
            return parts[0] if len(parts) == 1 else And(parts)
        case Or():
            parts = tuple(_normal(part, where) for part in condition.any)
            return parts[0] if len(parts) == 1 else Or(parts)
        case Not():
            return Not(_normal(condition.condition, where))
        case Performed():
            _refuse_nested(where, "performed(...)")
            within = condition.within
            check_fading("performed", within)
            return Performed(condition.event, _normal_event(condition.event, condition.where, within), within)
        case InSegment():
            _refuse_nested(where, "in_segment(...)")
            _check_name("in_segment", condition.segment)
            return condition
        case InList():
            _refuse_nested(where, "in_list(...)")
            _check_name("in_list", condition.list)
            return condition
        case Sequence() | LastPerformed() | HasBeen():
            _refuse_nested(where, NAMES[type(condition)])
            return normal_marked(condition, lambda inner: _normal(inner, where))
        case _:
            return _normal_test(condition, where)


def _normal_test(test: Plain, where: Where) -> Condition:
    if where != "element":
        check_test(test)
    match test:
        case Compare():
            _check_comparison(test)
            exact = test.exact and test.op in {"=", "!="} and isinstance(test.value, str | Path | Aggregate)
            return Compare(_normal_operand(test.operand, where), test.op, _normal_right(test.value, where), exact)
        case Between():
            _check_between(test)
            low, high = _normal_right(test.low, where), _normal_right(test.high, where)
            return Between(_normal_operand(test.operand, where), low, high)
        case In():
            _check_list("in", test.values)
            check_told(test)
            return In(_normal_operand(test.operand, where), test.values, test.exact and _has_text(test.values))
        case HasAll():
            _check_list("has all", test.values)
            _refuse_figure(test.operand, "has all")
            return HasAll(_normal_operand(test.operand, where), test.values, test.exact and _has_text(test.values))
        case Text():
            _check_texts(test)
            return Text(_normal_operand(test.operand, where), test.how, test.values, test.exact)
        case Matches():
            check_pattern(test.pattern)
            _refuse_figure(test.operand, "matches")
            return Matches(_normal_operand(test.operand, where), test.pattern)
        case Within():
            _refuse_nested(where, "within last ...")
            check_within(test.within)
            return Within(cast("Path", _normal_operand(test.operand, where)), test.within)
        case Near():
            _refuse_figure(test.operand, "within ... of")
            return checked(test, _normal_operand(test.operand, where))
        case AnyOf():
            _check_path(test.path, where)
            return AnyOf(test.path, _normal(test.where, "element"))
        case Exists():
            return Exists(_normal_operand(test.operand, where))
        case _:
            assert_never(test)


def _normal_operand(operand: Operand, where: Where) -> Operand:
    match operand:
        case Path():
            _check_path(operand.path, where)
            return operand
        case Aggregate():
            _refuse_nested(where, f"{operand.kind}(...)")
            _check_of(operand)
            inner = _normal_event(operand.event, operand.where, operand.within)
            return operand if inner is operand.where else msgspec.structs.replace(operand, where=inner)
        case _:
            assert_never(operand)


def _normal_right(value: Right, where: Where) -> Right:
    match value:
        case Path():
            _check_path(value.path, where)
            head = value.path.partition(".")[0]
            if head not in HEADS:
                expected = "a value, or a path such as traits.country"
                raise Misfit("path on the right", expected, repr(value.path)[:80], f"it may begin with {_heads()}")
            return value
        case Aggregate():
            return _normal_operand(value, where)
        case Moment():
            check_moment(value.expr)
            return value
        case Version():
            check_version(value.text)
            return value
        case _:
            _check_value(value)
            return value


def _heads() -> str:
    return ", ".join(sorted(HEADS))


def _normal_event(event: str, where: Condition | None, within: Window | None) -> Condition | None:
    _check_name("event name", event)
    if within is not None:
        _check_window(within)
    return None if where is None else _normal(where, "event")


def _check_path(path: str, where: Where) -> None:
    """Refuse a path that has no text form, or, where only an event or an element is known, reads something else."""
    if where == "person" or (where == "event" and path.startswith("local.")):
        check_path(path)
    root, *parts = path.split(".")
    if not _ROOT.fullmatch(root) or root in KEYWORDS or not all(parts) or len(path) > MAX_NAME:
        raise Misfit("path", f"a dotted path of at most {MAX_NAME} characters such as traits.country", repr(path)[:80])
    _check_text("path", path)
    shown = repr(path)[:80]
    if where == "event" and path != "type" and not path.startswith(_EVENT_ROOTS):
        raise Misfit("filter on an event", _OF_EVENT, shown)
    if where == "event":
        check_item(path)
    if where == "element" and (root != "it" or not parts):
        raise Misfit("any of", _OF_ELEMENT, shown, "`any of` reads the element only")
    if where == "person" and root == "it":
        raise Misfit("path", "a path such as traits.country", shown, "`it` has a meaning inside `any of` only")


def _check_window(window: Window) -> None:
    match window:
        case int():
            check_within(window)
        case Calendar():
            if window.back not in {0, 1}:
                raise Misfit("window", "back 0 (this one) or 1 (the last one)", str(window.back))
        case Since():
            check_instant(window.date)
        case FromTo():
            if not check_instant(window.start) < check_instant(window.end):
                raise Misfit("window", "an end after its start", f"{window.start} to {window.end}")
        case HalfLife():
            check_within(window.halflife)
        case ThisSession():
            pass
        case _:
            assert_never(window)


def _check_of(aggregate: Aggregate) -> None:
    check_fading(aggregate.kind, aggregate.within)
    if aggregate.kind == "count":
        if aggregate.of is not None:
            raise Misfit("count", "no property", repr(aggregate.of)[:80], "count counts events")
    elif aggregate.of is None:
        raise Misfit(aggregate.kind, "a property such as properties.revenue", "none")
    else:
        _check_path(aggregate.of, "event")


def _check_comparison(leaf: Compare) -> None:
    value = leaf.value
    if not isinstance(value, Moment | Version | Path | Aggregate):
        _check_value(value)
    if leaf.op not in {"=", "!=", "on"} and isinstance(value, bool):
        raise _unordered(leaf.op, value)
    if leaf.op == "on" and not isinstance(value, Moment | Path | Aggregate):
        found = value.text if isinstance(value, Version) else repr(value)
        raise Misfit("after on", 'a day such as date "2026-01-31"', found[:80])
    _check_figure(leaf.operand, value)
    if leaf.op == "on":
        _refuse_figure(leaf.operand, "on")
    check_told(leaf)


def _unordered(after: str, value: bool) -> Misfit:  # noqa: FBT001
    return Misfit(f"after {after}", "a number or a string", format(value).lower(), "true and false have no order")


def _check_between(leaf: Between) -> None:
    kinds: set[str] = set()
    for end in (leaf.low, leaf.high):
        if isinstance(end, bool):
            raise _unordered("between", end)
        if not isinstance(end, Moment | Version | Path | Aggregate):
            _check_value(end)
        _check_figure(leaf.operand, end)
        kinds.add(_kind_of(end))
    dated = kinds & {"a date", "a version"}
    if len(kinds - {"a path"}) > 1 or (dated and "a path" in kinds):
        raise Misfit("between", "two ends of one kind", " and ".join(sorted(kinds)))
    check_told(leaf)


def _kind_of(value: Right) -> str:
    match value:
        case Moment():
            return "a date"
        case Version():
            return "a version"
        case Path() | Aggregate():
            return "a path"
        case str():
            return "a string"
        case _:
            return "a number"


def _check_figure(operand: Operand, value: Right) -> None:
    """Refuse to compare an aggregate that is a number with what is none."""
    if not isinstance(operand, Aggregate) or operand.kind not in FIGURES or isinstance(value, Path | Aggregate):
        return
    if not _is_number(value):
        raise Misfit(operand.kind, "a number to compare with", repr(value)[:80])


def _refuse_figure(operand: Operand, test: str) -> None:
    if isinstance(operand, Aggregate) and operand.kind in FIGURES:
        raise Misfit(operand.kind, "a comparison such as >= 5", f"`{test}`", f"{operand.kind} is a number")


def _check_list(what: str, values: tuple[Value, ...]) -> None:
    if not 1 <= len(values) <= MAX_VALUES:
        raise Misfit(what, f"1 to {MAX_VALUES:,} values", str(len(values)))
    for value in values:
        _check_value(value)


def _check_texts(leaf: Text) -> None:
    words = {"contains": "contains", "starts": "starts with", "ends": "ends with"}[leaf.how]
    _check_list(words, leaf.values)
    _refuse_figure(leaf.operand, words)
    if not all(leaf.values):
        raise Misfit(words, "a string of at least one character", '""', "write `exists` to ask for any value")


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


def _refuse_nested(where: Where, what: str) -> None:
    if where == "event":
        raise Misfit("filter on an event", _OF_EVENT, what)
    if where == "element":
        raise Misfit("any of", _OF_ELEMENT, what)


def _has_text(values: tuple[Value, ...]) -> bool:
    return any(isinstance(value, str) for value in values)


def _is_number(value: Right) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
