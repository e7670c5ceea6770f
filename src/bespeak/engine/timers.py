"""When memberships flip by themselves: the next hour in RAM, everything later as an indexed column on disk."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from bespeak.clock import HOUR, NEVER, Instant
from bespeak.ids import ProfileId
from bespeak.profiles import Profile
from bespeak.stores import Store

PAGE = 5_000
"""Timers read from the store at once: some milliseconds, in which nothing else happens."""

SLACK = 1_000
"""Entries passed over that may be held besides one for each that counts."""

BITS = 16
"""Entries are gathered by the 65 milliseconds that they are due in; only those that come next stand in order."""

_Entry: TypeAlias = tuple[Instant, ProfileId]

_BEGINNING: Final[_Entry] = (-NEVER, "")
_LAST = chr(0x10FFFF)


class Timers:
    """Entries (instant, name) up to a horizon; a name is a profile's id, or its row's in the store.

    The horizon moves to an hour ahead, a page of the store at a time. What changes a profile notes its flip when it is
    before the horizon; a later one is read when the horizon comes to it, from the store or, where it is not written
    yet, from the profile in RAM.

    A profile has one entry that counts, the earliest; it may come up before the profile's own `next_flip_at`, which
    decides, and is noted again then. The others are passed over, and dropped when they are more than those that count.

    A calendar queue (Brown, "Calendar queues", Communications of the ACM 31(10), 1988): of a heap of a hundred thousand
    entries each that is taken out moves some twenty that nobody has looked at for long.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._soon: list[_Entry] = []  # a heap: all that is due up to the end of the slot `_opened`
        self._opened = -NEVER
        self._slots: dict[int, list[_Entry]] = {}  # the rest, in no order, but the earliest of each slot comes first
        self._order: list[int] = []  # a heap of these slots
        self._size = 0
        self._noted: dict[ProfileId, Instant] = {}
        self._read_to: _Entry = _BEGINNING

    def refill(self, now: Instant, awake: Callable[[], Iterable[Profile]]) -> bool:
        """Read a page of what is due within an hour from `now`, when that is not all in RAM; says when it is.

        Parameters
        ----------
        awake
            The profiles in RAM: their flips may not be in the store yet.
        """
        if self.covers(now):
            return True
        before, end = self._read_to, now + HOUR
        found = self._store.due(end, after=before, limit=PAGE)
        self._read_to = (found[-1][1], found[-1][0]) if len(found) == PAGE else (end, _LAST)
        for profile_id, at in found:
            self.note(profile_id, at)
        for profile in awake():
            if before[0] <= profile.next_flip_at <= self._read_to[0]:
                self.note(profile.id, profile.next_flip_at)
        return self.covers(now)

    def note(self, profile_id: ProfileId, at: Instant) -> None:
        """Remember when a profile may flip; beyond the horizon the checkpoint remembers it."""
        if at > self._read_to[0] or at >= self._noted.get(profile_id, NEVER):
            return
        self._noted[profile_id] = at
        if self._size > 2 * len(self._noted) + SLACK:
            self._begin_anew()
        else:
            self._add((at, profile_id))

    def _add(self, entry: _Entry) -> None:
        self._size += 1
        number = entry[0] >> BITS
        if number <= self._opened:
            heapq.heappush(self._soon, entry)
            return
        slot = self._slots.get(number)
        if slot is None:
            self._slots[number] = [entry]
            heapq.heappush(self._order, number)
            return
        if entry < slot[0]:
            slot[0], entry = entry, slot[0]
        slot.append(entry)

    def _begin_anew(self) -> None:
        """Drop the entries that do not count."""
        self._soon, self._opened, self._slots, self._order, self._size = [], -NEVER, {}, [], 0
        for profile_id, at in self._noted.items():
            self._add((at, profile_id))

    def is_behind(self, now: Instant) -> bool:
        """Say whether something is due by `now`, or may be and is not read yet."""
        return not self.covers(now) or self.next() <= now

    def next(self) -> Instant:
        """Return the earliest instant that something may flip, `NEVER` within the horizon when nothing does."""
        if self._soon:
            return self._soon[0][0]
        return self._slots[self._order[0]][0][0] if self._order else NEVER

    def due(self, now: Instant) -> Iterator[ProfileId]:
        """Take out the names that are due by `now`, the earliest first; those not asked for stay."""
        while self.next() <= now:
            if not self._soon:
                self._opened = heapq.heappop(self._order)
                self._soon = sorted(self._slots.pop(self._opened))
            at, profile_id = heapq.heappop(self._soon)
            self._size -= 1
            if self._noted.get(profile_id) == at:
                del self._noted[profile_id]
                yield profile_id

    def __len__(self) -> int:
        return self._size

    def forget(self, profile_id: ProfileId) -> None:
        """Drop what is remembered under a profile's id."""
        self._noted.pop(profile_id, None)
        self._begin_anew()

    def clear(self) -> None:
        """Forget everything."""
        self._noted.clear()
        self._begin_anew()
        self._read_to = _BEGINNING

    def covers(self, now: Instant) -> bool:
        """Say whether all that is due within half an hour from `now` is in RAM."""
        return self._read_to[0] > now + HOUR // 2
