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
Reach: TypeAlias = Literal["km", "miles", "metres"]

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
MAX_TOLD = 1_000
"""Events of one person that a window which moves keeps, and different values that are told apart for certain."""
MAX_AMOUNT = 1_000_000_000_000
"""Numbers beyond this size, either way, are not summed."""
MAX_STEPS = 10
"""Steps that one sequence may have."""
MAX_WITHOUT = 5
"""Events that may not come between two steps, or after the last."""


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


class Near(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="near"):
    """`place within 20 km of (48.21, 16.37)`: a place on the globe at most so far away; of a list, one element is.

    Parameters
    ----------
    latitude, longitude
        Of the middle, in degrees.
    within
        How far away, in `unit`s.
    """

    operand: Operand
    latitude: float
    longitude: float
    within: float
    unit: Reach = "km"


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


class InList(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="in_list"):
    """`in_list("vip")`: the person was put on the list of this id, and not taken off since."""

    list: str


class LastPerformed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="last_performed"):
    """`last("Order Completed" where A, last 30 days) has (B)`: the newest such event passes B.

    Parameters
    ----------
    event, where, within
        Which event it is: the newest of them in the window, by (time, message id).
    has
        What it must be: a condition on the event itself, as `where`.
    """

    event: str
    has: Condition
    where: Condition | None = None
    within: Window | None = None

    @property
    def kind(self) -> Literal["last"]:
        """How its events come to what it asks: what is kept of each is whether it has it, and the last one says."""
        return "last"

    @property
    def operand(self) -> LastPerformed:
        """What is read, as other tests name it: true, false, or nothing where there is no such event."""
        return self


class Deed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An event of a name that passes a filter."""

    event: str
    where: Condition | None = None


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One step of a sequence.

    Parameters
    ----------
    event, where
        What happens.
    within
        At most so long after the step before; None: any time after it.
    without
        What may not happen between the step before and this one.
    """

    event: str
    where: Condition | None = None
    within: Duration | None = None
    without: tuple[Deed, ...] = ()


class Quiet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may not happen after the last step of a sequence, and for how long."""

    without: tuple[Deed, ...]
    lasting: Duration = msgspec.field(name="for")


class Sequence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="sequence"):
    """`sequence("A" then "B" within 1 hour without "C" for 1 day, last 30 days)`: one step after the other.

    The order is strict, by (time, message id); other events may come between.

    Parameters
    ----------
    after
        What may not follow: the sequence is complete only when the time for it has passed.
    within
        The window in which the last step lies.
    """

    steps: tuple[Step, ...]
    after: Quiet | None = None
    within: Window | None = None

    @property
    def operand(self) -> Sequence:
        """What is read, as other tests name it: whether it is complete."""
        return self


class HasBeen(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="has_been"):
    """`traits.plan has been "pro" for 30 days`: it is, and every message said so for as long, or for less.

    Parameters
    ----------
    path
        A trait: `traits.plan`.
    value
        What it equals, as `=` says.
    lasting
        How long, since the message that said it first.
    less
        Whether for less than that; else for so long or longer.
    """

    path: str
    value: Value
    lasting: Duration = msgspec.field(name="for")
    less: bool = False
    exact: bool = False

    @property
    def operand(self) -> HasBeen:
        """What is read, as other tests name it: whether it has been so."""
        return self


class And(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="and"):
    """All of them hold; true when there are none."""

    all: tuple[Condition, ...]


class Or(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="or"):
    """Any of them holds; false when there are none."""

    any: tuple[Condition, ...]


class Not(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="not"):
    """It does not hold."""

    condition: Condition


Counted: TypeAlias = Aggregate | LastPerformed
"""What events of one name come to."""
Marked: TypeAlias = Sequence | HasBeen
"""What stands on the order of events, and on when they happened."""
Declared: TypeAlias = Counted | Marked
"""What a state is kept for."""
Asked: TypeAlias = Path | Declared
"""What a test reads."""

Condition: TypeAlias = (
    Compare
    | In
    | HasAll
    | Text
    | Matches
    | Between
    | Within
    | Near
    | AnyOf
    | Exists
    | Performed
    | InSegment
    | InList
    | LastPerformed
    | Sequence
    | HasBeen
    | And
    | Or
    | Not
)

Plain: TypeAlias = Compare | In | HasAll | Text | Matches | Between | Within | Near | AnyOf | Exists
"""A leaf that asks one thing of one `operand`, a path or an aggregate."""
Test: TypeAlias = Plain | LastPerformed | Sequence | HasBeen
"""A leaf that asks one thing of one `operand`, which may be the leaf itself."""
Leaf: TypeAlias = Test | Performed | InSegment | InList
"""A condition with no conditions inside it but filters on events."""
