"""Which messages have been here: exact for 24 hours, bounded in RAM, older ones on disk."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from hashlib import blake2b

from bespeak.clock import HOUR, Instant
from bespeak.events import Event
from bespeak.stores import Store, split_digests

WINDOW_HOURS = 24
DIGEST = 16
PARTS = 4
"""Parts that the bound is made of: the smallest piece that can go to disk alone."""


def digests_of(events: Iterable[Event]) -> list[bytes]:
    """Return the digest of each event: what `ids.digest` makes of its source and message id."""
    heads: dict[str, bytes] = {}
    found: list[bytes] = []
    for event in events:
        head = heads.get(event.source)
        if head is None:
            source = event.source.encode()
            head = heads[event.source] = len(source).to_bytes(4, "big") + source
        name = event.message_id.encode()
        found.append(blake2b(head + len(name).to_bytes(4, "big") + name, digest_size=DIGEST).digest())
    return found


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
        """Read the digests of the last 24 hours from the store, the newest first, as far as the bound allows."""
        self._parts.clear()
        self._size = 0
        packed = self._store.seen_since(now // HOUR - WINDOW_HOURS, limit=self._bound)
        for hour in sorted(packed):
            digests = set(split_digests(packed[hour]))
            self._parts.append((hour, digests))
            self._size += len(digests)
        self._spilled = sum(map(len, packed.values())) >= self._bound * DIGEST

    def known(self, digests: Collection[bytes], *, ever: bool = False) -> set[bytes]:
        """Return those of the digests that were here within the window.

        Parameters
        ----------
        ever
            Ask the store too, also for those whose age is not kept: that is what an import compares with.
        """
        found: set[bytes] = set()
        for _, part in self._parts:
            if not part.isdisjoint(digests):
                found |= part.intersection(digests)
        if ever or self._spilled:
            found |= self._store.seen([digest for digest in digests if digest not in found])
        return found

    def has(self, digest: bytes) -> bool:
        """Say whether the message was here within the window."""
        return bool(self.known((digest,)))

    def add(self, digests: Collection[bytes], hour: int) -> None:
        """Note messages; the caller gives them to the store with the same commit as the events."""
        if not digests:
            return
        if not self._parts or self._parts[-1][0] != hour or len(self._parts[-1][1]) >= self._full:
            self._expire(hour)
            self._parts.append((hour, set()))
        part = self._parts[-1][1]
        before = len(part)
        part.update(digests)
        self._size += len(part) - before

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
