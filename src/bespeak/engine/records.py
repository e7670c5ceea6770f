"""What the log holds: everything the fold depends on, as bytes.

A log row's payload is a msgpack array of records. An event's private part (who, what, where) is an envelope
under its subject; its public part is what the log itself must know.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from bespeak.catalog import Item
from bespeak.clock import Instant
from bespeak.engine.definitions import DefinitionKind
from bespeak.errors import CorruptLog
from bespeak.events import Event, EventType
from bespeak.privacy import envelope
from bespeak.stores import LogRow, is_gap


class Private(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The part of an event that is personal; sealed."""

    user_id: str | None
    anonymous_id: str | None
    previous_id: str | None
    group_id: str | None
    properties: dict[str, Any]
    context: dict[str, Any]


class EventRecord(msgspec.Struct, frozen=True, array_like=True, tag_field="record", tag="e", gc=False):
    """One event: its public part, and its private part in an envelope.

    `imported` marks history: it was not clamped by the wall clock, and its dedupe digest has no age.
    """

    type: EventType
    name: str
    message_id: str
    time: Instant
    received: Instant
    source: str
    signed: bool
    original_time: Instant | None
    imported: bool
    private: bytes


class DefinitionRecord(msgspec.Struct, frozen=True, array_like=True, tag_field="record", tag="d"):
    """A definition took effect (or, with body None, was deleted)."""

    kind: DefinitionKind
    id: str
    version: int
    body: dict[str, Any] | None
    at: Instant


class ItemsRecord(msgspec.Struct, frozen=True, array_like=True, tag_field="record", tag="i"):
    """Items were put into the catalog, or removed from it."""

    put: tuple[Item, ...]
    removed: tuple[str, ...]
    at: Instant


Record = EventRecord | DefinitionRecord | ItemsRecord

_encoder = msgspec.msgpack.Encoder()
_private = msgspec.msgpack.Decoder(Private)
_records = msgspec.msgpack.Decoder(tuple[Record, ...])


def seal_event(event: Event, *, imported: bool) -> EventRecord:
    """Put an event into the form that the log keeps."""
    private = Private(
        event.user_id, event.anonymous_id, event.previous_id, event.group_id, event.properties, event.context
    )
    return EventRecord(
        event.type,
        event.name,
        event.message_id,
        event.time,
        event.received,
        event.source,
        event.signed,
        event.original_time,
        imported,
        envelope.seal(_encoder.encode(private)),
    )


def open_event(record: EventRecord) -> Event:
    """Take an event out of the form that the log keeps."""
    private = _private.decode(envelope.open_(record.private))
    return Event(
        type=record.type,
        name=record.name,
        message_id=record.message_id,
        time=record.time,
        received=record.received,
        user_id=private.user_id,
        anonymous_id=private.anonymous_id,
        previous_id=private.previous_id,
        group_id=private.group_id,
        properties=private.properties,
        context=private.context,
        source=record.source,
        signed=record.signed,
        original_time=record.original_time,
    )


def encode(records: list[Record] | tuple[Record, ...]) -> bytes:
    """Encode one row's records."""
    return _encoder.encode(records)


def decode(row: LogRow, *, after: int) -> Iterator[tuple[int, Record]]:
    """Yield the records of a row with their offsets, those up to `after` left out; a gap has none.

    Raises
    ------
    CorruptLog
        The payload is not what `encode` wrote, or does not hold `row.count` records.
    """
    if is_gap(row):
        return
    try:
        records = _records.decode(row.payload)
    except msgspec.DecodeError as error:
        raise CorruptLog(f"log row {row.first}: {error}") from error
    if len(records) != row.count:
        raise CorruptLog(f"log row {row.first}: expected {row.count} records, found {len(records)}")
    for offset, record in enumerate(records, row.first):
        if offset > after:
            yield offset, record
