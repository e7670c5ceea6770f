"""Conditions as JSON, and whichever form a definition uses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

import msgspec

from bespeak.conditions.meaning.check import check
from bespeak.conditions.text.parser import parse
from bespeak.conditions.tree import MAX_DEPTH, MAX_TEXT, Condition
from bespeak.errors import ConditionError, Problem

_MAX_NESTING = 3 * MAX_DEPTH + 4
"""A level of a condition is at most an object, its list, and an object for the operand."""
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
_AT = re.compile(r"^(?P<message>.*?)(?: - at `\$?\.?(?P<path>.*)`)?$", re.DOTALL)


def to_json(condition: Condition) -> bytes:
    """Write a condition as JSON: one object a node, told apart by `type`.

    Raises
    ------
    ConditionError
        The condition breaks a bound or has no meaning.
    """
    return msgspec.json.encode(check(condition))


def from_json(value: bytes | str | Mapping[str, object]) -> Condition:
    """Read a condition from JSON, or from what JSON or YAML was read into.

    Raises
    ------
    ConditionError
        It is too deep, too large or malformed, or holds an unknown type or field.
    """
    try:
        if isinstance(value, Mapping):
            check_nesting(value)
            return check(msgspec.convert(value, cast("type[Condition]", Condition)))
        raw = value.encode() if isinstance(value, str) else value
        _check_raw_nesting(raw)
        return check(msgspec.json.decode(raw, type=cast("type[Condition]", Condition)))
    except UnicodeError:
        problem = Problem("text", "UTF-8", "bytes or characters that are none")
        message = f"condition, text: expected {problem.expected}, found {problem.found}"
        raise ConditionError(message, problems=(problem,)) from None
    except msgspec.MsgspecError as error:
        match = cast("re.Match[str]", _AT.fullmatch(str(error)))
        message, path = match["message"], match["path"] or "top"
        problem = Problem(path, "a condition in its JSON form", message)
        raise ConditionError(f"condition, {path}: {message[:1].lower()}{message[1:]}", problems=(problem,)) from None


def load(value: str | Mapping[str, object]) -> Condition:
    """Read a condition from either form, as definitions in YAML or JSON give it: text, or a mapping.

    Raises
    ------
    ConditionError
        It is neither, or is not well formed.

    Examples
    --------
    >>> load({"type": "exists", "operand": {"type": "path", "path": "traits.email"}}) == load("traits.email exists")
    True
    """
    if isinstance(value, str):
        return parse(value)
    return from_json(value)


def _check_raw_nesting(raw: bytes) -> None:
    if len(raw) > 10 * MAX_TEXT:
        raise _too_much("size", f"at most {10 * MAX_TEXT:,} bytes", f"{len(raw):,}")
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", raw)):
        depth += 1 if bracket in b"[{" else -1
        if depth > _MAX_NESTING:
            raise _too_much("depth", f"at most {MAX_DEPTH} levels", "more")


def check_nesting(value: Mapping[str, object]) -> None:
    """Refuse what was read from outside where it is nested deeper than a condition can be, without descending.

    Raises
    ------
    ConditionError
        Says how deep it may be.
    """
    stack: list[tuple[object, int]] = [(value, 1)]
    while stack:
        node, depth = stack.pop()
        if depth > _MAX_NESTING:
            raise _too_much("depth", f"at most {MAX_DEPTH} levels", "more")
        if isinstance(node, Mapping):
            stack.extend((child, depth + 1) for child in cast("Mapping[object, object]", node).values())
        elif isinstance(node, list | tuple):
            stack.extend((child, depth + 1) for child in cast("list[object]", node))


def _too_much(where: str, expected: str, found: str) -> ConditionError:
    message = f"condition, {where}: expected {expected}, found {found}; split it into segments"
    return ConditionError(message, problems=(Problem(where, expected, found),))
