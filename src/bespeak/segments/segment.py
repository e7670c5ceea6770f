"""A segment: a named condition; whoever meets it is in, right now."""

from __future__ import annotations

import re
from collections.abc import Mapping
from sys import intern
from typing import cast

import msgspec

from bespeak.conditions import Condition
from bespeak.conditions import load as load_condition
from bespeak.errors import ConditionError, DefinitionError

MAX_SEGMENTS = 1_000
"""Segments that a store holds: each event asks those that its name concerns."""

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
_FIELDS = ("id", "name", "description", "condition")


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A named condition.

    Parameters
    ----------
    id
        1 to 100 of a-z, 0-9, `-`, `_`.
    name, description
        For people.
    condition
        Who is in. It may read `traits.*`, `computed.*`, `scores.*`, `sessions.*`, `interests.*`, `consent.*`, `known`
        and events.
    version
        Counts up with each change.
    """

    id: str
    condition: Condition
    name: str = ""
    description: str = ""
    version: int = 1


def load(raw: Mapping[str, object], *, source: str, version: int = 1) -> Segment:
    """Read a definition, as YAML or JSON gave it.

    Raises
    ------
    DefinitionError
        A field is unknown, missing or wrong; the message names `source`, the field, the value and what would do.

    Examples
    --------
    >>> load({"id": "fans", "condition": 'count("Product Viewed") >= 3'}, source="fans.yaml").id
    'fans'
    """
    unknown = sorted(set(raw) - set(_FIELDS))
    if unknown:
        raise DefinitionError(f"{source}: unknown field {unknown[0]!r}; a segment has {', '.join(_FIELDS)}")
    segment_id = raw.get("id")
    if not isinstance(segment_id, str) or not _ID.fullmatch(segment_id):
        raise DefinitionError(f"{source}: id must be 1 to 100 of a-z, 0-9, - and _, got {segment_id!r}")
    for field in ("name", "description"):
        if not isinstance(raw.get(field, ""), str):
            raise DefinitionError(f"{source}: {field} must be text, got {raw[field]!r}")
    if "condition" not in raw:
        raise DefinitionError(f'{source}: condition is missing; such as: condition: count("Product Viewed") >= 3')
    return Segment(
        id=intern(segment_id),
        name=str(raw.get("name") or segment_id),
        description=str(raw.get("description", "")),
        condition=_condition(raw["condition"], source),
        version=version,
    )


def _condition(value: object, source: str) -> Condition:
    if not isinstance(value, str | Mapping):
        raise DefinitionError(f"{source}: condition must be text or a mapping, got {value!r}")
    try:
        condition = load_condition(value if isinstance(value, str) else cast("Mapping[str, object]", value))
    except ConditionError as error:
        raise DefinitionError(f"{source}: condition: {error}", problems=error.problems) from error
    return condition
