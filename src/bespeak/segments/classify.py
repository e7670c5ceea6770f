"""Which segments a person is in, since when, and why: exact to the second, asked only where it can have changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from typing import Literal, TypeAlias

import msgspec

from bespeak.clock import NEVER, Duration, Instant
from bespeak.computed import Borders, ScorePlan, Trait
from bespeak.conditions import (
    AfterEvent,
    Compiled,
    Condition,
    Declared,
    Exists,
    Flips,
    Move,
    Pass,
    compile_condition,
    counted_sentence,
    key,
    together,
    turning,
)
from bespeak.conditions.asking.compile import depends_on
from bespeak.conditions.counting.states_figures import Times
from bespeak.conditions.counting.windows import is_rolling
from bespeak.conditions.names import is_meant, name_of, prefix_of
from bespeak.errors import ConditionError, DefinitionError
from bespeak.events import Event
from bespeak.ids import ProfileId
from bespeak.profiles import EMPTY, PATHS, Folded, Membership, Profile, ProfileSettings, View
from bespeak.segments.references import inlined
from bespeak.segments.segment import MAX_SEGMENTS, Segment

FLIPS_MAX = 100_000
"""Flips of one profile worked through in one go: beyond it something counts in circles."""

NAMES_KEPT = 10_000
"""Names of events of which is remembered what is asked after them, where names that begin alike are counted."""

FACTS = frozenset({"traits", "user_id", "known", "consent", "zone", "place", "device", "lists", "bucket", "local"})
"""Heads of paths that change only when the fold says so, or when the clock does, which flips know."""

_FORBIDDEN = ("context", "item", "segments")


By: TypeAlias = Literal["event", "time", "join", "definition", "zone"]
"""What moved somebody: an event of theirs, time alone, somebody who they turned out to be, a definition, the setting of
the time zone."""


class Change(msgspec.Struct, frozen=True, gc=False):
    """Somebody entered or left a segment, at the instant at which it came true.

    Parameters
    ----------
    version
        The version of the segment by which it is so.
    """

    profile: ProfileId
    segment: str
    entered: bool
    at: Instant
    why: str
    version: int = 0
    by: By = "event"


class _Live:
    """One segment, ready to be asked.

    `count` is set where its condition is one count in a window: the key of its state, the number, the window, whether
    it holds from that number on, and why it does not, or does, with one less.
    """

    __slots__ = ("answers", "compiled", "count", "id", "segment", "sentence", "version")

    def __init__(self, segment: Segment, condition: Condition) -> None:
        self.segment = segment
        self.id = segment.id
        self.version = segment.version
        self.compiled = _compiled(segment, condition)
        self.answers = self.compiled.answers
        self.sentence = self.compiled.sentence
        self.count = _count_of(self.compiled.condition)
        _check(segment, self.compiled)

    def same_as(self, other: _Live | None, counted: Collection[str]) -> bool:
        """Say whether another asks the very same of everybody, and of no state in which history was counted."""
        if other is None or self.segment != other.segment:
            return False
        ours, theirs = self.compiled.condition, other.compiled.condition
        if ours is not theirs and repr(ours) != repr(theirs):  # to Python, 1 is True
            return False
        return not any(key(one) in counted for one in self.compiled.depends.aggregates)

    def flipped(self, view: View) -> tuple[bool, Instant, str | None]:
        """Say at a noted flip whether it holds now, until when, and why, where that needs no look at the state."""
        at, count = view.at, self.count
        if count is None:
            holds, until = self.answers(view, at)
            return holds, until, None
        name, least, within, reached, why = count
        state = view.state(name)
        if not isinstance(state, Times) or (times := state.times)[-1] > at:
            holds, until = self.answers(view, at)
            return holds, until, None
        if len(times) < least or (until := times[-least] + within) < at:
            return not reached, NEVER, None
        if until > at:
            return reached, until, None
        exactly = least == 1 or times[1 - least] > times[-least]
        return not reached, NEVER, why if exactly else None


class Changed(msgspec.Struct, frozen=True):
    """What definitions have changed of which segments.

    Parameters
    ----------
    names
        The ids of those that are new, gone, or not what they were.
    ask
        Asks about those that are not gone.
    """

    names: frozenset[str]
    ask: Pass


class Segments:
    """All segments of a store, compiled, indexed by what can change them.

    Parameters
    ----------
    traits, scores, borders
        The computed traits and scores that they may name, and the borders of those that are graded.

    Raises
    ------
    DefinitionError
        More than `MAX_SEGMENTS`; a condition that reads what a segment cannot know (`context.*`, `item.*`), names a
        segment, a computed trait or a score that is not there, or itself by way of others.
    """

    def __init__(
        self,
        segments: Iterable[Segment] = (),
        traits: Iterable[Trait] = (),
        scores: Iterable[ScorePlan] = (),
        borders: Iterable[Borders] = (),
    ) -> None:
        segments = tuple(segments)
        self.traits, self.scores, self.borders = tuple(traits), tuple(scores), tuple(borders)
        if len(segments) > MAX_SEGMENTS:
            raise DefinitionError(f"a store has at most {MAX_SEGMENTS:,} segments, got {len(segments):,}")
        named = inlined(segments, self.traits, self.scores, self.borders)
        self.operands = named.operands
        """What computed traits and scores are, by path: `computed.revenue`, `scores.intent`, `scores.intent.band`."""
        asked = named.conditions
        self._all: dict[str, _Live] = {segment.id: _Live(segment, asked[segment.id]) for segment in segments}
        live = tuple(self._all.values())
        self._volatile = frozenset(entry.id for entry in live if _heads(entry) - FACTS)
        self._by_facts = frozenset(entry.id for entry in live if _heads(entry) & FACTS)
        events = sorted({event for entry in live for event in entry.compiled.depends.events})
        self._prefixes = tuple(event for event in events if prefix_of(event) is not None)
        self._names = {name_of(event): event for event in events if prefix_of(event) is None}
        self._after: dict[tuple[str, bool], AfterEvent] = {}
        self._after_meant: dict[tuple[tuple[str, ...], bool], AfterEvent] = {}
        self._counted: dict[tuple[str, ...], frozenset[str]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def all(self) -> tuple[Segment, ...]:
        """Return every segment."""
        return tuple(entry.segment for entry in self._all.values())

    def same_as(self, other: Segments) -> bool:
        """Say whether the others are the very same, down to what they name; of borders, where they lie."""
        ours, theirs = (
            (one.all(), one.traits, one.scores, [drawn.lines for drawn in one.borders]) for one in (self, other)
        )
        return ours == theirs

    def aggregates(self) -> tuple[Declared, ...]:
        """Return every aggregate that a segment, a computed trait or a score declares."""
        asked = [entry.compiled.depends for entry in self._all.values()]
        named = [depends_on(Exists(operand)) for operand in self.operands.values()]
        return tuple(one for depends in (*asked, *named) for one in depends.aggregates)

    @cached_property
    def reads_zone(self) -> bool:
        """Whether any segment stands on where somebody lives."""
        return any("zone" in entry.compiled.depends.paths for entry in self._all.values())

    def get(self, segment_id: str) -> Segment | None:
        """Return one segment."""
        entry = self._all.get(segment_id)
        return None if entry is None else entry.segment

    def compiled(self, segment_id: str) -> Compiled | None:
        """Return one segment's compiled condition."""
        entry = self._all.get(segment_id)
        return None if entry is None else entry.compiled

    def classify(self, profile: Profile, event: Event, folded: Folded, settings: ProfileSettings) -> tuple[Change, ...]:
        """Bring the memberships, right until now, up to date after an event was folded."""
        after = self._after.get((event.name, folded.facts)) or self._after_event(event.name, facts=folded.facts)
        at = profile.as_of = max(event.time, profile.as_of)
        if not after.concerns(folded.fed):
            return ()
        view = View(profile, at, settings)
        moved = after.ask(view, at, folded.fed, profile.segments, profile.flips)
        profile.next_flip_at = profile.flips.next
        return tuple(self._moved(moved, view)) if moved else ()

    def welcome(self, profile: Profile, event: Event, folded: Folded, settings: ProfileSettings) -> tuple[Change, ...]:
        """Bring the memberships of somebody new up to date after their first event.

        Who is nobody yet is in the same segments as everybody else of whom nothing is known; the event does the rest.
        """
        after = self._after.get((event.name, True)) or self._after_event(event.name, facts=True)
        at = profile.as_of = max(event.time, profile.last_seen)
        view = View(profile, at, settings)
        held = dict(self._strangers)
        for segment_id, holds, why in after.ask(view, at, folded.fed, held, profile.flips):
            if holds:
                held[segment_id] = why
            else:
                del held[segment_id]
        profile.next_flip_at = profile.flips.next
        counted = self._counting(self._meant(event.name))
        moved = [(one, True, None if one in counted else why) for one, why in held.items()]
        return tuple(self._moved(moved, view))

    def classify_all(
        self, profile: Profile, at: Instant, settings: ProfileSettings, by: By = "definition"
    ) -> tuple[Change, ...]:
        """Bring every membership up to date: of a new profile, after a merge, and when definitions have changed."""
        profile.flips = Flips()
        return self._asked(profile, at, settings, self._everything, by)

    def _asked(self, profile: Profile, at: Instant, settings: ProfileSettings, ask: Pass, by: By) -> tuple[Change, ...]:
        at = profile.as_of = max(at, profile.as_of)
        view = View(profile, at, settings)
        moved = ask(view, at, profile.segments, profile.flips)
        profile.next_flip_at = profile.flips.next
        gone = {name: held.version for name, held in profile.segments.items() if name not in self._all}
        for segment_id in gone:
            del profile.segments[segment_id]
        deleted = [
            Change(profile.id, name, entered=False, at=at, why="the segment was deleted", version=version, by=by)
            for name, version in gone.items()
        ]
        return (*self._moved(moved, view, by), *deleted)

    def changed_since(self, before: Segments, counted: Collection[str] = ()) -> Changed:
        """Return what is to be asked of those who stood under other definitions until now, in the same time zone.

        Parameters
        ----------
        counted
            Keys of the states that history was counted in: who reads one of them is asked, too.
        """
        asked = [entry for entry in self._all.values() if not entry.same_as(before._all.get(entry.id), counted)]
        names = frozenset(before._all.keys() - self._all.keys()).union(entry.id for entry in asked)
        return Changed(names, together(((entry.id, entry.compiled, "both") for entry in asked), anew=True))

    def classify_changed(
        self, profile: Profile, at: Instant, settings: ProfileSettings, changed: Changed
    ) -> tuple[Change, ...]:
        """Bring the memberships up to date of somebody whose were right under other definitions, by what has changed.

        It comes to the same as to ask everything, but that nobody is changed of whom nothing is otherwise: of a million
        people few are in what is new, and all others need not be written.
        """
        if not profile.as_of:
            return self.classify_all(profile, at, settings)
        as_of, flips, noted = profile.as_of, profile.flips, len(profile.flips.names)
        profile.flips = flips.without(changed.names)
        moved = self._asked(profile, at, settings, changed.ask, "definition")
        if not moved and profile.flips is flips and len(flips.names) == noted:
            profile.as_of = as_of
        return moved

    def advance(self, profile: Profile, until: Instant, settings: ProfileSettings) -> tuple[Change, ...]:
        """Work through every flip due by `until`, each stamped with its true time."""
        if profile.next_flip_at > until:
            return ()
        view = View(profile, profile.as_of, settings)
        changes = self._moved(self._flipped(view, until), view, "time")
        profile.as_of = max(view.at, profile.as_of)
        profile.next_flip_at = profile.flips.next
        return tuple(changes)

    def _flipped(self, view: View, until: Instant) -> Iterator[Move]:
        """Take out each flip due by `until`, let the view be at its instant, and yield who moves then."""
        live, flips, held = self._all, view.profile.flips, view.profile.segments
        times, names = flips.times, flips.names
        for _ in range(FLIPS_MAX):
            if not times or times[0] > until:
                return
            view.at, segment_id = times.pop(0), names.pop(0)
            holds, later, why = live[segment_id].flipped(view)
            if later != NEVER:
                flips.note(segment_id, later)
            if holds is not (segment_id in held):
                yield segment_id, holds, why

    def members_at(self, segment_id: str, profiles: Iterable[Profile], at: Instant, settings: ProfileSettings) -> int:
        """Count who would be in the segment as of `at`."""
        compiled = self._all[segment_id].compiled
        return sum(1 for profile in profiles if compiled.holds(View(profile, at, settings), at))

    @cached_property
    def _everything(self) -> Pass:
        return together(((entry.id, entry.compiled, "both") for entry in self._all.values()), anew=True)

    @cached_property
    def _strangers(self) -> dict[str, str | None]:
        """The segments of those of whom nothing is known, and why; without those that an event may always change."""
        view, always = View(EMPTY, 0, ProfileSettings()), self._volatile | self._by_facts
        return {
            entry.id: entry.sentence(view, 0, True)  # noqa: FBT003 - it holds
            for entry in self._all.values()
            if entry.id not in always and entry.compiled.holds(view, 0)
        }

    def _after_event(self, event_name: str, *, facts: bool) -> AfterEvent:
        """Build what is asked after an event of a name: first when there is one, since few names are ever seen.

        Asked are the segments that count the event; and, whatever it is, those that read what any event may change,
        and, after facts have changed, those that read facts. Names that the same segments count share one.
        """
        meant = self._meant(event_name)
        found = self._after_meant.get((meant, facts))
        if found is None:
            always = self._volatile | self._by_facts if facts else self._volatile
            others = [(entry.id, entry.compiled) for entry in self._all.values() if entry.id not in always]
            asked = self._with_facts if facts else self._always
            found = self._after_meant[meant, facts] = AfterEvent(event_name, others, asked)
        if len(self._after) < NAMES_KEPT:
            self._after[event_name, facts] = found
        return found

    def _meant(self, name: str) -> tuple[str, ...]:
        """Return what the segments count of which an event of a name is one."""
        found = tuple(event for event in self._prefixes if is_meant(event, name))
        return (self._names[name], *found) if name in self._names else found

    def _counting(self, meant: tuple[str, ...]) -> frozenset[str]:
        """Return the segments that count any of these."""
        if meant not in self._counted:
            live = self._all.values()
            counted = frozenset(entry.id for entry in live if not entry.compiled.depends.events.isdisjoint(meant))
            self._counted[meant] = counted
        return self._counted[meant]

    @cached_property
    def _always(self) -> Pass | None:
        return self._both_ways(self._volatile)

    @cached_property
    def _with_facts(self) -> Pass | None:
        return self._both_ways(self._volatile | self._by_facts)

    def _both_ways(self, names: frozenset[str]) -> Pass | None:
        asked = [entry for entry in self._all.values() if entry.id in names]
        return together((entry.id, entry.compiled, "both") for entry in asked) if asked else None

    def _moved(self, moves: Iterable[Move], view: View, by: By = "event") -> list[Change]:
        """Note who entered or left, and why."""
        live, profile_id, held = self._all, view.profile.id, view.profile.segments
        changes: list[Change] = []
        for segment_id, holds, told in moves:
            at = view.at
            why = told or live[segment_id].sentence(view, at, holds)
            version = live[segment_id].version
            if holds:
                held[segment_id] = Membership(at, version, why)
            else:
                del held[segment_id]
            changes.append(Change(profile_id, segment_id, holds, at, why, version, by))
        return changes


