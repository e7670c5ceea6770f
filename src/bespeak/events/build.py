"""From one typed message to one event: who, when, what, and whether it can be accepted at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn, cast

import msgspec

from bespeak import ids
from bespeak.clock import Instant
from bespeak.errors import InvalidInput, Problem
from bespeak.events.event import NAMES, Event, EventType
from bespeak.events.limits import EventLimits
from bespeak.events.wire import Message

Reason = Literal[
    "no_user_anon_id",
    "track_without_event",
    "alias_without_previous_id",
    "alias_without_user_id",
    "group_without_group_id",
    "unknown_type",
    "invalid_field",
    "not_an_object",
    "not_unicode",
    "event_too_large",
    "too_many_properties",
    "too_deep",
]

Verify = Callable[[str, str], bool]
"""Says whether a signature (second) is the one of a user id (first)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST: Instant = -62_135_596_800_000_000
"""0001-01-01T00:00:00Z: before it there is no text for an instant."""
_WITH_TRAITS = frozenset({"identify", "group"})
_WITH_NAME = frozenset({"page", "screen"})
_SIGNATURE = "userSignature"


class EventRejected(InvalidInput):
    """One event cannot be accepted; `reason` is a stable word for it, `message_id` the sender's, when readable."""

    code = "event_rejected"

    def __init__(self, reason: Reason, *problems: Problem, message_id: str | None = None) -> None:
        told = "; ".join(f"{at.path}: expected {at.expected}, found {at.found}" for at in problems)
        super().__init__(f"{reason}: {told}", problems=problems)
        self.reason: Reason = reason
        self.message_id = message_id


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """How a request came: all that its events share and that their sender did not say."""

    received: Instant
    source: str
    trusted: bool
    verify: Verify
    limits: EventLimits
    latest: Instant
    kind: EventType | None = None


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What stands at the batch level, and so under each of its messages."""

    context: dict[str, Any] = {}
    integrations: dict[str, Any] = {}
    sent_at: Instant | None = None
    user_signature: str | None = None


NOTHING_SHARED = Shared()


def instant(moment: datetime) -> Instant:
    """Return the instant of a datetime, taken as UTC where it names no zone."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    past = moment - _EPOCH
    return (past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds


def build(message: Message[Any], arrival: Arrival, shared: Shared, index: int) -> Event:
    """Return the event of a message, or raise `EventRejected`; `index` is its place in the request."""
    limits = arrival.limits
    kind = arrival.kind or message.type
    if kind is None:
        _reject("unknown_type", "type", "track, identify, page, screen, group or alias", "nothing", message)
    user_id, anonymous_id = message.user_id, message.anonymous_id
    if user_id is not None:
        user_id = _identifier(user_id, "userId", message, limits)
    if anonymous_id is not None:
        anonymous_id = _identifier(anonymous_id, "anonymousId", message, limits)
    if user_id is None and anonymous_id is None:
        _reject("no_user_anon_id", "userId", "a userId or an anonymousId that names somebody", "neither", message)
    time, original_time = _time(message, arrival, shared)
    context, signature = message.context or {}, None
    if shared is not NOTHING_SHARED or message.integrations or message.user_signature or _SIGNATURE in context:
        context, signature = _context(message, shared)
    found = message.message_id
    is_plain = isinstance(found, str) and 0 < len(found) <= limits.message_id_length
    return Event(
        type=kind,
        name=_name(message, limits) if kind == "track" else NAMES[kind],
        message_id=cast("str", found) if is_plain else _message_id(message, arrival, index),
        time=time,
        received=arrival.received,
        user_id=user_id,
        anonymous_id=anonymous_id,
        previous_id=_previous_id(message, user_id, limits) if kind == "alias" else None,
        group_id=_group_id(message, limits) if kind == "group" else None,
        properties=_properties(message, kind, limits),
        context=context,
        source=arrival.source,
        signed=arrival.trusted
        or (signature is not None and user_id is not None and arrival.verify(user_id, signature)),
        original_time=original_time,
    )


def id_text(value: str | float) -> str:
    """Return an id as text: whole numbers without a fraction (1234.0 is `1234`)."""
    if isinstance(value, str):
        return value
    return str(int(value)) if value == int(value) else str(value)


def message_id_of(message: Message[Any]) -> str | None:
    """Return the sender's message id, or None when there is none or it is empty."""
    found = message.message_id
    return None if found is None or found == "" else id_text(found)


def _reject(reason: Reason, path: str, expected: str, found: str, message: Message[Any]) -> NoReturn:
    raise EventRejected(reason, Problem(path, expected, found), message_id=message_id_of(message))


def _identifier(value: str | float, path: str, message: Message[Any], limits: EventLimits) -> str | None:
    text = value if isinstance(value, str) else id_text(value)
    if len(text) > limits.id_length:
        _reject("invalid_field", path, f"at most {limits.id_length} characters", f"{len(text)}", message)
    return None if ids.is_blocked(text) else text


def _name(message: Message[Any], limits: EventLimits) -> str:
    name = message.event
    if not name or name.isspace():
        _reject("track_without_event", "event", "the name of what happened", "nothing", message)
    if len(name) > limits.name_length:
        _reject("invalid_field", "event", f"at most {limits.name_length} characters", f"{len(name)}", message)
    return name


def _previous_id(message: Message[Any], user_id: str | None, limits: EventLimits) -> str:
    found = None
    if message.previous_id is not None:
        found = _identifier(message.previous_id, "previousId", message, limits)
    if found is None:
        _reject("alias_without_previous_id", "previousId", "an id that names somebody", "nothing", message)
    if user_id is None:
        _reject("alias_without_user_id", "userId", "the id that takes over", "nothing", message)
    return found


def _group_id(message: Message[Any], limits: EventLimits) -> str:
    found = None
    if message.group_id is not None:
        found = _identifier(message.group_id, "groupId", message, limits)
    if found is None:
        _reject("group_without_group_id", "groupId", "an id that names a group", "nothing", message)
    return found


def _time(message: Message[Any], arrival: Arrival, shared: Shared) -> tuple[Instant, Instant | None]:
    said = message.original_timestamp or message.timestamp
    if said is None:
        return arrival.received, None
    told = instant(said)
    sent = shared.sent_at if message.sent_at is None else instant(message.sent_at)
    time = told if sent is None else arrival.received - (sent - told)
    if time > arrival.latest:
        return arrival.latest, told
    if time < _EARLIEST:
        _reject("invalid_field", "timestamp", "a time since the year 1", "one before it", message)
    return time, None


def _context(message: Message[Any], shared: Shared) -> tuple[dict[str, Any], str | None]:
    context = message.context or {}
    if shared.context:
        context = {**shared.context, **context}
    integrations = message.integrations
    if shared.integrations:
        integrations = {**shared.integrations, **(integrations or {})}
    if integrations:
        context["integrations"] = integrations
    signature = message.user_signature or shared.user_signature
    if _SIGNATURE in context:
        found = context.pop(_SIGNATURE)
        if signature is None and isinstance(found, str):
            signature = found
    return context, signature


def _properties(message: Message[Any], kind: EventType, limits: EventLimits) -> dict[str, Any]:
    properties = (message.traits if kind in _WITH_TRAITS else message.properties) or {}
    if kind in _WITH_NAME:
        if message.name is not None:
            properties.setdefault("name", message.name)
        if message.category is not None:
            properties.setdefault("category", message.category)
    if len(properties) > limits.properties:
        path = "traits" if kind in _WITH_TRAITS else "properties"
        _reject("too_many_properties", path, f"at most {limits.properties} members", f"{len(properties)}", message)
    return properties


def _message_id(message: Message[Any], arrival: Arrival, index: int) -> str:
    found = message_id_of(message)
    if found is None:
        return _made_id(message, arrival, index)
    limit = arrival.limits.message_id_length
    if len(found) > limit:
        problem = Problem("messageId", f"at most {limit} characters", f"{len(found)}")
        raise EventRejected("invalid_field", problem)
    return found


def _made_id(message: Message[Any], arrival: Arrival, index: int) -> str:
    """Make the id of a message that came without: from its source, arrival, place and content.

    The arrival is part of it, so the same content sent again is a new event: without an id of the sender
    nobody can tell a repeated click from a repeated delivery.
    """
    content = msgspec.json.encode(message, order="deterministic").decode()
    return "srv-" + ids.digest(arrival.source, str(arrival.received), str(index), content).hex()
