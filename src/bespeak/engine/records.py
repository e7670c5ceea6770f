"""What the log holds: everything the fold depends on, as bytes.

A log row's payload is a msgpack array of records. An event is an envelope under its subject's key; beside it stands
only what the log itself must know. Logs that are older than keys hold events in an envelope that is not sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from bespeak.catalog import Item
from bespeak.clock import Instant
from bespeak.engine.definitions import DefinitionKind
from bespeak.engine.vault import EVENT, Vault
from bespeak.errors import CorruptLog
from bespeak.events import Event, EventType
from bespeak.ids import ProfileId, anonymous_profile, user_profile
from bespeak.privacy import envelope
from bespeak.profiles import Resolved
from bespeak.stores import LogRow, is_gap


class Logged(Event, array_like=True, frozen=True, kw_only=True, gc=False):
    """An event as it stands in its envelope, so that reading the log makes events at once.

    `received` is 0 there, since it stands beside the envelope. `joined` is the profile that the event took into its
    own; empty when none. It is kept, not worked out again, since it depended on whom else the log spoke of, and
    somebody in it may have been erased since.
    """

    joined: ProfileId = ""


class Inside(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What stood in the envelope of an event before `Logged` did: read, and written no more."""

    type: EventType
    name: str
    message_id: str
    time: Instant
    user_id: str | None
    anonymous_id: str | None
    previous_id: str | None
    group_id: str | None
    properties: dict[str, Any]
    context: dict[str, Any]
    source: str
    signed: bool
    original_time: Instant | None
    joined: ProfileId


class SealedRecord(msgspec.Struct, frozen=True, array_like=True, tag_field="record", tag="s", gc=False):
    """One event, sealed under the key of its subject.

    `imported` marks history: it was not clamped by the wall clock, and its dedupe digest has no age.
    """

    received: Instant
    imported: bool
    private: bytes


class Private(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The personal part of an event in a log that is older than keys."""

    user_id: str | None
    anonymous_id: str | None
    previous_id: str | None
    group_id: str | None
    properties: dict[str, Any]
    context: dict[str, Any]


class EventRecord(msgspec.Struct, frozen=True, array_like=True, tag_field="record", tag="e", gc=False):
    """One event of a log that is older than keys: read, and written no more."""

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


class ErasureRecord(msgspec.Struct, frozen=True, array_like=True, tag_field="record", tag="x"):
    """A person was erased: the pseudonyms of all their identifiers, and when."""

    names: tuple[str, ...]
    at: Instant


class TimeRecord(msgspec.Struct, frozen=True, array_like=True, tag_field="record", tag="t"):
    """Everything that was due by `at` was worked through, before an event whose own arrival does not say so."""

    at: Instant


class ZoneRecord(msgspec.Struct, frozen=True, array_like=True, tag_field="record", tag="z"):
    """People who name no time zone live in another one from now on: the setting was changed between two starts."""

    zone: str
    at: Instant


class ModelsRecord(msgspec.Struct, frozen=True, array_like=True, tag_field="record", tag="m"):
    """The models that are live were replaced by some built anew, without the people erased up to offset `without`."""

    without: int
    at: Instant


Record = (
    SealedRecord | EventRecord | DefinitionRecord | ItemsRecord | ErasureRecord | ModelsRecord | TimeRecord | ZoneRecord
)

_encoder = msgspec.msgpack.Encoder()
_logged = msgspec.msgpack.Decoder(Logged)
_inside = msgspec.msgpack.Decoder(Inside)
_private = msgspec.msgpack.Decoder(Private)
_records = msgspec.msgpack.Decoder(tuple[Record, ...])

_LOGGED = 0x90 + len(Logged.__struct_fields__)
"""The first byte of a `Logged` in msgpack: an array of so many. An `Inside` has one fewer."""


def subject_of(event: Event, resolved: Resolved) -> ProfileId:
    """Return the identifier under whose key an event is sealed.

    The user's where the event is taken to be theirs, also beside a device; else the device's: a user id that was only
    claimed gives nobody a hold on what the device did.
    """
    if event.user_id is not None and resolved.claimed is None:
        return user_profile(event.user_id)
    return anonymous_profile(event.anonymous_id or "")


def seal_event(vault: Vault, event: Event, subject: ProfileId, joined: ProfileId, *, imported: bool) -> SealedRecord:
    """Put an event into the form that the log keeps."""
    return SealedRecord(event.received, imported, vault.seal(subject, EVENT, inside_of(event, joined)))


def inside_of(event: Event, joined: ProfileId) -> bytes:
    """Return what stands in the envelope of an event: the fields of `Logged`, in their order."""
    return _encoder.encode(
        (
            event.type,
            event.name,
            event.message_id,
            event.time,
            0,
            event.user_id,
            event.anonymous_id,
            event.previous_id,
            event.group_id,
            event.properties,
            event.context,
            event.source,
            event.signed,
            event.original_time,
            joined,
        )
    )


def open_event(vault: Vault, record: SealedRecord | EventRecord, offset: int) -> tuple[Event, ProfileId | None] | None:
    """Take an event out of the form that the log keeps.

    Returns
    -------
    The event, and the profile that it joined (empty: none; None: the log is older than this is kept). None when its
    person was erased.
    """
    if isinstance(record, EventRecord):
        event = _open_plain(vault, record, offset)
        return None if event is None else (event, None)
    data = vault.open(record.private, EVENT)
    if data is None:
        return None
    logged = _logged.decode(data) if data[0] == _LOGGED else _from_inside(_inside.decode(data))
    msgspec.structs.force_setattr(logged, "received", record.received)
    return logged, logged.joined


def _from_inside(inside: Inside) -> Logged:
    fields: dict[str, Any] = msgspec.structs.asdict(inside)
    return Logged(received=0, **fields)


def _open_plain(vault: Vault, record: EventRecord, offset: int) -> Event | None:
    """Open an event that is sealed under no key; what it says of people erased later is left out."""
    private = _private.decode(envelope.open_(record.private))
    event = Event(
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
    return without(event, lambda subject: _was_erased(vault, subject, offset))


def _was_erased(vault: Vault, subject: ProfileId, offset: int) -> bool:
    erased = vault.erased(subject)
    return erased is not None and offset < erased.offset


def without(event: Event, erased: Callable[[ProfileId], bool]) -> Event | None:
    """Return an event without the identifiers that were erased; None when it is about somebody who was."""
    user, device, previous = event.user_id, event.anonymous_id, event.previous_id
    if user is not None and erased(user_profile(user)):
        return None
    if device is not None and erased(anonymous_profile(device)):
        if user is None:
            return None
        event = msgspec.structs.replace(event, anonymous_id=None)
    if previous is not None and (erased(user_profile(previous)) or erased(anonymous_profile(previous))):
        event = msgspec.structs.replace(event, previous_id=None)
    return event


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
