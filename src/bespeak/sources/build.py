"""From the rows of one record to its event, or its item: one builder for each section."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from bespeak import ids
from bespeak.catalog.item import Item
from bespeak.clock import DAY, Instant, parse_duration
from bespeak.events import NAMES, Event, EventLimits
from bespeak.sources.fields import (
    CellError,
    Read,
    Values,
    labels_reader,
    read_all,
    reader,
    readers,
    shown,
    text_reader,
)
from bespeak.sources.import_map import Group, ItemSpec, Section
from bespeak.sources.import_map import Sequence as SequenceSpec
from bespeak.sources.limits import ImportLimits
from bespeak.sources.times import time_reader

_WIRE = EventLimits()
_ORDER_MAX = 10**12
_STEPS_MAX = 365_000 * DAY
_ENCODER = msgspec.msgpack.Encoder()

Reader = Callable[[Values], Any]


class Moment(msgspec.Struct, frozen=True):
    """Where a record stands in the order of an import."""

    time: Instant
    order: int


class MomentBuilder:
    """Reads when a record happened and its place among those of the same time."""

    def __init__(self, section: Section, received: Instant) -> None:
        self._time = None if section.time is None else time_reader(section.time, section)
        spec = SequenceSpec(section.sequence) if isinstance(section.sequence, str) else section.sequence
        self._order = None if spec is None else _order_reader(spec.column, section)
        self._step = 0 if spec is None or spec.step is None else parse_duration(spec.step)
        self._received = received

    @property
    def ordered(self) -> bool:
        """Whether rows of the same time are told apart by a column."""
        return self._order is not None and not self._step

    def build(self, values: Values) -> Moment:
        """Return the moment of a record, or raise `CellError`."""
        time = self._received if self._time is None else self._time(values)
        if self._order is None:
            return Moment(time, 0)
        order = self._order(values)
        if not self._step:
            return Moment(time, order)
        if order * self._step > _STEPS_MAX:
            raise CellError("sequence", "steps of at most a thousand years together", str(order))
        return Moment(time + order * self._step, 0)


class EventBuilder:
    """Makes the event of a record of a section of events or traits."""

    def __init__(self, section: Section, limits: ImportLimits, *, source: str, received: Instant) -> None:
        self._user_id = None if section.user_id is None else text_reader(section.user_id, section)
        self._anonymous_id = None if section.anonymous_id is None else text_reader(section.anonymous_id, section)
        self._name = None if section.event is None else text_reader(section.event, section)
        self._properties = readers(section.properties if section.target == "events" else section.traits, section)
        self._group = None if section.group is None else _GroupBuilder(section.group, section)
        self._limits = limits
        self._source = source
        self._received = received

    def build(self, rows: Sequence[Values], moment: Moment, message_id: str) -> Event:
        """Return the event of a record, or raise `CellError`."""
        first = rows[0]
        user_id, anonymous_id = _who(self._user_id, first, "user_id"), _who(self._anonymous_id, first, "anonymous_id")
        if user_id is None and anonymous_id is None:
            raise CellError("user_id", "an id that names somebody", "nobody", reason="no_user_anon_id")
        properties = read_all(self._properties, first)
        if self._group is not None:
            properties.update(self._group.build(rows))
        self._check(properties)
        return Event(
            type="identify" if self._name is None else "track",
            name=NAMES["identify"] if self._name is None else _event_name(self._name(first)),
            message_id=message_id,
            time=moment.time,
            received=self._received,
            user_id=user_id,
            anonymous_id=anonymous_id,
            properties=properties,
            source=self._source,
            signed=True,
        )

    def _check(self, properties: dict[str, Any]) -> None:
        if len(properties) > _WIRE.properties:
            raise CellError("properties", f"at most {_WIRE.properties} members", str(len(properties)))
        size = len(_ENCODER.encode(properties))
        if size > self._limits.event_bytes:
            raise CellError("", f"at most {self._limits.event_bytes:,} bytes", f"{size:,}", reason="event_too_large")


class ItemBuilder:
    """Makes the item that a row describes."""

    def __init__(self, spec: ItemSpec, section: Section) -> None:
        self._id = text_reader(spec.id, section)
        named = ("title", "url", "image", "brand", "price", "stock", "hidden")
        self._fields = readers({name: field for name in named if (field := getattr(spec, name)) is not None}, section)
        self._categories = labels_reader(spec.categories, section)
        self._tags = labels_reader(spec.tags, section)
        self._created = None if spec.created is None else time_reader(spec.created, section)
        self._created_text = (
            None
            if spec.created is None
            else reader(msgspec.structs.replace(spec.created.spec(), required=False), section)
        )
        self._properties = readers(spec.properties, section)

    def id(self, values: Values) -> str | None:
        """Return the id of the item of a row, None when the row has none; raises `CellError`."""
        return self._id(values)

    def build(self, values: Values) -> Item:
        """Return the item of a row, or raise `CellError`."""
        item_id = self._id(values)
        if item_id is None:
            raise CellError("item.id", "an id", "nothing")
        found: dict[str, Any] = {"id": item_id, **read_all(self._fields, values)}
        found["categories"] = self._categories(values)
        found["tags"] = self._tags(values)
        if self._created is not None and self._created_text is not None and self._created_text(values) is not None:
            found["created"] = self._created(values)
        found["properties"] = read_all(self._properties, values)
        try:
            return msgspec.convert(found, Item, strict=False)
        except msgspec.ValidationError as error:
            raise CellError("item", "the members of an item", str(error)) from None


class _GroupBuilder:
    def __init__(self, group: Group, section: Section) -> None:
        self._into = group.into
        self._members = readers(group.members, section)
        self._totals = group.totals

    def build(self, rows: Sequence[Values]) -> Mapping[str, Any]:
        members = [read_all(self._members, values) for values in rows]
        found: dict[str, Any] = {self._into: members}
        for name, factors in self._totals.items():
            found[name] = round(sum(_product(member, factors) for member in members), 6)
        return found


def _product(member: Mapping[str, Any], factors: tuple[str, ...]) -> float:
    product = 1.0
    for factor in factors:
        value = member.get(factor)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise CellError(factor, "a number to add up", shown(value))
        product *= value
    return product


def _order_reader(column: str, section: Section) -> Callable[[Values], int]:
    read: Read = reader(column, section)

    def order(values: Values) -> int:
        value = read(values)
        text = str(value)
        if text.isdecimal() and len(text) <= 12:
            return int(text)
        raise CellError(column, f"a whole number from 0 to {_ORDER_MAX - 1}", shown(value))

    return order


def _who(read: Callable[[Values], str | None] | None, values: Values, path: str) -> str | None:
    found = None if read is None else read(values)
    if found is None or ids.is_blocked(found):
        return None
    if len(found) > _WIRE.id_length:
        raise CellError(path, f"at most {_WIRE.id_length} characters", str(len(found)))
    return found


def _event_name(name: str | None) -> str:
    if name is None or not name.strip():
        raise CellError("event", "the name of what happened", "nothing", reason="track_without_event")
    if len(name) > _WIRE.name_length:
        raise CellError("event", f"at most {_WIRE.name_length} characters", str(len(name)))
    return name
