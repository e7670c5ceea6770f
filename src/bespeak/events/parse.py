"""From a request body to events.

The whole body is decoded at once into typed messages. Only when that fails, or when something is over a bound,
is it read item by item, so that one bad item never fails its batch and good batches pay nothing for it.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from bespeak.clock import Instant
from bespeak.errors import InvalidInput, MalformedJSON, Problem, TooLarge
from bespeak.events import lenient
from bespeak.events.build import NOTHING_SHARED, Arrival, EventRejected, Reason, Shared, Verify, build, instant
from bespeak.events.event import Event, EventType
from bespeak.events.inflate import too_large
from bespeak.events.limits import EventLimits
from bespeak.events.wire import ANY, ENVELOPE, RAW, RAWS, Body, Envelope, body_decoder, message_decoder

_MARK = b"\xef\xbb\xbf"
_NULL = b"null"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)")


class Rejection(msgspec.Struct, frozen=True):
    """One item that was not accepted.

    Parameters
    ----------
    index
        Its place in the body, from 0; in a file, its line, from 1.
    message_id
        The sender's id of it, when it could be read.
    reason
        A stable word, such as `no_user_anon_id`; `docs/events.md` lists them.
    problems
        Where in the item, what was expected there, what was found.
    raw
        The item as it came.
    """

    index: int
    message_id: str | None
    reason: str
    problems: tuple[Problem, ...]
    raw: bytes


class Parsed(msgspec.Struct, frozen=True):
    """What a body held: `indexes[i]` is the place of `events[i]` in it; `write_key` is the one in the body, if any."""

    events: tuple[Event, ...]
    indexes: tuple[int, ...]
    rejected: tuple[Rejection, ...] = ()
    write_key: str | None = None


def parse_batch(
    body: bytes,
    *,
    received: Instant,
    source: str,
    trusted: bool,
    verify: Verify,
    limits: EventLimits,
    kind: EventType | None = None,
) -> Parsed:
    """Read a request in Segment's format: a batch, a list of messages, or one message.

    Parameters
    ----------
    body
        JSON, already decompressed.
    received
        When it arrived.
    source
        Name of the key it came with.
    trusted
        It came with a secret key: identities in it need no signature.
    verify
        Says whether a signature is the one of a user id; asked for `userSignature` of the message, its context
        or the batch, when not `trusted`.
    kind
        Which call it is, where the address says so (`/v1/track`); None reads `type`.

    Raises
    ------
    MalformedJSON
        The body is not JSON in UTF-8.
    TooLarge
        The body or the number of its events is over its bound, or it is nested hundreds of levels deep.
    InvalidInput
        The body is JSON, and neither an object nor a list; or `batch` is not a list.
    """
    if len(body) > limits.batch_bytes:
        raise too_large(limits.batch_bytes)
    arrival = Arrival(
        received=received,
        source=source,
        trusted=trusted,
        verify=verify,
        limits=limits,
        latest=received + limits.future,
        kind=kind,
    )
    try:
        found = body_decoder(limits.depth).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _parse_items(body, arrival)
    if found.batch is None or kind is not None:
        return _parse_one(body, found, arrival)
    if _any_over(body, limits):
        return _parse_items(body, arrival)
    return _parse_typed(body, found, found.batch, arrival)


def parse_message(
    raw: bytes,
    *,
    received: Instant,
    source: str,
    trusted: bool,
    verify: Verify,
    limits: EventLimits,
    kind: EventType | None = None,
) -> Event:
    """Read one message (arguments as `parse_batch`).

    Raises
    ------
    MalformedJSON
        It is not JSON.
    TooLarge
        It is over the bytes of an event, or nested hundreds of levels deep.
    EventRejected
        It is JSON, and cannot be accepted: `reason` is the word for it, `problems` the places.
    """
    if len(raw) > limits.event_bytes:
        raise too_large(limits.event_bytes)
    raw = _mended(raw)
    _check_json(raw)
    latest = received + limits.future
    arrival = Arrival(
        received=received, source=source, trusted=trusted, verify=verify, limits=limits, latest=latest, kind=kind
    )
    return _read_item(raw, arrival, NOTHING_SHARED, 0)


def _parse_one(body: bytes, found: Body[Any], arrival: Arrival) -> Parsed:
    if len(body) > arrival.limits.event_bytes:
        raise too_large(arrival.limits.event_bytes)
    try:
        event = build(found, arrival, NOTHING_SHARED, 0)
    except EventRejected as error:
        return Parsed((), (), (_rejection(error, 0, body),), found.write_key)
    return Parsed((event,), (0,), (), found.write_key)


def _parse_typed(body: bytes, found: Body[Any], batch: list[Any], arrival: Arrival) -> Parsed:
    if len(batch) > arrival.limits.batch_events:
        raise _too_many(len(batch), arrival.limits)
    shared = NOTHING_SHARED
    if found.context or found.integrations or found.sent_at or found.user_signature:
        shared = _shared(found)
        _check_expanded(body, shared, len(batch), arrival.limits)
    events: list[Event] = []
    failed: list[tuple[int, EventRejected]] = []
    for index, message in enumerate(batch):
        try:
            events.append(build(message, arrival, shared, index))
        except EventRejected as error:
            failed.append((index, error))
    if not failed:
        return Parsed(tuple(events), tuple(range(len(events))), (), found.write_key)
    raws = RAWS.decode(ENVELOPE.decode(body).batch)
    rejected = tuple(_rejection(error, index, bytes(raws[index])) for index, error in failed)
    bad = {index for index, _ in failed}
    indexes = tuple(index for index in range(len(batch)) if index not in bad)
    return Parsed(tuple(events), indexes, rejected, found.write_key)


def _shared(found: Body[Any]) -> Shared:
    return Shared(
        context=found.context or {},
        integrations=found.integrations or {},
        sent_at=None if found.sent_at is None else instant(found.sent_at),
        user_signature=found.user_signature,
    )


def _parse_items(body: bytes, arrival: Arrival) -> Parsed:
    """Read what the typed decode refused: each item by itself."""
    text = _mended(body.removeprefix(_MARK).strip(b" \t\r\n"))
    _check_json(text)
    if text.startswith(b"["):
        return _each(RAWS.decode(text), text, arrival, NOTHING_SHARED, [])
    if not text.startswith(b"{"):
        raise InvalidInput("the body must be an object or a list of messages", problems=_problem("", text))
    try:
        envelope = ENVELOPE.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedJSON(f"the body is not JSON in UTF-8: {error}") from None
    if bytes(envelope.batch) == _NULL or arrival.kind is not None:
        if len(text) > arrival.limits.event_bytes:
            raise too_large(arrival.limits.event_bytes)
        return _each([msgspec.Raw(text)], text, arrival, NOTHING_SHARED, [], _text(envelope.write_key))
    if not bytes(envelope.batch).startswith(b"["):
        raise InvalidInput("batch must be a list of messages", problems=_problem("batch", bytes(envelope.batch)))
    problems: list[Problem] = []
    shared = _shared_leniently(envelope, problems, arrival.limits)
    raws = RAWS.decode(envelope.batch)
    return _each(raws, text, arrival, shared, problems, _text(envelope.write_key))


def _each(
    raws: list[msgspec.Raw],
    body: bytes,
    arrival: Arrival,
    shared: Shared,
    problems: list[Problem],
    write_key: str | None = None,
) -> Parsed:
    if len(raws) > arrival.limits.batch_events:
        raise _too_many(len(raws), arrival.limits)
    _check_expanded(body, shared, len(raws), arrival.limits)
    events: list[Event] = []
    indexes: list[int] = []
    rejected: list[Rejection] = []
    for index, item in enumerate(raws):
        raw = bytes(item)
        if problems:
            rejected.append(Rejection(index, None, lenient.reason_of(problems), tuple(problems), raw))
            continue
        try:
            events.append(_read_item(raw, arrival, shared, index))
        except EventRejected as error:
            rejected.append(_rejection(error, index, raw))
        else:
            indexes.append(index)
    return Parsed(tuple(events), tuple(indexes), tuple(rejected), write_key)


def _read_item(raw: bytes, arrival: Arrival, shared: Shared, index: int) -> Event:
    limits = arrival.limits
    if len(raw) > limits.event_bytes:
        problem = Problem("", f"at most {limits.event_bytes:,} bytes", f"{len(raw):,}")
        raise EventRejected("event_too_large", problem)
    try:
        message = message_decoder(limits.depth).decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = lenient.read(raw, limits)
    return build(message, arrival, shared, index)


def _shared_leniently(envelope: Envelope, problems: list[Problem], limits: EventLimits) -> Shared:
    found: dict[str, object] = {}
    parts = {
        "context": envelope.context,
        "integrations": envelope.integrations,
        "sentAt": envelope.sent_at,
        "userSignature": envelope.user_signature,
    }
    for name, raw in parts.items():
        try:
            found[name] = ANY.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            problems.append(Problem(name, "values that can be kept", str(error)))
    signature = found.get("userSignature")
    return Shared(
        context=lenient.object_of(found.get("context"), "context", problems, limits) or {},
        integrations=lenient.object_of(found.get("integrations"), "integrations", problems, limits) or {},
        sent_at=lenient.instant_of(found.get("sentAt"), "sentAt", problems),
        user_signature=signature if isinstance(signature, str) else None,
    )


def _mended(text: bytes) -> bytes:
    """Put U+FFFD for half a surrogate pair: what a script leaves that cuts text in the middle of an emoji."""
    return _ESCAPE.sub(lambda found: b"\\ufffd" if found[1] else found[0], text) if _SURROGATE.search(text) else text


def _check_json(text: bytes) -> None:
    try:
        RAW.decode(text)
    except msgspec.DecodeError as error:
        raise MalformedJSON(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise TooLarge("the body is nested hundreds of levels deep") from None


def _any_over(body: bytes, limits: EventLimits) -> bool:
    """Say whether some event of a batch is over its bytes; a body within them holds none."""
    if len(body) <= limits.event_bytes:
        return False
    return any(len(bytes(raw)) > limits.event_bytes for raw in RAWS.decode(ENVELOPE.decode(body).batch))


def _check_expanded(body: bytes, shared: Shared, count: int, limits: EventLimits) -> None:
    if not shared.context and not shared.integrations:
        return
    own = len(msgspec.json.encode((shared.context, shared.integrations)))
    if own > limits.event_bytes or len(body) + own * count > limits.expanded_bytes:
        raise TooLarge(
            f"context and integrations of the batch have {own:,} bytes and stand in each of its {count:,} events; "
            f"the batch must stay within {limits.expanded_bytes:,} bytes so: send smaller batches"
        )


def _too_many(count: int, limits: EventLimits) -> TooLarge:
    problem = Problem("batch", f"at most {limits.batch_events:,} events", f"{count:,}")
    message = f"the batch holds {count:,} events, at most {limits.batch_events:,} are read: send smaller batches"
    return TooLarge(message, problems=(problem,))


def _rejection(error: EventRejected, index: int, raw: bytes) -> Rejection:
    return Rejection(index, error.message_id, error.reason, error.problems, raw)


def _problem(path: str, text: bytes) -> tuple[Problem, ...]:
    return (Problem(path, "an object or a list", text[:40].decode("utf-8", "replace")),)


def _text(raw: msgspec.Raw) -> str | None:
    try:
        found: object = ANY.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if isinstance(found, str) else None


__all__ = ["Parsed", "Reason", "Rejection", "parse_batch", "parse_message"]
