"""What a log says, worked out as plainly as can be: everybody's events in a list, and every question asked of the list.

It reads the log that the engine wrote and takes from it whom an event joined, since that is what the log keeps it for.
All else, from counts to sessions to memberships, is worked out anew by code that the engine does not use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias, cast

import msgspec

from bespeak.catalog import Item
from bespeak.clock import MINUTE, Instant, format_time
from bespeak.conditions import Condition, load
from bespeak.engine.records import (
    DefinitionRecord,
    EventRecord,
    ItemsRecord,
    SealedRecord,
    decode,
    open_event,
)
from bespeak.engine.vault import Vault
from bespeak.events import Event, item_ids
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
)
from bespeak.ids import ProfileId, anonymous_profile, user_profile
from bespeak.privacy import consent_choices
from bespeak.settings import Settings
from bespeak.stores import LogRow, Store
from bespeak.testing.naive import SITE
from bespeak.testing.naive_computed import Named, Somebody
from bespeak.testing.naive_counts import zone_of
from bespeak.testing.naive_goods import speaking
from bespeak.testing.naive_places import Whereabouts

_OURS = frozenset({DECISION_MADE, IMPRESSION, CONSENT_UPDATED, LIST_JOINED, LIST_LEFT})
"""Events that are not something that the person did: they are counted and no more."""

Definitions: TypeAlias = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Definitions as they are written, by kind and id."""
NOTHING_DEFINED: Definitions = {"segments": {}, "traits": {}, "scores": {}, "borders": {}}


class Heard(msgspec.Struct):
    """One event of somebody, as the log has it.

    The event carries its items. `late`: it came later than the allowed delay. `keys`: the interests that it speaks of,
    by the catalog of that time.
    """

    event: Event
    late: bool
    keys: tuple[str, ...]

    @property
    def did(self) -> bool:
        """Whether it is something that the person did, in time."""
        return not self.late and self.event.name not in _OURS


class Being:
    """Somebody: their names, and everything that the log says about them, in its order."""

    def __init__(self, name: ProfileId) -> None:
        self.id = name
        self.names: set[ProfileId] = {name}
        self.heard: list[Heard] = []
        self.newest: Instant = 0
        self.claimed: str | None = None

    @property
    def events(self) -> list[Event]:
        """Everything, in the order of the log."""
        return [heard.event for heard in self.heard]

    def take(self, other: Being) -> None:
        """Become one with another."""
        self.names |= other.names
        self.heard += other.heard
        self.newest = max(self.newest, other.newest)
        self.claimed = self.claimed or other.claimed


