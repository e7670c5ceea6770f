"""A place in the tokens of a condition: takes words, numbers and strings, and points at what should not stand there."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from bespeak.conditions.meaning.check import KEYWORDS
from bespeak.conditions.text.tokens import Token, TokenKind, error_at, split_path, tokenize
from bespeak.conditions.tree import MAX_DEPTH
from bespeak.errors import ConditionError

T = TypeVar("T")

_MAX_NESTING = 2 * MAX_DEPTH
"""Brackets and `not`s inside one another: brackets that change nothing may double the depth of the tree."""
_MAX_DIGITS = 400
_OTHER_WORDS = {
    "equals": "write `=`",
    "eq": "write `=`",
    "ne": "write `!=`",
    "gt": "write `>`",
    "gte": "write `>=`",
    "lt": "write `<`",
    "lte": "write `<=`",
    "like": "write `contains`, `starts with`, `ends with` or `matches`",
    "regex": "write `matches` and a pattern",
    "includes": "write `contains` for a part of a string, `=` for an element of a list",
    "begins": "write `starts with`",
    "startswith": "write `starts with`",
    "endswith": "write `ends with`",
    "before": 'write `<` and a date: < date "2026-01-31"',
    "after": 'write `>` and a date: > date "2026-01-31"',
    "contain": "write `contains`",
    "does": "write `not` before the test: not traits.name contains ...",
    "average": "write `avg`",
    "mean": "write `avg`",
    "unique": "write `distinct`",
}
"""Words of other languages, and what they are called here."""


class Cursor:
    """Takes the tokens of a text one after another.

    Raises
    ------
    ConditionError
        From every method that finds something else than it should.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = tokenize(text)
        self._place = 0
        self._nesting = 0
        self.wanted: dict[str, None] = {}
        """Words that were looked for at the end of the text."""

    @property
    def next(self) -> Token:
        """The token that stands here."""
        return self._tokens[self._place]

    @property
    def end(self) -> int:
        """Where the last token that was taken ends."""
        last = self._tokens[self._place - 1]
        return last.at + len(last.text)

    def after(self, places: int) -> Token:
        """Return the token so many places on."""
        return self._tokens[min(self._place + places, len(self._tokens) - 1)]

    def advance(self) -> None:
        """Go on to the next token."""
        self._place += 1

    def takes(self, text: str) -> bool:
        """Take a word or sign if it stands here; says whether it did."""
        token = self.next
        if token.kind == "end":
            self.wanted[text] = None
        if token.text != text or token.kind not in {"name", "sign"}:
            return False
        self._place += 1
        return True

    def expect(self, text: str, expected: str, remedy: str = "") -> None:
        """Take a word or sign that must stand here."""
        if not self.takes(text):
            raise self.error(expected, remedy)

    def take(self, kind: TokenKind, expected: str, remedy: str = "") -> Token:
        """Take a token of a kind that must stand here."""
        token = self.next
        if token.kind != kind:
            raise self.error(expected, remedy)
        self._place += 1
        return token

    def number(self, expected: str, remedy: str = "") -> tuple[int | float, Token]:
        """Take a number, whole where it is written so."""
        token = self.take("number", expected, remedy)
        if len(token.text) > _MAX_DIGITS:
            raise self.error(f"a number of at most {_MAX_DIGITS} digits", at=token)
        return (int(token.text) if token.text.lstrip("-").isdecimal() else float(token.text)), token

    def string(self, expected: str) -> str:
        """Take a string."""
        token = self.take("string", expected, quote_advice(self.next))
        return self.unquoted(token.text, token)

    def read_string(self, expected: str, check: Callable[[str], object], place: Callable[[Exception], _Place]) -> str:
        """Take a string that `check` must be able to read; `place` says of its error where in the string, and what."""
        token = self.next
        text = self.string(expected)
        try:
            check(text)
        except ValueError as error:
            offset, wanted, found, remedy = place(error)
            if "\\" in token.text:
                raise error_at(self.text, token.at, wanted, found, remedy, length=len(token.text)) from None
            raise error_at(self.text, token.at + 1 + min(offset, len(text)), wanted, found, remedy) from None
        return text

    def path(self, expected: str, remedy: str = "") -> str:
        """Take a path."""
        token = self.next
        if token.kind == "string" and not remedy:
            remedy = "the path comes first, and strings on the right"
        if token.kind == "name" and token.text in KEYWORDS:
            raise self.error(expected, remedy)
        token = self.take("name", expected, remedy)
        parts = [self.unquoted(part, token) if part.startswith('"') else part for part in split_path(token.text)]
        if any("." in part or not part for part in parts):
            raise self.error("names without dots in a path", at=token)
        return ".".join(parts)

    def unquoted(self, text: str, token: Token) -> str:
        """Return what a string in quotes stands for."""
        try:
            return msgspec.json.decode(text, type=str)
        except (msgspec.DecodeError, UnicodeEncodeError):
            raise self.error("a string with JSON's escapes (\\\", \\\\, \\n, \\u00e9)", at=token) from None

    def bracketed(self, inside: Callable[[], T], expected: str = "`(`") -> T:
        """Take what stands in brackets."""
        with self.deeper():
            self.expect("(", expected)
            value = inside()
            self.expect(")", "`)`")
            return value

    @contextmanager
    def deeper(self) -> Generator[None]:
        """Go a level of nesting down, if there is one left."""
        self._nesting += 1
        if self._nesting > _MAX_NESTING:
            raise self.error(f"at most {_MAX_NESTING} levels of brackets", "split it into segments")
        yield
        self._nesting -= 1

    def error(self, expected: str, remedy: str = "", at: Token | None = None) -> ConditionError:
        """Make the error that points at a token, or at the one that stands here."""
        token = self.next if at is None else at
        found = f"`{token.text[:40]}`" if token.kind != "end" else "the end"
        advice = keyword_advice(token) or remedy
        return error_at(self.text, token.at, expected, found, advice, length=len(token.text))


_Place = tuple[int, str, str, str]
"""Where in a string, what was expected there, what was found, and what would do."""


def keyword_advice(token: Token) -> str:
    """Say which word of the language a word was meant to be; empty where none is near."""
    if token.kind != "name" or token.text in KEYWORDS:
        return ""
    lowered = token.text.lower()
    if lowered in KEYWORDS:
        return f"write `{lowered}` in lower case"
    if lowered in _OTHER_WORDS:
        return _OTHER_WORDS[lowered]
    close = difflib.get_close_matches(lowered, sorted(KEYWORDS), n=1, cutoff=0.8)
    return f"did you mean `{close[0]}`?" if close and "." not in lowered else ""


def quote_advice(token: Token) -> str:
    """Say how a string is written, where a word stands without its quotes."""
    return f'write strings in double quotes: "{token.text[:40]}"' if token.kind == "name" else ""
