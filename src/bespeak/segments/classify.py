"""Which segments a person is in, since when, and why: exact to the second, asked only where it can have changed."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from bespeak.clock import NEVER, Instant
from bespeak.conditions import Aggregate, Compiled, compile_condition
from bespeak.errors import DefinitionError
from bespeak.ids import ProfileId
from bespeak.profiles import PATHS, Membership, Profile, ProfileSettings, View
from bespeak.segments.segment import MAX_SEGMENTS, Segment

FLIPS_MAX = 100_000
"""Flips of one profile worked through in one go: beyond it something counts in circles."""

FACTS = frozenset({"traits", "user_id", "known", "consent"})
"""Heads of paths that change only when the fold says so."""

_FORBIDDEN = ("context", "item", "segments")


class Change(msgspec.Struct, frozen=True):
    """Somebody entered or left a segment, at the instant at which it came true."""

    profile: ProfileId
    segment: str
    entered: bool
    at: Instant
    why: str


class _Live:
    """One segment, ready to be asked."""

    __slots__ = ("answer", "compiled", "id", "segment", "windowed")

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.id = segment.id
        self.compiled = compile_condition(segment.condition)
        self.answer = self.compiled.answer
        self.windowed = self.compiled.windowed
        _check(segment, self.compiled)


class Segments:
    """All segments of a store, compiled, indexed by what can change them.

    Raises
    ------
    DefinitionError
        More than `MAX_SEGMENTS`, or a condition that reads what a segment cannot know (`context.*`, `item.*`).
    """

    def __init__(self, segments: Iterable[Segment] = ()) -> None:
        self._all: dict[str, _Live] = {segment.id: _Live(segment) for segment in segments}
        if len(self._all) > MAX_SEGMENTS:
            raise DefinitionError(f"a store has at most {MAX_SEGMENTS:,} segments, got {len(self._all):,}")
        live = tuple(self._all.values())
        self._volatile = tuple(entry for entry in live if _heads(entry) - FACTS)
        self._by_facts = tuple(entry for entry in live if _heads(entry) & FACTS)
        names = {name for entry in live for name in entry.compiled.depends.events}
        self._by_event = {name: _asked_by(name, live, self._volatile) for name in names}

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

    def classify(
        self, profile: Profile, event_name: str, at: Instant, settings: ProfileSettings, *, facts: bool
    ) -> tuple[Change, ...]:
        """Bring the memberships up to date after an event of this name was folded.

        Parameters
        ----------
        facts
            Whether a trait, the identity or the consent changed.
        """
        entries = self._by_event.get(event_name, self._volatile)
        if facts and self._by_facts:
            entries = tuple(dict.fromkeys((*entries, *self._by_facts)))
        if not entries:
            return ()
        at = profile.as_of = max(at, profile.as_of)
        return _ask(entries, profile, View(profile, at, settings), at)

    def classify_all(self, profile: Profile, at: Instant, settings: ProfileSettings) -> tuple[Change, ...]:
        """Bring every membership up to date: of a new profile, after a merge, and when definitions have changed."""
        at = profile.as_of = max(at, profile.as_of)
        profile.flips = {}
        changes = _ask(self._all.values(), profile, View(profile, at, settings), at)
        gone = [segment_id for segment_id in profile.segments if segment_id not in self._all]
        for segment_id in gone:
            del profile.segments[segment_id]
        return changes + tuple(
            Change(profile.id, segment_id, entered=False, at=at, why="the segment was deleted") for segment_id in gone
        )

    def advance(self, profile: Profile, until: Instant, settings: ProfileSettings) -> tuple[Change, ...]:
        """Work through every flip due by `until`, each stamped with its true time."""
        changes: tuple[Change, ...] = ()
        for _ in range(FLIPS_MAX):
            at = profile.next_flip_at
            if at > until:
                break
            profile.as_of = max(at, profile.as_of)
            due = [self._all[segment_id] for segment_id, flip in profile.flips.items() if flip <= at]
            changes += _ask(due, profile, View(profile, at, settings), at)
        return changes

    def members_at(self, segment_id: str, profiles: Iterable[Profile], at: Instant, settings: ProfileSettings) -> int:
        """Count who would be in the segment as of `at`."""
        compiled = self._all[segment_id].compiled
        return sum(1 for profile in profiles if compiled.holds(View(profile, at, settings), at))


def _heads(entry: _Live) -> frozenset[str]:
    return frozenset(path.partition(".")[0] for path in entry.compiled.depends.paths)


def _asked_by(name: str, live: tuple[_Live, ...], volatile: tuple[_Live, ...]) -> tuple[_Live, ...]:
    concerned = (entry for entry in live if name in entry.compiled.depends.events)
    return tuple(dict.fromkeys((*volatile, *concerned)))


def _check(segment: Segment, compiled: Compiled) -> None:
    if compiled.depends.segments:
        raise DefinitionError(
            f"segment {segment.id!r}: in_segment(...) is not possible in a segment; repeat its condition"
        )
    for path in sorted(compiled.depends.paths):
        head = path.partition(".")[0]
        if head not in PATHS and head not in _FORBIDDEN:
            heads = ", ".join(name for name in PATHS if name not in _FORBIDDEN)
            raise DefinitionError(f"segment {segment.id!r}: {path!r} is not a path; a path begins with {heads}")
        if head in _FORBIDDEN:
            raise DefinitionError(
                f"segment {segment.id!r}: {path!r} is not known outside a request; use traits or events"
            )


def _ask(entries: Iterable[_Live], profile: Profile, view: View, at: Instant) -> tuple[Change, ...]:
    """Ask each segment, note who moved and when each may move by itself."""
    held, flips = profile.segments, profile.flips
    changes: list[Change] = []
    for entry in entries:
        holds, until = entry.answer(view, at)
        if until != NEVER:
            flips[entry.id] = until
        elif entry.windowed:
            flips.pop(entry.id, None)
        if holds is not (entry.id in held):
            changes.append(_move(entry, profile, view, at, holds=holds))
    profile.next_flip_at = min(flips.values(), default=NEVER)
    return tuple(changes)


def _move(entry: _Live, profile: Profile, view: View, at: Instant, *, holds: bool) -> Change:
    why = entry.compiled.explain(view, at).sentence()
    if holds:
        profile.segments[entry.id] = Membership(at, entry.segment.version, why)
    else:
        del profile.segments[entry.id]
    return Change(profile.id, entry.id, entered=holds, at=at, why=why)
