"""Two profiles that turn out to be one person."""

from __future__ import annotations

import msgspec

from bespeak.clock import NEVER
from bespeak.conditions.counting.aggregates import merge as merge_aggregates
from bespeak.profiles.fading import add
from bespeak.profiles.fold import count_sessions, drop_weakest, keep_newest, newest_session
from bespeak.profiles.profile import Listing, Profile, Recent, Said, Trait, Zone
from bespeak.profiles.said import LISTS_MAX, make_room
from bespeak.profiles.settings import ProfileSettings


def merge(into: Profile, other: Profile, settings: ProfileSettings) -> None:
    """Take everything known of `other` into the draft `into`; the ids of both resolve to `into` afterwards.

    Commutative but for the surviving id: what the newer message said wins, counts and faded sums add, sorted lists
    are merged. Memberships are not merged: the caller classifies the merged profile.
    """
    into.user_id = into.user_id or other.user_id
    into.claimed_user_id = into.claimed_user_id or other.claimed_user_id
    into.aliases = sorted({*into.aliases, *other.aliases, other.id} - {into.id})
    into.first_seen = min(into.first_seen or NEVER, other.first_seen or NEVER) % NEVER
    _merge_newest(into, other, settings)
    for name, count in other.counts.items():
        into.counts[name] = into.counts.get(name, 0) + count
    for name, value in other.interests.items():
        add(into.interests, name, value.value, value.time, settings.interest_halflife)
    if len(into.interests) > settings.interests_max:
        drop_weakest(into, settings)
    merge_aggregates(into.aggregates, other.aggregates)
    _merge_recent(into, other, settings)
    into.late += other.late
    into.as_of = max(into.as_of, other.as_of)
    into.last_seen = max(into.last_seen, other.last_seen)


def _merge_newest(into: Profile, other: Profile, settings: ProfileSettings) -> None:
    for name, trait in other.traits.items():
        held = into.traits.get(name)
        if held is None and len(into.traits) >= settings.traits_max:
            continue
        if held is None or _newer(trait, held):
            into.traits[name] = trait
    if other.zone is not None and (into.zone is None or _newer(other.zone, into.zone)):
        into.zone = msgspec.structs.replace(other.zone)  # the other may go on living
    if other.place is not None and (into.place is None or _newer(other.place, into.place)):
        into.place = msgspec.structs.replace(other.place)
    if other.device is not None and (into.device is None or _newer(other.device, into.device)):
        into.device = msgspec.structs.replace(other.device)
    _merge_lists(into.lists, other.lists)
    for purpose, choice in other.consent.items():
        known = into.consent.get(purpose)
        if known is None or (choice.time, choice.message_id) > (known.time, known.message_id):
            into.consent[purpose] = choice
    for name, time in other.last.items():
        into.last[name] = max(time, into.last.get(name, 0))
    keep_newest(into.bought, other.bought, settings.items_max)
    keep_newest(into.hidden, other.hidden, settings.items_max)


def _merge_lists(into: dict[str, Listing], other: dict[str, Listing]) -> None:
    for name, listing in other.items():
        held = into.get(name)
        if held is None or _newer(listing, held):
            into[name] = listing
    while len(into) > LISTS_MAX and make_room(into):
        pass


def _newer(one: Trait | Zone | Said | Listing, other: Trait | Zone | Said | Listing) -> bool:
    return (one.time, one.message_id) > (other.time, other.message_id)


def _merge_recent(into: Profile, other: Profile, settings: ProfileSettings) -> None:
    gap = settings.session_gap
    forgotten = sum(max(0, side.sessions - count_sessions(side.recent, gap)) for side in (into, other))
    recent = sorted([*into.recent, *other.recent], key=Recent.place)
    into.sessions = forgotten + count_sessions(recent, gap)
    into.session = newest_session(recent, gap)
    into.recent = recent[-settings.recent_max :]
