"""What was taken becomes durable: rows of the log in the order of their offsets, and checkpoints between them."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable
from contextlib import contextmanager

import msgspec

from bespeak.catalog import Item
from bespeak.clock import SECOND, Clock, Instant
from bespeak.engine.bell import Bell
from bespeak.engine.dedupe import Dedupe
from bespeak.engine.encoded import Encoded
from bespeak.engine.keyring import Keyring
from bespeak.engine.models import Models
from bespeak.engine.packing import pack_all
from bespeak.engine.records import Record, encode
from bespeak.engine.recovery import Cut, Cutting, checkpoint
from bespeak.engine.shown import Shown
from bespeak.engine.vault import Vault
from bespeak.engine.writer import Entry, Writer
from bespeak.errors import StoreError, Unavailable
from bespeak.ids import ProfileId
from bespeak.segments import Change
from bespeak.stores import ChangeRow, LogRow, Part, Rejected, Store, WrappedKey

CUT_AT_ONCE = 100
"""Profiles that are encoded for a checkpoint before others have their turn: about a millisecond."""

PART_ROWS = 250
"""Rows of a checkpoint that are written by one commit: whoever waits for the disk waits some ten milliseconds more."""

PARTS_AHEAD = 2
"""With rows for so many parts that are not written yet, no more are made but of those who are changed meanwhile."""

PACKED_AT_ONCE = 500
"""People that a thread packs at a time: some ten milliseconds."""

APART_MIN = 50
"""So many are packed by a thread; for fewer it would take longer to wake it."""


class Committing(Shown):
    """Hands what its heirs take to the writer, and makes checkpoints of what they hold."""

    clock: Clock
    store: Store
    vault: Vault
    models: Models
    _dedupe: Dedupe
    _keys: Keyring
    _items: dict[str, Item | None]
    _pending: dict[asyncio.Future[None], frozenset[ProfileId]]
    _cutting: Cutting | None
    _cuts: int
    _last: asyncio.Future[None] | None
    _asking: asyncio.Task[None] | None
    _undoing: bool
    _models_written: Instant
    bell: Bell
    _writes_changes = False
    _changes_safe = 0
    _again_until: Instant | None = None

    def _queue(
        self,
        writer: Writer,
        now: Instant,
        records: list[Record],
        seen: tuple[tuple[bytes, int], ...] = (),
        rejected: tuple[Rejected, ...] = (),
    ) -> None:
        if not records and not rejected:
            return
        row = self._row(now, records) if records else None
        self._put(writer, Entry(asyncio.get_running_loop().create_future(), row=row, seen=seen, rejected=rejected))

    def _row(self, now: Instant, records: list[Record]) -> LogRow:
        return LogRow(self._offset - len(records) + 1, len(records), now, encode(records))

    def _put(self, writer: Writer, entry: Entry) -> asyncio.Future[None]:
        """Queue an entry, and with it who entered and left segments, and the keys made, since the one before."""
        if self.sequencer.moves:
            entry.changes += self._sealed_changes(writer)
            entry.future.add_done_callback(self._changes_written)
        keys = self.vault.made()
        if keys:
            entry.keys += keys
            entry.future.add_done_callback(lambda done: self._keys_written(done, keys))
        self._last = entry.future
        writer.put(entry)
        return entry.future

    def _keys_written(self, done: asyncio.Future[None], keys: tuple[WrappedKey, ...]) -> None:
        if not done.cancelled() and done.exception() is None:
            self.vault.written(keys)

    def _durable(self) -> asyncio.Future[None]:
        """Return the future of the newest commit: whatever was taken, or was here before it, is on disk then."""
        if self._last is None:
            self._last = asyncio.get_running_loop().create_future()
            self._last.set_result(None)
        return self._last

    def _reached(self) -> Instant:
        """Return up to when timers work: up to now, or, where the clock was set back, up to where they were."""
        return max(self.clock.now(), self.sequencer.worked)

    def _sealed_changes(self, writer: Writer) -> tuple[ChangeRow, ...]:
        """Return who entered and left segments since the last time, for the next commit."""
        try:
            return self.sequencer.moves.rows(self.vault, self._reached())
        except Exception:
            writer.fail(StoreError("changes of segments could not be sealed"))
            raise

    def _publish(self, changes: tuple[Change, ...]) -> None:
        """Show changes to whoever watches, and see to it that they are written soon, should nothing else be."""
        super()._publish(changes)
        if changes and not self._writes_changes:
            self._writes_changes = True
            asyncio.get_running_loop().call_soon(self._write_changes)

    def _write_changes(self) -> None:
        self._writes_changes = False
        if self.sequencer.moves and self._writer is not None:
            self._put(self._writer, Entry(asyncio.get_running_loop().create_future()))

    def _changes_written(self, done: asyncio.Future[None]) -> None:
        if not done.cancelled() and done.exception() is None:
            self.bell.ring()

    async def _on_disk(self) -> None:
        """Wait for the newest commit; whoever stops waiting takes nobody else's answer away."""
        await asyncio.shield(self._durable())

    def _check_known(self) -> None:
        """Raise `Unavailable` while everything is read again, after an undoing: what is known is not whole then."""
        if self._undoing:
            raise Unavailable("what is known is being read again", retry_after=1)

    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise StoreError("the engine is not running")
        self._writer.room()
        return self._writer

    # -- checkpoints

    def checkpoint(self, *, models: bool = False) -> asyncio.Future[None] | None:
        """Queue a consistent cut of everything folded so far; None when nothing changed, or nothing can be written."""
        if self._writer is None or not self._writer.ready:
            return None
        self._end_cut()
        now = self.clock.now()
        written = now - self._models_written
        if models or self.models.dump_is_due or abs(written) > self.settings.engine.models_seconds * SECOND:
            self._models_written = now
            if not models:
                self.models.begin_dump()
        with _whole(self._writer):
            cut = self._cut(models=models)
            documents = (*cut.documents, *self._keys.unwritten())
        if not cut.changed and not documents:
            if not self._pending:  # what is on disk is what is live
                self._changes_safe = cut.changes
            self._shrink()
            return None
        cut = msgspec.structs.replace(cut, documents=documents)
        future = asyncio.get_running_loop().create_future()
        self._pending[future] = cut.changing
        self._cutting = cutting = self._new_cutting(self._writer, future, cut)
        self._cut_some(cutting)
        shielded = asyncio.shield(future)
        shielded.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen: nobody need wait for it
        return shielded

    def _cut_whole(self, writer: Writer, *, forgotten: Iterable[ProfileId] = ()) -> Cutting:
        """Make a checkpoint with the models at once; whoever asks for it writes it, with what belongs to it."""
        self._end_cut()
        with _whole(writer):
            cut = self._cut(models=True, forgotten=forgotten)
            self.sequencer.live.cut()
        cutting = self._new_cutting(writer, asyncio.get_running_loop().create_future(), cut)
        self._pending[cutting.future] = cut.changing
        return cutting

    def _new_cutting(self, writer: Writer, future: asyncio.Future[None], cut: Cut) -> Cutting:
        self._cuts += 1
        return Cutting(writer, future, cut, self._cuts)

    def _cut(self, *, models: bool, forgotten: Iterable[ProfileId] = ()) -> Cut:
        """Begin a cut as of now; where it falls into the asking about new definitions, it says how far that is."""
        self.sequencer.moves.included = self._included()
        cut = checkpoint(
            self.sequencer,
            self.registry,
            self.models,
            self._items,
            self._offset,
            self.vault,
            models_due=models,
            forgotten=forgotten,
        )
        self._items = {}
        return cut

    def _included(self) -> int:
        """Return up to which row of changes what they say is live: it is on disk with a checkpoint that is begun now.

        What was read again, at the start or after an undoing, lacks what timers alone had told since the checkpoint
        that was read, until they have come there again, and what definitions had, until everybody was asked again.
        """
        sequencer, until = self.sequencer, self._again_until
        if until is not None and (sequencer.timers.is_behind(until) or sequencer.live.owing):
            return sequencer.moves.included
        self._again_until = None
        try:
            return self.store.last_change()
        except StoreError:
            return sequencer.moves.included  # the next checkpoint asks again

    def _cut_some(self, cutting: Cutting, *, whole: bool = False) -> None:
        """Make some rows of a checkpoint, and the rest a turn of the loop later."""
        if self._cutting is not cutting:
            return  # it came to its end, or was undone
        live = self.sequencer.live
        with _whole(cutting.writer):
            cutting.is_made = not live.cut(None if whole else CUT_AT_ONCE)
        cutting.is_resting = live.unwritten >= PARTS_AHEAD * PART_ROWS
        if not cutting.is_made and not cutting.is_resting:
            asyncio.get_running_loop().call_soon(self._cut_some, cutting)
        self._pack_some(cutting)
        self._write_some(cutting, whole=whole)

    def _pack_some(self, cutting: Cutting) -> None:
        """Let a thread pack who is encoded, while others go on; the last few are packed here."""
        live = self.sequencer.live
        if live.unpacked < APART_MIN and not (cutting.is_made or live.unpacked >= PART_ROWS):
            return
        taken = live.to_pack(PACKED_AT_ONCE)
        blobs = [one.data for one in taken]
        if len(taken) < APART_MIN:
            live.packed(taken, pack_all(blobs))
        else:
            packing = asyncio.get_running_loop().run_in_executor(None, pack_all, blobs)
            packing.add_done_callback(lambda done: self._packed(done, cutting, taken))

    def _packed(self, done: asyncio.Future[list[bytes]], cutting: Cutting, taken: tuple[Encoded, ...]) -> None:
        if self._cutting is not cutting or done.cancelled():
            return
        with _whole(cutting.writer):
            self.sequencer.live.packed(taken, done.result())
        self._pack_some(cutting)
        self._write_some(cutting)

    def _write_some(self, cutting: Cutting, *, whole: bool = False) -> None:
        """Write a part when there are rows enough and the one before is on disk, and in the end the checkpoint itself.

        So what is taken in meanwhile waits for one part at most.
        """
        if self._cutting is not cutting or (cutting.is_writing and not whole):
            return
        live = self.sequencer.live
        if not whole and live.unwritten >= PART_ROWS:
            if live.ready >= PART_ROWS:
                self._write_part(cutting)
        elif cutting.is_made:
            with _whole(cutting.writer):
                last = cutting.cut.with_rows(live.rows(), cut=cutting.number, parts=cutting.parts)
            self._put_cut(cutting, Entry(cutting.future, documents=cutting.cut.documents, checkpoint=last))
            self._cutting = None  # until here an undoing tells whoever waits for it

    def _write_part(self, cutting: Cutting) -> None:
        with _whole(cutting.writer):
            rows = self.sequencer.live.rows(PART_ROWS)
        cutting.parts += 1
        cutting.is_writing = True
        entry = Entry(asyncio.get_running_loop().create_future(), part=Part(cutting.number, cutting.parts, rows))
        self._put(cutting.writer, entry).add_done_callback(lambda done: self._part_written(done, cutting))

    def _part_written(self, done: asyncio.Future[None], cutting: Cutting) -> None:
        cutting.is_writing = False
        failure = None if done.cancelled() else done.exception()
        if failure is None and cutting.is_resting:
            self._cut_some(cutting)
        elif failure is None:
            self._write_some(cutting)
        elif not cutting.future.done():  # nothing was undone: it ends with the writer
            cutting.future.set_exception(failure)
            cutting.future.exception()  # seen

    def _end_cut(self) -> None:
        """Bring the checkpoint that is being made to its end."""
        if self._cutting is not None:
            self._cut_some(self._cutting, whole=True)

    def _put_cut(self, cutting: Cutting, entry: Entry) -> None:
        self._put(cutting.writer, entry)
        mark = self._dedupe.mark()
        cutting.future.add_done_callback(lambda done: self._written(done, cutting, mark))

    async def checkpoint_now(self) -> int:
        """Write a consistent cut, wait until it is on disk, and return the offset that it includes.

        Raises
        ------
        StoreError
            It could not be written.
        """
        self._open_writer()
        written = self.checkpoint()
        await (self._on_disk() if written is None else written)
        return self.store.checkpoint_offset()

    def _written(self, done: asyncio.Future[None], cutting: Cutting, mark: int) -> None:
        if self._pending.pop(done, None) is None or done.exception() is not None:
            return
        cut = cutting.cut
        self._changes_safe = cut.changes
        self.metrics.add("bespeak_checkpoints_total")
        self._dedupe.shrink(mark)
        self.sequencer.live.written(cut.removed, cut.asked)
        self.sequencer.aliases.written(cut.aliases)
        self._shrink()

    def _shrink(self) -> None:
        """Keep the live table within its bound; what a checkpoint still has to write stays."""
        pending: frozenset[ProfileId] = frozenset()
        self.sequencer.live.shrink(pending.union(*self._pending.values()))

    async def _settle(self, future: asyncio.Future[None] | None) -> None:
        if future is not None:
            await asyncio.wait([future])


@contextmanager
def _whole(writer: Writer) -> Generator[None]:
    """Undo what is folded when a checkpoint cannot be made: what was gathered for it, the next one would lack."""
    try:
        yield
    except Exception:
        writer.fail(StoreError("a checkpoint could not be made"))
        raise
