"""Which messages have been here: exact for 24 hours, bounded in RAM, older ones on disk."""

from __future__ import annotations

from collections.abc import Iterable

from bespeak.clock import HOUR, Instant
from bespeak.engine.sieve import Sieve
from bespeak.stores import Store

WINDOW_HOURS = 24
PARTS = 8
"""Parts that the bound is made of: the smallest piece that can go to disk alone."""

PAGE_ROWS = 64
"""Rows of digests read from the store at once, each of at most some hundreds."""


class Dedupe:
    """16-byte digests of (source, message id), in parts: a new one each hour, and whenever one is full.

    What is not among them may be on disk: from before the start, or gone from RAM for its bound. A sieve says of nearly
    every new message that it is not there either, so that the disk need not be asked. At start it is filled from the
    store page by page (`refill`); until that is done, the disk answers.

    Parameters
    ----------
    bound
        Digests kept in RAM once they are durable, about 100 bytes each; beyond it the oldest part goes.
    sieve_bytes
        Size of the sieve, a power of two; there are two of them when messages have come for more than a day.
    """

    def __init__(self, store: Store, *, bound: int, sieve_bytes: int) -> None:
        self._store = store
        self._bound = bound
        self._full = max(1, bound // PARTS)
        self._sieve_bytes = sieve_bytes
        self._parts: list[tuple[int, set[bytes]]] = []
        self._gone = 0
        self._size = 0
        self._sieves: list[tuple[int, Sieve]] = []
        self._since = 0
        self._page: int | None = 0

    def load(self, now: Instant) -> None:
        """Start anew: what is durable is in the store."""
        self._parts.clear()
        self._sieves.clear()
        self._size = 0
        self._since = now // HOUR - WINDOW_HOURS
        self._page = 0
        self.refill()

    def refill(self) -> bool:
        """Take in a page of the last 24 hours' digests; says when there are no more."""
        if self._page is None:
            return True
        page = self._store.seen_since(self._since, after=self._page, rows=PAGE_ROWS)
        self._sift(page.packed, self._since + WINDOW_HOURS)
        self._page = page.more
        return self._page is None

    @property
    def is_loaded(self) -> bool:
        """Whether the digests of before the start are all in the sieve."""
        return self._page is None

    def has(self, digest: bytes) -> bool:
        """Say whether the message was here within the window."""
        for _, digests in self._parts:
            if digest in digests:
                return True
        if self._page is None and not any(sieve.may_hold(digest) for _, sieve in self._sieves):
            return False
        return bool(self._store.seen((digest,)))

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
            hour, digests = self._parts[0]
            self._sift(b"".join(digests), hour)
            self._drop()

    def __len__(self) -> int:
        return self._size

    def _sift(self, packed: bytes, hour: int) -> None:
        """Put digests into the sieve of the day; that of the day before stays, older ones go."""
        if not packed:
            return
        if not self._sieves or hour - self._sieves[-1][0] >= WINDOW_HOURS:
            self._sieves = [*self._sieves[-1:], (hour, Sieve(self._sieve_bytes))]
        self._sieves[-1][1].add(packed)

    def _expire(self, newest: int) -> None:
        while self._parts and self._parts[0][0] < newest - WINDOW_HOURS:
            self._drop()

    def _drop(self) -> None:
        self._gone += 1
        self._size -= len(self._parts.pop(0)[1])
