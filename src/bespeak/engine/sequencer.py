"""The order of steps from an event to what is known, the same live and at replay.

`resolve` and `admit` look only; once an event has its offset, `take` links, folds, learns and classifies.
Everything here runs on one thread, and is a function of the log.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from bespeak.catalog import Catalog
from bespeak.clock import NEVER, Instant, zone_named
from bespeak.conditions import Declared, key
from bespeak.conditions.counting.aggregates import Feeds
from bespeak.engine.aliases import Aliases
from bespeak.engine.archive import folder_of
from bespeak.engine.backfill import Backfill
from bespeak.engine.live import LiveTable, Sleeper
from bespeak.engine.models import Models
from bespeak.engine.moves import Moves
from bespeak.engine.owing import Owed, Question
from bespeak.engine.past import Past
from bespeak.engine.timers import Timers
from bespeak.engine.vault import Vault
from bespeak.errors import BespeakError, StoreError
from bespeak.events import Event
from bespeak.ids import ProfileId, anonymous_profile, user_profile
from bespeak.privacy import Admitted, Choice, Purpose, Refused, admit
from bespeak.profiles import (
    Folding,
    ItemValues,
    Join,
    Profile,
    ProfileSettings,
    Resolved,
    Unresolved,
    canonical,
    fold,
    joins,
    leaves_unknown,
    merge,
    resolve,
    within_bounds,
)
from bespeak.segments import Change, Segments
from bespeak.settings import Settings
from bespeak.stores import SqliteStore, Store


class Taken(msgspec.Struct, frozen=True, gc=False):
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
    profile_settings
        Those of the settings, but that people who name no time zone live where the log says.
    is_owed_on_disk
        Whether the last checkpoint says that somebody is left to ask; the next one says so too, or that nobody is.
    worked
        Up to when timers may have worked through flips that no record of the log says; 0 when they have not.
    zone
        The time zone of people who name none, as the log says it; at its beginning that of the settings.
    plain
        Names of rows that a checkpoint older than keys has in clear, and the next one removes.
    moves
        Who entered and left segments, until the ledger takes it to the store.
    """

    def __init__(self, store: Store, settings: Settings, catalog: Catalog, models: Models, vault: Vault) -> None:
        self._store = store
        self._vault = vault
        self._settings = settings
        self.profile_settings = settings.profiles
        self.catalog = catalog
        self.models = models
        self.live = LiveTable(store, vault, bound=settings.profiles.live_max)
        self.timers = Timers(store)
        self.aliases = Aliases(store, vault, bound=settings.engine.ids_max)
        self.plain: tuple[ProfileId, ...] = ()
        self.zone = self.first_zone = settings.profiles.time_zone
        self.segments = Segments()
        self.sizes = Counter[str]()
        self.profiles = 0
        self._moved: list[Change] = []
        self.moves = Moves()
        self._question: Question | None = None
        self.is_owed_on_disk = False
        self.worked: Instant = 0
        self.counted = 0
        self._feeds = Feeds(())
        self._folding = Folding(self._feeds, catalog.item, settings.profiles)

    # -- looking, before the event has an offset

    def whose(self, event: Event) -> Resolved | Unresolved:
        """Look up whose event it is."""
        return resolve(event, self.aliases, self._settings.identity, signed=event.signed)

    def admit(self, event: Event, resolved: Resolved, joined: ProfileId) -> Admitted | Refused:
        """Ask consent, as it stands now, whether an event may be kept that joins a profile with its own (or none)."""
        return admit(event, self.consent(resolved, joined), self._settings.privacy)

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

    def consent(self, resolved: Resolved, joined: ProfileId) -> Mapping[Purpose, Choice]:
        """Return the choices of whom the event is about, and of the device that it would join: the newer of each."""
        profile = self.live.get(resolved.profile)
        held = profile.consent if profile is not None else {}
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

    def take(
        self, event: Event, resolved: Resolved, *, imported: bool, joined: ProfileId | None = None, offset: int = 0
    ) -> Taken:
        """Link, fold, learn and classify one event that is in the log.

        Flips that were due when the event arrived come first, whether a timer has worked through them already or, at
        replay, none has; with an imported event, those due by its own time.

        Parameters
        ----------
        joined
            The profile that it joins with its own, as `joined` said before it was logged; empty when none, None where
            that is to be asked now.
        offset
            Its place in the log.
        """
        until = event.time if imported or event.time > event.received else event.received
        if joined is None:
            joined = self.joined(event, resolved)
        changes = self._join(joined, event, until) if joined else ()
        profile_id = canonical(resolved.profile, self.aliases)
        profile = self.live.get(profile_id)
        new = profile is None
        if profile is None:
            if leaves_unknown(event):
                return NOTHING
            profile = self._create(profile_id)
        if resolved.claimed is not None:
            profile.claimed_user_id = resolved.claimed
        segments, settings, flip = self.segments, self.profile_settings, profile.next_flip_at
        if flip <= until:
            changes += segments.advance(profile, until, settings)
        folded = fold(profile, event, self._folding)
        self.models.learn(profile, event, self._folding.items)
        if new:
            changes += segments.welcome(profile, event, folded, settings)
        elif profile.as_of:
            changes += segments.classify(profile, event, folded, settings)
        else:
            changes += segments.classify_all(profile, max(profile.last_seen, event.time), settings, "event")
        self.live.dirty.add(profile_id)
        if profile.next_flip_at != flip:
            self.timers.note(profile_id, profile.next_flip_at)
        if changes:
            self._count(changes)
            self.moves.note(changes, offset, event)
        return Taken(profile_id, changes)

    def advance(self, now: Instant, *, most: int | None = None) -> tuple[Change, ...]:
        """Work through every flip that is due by `now`, of at most `most` profiles (None: of all)."""
        if most is None:
            while not self._read_timers(now):
                pass
        elif self.timers.next() > now:  # what is due was read before: after a long stop there may be very much
            self._read_timers(now)
        changes: list[Change] = []
        for one in self._due(now, most):
            changes += self._advance_asleep(one, now) if isinstance(one, Sleeper) else self._advance_awake(one, now)
        return tuple(changes)

    def _due(self, now: Instant, most: int | None) -> list[Profile | Sleeper]:
        """Take out whose flips are due by `now`; all are read before anybody is changed, and where one cannot be, none.

        Who cannot be read since the store does not answer stays due with all others; who can never be read does not.
        """
        names = list(itertools.islice(self.timers.due(now), most))
        found: list[Profile | Sleeper | None] = []
        try:
            for one in self.live.called(names):
                found.append(one)  # noqa: PERF402  how many were found says who was not
        except BespeakError as error:
            lost = () if isinstance(error, StoreError) else (names[len(found)],)
            for name in names:
                if name not in lost:
                    self.timers.note(name, -NEVER)  # `now` may be beyond what was read so far
            raise
        return [one for one in found if one is not None]

    def _read_timers(self, now: Instant) -> bool:
        """Read a page of what is due within an hour, where that is not in RAM; says when all of it is."""
        if self.timers.covers(now):
            return True
        covers = self.timers.refill(now, self.live.awake)
        for name, at in self.live.asked_flips():
            self.timers.note(name, at)
        return covers

    def pass_time(self, at: Instant) -> tuple[Change, ...]:
        """Work through every flip that is due by `at`, as a record of the log says; who is left to ask follows then."""
        if self._question is not None:
            self._question.passed = max(at, self._question.passed)
        changes = self.advance(at)
        self.worked = 0
        return changes

    def advance_profile(self, profile: Profile, now: Instant) -> tuple[Change, ...]:
        """Work through the flips of one profile that are due by `now`, and note its next one."""
        if profile.next_flip_at > now:
            return ()
        self.worked = max(self.worked, now)
        changes = self.segments.advance(profile, now, self.profile_settings)
        self.live.touch(profile.id)
        self.timers.note(profile.id, profile.next_flip_at)
        self._count(changes)
        self.moves.note(changes, 0)
        return changes

    def _advance_asleep(self, sleeper: Sleeper, now: Instant) -> tuple[Change, ...]:
        """Work through the flips of somebody where they rest: very many have them at once, and few come back soon."""
        profile = sleeper.read()
        if not self.live.rests(profile.id):
            awake = self.live.get(profile.id)
            return () if awake is None else self._advance_awake(awake, now)
        changes: tuple[Change, ...] = ()
        if profile.next_flip_at <= now:
            self.worked = max(self.worked, now)
            changes = self.segments.advance(profile, now, self.profile_settings)
            self.live.lay_down(sleeper, profile)
            self._count(changes)
            self.moves.note(changes, 0, sealer=sleeper.sealer)
        self.timers.note(sleeper.name, profile.next_flip_at)
        return changes

    def _advance_awake(self, profile: Profile, now: Instant) -> tuple[Change, ...]:
        changes = self.advance_profile(profile, now)
        self.timers.note(profile.id, profile.next_flip_at)
        return changes

    def define(
        self, segments: Segments, aggregates: tuple[Declared, ...], *, upto: int, at: Instant
    ) -> tuple[Change, ...]:
        """Put new definitions in force, as a replay does: who is not asked for is left for `ask`.

        Returns
        -------
        Who moved where by being asked under the definitions before.
        """
        backfill = self.backfill(self.lacks(aggregates))
        backfill.read(upto)
        self.begin(segments, aggregates, backfill, at=at, offset=upto)
        return self.moved()

    def lacks(self, aggregates: Iterable[Declared]) -> Feeds:
        """Return the feeds of what is not maintained yet, or not as far back."""
        return Feeds(aggregates, zone=self.profile_settings.time_zone).beyond(self._feeds)

    def backfill(self, feeds: Feeds, wanted: Callable[[ProfileId], bool] | None = None) -> Backfill:
        """Return what counts history for these feeds, of whom is wanted (None: everybody)."""
        settings, store = self._settings, self._store
        folder = Path(settings.data_dir) if isinstance(store, SqliteStore) else None
        files, dropped = folder_of(settings), store.dropped()
        past = Past(store, self._vault, files, dropped) if files is not None and dropped else None
        return Backfill(store, self._vault, self, feeds, settings, wanted=wanted, folder=folder, past=past)

    def begin(
        self,
        segments: Segments,
        aggregates: tuple[Declared, ...],
        backfill: Backfill,
        *,
        at: Instant,
        offset: int = 0,
    ) -> None:
        """Put new definitions in force: everybody is asked again, with what history has counted.

        What was due by `at` flips first, under the definitions that it was due under. Who is asked when changes
        nothing: each is asked as of `at`, in `ask` or before anything else happens to them, whichever comes first.
        Nobody is asked where the segments stay as they are and nothing is newly declared.

        Parameters
        ----------
        offset
            The record of the log that says so.
        """
        self.ask()  # under the definitions so far, should there be anybody left
        before = self.segments
        self.segments = segments
        self._set_feeds(aggregates)
        if backfill.has_work:
            self.counted = backfill.offset
        elif segments.same_as(before):
            return
        changed = segments.changed_since(before, backfill.counted if backfill.has_work else ())
        self._owe(Question(before, backfill, at, zone=self.zone, offset=offset, changed=changed))

    def rezone(self, zone: str, *, at: Instant, offset: int = 0) -> None:
        """Let people who name no time zone live in another one: whoever it may move is asked again, as of `at`.

        What was due by `at` flips first, in the zone until then. `offset` is the record of the log that says so.
        """
        self.ask()
        before = self.zone
        self.set_zone(zone)
        if self.segments.reads_zone:
            nothing = self.backfill(Feeds(()))
            self._owe(Question(self.segments, nothing, at, zone=before, offset=offset, by="zone"))

    def set_zone(self, zone: str) -> None:
        """Take a time zone for that of people who name none, and ask nobody; an empty one for that of the settings."""
        zone = zone or self._settings.profiles.time_zone
        self.zone = zone
        self.profile_settings = self._settings_in(zone)
        self._feeds = self._feeds.in_zone(self.profile_settings.time_zone)
        self._folding = Folding(self._feeds, self.catalog.item, self.profile_settings)

    def _settings_in(self, zone: str) -> ProfileSettings:
        settings = self._settings.profiles
        if zone == settings.time_zone or zone_named(zone) is None:  # it was once, and the tz database knows it no more
            return settings
        return msgspec.structs.replace(settings, time_zone=zone)

    def _owe(self, question: Question) -> None:
        self.sizes = Counter({segment.id: 0 for segment in self.segments.all()})
        self._question = question
        self.live.owe(lambda profile: self._ask_one(profile, question))

    def begin_again(self, owed: Owed, aggregates: tuple[Declared, ...]) -> None:
        """Go on with the asking that a checkpoint fell into; history is counted anew for those who are left.

        Who is left is who they were: whoever joined somebody since has been asked before.
        """
        new = frozenset(owed.counted)
        feeds = Feeds((one for one in aggregates if key(one) in new), zone=self.profile_settings.time_zone)
        backfill = self.backfill(feeds, self.live.owes)
        before, zone = owed.segments(), owed.zone or self.zone
        is_of_definitions = owed.by == "definition" and zone == self.zone
        self._question = question = Question(
            before,
            backfill,
            owed.at,
            owed.passed,
            zone=zone,
            offset=owed.offset,
            by=owed.by,
            changed=self.segments.changed_since(before, new) if is_of_definitions else None,
        )
        self.live.owe_again(lambda profile: self._ask_one(profile, question), owed.asked_to, owed.ahead)
        backfill.read(owed.upto)

    def owed(self) -> bytes | None:
        """Return what a checkpoint as of now says of those who are left to ask; None when nobody is."""
        if self._question is None or not self.live.owing:
            return None
        return self._question.written(*self.live.asked_up_to)

    def ask(self, most: int | None = None) -> bool:
        """Ask at most `most` people anew (None: all who are left), and say whether more are left."""
        more = self.live.settle(most)
        if not more:
            self._end_question()
        return more

    def _end_question(self) -> None:
        if self._question is not None:
            self._question.backfill.close()
            self._question = None

    def moved(self) -> tuple[Change, ...]:
        """Return who moved where by being asked anew, since the last call."""
        moved, self._moved = tuple(self._moved), []
        return moved

    def _ask_one(self, profile: Profile, question: Question) -> None:
        before = self._settings_in(question.zone)
        moved = question.ask(profile, self.segments, self.profile_settings, before)
        self._moved += moved
        self.moves.note(moved, question.offset)
        self.timers.note(profile.id, profile.next_flip_at)
        for segment_id in profile.segments:
            self.sizes[segment_id] = self.sizes.get(segment_id, 0) + 1

    def restore(
        self, segments: Segments, aggregates: tuple[Declared, ...], sizes: Mapping[str, int], profiles: int
    ) -> None:
        """Put definitions in force whose products are in the checkpoint already."""
        self._end_question()
        self.segments = segments
        self._set_feeds(aggregates)
        self.sizes = Counter(sizes)
        self.profiles = profiles

    def _set_feeds(self, aggregates: tuple[Declared, ...]) -> None:
        zone = self.profile_settings.time_zone
        self._feeds = Feeds(aggregates, items=ItemValues(self.catalog.item), zone=zone)
        self._folding = Folding(self._feeds, self.catalog.item, self.profile_settings)

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
            self.aliases.put(name, into_id)
        self.live.touch(into_id)
        if other is None:
            into.aliases = sorted({*into.aliases, joined})
            return ()
        changes = self.segments.advance(other, until, self.profile_settings)
        changes += self.segments.advance(into, until, self.profile_settings)
        merge(into, other, self.profile_settings)
        self.live.remove(joined)
        self.profiles -= 1
        at = max(into.last_seen, event.time)
        entered = self.segments.classify_all(into, at, self.profile_settings, "join")
        changes += (*_gone_into(other, into), *entered)
        self.timers.note(into.id, into.next_flip_at)
        return changes

    def forget(self, profile: Profile) -> None:
        """Drop a person: profile, aliases, timers, and their part in the sizes of segments."""
        for segment_id in profile.segments:
            self.sizes[segment_id] -= 1
        for name in profile.aliases:
            self.aliases.drop(name)
        self.live.remove(profile.id)
        self.timers.forget(profile.id)
        self.profiles -= 1

    def _count(self, changes: tuple[Change, ...]) -> None:
        sizes = self.sizes
        for change in changes:
            sizes[change.segment] += 1 if change.entered else -1


def _gone_into(other: Profile, into: Profile) -> Iterator[Change]:
    """Yield what somebody leaves who turned out to be another, at the instant at which that one is asked again."""
    for segment_id, held in other.segments.items():
        why = f"it is part of {into.id} now"
        yield Change(other.id, segment_id, entered=False, at=into.as_of, why=why, version=held.version, by="join")
