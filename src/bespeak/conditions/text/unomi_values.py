"""What parameters of Unomi's conditions hold: values of several types, dates, texts, numbers and lists."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TypeAlias, cast

from bespeak.clock import format_time
from bespeak.conditions.meaning.misfit import Misfit
from bespeak.conditions.tree import Moment, Right

Parameters: TypeAlias = Mapping[str, object]
"""The `parameterValues` of a condition."""

_KINDS = ("", "Integer", "Double", "Date", "DateExpr")
_INTEGER = re.compile(r"-?[0-9]{1,19}")


def value_in(given: Parameters, at: str, *, dated: bool = False) -> Right:
    """Return the `propertyValue`, of whichever type; `dated`: one without a type is a date.

    Raises
    ------
    Misfit
        There is none, or it is no such value; so it is with all of these.
    """
    for kind in _KINDS:
        if given.get(f"propertyValue{kind}") is not None:
            return _typed(given[f"propertyValue{kind}"], "Date" if dated and not kind else kind, at)
    raise Misfit(at, "a propertyValue", "none")


def values_in(given: Parameters, at: str) -> tuple[Right, ...]:
    """Return the `propertyValues`, of whichever type; or the one `propertyValue`."""
    for kind in _KINDS:
        found = given.get(f"propertyValues{kind}")
        if isinstance(found, list):
            return tuple(_typed(one, kind, at) for one in cast("list[object]", found))
    return (value_in(given, at),)


def string_in(given: Parameters, at: str) -> str:
    """Return the `propertyValue` as a text."""
    return as_string(value_in(given, at))


def as_string(value: Right) -> str:
    """Return a value as a text."""
    return value.expr if isinstance(value, Moment) else str(value)


def date_in(given: Parameters, name: str, at: str) -> str | None:
    """Return a date as ISO 8601 or date math; None where there is none."""
    value = given.get(name)
    text = _date(value)
    if value is not None and text is None:
        raise Misfit(f"{at}.{name}", "a date", repr(value)[:80])
    return text


def text_in(given: Parameters, name: str, at: str) -> str:
    """Return a text of at least one character."""
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise Misfit(f"{at}.{name}", "a string", repr(value)[:80])
    return value


def number_in(given: Parameters, name: str, at: str) -> float | int:
    """Return a finite number."""
    value = given.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise Misfit(f"{at}.{name}", "a number", repr(value)[:80])
    return value


def list_in(given: Parameters, name: str, at: str) -> list[object]:
    """Return a list."""
    value = given.get(name)
    if not isinstance(value, list):
        raise Misfit(f"{at}.{name}", "a list", repr(value)[:80])
    return cast("list[object]", value)


def _typed(value: object, kind: str, at: str) -> Right:
    if kind in {"Date", "DateExpr"}:
        text = _date(value)
        if text is None:
            raise Misfit(at, "a date", repr(value)[:80])
        return Moment(text)
    if not isinstance(value, str | int | float | bool):
        raise Misfit(at, "a string, a number, true or false", repr(value)[:80])
    if kind == "Integer" and isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    return value


def _date(value: object) -> str | None:
    """Return a date as ISO 8601 or date math; of a number, which counts milliseconds since 1970, its date.

    None where it is no date, or one that no calendar has.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return format_time(int(value) * 1_000)
        except (OverflowError, ValueError):
            return None
    return value if isinstance(value, str) and value else None


def _is_finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)