class Truth:
    """What the log says up to its end; events that do not open, since their person was erased, say nothing.

    `before` are rows that were dropped from the store.

    Attributes
    ----------
    stored
        How often each message is there, by source and id; what a refused one said of consent stands in `stated`.
    items, definitions
        The catalog, and the bodies in force by kind and id.
    last
        The newest offset.

    Raises
    ------
    AssertionError
        An offset is missing, or there twice.
    """

    def __init__(self, settings: Settings, store: Store, vault: Vault, before: Sequence[LogRow] = ()) -> None:
        self._settings = settings
        self._owners: dict[ProfileId, Being] = {}
        self.items: dict[str, Item] = {}
        self.definitions: dict[tuple[str, str], dict[str, Any]] = {}
        self.stored: Counter[tuple[str, str]] = Counter()
        self.stated: Counter[tuple[str, str]] = Counter()
        self.last = 0
        for row in (*before, *store.read(0)):
            for offset, record in decode(row, after=0):
                if offset != self.last + 1:
                    raise AssertionError(f"the log goes on with offset {offset} after {self.last}")
                self.last = offset
                match record:
                    case SealedRecord() | EventRecord():
                        self._hear(open_event(vault, record, offset))
                    case ItemsRecord(put, removed):
                        self.items.update({item.id: item for item in put})
                        self.items = {name: one for name, one in self.items.items() if name not in removed}
                    case DefinitionRecord(kind, name, _, body):
                        self.definitions.pop((kind, name), None)
                        if body is not None:
                            self.definitions[kind, name] = body
                    case _:
                        pass

    @property
    def beings(self) -> dict[ProfileId, Being]:
        """Everybody by id."""
        return {being.id: being for being in self._owners.values()}

    @property
    def aliases(self) -> dict[ProfileId, ProfileId]:
        """Every other name, and whose it is."""
        return {name: being.id for name, being in self._owners.items() if name != being.id}

    def defined(self) -> Definitions:
        """Return what is in force, by kind and id, as it is written."""
        found: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in NOTHING_DEFINED}
        for (kind, name), body in self.definitions.items():
            found.setdefault(kind, {})[name] = body
        return found

    def segments(self) -> dict[str, Condition]:
        """Return the segments in force."""
        found = {name: body for (kind, name), body in self.definitions.items() if kind == "segments"}
        return {name: load(cast("str", body["condition"])) for name, body in found.items()}

    def _hear(self, opened: tuple[Event, ProfileId | None] | None) -> None:
        if opened is None:
            return
        event, joined = opened
        name = (event.source, event.message_id)
        (self.stated if is_statement(event) else self.stored)[name] += 1
        trusted = event.signed or self._settings.identity.unsigned == "merge"
        user = user_profile(event.user_id) if event.user_id is not None and trusted else None
        if joined and user is not None:
            self._join(user, joined)
        who = user or anonymous_profile(event.anonymous_id or "")
        being = self._owners.get(who)
        if being is None:
            is_listed = event.name == LIST_JOINED and event.source == OUR_SOURCE
            if event.name in _OURS and not event.context.get("consent") and not is_listed:
                return
            being = self._owners[who] = Being(who)
        if user is None and event.user_id is not None:
            being.claimed = event.user_id
        late = event.time < being.newest - self._settings.profiles.delay
        items = [self.items[item] for item in item_ids(event) if item in self.items]
        heard = Heard(speaking(event, items), late, self._interests(event))
        being.heard.append(heard)
        if heard.did:
            being.newest = max(being.newest, event.time)

    def _join(self, user: ProfileId, joined: ProfileId) -> None:
        into = self._owners.get(user) or Being(user)
        other = self._owners.get(joined)
        into.names.add(joined)
        if other is not None:
            into.take(other)
        for name in into.names:
            self._owners[name] = into

    def _interests(self, event: Event) -> tuple[str, ...]:
        if not ITEM_WEIGHTS.get(event.name):
            return ()
        keys: list[str] = []
        ids = item_ids(event)
        for item_id in ids:
            item = self.items.get(item_id)
            if item is not None:
                keys += [*(f"category:{one}" for one in item.categories), *(f"tag:{one}" for one in item.tags)]
            elif len(ids) == 1 and isinstance(event.properties.get("category"), str):
                keys.append("category:" + event.properties["category"])
        return tuple(keys)


def is_statement(event: Event) -> bool:
    """Say whether this is all that was kept of an event that was refused: what it said of consent."""
    return event.name == CONSENT_UPDATED and set(event.context) == {"consent"}


def facts(being: Being, settings: Settings, at: Instant) -> dict[str, Any]:
    """Return what is to be known of somebody, under the names that a profile has for it; faded sums as of `at`."""
    all_of, did = [heard.event for heard in being.heard], [heard.event for heard in being.heard if heard.did]
    times = sorted(event.time for event in did)
    breaks = [later for one, later in pairwise(times) if later - one >= settings.profiles.session_gap]
    begins = [*times[:1], *breaks]
    traits = {name: value for name, (_, value) in _said(_traits(event) for event in did).items()}
    return {
        "user_id": being.id[2:] if being.id.startswith("u:") else None,
        "claimed_user_id": being.claimed,
        "aliases": sorted(being.names - {being.id}),
        "first_seen": min(event.time for event in all_of) if all_of else 0,
        "last_seen": max(times, default=0),
        "late": sum(heard.late for heard in being.heard),
        "counts": dict(Counter(event.name for event in all_of)),
        "last": _newest_of((event.name, event.time) for event in did),
        "traits": traits,
        "zone": zone_of(did, traits.get("timezone"), settings.profiles.time_zone),
        "consent": {name: granted for name, (_, granted) in _said(map(_choices, all_of)).items()},
        "recent": sorted(row for event in did for row in _rows(event)),
        "sessions": len(begins),
        "session": (begins[-1], times[-1]) if begins else None,
        "bought": _items_of(did, ORDER_COMPLETED),
        "hidden": _items_of(did, ITEM_HIDDEN),
        "interests": _interests(being, settings, at),
    }


