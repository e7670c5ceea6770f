"""Which segments is this person in, since when, and why: exact to the second, asked only where it can have changed."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from bespeak.clock import NEVER, Instant
from bespeak.conditions import Aggregate, Compiled, Visitor, compile_condition
from bespeak.errors import DefinitionError
from bespeak.ids import ProfileId
from bespeak.profiles import Membership, Profile, ProfileSettings, View
from bespeak.segments.segment import MAX_SEGMENTS, Segment

FLIPS_MAX = 100_000
"""Flips of one profile worked through in one go: beyond it something counts in circles."""

_FORBIDDEN = ("context", "item", "segments")


class Change(msgspec.Struct, frozen=True):
    """Somebody entered or left a segment, at the instant at which it came true."""

    profile: ProfileId
    segment: str
    entered: bool
    at: Instant
    why: str


class _Live(msgspec.Struct, frozen=True):
    segment: Segment
    compiled: Compiled
    windowed: bool


class Segments:
    """All segments of a store, compiled, indexed by the events that can change them.

    Raises
    ------
    DefinitionError
        More than `MAX_SEGMENTS`, or a condition that reads what a segment cannot know (`context.*`, `item.*`).
    """

    def __init__(self, segments: Iterable[Segment] = ()) -> None:
        live = [_compiled(segment) for segment in segments]
        if len(live) > MAX_SEGMENTS:
            raise DefinitionError(f"a store has at most {MAX_SEGMENTS:,} segments, got {len(live):,}")
        self._all: dict[str, _Live] = {entry.segment.id: entry for entry in live}
        self._windowed: tuple[_Live, ...] = tuple(entry for entry in live if entry.windowed)
        self._always: tuple[_Live, ...] = tuple(entry for entry in live if entry.compiled.depends.paths)
        named: dict[str, list[_Live]] = {}
        for entry in live:
            if not entry.compiled.depends.paths:
                for name in entry.compiled.depends.events:
                    named.setdefault(name, []).append(entry)
        self._by_event: dict[str, tuple[_Live, ...]] = {
            name: (*self._always, *entries) for name, entries in named.items()
        }
        self._order = {segment_id: place for place, segment_id in enumerate(self._all)}

    def __len__(self) -> int:
        return len(self._all)

    def all(self) -> tuple[Segment, ...]:
        """Return every segment."""
        return tuple(entry.segment for entry in self._all.values())

    def aggregates(self) -> tuple[Aggregate, ...]:
        """Return every aggregate that a segment declares."""
        return tuple(one for entry in self._all.values() for one in entry.compiled.depends.aggregates)

    def get(self, segment_id: str) -> Segment | None:
        """Return one segment."""
        entry = self._all.get(segment_id)
        return None if entry is None else entry.segment

    def compiled(self, segment_id: str) -> Compiled | None:
        """Return one segment's compiled condition."""
        entry = self._all.get(segment_id)
        return None if entry is None else entry.compiled

    def classify(self, profile: Profile, event_name: str, at: Instant, settings: ProfileSettings) -> tuple[Change, ...]:
        """Bring the memberships up to date after an event of this name was folded."""
        entries = self._by_event.get(event_name, self._always)
        if not entries:
            return ()
        at = profile.as_of = max(at, profile.as_of)
        view = View(profile, at, settings)
        changes = tuple(change for entry in entries if (change := _ask(entry, profile, view, at)) is not None)
        flip = min((entry.compiled.next_flip(view, at) for entry in entries if entry.windowed), default=NEVER)
        profile.next_flip_at = min(flip, profile.next_flip_at)
        return changes

    def classify_all(self, profile: Profile, at: Instant, settings: ProfileSettings) -> tuple[Change, ...]:
        """Bring every membership up to date: after a merge, and when definitions have changed."""
        at = profile.as_of = max(at, profile.as_of)
        view = View(profile, at, settings)
        changes = [change for entry in self._all.values() if (change := _ask(entry, profile, view, at)) is not None]
        for gone in [segment_id for segment_id in profile.segments if segment_id not in self._all]:
            del profile.segments[gone]
            changes.append(Change(profile.id, gone, entered=False, at=at, why="the segment was deleted"))
        profile.next_flip_at = self._next_flip(view, at)
        return tuple(changes)

    def advance(self, profile: Profile, until: Instant, settings: ProfileSettings) -> tuple[Change, ...]:
        """Work through every flip due by `until`, each stamped with its true time."""
        changes: list[Change] = []
        for _ in range(FLIPS_MAX):
            at = profile.next_flip_at
            if at > until:
                break
            profile.as_of = max(at, profile.as_of)
            view = View(profile, at, settings)
            changes += [c for entry in self._windowed if (c := _ask(entry, profile, view, at)) is not None]
            profile.next_flip_at = self._next_flip(view, at)
        return tuple(changes)

    def members_at(self, segment_id: str, profiles: Iterable[Profile], at: Instant, settings: ProfileSettings) -> int:
        """Count who would be in the segment as of `at`."""
        compiled = self._all[segment_id].compiled
        return sum(1 for profile in profiles if compiled.holds(View(profile, at, settings), at))

    def _next_flip(self, view: Visitor, at: Instant) -> Instant:
        return min((entry.compiled.next_flip(view, at) for entry in self._windowed), default=NEVER)


def _compiled(segment: Segment) -> _Live:
    compiled = compile_condition(segment.condition)
    if compiled.depends.segments:
        raise DefinitionError(f"segment {segment.id!r}: in_segment(...) is not possible in a segment; repeat its condition")
    for path in sorted(compiled.depends.paths):
        if path.partition(".")[0] in _FORBIDDEN:
            raise DefinitionError(f"segment {segment.id!r}: {path!r} is not known outside a request; use traits or events")
    windowed = any(aggregate.within is not None for aggregate in compiled.depends.aggregates)
    return _Live(segment, compiled, windowed)


def _ask(entry: _Live, profile: Profile, view: View, at: Instant) -> Change | None:
    segment = entry.segment
    held = profile.segments.get(segment.id)
    holds = entry.compiled.holds(view, at)
    if holds == (held is not None):
        return None
    why = entry.compiled.explain(view, at).sentence()
    if holds:
        profile.segments[segment.id] = Membership(at, segment.version, why)
    else:
        del profile.segments[segment.id]
    return Change(profile.id, segment.id, entered=holds, at=at, why=why)
