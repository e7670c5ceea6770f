"""The checkpoint of the models: a full state, written in the background, and what was learned since."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from bespeak.engine.vault import PRODUCT, STORE, Vault
from bespeak.errors import StoreError
from bespeak.privacy.sealing import Sealer
from bespeak.recommend import Interaction, Interactions, Recommender
from bespeak.stores import Product, Store

JOURNAL_BYTES = 64_000_000
"""What was learned since the last checkpoint, in RAM; beyond it the next checkpoint writes the full state."""

GROWN_BYTES = 16_000_000
"""With more than this learned since the last full state, and twice as much as it has, it is written again."""

CHUNKS_MAX = 64
"""Checkpoints that may write what was learned since, before the full state is written again."""

PIECES_BYTES = 16_000_000
"""Bytes of a full state that one checkpoint writes; a larger state is spread over several."""

HEAD = "models"
"""The name of the product that says what the others are."""

FIRST = "model:"
"""What the names of products begin with that hold the models in the form of before; they are read, and emptied."""


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What a checkpoint holds of the models.

    Parameters
    ----------
    slot
        Which of two sets of names the full state has; a new one is written beside the other.
    states
        Name of each recommender, and in how many pieces its state is.
    learned
        Number of the last batch that the state includes.
    chunks
        Of each chunk of batches since: its place, and the number of its first batch.
    built
        The offset up to which erased people are not in it; 0 when it was never built anew, -1 when it was learned by
        an older version, whose sums are not as exact.
    """

    version: int = 1
    slot: int = 0
    states: tuple[tuple[str, int], ...] = ()
    learned: int = 0
    chunks: tuple[tuple[int, int], ...] = ()
    built: int = 0


class Dumped(msgspec.Struct, frozen=True):
    """A full state: its sealed pieces by recommender, and the last batch that it includes."""

    learned: int
    states: tuple[tuple[str, tuple[bytes, ...]], ...]


_heads = msgspec.msgpack.Decoder(Head)
_chunks = msgspec.msgpack.Decoder(list[bytes])
_first_pending = msgspec.msgpack.Decoder(list[Interaction])


@runtime_checkable
class _ReadsFirst(Protocol):
    """A recommender whose states of before are read too."""

    def load_first(self, data: bytes, /) -> None: ...


