"""Patterns that whole texts must match: RE2's, whose cost grows with the text alone, never with what it repeats."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias, cast

import re2  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs] - it has no types

from bespeak.errors import InvalidInput

PATTERN_MAX = 1_000
"""Characters that a pattern may have."""
TEXT_MAX = 32_768
"""Characters of a text that are matched; a longer text matches nothing."""
MEMORY_MAX = 1 << 20
"""Bytes that one pattern may take, its automaton included."""

SYNTAX = "a pattern by RE2's syntax"

Match: TypeAlias = Callable[[str], bool]


class NoPattern(InvalidInput):
    """A pattern that RE2 cannot read; `offset` is where, `found` what stands there."""

    def __init__(self, offset: int, found: str, problem: str) -> None:
        super().__init__(f"pattern, character {offset + 1}: expected {SYNTAX}, found {found}; {problem}")
        self.offset = offset
        self.found = found
        self.problem = problem


@lru_cache(maxsize=2_000)
def full_match(pattern: str) -> Match:
    r"""Return what says whether a whole text matches.

    Raises
    ------
    NoPattern
        It is too long, takes too much memory, or is no pattern by RE2's syntax.

    Examples
    --------
    >>> is_code = full_match(r"[A-Z]{2}\d+")
    >>> is_code("AB12"), is_code("AB12 "), is_code("ab12")
    (True, False, False)
    """
    if len(pattern) > PATTERN_MAX:
        raise NoPattern(PATTERN_MAX, f"{len(pattern):,} characters", f"there may be {PATTERN_MAX:,}")
    options = cast("Any", re2).Options()
    options.max_mem, options.log_errors = MEMORY_MAX, False
    try:
        search = cast("Callable[[str], object]", cast("Any", re2).compile(pattern, options).fullmatch)
    except (cast("type[Exception]", cast("Any", re2).error), UnicodeEncodeError) as error:
        raise _refusal(pattern, error) from None

    def matches(text: str) -> bool:
        try:
            return len(text) <= TEXT_MAX and search(text) is not None
        except UnicodeEncodeError:  # half a surrogate pair, which no UTF-8 can hold
            return False

    return matches


def _refusal(pattern: str, error: Exception) -> NoPattern:
    """Make the error that points at what RE2 says that it could not read."""
    said = error.args[0] if error.args else ""
    said = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    problem, _, fragment = said.partition(": ")
    if problem.startswith("unexpected "):
        fragment = problem[-1]
    at = pattern.rfind(fragment) if fragment else len(pattern) - 1
    if problem.startswith("missing "):
        at = len(pattern)
    at = max(at, 0)
    return NoPattern(at, f"`{pattern[at : at + 20]}`" if at < len(pattern) else "the end", problem)
