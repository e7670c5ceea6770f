"""New definitions that need history: it is counted beside the work, and the definitions before them serve meanwhile.

What is to be in force is a document of the store, so that a start goes on with it. What is counted is a function of the
log, and changes nobody, until one record of the log puts the definitions in force.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any, TypeAlias

import msgspec

from bespeak.clock import Clock
from bespeak.engine.backfill import Backfill
from bespeak.engine.definitions import Definition, DefinitionKind
from bespeak.engine.issuing import Issuing
from bespeak.engine.records import DefinitionRecord, ItemsRecord, Record
from bespeak.engine.site import Site
from bespeak.engine.wishes import Name, Wish, Wishes
from bespeak.engine.writer import Entry
from bespeak.errors import BespeakError, DefinitionError, StoreError, Unavailable
from bespeak.events import Event
from bespeak.ids import ProfileId
from bespeak.privacy.masters import KeyPlace
from bespeak.settings import Settings
from bespeak.stores import Store, StoreLock

log = logging.getLogger("bespeak.engine")

READ_AT_ONCE = 250
READ_AT_ONCE_MAX = 4_000
"""Records of the log that are read before others have their turn, some three milliseconds: besides, twice as many as
came in meanwhile, so that the end of the log comes nearer however much comes in; and at most so many."""

PAUSE_SECONDS = 0.0005
"""The pause between, while something waits for the disk: a thread writes it, which a busy loop holds up."""

NEAR = 5_000
"""With so few records left to read, no other definitions are put in force until these are."""

FEW = 1_000
"""Of the events that came meanwhile, so many are taken in at once: some ten milliseconds."""

BESIDE_MAX = 50_000
"""Events that came since the end is near and are kept in RAM; with more, they are read from the log after all."""

AGAIN_SECONDS = 0.05
AGAIN_SECONDS_MAX = 2.0
"""How soon what could not be read is read again, at first and in the end."""

FAILURES_MAX = 100
"""Definitions of which is remembered why they were not put in force."""

CLOSED = "the engine was closed; definitions that are not in force yet are prepared after its next start"

Versioned: TypeAlias = tuple[DefinitionKind, str, int, dict[str, Any] | None]
"""One change: kind, id, version, and what it says; None when it is deleted."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a definition is that is not in force yet; the one before it is, if there is one.

    Parameters
    ----------
    version
        Its version once it is in force.
    done, total
        Records of the log in which history is counted for it, and how many there are; done is 0 while it waits for
        others.
    """

    kind: DefinitionKind
    id: str
    version: int
    done: int
    total: int


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A definition that could not be put in force since the start, and why."""

    kind: DefinitionKind
    id: str
    reason: str


class Preparation(msgspec.Struct, frozen=True):
    """What is not in force yet, and what will not be; both ordered by kind and id."""

    preparing: tuple[Progress, ...]
    failed: tuple[Failure, ...]


