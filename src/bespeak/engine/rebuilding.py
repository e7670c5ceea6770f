"""The models built anew from the log, while everything goes on: what erased people left in the sums goes with that."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import msgspec

from bespeak.catalog import Catalog
from bespeak.clock import HOUR, MINUTE, Instant, format_time
from bespeak.engine.aliases import seal_alias
from bespeak.engine.custody import Custody
from bespeak.engine.models import Models, models_of
from bespeak.engine.records import EventRecord, ModelsRecord, Record, SealedRecord, decode, open_event
from bespeak.engine.sequencer import Sequencer
from bespeak.engine.vault import Vault
from bespeak.engine.writer import Entry
from bespeak.errors import StoreError, Unavailable
from bespeak.privacy.masters import KeyHeld
from bespeak.profiles import Resolved
from bespeak.recommend import Interactions
from bespeak.settings import Settings
from bespeak.stores import Checkpoint, Commit, LogRow, MemorySettings, MemoryStore, SqliteStore, Store

log = logging.getLogger("bespeak.engine")

FOLDER = "rebuilding"
"""Where the people of a rebuild rest, in the data directory: sealed under a key that is in RAM only, and taken away."""

SLICE = 100
"""Events folded in one go, some 3 milliseconds; then the loop is given back."""

ROWS = 16
"""Rows of the log read at once; no read of the store stays open while others work."""

SPILL = 1_000
"""Events between two writes of the people that they changed."""

NEAR = 20_000
"""With so many events left to read, what is learned meanwhile is kept beside, and the rebuild comes to its end."""

SHARE = 0.25
"""The part of the time that a rebuild takes beside a server's work."""

AGAIN = 10 * MINUTE
"""After a rebuild that failed, the next begins by itself not before this."""


class ModelsStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the models stand.

    Parameters
    ----------
    rebuilding
        Whether they are being built anew.
    done, total
        Records of the log that this rebuild, or the last one, has read, and how many there are for it to read.
    built
        The record of the log up to which erased people are not in the models; 0 when they were never built anew.
    erased
        When the first person was erased whose part the models still hold; None when there is none.
    failed
        Why the last rebuild failed; empty when it did not.
    """

    rebuilding: bool
    done: int
    total: int
    built: int
    erased: str | None
    failed: str


class Builder:
    """Folds the log once more, only to learn from it; the people that it knows rest in a store of its own."""

    def __init__(self, settings: Settings, source: Store, vault: Vault, scratch: Store) -> None:
        self._source = source
        self._vault = vault
        self._scratch = scratch
        self._own = Vault(scratch, KeyHeld({}), bound=settings.engine.keys_max)
        self.models: Models = models_of(settings, self._own)
        self.models.unwritten()
        self._sequencer = Sequencer(scratch, settings, Catalog(), self.models, self._own)
        self._changed = 0
        self.offset = 0

    async def run(self, upto: int, share: float) -> None:
        """Take in the log up to an offset, which is durable, in that share of the time."""
        began = time.perf_counter()
        taken = 0
        while self.offset < upto:
            rows = list(islice(self._source.read(self.offset), ROWS))
            if not rows:
                raise StoreError(f"the log ends at {self.offset}, before {upto}")
            for offset, record in (pair for row in rows for pair in decode(row, after=self.offset)):
                if offset > upto:
                    break
                self._take(record, offset)
                self.offset = offset
                taken += 1
                if self._changed >= SPILL:
                    await self._spill()
                if taken % SLICE == 0:
                    await asyncio.sleep((time.perf_counter() - began) * (1 / share - 1))
                    began = time.perf_counter()
            else:
                self.offset = min(upto, max(self.offset, _last(rows[-1])))  # a gap has no records

    def _take(self, record: Record, offset: int) -> None:
        if not isinstance(record, SealedRecord | EventRecord):
            return
        opened = open_event(self._vault, record, offset)
        if opened is None:
            return  # its person was erased
        event, joined = opened
        resolved = self._sequencer.whose(event)
        if isinstance(resolved, Resolved):
            self._sequencer.take(event, resolved, imported=record.imported, joined=joined)
        self._changed += 1

    async def _spill(self) -> None:
        """Write the people that were changed, in another thread: the disk may take long."""
        self._changed = 0
        live, known = self._sequencer.live, self._sequencer.aliases
        removed = live.begin_cut()
        live.cut()
        changed, mark = known.changed(), known.mark()
        checkpoint = Checkpoint(
            offset=0,
            profiles=live.rows(),
            removed=tuple(self._own.name(profile_id) for profile_id in removed),
            aliases={self._own.name(alias): seal_alias(self._own, alias, who) for alias, who in changed.items()},
        )
        keys = self._own.made()
        await asyncio.to_thread(self._scratch.commit, Commit(keys=keys, checkpoint=checkpoint))
        self._own.written(keys)
        known.written(mark)
        live.written(removed)
        live.shrink(frozenset())


class Rebuilding(Custody):
    """A ledger whose models can be built anew."""

    _rebuild: asyncio.Task[None] | None = None
    _builder: Builder | None = None
    _total: int = 0
    _done: int = 0
    _failed: str = ""
    _looked: Instant = 0
    _again: Instant = 0

    async def start(self) -> None:
        """Begin to write, to keep time, to archive; what a rebuild that was killed has left goes."""
        if not isinstance(self.settings.store, MemorySettings):
            await asyncio.to_thread(shutil.rmtree, Path(self.settings.data_dir) / FOLDER, ignore_errors=True)
        await super().start()

    def models_status(self) -> ModelsStatus:
        """Say how the models stand, and how far a rebuild is."""
        erased = self.vault.first_erased_after(self.models.built)
        running = self._rebuild is not None
        return ModelsStatus(
            rebuilding=running,
            done=self._builder.offset if self._builder is not None else self._done,
            total=self._total,
            built=max(0, self.models.built),
            erased=None if erased is None else format_time(erased),
            failed=self._failed,
        )

    def begin_rebuild(self, *, share: float = SHARE) -> ModelsStatus:
        """Begin to build the models anew from the log, without the people who were erased; one at a time.

        Parameters
        ----------
        share
            The part of the time that it may take, above 0 and at most 1.

        Raises
        ------
        StoreError
            The engine is not running, or the store is not writable.
        """
        if self._rebuild is None:
            self._open_writer()
            self._failed, self._done, self._total = "", 0, self._offset
            self._rebuild = asyncio.create_task(self._build(share), name="bespeak-rebuild")
            self._rebuild.add_done_callback(self._built)
        return self.models_status()

    async def rebuilt(self, seconds: float) -> ModelsStatus:
        """Wait for a rebuild to end, for so many seconds at most."""
        if self._rebuild is not None:
            await asyncio.wait([self._rebuild], timeout=seconds)
        return self.models_status()

    async def close(self) -> None:
        """Give a rebuild up, then close; the models stay as they were."""
        task = self._rebuild
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await super().close()

    def _built(self, task: asyncio.Task[None]) -> None:
        self._rebuild = None
        if self._builder is not None:
            self._done, self._builder = self._builder.offset, None
        if task.cancelled():
            self._failed = "given up"
        elif task.exception() is not None:
            self._failed = str(task.exception())
            self._again = self.clock.now() + AGAIN
            log.error("the models could not be built anew: %s", self._failed)

    def _tick(self, now: Instant, due: Instant) -> Instant:
        if abs(now - self._looked) >= MINUTE:
            self._looked = now
            self._rebuild_if_due(now)
        return super()._tick(now, due)

    def _rebuild_if_due(self, now: Instant) -> None:
        hours = self.settings.engine.models_rebuild_hours
        if not hours or self._rebuild is not None or not self.is_writable or now < self._again:
            return
        erased = self.vault.first_erased_after(self.models.built)
        if erased is not None and now - erased >= hours * HOUR:
            log.info("building the models anew, without the people erased since %s", format_time(erased))
            self.begin_rebuild()

    async def _build(self, share: float) -> None:
        await self._on_disk()
        without = self.store.last_offset()
        with _scratch(self.settings) as scratch:
            builder = self._builder = Builder(self.settings, self.store, self.vault, scratch)
            while self._offset - builder.offset > NEAR:
                await self._on_disk()
                self._total = self.store.last_offset()
                await builder.run(self._total, share)
            # What is learned from here on is kept beside, and added when the builder has come to here.
            beside, self._total = self.models.beside(), self._offset
            await self._on_disk()
            await builder.run(self._total, share)
            await self._all_asked()
            await self._swap(builder, beside, without)

    async def _swap(self, builder: Builder, beside: list[Interactions], without: int) -> None:
        """Put the models that were built in the place of those that are live: log, models and checkpoint at once."""
        writer = self._open_writer()
        self._end_cut()
        if not self.models.adopt(builder.models, beside, without):
            raise Unavailable("what is known was read again meanwhile, or too much was learned", retry_after=1)
        now = self.clock.now()
        with self._all_or_none():
            self._offset += 1
            cutting = self._cut_whole(writer)
            entry = Entry(
                cutting.future,
                row=self._row(now, [ModelsRecord(without, now)]),
                documents=cutting.cut.documents,
                checkpoint=cutting.cut.with_rows(self.sequencer.live.rows()),
            )
            self._put_cut(cutting, entry)
        await asyncio.shield(cutting.future)
        self.metrics.add("bespeak_models_rebuilt_total")


@contextmanager
def _scratch(settings: Settings) -> Generator[Store]:
    """Give an empty store, and take it away afterwards."""
    if isinstance(settings.store, MemorySettings):
        yield MemoryStore()
        return
    folder = Path(settings.data_dir) / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    store = SqliteStore(folder / "people.db")
    try:
        yield store
    finally:
        store.close()
        shutil.rmtree(folder, ignore_errors=True)


def _last(row: LogRow) -> int:
    return row.first + row.count - 1
