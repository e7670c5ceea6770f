"""Parts of definitions that are texts of the language: operands, events with a filter, lengths of time, ids."""

from __future__ import annotations

import re
from sys import intern
from typing import TypeAlias

from bespeak.clock import MILLISECOND, Duration, parse_duration
from bespeak.conditions import Aggregate, Condition, Exists, HalfLife, Operand, load
from bespeak.conditions.meaning.check import check_aggregate
from bespeak.conditions.tree import MAX_WITHIN, Window
from bespeak.errors import ConditionError, DefinitionError, InvalidInput, Problem

Text: TypeAlias = str | dict[str, object]
"""A text of the language, or its JSON form."""

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")


def check_name(identifier: str, source: str) -> str:
    """Return an id that can stand in a path, such as `computed.revenue`.

    Raises
    ------
    DefinitionError
        It cannot.
    """
    if not _ID.fullmatch(identifier):
        raise refusal(source, "id", "1 to 100 of a-z, 0-9, - and _", identifier)
    return intern(identifier)


def operand_in(value: Text, field: str, source: str) -> Operand:
    """Read what can be compared: a path or an aggregate.

    Raises
    ------
    DefinitionError
        It is neither; the message names `source`, the field, and the place in the text.
    """
    if not value:
        raise refusal(source, field, f"a path or an aggregate such as {_SUCH}", value)
    try:
        written = f"{value}\nexists" if isinstance(value, str) else {"type": "exists", "operand": value}
        found = load(written)
    except InvalidInput as error:
        message = f"{source}: {field}: expected a path or an aggregate such as {_SUCH}: {error.message}"
        raise DefinitionError(message, problems=error.problems) from None
    if not isinstance(found, Exists):
        raise refusal(source, field, f"one path or aggregate such as {_SUCH}", value)
    return found.operand


def condition_in(value: Text, field: str, source: str) -> Condition:
    """Read a condition.

    Raises
    ------
    DefinitionError
        It is none; the message names `source`, the field, and the place in the text.
    """
    try:
        return load(value)
    except ConditionError as error:
        raise DefinitionError(f"{source}: {field}: {error.message}", problems=error.problems) from None


def window_in(text: str, field: str, source: str) -> Window:
    """Read a window such as `last 90 days`.

    Raises
    ------
    DefinitionError
        It is none.
    """
    found = operand_in(f'count("E", {text})', field, source)
    if not isinstance(found, Aggregate) or found.within is None or found.event != "E":
        raise refusal(source, field, "a window such as last 90 days", text)
    return found.within


def counted_in(  # an event, its filter and its half-life are three fields of one element
    event: str, where: Text | None, field: str, source: str, halflife: Duration | None = None
) -> Aggregate:
    """Return the count of an event, ever or with a half-life.

    Raises
    ------
    DefinitionError
        There can be no such event, or the filter is none.
    """
    passed = None if where is None else condition_in(where, f"{field}.where", source)
    return checked(
        Aggregate("count", event, None, passed, None if halflife is None else HalfLife(halflife)), field, source
    )


def checked(aggregate: Aggregate, field: str, source: str) -> Aggregate:
    """Return an aggregate in its normal form.

    Raises
    ------
    DefinitionError
        It has no meaning.
    """
    try:
        return check_aggregate(aggregate)
    except ConditionError as error:
        raise DefinitionError(f"{source}: {field}: {error.message}", problems=error.problems) from None


def halflife_in(text: str, source: str) -> Duration:
    """Read a half-life such as `14 days`.

    Raises
    ------
    DefinitionError
        It is no length of time, or too short or too long a one.
    """
    try:
        found = parse_duration(text)
    except InvalidInput as error:
        raise DefinitionError(f"{source}: halflife: {error.message}") from None
    if not MILLISECOND <= found <= MAX_WITHIN or found % MILLISECOND:
        raise refusal(source, "halflife", "whole milliseconds, from 1 millisecond to 3,660 days", text)
    return found


def refusal(source: str, field: str, expected: str, found: object, remedy: str = "") -> DefinitionError:
    """Make the error that names the file, the field, what was expected and found, and what would do."""
    shown = repr(found)[:80]
    advice = f"; {remedy}" if remedy else ""
    text = f"{source}: {field}: expected {expected}, found {shown}{advice}"
    return DefinitionError(text, problems=(Problem(field, expected, shown),))


_SUCH = 'count("Order Completed")'
