"""What was not accepted, sealed: under the identifier that can be read in it, else under the key of the store.

The reason is sealed with the message, since it quotes what was found in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from bespeak.clock import Instant
from bespeak.engine.vault import REJECTED, STORE, Vault
from bespeak.events import Event, Rejection
from bespeak.ids import ProfileId, anonymous_profile, is_blocked, user_profile
from bespeak.privacy.envelope import PLAIN, open_
from bespeak.privacy.sealing import key_number
from bespeak.stores import Rejected

SEALED_REASON = "sealed"
"""What stands in the place of the reason, in the store."""


SEALED_PLACE = ""
"""What stands in the place of an event's message id, which its sender chose."""


class _Named(msgspec.Struct):
    userId: object = None  # noqa: N815  as it stands in the message
    anonymousId: object = None  # noqa: N815


class _Inside(msgspec.Struct, frozen=True, array_like=True):
    reason: str
    raw: bytes
    place: str = ""


_named = msgspec.json.Decoder(_Named)
_encoder = msgspec.msgpack.Encoder()
_inside = msgspec.msgpack.Decoder(_Inside)


def subject_in(raw: bytes) -> str:
    """Return the identifier that a message names, the user's when both; the store where none can be read.

    Examples
    --------
    >>> subject_in(b'{"userId": 12, "anonymousId": "d"}'), subject_in(b'{"anonymousId": "d"}'), subject_in(b'{"userId"')
    ('u:12', 'a:d', 'store')
    """
    try:
        named = _named.decode(raw)
    except msgspec.DecodeError:
        return STORE
    for value, profile in ((named.userId, user_profile), (named.anonymousId, anonymous_profile)):
        if isinstance(value, str | int) and not isinstance(value, bool) and not is_blocked(str(value)):
            return profile(str(value))
    return STORE


def seal_rejected(vault: Vault, rejection: Rejection, source: str, now: Instant) -> Rejected:
    """Put a rejected message into the form that the store keeps."""
    inside = _encoder.encode(_Inside(sentence(rejection), rejection.raw))
    sealed = vault.seal(subject_in(rejection.raw), REJECTED, inside)
    return Rejected(source, str(rejection.index), SEALED_REASON, now, sealed)


def seal_turned_away(vault: Vault, event: Event, reason: str, source: str, now: Instant) -> Rejected:
    """Put an event that could be read but not kept into the form that the store keeps."""
    if event.user_id is not None:
        subject = user_profile(event.user_id)
    else:
        subject = anonymous_profile(event.anonymous_id) if event.anonymous_id is not None else STORE
    inside = _encoder.encode(_Inside(reason, msgspec.json.encode(event), event.message_id))
    return Rejected(source, SEALED_PLACE, SEALED_REASON, now, vault.seal(subject, REJECTED, inside))


def open_rejected(vault: Vault, rejected: Rejected) -> Rejected | None:
    """Return a rejected message as it came; None when its person was erased."""
    if rejected.data[:1] == bytes([PLAIN]):
        return msgspec.structs.replace(rejected, data=open_(rejected.data))
    data = vault.open(rejected.data, REJECTED)
    if data is None:
        return None
    inside = _inside.decode(data)
    place = inside.place or rejected.place
    return msgspec.structs.replace(rejected, place=place, reason=inside.reason, data=inside.raw)


def about(vault: Vault, ids: Iterable[ProfileId], keys: Iterable[int]) -> Callable[[Rejected], bool]:
    """Return what says of a kept message whether it goes with a person.

    It goes when it is sealed under one of the person's keys; and when it is sealed under the key of the store, or older
    than keys, and any of the person's identifiers stands in it.
    """
    words = tuple(each[2:].encode() for each in ids)
    numbers = frozenset(keys)
    store = vault.sealer(STORE)

    def goes(rejected: Rejected) -> bool:
        if rejected.data[:1] == bytes([PLAIN]):
            text = rejected.data + rejected.reason.encode()
        else:
            number = key_number(rejected.data)
            if number != store.number:
                return number in numbers
            text = store.open(REJECTED, rejected.data)
        return any(word in text for word in words)

    return goes


def sentence(rejection: Rejection) -> str:
    """Say why a message was rejected, with the places."""
    places = "; ".join(f"{one.path}: expected {one.expected}, found {one.found}" for one in rejection.problems)
    return f"{rejection.reason}: {places}" if places else rejection.reason
