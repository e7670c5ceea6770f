"""Conditions on person and item: what concerns the person is settled once, the rest is asked of all items at once.

`bind` answers every part that does not read the item, and leaves a condition on items alone (or simply true or
false); `mask` evaluates that over columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from bespeak.clock import Instant
from bespeak.conditions.asking.answers import Visitor, holds_function, operands, reader
from bespeak.conditions.asking.binding import INSTANTS, filled, settled
from bespeak.conditions.asking.source import LoneSource, as_test, read_on_the_right
from bespeak.conditions.meaning.check import check
from bespeak.conditions.tree import (
    And,
    Asked,
    Between,
    Compare,
    Condition,
    Exists,
    In,
    Leaf,
    Moment,
    Not,
    Operand,
    Operator,
    Or,
    Path,
    Test,
    Value,
    Version,
)
from bespeak.conditions.values.dates import is_dated, moves

Flags: TypeAlias = NDArray[np.bool_]
Bound: TypeAlias = "Condition | bool"
Binder: TypeAlias = Callable[[Visitor, Instant], Bound]

BINDERS_MAX = 2_000
"""Prepared conditions kept; beyond it the oldest go."""
_EXACT = 2**53
"""Whole numbers up to this size are exact as float64."""

_UFUNCS: dict[Operator, np.ufunc] = {
    "=": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_binders: dict[tuple[int, str], tuple[Condition, Binder]] = {}


def bind(condition: Condition, visitor: Visitor, at: Instant, *, prefix: str = "item.") -> Bound:
    """Settle every part of a condition that does not read paths under `prefix`.

    Parameters
    ----------
    condition
        A condition that may read the person, the request and the item.
    visitor, at
        Whom it is about, and when.
    prefix
        What the paths of the item begin with.

    Returns
    -------
    Condition | bool
        What is left to ask of each item; True or False when the item does not matter.

    Raises
    ------
    ConditionError
        The condition breaks a bound or has no meaning.
    """
    name = (id(condition), prefix)
    kept = _binders.get(name)
    if kept is None:
        # The condition is kept with its binder, so that no other can get the same id.
        kept = _binders[name] = (condition, _binder(check(condition), prefix))
        if len(_binders) > BINDERS_MAX:
            del _binders[next(iter(_binders))]
    return kept[1](visitor, at)


def mask(condition: Condition, columns: Mapping[str, NDArray[np.generic]], n: int) -> Flags:
    """Evaluate a condition over columns: element i says whether it holds for row i, as `holds` would for that item.

    Parameters
    ----------
    condition
        A condition that reads paths only (`bind` settles the rest).
    columns
        By path, shape (n,): booleans, numbers (NaN is missing), or objects (None is missing; tuples and lists are
        lists). A path without a column is missing everywhere.
    n
        Rows.

    Returns
    -------
    NDArray[bool]
        Shape (n,), a new array.

    Raises
    ------
    TypeError
        The condition reads an aggregate, or a date that moves with time.
    """
    match condition:
        case And():
            flags = np.ones(n, np.bool_)
            for part in condition.all:
                flags &= mask(part, columns, n)
            return flags
        case Or():
            flags = np.zeros(n, np.bool_)
            for part in condition.any:
                flags |= mask(part, columns, n)
            return flags
        case Not():
            return ~mask(condition.condition, columns, n)
        case _:
            return _mask_leaf(condition, columns, n)


def _binder(condition: Condition, prefix: str) -> Binder:
    if not _reads(condition, prefix):
        return holds_function(condition)
    match condition:
        case And():
            return _bind_group(condition, condition.all, prefix, absorbing=False)
        case Or():
            return _bind_group(condition, condition.any, prefix, absorbing=True)
        case Not():
            return _bind_not(condition, prefix)
        case _:
            return _bind_test(as_test(condition), prefix)


def _reads(condition: Condition, prefix: str) -> bool:
    match condition:
        case And():
            return any(_reads(part, prefix) for part in condition.all)
        case Or():
            return any(_reads(part, prefix) for part in condition.any)
        case Not():
            return _reads(condition.condition, prefix)
        case _:
            return any(_is_of(one, prefix) for one in operands(as_test(condition)))


def _bind_group(whole: And | Or, parts: tuple[Condition, ...], prefix: str, *, absorbing: bool) -> Binder:
    """Bind an `and` (one false part settles it) or an `or` (one true part does)."""
    group = type(whole)
    settled = tuple(part for part in parts if not _reads(part, prefix))
    holds = holds_function(group(settled))
    open_parts = tuple(part for part in parts if _reads(part, prefix))
    binders = tuple(_binder(part, prefix) for part in open_parts)

    def bound(visitor: Visitor, at: Instant) -> Bound:
        if settled and holds(visitor, at) == absorbing:
            return absorbing
        left: list[Condition] = []
        for binder in binders:
            part = binder(visitor, at)
            if part is absorbing:
                return absorbing
            if not isinstance(part, bool):
                left.append(part)
        if len(left) > 1:
            return group(tuple(left))
        return left[0] if left else not absorbing

    return bound


def _bind_not(condition: Not, prefix: str) -> Binder:
    binder = _binder(condition.condition, prefix)

    def bound(visitor: Visitor, at: Instant) -> Bound:
        part = binder(visitor, at)
        return not part if isinstance(part, bool) else Not(part)

    return bound


def _bind_test(test: Test, prefix: str) -> Binder:
    """Bind a test that reads the item: dates become those of the instant, and what the person holds a constant."""
    if moves(test) or (is_dated(test) and _holds_instant(test)):
        return lambda visitor, at: settled(test, at, visitor.get("zone"))
    sides = operands(test)
    if all(_is_of(side, prefix) for side in sides):
        return lambda _visitor, _at: test
    reads = {side: reader(side) for side in sides if not _is_of(side, prefix)}

    def bound(visitor: Visitor, at: Instant) -> Bound:
        known = {side: read(visitor, at) for side, read in reads.items()}
        return _constant(check(filled(cast("Compare | Between", test), known, visitor.get("zone"))))

    return bound


def _constant(condition: Condition) -> Bound:
    """Return what always or never holds as true or false; anything else as it is."""
    match condition:
        case And(parts) | Or(parts):
            absorbing = isinstance(condition, Or)
            found = [_constant(part) for part in parts]
            if any(one is absorbing for one in found):
                return absorbing
            left = tuple(one for one in found if not isinstance(one, bool))
            if len(left) > 1:
                return type(condition)(left)
            return left[0] if left else not absorbing
        case Not(part):
            inner = _constant(part)
            return not inner if isinstance(inner, bool) else Not(inner)
        case _:
            return condition


def _holds_instant(test: Test) -> bool:
    return isinstance(test.operand, Path) and test.operand.path in INSTANTS


def _is_of(operand: Asked, prefix: str) -> bool:
    return isinstance(operand, Path) and operand.path.startswith(prefix)


def _mask_leaf(leaf: Leaf, columns: Mapping[str, NDArray[np.generic]], n: int) -> Flags:
    test = as_test(leaf)
    if not isinstance(test.operand, Path):
        raise TypeError("columns hold no events: settle aggregates with `bind` first")
    if moves(test):
        raise TypeError("columns know no time: settle dates with `bind` first")
    rights = read_on_the_right(test)
    if rights:
        return _mask_pairs(test, [test.operand, *rights], columns, n)
    column = columns.get(test.operand.path)
    if column is None:
        return np.full(n, isinstance(test, Compare) and test.op == "!=", np.bool_)
    if isinstance(test, Exists) and column.dtype.kind == "f":
        return ~np.isnan(cast("NDArray[np.float64]", column))
    if isinstance(test, Exists) and column.dtype.kind != "O":
        return np.ones(n, np.bool_)
    if column.dtype.kind == "O" or not _is_exact(test, column):
        return _mask_objects(test, column)
    if isinstance(test, Compare):
        return _mask_comparison(test, column)
    return _mask_list(cast("In", test), column)


def _mask_pairs(test: Test, sides: Sequence[Operand], columns: Mapping[str, NDArray[np.generic]], n: int) -> Flags:
    """Ask each row in turn whether its values pass against each other."""
    if not all(isinstance(side, Path) for side in sides):
        raise TypeError("columns hold no events: settle aggregates with `bind` first")
    source = LoneSource()
    names = [f"x{number}" for number in range(len(sides))]
    passes = source.function(", ".join(names), source.test(test, names[0], names[1:]))
    read = [_objects(columns.get(cast("Path", side).path), n) for side in sides]
    return np.fromiter(map(passes, *read), np.bool_, n)


def _objects(column: NDArray[np.generic] | None, n: int) -> list[object]:
    """Return the values of a column, missing ones as None."""
    if column is None:
        return [None] * n
    values = cast("list[object]", column.tolist())
    return [None if value != value else value for value in values] if column.dtype.kind == "f" else values  # noqa: PLR0124


def _is_exact(test: Test, column: NDArray[np.generic]) -> bool:
    """Say whether numpy compares as Python does: float64 would round what is beyond 2**53."""
    match test:
        case Exists():
            values: tuple[object, ...] = ()
        case In():
            values = test.values
        case Compare(op=op, value=value) if op != "on" and not isinstance(value, Moment | Version):
            values = (value,)
        case _:
            return False
    small = all(not _is_number(value) or abs(cast("float", value)) <= _EXACT for value in values)
    return small and column.dtype.kind in "bf"


def _mask_objects(test: Test, column: NDArray[np.generic]) -> Flags:
    """Ask each value in turn, in one generated loop."""
    source = LoneSource()
    missing_nan = "x if x == x else None" if column.dtype.kind == "f" else "x"
    return np.array(source.loop("x", source.test(test, missing_nan))(column.tolist()), np.bool_)


def _mask_comparison(test: Compare, column: NDArray[np.generic]) -> Flags:
    """Compare float64 or booleans with a value; across types only `!=` holds."""
    value = cast("Value", test.value)
    if not _is_alike(value, column):
        return np.full(len(column), test.op == "!=", np.bool_)
    return cast("Flags", _UFUNCS[test.op](column, value))


def _mask_list(test: In, column: NDArray[np.generic]) -> Flags:
    values = [value for value in test.values if _is_alike(value, column)]
    return np.isin(column, np.array(values, column.dtype))


def _is_alike(value: Value, column: NDArray[np.generic]) -> bool:
    return isinstance(value, bool) if column.dtype.kind == "b" else _is_number(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