def members(
    being: Being,
    known: Mapping[str, Any],
    segments: Mapping[str, Condition],
    at: Instant,
    settings: Settings,
    definitions: Definitions = NOTHING_DEFINED,
) -> set[str]:
    """Return the segments that somebody is in at `at`; `known` is what `facts` said.

    Parameters
    ----------
    definitions
        What the segments may name, by kind and id, as it is written.
    """
    paths: dict[str, object] = {
        "known": known["user_id"] is not None,
        "user_id": known["user_id"],
        "sessions.count": known["sessions"],
        **_visit(known),
        "zone": known["zone"],
        SITE: settings.profiles.time_zone,
        **{f"consent.{name}": granted for name, granted in known["consent"].items()},
    }
    events = [heard.event for heard in being.heard]
    timely = [heard.event for heard in being.heard if not heard.late]
    did = [heard.event for heard in being.heard if heard.did]
    person = _Person(paths, known["traits"], known["interests"], Whereabouts(being.id, did, events))
    somebody = Somebody(Named(definitions, person), events, at, timely=timely)
    return {name for name, condition in segments.items() if somebody.holds(condition)}


class _Person:
    """What is known of somebody, by path; a trait by its whole name, or what is inside the trait of its first part."""

    def __init__(
        self,
        paths: Mapping[str, object],
        traits: Mapping[str, object],
        interests: Mapping[str, float],
        whereabouts: Whereabouts,
    ) -> None:
        self._paths = paths
        self._traits = traits
        self._interests = interests
        self._whereabouts = whereabouts

    def get(self, path: str, /) -> object:
        head, _, name = path.partition(".")
        if head in {"place", "device", "lists", "bucket"}:
            return self._whereabouts.get(path)
        if head == "interests":
            return self._interests.get(":".join(name.split(".", 1)))
        if head != "traits":
            return self._paths.get(path)
        if name in self._traits:
            return self._traits[name]
        found: object = self._traits
        for part in name.split("."):
            found = cast("dict[str, object]", found).get(part) if isinstance(found, Mapping) else None
        return found


def _visit(known: Mapping[str, Any]) -> dict[str, object]:
    if known["session"] is None:
        return {}
    began, ended = known["session"]
    return {
        "sessions.started": format_time(began),
        "sessions.minutes": (ended - began) / MINUTE,
        "sessions.events": sum(1 for row in known["recent"] if row[0] >= began),
    }


def _newest_of(pairs: Iterable[tuple[str, Instant]]) -> dict[str, Instant]:
    found: dict[str, Instant] = {}
    for name, time in pairs:
        found[name] = max(time, found.get(name, time))
    return found


def _items_of(did: Iterable[Event], name: str) -> dict[str, Instant]:
    return _newest_of((item, event.time) for event in did if event.name == name for item in item_ids(event))


def _said(
    statements: Iterable[Iterable[tuple[str, tuple[Instant, str], Any]]],
) -> dict[str, tuple[tuple[Instant, str], Any]]:
    """Return the newest of what was said, by name; of two messages at one place, the one that the log has first."""
    found: dict[str, tuple[tuple[Instant, str], Any]] = {}
    for statement in statements:
        for name, place, value in statement:
            if name not in found or place > found[name][0]:
                found[name] = (place, value)
    return found


def _traits(event: Event) -> list[tuple[str, tuple[Instant, str], Any]]:
    said: dict[str, Any] = {}
    if event.type == "identify":
        said = event.properties
    elif event.type == "group":
        said = {"group_id": event.group_id}
    beside = event.context.get("traits")
    place = (event.time, event.message_id)
    more = cast("dict[str, Any]", beside) if isinstance(beside, dict) else {}
    return [(name, place, value) for each in (said, more) for name, value in each.items()]


def _choices(event: Event) -> list[tuple[str, tuple[Instant, str], bool]]:
    return [(name, (choice.time, choice.message_id), choice.granted) for name, choice in consent_choices(event)]


def _rows(event: Event) -> list[tuple[Instant, str, str, str]]:
    return [(event.time, event.message_id, event.name, item) for item in item_ids(event) or ("",)]


def _interests(being: Being, settings: Settings, at: Instant) -> dict[str, float]:
    halflife = settings.profiles.interest_halflife
    found: dict[str, float] = {}
    for heard in being.heard:
        if not heard.late:
            weight = ITEM_WEIGHTS.get(heard.event.name, 0.0) * 2.0 ** ((heard.event.time - at) / halflife)
            for key in heard.keys:
                found[key] = found.get(key, 0.0) + weight
    return found
