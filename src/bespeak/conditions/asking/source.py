"""Python text for conditions: the one place that says what a comparison means.

Constants are bound through the namespace under generated names; no character of a condition ever
becomes a character of the source. A missing value is None and holds for nothing (so `!=`, which is
`not =`, holds); a list holds when any element does; values of different types are never equal or
ordered; true and false are no numbers. Texts are equal when they fold to the same, unless they are asked for exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from operator import eq, ge, gt, le, lt
from typing import ClassVar, TypeAlias, cast

from bespeak.clock import Instant
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
    HasBeen,
    In,
    InList,
    InSegment,
    LastPerformed,
    Leaf,
    Matches,
    Near,
    Not,
    Operand,
    Operator,
    Or,
    Path,
    Performed,
    Right,
    Test,
    Text,
    Value,
    Version,
)
from bespeak.conditions.tree import Sequence as Steps
from bespeak.conditions.values.dates import dated, is_dated, moves
from bespeak.conditions.values.folding import fold
from bespeak.conditions.values.near import is_near
from bespeak.conditions.values.pairs import elements, is_between, keys, pair
from bespeak.conditions.values.patterns import full_match
from bespeak.conditions.values.versions import VersionKey, version_key

_OfElement: TypeAlias = Callable[[object, Instant, object], bool]
"""Whether an element passes, at an instant, in the zone of a name."""
_Scalar: TypeAlias = Compare | In | Text | Matches | Between
"""Tests that any element of a list may pass."""

_FEW = 4
_PYTHON = {"=": "==", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_COMPARES: dict[Operator, Callable[[VersionKey, VersionKey], bool]] = {"=": eq, "<": lt, "<=": le, ">": gt, ">=": ge}


class Source:
    """Source of one function and the constants that it is bound to."""

    now: ClassVar[str] = "at"
    """Expression of the instant that is asked about."""
    zone: ClassVar[str] = "get('zone')"
    """Expression of the name of the time zone in which dates are meant."""

    def __init__(self) -> None:
        self.namespace: dict[str, object] = {
            "LISTS": frozenset({list, tuple}),
            "NUMBERS": frozenset({int, float}),
            "TEXT": str,
            "some": some,
            "some_text": some_text,
            "some_object": some_object,
            "is_between": is_between,
            "fold": fold,
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

    def test(self, leaf: Test, operand: str, rights: Sequence[str] = ()) -> str:
        """Return an expression that is true when `operand`, an expression, passes the leaf.

        Parameters
        ----------
        rights
            Expressions of what the operand is compared with, in the order of `read_on_the_right`.
        """
        if isinstance(leaf, LastPerformed | Steps | HasBeen):
            return f"({operand} is True)"
        if isinstance(leaf, Exists):
            return f"((v := {operand}) is not None and (v.__class__ not in LISTS or len(v) > 0))"
        if isinstance(leaf, HasAll):
            return f"({self.constant(_has_all(leaf))}({operand}))"
        if isinstance(leaf, Near):
            return f"({self.constant(is_near(leaf))}({operand}))"
        if isinstance(leaf, AnyOf):
            predicate = self.constant(of_element(leaf.where))
            return f"((v := {operand}) is not None and some_object({predicate}, v, {self.now}, {self.zone}))"
        if is_dated(leaf):
            return f"({self.constant(dated(leaf))}({operand}, {self.now}, {self.zone}))"
        scalar_leaf = cast("_Scalar", leaf)
        if read_on_the_right(leaf):
            return self._against(scalar_leaf, operand, rights)
        negated = isinstance(leaf, Compare) and leaf.op == "!="
        scalar = self._scalar(scalar_leaf, "v")
        positive = f"((v := {operand}) is not None and ({scalar} or v.__class__ in LISTS and {self._any(scalar_leaf)}))"
        return f"(not {positive})" if negated else positive

    def _against(self, leaf: _Scalar, operand: str, rights: Sequence[str]) -> str:
        """Write a comparison with what is read as well."""
        if isinstance(leaf, Compare):
            (right,) = rights
            return f"({self.constant(pair(leaf))}({operand}, {right}, {self.zone}))"
        waiting = iter(rights)
        between = cast("Between", leaf)
        low, high = (
            next(waiting) if isinstance(end, Path | Aggregate) else self.constant(end)
            for end in (between.low, between.high)
        )
        return f"is_between({operand}, {low}, {high})"

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

    def _any(self, leaf: _Scalar) -> str:
        """Write what holds when any element of the list `v` passes; for a few strings Python's own `in` looks first."""
        values: tuple[Right, ...] = ()
        exact = True
        if isinstance(leaf, In):
            values, exact = leaf.values, leaf.exact
        elif isinstance(leaf, Compare) and leaf.op in {"=", "!="}:
            values, exact = (leaf.value,), leaf.exact
        texts = [value for value in values if isinstance(value, str)]
        if not texts or len(texts) != len(values) or len(texts) > _FEW:
            return f"some({self.constant(self._predicate(leaf))}, v)"
        found = " or ".join([f"{self.constant(text)} in v" for text in texts])
        if exact:
            return f"({found})"
        return f"({found} or some_text({self.constant(frozenset(map(fold, texts)))}, v))"

    def _predicate(self, leaf: _Scalar) -> Callable[..., bool]:
        element = Source()
        return element.function("e", element._scalar(leaf, "e"))

    def _scalar(self, leaf: _Scalar, name: str) -> str:
        match leaf:
            case Compare(_, op, value, exact):
                return self._comparison("=" if op == "!=" else op, cast("Value | Version", value), name, exact=exact)
            case In():
                return self._listed(leaf, name)
            case Text():
                return f"{name}.__class__ is TEXT and {self.constant(_text_test(leaf))}({name})"
            case Matches():
                return f"{name}.__class__ is TEXT and {self.constant(full_match(leaf.pattern))}({name})"
            case Between():
                low, high = (cast("Value | Version", end) for end in (leaf.low, leaf.high))
                above = self._comparison(">=", low, name, exact=True)
                return f"({above} and {self._comparison('<=', high, name, exact=True)})"

    def _listed(self, leaf: In, name: str) -> str:
        texts = frozenset(value for value in leaf.values if isinstance(value, str))
        flags = [value for value in leaf.values if isinstance(value, bool)]
        numbers = frozenset(v for v in leaf.values if isinstance(v, int | float) and not isinstance(v, bool))
        tests = [f"{name} is {self.constant(flag)}" for flag in flags]
        if texts:
            tests.append(f"{name}.__class__ is TEXT and {self._text(name, 'in', texts, exact=leaf.exact)}")
        if numbers:
            tests.append(f"{name}.__class__ in NUMBERS and {name} in {self.constant(numbers)}")
        return f"({' or '.join(tests)})"

    def _comparison(self, op: Operator, value: Value | Version, name: str, *, exact: bool) -> str:
        if isinstance(value, Version):
            return f"({name}.__class__ is TEXT and {self.constant(_version_test(op, value))}({name}))"
        if isinstance(value, str) and op == "=":
            return f"({name}.__class__ is TEXT and {self._text(name, '==', value, exact=exact)})"
        constant = self.constant(value)
        if value is None:
            return "False"
        if isinstance(value, bool):
            return f"{name} is {constant}" if op == "=" else "False"
        if isinstance(value, str):
            return f"({name}.__class__ is TEXT and {name} {_PYTHON[op]} {constant})"
        return f"({name}.__class__ in NUMBERS and {name} {_PYTHON[op]} {constant})"

    def _text(self, name: str, python: str, asked: str | frozenset[str], *, exact: bool) -> str:
        """Write whether a text is one of those asked for; one that is folded already is looked at once."""
        if exact:
            return f"{name} {python} {self.constant(asked)}"
        folded = self.constant(fold(asked) if isinstance(asked, str) else frozenset(map(fold, asked)))
        is_folded = f"{name}.isascii() and {name}.islower()"
        return f"({name} {python} {folded} or not ({is_folded}) and fold({name}) {python} {folded})"


