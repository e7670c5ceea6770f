"""What everybody is owed when definitions have changed: to be asked under the new ones, as of one moment."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from functools import cached_property

import msgspec

from bespeak.clock import NEVER, Instant
from bespeak.computed import Borders, ScorePlan, Trait
from bespeak.engine.backfill import Backfill
from bespeak.profiles import Profile, ProfileSettings
from bespeak.segments import By, Change, Changed, Segment, Segments


class Owed(msgspec.Struct, frozen=True, array_like=True):
    """What a checkpoint says of an asking that it fell into, so that a start can go on with it.

    Parameters
    ----------
    at
        The moment as of which everybody is asked.
    before
        The segments until then: what was due flips under them first.
    counted
        Names of the aggregates that are newly declared.
    upto
        The offset up to which history is counted in them.
    asked_to
        Up to this name everybody who rests has been asked.
    ahead
        Names behind it that have been asked, or that were not there at that moment.
    zone
        The time zone of people who named none, until then; empty: the one since.
    passed
        Up to when the log says that everything due was worked through since; who is left is behind it, too.
    traits, scores, borders
        The computed traits and scores until then, which the segments may name, and their borders.
    offset, by
        The record of the log that asks, and what it is.
    """

    at: Instant
    before: tuple[Segment, ...]
    counted: tuple[str, ...]
    upto: int
    asked_to: str
    ahead: tuple[str, ...]
    passed: Instant = -NEVER
    zone: str = ""
    traits: tuple[Trait, ...] = ()
    scores: tuple[ScorePlan, ...] = ()
    borders: tuple[Borders, ...] = ()
    offset: int = 0
    by: By = "definition"

    def segments(self) -> Segments:
        """Return the segments until then, ready to be asked."""
        return Segments(self.before, self.traits, self.scores, self.borders)


class Question:
    """What everybody is asked: under which segments they were, as of when, and what history has counted.

    `passed`, `offset` and `by` are those of an `Owed`. Time that a record of the log lets pass is the same for
    everybody: those who were asked before it flip at the record, the others when they are asked. `changed` is what is
    asked of them; None: everything.
    """

    def __init__(
        self,
        before: Segments,
        backfill: Backfill,
        at: Instant,
        passed: Instant = -NEVER,
        *,
        zone: str,
        offset: int = 0,
        by: By = "definition",
        changed: Changed | None = None,
    ) -> None:
        self.before = before
        self.backfill = backfill
        self.at = at
        self.passed = passed
        self.zone = zone
        self.offset = offset
        self.by: By = by
        self._changed = changed

    def ask(
        self, profile: Profile, segments: Segments, settings: ProfileSettings, before: ProfileSettings
    ) -> tuple[Change, ...]:
        """Ask somebody; what was due until then flips first, under the segments and the settings until then."""
        self.backfill.give(profile)
        at, moved = self.at, tuple[Change, ...]()
        if profile.next_flip_at <= at:
            moved = self.before.advance(profile, at, before)
        at = max(profile.last_seen, at)
        if self._changed is None:
            moved += segments.classify_all(profile, at, settings, self.by)
        else:
            moved += segments.classify_changed(profile, at, settings, self._changed)
        return moved + segments.advance(profile, self.passed, settings)

    @cached_property
    def _before(self) -> tuple[msgspec.Raw, ...]:
        one = self.before
        return tuple(msgspec.Raw(_encoder.encode(each)) for each in (one.all(), one.traits, one.scores, one.borders))

    def written(self, asked_to: str, ahead: AbstractSet[str]) -> bytes:
        """Return an `Owed` as bytes."""
        counted = self.backfill.counted if self.backfill.has_work else ()
        before, *named = self._before
        upto, passed = self.backfill.offset, self.passed
        asking = (self.at, before, counted, upto, asked_to, ahead, passed, self.zone, *named, self.offset, self.by)
        return _encoder.encode(asking)


_encoder = msgspec.msgpack.Encoder()
read_owed = msgspec.msgpack.Decoder(Owed).decode
