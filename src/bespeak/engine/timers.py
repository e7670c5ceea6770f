"""When memberships flip by themselves: the next hour in RAM, everything later as an indexed column on disk."""

from __future__ import annotations

import heapq

from bespeak.clock import HOUR, NEVER, Instant
from bespeak.ids import ProfileId
from bespeak.stores import Store

REFILL_MAX = 1_000_000
"""Timers read from the store at once: those of the next hour."""


class Timers:
    """A heap of (instant, profile) up to a horizon of one hour.

    An entry may be stale: the profile's own `next_flip_at` decides when it comes up.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._heap: list[tuple[Instant, ProfileId]] = []
        self._horizon: Instant = 0
        self.keeps_all = False
        """Whether to remember every flip, however far: while the log is replayed there is no checkpoint to ask."""

    def refill(self, now: Instant) -> None:
        """Move the horizon to one hour from `now` and read what is due before it from the checkpoint."""
        if now + HOUR // 2 < self._horizon:
            return
        self._horizon = now + HOUR
        known = set(self._heap)
        for profile_id, at in self._store.due(self._horizon, limit=REFILL_MAX):
            if (at, profile_id) not in known:
                heapq.heappush(self._heap, (at, profile_id))

    def note(self, profile_id: ProfileId, at: Instant) -> None:
        """Remember when a profile may flip; beyond the horizon the checkpoint remembers it."""
        if at <= self._horizon or (self.keeps_all and at != NEVER):
            heapq.heappush(self._heap, (at, profile_id))

    def next(self) -> Instant:
        """Return the earliest instant that something may flip, `NEVER` within the horizon when nothing does."""
        return self._heap[0][0] if self._heap else NEVER

    def due(self, now: Instant) -> list[ProfileId]:
        """Take out the profiles that are due by `now`, each once, the earliest first."""
        found: dict[ProfileId, None] = {}
        while self._heap and self._heap[0][0] <= now:
            found[heapq.heappop(self._heap)[1]] = None
        return list(found)

    def clear(self) -> None:
        """Forget everything."""
        self._heap.clear()
        self._horizon = 0
