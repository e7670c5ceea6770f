"""Segment's messages as they come by wire, typed so that one decode checks them.

The depth of `properties` and `context` is in the type: `values(3)` admits three levels and no more, so nesting
is bounded while decoding, without a walk. Integers are those that every store can keep (64 bits, signed).
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Generic, TypeVar, Union

import msgspec

from bespeak.events.event import EventType

LARGEST = 2**63 - 1
SMALLEST = -(2**63)

V = TypeVar("V")
_SCALAR: Any = Union[Annotated[int, msgspec.Meta(ge=SMALLEST, le=LARGEST)], bool, float, str, None]  # noqa: UP007 - a value
_Id = str | int | float | None


class Message(msgspec.Struct, Generic[V], rename="camel", gc=False):
    """One call. Whatever may be null may be absent, and means the same."""

    type: EventType | None = None
    event: str | None = None
    message_id: _Id = None
    user_id: _Id = None
    anonymous_id: _Id = None
    previous_id: _Id = None
    group_id: _Id = None
    properties: dict[str, V] | None = None
    traits: dict[str, V] | None = None
    context: dict[str, V] | None = None
    integrations: dict[str, V] | None = None
    timestamp: datetime | None = None
    original_timestamp: datetime | None = None
    sent_at: datetime | None = None
    name: str | None = None
    category: str | None = None
    user_signature: str | None = None


class Body(Message[V], Generic[V], rename="camel", gc=False):
    """A request: a batch, or (when `batch` is absent) one call by itself."""

    batch: list[Message[V]] | None = None
    write_key: str | None = None


class Envelope(msgspec.Struct, rename="camel"):
    """A request whose parts are still text: what item-by-item reading starts from."""

    batch: msgspec.Raw = msgspec.Raw(b"null")
    context: msgspec.Raw = msgspec.Raw(b"null")
    integrations: msgspec.Raw = msgspec.Raw(b"null")
    sent_at: msgspec.Raw = msgspec.Raw(b"null")
    write_key: msgspec.Raw = msgspec.Raw(b"null")
    user_signature: msgspec.Raw = msgspec.Raw(b"null")


ENVELOPE = msgspec.json.Decoder(Envelope)
RAW = msgspec.json.Decoder(msgspec.Raw)
RAWS = msgspec.json.Decoder(list[msgspec.Raw])
ANY = msgspec.json.Decoder()


def values(depth: int) -> Any:  # noqa: ANN401 - a type built at run time, which no annotation can say
    """Return the type of a JSON value with at most `depth` levels of lists and objects below it."""
    found: Any = _SCALAR
    for _ in range(depth):
        found = Union[_SCALAR, list[found], dict[str, found]]  # noqa: UP007 - a value, not an annotation
    return found


@lru_cache(maxsize=17)
def body_decoder(depth: int) -> msgspec.json.Decoder[Body[Any]]:
    """Return the decoder of whole requests whose objects have at most `depth` levels."""
    body: Any = Body
    return msgspec.json.Decoder(body[values(depth - 1)])


@lru_cache(maxsize=17)
def message_decoder(depth: int) -> msgspec.json.Decoder[Message[Any]]:
    """Return the decoder of one message whose objects have at most `depth` levels."""
    message: Any = Message
    return msgspec.json.Decoder(message[values(depth - 1)])