def _count_of(condition: Condition) -> tuple[str, int, Duration, bool, str] | None:
    found = turning(condition)
    if found is None or found.aggregate.kind != "count" or not is_rolling(found.aggregate.within):
        return None
    why = counted_sentence(found.aggregate, found.least - 1)
    return key(found.aggregate), found.least, found.aggregate.within, found.reached, why


def _heads(entry: _Live) -> frozenset[str]:
    return frozenset(path.partition(".")[0] for path in entry.compiled.depends.paths)


def _compiled(segment: Segment, condition: Condition) -> Compiled:
    try:
        return compile_condition(condition)
    except ConditionError as error:
        raise DefinitionError(
            f"segment {segment.id!r}: with the segments that it asks for: {error.message}", problems=error.problems
        ) from error


def _check(segment: Segment, compiled: Compiled) -> None:
    for path in sorted(compiled.depends.paths):
        head = path.partition(".")[0]
        if head not in PATHS and head not in _FORBIDDEN:
            heads = ", ".join(name for name in PATHS if name not in _FORBIDDEN)
            raise DefinitionError(f"segment {segment.id!r}: {path!r} is not a path; a path begins with {heads}")
        if head in _FORBIDDEN:
            raise DefinitionError(
                f"segment {segment.id!r}: {path!r} is not known outside a request; use traits or events"
            )
