"""The one closed union of conditions: data, never code.

A condition is asked by segments, rules, experiments, content and journeys alike. It reads *paths*
(`traits.country`, `context.device`, `item.price`) and *aggregates* over events. An event leaf binds
event, filter, aggregate and window together, so that "3 views of shoes in 10 minutes" is one leaf.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from bespeak.clock import DAY, Duration

Value: TypeAlias = str | int | float | bool | None
Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">="]
Kind: TypeAlias = Literal["count", "sum", "last"]

MAX_DEPTH = 16
"""Levels of nesting a condition may have: deeper is refused, since nobody can read it."""
MAX_NODES = 500
"""Nodes a condition may have in all."""
MAX_VALUES = 1_000
"""Values that one `in` list may have."""
MAX_TEXT = 100_000
"""Characters that the text of a condition may have."""
MAX_NAME = 500
"""Characters that a path, an event name or a segment id may have."""
MAX_WITHIN: Duration = 3_660 * DAY
"""The longest window, ten years; what should look further back has no window at all."""
MAX_AMOUNT = 1_000_000_000_000
"""Numbers beyond this size, either way, are not summed."""


class Path(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="path"):
    """A dotted path into what is known: `traits.country`. A missing value is None."""

    path: str


class Aggregate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="aggregate"):
    """What events of one name, that pass a filter, within a window, add up to.

    Parameters
    ----------
    kind
        `count` of events; `sum` of a property; `last` value of a property.
    event
        Event name, exactly as sent.
    of
        Path of the property that is summed or kept (`properties.revenue`); None for `count`.
    where
        Filter on the event itself: a condition on `properties.*` and `context.*` without aggregates.
    within
        Length of the rolling window (t - within, t] in microseconds; None for ever.
    """

    kind: Kind
    event: str
    of: str | None = None
    where: Condition | None = None
    within: Duration | None = None


Operand: TypeAlias = Path | Aggregate


class Compare(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="compare"):
    """`operand op value`. A missing (null) operand holds only for `!=`."""

    operand: Operand
    op: Operator
    value: Value


class In(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="in"):
    """`operand in [a, b]`: equals any of the values; on a list, any element does. Null is in no list."""

    operand: Operand
    values: tuple[Value, ...]


class Exists(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="exists"):
    """`operand exists`: there is a value, and it is not an empty list."""

    operand: Operand


class Performed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="performed"):
    """`performed("Order Completed" where ..., last 24 hours)`: at least one such event in the window."""

    event: str
    where: Condition | None = None
    within: Duration | None = None


class InSegment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="in_segment"):
    """`in_segment("loyal")`: the profile is a member now."""

    segment: str


class And(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="and"):
    """All of them hold; true when there are none."""

    all: tuple[Condition, ...]


class Or(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="or"):
    """Any of them holds; false when there are none."""

    any: tuple[Condition, ...]


class Not(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="not"):
    """It does not hold."""

    condition: Condition


Condition: TypeAlias = Compare | In | Exists | Performed | InSegment | And | Or | Not

Test: TypeAlias = Compare | In | Exists
"""A leaf that asks one thing of one operand."""
Leaf: TypeAlias = Test | Performed | InSegment
"""A condition with no conditions inside it but filters on events."""
