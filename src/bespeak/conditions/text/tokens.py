"""Text of a condition cut into tokens, and errors that point at the place."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import msgspec

from bespeak.conditions.tree import MAX_TEXT
from bespeak.errors import ConditionError, Problem

TokenKind: TypeAlias = Literal["name", "string", "number", "sign", "end"]

_STRING = r'"(?:[^"\\\n]|\\.)*"'
_TOKEN = re.compile(
    rf"""
      (?P<name>[^\W\d][\w$-]*(?:\.(?:[\w$-]+|{_STRING}))*)
    | (?P<string>{_STRING})
    | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<sign><=|>=|!=|[=<>(),\[\]])
    """,
    re.VERBOSE,
)
_SPACE = re.compile(r"\s*")
_STRAY = re.compile(r"==|&&|\|\||<>|\S")
_REMEDIES = {
    "==": "write `=` for equality",
    "&&": "write `and`",
    "&": "write `and`",
    "||": "write `or`",
    "|": "write `or`",
    "!": "write `not` or `!=`",
    "<>": "write `!=`",
    "'": "write strings in double quotes",
    "\N{LEFT DOUBLE QUOTATION MARK}": 'write strings in plain double quotes: "',
    "\N{RIGHT DOUBLE QUOTATION MARK}": 'write strings in plain double quotes: "',
    '"': "close the string with a double quote on the same line",
    "{": "write lists in square brackets",
    "+": "there is no arithmetic in conditions",
    "*": "there is no arithmetic in conditions",
    "/": "there is no arithmetic in conditions",
}
_SHOWN = 60
"""Characters of a line shown on either side of the place."""


class Token(msgspec.Struct, frozen=True):
    """One word of a condition, and where it stands (`at` counts characters from 0)."""

    kind: TokenKind
    text: str
    at: int


def tokenize(text: str) -> list[Token]:
    """Cut a text into tokens; the last one is of kind `end`.

    Raises
    ------
    ConditionError
        The text is over `MAX_TEXT` characters, or holds something that is no token; the message points at it.
    """
    if len(text) > MAX_TEXT:
        problem = Problem("text", f"at most {MAX_TEXT:,} characters", f"{len(text):,}")
        raise ConditionError(f"condition: expected {problem.expected}, found {problem.found}", problems=(problem,))
    tokens: list[Token] = []
    at = _skip(text, 0)
    while at < len(text):
        match = _TOKEN.match(text, at)
        stray = _STRAY.match(text, at)
        if match is None or (stray is not None and stray[0] in {"==", "<>"}):
            found = stray[0] if stray is not None else text[at]
            raise error_at(text, at, "a condition", f"`{found}`", _REMEDIES.get(found, ""), length=len(found))
        tokens.append(Token(_kind(match), match[0], at))
        at = _skip(text, match.end())
    tokens.append(Token("end", "", len(text)))
    return tokens


def error_at(text: str, at: int, expected: str, found: str, remedy: str = "", *, length: int = 1) -> ConditionError:
    """Make the error that points at a place of a text: line, column, what was expected and found, what would do."""
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    line, column = text[start : end if end >= 0 else len(text)], at - start
    first = max(0, column - _SHOWN)
    shown, found = _printable(line[first : column + _SHOWN].replace("\t", " ")), _printable(found)
    place = (
        f"column {column + 1}"
        if "\n" not in text.strip()
        else f"line {text.count(chr(10), 0, at) + 1}, column {column + 1}"
    )
    advice = f"; {remedy}" if remedy else ""
    caret = " " * (column - first) + "^" * max(1, min(length, len(shown) - column + first))
    message = f"condition, {place}: expected {expected}, found {found}{advice}\n  {shown}\n  {caret}"
    return ConditionError(message, problems=(Problem(place, expected, found),))


def _printable(text: str) -> str:
    """Return a text that UTF-8 can hold: of half a character, which it cannot, the code."""
    return text.encode("utf-8", "backslashreplace").decode()


def split_path(text: str) -> list[str]:
    """Return the parts of the text of a path, quoted ones still in quotes.

    Examples
    --------
    >>> split_path('properties."Product Category".code')
    ['properties', '"Product Category"', 'code']
    """
    return re.findall(rf"{_STRING}|[\w$-]+", text)


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return at if space is None else space.end()


def _kind(match: re.Match[str]) -> TokenKind:
    for kind in ("name", "string", "number"):
        if match.lastgroup == kind:
            return kind
    return "sign"