class _ElementSource(Source):
    """Source of a function of one element `e`, in `any of`."""

    zone: ClassVar[str] = "zone"

    def leaf(self, leaf: Leaf) -> str:
        """Return an expression that is true when the element passes."""
        test = as_test(leaf)
        rights = [self._read(right) for right in read_on_the_right(test)]
        return self.test(test, self._read(test.operand), rights)

    def _read(self, operand: Asked) -> str:
        """Write what reads `it.NAME`."""
        return f"dig(e, {self.shared(tuple(cast('Path', operand).path.split('.')[1:]))})"


def of_element(where: Condition) -> _OfElement:
    """Build what says whether an element passes the condition of an `any of`."""
    source = _ElementSource()
    return source.function("e, at, zone", source.expression(where, source.leaf))


def read_on_the_right(test: Test) -> tuple[Operand, ...]:
    """Return what a test reads beside its operand, to compare it with."""
    rights: tuple[Right, ...] = ()
    if isinstance(test, Compare):
        rights = (test.value,)
    elif isinstance(test, Between):
        rights = (test.low, test.high)
    return tuple(right for right in rights if isinstance(right, Path | Aggregate))


def _has_all(leaf: HasAll) -> Callable[[object], bool]:
    wanted, exact = keys(leaf.values, exact=leaf.exact), leaf.exact
    return lambda value: value is not None and wanted <= keys(value, exact=exact)