class Preparing(Issuing):
    """A ledger that counts history for new definitions while everything goes on."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        rng: Random,
        lock: StoreLock | None,
        keys: KeyPlace | None = None,
    ) -> None:
        super().__init__(settings, store, clock, rng, lock, keys)
        self._wishes = Wishes()
        self._ends: dict[int, asyncio.Future[None]] = {}
        self._hopeless: dict[int, BespeakError] = {}
        self._failures: dict[Name, str] = {}
        self._preparing: asyncio.Task[None] | None = None
        self._backfill: Backfill | None = None
        self._beside: deque[tuple[int, Event | ItemsRecord, ProfileId]] | None = None
        self._seen = 0

    # -- what is wished for

    def preparing(self) -> tuple[Progress, ...]:
        """Say which definitions are not in force yet, and how far they are."""
        first = min(self._wishes.batches, default=0)
        done = 0 if self._backfill is None else self._backfill.offset
        return tuple(
            Progress(
                kind=wish.definition.kind,
                id=wish.definition.id,
                version=wish.definition.version,
                done=done if wish.batch == first else 0,
                total=self._offset,
            )
            for wish in self._wishes.all()
        )

    def wished(self, kind: DefinitionKind, definition_id: str) -> Definition | None:
        """Return a definition that is not in force yet, as it will be."""
        wish = self._wishes.get((kind, definition_id))
        return None if wish is None else wish.definition

    async def prepared(self, seconds: float) -> Preparation:
        """Wait until nothing is prepared any more, for so many seconds at most, and say what is left."""
        if self._preparing is not None and len(self._wishes):
            await asyncio.wait([self._preparing], timeout=seconds)
        failed = (Failure(kind=kind, id=name, reason=why) for (kind, name), why in sorted(self._failures.items()))
        return Preparation(self.preparing(), tuple(failed))

    def _is_preparing(self) -> bool:
        return len(self._wishes) > 0

    def _gauges(self) -> Mapping[str, float]:
        left = max((one.total - one.done for one in self.preparing()), default=0)
        return {
            **super()._gauges(),
            "bespeak_definitions_preparing": len(self._wishes),
            "bespeak_definitions_preparing_records": left,
        }

    def _wish_for(self, changes: Sequence[Definition], withdrawn: Iterable[Name]) -> int:
        """Write down what is to be in force, and what is not any more; returns the number of the batch."""
        writer, batch = self._open_writer(), self._wishes.newest + 1
        wished: dict[Name, Wish] = {(one.kind, one.id): Wish(one, batch) for one in changes}
        documents = self._wishes.documents(self.store, wished.values(), withdrawn)
        self._put(writer, Entry(asyncio.get_running_loop().create_future(), documents=documents))
        self._wishes.note(documents, wished)
        for name in wished:
            self._failures.pop(name, None)
        self._end_over()
        self._ask_on()
        return batch

    def _end_of(self, batch: int) -> asyncio.Future[None]:
        """Return what is done when a batch is in force, or never will be.

        Raises
        ------
        StoreError
            The engine was closed.
        """
        if self._asks_nobody:
            raise StoreError(CLOSED)
        future = self._ends.get(batch)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            if batch in self._wishes.batches:
                self._ends[batch] = future
            else:
                future.set_result(None)
        return future

    def _end_over(self) -> None:
        """Tell whoever waits for batches of which nothing is wished for any more."""
        for batch in self._ends.keys() - self._wishes.batches:
            self._ends.pop(batch).set_result(None)

    def _end(self, batches: Iterable[int], error: BespeakError) -> None:
        """Tell whoever waits for batches that they are not put in force."""
        for batch in batches:
            future = self._ends.pop(batch, None)
            if future is not None:
                future.set_exception(error)
                future.exception()  # seen: whoever waited may have gone away

    def recover(self) -> None:
        """Forget what is in RAM; load the checkpoint and replay the log since, and read what is wished for."""
        self._beside = None
        super().recover()
        self._wishes.load(self.store, self.registry)
        if self._backfill is not None and self._backfill.depends > self._offset:
            self._drop_backfill()  # it has taken in what was undone
        self._end_over()

    # -- counting, and what comes in meanwhile

    def _follow(self, event: Event | ItemsRecord, joined: ProfileId) -> None:
        """Keep an event that was taken just now, or a change of the catalog, for what is nearly counted."""
        if self._beside is not None:
            self._beside.append((self._offset, event, joined))

    def _forget_prepared(self, ids: Sequence[ProfileId], offset: int) -> None:
        """Take an erased person out of what is counted so far, and of what waits to be."""
        backfill = self._backfill
        if backfill is None:
            return
        backfill.forget(ids, offset)
        if self._beside:
            gone = frozenset(ids)
            self._beside = deque(
                one for one in self._beside if isinstance(one[1], ItemsRecord) or backfill.about(one[1]) not in gone
            )

    def _ask_on(self) -> None:
        """See to it that everybody is asked, and that what is wished for is prepared."""
        super()._ask_on()
        if self._writer is None or self._undoing or self._asks_nobody or not self._is_preparing():
            return
        if self._preparing is None or self._preparing.done():
            self._preparing = asyncio.create_task(self._prepare_all(), name="bespeak-preparing")
            self._preparing.add_done_callback(lambda task: task.cancelled() or task.exception())  # seen

    def ask_nobody_more(self) -> None:
        """Ask nobody more and prepare nothing, since the end is near: whoever waits is told; the next start goes on."""
        super().ask_nobody_more()
        if self._preparing is not None:
            self._preparing.cancel()
        self._end(tuple(self._ends), StoreError(CLOSED))

    async def close(self) -> None:
        """Prepare nothing more, which whoever waits for it is told, then close; the next start goes on."""
        await self._stop_asking()
        if self._preparing is not None:
            await asyncio.gather(self._preparing, return_exceptions=True)
        self._drop_backfill()
        await super().close()

    def _drop_backfill(self) -> None:
        if self._backfill is not None:
            self._backfill.close()
            self._backfill = None

    async def _prepare_all(self) -> None:
        """Put what is wished for in force, batch by batch; what could not be read or written is tried again."""
        pause = AGAIN_SECONDS
        while self._is_preparing() and self._writer is not None:
            batch = min(self._wishes.batches)
            try:
                if batch in self._hopeless:
                    await self._give_up(batch, self._hopeless[batch])
                else:
                    await self._prepare(batch)
                pause = AGAIN_SECONDS
            except Unavailable as error:
                if pause < AGAIN_SECONDS_MAX <= 2 * pause:
                    log.warning("new definitions are not in force yet, which is tried again: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, AGAIN_SECONDS_MAX)
            except BespeakError as error:
                self._hopeless[batch] = error
            except Exception as error:
                log.exception("new definitions could not be put in force")
                self._hopeless[batch] = StoreError(f"history could not be counted: {type(error).__name__}")
        self._drop_backfill()
        if self._writer is None:
            self._end(tuple(self._ends), StoreError(CLOSED))

    async def _give_up(self, batch: int, error: BespeakError) -> None:
        """Withdraw what cannot be put in force, and tell whoever waits for it."""
        async with self._changing:
            writer = self._open_writer()
            names: list[Name] = [(one.kind, one.id) for one in self._wishes.of(batch)]
            documents = self._wishes.documents(self.store, (), names)
            self._put(writer, Entry(asyncio.get_running_loop().create_future(), documents=documents))
            self._wishes.note(documents)
            self._drop_backfill()
            await self._on_disk()
            del self._hopeless[batch]
            log.error("definitions are not put in force: %s", error)
            for name in names:
                if len(self._failures) < FAILURES_MAX:
                    self._failures[name] = error.message
            self._end([batch], error)
            self._end_over()

    async def _prepare(self, batch: int) -> None:
        """Count history for a batch, and put it in force; returns early where it has to begin anew."""
        async with self._changing:
            if batch not in self._wishes.batches:
                return
            backfill = self._backfill_of(await self._compiled(batch))
        self._seen = self._offset
        while self._has(batch, backfill) and self.store.last_offset() - backfill.offset > NEAR:
            await self._read_some(backfill)
        async with self._changing:
            await self._all_asked()
            if not self._has(batch, backfill):
                return
            reading = self._readings
            site, changes = await self._compiled(batch), self._changes_of(batch)
            lacking = self.sequencer.lacks(site.aggregates)
            try:
                if not backfill.covers(lacking) or not await self._come_near(backfill, reading):
                    return  # history is counted in what is lacking now, or from the beginning
                self._open_writer()
                backfill.follow(self._kept_beside() or (), self._offset)  # from here on nothing comes in between
            finally:
                self._beside = None
            self._backfill = None
            backfill.narrow(lacking)
            await asyncio.shield(self._put_in_force(changes, site, backfill, reading))
            self._end_over()
            await self._all_asked()
            await self._settle(self.checkpoint())

    def _has(self, batch: int, backfill: Backfill) -> bool:
        """Whether a batch is still to be put in force, and what was counted for it is still good."""
        return self._backfill is backfill and batch in self._wishes.batches

    def _changes_of(self, batch: int) -> list[Versioned]:
        wished = self._wishes.of(batch)
        return [(one.kind, one.id, self.registry.next_version(one.kind, one.id), one.body) for one in wished]

    async def _compiled(self, batch: int) -> Site:
        """Compile what is in force once a batch is."""
        changes = [
            Definition(kind=kind, id=name, version=version, body=body or {})
            for kind, name, version, body in self._changes_of(batch)
        ]
        self._check_known()
        reading = self._readings
        try:
            return await asyncio.to_thread(self.registry.with_changes, tuple(changes))
        except DefinitionError:
            self._check_known()  # else it is of what was being read
            self._check_reading(reading)
            raise

    def _backfill_of(self, site: Site) -> Backfill:
        """Return what counts history in all that a site declares newly: what was begun, or another."""
        lacking = self.sequencer.lacks(site.aggregates)
        if self._backfill is None or not self._backfill.covers(lacking):
            self._drop_backfill()
            self._backfill = self.sequencer.backfill(lacking)
        return self._backfill

    async def _read_some(self, backfill: Backfill) -> bool:
        """Read some of what is durable, and let others have their turn; says whether more of it is left."""
        writer = self._writer
        if writer is None:
            raise StoreError(CLOSED)
        while backfill.is_in_the_past and self._backfill is backfill:
            await asyncio.to_thread(backfill.fetch_past)
        if self._backfill is not backfill:
            return False
        most = min(READ_AT_ONCE + 2 * max(0, self._offset - self._seen), READ_AT_ONCE_MAX)
        self._seen = self._offset
        more = backfill.read(self.store.last_offset(), most)
        await asyncio.sleep(PAUSE_SECONDS if writer.waiting_bytes else 0)
        return more

    async def _come_near(self, backfill: Backfill, reading: int) -> bool:
        """Read on until little is left, and that is in RAM; says whether it came to that."""
        self._beside, since = deque(), self._offset
        self._seen = since
        while self._backfill is backfill:
            more = await self._read_some(backfill)
            beside = self._kept_beside()
            if beside is None or self._readings != reading:
                return False
            while beside and beside[0][0] <= backfill.offset:
                beside.popleft()
            if since <= backfill.offset and self._offset - backfill.offset <= FEW:
                return True
            if not more and since <= backfill.offset:
                some = [beside.popleft() for _ in range(min(FEW, len(beside)))]
                backfill.follow(some, backfill.offset)  # however slow the disk is, the end comes nearer
            elif not more:
                await self._on_disk()
            elif len(beside) > BESIDE_MAX:
                self._beside, since = deque(), self._offset
        return False

    def _kept_beside(self) -> deque[tuple[int, Event | ItemsRecord, ProfileId]] | None:
        """Return the events that are kept in RAM; None when what is known was read again since."""
        return self._beside

    # -- putting in force

    def _check_reading(self, reading: int) -> None:
        """Raise `Unavailable` when what is known was read again since: versions and what is compiled may be undone."""
        if self._readings != reading:
            raise Unavailable("what is known was read again meanwhile", retry_after=1)

    def _put_in_force(
        self,
        changes: Sequence[Versioned],
        site: Site,
        backfill: Backfill,
        reading: int,
        withdrawn: Iterable[Name] = (),
    ) -> asyncio.Future[None]:
        """Log changes and put them in force; what was read before `reading` changed is not what is known now.

        Wishes for what is changed, and those that are withdrawn, are over with that.

        Raises
        ------
        Unavailable
            The store is not writable, or what is known was undone and read again; nothing was changed.
        """
        writer = self._open_writer()
        self._check_reading(reading)
        names: list[Name] = [*((kind, definition_id) for kind, definition_id, _, _ in changes), *withdrawn]
        documents = self._wishes.documents(self.store, (), names)
        now = self.clock.now()
        records: list[Record] = []
        with self._all_or_none():
            self._pass_time(now, records)
            for kind, definition_id, version, body in changes:
                records.append(DefinitionRecord(kind, definition_id, version, body, now))
                self._offset += 1
                self._note(records[-1])
            self.registry.site = site
            self.sequencer.begin(site.segments, site.aggregates, backfill, at=now, offset=self._offset)
        future = asyncio.get_running_loop().create_future()
        self._put(writer, Entry(future, row=self._row(now, records), documents=documents))
        self._wishes.note(documents)
        self._ask_on()
        return future
