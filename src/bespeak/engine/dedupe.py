"""Which messages have been here: exact for 24 hours, bounded in RAM, older ones on disk."""

from __future__ import annotations

from collections.abc import Iterable

from bespeak.clock import HOUR, Instant
from bespeak.stores import Store

WINDOW_HOURS = 24
DIGEST = 16
PARTS = 4
"""Parts that the bound is made of: the smallest piece that can go to disk alone."""


class Dedupe:
    """16-byte digests of (source, message id), in parts: a new one each hour, and whenever one is full.

    Parameters
    ----------
    bound
        Digests kept in RAM once they are durable; beyond it the oldest part is looked up on disk instead.
    """

    def __init__(self, store: Store, *, bound: int) -> None:
        self._store = store
        self._bound = bound
        self._full = max(1, bound // PARTS)
        self._parts: list[tuple[int, set[bytes]]] = []
        self._gone = 0
        self._size = 0
        self._spilled = False

    def load(self, now: Instant) -> None:
        """Read the digests of the last 24 hours from the store."""
        self._parts.clear()
        self._size = 0
        for hour, packed in self._store.seen_since(now // HOUR - WINDOW_HOURS).items():
            for at in range(0, len(packed), DIGEST):
                self.add(packed[at : at + DIGEST], hour)
            self.shrink(self.mark())

    def has(self, digest: bytes) -> bool:
        """Say whether the message was here within the window."""
        for _, digests in self._parts:
            if digest in digests:
                return True
        return self._spilled and bool(self._store.seen((digest,)))

    def on_disk(self, digests: Iterable[bytes]) -> frozenset[bytes]:
        """Return those that were ever stored and not forgotten; for imports, whose digests have no age."""
        return self._store.seen(digests)

    def add(self, digest: bytes, hour: int) -> None:
        """Note a message; the caller gives it to the store with the same commit as the event."""
        if not self._parts or self._parts[-1][0] != hour or len(self._parts[-1][1]) >= self._full:
            self._expire(hour)
            self._parts.append((hour, set()))
        digests = self._parts[-1][1]
        before = len(digests)
        digests.add(digest)
        self._size += len(digests) - before

    def mark(self) -> int:
        """Return what `shrink` may drop once everything noted so far is durable: the parts that are full."""
        return self._gone + max(0, len(self._parts) - 1)

    def shrink(self, mark: int) -> None:
        """Let the oldest parts go until the bound is kept, those after `mark` excepted: they may not be on disk yet."""
        while self._size > self._bound and self._gone < mark:
            self._spilled = True
            self._drop()

    def __len__(self) -> int:
        return self._size

    def _expire(self, newest: int) -> None:
        while self._parts and self._parts[0][0] < newest - WINDOW_HOURS:
            self._drop()

    def _drop(self) -> None:
        self._gone += 1
        self._size -= len(self._parts.pop(0)[1])
