"""The log and everything folded from it: what is queued, what is durable, what is undone when it is not.

A `Ledger` takes records, applies them, and makes them durable; `Engine` adds the steps that decide what is taken.
Everything that changes state runs on the event loop's thread; only the writer's thread touches the store's write side.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from random import Random
from typing import Self, assert_never

from bespeak.catalog import Catalog, Item
from bespeak.clock import HOUR, SECOND, Clock, Instant, SystemClock
from bespeak.engine import keyring
from bespeak.engine.asking import Asking
from bespeak.engine.bell import Bell
from bespeak.engine.dedupe import Dedupe
from bespeak.engine.feed import Feed
from bespeak.engine.metrics import Metrics
from bespeak.engine.models import models_of
from bespeak.engine.opening import open_store, place_of_keys
from bespeak.engine.pages import Pages
from bespeak.engine.records import (
    DefinitionRecord,
    ErasureRecord,
    EventRecord,
    ItemsRecord,
    ModelsRecord,
    Record,
    SealedRecord,
    TimeRecord,
    ZoneRecord,
    open_event,
)
from bespeak.engine.recovery import Cutting, recover
from bespeak.engine.sequencer import Sequencer
from bespeak.engine.site import Registry
from bespeak.engine.vault import Vault
from bespeak.engine.vocabulary import Seen
from bespeak.engine.writer import Entry, Writer
from bespeak.errors import BespeakError, CorruptLog, StoreError
from bespeak.ids import ProfileId
from bespeak.privacy.masters import KeyPlace
from bespeak.profiles import Resolved
from bespeak.segments import Change
from bespeak.settings import Settings
from bespeak.stores import Checkpoint, Store, StoreLock

log = logging.getLogger("bespeak.engine")

REMEDY = (
    "`bespeak verify` names everything that is damaged; then restore a backup with `bespeak restore`,"
    " or skip the damaged rows with `bespeak verify --repair`"
)
"""What to do about a log that does not hold what was written to it."""

TICK_SECONDS = 0.1
"""How often due flips are looked for: an exit is seen within this time of its second."""

FLIPS_AT_ONCE = 200
"""Profiles whose due flips are worked through in one go, so that nobody waits long; the rest follow after a pause."""

ASLEEP_BYTES = 64_000_000
"""Rows of people who flipped where they rest that wait for a checkpoint, some fifty thousand: beyond it one is due, and
beyond twice as much nobody flips until one has taken them."""

PAUSE_SECONDS = 0.005
"""The least pause while more flips are due, in which events and questions come to their turn."""

PAUSE_SHARE = 1.6
"""The pause while more flips are due, of the time that those before took: what they moved is sealed and written in it,
too, and events keep half of the loop."""

PROBE_SECONDS = 2
"""How soon the disk is tried again after a failed commit, when no event comes that would try it."""

UNDO_SECONDS = 1.0
"""How soon a store that could not be read after a failed commit is asked again."""


class Ledger(Asking):
    """The state of a running bespeak, and its durability."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        rng: Random,
        lock: StoreLock | None,
        keys: KeyPlace | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.store = store
        self.lock = lock
        self.metrics = Metrics()
        self.metrics.gauges = self._gauges
        self.registry = Registry()
        self.catalog = Catalog()
        self.vault = Vault(store, keys or place_of_keys(settings, store), bound=settings.engine.keys_max)
        self.models = models_of(settings, self.vault)
        self.sequencer = Sequencer(store, settings, self.catalog, self.models, self.vault)
        self.pages = Pages(settings, self.sequencer, self.registry, self.models, clock, rng)
        self._dedupe = Dedupe(store, bound=settings.engine.dedupe_max, sieve_bytes=settings.engine.dedupe_sieve_bytes)
        self._keys = keyring.Keyring()
        self._feed = Feed()
        self.bell = Bell()
        self._names = Seen()
        self._rng = rng
        self._every = round(settings.engine.checkpoint_seconds * SECOND)
        self._offset: int = 0
        self._items: dict[str, Item | None] = {}
        self._quarantined = 0
        self._importing = 0
        self._import_turn = asyncio.Lock()
        self._pending: dict[asyncio.Future[None], frozenset[ProfileId]] = {}
        self._cutting: Cutting | None = None
        self._cuts = 0
        self._changing = asyncio.Lock()
        self._undoing = False
        self._readings = 0
        self._probe_at = 0.0
        self._models_written: Instant = 0
        self._rotating = asyncio.Lock()
        self._last: asyncio.Future[None] | None = None
        self._writer: Writer | None = None
        self._asking: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def open(
        cls,
        settings: Settings,
        *,
        clock: Clock | None = None,
        rng: Random | None = None,
        store: Store | None = None,
        address: str | None = None,
        keys: KeyPlace | None = None,
    ) -> Self:
        """Take the store, load the checkpoint and replay the tail of the log.

        Parameters
        ----------
        keys
            Where the master keys are kept; by default a file in the data directory (RAM, for a store in RAM).

        Raises
        ------
        StoreLocked
            Another process owns the data directory.
        CorruptLog
            The log does not hold what was written to it.
        StoreError
            The master keys are missing, damaged, or of another store.
        """
        rng = rng or Random(secrets.randbits(128))
        try:
            return cls._open(settings, clock or SystemClock(), rng, store, address, keys)
        except CorruptLog as error:
            raise CorruptLog(f"{error.message}; {REMEDY}") from error

    @classmethod
    def _open(
        cls,
        settings: Settings,
        clock: Clock,
        rng: Random,
        store: Store | None,
        address: str | None,
        keys: KeyPlace | None,
    ) -> Self:
        lock: StoreLock | None = None
        if store is None:
            store, lock = open_store(settings, address)
        try:
            ledger = cls(settings, store, clock, rng, lock, keys)
            ledger.recover()
            if ledger.vault.newest >= 0:
                store.wipe()  # an erasure may have been cut off before it came to this
        except BaseException:
            store.close()
            if lock is not None:
                lock.release()
            raise
        return ledger

    async def start(self) -> None:
        """Begin to write and to keep time."""
        most, took = self.settings.engine.queue_bytes, self.metrics.commits.observe
        self._writer = Writer(self.store, asyncio.get_running_loop(), self._undo, queue_bytes=most, took=took)
        self._gather()
        self._rezone(self._writer)
        self._publish(self.sequencer.advance(self.clock.now(), most=FLIPS_AT_ONCE))
        self._ask_on()
        self._task = asyncio.create_task(self._keep_time(), name="bespeak-time")

    @property
    def is_writable(self) -> bool:
        """Whether the engine runs, and its last commit went well."""
        return self._writer is not None and self._writer.is_well

    async def close(self) -> None:
        """Write everything that waits, checkpoint, and let the store go."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._writer is not None:
            try:
                self._write_changes()
                await self._settle(self.checkpoint(models=True))
            except BespeakError:
                log.exception("the last checkpoint could not be made; the next start reads more of the log instead")
            writer, self._writer = self._writer, None
            await asyncio.to_thread(writer.close)
        self._feed.close()
        self._dedupe.clear()
        self.store.close()
        if self.lock is not None:
            self.lock.release()

    @contextmanager
    def _all_or_none(self) -> Generator[None]:
        """Undo what is folded inside when its end is not reached: the log would lack what is known."""
        before = self._offset
        try:
            yield
        except Exception:
            if self._offset != before and self._writer is not None:
                self._writer.fail(StoreError("an event could not be folded"))
            raise

    def _pass_time(self, now: Instant, records: list[Record], *, imported: bool = False) -> None:
        """Log that timers were ahead of what comes now: of history (`imported`), or of a clock that was set back."""
        worked = self.sequencer.worked
        if worked and (imported or worked > now):
            self._offset += 1
            records.append(TimeRecord(worked))
            self._publish(self.sequencer.pass_time(worked))

    # -- state: applying the log, checkpoints, undoing

    def _apply(self, record: Record, offset: int) -> None:
        """Apply one record of the log, live and at replay."""
        match record:
            case SealedRecord() | EventRecord():
                self._take_again(record, offset)
            case ItemsRecord():
                self.catalog.put(record.put)
                self.catalog.remove(record.removed)
                self._items.update({item.id: item for item in record.put})
                self._items.update(dict.fromkeys(record.removed))
            case DefinitionRecord():
                self._note(record)
                self._in_force(record.at, offset)  # what it changes was published when it was live
            case ErasureRecord() | ModelsRecord():
                pass  # what is erased is not read any more, and the checkpoint with this record is as it says
            case TimeRecord():
                self.sequencer.pass_time(record.at)
            case ZoneRecord():
                self.sequencer.rezone(record.zone, at=record.at, offset=offset)
            case _:
                assert_never(record)

    def _take_again(self, record: SealedRecord | EventRecord, offset: int) -> None:
        opened = open_event(self.vault, record, offset)
        if opened is None:
            return  # its person was erased
        event, joined = opened
        resolved = self.sequencer.whose(event)
        if isinstance(resolved, Resolved):
            self.sequencer.take(event, resolved, imported=record.imported, joined=joined, offset=offset)

    def _apply_row(self, records: list[tuple[int, Record]]) -> None:
        """Apply what was logged together; definitions that stand side by side were put in force as one."""
        last = len(records) - 1
        for place, (offset, record) in enumerate(records):
            if isinstance(record, DefinitionRecord) and place < last:
                following = records[place + 1][1]
                if isinstance(following, DefinitionRecord) and following.at == record.at:
                    self._note(record)
                    continue
            self._apply(record, offset)

    def _note(self, record: Record) -> None:
        if isinstance(record, DefinitionRecord):
            self.registry.put(record.kind, record.id, record.version, record.body)

    def _in_force(self, at: Instant, upto: int) -> tuple[Change, ...]:
        self.registry.compile()
        return self.sequencer.define(self.registry.site.segments, self.registry.site.aggregates, upto=upto, at=at)

    def recover(self) -> None:
        """Forget what is in RAM; load the checkpoint and replay the log since.

        Raises
        ------
        CorruptLog
            The log does not hold what was written to it.
        """
        now = self.clock.now()
        self._readings += 1
        self.sequencer.moves.stop()  # what is read now was written when it was live
        self._items.clear()
        self._pending.clear()
        if self._cutting is not None:
            self._cutting.future.set_exception(StoreError("the checkpoint was undone with what it would hold"))
            self._cutting.future.exception()  # seen: nobody need wait for it
            self._cutting = None
        self.vault.load()
        self.sequencer.timers.clear()
        recover(self.store, self.sequencer, self.registry, self.catalog, self.models, self._apply_row)
        # the timers of whoever was here before
        self.sequencer.worked = max(now, self.sequencer.worked, self._changed())
        self._again_until = self.sequencer.worked
        self._changes_safe = max(self._changes_safe, self.sequencer.moves.included)
        self._offset = self.store.last_offset()
        self._dedupe.load(now)
        self._keys.load(self.store)
        self._quarantined = self.store.rejected_count()
        self._models_written = now
        if self._writer is not None:
            self._gather()

    def _gather(self) -> None:
        """Gather from now on who enters and leaves segments, if that is to be kept."""
        if self.settings.engine.changes_max:
            self.sequencer.moves.begin(max(self._changed(), self.sequencer.worked))

    def _changed(self) -> Instant:
        """Return when the newest change was written: so far timers were, also where no checkpoint says so yet."""
        newest = self.store.newest_change()
        return 0 if newest is None else newest.written

    def _rezone(self, writer: Writer) -> None:
        """Log where people live who name no time zone, if the settings say another one than the log."""
        zone, now = self.settings.profiles.time_zone, self.clock.now()
        if zone == self.sequencer.zone:
            return
        records: list[Record] = []
        with self._all_or_none():
            self._pass_time(now, records)
            self._offset += 1
            records.append(ZoneRecord(zone, now))
            self._apply(records[-1], self._offset)
        self._queue(writer, now, records)

    def _undo(self, error: StoreError) -> None:
        """Undo all that was folded and did not become durable: start again from the checkpoint and the log."""
        self._undoing = True
        self._last = None
        self.metrics.add("bespeak_commit_failures_total")
        log.error("undoing what was folded and is not on disk: %s", error.code)
        self._read_again()

    def _read_again(self) -> None:
        """Read checkpoint and log again; until the store answers, nothing is taken or decided."""
        try:
            self.recover()
        except Exception:
            log.exception("the store cannot be read; asking again in %g s", UNDO_SECONDS)
            asyncio.get_running_loop().call_later(UNDO_SECONDS, self._retry)
            return
        self._undoing = False
        if self._writer is not None:
            self._writer.resume()
            self._rezone(self._writer)
            self._ask_on()

    def _retry(self) -> None:
        if self._writer is not None:
            self._read_again()

    async def _keep_time(self) -> None:
        due = self.clock.now() + self._every
        forget_at, took, loop = 0, 0.0, asyncio.get_running_loop()
        while True:
            pause = min(max(PAUSE_SECONDS, PAUSE_SHARE * took), TICK_SECONDS)
            await asyncio.sleep(pause if self._is_behind() else TICK_SECONDS)
            now, began = self.clock.now(), loop.time()
            try:
                due = self._tick(now, due)
                took = loop.time() - began
                if now // HOUR != forget_at:
                    forget_at = now // HOUR
                    await asyncio.to_thread(self.store.forget_seen, forget_at - 48)
                await self._trim(now)
            except Exception:
                log.exception("this tick failed; the next one tries again")
                await asyncio.sleep(TICK_SECONDS)  # a disk that fails is not asked all the time

    async def _trim(self, now: Instant) -> None:
        """Drop some of what is kept for a while, if it is time to."""

    def _is_behind(self) -> bool:
        """Whether something is left that the last tick had no time for: after a long stop there may be very much."""
        if self._undoing:
            return False
        if not self._dedupe.is_loaded:
            return True
        return not self._importing and self.is_writable and self.sequencer.timers.is_behind(self._reached())

    def _tick(self, now: Instant, due: Instant) -> Instant:
        """Work through what is due; returns when the next checkpoint is."""
        if self._undoing:
            return due
        self._probe()
        self._dedupe.refill()
        if not self._importing and self._has_room() and self.is_writable:
            self._flip_some(max(now, self.sequencer.worked), FLIPS_AT_ONCE)
        due = min(due, now + self._every)  # a clock that was set back puts nothing off
        if self._pending or (now < due and not self._is_much_unwritten()):
            return due
        self.checkpoint()
        return now + self._every

    def _flip_some(self, now: Instant, most: int) -> None:
        """Work through the flips of at most so many people; of nobody while RAM has no room for what they come to."""
        if self.sequencer.live.asleep_bytes <= 2 * ASLEEP_BYTES:
            self._publish(self.sequencer.advance(now, most=most))

    def _is_much_unwritten(self) -> bool:
        """Whether a checkpoint cannot wait: replaying the log would take long, or the changed people fill the RAM."""
        unwritten = self._offset - self.store.checkpoint_offset()
        live = self.sequencer.live
        return (
            unwritten >= self.settings.engine.checkpoint_events
            or len(live.dirty) >= self.settings.profiles.live_max * 3 // 4
            or live.asleep_bytes > ASLEEP_BYTES
        )

    def _probe(self) -> None:
        """Write one page after a commit that failed: nobody else may come to try, since `/ready` sends them away."""
        writer, loop = self._writer, asyncio.get_running_loop()
        if writer is None or writer.is_well:
            self._probe_at = loop.time() + PROBE_SECONDS
        elif writer.ready and not self._pending and loop.time() >= self._probe_at:
            self._probe_at = loop.time() + PROBE_SECONDS
            self._put(writer, Entry(loop.create_future(), checkpoint=Checkpoint(offset=self.store.checkpoint_offset())))
