"""What a check says when something is not as it must be; plain functions, since `python -O` drops `assert`."""

from __future__ import annotations

from collections.abc import Callable

from bespeak.errors import BespeakError

_SHOWN = 2_000
"""Characters of a value that a message shows."""


def equal(what: str, found: object, expected: object) -> None:
    """Raise AssertionError unless the two are equal."""
    if found != expected:
        raise AssertionError(f"{what}: expected {_short(expected)}, found {_short(found)}")


def true(what: str, holds: object, found: object) -> None:
    """Raise AssertionError unless it holds; `found` is shown."""
    if not holds:
        raise AssertionError(f"{what}: expected, found {_short(found)}")


def refused(what: str, call: Callable[[], object], error: type[BespeakError]) -> None:
    """Raise AssertionError unless the call raises this error with a sentence."""
    try:
        call()
    except error as raised:
        true(f"{what}: a reason of some words", len(raised.message.split()) > 2, raised.message)
        return
    raise AssertionError(f"{what}: expected {error.__name__}, found no error")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"
