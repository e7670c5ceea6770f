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
Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">=", "on"]
Kind: TypeAlias = Literal["count", "sum", "avg", "min", "max", "distinct", "first", "last", "most_frequent"]
Unit: TypeAlias = Literal["day", "week", "month", "quarter", "year"]

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


class Moment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="date"):
    """An instant, fixed or counted from now, in Elasticsearch's date math: `2026-01-31`, `now-7d`, `now/M`."""

    expr: str


class Version(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="version"):
    """A version such as `2.10.0`, ordered as Semantic Versioning says; parts that are missing are 0."""

    text: str


class Calendar(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="calendar"):
    """A day, week (from Monday), month, quarter or year of the person's own time zone: this one, or `back` ones ago."""

    unit: Unit
    back: int = 0


class Since(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="since"):
    """From an instant on, ISO 8601."""

    date: str


class FromTo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="from_to"):
    """From an instant on and before another, both ISO 8601."""

    start: str
    end: str


class ThisSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="session"):
    """The visit that is under way, or was the last."""


class HalfLife(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="half_life"):
    """All there ever were, each worth half as much after every `halflife` (microseconds). Of counts and sums."""

    halflife: Duration


Window: TypeAlias = Duration | Calendar | Since | FromTo | ThisSession | HalfLife
"""Which events count: those of a rolling window (t - D, t] in microseconds, those between two instants, or all."""


class Path(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="path"):
    """A dotted path into what is known: `traits.country`. A missing value is None."""

    path: str


class Aggregate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="aggregate"):
    """What events of one name, that pass a filter, within a window, add up to.

    Parameters
    ----------
    kind
        `count` of events; of a property: `sum`, `avg`, `min` and `max` of its numbers, how many values are `distinct`,
        the `first`, the `last` and the `most_frequent` value.
    event
        Event name, exactly as sent; with a star at the end every event whose name begins so.
    of
        Path of the property (`properties.revenue`); None for `count`.
    where
        Filter on the event itself: a condition on `properties.*` and `context.*` without aggregates.
    within
        The window; None for ever.
    """

    kind: Kind
    event: str
    of: str | None = None
    where: Condition | None = None
    within: Window | None = None


Operand: TypeAlias = Path | Aggregate
Right: TypeAlias = Value | Moment | Version | Path | Aggregate
"""What may stand on the right of a comparison."""


class Compare(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="compare"):
    """`operand op value`. A missing (null) operand holds only for `!=`; `on` asks for the same day.

    Parameters
    ----------
    exact
        Whether `=` and `!=` tell apart texts that differ in case or accents only.
    """

    operand: Operand
    op: Operator
    value: Right
    exact: bool = False


class In(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="in"):
    """`operand in [a, b]`: equals any of the values; on a list, any element does. Null is in no list."""

    operand: Operand
    values: tuple[Value, ...]
    exact: bool = False


class HasAll(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="has_all"):
    """`operand has all ["a", "b"]`: each of the values equals an element of the list, or the one value."""

    operand: Operand
    values: tuple[Value, ...]
    exact: bool = False


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="text"):
    """`operand contains "a"`, `starts with`, `ends with`: any of the values is there; on a list, in any element."""

    operand: Operand
    how: Literal["contains", "starts", "ends"]
    values: tuple[str, ...]
    exact: bool = False


class Matches(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="matches"):
    """`operand matches "[A-Z]{2}[0-9]+"`: the whole text, by RE2's syntax, which has no slow patterns."""

    operand: Operand
    pattern: str


class Between(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="between"):
    """`operand between 5 and 10`: both ends are in; of a list, one element lies between."""

    operand: Operand
    low: Right
    high: Right


class Within(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="within"):
    """`traits.joined within last 7 days`: a date in (now - within, now]."""

    operand: Path
    within: Duration


class AnyOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="any_of"):
    """`any of traits.addresses where (it.city = "Wien")`: an element of a list of objects that passes."""

    path: str
    where: Condition

    @property
    def operand(self) -> Path:
        """The list, as other tests name what they ask."""
        return Path(self.path)


class Exists(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="exists"):
    """`operand exists`: there is a value, and it is not an empty list."""

    operand: Operand


class Performed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="performed"):
    """`performed("Order Completed" where ..., last 24 hours)`: at least one such event in the window."""

    event: str
    where: Condition | None = None
    within: Window | None = None


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


Condition: TypeAlias = (
    Compare | In | HasAll | Text | Matches | Between | Within | AnyOf | Exists | Performed | InSegment | And | Or | Not
)

Test: TypeAlias = Compare | In | HasAll | Text | Matches | Between | Within | AnyOf | Exists
"""A leaf that asks one thing of one `operand`."""
Leaf: TypeAlias = Test | Performed | InSegment
"""A condition with no conditions inside it but filters on events."""