class Journal:
    """What was learned and is not in the full state on disk, and how the full state comes there."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._is_written = False  # until the first checkpoint: a replay writes none
        self._begin()

    def _begin(self) -> None:
        self.built = 0
        self._head = Head()
        self._last = 0
        self._new: list[tuple[int, Interactions | bytes]] = []
        self._new_bytes = 0
        self._written_bytes = 0
        self._state_bytes = 0
        self._lost = False
        self._emptied: list[str] = []
        self._dumped: Dumped | None = None
        self._pieces: list[tuple[str, bytes]] = []
        self._out: list[str] = []
        self._work: _Dump | None = None

    def begin_anew(self, built: int) -> None:
        """Go on with another state, of which nothing is on disk: the next checkpoint writes all of it."""
        self.built = built
        self._lost = True
        self._last += 1
        self._new, self._new_bytes = [], 0
        self._dumped, self._pieces, self._work = None, [], None

    @property
    def has_news(self) -> bool:
        """Whether there is anything that the full state on disk lacks."""
        return self._last > self._head.learned

    @property
    def must_dump(self) -> bool:
        """Whether a checkpoint is only possible with the full state."""
        return self._lost

    @property
    def dump_is_due(self) -> bool:
        """Whether what was learned since the full state takes more room than that."""
        grown = self._new_bytes + self._written_bytes > max(GROWN_BYTES, 2 * self._state_bytes)
        return grown or len(self._head.chunks) >= CHUNKS_MAX

    @property
    def is_dumping(self) -> bool:
        """Whether the state is being copied: it must not change."""
        return self._work is not None and not self._work.copied.is_set()

    @property
    def is_writing(self) -> bool:
        """Whether a full state is on its way to the disk."""
        return self._work is not None or self._dumped is not None

    def add(self, batch: Interactions) -> None:
        """Take note of a batch."""
        self._last += 1
        if self._lost:
            return
        self._new.append((self._last, self._sealed_now(batch) if self._is_written else batch))
        self._new_bytes += 1_000 + batch.items.nbytes * 6 + batch.past.nbytes
        if self._new_bytes > JOURNAL_BYTES:
            self._lost = True
            self._new, self._new_bytes = [], 0

    def settle(self) -> None:
        """Wait until the state is copied."""
        if self._work is not None:
            self._work.copied.wait()

    # -- the full state

    def dump(self, recommenders: Sequence[Recommender]) -> None:
        """Dump the state, as of now."""
        work = _Dump(recommenders, self._last, self._vault.sealer(STORE))
        self._take(work.run())

    def begin_dump(self, recommenders: Sequence[Recommender], copied: Callable[[], None]) -> None:
        """Dump the state as of now in another thread, and call `copied`, in this one, when it may change again."""
        loop = asyncio.get_running_loop()
        work = self._work = _Dump(recommenders, self._last, self._vault.sealer(STORE))

        def told() -> None:
            if self._work is work:
                copied()

        def done(future: asyncio.Future[Dumped]) -> None:
            if self._work is work:
                self._work = None
                if not future.cancelled() and future.exception() is None:
                    self._take(future.result())

        work.tell = lambda: loop.call_soon_threadsafe(told)
        loop.run_in_executor(None, work.run).add_done_callback(done)

    def _take(self, dumped: Dumped) -> None:
        slot = 1 - self._head.slot
        self._work = None
        self._dumped = dumped
        self._emptied += self._out  # of one that was begun before, and is not finished now
        self._out = []
        self._pieces = [
            (_state_name(slot, name, place), piece)
            for name, pieces in dumped.states
            for place, piece in enumerate(pieces)
        ]

    # -- the checkpoint

    def products(self, offset: int, *, everything: bool) -> tuple[Product, ...]:
        """Return what the next checkpoint writes: some pieces of a full state, the batches since the last one.

        Parameters
        ----------
        everything
            Whether all pieces of a full state that waits to be written go into this one.
        """
        self._is_written = True
        products = [Product(name, offset, data) for name, data in self._next_pieces(everything=everything)]
        before = self._head
        if self._dumped is not None and not self._pieces:
            products += [Product(name, offset, b"") for name in self._put_in_force(self._dumped)]
        chunk = self._chunk()
        if chunk is not None:
            products.append(Product(chunk[0], offset, chunk[1]))
        if self._head is not before:
            head = self._vault.seal(STORE, PRODUCT, msgspec.msgpack.encode(self._head))
            products.append(Product(HEAD, offset, head))
        return tuple({one.name: one for one in products}.values())  # a place that was emptied may be taken again

    def _sealed_now(self, batch: Interactions) -> bytes | Interactions:
        """Seal a batch if its key can be read, else when it is written: it was noted, and is learned in any case."""
        try:
            return self._sealed(batch)
        except StoreError:
            return batch

    def _sealed(self, batch: Interactions) -> bytes:
        """Seal a batch: when it comes, so that a checkpoint after many of them takes no longer."""
        return self._vault.seal(STORE, PRODUCT, batch.encode())

    def _next_pieces(self, *, everything: bool) -> list[tuple[str, bytes]]:
        taken: list[tuple[str, bytes]] = []
        size = 0
        while self._pieces and (everything or size < PIECES_BYTES):
            taken.append(self._pieces.pop(0))
            self._out.append(taken[-1][0])
            size += len(taken[-1][1])
        return taken

    def _put_in_force(self, dumped: Dumped) -> list[str]:
        """Let the full state that was written be the one that is read; returns the names of what it replaces."""
        old, slot = self._head, 1 - self._head.slot
        states = tuple((name, len(pieces)) for name, pieces in dumped.states)
        firsts = [first for _, first in old.chunks]
        unwritten = self._new[0][0] if self._new else self._last + 1
        ends = [*firsts[1:], unwritten][: len(firsts)]
        self._new = [(number, batch) for number, batch in self._new if number > dumped.learned]
        kept = tuple(chunk for chunk, end in zip(old.chunks, ends, strict=True) if end - 1 > dumped.learned)
        gone = {place for place, _ in old.chunks} - {place for place, _ in kept}
        self._head = Head(slot=slot, states=states, learned=dumped.learned, chunks=kept, built=self.built)
        self._state_bytes = sum(len(piece) for _, pieces in dumped.states for piece in pieces)
        self._written_bytes, self._dumped = 0, None
        if dumped.learned == self._last:
            self._lost, self._new, self._new_bytes = False, [], 0
        emptied = sorted({*self._emptied} - {*self._out})
        self._emptied, self._out = [], []
        return [
            *(_state_name(old.slot, name, place) for name, count in old.states for place in range(count)),
            *(_chunk_name(place) for place in sorted(gone)),
            *emptied,
        ]

    def _chunk(self) -> tuple[str, bytes] | None:
        """Return the batches since the last checkpoint as one product, each sealed; None when there are none."""
        if not self._new:
            return None
        taken = {place for place, _ in self._head.chunks}
        place = next(place for place in range(len(taken) + 1) if place not in taken)
        sealed = [self._sealed(batch) if isinstance(batch, Interactions) else batch for _, batch in self._new]
        batches = msgspec.msgpack.encode(sealed)
        self._head = msgspec.structs.replace(self._head, chunks=(*self._head.chunks, (place, self._new[0][0])))
        self._new, self._new_bytes = [], 0
        self._written_bytes += len(batches)
        return _chunk_name(place), batches

    # -- reading

    def load(self, store: Store, recommenders: Sequence[Recommender], *, sealed: bool) -> Iterator[Interactions]:
        """Give the recommenders the full state of the checkpoint, and yield what was learned since."""
        self._begin()
        data = self._read(store, HEAD)
        if data is None:
            yield from self._load_first(store, recommenders, sealed=sealed)
            return
        head = self._head = _heads.decode(data)
        self._last, self.built = head.learned, head.built
        pieces = dict(head.states)
        for recommender in recommenders:
            if recommender.name in pieces:
                names = (_state_name(head.slot, recommender.name, at) for at in range(pieces[recommender.name]))
                state = tuple(self._read(store, name) or b"" for name in names)
                self._state_bytes += sum(map(len, state))
                recommender.load(state)
        for place, first in head.chunks:
            product = store.product(_chunk_name(place))
            chunk = b"\x90" if product is None else product.data
            self._written_bytes += len(chunk)
            for number, batch in enumerate(_chunks.decode(chunk), first):
                if number > self._last:
                    self._last = number
                    yield Interactions.decode(self._vault.open(batch, PRODUCT) or b"")

    def _load_first(self, store: Store, recommenders: Sequence[Recommender], *, sealed: bool) -> Iterator[Interactions]:
        """Read what a store of before holds; the next checkpoint writes it anew."""
        for recommender in recommenders:
            data = self._read(store, FIRST + recommender.name, sealed=sealed)
            if data is not None and isinstance(recommender, _ReadsFirst):
                recommender.load_first(data)
                self._emptied.append(FIRST + recommender.name)
        pending = self._read(store, FIRST + "pending", sealed=sealed)
        if pending is not None:
            self._emptied.append(FIRST + "pending")
            yield Interactions.of(_first_pending.decode(pending))
        if self._emptied:
            self._lost = True
            self._last, self.built = 1, -1

    def _read(self, store: Store, name: str, *, sealed: bool = True) -> bytes | None:
        product = store.product(name)
        if product is None or not product.data:
            return None
        return self._vault.open(product.data, PRODUCT) if sealed else product.data


class _Dump:
    """The work of copying and sealing a state."""

    def __init__(self, recommenders: Sequence[Recommender], learned: int, sealer: Sealer) -> None:
        self._recommenders = recommenders
        self._learned = learned
        self._sealer = sealer
        self.copied = threading.Event()
        self.tell: Callable[[], object] = lambda: None

    def run(self) -> Dumped:
        """Copy the state, say so, and seal it."""
        try:
            states = [(one.name, one.dump()) for one in self._recommenders]
        finally:
            self.copied.set()
            self.tell()
        return Dumped(
            self._learned,
            tuple((name, tuple(self._sealer.seal(PRODUCT, piece) for piece in pieces)) for name, pieces in states),
        )


def _state_name(slot: int, name: str, place: int) -> str:
    return f"models:{'ab'[slot]}:{name}:{place}"


def _chunk_name(place: int) -> str:
    return f"models:since:{place}"
