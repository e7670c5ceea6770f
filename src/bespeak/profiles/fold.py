"""The fold: one event into one profile.

Within the allowed delay the result does not depend on the order of arrival: every part is commutative under
(time, message_id), or is worked out again from the sorted recent events when one arrives late.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from sys import intern
from typing import cast

import msgspec

from bespeak.catalog import Item
from bespeak.clock import Duration, Instant, zone_named
from bespeak.conditions.counting.aggregates import Fed, Feeds
from bespeak.events import Event
from bespeak.events.vocabulary import (
    CONSENT_UPDATED,
    DECISION_MADE,
    IMPRESSION,
    ITEM_HIDDEN,
    ITEM_WEIGHTS,
    LIST_JOINED,
    LIST_LEFT,
    ORDER_COMPLETED,
    OUR_SOURCE,
    item_ids,
)
from bespeak.privacy import Choice, consent_choices
from bespeak.profiles.fading import add, faded
from bespeak.profiles.profile import Profile, Recent, Session, Trait, Zone
from bespeak.profiles.said import note_device, note_list, note_place
from bespeak.profiles.settings import ProfileSettings

SILENT = frozenset({DECISION_MADE, IMPRESSION, CONSENT_UPDATED, LIST_JOINED, LIST_LEFT})
"""What we did or asked, not what the person did: counted, but no session, no recency, no recent event."""


def leaves_unknown(event: Event) -> bool:
    """Say whether an event about somebody of whom nothing is known makes nobody of them: what we did or asked.

    But for consent, and for being put on a list: these are kept.
    """
    if event.name not in SILENT or event.context.get("consent"):
        return False
    return event.name != LIST_JOINED or event.source != OUR_SOURCE


_SAYS_TRAITS = frozenset({"identify", "group"})

INTERESTS_KEPT = 50_000
"""Items whose interests are remembered, so that their names are not put together for every event."""

NAMES_KEPT = 1_000
"""Event names that are known again, so that profiles share them; more are kept by each event for itself."""

_WEIGHTS = dict(ITEM_WEIGHTS)
_KEPT_ITEMS = frozenset({ORDER_COMPLETED, ITEM_HIDDEN})
_SEVERAL = 2

ZONE_MAX = 100
"""Characters that the name of a time zone may have."""

CONSENTS_MAX = 100
"""Purposes and categories of which one person's choice is kept; beyond it grants make room for denials."""


class Folding:
    """What the fold needs besides the event: the declared aggregates, the catalog's look-up and the bounds.

    `items` is left by each fold for those who learn from the event too: its items, None where they were not needed.
    """

    __slots__ = ("_interests", "delay", "feeds", "gap", "halflife", "item", "items", "names", "settings")

    def __init__(self, feeds: Feeds, item: Callable[[str], Item | None], settings: ProfileSettings) -> None:
        self.feeds = feeds
        self.item = item
        self.settings = settings
        self.delay = settings.delay
        self.gap = settings.session_gap
        self.halflife = settings.interest_halflife
        self.items: tuple[str, ...] | None = None
        self.names: dict[str, str] = {}
        self._interests: dict[str, tuple[Item, tuple[str, ...]]] = {}

    def name(self, name: str) -> str:
        """Return the name of an event as everybody's profile has it: one object, which is found again in `names`."""
        if len(self.names) < NAMES_KEPT:
            self.names[name] = name = intern(name)
        return name

    def interests_of(self, item: Item) -> tuple[str, ...]:
        """Return the interests that an item speaks for, made once as long as the item stays as it is."""
        known = self._interests.get(item.id)
        if known is not None and known[0] is item:
            return known[1]
        said = (*["category:" + name for name in item.categories], *["tag:" + name for name in item.tags])
        names = tuple(map(intern, said))
        if len(self._interests) >= INTERESTS_KEPT:
            self._interests.clear()
        self._interests[item.id] = item, names
        return names


class Folded(msgspec.Struct, frozen=True, gc=False):
    """What an event has changed: whether facts (traits, identity, consent, zone, place, ...), and which states."""

    facts: bool
    fed: Fed


