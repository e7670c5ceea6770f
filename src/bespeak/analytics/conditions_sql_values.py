"""Tests of a value, as SQL that is true or false and never null. What stands on either side is SQL of JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeAlias, assert_never, cast

import msgspec

from bespeak.analytics.conditions_sql_places import near
from bespeak.analytics.conditions_sql_words import version_order
from bespeak.conditions import fold
from bespeak.conditions.asking.source import as_test, read_on_the_right
from bespeak.conditions.tree import (
    Aggregate,
    And,
    AnyOf,
    Asked,
    Between,
    Compare,
    Condition,
    Exists,
    HasAll,
    In,
    Matches,
    Moment,
    Near,
    Not,
    Operand,
    Or,
    Path,
    Plain,
    Right,
    Text,
    Value,
    Version,
    Within,
)
from bespeak.conditions.values.dates import is_dated
from bespeak.conditions.values.patterns import TEXT_MAX
from bespeak.errors import InvalidInput

Write: TypeAlias = Callable[[str], str]
"""Given SQL of one element, what says whether it passes."""

_HOW = {"contains": "contains", "starts": "starts_with", "ends": "suffix"}


class NotInSql(InvalidInput):
    """A part of a condition that events alone do not answer; the message names it, and what would do."""

    def __init__(self, leaf: str, reason: str) -> None:
        super().__init__(f"condition, {leaf}: expected what SQL finds in the events, found {reason}")


class Kept(msgspec.Struct, frozen=True):
    """What events say at a path, kept in a column of its own.

    Parameters
    ----------
    root
        `properties` or `context`.
    path
        The path in it, as JSON of SQL has it.
    """

    root: str
    path: str

    @property
    def column(self) -> str:
        """The name of the column: the same for the same path."""
        return f"said_{hashlib.blake2b(f'{self.root} {self.path}'.encode(), digest_size=8).hexdigest()}"


def path_to(parts: Sequence[str]) -> str:
    """Return a path through nested objects, as JSON of SQL has it.

    Raises
    ------
    NotInSql
        One of its names would mean every name there.
    """
    if "*" in parts:
        raise NotInSql(".".join(parts), "a name that means every name there")
    quoted = [part.replace("\\", "\\\\").replace('"', '\\"') for part in parts]
    return "$" + "".join(f'."{part}"' for part in quoted)


class Bound:
    """The values that a statement stands on, by the names under which it asks for them; no value is ever its text.

    Parameters
    ----------
    keeps
        How many paths into what events say are asked of columns of their own; `kept` names them.

    Attributes
    ----------
    of_items
        SQL that is true of the events `e` whose items the statement asks for, as often as it asks.
    """

    def __init__(self, *, keeps: int = 0) -> None:
        self.values: dict[str, object] = {}
        self.of_items: list[str] = []
        self.kept: dict[str, Kept] = {}
        self._keeps = keeps
        self._given: dict[tuple[object, object], str] = {}
        self._names = 0

    def __call__(self, value: object) -> str:
        """Return what stands for a value."""
        key = (type(value), _told_apart(cast("list[object]", value)) if isinstance(value, list) else value)
        name = self._given.get(key)
        if name is None:
            name = self._given[key] = f"p{len(self.values)}"
            self.values[name] = value
        return "$" + name

    def json(self, value: object) -> str:
        """Return what stands for a value as JSON."""
        return f"CAST({self(msgspec.json.encode(value).decode())} AS JSON)"

    def path(self, parts: Sequence[str]) -> str:
        """Return what stands for a path through nested objects."""
        return self(path_to(parts))

    def column(self, root: str, parts: Sequence[str]) -> str | None:
        """Return the column that holds what events say at a path; None where there is none."""
        kept = Kept(root, path_to(parts))
        if kept.column not in self.kept and len(self.kept) >= self._keeps:
            return None
        self.kept[kept.column] = kept
        return kept.column

    def name(self) -> str:
        """Return a name that nothing else has, for an element or a part of the statement."""
        self._names += 1
        return f"x{self._names}"


def _told_apart(values: Sequence[object]) -> tuple[tuple[object, object], ...]:
    """Return values so that 1, 1.0 and true, which are equal in Python, are three."""
    return tuple((type(one), one) for one in values)


def _no_figure(_: Asked) -> None:
    """Say that nothing is always a number."""


class Scope(msgspec.Struct, frozen=True):
    """Where a test is asked: what reads an operand as JSON, and SQL of the present instant and of the time zone.

    Parameters
    ----------
    figure
        Reads an operand that is a number wherever it is anything, as that number; None where it may be something else.
    """

    bound: Bound
    read: Callable[[Asked], str]
    now: str
    zone: str
    figure: Callable[[Asked], str | None] = _no_figure


def holds(condition: Condition, scope: Scope, leaf: Callable[[Condition], str]) -> str:
    """Return SQL that is true where a condition holds; `leaf` writes what is no `and`, `or` and `not`."""
    match condition:
        case And(parts):
            return f"({' AND '.join([holds(part, scope, leaf) for part in parts]) or 'true'})"
        case Or(parts):
            return f"({' OR '.join([holds(part, scope, leaf) for part in parts]) or 'false'})"
        case Not(part):
            return f"(NOT {holds(part, scope, leaf)})"
        case _:
            return leaf(condition)


def of_event(condition: Condition, scope: Scope) -> str:
    """Return SQL that is true where an event, or an element of a list, passes a condition."""
    return holds(condition, scope, lambda leaf: passes(cast("Plain", as_test(cast("Plain", leaf))), scope))


def passes(test: Plain, scope: Scope) -> str:
    """Return SQL that is true where a test passes."""
    figure = scope.figure(test.operand)
    if figure is not None and isinstance(test, Compare) and _is_number(test.value) and test.op != "!=":
        number = scope.bound(float(cast("float", test.value)))
        return f"coalesce(CAST({figure} AS DOUBLE) {test.op} CAST({number} AS DOUBLE), false)"
    value = scope.read(test.operand)
    match test:
        case Exists():
            return f"is_there({value})"
        case AnyOf(_, where):
            return _some(value, scope, lambda one: f"json_type({one}) = 'OBJECT' AND {_of_element(where, one, scope)}")
        case HasAll(_, values, exact):
            return f"list_has_all({_keys(value, exact=exact)}, {_keys(scope.bound.json(values), exact=exact)})"
        case Compare(operand, "!=", right, exact):
            return f"(NOT {passes(Compare(operand, '=', right, exact), scope)})"
        case Compare() if read_on_the_right(test):
            return _pair(test, value, scope.read(cast("Operand", test.value)), scope)
        case Between() if read_on_the_right(test):
            return _between_read(test, value, scope)
        case Near():
            return _some(value, scope, lambda one: near(test, one, scope.bound))
        case Compare() | In() | Text() | Matches() | Between() | Within():
            return _one_or_some(value, scope, _scalar(test, scope))
        case _:
            assert_never(test)


def _some(value: str, scope: Scope, write: Write) -> str:
    one = scope.bound.name()
    return f"(len(list_filter(parts_of({value}), lambda {one}: coalesce({write(one)}, false))) > 0)"


def _is_number(value: Right) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _one_or_some(value: str, scope: Scope, write: Write) -> str:
    """Return what `_some` does, quicker where the value is no list, and with the test written twice."""
    return f"(CASE WHEN is_list({value}) THEN {_some(value, scope, write)} ELSE coalesce({write(value)}, false) END)"


def _of_element(where: Condition, one: str, scope: Scope) -> str:
    def read(operand: Asked) -> str:
        path = cast("Path", operand).path
        return f"json_extract({one}, {scope.bound.path(path.split('.')[1:])})"

    return of_event(where, msgspec.structs.replace(scope, read=read))


def _keys(value: str, *, exact: bool) -> str:
    return f"keys_of({value})" if exact else f"folded_keys_of({value})"


def _scalar(test: Compare | In | Text | Matches | Between | Within, scope: Scope) -> Write:
    """Return what writes a test of one element against constants."""
    bound = scope.bound
    match test:
        case Compare() | Between() | Within() if is_dated(test):
            return _dated(test, scope)
        case Compare(_, op, right, exact):
            return _compared(op, cast("Value | Version", right), bound, exact=exact)
        case Between(_, low, high):
            above = _compared(">=", cast("Value | Version", low), bound, exact=True)
            below = _compared("<=", cast("Value | Version", high), bound, exact=True)
            return lambda one: f"{above(one)} AND {below(one)}"
        case In(_, values, exact):
            return _among(values, bound, exact=exact)
        case Text():
            return _worded(test, bound)
        case Matches(_, pattern):
            return lambda one: (
                f"regexp_full_match(text_of({one}), {bound(pattern)}) AND length(text_of({one})) <= {TEXT_MAX}"
            )
        case Within():
            raise TypeError("`within` is about dates")
        case _:
            assert_never(test)


def _compared(op: str, right: Value | Version, bound: Bound, *, exact: bool) -> Write:
    if isinstance(right, Version):
        return lambda one: f"version_order(text_of({one})) {op} {bound(version_order(right.text))}"
    if isinstance(right, bool):
        return lambda one: f"flag_of({one}) = {bound(right)}"
    if isinstance(right, int | float):
        return lambda one: f"number_of({one}) {op} CAST({bound(float(right))} AS DOUBLE)"
    if op == "=" and not exact:
        return lambda one: f"fold_text(text_of({one})) = {bound(fold(str(right)))}"
    return lambda one: f"text_of({one}) {op} {bound(right)}"


def _among(values: Sequence[Value], bound: Bound, *, exact: bool) -> Write:
    """Return what writes whether an element is one of some values; each sort of values is a list of its own."""
    texts = [value if exact else fold(value) for value in values if isinstance(value, str)]
    flags = [value for value in values if isinstance(value, bool)]
    numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]

    def write(one: str) -> str:
        text = f"text_of({one})" if exact else f"fold_text(text_of({one}))"
        sorts = ((texts, text), (numbers, f"number_of({one})"), (flags, f"flag_of({one})"))
        asked = [f"coalesce(list_contains({bound(known)}, {found}), false)" for known, found in sorts if known]
        return f"({' OR '.join(asked) or 'false'})"

    return write


def _worded(test: Text, bound: Bound) -> Write:
    function = _HOW[test.how]
    values = list(test.values) if test.exact else list(map(fold, test.values))

    def write(one: str) -> str:
        text = f"text_of({one})" if test.exact else f"fold_text(text_of({one}))"
        return "(" + " OR ".join(f"{function}({text}, {bound(value)})" for value in values) + ")"

    return write


# Dates.


def _dated(test: Compare | Between | Within, scope: Scope) -> Write:
    def date(one: str) -> str:
        return f"date_in(text_of({one}), {scope.zone})"

    def moment(right: Right, *, up: bool) -> str:
        expr = scope.bound(cast("Moment", right).expr)
        return f"moment_at({expr}, {scope.now}, {scope.zone}, {'true' if up else 'false'})"

    match test:
        case Within(_, within):
            since = f"{scope.now} - {scope.bound(within)}"
            return lambda one: f"{date(one)} > {since} AND {date(one)} <= {scope.now}"
        case Between(_, low, high):
            ends = moment(low, up=False), moment(high, up=True)
            return lambda one: f"{date(one)} >= {ends[0]} AND {date(one)} <= {ends[1]}"
        case Compare(_, "on", right):
            return lambda one: f"same_day({date(one)}, {moment(right, up=False)}, {scope.zone})"
        case Compare(_, op, right):
            return lambda one: f"{date(one)} {op} {moment(right, up=op in {'<=', '>'})}"
        case _:
            assert_never(test)


# What is read on both sides.


def _pair(test: Compare, value: str, other: str, scope: Scope) -> str:
    if test.op == "=":
        return f"list_has_any({_keys(value, exact=test.exact)}, {_keys(other, exact=test.exact)})"
    if test.op == "on":
        return f"list_has_any({_days(value, scope)}, {_days(other, scope)})"
    return f"({_extremes(test.op, value, other)})"


def _days(value: str, scope: Scope) -> str:
    one = scope.bound.name()
    days = f"list_transform(texts_of({value}), lambda {one}: day_of(date_in({one}, {scope.zone}), {scope.zone}))"
    return f"known_of({days})"


def _extremes(op: str, value: str, other: str) -> str:
    """Return SQL that is true where any two elements of one sort are in order: the outermost two tell."""
    first, second = ("list_min", "list_max") if op in {"<", "<="} else ("list_max", "list_min")
    sides = [f"{first}({sort}({value})) {op} {second}({sort}({other}))" for sort in ("numbers_of", "texts_of")]
    return " OR ".join(f"coalesce({side}, false)" for side in sides)


def _between_read(test: Between, value: str, scope: Scope) -> str:
    low, high = (
        scope.read(end) if isinstance(end, Path | Aggregate) else scope.bound.json(end) for end in (test.low, test.high)
    )
    return _some(value, scope, lambda one: f"({_extremes('>=', one, low)}) AND ({_extremes('<=', one, high)})")
