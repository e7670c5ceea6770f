"""Python text for conditions: the one place that says what a comparison means.

Constants are bound through the namespace under generated names; no character of a condition ever
becomes a character of the source. A missing value is None and holds for nothing (so `!=`, which is
`not =`, holds); a list holds when any element does; values of different types are never equal or
ordered; true and false are no numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import cast

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
    Operator,
    Or,
    Path,
    Performed,
    Test,
    Value,
)

_FEW = 4
_PYTHON = {"=": "==", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


class Source:
    """Source of one function and the constants that it is bound to."""

    def __init__(self) -> None:
        self.namespace: dict[str, object] = {
            "LISTS": frozenset({list, tuple}),
            "NUMBERS": frozenset({int, float}),
            "TEXT": str,
            "some": some,
            "dig": dig,
        }
        self._constants = 0
        self._shared: dict[tuple[type, object], str] = {}

    def constant(self, value: object) -> str:
        """Bind a value and return the name that stands for it."""
        name = f"k{self._constants}"
        self._constants += 1
        self.namespace[name] = value
        return name

    def shared(self, value: Hashable) -> str:
        """Bind a value once and return its name, the same for each time that it is asked for."""
        name = self._shared.get((value.__class__, value))
        if name is None:
            name = self._shared[value.__class__, value] = self.constant(value)
        return name

    def expression(self, condition: Condition, leaf: Callable[[Leaf], str]) -> str:
        """Return an expression that is true when the condition holds; `leaf` writes what it stands on."""
        match condition:
            case And():
                return f"({' and '.join([self.expression(part, leaf) for part in condition.all]) or 'True'})"
            case Or():
                return f"({' or '.join([self.expression(part, leaf) for part in condition.any]) or 'False'})"
            case Not():
                return f"(not {self.expression(condition.condition, leaf)})"
            case _:
                return leaf(condition)

    def test(self, leaf: Test, operand: str) -> str:
        """Return an expression that is true when `operand`, an expression, passes the leaf."""
        if isinstance(leaf, Exists):
            return f"((v := {operand}) is not None and (v.__class__ not in LISTS or len(v) > 0))"
        negated = isinstance(leaf, Compare) and leaf.op == "!="
        scalar = self._scalar(leaf, "v")
        positive = f"((v := {operand}) is not None and ({scalar} or v.__class__ in LISTS and {self._any(leaf)}))"
        return f"(not {positive})" if negated else positive

    def function(self, parameters: str, expression: str, setup: str = "") -> Callable[..., bool]:
        """Build the function of `parameters` that says whether `expression` holds, after `setup` lines."""
        text = f"{setup}    return True if {expression} else False\n"
        return cast("Callable[..., bool]", self._build(parameters, text))

    def steps(self, parameters: str, lines: Iterable[str]) -> object:
        """Build the function of `parameters` that takes these steps, one or more lines each, indented from 0."""
        return self._build(parameters, "".join(f"    {line}\n" for line in lines))

    def loop(self, name: str, expression: str) -> Callable[[Iterable[object]], list[bool]]:
        """Build the function that says of each of the values given whether `expression` of `name` holds."""
        text = f"    return [True if {expression} else False for {name} in values]\n"
        return cast("Callable[[Iterable[object]], list[bool]]", self._build("values", text))

    def _build(self, parameters: str, body: str) -> object:
        text = f"def built({parameters}):\n{body}"
        exec(compile(text, "<condition>", "exec"), self.namespace)  # noqa: S102 - our own text, constants bound
        return self.namespace["built"]

    def _any(self, leaf: Compare | In) -> str:
        """Write what holds when any element of the list `v` passes; for a few strings that is Python's own `in`."""
        values = leaf.values if isinstance(leaf, In) else (leaf.value,) if leaf.op in {"=", "!="} else ()
        if 0 < len(values) <= _FEW and all(isinstance(value, str) for value in values):
            return f"({' or '.join([f'{self.constant(value)} in v' for value in values])})"
        return f"some({self.constant(self._predicate(leaf))}, v)"

    def _predicate(self, leaf: Compare | In) -> Callable[..., bool]:
        element = Source()
        return element.function("e", element._scalar(leaf, "e"))

    def _scalar(self, leaf: Compare | In, name: str) -> str:
        if isinstance(leaf, Compare):
            return self._comparison("=" if leaf.op == "!=" else leaf.op, leaf.value, name)
        texts = frozenset(value for value in leaf.values if isinstance(value, str))
        flags = [value for value in leaf.values if isinstance(value, bool)]
        numbers = frozenset(v for v in leaf.values if isinstance(v, int | float) and not isinstance(v, bool))
        tests = [f"{name} is {self.constant(flag)}" for flag in flags]
        if texts:
            tests.append(f"{name}.__class__ is TEXT and {name} in {self.constant(texts)}")
        if numbers:
            tests.append(f"{name}.__class__ in NUMBERS and {name} in {self.constant(numbers)}")
        return f"({' or '.join(tests)})" if tests else "False"

    def _comparison(self, op: Operator, value: Value, name: str) -> str:
        constant = self.constant(value)
        if value is None:
            return "False"
        if isinstance(value, bool):
            return f"{name} is {constant}" if op == "=" else "False"
        if isinstance(value, str):
            return f"({name}.__class__ is TEXT and {name} {_PYTHON[op]} {constant})"
        return f"({name}.__class__ in NUMBERS and {name} {_PYTHON[op]} {constant})"


def matcher(test: Test) -> Callable[[object], bool]:
    """Build the function that says whether a value passes a test, whatever its operand."""
    source = Source()
    return source.function("x", source.test(test, "x"))


def as_test(leaf: Leaf) -> Test:
    """Return a leaf as a test: `performed(...)` is `count(...) >= 1`, `in_segment("x")` is `segments.x = true`."""
    match leaf:
        case Performed():
            return Compare(Aggregate("count", leaf.event, None, leaf.where, leaf.within), ">=", 1)
        case InSegment():
            return Compare(Path(f"segments.{leaf.segment}"), "=", True)  # noqa: FBT003 - the value compared with
        case _:
            return leaf


def some(predicate: Callable[[object], bool], values: Iterable[object]) -> bool:
    """Say whether any of the values passes."""
    return any(map(predicate, values))


def dig(value: object, parts: tuple[str, ...]) -> object:
    """Follow the parts of a path through nested mappings; None where one is missing."""
    for part in parts:
        if not isinstance(value, dict):
            return None
        value = cast("dict[str, object]", value).get(part)
    return value