def fold(profile: Profile, event: Event, folding: Folding) -> Folded:
    """Take one event into the draft `profile`; says what may have changed by it.

    An event older than the profile's newest by more than the allowed delay counts in 'ever' aggregates only; what it
    says about consent holds however late it is.
    """
    name, time, context = folding.names.get(event.name) or folding.name(event.name), event.time, event.context
    folding.items = None
    newest, counts = profile.last_seen, profile.counts
    if time < profile.first_seen or not profile.first_seen:
        profile.first_seen = time
    known = name in counts
    if known:
        counts[name] += 1
    elif len(counts) < folding.settings.names_max:
        counts[name], known = 1, True
    fed = folding.feeds.update(profile.aggregates, event, newest=newest, delay=folding.delay)
    facts = "consent" in context and _note_consent(profile, event)
    late = time < newest - folding.delay
    if late or name in SILENT:
        profile.late += late
        return Folded(note_list(profile, event) or facts, fed)
    if known and time > profile.last.get(name, 0):
        profile.last[name] = time
    if event.type in _SAYS_TRAITS or "traits" in context:
        facts = _note_traits(profile, event, folding.settings.traits_max) or facts
    if context:
        facts = _note_context(profile, event, context) or facts
    items = folding.items = item_ids(event)
    if items:
        if name in _KEPT_ITEMS:
            _note_items(profile, event, items, folding.settings)
        if name in _WEIGHTS:
            _note_interests(profile, event, items, folding)
    _note_recent(profile, event, name, items, folding)
    if time > newest:
        profile.last_seen = time
    return Folded(facts, fed)


def _note_consent(profile: Profile, event: Event) -> bool:
    choices = consent_choices(event)
    for purpose, choice in choices:
        held = profile.consent.get(purpose)
        if held is None and len(profile.consent) >= CONSENTS_MAX and not _make_room(profile, choice):
            continue
        if held is None or (choice.time, choice.message_id) > (held.time, held.message_id):
            profile.consent[purpose] = choice
    return bool(choices)


def _make_room(profile: Profile, choice: Choice) -> bool:
    """Let the oldest grant go for a denial; says whether there is room. A denial is never dropped for a name's sake."""
    grants = [name for name, held in profile.consent.items() if held.granted]
    if choice.granted or not grants:
        return False
    del profile.consent[min(grants, key=lambda name: (profile.consent[name].time, name))]
    return True


def _note_traits(profile: Profile, event: Event, bound: int) -> bool:
    if event.type == "identify":
        _set_traits(profile.traits, event.properties, event, bound)
    elif event.type == "group":
        _set_traits(profile.traits, {"group_id": event.group_id}, event, bound)
    traits = event.context.get("traits")
    if isinstance(traits, dict):
        _set_traits(profile.traits, cast("Mapping[str, object]", traits), event, bound)
        return True
    return event.type in _SAYS_TRAITS


def _note_context(profile: Profile, event: Event, context: Mapping[str, object]) -> bool:
    """Take what the context says of the person's zone, place and device; says whether any is another than before."""
    facts = "timezone" in context and _note_zone(profile, event, context["timezone"])
    if "location" in context:
        facts = note_place(profile, event) or facts
    if "device" in context or "os" in context or "userAgentData" in context:  # one by one: no event goes around this
        facts = note_device(profile, event) or facts
    return facts


def _note_zone(profile: Profile, event: Event, name: object) -> bool:
    """Take the time zone of the device, where it is one and the newest; says whether it is another than before."""
    held, time = profile.zone, event.time
    if held is not None:
        if time < held.time or (time == held.time and event.message_id <= held.message_id):
            return False
        if name == held.name:
            held.time, held.message_id = time, event.message_id
            return False
    if not isinstance(name, str) or len(name) > ZONE_MAX or zone_named(name) is None:
        return False
    profile.zone = Zone(intern(name), time, event.message_id)
    return True


def _set_traits(traits: dict[str, Trait], given: Mapping[str, object], event: Event, bound: int) -> None:
    for name, value in given.items():
        held = traits.get(name)
        if held is None:
            if len(traits) >= bound:
                continue
        elif (event.time, event.message_id) <= (held.time, held.message_id):
            continue
        traits[name] = Trait(value, event.time, event.message_id)


def _note_items(profile: Profile, event: Event, items: tuple[str, ...], settings: ProfileSettings) -> None:
    if event.name == ORDER_COMPLETED:
        keep_newest(profile.bought, dict.fromkeys(items, event.time), settings.items_max)
    elif event.name == ITEM_HIDDEN:
        keep_newest(profile.hidden, dict.fromkeys(items, event.time), settings.items_max)


