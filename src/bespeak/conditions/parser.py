"""Text to condition: a recursive descent that never goes deeper than a condition may.

condition   := conjunction ("or" conjunction)*
conjunction := negation ("and" negation)*
negation    := "not" negation | "(" condition ")" | "true" | "false" | leaf
leaf        := "performed" "(" event ")" | "in_segment" "(" STRING ")" | operand test
operand     := PATH | "count" "(" event ")" | ("sum" | "last") "(" PATH "of" event ")"
event       := STRING ["where" condition] ["," "last" NUMBER UNIT]
test        := ("=" | "!=" | "<" | "<=" | ">" | ">=") value | ["not"] "in" "[" value ("," value)* "]"
             | "exists" | "is" "missing"
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar, cast

import msgspec

from bespeak.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND, WEEK, Duration
from bespeak.conditions.check import KEYWORDS, Misfit, check, check_leaf
from bespeak.conditions.tokens import Token, TokenKind, error_at, split_path, tokenize
from bespeak.conditions.tree import (
    MAX_DEPTH,
    MAX_NODES,
    Aggregate,
    And,
    Compare,
    Condition,
    Exists,
    In,
    InSegment,
    Kind,
    Leaf,
    Not,
    Operand,
    Operator,
    Or,
    Path,
    Performed,
    Value,
)
from bespeak.errors import ConditionError

T = TypeVar("T")

_MAX_NESTING = 2 * MAX_DEPTH
"""Brackets and `not`s inside one another: brackets that change nothing may double the depth of the tree."""
_OPERATORS = frozenset({"=", "!=", "<", "<=", ">", ">="})
_KINDS: dict[str, Kind] = {"count": "count", "sum": "sum", "last": "last"}
_LITERALS: dict[str, Value] = {"true": True, "false": False}
_UNITS: dict[str, Duration] = {
    "millisecond": MILLISECOND,
    "second": SECOND,
    "minute": MINUTE,
    "hour": HOUR,
    "day": DAY,
    "week": WEEK,
}
_MAX_DIGITS = 400


def parse(text: str) -> Condition:
    """Read a condition from its text.

    Raises
    ------
    ConditionError
        The text is no condition; the message gives line and column, what was expected and found, and what would do.

    Examples
    --------
    >>> parse('traits.country in ["DE", "FR"]')
    In(operand=Path(path='traits.country'), values=('DE', 'FR'))
    """
    return check(_Parser(text).whole())


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokenize(text)
        self._place = 0
        self._nesting = 0
        self._leaves = 0
        self._in_where = False

    def whole(self) -> Condition:
        condition = self._condition()
        if self._next.kind != "end":
            raise self._error("`and`, `or` or the end")
        return condition

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _condition(self) -> Condition:
        parts = self._list(self._conjunction, "or")
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _conjunction(self) -> Condition:
        parts = self._list(self._negation, "and")
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _list(self, part: Callable[[], T], separator: str) -> list[T]:
        parts = [part()]
        while self._takes(separator):
            parts.append(part())
        return parts

    def _negation(self) -> Condition:
        if self._next.text == "not":
            with self._deeper():
                self._advance()
                return Not(self._negation())
        if self._next.text == "(":
            with self._deeper():
                self._advance()
                condition = self._condition()
                self._expect(")", "`and`, `or` or `)`")
                return condition
        return self._leaf()

    def _leaf(self) -> Condition:
        self._leaves += 1
        if self._leaves > MAX_NODES:
            raise self._error(f"at most {MAX_NODES} parts", "split it into segments")
        if self._takes("true"):
            return And(())
        if self._takes("false"):
            return Or(())
        first = self._next
        negated, leaf = self._plain_leaf()
        try:
            check_leaf(leaf, of_event=self._in_where)
        except Misfit as misfit:
            length = self._tokens[self._place - 1].at + len(self._tokens[self._place - 1].text) - first.at
            raise error_at(self._text, first.at, misfit.expected, misfit.found, misfit.remedy, length=length) from None
        return Not(leaf) if negated else leaf

    def _plain_leaf(self) -> tuple[bool, Leaf]:
        if self._takes("performed"):
            return False, Performed(*self._bracketed(self._event))
        if self._takes("in_segment"):
            return False, InSegment(self._bracketed(lambda: self._string("the id of a segment in double quotes")))
        first = self._next
        return self._test(self._operand(), first)

    def _operand(self) -> Operand:
        kind = _KINDS.get(self._next.text)
        if kind is None:
            return Path(self._path('a condition such as traits.country = "DE"'))
        self._advance()
        return self._bracketed(lambda: self._aggregate(kind))

    def _aggregate(self, kind: Kind) -> Aggregate:
        of = None
        if kind != "count":
            of = self._path("a property such as properties.revenue", f'write {kind}(properties.NAME of "EVENT")')
            self._expect("of", "`of` and the name of an event")
        event, where, within = self._event()
        return Aggregate(kind, event, of, where, within)

    def _event(self) -> tuple[str, Condition | None, Duration | None]:
        event = self._string("the name of an event in double quotes")
        where = self._where() if self._takes("where") else None
        if self._next.text == "last":
            raise self._error("`,` before the window", "write a comma before `last`")
        within = self._window() if self._takes(",") else None
        return event, where, within

    def _where(self) -> Condition:
        outer, self._in_where = self._in_where, True
        condition = self._condition()
        self._in_where = outer
        return condition

    def _window(self) -> Duration:
        self._expect("last", "`last` and a duration such as 30 days")
        number, token = self._number("a whole number of days, hours, minutes or seconds")
        if not isinstance(number, int) or number <= 0:
            raise self._error("a whole number above zero", at=token)
        unit = self._next.text.removesuffix("s")
        if unit not in _UNITS:
            raise self._error("days, hours, minutes, seconds or milliseconds")
        self._advance()
        return number * _UNITS[unit]

    def _test(self, operand: Operand, first: Token) -> tuple[bool, Leaf]:
        """Return the test that follows an operand, and whether it is negated."""
        token = self._next
        if token.text in _OPERATORS and token.kind == "sign":
            self._advance()
            return False, Compare(operand, cast("Operator", token.text), self._value())
        if self._takes("not"):
            self._expect("in", "`in` and a list")
            return True, In(operand, self._values())
        if self._takes("in"):
            return False, In(operand, self._values())
        if self._takes("exists"):
            return False, Exists(operand)
        if self._takes("is"):
            self._expect("missing", "`missing`", "write `is missing` or `exists`")
            return True, Exists(operand)
        advice = _keyword_advice(first)
        if advice:
            raise self._error("a condition", advice, at=first)
        raise self._error("=, !=, <, <=, >, >=, in, exists or is missing", _flag_advice(operand))

    def _values(self) -> tuple[Value, ...]:
        self._expect("[", 'a list such as ["DE", "FR"]')
        if self._next.text == "]":
            raise self._error("at least one value")
        values = [self._value()]
        while self._takes(","):
            values.append(self._value())
        self._expect("]", "`,` or `]`")
        return tuple(values)

    def _value(self) -> Value:
        token = self._next
        if token.text in _LITERALS and token.kind == "name":
            self._advance()
            return _LITERALS[token.text]
        if token.kind == "string":
            return self._string("a string")
        if token.text == "null":
            raise self._error("a string, a number, true or false", "write `is missing` or `exists`")
        return self._number('a value such as "DE", 5 or true', _quote_advice(token))[0]

    def _number(self, expected: str, remedy: str = "") -> tuple[int | float, Token]:
        token = self._take("number", expected, remedy)
        if len(token.text) > _MAX_DIGITS:
            raise self._error(f"a number of at most {_MAX_DIGITS} digits", at=token)
        return (int(token.text) if token.text.lstrip("-").isdecimal() else float(token.text)), token

    def _string(self, expected: str) -> str:
        token = self._take("string", expected, _quote_advice(self._next))
        return self._unquoted(token.text, token)

    def _path(self, expected: str, remedy: str = "") -> str:
        token = self._next
        if token.kind == "string" and not remedy:
            remedy = "the path comes first, and strings on the right"
        if token.kind == "name" and token.text in KEYWORDS:
            raise self._error(expected, remedy)
        token = self._take("name", expected, remedy)
        parts = [self._unquoted(part, token) if part.startswith('"') else part for part in split_path(token.text)]
        if any("." in part or not part for part in parts):
            raise self._error("names without dots in a path", at=token)
        return ".".join(parts)

    def _unquoted(self, text: str, token: Token) -> str:
        try:
            return msgspec.json.decode(text, type=str)
        except (msgspec.DecodeError, UnicodeEncodeError):
            raise self._error("a string with JSON's escapes (\\\", \\\\, \\n, \\u00e9)", at=token) from None

    def _bracketed(self, inside: Callable[[], T]) -> T:
        with self._deeper():
            self._expect("(", "`(`")
            value = inside()
            self._expect(")", "`)`")
            return value

    @contextmanager
    def _deeper(self) -> Generator[None]:
        self._nesting += 1
        if self._nesting > _MAX_NESTING:
            raise self._error(f"at most {_MAX_NESTING} levels of brackets", "split it into segments")
        yield
        self._nesting -= 1

    def _advance(self) -> None:
        self._place += 1

    def _takes(self, text: str) -> bool:
        token = self._next
        if token.text != text or token.kind not in {"name", "sign"}:
            return False
        self._place += 1
        return True

    def _expect(self, text: str, expected: str, remedy: str = "") -> None:
        if not self._takes(text):
            raise self._error(expected, remedy)

    def _take(self, kind: TokenKind, expected: str, remedy: str) -> Token:
        token = self._next
        if token.kind != kind:
            raise self._error(expected, remedy)
        self._place += 1
        return token

    def _error(self, expected: str, remedy: str = "", at: Token | None = None) -> ConditionError:
        token = self._next if at is None else at
        found = f"`{token.text[:40]}`" if token.kind != "end" else "the end"
        advice = _keyword_advice(token) or remedy
        return error_at(self._text, token.at, expected, found, advice, length=len(token.text))


def _keyword_advice(token: Token) -> str:
    if token.kind != "name" or token.text in KEYWORDS:
        return ""
    lowered = token.text.lower()
    if lowered in KEYWORDS:
        return f"write `{lowered}` in lower case"
    close = difflib.get_close_matches(lowered, sorted(KEYWORDS), n=1, cutoff=0.8)
    return f"did you mean `{close[0]}`?" if close and "." not in lowered else ""


def _quote_advice(token: Token) -> str:
    return f'write strings in double quotes: "{token.text[:40]}"' if token.kind == "name" else ""


def _flag_advice(operand: Operand) -> str:
    return f"to test a flag, write {operand.path} = true" if isinstance(operand, Path) else "such as >= 5"
