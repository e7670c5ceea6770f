"""What is known about one person: the fold of their events.

A `Profile` is a draft that only the engine's live table holds: `fold` changes it in place, in the
sequencer, and every other step only reads it. What leaves the engine is bytes, or a view at an instant.
(An event's change costs .2 us on a draft and 2.6 us as a frozen copy.)

Every part is commutative under (time, message_id), so that arrival order within the allowed delay does
not matter: counts add, the newest trait wins, faded sums are kept at a reference instant, lists stay sorted.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bespeak.clock import NEVER, Instant
from bespeak.conditions.asking.flips import Flips
from bespeak.conditions.counting.aggregates import State
from bespeak.ids import ProfileId
from bespeak.privacy.consent import Choice, Purpose


class Trait(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One trait; of two messages the newer (time, message_id) wins."""

    value: Any
    time: Instant
    message_id: str


class Faded(msgspec.Struct, array_like=True, gc=False):
    """A sum that fades: worth `value` at `time`, half of it one half-life later. Of a draft: added to in place."""

    value: float
    time: Instant


class Zone(msgspec.Struct, array_like=True, gc=False):
    """The time zone that a device named; of two messages the newer (time, message_id) wins. Changed in place."""

    name: str
    time: Instant
    message_id: str


class Said(msgspec.Struct, array_like=True, gc=False):
    """What a message says of where somebody is, or on what device, by name; the newer (time, message_id) wins."""

    values: dict[str, str | float]
    time: Instant
    message_id: str


class Listing(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """On a list, or off it again; of two words the newer (time, message_id) counts."""

    joined: bool
    time: Instant
    message_id: str


class Recent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One recent event, as far as sessions and recommenders need it. Ordered by its place."""

    time: Instant
    message_id: str
    name: str
    item: str | None = None

    def place(self) -> tuple[Instant, str, str, str]:
        """Where it stands among recent events: by (time, message_id), the items of one event by their ids.

        Two senders may give one id to two messages, of which only one is about an item: those too have an order.
        """
        return self.time, self.message_id, self.name, self.item or ""


class Session(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A run of events with no gap of `session_gap_minutes` or more; `events` counts those still in `recent`."""

    started: Instant
    ended: Instant
    events: int


class Membership(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """In a segment since `since`, under version `version` of its definition."""

    since: Instant
    version: int
    why: str


class Profile(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is known about one person.

    Parameters
    ----------
    id
        `u:` + user id once known, else `a:` + anonymous id.
    aliases
        Every other profile id that resolves to this one.
    claimed_user_id
        A user id that an unsigned identify claimed under `identity.unsigned = "claim"`; not proven.
    first_seen, last_seen
        Oldest and newest event time; 0 when there was none.
    counts, last
        Events by name since ever, and the newest time of each.
    zone
        The newest time zone that a device named, in `context.timezone`; a name of the tz database.
    place, device
        Where the person is, and on what device, as the newest message says that speaks of it.
    lists
        The lists that the person was put on, or taken off, by the id of the list.
    interests
        Faded weight by `category:NAME` and `tag:NAME`.
    recent
        The newest events, sorted, at most the documented bound.
    sessions
        How many there were in all, `session`, the newest, included.
    bought, hidden
        Items bought and items the person asked not to see, with the newest time of each.
    late
        Events that came later than the allowed delay: they count in 'ever' aggregates only.
    aggregates
        State of each declared aggregate, by its key.
    segments
        The segments that the profile is in, by id.
    flips
        When each segment is asked again: its windows change the membership by themselves at no instant before. Not
        those whose windows cannot.
    next_flip_at
        The earliest of `flips`; `clock.NEVER` when there is none.
    as_of
        The newest instant that the memberships were asked at; they are never asked at an earlier one.
    """

    id: ProfileId
    user_id: str | None = None
    aliases: list[ProfileId] = []
    claimed_user_id: str | None = None
    first_seen: Instant = 0
    last_seen: Instant = 0
    traits: dict[str, Trait] = {}
    counts: dict[str, int] = {}
    last: dict[str, Instant] = {}
    zone: Zone | None = None
    interests: dict[str, Faded] = {}
    recent: list[Recent] = []
    sessions: int = 0
    session: Session | None = None
    bought: dict[str, Instant] = {}
    hidden: dict[str, Instant] = {}
    consent: dict[Purpose, Choice] = {}
    aggregates: dict[str, State] = {}
    segments: dict[str, Membership] = {}
    late: int = 0
    flips: Flips = msgspec.field(default_factory=Flips)
    next_flip_at: Instant = NEVER
    as_of: Instant = 0
    place: Said | None = None
    device: Said | None = None
    lists: dict[str, Listing] = {}
