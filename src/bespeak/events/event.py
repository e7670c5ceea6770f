"""One thing that happened, in our own words, whatever wire it came by."""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec

from bespeak.clock import Instant

EventType = Literal["track", "identify", "page", "screen", "group", "alias"]
EVENT_TYPES: frozenset[str] = frozenset(get_args(EventType))

NAMES: dict[str, str] = {
    "identify": "Identified",
    "page": "Page Viewed",
    "screen": "Screen Viewed",
    "group": "Grouped",
    "alias": "Aliased",
}
"""The event name that conditions use for calls that carry none (`track` carries its own)."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One thing that happened. Immutable: what was logged is what is folded, now and at every replay.

    Parameters
    ----------
    type
        Which of Segment's six calls it was.
    name
        What conditions call it: the `event` of a track call, else the entry in `NAMES`.
    message_id
        The sender's id of this message; with `source` it is what duplicates are told by. 1 to 100 characters.
    time
        When it happened, after the clock-skew rule and the clamp (at most 60 s after `received`).
    received
        When it reached us.
    user_id, anonymous_id
        Who; at least one is set.
    previous_id
        `alias` only: the id that `user_id` was known by before.
    group_id
        `group` only.
    properties
        Properties of a track, page or screen; the traits of an identify or group.
    context
        Segment's context object; `{}` when there is none.
    source
        Name of the key it came with.
    signed
        Whether the identity is proven: by the secret key, or by a `userSignature`.
    original_time
        What the sender said, where `time` had to be clamped; else None.
    """

    type: EventType
    name: str
    message_id: str
    time: Instant
    received: Instant
    user_id: str | None = None
    anonymous_id: str | None = None
    previous_id: str | None = None
    group_id: str | None = None
    properties: dict[str, Any] = {}
    context: dict[str, Any] = {}
    source: str = ""
    signed: bool = False
    original_time: Instant | None = None
