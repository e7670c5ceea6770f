"""The order of steps from an event to what is known, the same live and at replay.

`resolve` and `admit` look only; once an event has its offset, `take` links, folds, learns and classifies.
Everything here runs on one thread, and is a function of the log.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from bespeak.catalog import Catalog
from bespeak.clock import Instant
from bespeak.conditions import Aggregate
from bespeak.conditions.aggregates import Feeds
from bespeak.engine.live import LiveTable
from bespeak.engine.models import Models
from bespeak.engine.records import EventRecord, SealedRecord, decode, open_event
from bespeak.engine.timers import Timers
from bespeak.engine.vault import Vault
from bespeak.errors import StoreError
from bespeak.events import Event
from bespeak.ids import ProfileId, anonymous_profile, user_profile
from bespeak.privacy import Admitted, Choice, Purpose, Refused, admit
from bespeak.profiles import (
    SILENT,
    Folding,
    Join,
    Profile,
    Resolved,
    Unresolved,
    canonical,
    fold,
    joins,
    merge,
    names_of,
    resolve,
    within_bounds,
)
from bespeak.segments import Change, Segments
from bespeak.settings import Settings
from bespeak.stores import Store


class Newest:
    """The newest event time of everybody, at each place of the log: two ids are one from the event that names both."""

    def __init__(self) -> None:
        self._parent: dict[ProfileId, ProfileId] = {}
        self._time: dict[ProfileId, Instant] = {}

    def of(self, names: Sequence[ProfileId]) -> Instant:
        """Return the newest time of whom the names mean; from now on they mean one."""
        roots = {self._root(name) for name in names}
        root = min(roots)
        time = max(self._time.pop(one, 0) for one in roots)
        for one in roots - {root}:
            self._parent[one] = root
        self._time[root] = time
        return time

    def note(self, names: Sequence[ProfileId], time: Instant) -> None:
        """Take in the time of an event about them."""
        root = self._root(names[0])
        self._time[root] = max(time, self._time.get(root, 0))

    def _root(self, name: ProfileId) -> ProfileId:
        root = name
        while (above := self._parent.get(root)) is not None:
            root = above
        while name != root:
            self._parent[name], name = root, self._parent[name]
        return root


class Taken(msgspec.Struct, frozen=True):
    """What an event did: the profile it was folded into (None when nobody is known yet), and who moved where."""

    profile: ProfileId | None
    changes: tuple[Change, ...] = ()


NOTHING = Taken(None)


class Sequencer:
    """The state that is folded from the log, and the one order in which it changes.

    Parameters
    ----------
    live
        Drafts of the profiles.
    aliases
        Profile ids that resolve to another.
    plain
        Names of rows that a checkpoint older than keys has in clear, and the next one removes.
    """

    def __init__(self, store: Store, settings: Settings, catalog: Catalog, models: Models, vault: Vault) -> None:
        self._store = store
        self._vault = vault
        self._settings = settings
        self._profile_settings = settings.profiles
        self.catalog = catalog
        self.models = models
        self.live = LiveTable(store, vault, bound=settings.profiles.live_max)
        self.timers = Timers(store)
        self.aliases: dict[ProfileId, ProfileId] = {}
        self.new_aliases: dict[ProfileId, ProfileId] = {}
        self.plain: tuple[ProfileId, ...] = ()
        self.segments = Segments()
        self.sizes = Counter[str]()
        self.profiles = 0
        self._feeds = Feeds(())
        self._folding = Folding(self._feeds, catalog.item, settings.profiles)

    # -- looking, before the event has an offset

    def whose(self, event: Event) -> Resolved | Unresolved:
        """Look up whose event it is."""
        return resolve(event, self.aliases, self._settings.identity, signed=event.signed)

    def admit(self, event: Event, resolved: Resolved) -> Admitted | Refused:
        """Ask consent, as it stands now, whether the event may be kept."""
        return admit(event, self._consent(event, resolved), self._settings.privacy)

    def joins_people(self, event: Event) -> bool:
        """Say whether an `alias` would make two known people one."""
        join = joins(event, self.aliases, self._settings.identity, self.known)
        return isinstance(join, Join) and join.other.startswith("u:")

    def known(self, profile_id: ProfileId) -> bool:
        """Say whether a profile of that id is held."""
        return self.live.get(profile_id) is not None

    def joined(self, event: Event, resolved: Resolved) -> ProfileId:
        """Return the profile that this event joins with its person's, as far as the bound of ids allows; else empty."""
        if event.user_id is None:
            return ""
        if event.type != "alias":
            device = event.anonymous_id
            if device is None or self.aliases.get(anonymous_profile(device)) == resolved.profile:
                return ""  # the common case: there is none, or it is this person's already
        identity = self._settings.identity
        join = joins(event, self.aliases, identity, self.known)
        if not isinstance(join, Join):
            return ""
        into = self.live.get(join.into) or Profile(id=join.into)
        other = self.live.get(join.other) or Profile(id=join.other)
        return join.other if within_bounds(into, other, identity) else ""

    def _consent(self, event: Event, resolved: Resolved) -> Mapping[Purpose, Choice]:
        """Return the choices of whom the event is about, and of the device that it would join: the newer of each."""
        profile = self.live.get(resolved.profile)
        held = profile.consent if profile is not None else {}
        joined = self.joined(event, resolved)
        other = self.live.get(joined) if joined else None
        if other is None or not other.consent:
            return held
        both = dict(held)
        for name, choice in other.consent.items():
            known = both.get(name)
            if known is None or (choice.time, choice.message_id) > (known.time, known.message_id):
                both[name] = choice
        return both

    # -- taking, in log order

    def take(self, event: Event, resolved: Resolved, *, imported: bool, joined: ProfileId | None = None) -> Taken:
        """Link, fold, learn and classify one event that is in the log.

        Flips that were due when the event arrived come first, whether a timer has worked through them already or, at
        replay, none has; with an imported event, those due by its own time.

        Parameters
        ----------
        joined
            The profile that it joins with its own, as `joined` said before it was logged; empty when none, None where
            that is to be asked now.
        """
        until = event.time if imported or event.time > event.received else event.received
        if joined is None:
            joined = self.joined(event, resolved)
        changes = self._join(joined, event, until) if joined else ()
        profile_id = canonical(resolved.profile, self.aliases)
        profile = self.live.get(profile_id)
        new = profile is None
        if profile is None:
            if event.name in SILENT and not event.context.get("consent"):
                return NOTHING
            profile = self._create(profile_id)
        if resolved.claimed is not None:
            profile.claimed_user_id = resolved.claimed
        segments, settings, flip = self.segments, self._profile_settings, profile.next_flip_at
        if flip <= until:
            changes += segments.advance(profile, until, settings)
        folded = fold(profile, event, self._folding)
        self.models.learn(profile, event)
        if new:
            changes += segments.welcome(profile, event, folded, settings)
        elif profile.as_of:
            changes += segments.classify(profile, event, folded, settings)
        else:
            changes += segments.classify_all(profile, max(profile.last_seen, event.time), settings)
        self.live.dirty.add(profile_id)
        if profile.next_flip_at != flip:
            self.timers.note(profile_id, profile.next_flip_at)
        if changes:
            self._count(changes)
        return Taken(profile_id, changes)

    def advance(self, now: Instant, *, most: int | None = None) -> tuple[Change, ...]:
        """Work through every flip that is due by `now`, of at most `most` profiles (None: of all)."""
        self.timers.refill(now)
        changes: list[Change] = []
        due = list(itertools.islice(self.timers.due(now), most))
        for place, name in enumerate(due):
            try:
                profile = self.live.named(name)
            except StoreError:
                for waiting in due[place:]:
                    self.timers.note(waiting, now)
                raise
            if profile is not None:
                changes += self.advance_profile(profile, now)
                self.timers.note(profile.id, profile.next_flip_at)
        return tuple(changes)

    def advance_profile(self, profile: Profile, now: Instant) -> tuple[Change, ...]:
        """Work through the flips of one profile that are due by `now`, and note its next one."""
        if profile.next_flip_at > now:
            return ()
        changes = self.segments.advance(profile, now, self._settings.profiles)
        self.live.touch(profile.id)
        self.timers.note(profile.id, profile.next_flip_at)
        self._count(changes)
        return changes

    def define(
        self, segments: Segments, aggregates: tuple[Aggregate, ...], *, upto: int, at: Instant
    ) -> tuple[Change, ...]:
        """Put new definitions in force: history counts in what they newly declare, and everybody is asked again.

        What was due by `at` flips first, under the definitions that it was due under.

        Parameters
        ----------
        upto
            The log's offset up to which history is read; all of it is durable.
        """
        changes = [change for profile in self._everybody() for change in self.advance_profile(profile, at)]
        held = self._feeds
        self.segments = segments
        self._set_feeds(aggregates)
        new = self._feeds.beyond(held)
        if new.keys:
            self._backfill(new, upto)
        changes += self._ask_everybody(at)
        return tuple(changes)

    def restore(
        self, segments: Segments, aggregates: tuple[Aggregate, ...], sizes: Mapping[str, int], profiles: int
    ) -> None:
        """Put definitions in force whose products are in the checkpoint already."""
        self.segments = segments
        self._set_feeds(aggregates)
        self.sizes = Counter(sizes)
        self.profiles = profiles

    def _set_feeds(self, aggregates: tuple[Aggregate, ...]) -> None:
        self._feeds = Feeds(aggregates)
        self._folding = Folding(self._feeds, self.catalog.item, self._settings.profiles)

    def _create(self, profile_id: ProfileId) -> Profile:
        profile = self.live.create(profile_id)
        if profile_id.startswith("u:"):
            profile.user_id = profile_id[2:]
        self.profiles += 1
        return profile

    def _join(self, joined: ProfileId, event: Event, until: Instant) -> tuple[Change, ...]:
        into_id = canonical(user_profile(event.user_id or ""), self.aliases)
        other = self.live.get(joined)
        into = self.live.get(into_id) or self._create(into_id)
        for name in (joined, *(other.aliases if other is not None else ())):
            self.aliases[name] = self.new_aliases[name] = into_id
        self.live.touch(into_id)
        if other is None:
            into.aliases = sorted({*into.aliases, joined})
            return ()
        changes = self.segments.advance(other, until, self._settings.profiles)
        changes += self.segments.advance(into, until, self._settings.profiles)
        merge(into, other, self._settings.profiles)
        self.live.remove(joined)
        self.profiles -= 1
        for segment_id in other.segments:
            self.sizes[segment_id] -= 1
        at = max(into.last_seen, event.time)
        changes += self.segments.classify_all(into, at, self._settings.profiles)
        self.timers.note(into.id, into.next_flip_at)
        return changes

    def forget(self, profile: Profile) -> None:
        """Drop a person: profile, aliases, timers, and their part in the sizes of segments."""
        for segment_id in profile.segments:
            self.sizes[segment_id] -= 1
        for name in profile.aliases:
            self.aliases.pop(name, None)
            self.new_aliases.pop(name, None)
        self.live.remove(profile.id)
        self.timers.forget(profile.id)
        self.profiles -= 1

    def _count(self, changes: tuple[Change, ...]) -> None:
        sizes = self.sizes
        for change in changes:
            sizes[change.segment] += 1 if change.entered else -1

    def _backfill(self, feeds: Feeds, upto: int) -> None:
        for profile in self._everybody():
            for name in feeds.keys:
                profile.aggregates.pop(name, None)
        newest = Newest()
        delay = self._settings.profiles.delay
        for event in self._events(upto):
            resolved = self.whose(event)
            held = self.live.get(resolved.profile) if isinstance(resolved, Resolved) else None
            if held is None:
                continue
            names = [name for name in names_of(event) if canonical(name, self.aliases) == held.id]
            feeds.update(held.aggregates, event, newest=newest.of(names), delay=delay)
            self.live.touch(held.id)
            if event.name not in SILENT:
                newest.note(names, event.time)

    def _events(self, upto: int) -> Iterator[Event]:
        for row in self._store.read(0):
            for offset, record in decode(row, after=0):
                if offset > upto:
                    return
                if isinstance(record, SealedRecord | EventRecord):
                    opened = open_event(self._vault, record, offset)
                    if opened is not None:
                        yield opened[0]

    def _ask_everybody(self, at: Instant) -> list[Change]:
        changes: list[Change] = []
        self.sizes = Counter({segment.id: 0 for segment in self.segments.all()})
        for profile in self._everybody():
            changes += self.segments.classify_all(profile, max(profile.last_seen, at), self._settings.profiles)
            self.live.touch(profile.id)
            self.timers.note(profile.id, profile.next_flip_at)
            for segment_id in profile.segments:
                self.sizes[segment_id] += 1
        return changes

    def _everybody(self) -> Iterator[Profile]:
        for profile_id in self.live.ids():
            profile = self.live.get(profile_id)
            if profile is not None:
                yield profile
