"""Which messages have been here: exact for 24 hours, bounded in RAM, older ones on disk."""

from __future__ import annotations

from collections.abc import Iterable

from bespeak.clock import HOUR, Instant
from bespeak.stores import Store

WINDOW_HOURS = 24
DIGEST = 16


class Dedupe:
    """16-byte digests of (source, message id), packed by hour of arrival.

    Parameters
    ----------
    bound
        Digests kept in RAM; beyond it the oldest hour is looked up on disk instead.
    """

    def __init__(self, store: Store, *, bound: int) -> None:
        self._store = store
        self._bound = bound
        self._hours: dict[int, set[bytes]] = {}
        self._size = 0
        self._spilled = False

    def load(self, now: Instant) -> None:
        """Read the digests of the last 24 hours from the store."""
        self._hours.clear()
        self._size = 0
        for hour, packed in self._store.seen_since(now // HOUR - WINDOW_HOURS).items():
            digests = {packed[at : at + DIGEST] for at in range(0, len(packed), DIGEST)}
            self._hours[hour] = digests
            self._size += len(digests)
        self._shrink()

    def has(self, digest: bytes) -> bool:
        """Say whether the message was here within the window."""
        if any(digest in digests for digests in self._hours.values()):
            return True
        return self._spilled and bool(self._store.seen((digest,)))

    def on_disk(self, digests: Iterable[bytes]) -> frozenset[bytes]:
        """Return those that were ever stored and not forgotten; for imports, whose digests have no age."""
        return self._store.seen(digests)

    def add(self, digest: bytes, hour: int) -> None:
        """Note a message; the caller gives it to the store with the same commit as the event."""
        digests = self._hours.get(hour)
        if digests is None:
            digests = self._hours[hour] = set()
            self._expire(hour)
        digests.add(digest)
        self._size += 1
        if self._size > self._bound:
            self._shrink()

    def __len__(self) -> int:
        return self._size

    def _expire(self, newest: int) -> None:
        for hour in [hour for hour in self._hours if 0 <= hour < newest - WINDOW_HOURS]:
            self._size -= len(self._hours.pop(hour))

    def _shrink(self) -> None:
        while self._size > self._bound and len(self._hours) > 1:
            self._spilled = True
            self._size -= len(self._hours.pop(min(self._hours)))