def _text_test(leaf: Text) -> Callable[[str], bool]:
    """Build what says whether a text has any of the parts where they are asked for."""
    shaped: Callable[[str], str] = str if leaf.exact else fold
    parts = tuple(dict.fromkeys(map(shaped, leaf.values)))
    if leaf.how == "starts":
        return lambda text: shaped(text).startswith(parts)
    if leaf.how == "ends":
        return lambda text: shaped(text).endswith(parts)
    if len(parts) == 1:
        part = parts[0]
        return lambda text: part in shaped(text)

    def contains(text: str) -> bool:
        whole = shaped(text)
        return any(part in whole for part in parts)

    return contains


def _version_test(op: Operator, version: Version) -> Callable[[str], bool]:
    bound = cast("VersionKey", version_key(version.text))
    compare = _COMPARES[op]

    def passes(text: str) -> bool:
        found = version_key(text)
        return found is not None and compare(found, bound)

    return passes


def matcher(test: Test) -> Callable[[object], bool]:
    """Build the function that says whether a value passes a test, whatever its operand.

    Raises
    ------
    TypeError
        The test moves with time, or compares with something else that is read: the value alone does not tell.
    """
    if moves(test) or is_dated(test) or read_on_the_right(test):
        raise TypeError("this test stands on more than one value")
    source = LoneSource()
    return source.function("x", source.test(test, "x"))


class LoneSource(Source):
    """Source of what stands on one value alone: there is no zone, and nothing moves."""

    now: ClassVar[str] = "0"
    zone: ClassVar[str] = "None"


def as_test(leaf: Leaf) -> Test:
    """Return a leaf as a test: `performed(...)` is `count(...) >= 1`, `in_segment("x")` is `segments.x = true`.

    And `in_list("x")` is `lists.x = true`.
    """
    match leaf:
        case Performed():
            return Compare(Aggregate("count", leaf.event, None, leaf.where, leaf.within), ">=", 1)
        case InSegment():
            return Compare(Path(f"segments.{leaf.segment}"), "=", True)  # noqa: FBT003 - the value compared with
        case InList():
            return Compare(Path(f"lists.{leaf.list}"), "=", True)  # noqa: FBT003 - the value compared with
        case _:
            return leaf


def some(predicate: Callable[[object], bool], values: Iterable[object]) -> bool:
    """Say whether any of the values passes."""
    return any(map(predicate, values))


def some_text(folded: frozenset[str], values: Iterable[object]) -> bool:
    """Say whether any of the values is a text that folds to one of these."""
    for value in values:
        if isinstance(value, str) and (
            value in folded or (not (value.isascii() and value.islower()) and fold(value) in folded)
        ):
            return True
    return False


def some_object(predicate: _OfElement, value: object, at: Instant, zone: object) -> bool:
    """Say whether any element of a list of objects, or the one object, passes."""
    return any(isinstance(one, dict) and predicate(cast("object", one), at, zone) for one in elements(value))


def dig(value: object, parts: tuple[str, ...]) -> object:
    """Follow the parts of a path through nested mappings; None where one is missing."""
    for part in parts:
        if not isinstance(value, dict):
            return None
        value = cast("dict[str, object]", value).get(part)
    return value
