"""Paths whose names are given: the local time, the device and the place of a person, and the bucket that they fall in.

What stands behind other paths is whatever was sent. Of these it is known what there is, so that a typing error is an
error, and so is a comparison that never, or always, holds.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias, cast, get_args

from bespeak.conditions.meaning.misfit import Misfit
from bespeak.conditions.tree import (
    Aggregate,
    AnyOf,
    Between,
    Compare,
    HasAll,
    In,
    Moment,
    Path,
    Right,
    Test,
    Version,
    Within,
)
from bespeak.conditions.values.moments import read_date

Part: TypeAlias = Literal["hour", "weekday", "date"]
"""Of a local time: 0 to 23; 1 (Monday) to 7 (Sunday); an ISO 8601 day."""

BUCKET = "bucket"
LOCAL = "local"
PLACE = ("country", "region", "city", "latitude", "longitude")
ITEM = ("id", "title", "url", "image", "categories", "tags", "brand", "price", "stock", "hidden")
DEVICE = ("type", "model", "manufacturer", "os", "os_version", "app", "app_version")

_NAMES: Mapping[str, tuple[str, ...]] = {LOCAL: get_args(Part), "place": PLACE, "device": DEVICE}
_NUMBERS = {
    "bucket": (0.0, 1.0, "a number from 0 to 1", "write 0.1 for a tenth of all people"),
    "local.hour": (0, 24, "an hour from 0 to 23", ""),
    "local.weekday": (0, 8, "a day from 1 to 7", "Monday is 1, Sunday is 7"),
}


def local_part(path: str) -> Part | None:
    """Return which part of the local time a path reads; None where it reads something else.

    Examples
    --------
    >>> local_part("local.hour"), local_part("traits.hour")
    ('hour', None)
    """
    head, _, rest = path.partition(".")
    return cast("Part", rest) if head == LOCAL and rest in _NAMES[LOCAL] else None


def check_path(path: str) -> None:
    """Refuse a path of one of these heads that names nothing.

    Raises
    ------
    Misfit
        Says what there is.
    """
    head, dot, rest = path.partition(".")
    if head == BUCKET and not rest:
        raise Misfit(BUCKET, 'a salt in double quotes, as in bucket("spring")', f"`{path}`")
    names = _NAMES.get(head)
    if names is None or rest in names or (head == "place" and not dot):
        return
    close = difflib.get_close_matches(rest, names, n=1)
    expected = ", ".join(f"{head}.{name}" for name in names)
    raise Misfit(head, expected, f"`{path[:80]}`", f"did you mean {head}.{close[0]}?" if close else "")


def check_item(path: str) -> None:
    """Refuse a path that reads the items of an event, where it names nothing that an event has of them.

    Raises
    ------
    Misfit
        Says what there is.
    """
    head, _, rest = path.partition(".")
    if head == "item" and rest not in ITEM and not rest.startswith("properties."):
        close = difflib.get_close_matches(rest, ITEM, n=1)
        expected = ", ".join(f"item.{name}" for name in (*ITEM, "properties.NAME"))
        raise Misfit("item", expected, f"`{path[:80]}`", f"did you mean item.{close[0]}?" if close else "")


def check_test(test: Test) -> None:
    """Refuse a test of the local time, or of a bucket, that asks for what they never are.

    Raises
    ------
    Misfit
        Says what they are.
    """
    if not isinstance(test.operand, Path):
        return
    path = test.operand.path
    shown = BUCKET if path.startswith(f"{BUCKET}.") else path
    if isinstance(test, AnyOf | Within) and (shown in _NUMBERS or local_part(path) is not None):
        expected = "a date such as traits.joined" if isinstance(test, Within) else "a list such as traits.addresses"
        raise Misfit("within" if isinstance(test, Within) else "any of", expected, f"`{path[:80]}`")
    for value in constants(test):
        if shown in _NUMBERS:
            low, high, expected, remedy = _NUMBERS[shown]
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise Misfit(shown, expected, _shown(value), remedy)
        elif shown == "local.date" and not _is_day(value):
            remedy = "write the day itself, without `date`" if isinstance(value, Moment) else ""
            raise Misfit(shown, 'a day such as "2026-12-24"', _shown(value), remedy)


def constants(test: Test, *, read: bool = False) -> Iterator[Right]:
    """Yield the constants that a test compares with; with `read` what is read instead."""
    values: tuple[Right, ...] = ()
    match test:
        case Compare(_, _, value):
            values = (value,)
        case In(_, several) | HasAll(_, several):
            values = several
        case Between(_, low, high):
            values = (low, high)
        case _:
            pass
    yield from (value for value in values if isinstance(value, Path | Aggregate) is read)


def _is_day(value: Right) -> bool:
    found = read_date(value) if isinstance(value, str) else None
    return found is not None and found.whole_day


def _shown(value: Right) -> str:
    match value:
        case Moment():
            return f"date {value.expr!r}"
        case Version():
            return f"version {value.text!r}"
        case _:
            return repr(value)[:80]
