"""Reading dates: ISO 8601 texts, and date math such as `now-7d/d` or `2026-01-31||+1M/d`.

References
----------
[^1]: Elasticsearch, "Date math": an anchor (`now`, or a date and `||`), then sums of y M w d h H m s and roundings
   `/d`, taken from left to right.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from typing import Literal, TypeAlias

import msgspec

from bespeak.clock import Instant, from_datetime
from bespeak.errors import InvalidInput

DateUnit: TypeAlias = Literal["y", "M", "w", "d", "h", "m", "s"]

TEXT_MAX = 100
"""Characters that a date, or a date expression, may have."""
STEPS_MAX = 10
"""Sums and roundings that one expression may have."""
YEARS_MAX = 1_000
"""Years that the sums of one expression may span in all."""

_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?P<time>[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?(?P<zone>Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_UNITS: dict[str, DateUnit] = {"y": "y", "M": "M", "w": "w", "d": "d", "h": "h", "H": "h", "m": "m", "s": "s"}
_IN_A_YEAR: dict[DateUnit, int] = {"y": 1, "M": 12, "w": 52, "d": 365, "h": 8_760, "m": 525_600, "s": 31_536_000}
_EXAMPLE = "a date such as 2026-01-31, or date math such as now-7d/d"


class NoMoment(InvalidInput):
    """A date expression that cannot be read: where in it, what was expected, what was found, what would do."""

    def __init__(self, offset: int, expected: str, found: str, remedy: str = "") -> None:
        advice = f"; {remedy}" if remedy else ""
        super().__init__(f"date, character {offset + 1}: expected {expected}, found {found}{advice}")
        self.offset = offset
        self.expected = expected
        self.found = found
        self.remedy = remedy


class Date(msgspec.Struct, frozen=True):
    """A date as it was written.

    Parameters
    ----------
    time
        Microseconds since 1970 of the instant where a zone was written, else of the wall clock, whoever's it is.
    zoned
        Whether a zone was written.
    whole_day
        Whether no time of day was written.
    """

    time: int
    zoned: bool
    whole_day: bool


class Step(msgspec.Struct, frozen=True):
    """One step of date math: `amount` units on (back where it is negative), or rounded to a unit where it is None."""

    unit: DateUnit
    amount: int | None


class DateMath(msgspec.Struct, frozen=True):
    """A date expression: from `anchor` (None: from now), step by step."""

    anchor: Date | None
    steps: tuple[Step, ...]


def read_date(text: str) -> Date | None:
    """Read an ISO 8601 date, or date and time; None where the text is none.

    Examples
    --------
    >>> read_date("1970-01-02")
    Date(time=86400000000, zoned=False, whole_day=True)
    >>> read_date("1970-01-01T01:00:00+01:00")
    Date(time=0, zoned=True, whole_day=False)
    >>> read_date("20260131"), read_date("2026-02-30"), read_date("tomorrow")
    (None, None, None)
    """
    return _read_short(text) if len(text) <= TEXT_MAX else None


@lru_cache(maxsize=10_000)
def _read_short(text: str) -> Date | None:
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    try:
        time = from_datetime(datetime.fromisoformat(text.replace(",", ".")))
    except ValueError:
        return None
    return Date(time, match["zone"] is not None, match["time"] is None)


@lru_cache(maxsize=10_000)
def read_moment(expr: str) -> DateMath:
    """Read a date expression.

    Raises
    ------
    NoMoment
        It is none; `offset` says where.

    Examples
    --------
    >>> read_moment("now-7d/d")
    DateMath(anchor=None, steps=(Step(unit='d', amount=-7), Step(unit='d', amount=None)))
    """
    if len(expr) > TEXT_MAX:
        raise NoMoment(TEXT_MAX, f"at most {TEXT_MAX} characters", str(len(expr)))
    if expr.startswith("now"):
        return DateMath(None, _steps(expr, len("now")))
    text, bars, _ = expr.partition("||")
    anchor = read_date(text)
    if anchor is None:
        remedy = "write `||` between a date and what follows" if re.match(r"\d{4}-\d{2}-\d{2}[+/]", text) else ""
        raise NoMoment(0, _EXAMPLE, f"`{text}`" if text else "nothing", remedy)
    return DateMath(anchor, _steps(expr, len(text) + len(bars)) if bars else ())


def read_instant(text: str) -> Instant:
    """Read an ISO 8601 date that stands for itself; without a zone it is UTC.

    Raises
    ------
    NoMoment
        It is none.
    """
    found = read_date(text)
    if found is None:
        remedy = "date math has no place here" if text.startswith("now") or "||" in text else ""
        raise NoMoment(0, "an ISO 8601 date such as 2026-01-31 or 2026-01-31T12:00:00Z", f"`{text[:40]}`", remedy)
    return found.time


def _steps(expr: str, at: int) -> tuple[Step, ...]:
    steps: list[Step] = []
    while at < len(expr):
        if len(steps) >= STEPS_MAX:
            raise NoMoment(at, f"at most {STEPS_MAX} steps", "more")
        step, at = _step(expr, at)
        steps.append(step)
    years = sum(abs(step.amount) / _IN_A_YEAR[step.unit] for step in steps if step.amount is not None)
    if years > YEARS_MAX:
        raise NoMoment(0, f"sums of at most {YEARS_MAX:,} years", f"`{expr}`")
    return tuple(steps)


def _step(expr: str, at: int) -> tuple[Step, int]:
    """Read the step that begins at a place; returns it, and where the next one begins."""
    sign = expr[at]
    if sign not in "+-/":
        raise NoMoment(at, "`+`, `-` or `/`", f"`{sign}`")
    begins = at + 1
    at = begins
    while at < len(expr) and expr[at] in "0123456789":
        at += 1
    digits = expr[begins:at]
    if at == len(expr):
        raise NoMoment(at, "a unit: y, M, w, d, h, m or s", "the end")
    unit = _UNITS.get(expr[at])
    if unit is None:
        raise NoMoment(at, "a unit: y, M, w, d, h, m or s", f"`{expr[at]}`", "M are months, m are minutes")
    amount = int(digits or "1")
    if sign == "/":
        if amount != 1:
            raise NoMoment(begins, "one unit after `/`, as in /d", f"`{digits}`", "dates are rounded to one whole unit")
        return Step(unit, None), at + 1
    return Step(unit, amount if sign == "+" else -amount), at + 1
