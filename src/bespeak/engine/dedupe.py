"""Which messages have been here: exact for 24 hours, bounded in RAM, older ones on disk."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from hashlib import blake2b

from bespeak.clock import HOUR, Instant
from bespeak.engine.sieve import DIGEST_BYTES, Sieve
from bespeak.events import Event
from bespeak.stores import Store

WINDOW_HOURS = 24
PARTS = 8
"""Parts that the bound is made of: the smallest piece that can go to disk alone."""

PAGE_ROWS = 64
"""Rows of digests read from the store at once, each of at most some hundreds."""


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
        found.append(blake2b(head + len(name).to_bytes(4, "big") + name, digest_size=DIGEST_BYTES).digest())
    return found


class Dedupe:
    """16-byte digests of (source, message id), in parts: a new one each hour, and whenever one is full.

    What is not among them may be on disk: from before the start, or gone from RAM for its bound or its age. A sieve
    says of nearly every new message that it is not there either, so that the disk need not be asked. At start it is
    filled from the store page by page (`refill`); until that is done, the disk answers.

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
        self.clear()
        self._since = now // HOUR - WINDOW_HOURS
        self._page = 0
        self.refill()

    def clear(self) -> None:
        """Let go of everything that takes room, at the end."""
        self._parts.clear()
        self._sieves.clear()
        self._size = 0

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
        asked = [digest for digest in digests if digest not in found]
        if not ever and self._page is None:
            sieves = [sieve for _, sieve in self._sieves]
            asked = [digest for digest in asked if any(sieve.may_hold(digest) for sieve in sieves)] if sieves else []
        return found | self._store.seen(asked) if asked else found

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
        """Let the oldest part go if it is too old; others follow with the next parts, and no turn has all to sift."""
        if self._parts and self._parts[0][0] < newest - WINDOW_HOURS:
            self._drop()

    def _drop(self) -> None:
        """Let the oldest part go, to the sieve: the disk knows it still, also where a clock had jumped ahead of it."""
        hour, digests = self._parts.pop(0)
        self._sift(b"".join(digests), hour)
        self._gone += 1
        self._size -= len(digests)
