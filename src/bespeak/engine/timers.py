"""When memberships flip by themselves: the next hour in RAM, everything later as an indexed column on disk."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from bespeak.clock import HOUR, NEVER, Instant
from bespeak.ids import ProfileId
from bespeak.stores import Store

REFILL_MAX = 1_000_000
"""Timers read from the store at once: those of the next hour."""

SLACK = 1_000
"""Entries passed over that the heap may hold besides one for each that counts."""


class Timers:
    """A heap of (instant, name) up to a horizon of one hour; a name is a profile's id, or its row's in the store.

    A profile has one entry that counts, the earliest; it may come up before the profile's own `next_flip_at`, which
    decides, and is noted again then. The others are passed over, and dropped when they are more than those that count.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._heap: list[tuple[Instant, ProfileId]] = []
        self._noted: dict[ProfileId, Instant] = {}
        self._horizon: Instant = 0

    def refill(self, now: Instant) -> bool:
        """Move the horizon to one hour from `now` and read what is due before it from the checkpoint.

        Says whether it was moved: what is not in the checkpoint yet must be noted once more then.
        """
        if now + HOUR // 2 < self._horizon:
            return False
        found = self._store.due(now + HOUR, limit=REFILL_MAX)
        self._horizon = now + HOUR
        for profile_id, at in found:
            self.note(profile_id, at)
        return True

    def note(self, profile_id: ProfileId, at: Instant) -> None:
        """Remember when a profile may flip; beyond the horizon the checkpoint remembers it."""
        if at > self._horizon or at >= self._noted.get(profile_id, NEVER):
            return
        self._noted[profile_id] = at
        if len(self._heap) > 2 * len(self._noted) + SLACK:
            self._heap = [(when, who) for who, when in self._noted.items()]
            heapq.heapify(self._heap)
        else:
            heapq.heappush(self._heap, (at, profile_id))

    def next(self) -> Instant:
        """Return the earliest instant that something may flip, `NEVER` within the horizon when nothing does."""
        return self._heap[0][0] if self._heap else NEVER

    def due(self, now: Instant) -> Iterator[ProfileId]:
        """Take out the names that are due by `now`, the earliest first; those not asked for stay."""
        while self._heap and self._heap[0][0] <= now:
            at, profile_id = heapq.heappop(self._heap)
            if self._noted.get(profile_id) == at:
                del self._noted[profile_id]
                yield profile_id

    def __len__(self) -> int:
        return len(self._heap)

    def forget(self, profile_id: ProfileId) -> None:
        """Drop what is remembered under a profile's id."""
        self._noted.pop(profile_id, None)
        self._heap = [entry for entry in self._heap if entry[1] != profile_id]
        heapq.heapify(self._heap)

    def clear(self) -> None:
        """Forget everything."""
        self._heap.clear()
        self._noted.clear()
        self._horizon = 0
