"""Versions such as `2.10.0`, ordered as Semantic Versioning orders them.

Parts that are missing are 0, so that `2.1` is `2.1.0`; a `v` before and what follows a `+` mean nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TypeAlias

PARTS_MAX = 8
"""Numbers with dots between them that a version may have."""
TEXT_MAX = 200
"""Characters that a version may have."""

VersionKey: TypeAlias = tuple[tuple[int, ...], int, tuple[tuple[int, int, str], ...]]

_NUMBER = r"[0-9]{1,18}"
_NAME = r"[0-9A-Za-z-]+"
_VERSION = re.compile(
    rf"[vV]?(?P<numbers>{_NUMBER}(?:\.{_NUMBER}){{0,{PARTS_MAX - 1}}})"
    rf"(?:-(?P<early>{_NAME}(?:\.{_NAME})*))?(?:\+{_NAME}(?:\.{_NAME})*)?"
)


def version_key(text: str) -> VersionKey | None:
    """Return what orders a version among others; None where the text is none.

    References
    ----------
    [^1]: Semantic Versioning 2.0.0, section 11: numbers first, then a pre-release before its release, whose parts
       compare as numbers where they are numbers, else by ASCII, numbers first, and the shorter of two alike first.

    Examples
    --------
    >>> version_key("2.10") > version_key("2.9.3"), version_key("1.0.0-rc.1") < version_key("v1")
    (True, True)
    >>> version_key("latest")
    """
    return _short_key(text) if len(text) <= TEXT_MAX else None


@lru_cache(maxsize=10_000)
def _short_key(text: str) -> VersionKey | None:
    match = _VERSION.fullmatch(text)
    if match is None:
        return None
    numbers = tuple(map(int, match["numbers"].split(".")))
    early = match["early"]
    parts = () if early is None else tuple(map(_part, early.split(".")))
    return numbers + (0,) * (PARTS_MAX - len(numbers)), int(early is None), parts


def _part(text: str) -> tuple[int, int, str]:
    """Return what orders one part of a pre-release."""
    return (0, int(text), "") if text.isdecimal() else (1, 0, text)