def keep_newest(held: dict[str, Instant], given: Mapping[str, Instant], bound: int) -> None:
    """Take the newer time of each key; over the bound the oldest go."""
    for key, time in given.items():
        if time > held.get(key, 0):
            held[key] = time
    while len(held) > bound:
        del held[min(held, key=lambda key: (held[key], key))]


def _note_interests(profile: Profile, event: Event, items: tuple[str, ...], folding: Folding) -> None:
    weight, time, halflife, interests = _WEIGHTS[event.name], event.time, folding.halflife, profile.interests
    for item_id in items:
        item = folding.item(item_id)
        for name in folding.interests_of(item) if item is not None else _said_category(event, items):
            add(interests, name, weight, time, halflife)
    if len(interests) > folding.settings.interests_max:
        drop_weakest(profile, folding.settings)


def _said_category(event: Event, items: tuple[str, ...]) -> tuple[str, ...]:
    """Return what an event itself says of its one item, which the catalog does not know."""
    category = event.properties.get("category") if len(items) == 1 else None
    return (intern("category:" + category[:100]),) if isinstance(category, str) and category else ()


def drop_weakest(profile: Profile, settings: ProfileSettings) -> None:
    """Let the weakest interests go until nine tenths of the bound are left."""
    at = max(value.time for value in profile.interests.values())
    halflife = settings.interest_halflife
    ranked = sorted(profile.interests, key=lambda key: (faded(profile.interests[key], at, halflife), key))
    for key in ranked[: len(ranked) - settings.interests_max * 9 // 10]:
        del profile.interests[key]


def _note_recent(profile: Profile, event: Event, name: str, items: tuple[str, ...], folding: Folding) -> None:
    recent, time = profile.recent, event.time
    if len(items) < _SEVERAL and (not recent or time > recent[-1].time):  # the common case, without a list
        recent.append(Recent(time, event.message_id, name, items[0] if items else None))
        _extend_session(profile, time, 1, folding.gap)
    else:
        _note_rows(profile, event, name, sorted(items) or [None], folding.gap)
    if len(recent) > folding.settings.recent_max:
        del recent[: len(recent) - folding.settings.recent_max]


def _note_rows(profile: Profile, event: Event, name: str, items: Sequence[str | None], gap: Duration) -> None:
    recent = profile.recent
    rows = [Recent(event.time, event.message_id, name, item) for item in items]
    if not recent or event.time > recent[-1].time or rows[0].place() > recent[-1].place():
        recent.extend(rows)
        _extend_session(profile, event.time, len(rows), gap)
    else:
        profile.sessions += _sessions_added(recent, event.time, gap)
        for row in rows:
            insort(recent, row, key=Recent.place)
        profile.session = newest_session(recent, gap)


def _extend_session(profile: Profile, time: Instant, rows: int, gap: Duration) -> None:
    session = profile.session
    if session is not None and time - session.ended < gap:
        profile.session = Session(session.started, time, session.events + rows)
    else:
        profile.sessions += 1
        profile.session = Session(time, time, rows)


def _sessions_added(recent: list[Recent], time: Instant, gap: Duration) -> int:
    """Return by how much the number of sessions changes when an event at `time` joins the sorted `recent`.

    One more where it stands alone, one fewer where it bridges two sessions, else none.
    """
    place = bisect_left(recent, time, key=lambda row: row.time)
    before = recent[place - 1].time if place else None
    after = recent[place].time if place < len(recent) else None
    apart_before = before is None or time - before >= gap
    apart_after = after is None or after - time >= gap
    if before is None or after is None:
        return 1 if apart_before and apart_after else 0
    return int(apart_before) + int(apart_after) - int(after - before >= gap)


def newest_session(recent: list[Recent], gap: Duration) -> Session | None:
    """Work the newest session out again from the sorted recent events."""
    if not recent:
        return None
    first = len(recent) - 1
    while first > 0 and recent[first].time - recent[first - 1].time < gap:
        first -= 1
    return Session(recent[first].time, recent[-1].time, len(recent) - first)


def count_sessions(recent: list[Recent], gap: Duration) -> int:
    """Return how many sessions the sorted recent events make."""
    if not recent:
        return 0
    return 1 + sum(1 for one, next_ in itertools.pairwise(recent) if next_.time - one.time >= gap)
