"""An engine that can die at any moment, and stores whose commits fail when they are told to.

The engine keeps no time by itself: in a simulation the clock is moved by hand, and so are the timers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias, TypeVar

from bespeak.clock import HOUR, Instant
from bespeak.engine import ArchiveFile, Engine
from bespeak.engine.archive import folder_of
from bespeak.errors import StoreError
from bespeak.stores import Commit, MemoryStore, Snapshot, SqliteStore

T = TypeVar("T")

FEW = 3
"""Rows dropped at once, so that much can happen between."""

Trouble: TypeAlias = Literal["none", "lost", "unheard"]
"""What happens to a commit: nothing; it fails and nothing is kept; it is kept, and nobody hears of it."""

SEEN_HOURS = 48
"""Digests of messages are dropped from the store when they are older than this, as a running engine does."""


class FragileMemory(MemoryStore):
    """A store in RAM that outlives the engines over it; `stumbles` is the trouble of its next steps of retention."""

    trouble: Trouble = "none"
    stumbles: tuple[Trouble, ...] = ()

    def commit(self, commit: Commit) -> None:
        """Keep all of it, unless there is trouble."""
        if self.trouble != "lost":
            super().commit(commit)
        _complain(self.trouble)

    def take_snapshot(self, at: Instant, products: Iterable[str] = ()) -> Snapshot:
        """Take it, unless there is trouble."""
        return _stumble(self, lambda: MemoryStore.take_snapshot(self, at, products))

    def drop_snapshots(self, before: int, *, rows: int) -> bool:
        """Drop them, unless there is trouble."""
        return _stumble(self, lambda: MemoryStore.drop_snapshots(self, before, rows=min(rows, FEW)))

    def drop_log(self, upto: int, before: Instant, *, rows: int) -> bool:
        """Drop a few, unless there is trouble."""
        return _stumble(self, lambda: MemoryStore.drop_log(self, upto, before, rows=min(rows, FEW)))

    def close(self) -> None:
        """Stay open: the next engine finds everything here."""


class FragileSqlite(SqliteStore):
    """A store on disk whose commits fail when they are told to, and whose next steps of retention do by `stumbles`."""

    trouble: Trouble = "none"
    stumbles: tuple[Trouble, ...] = ()

    def take_snapshot(self, at: Instant, products: Iterable[str] = ()) -> Snapshot:
        """Take it, unless there is trouble."""
        return _stumble(self, lambda: SqliteStore.take_snapshot(self, at, products))

    def drop_snapshots(self, before: int, *, rows: int) -> bool:
        """Drop them, unless there is trouble."""
        return _stumble(self, lambda: SqliteStore.drop_snapshots(self, before, rows=min(rows, FEW)))

    def drop_log(self, upto: int, before: Instant, *, rows: int) -> bool:
        """Drop a few, unless there is trouble."""
        return _stumble(self, lambda: SqliteStore.drop_log(self, upto, before, rows=min(rows, FEW)))

    def commit(self, commit: Commit) -> None:
        """Keep all of it, unless there is trouble."""
        if self.trouble != "lost":
            super().commit(commit)
        _complain(self.trouble)


FragileStore: TypeAlias = FragileMemory | FragileSqlite


def _stumble(store: FragileStore, step: Callable[[], T]) -> T:
    trouble: Trouble = store.stumbles[0] if store.stumbles else "none"
    store.stumbles = store.stumbles[1:]
    if trouble == "lost":
        _complain(trouble)
    done = step()
    _complain(trouble)
    return done


def _complain(trouble: Trouble) -> None:
    if trouble != "none":
        raise StoreError(f"the simulation says: {trouble}")


class MortalEngine(Engine):
    """The real engine, but that its time is kept by hand, and that it can be killed."""

    _doomed = False
    _due = 0
    _hour = 0

    async def _keep_time(self) -> None:
        """Keep no time: `tick` is called instead."""

    async def _retain_at_times(self) -> None:
        """Drop nothing by itself: `retain` is called instead."""

    def _draw_if_due(self, now: Instant) -> None:
        """Draw nothing by itself: `draw_borders` is called instead."""

    async def tick(self) -> None:
        """Do what the real one does ten times a second, and once an hour."""
        now = self.clock.now()
        self._due = self._tick(now, self._due or now)
        if now // HOUR != self._hour:
            self._hour = now // HOUR
            await asyncio.to_thread(self.store.forget_seen, self._hour - SEEN_HOURS)

    async def settle(self) -> None:
        """Wait until everything taken so far is on disk, who moved where, and every part of a checkpoint with it.

        What happens to the next commit happens to what is taken next, then, and to no part.
        """
        self._write_changes()
        while self._pending:
            await asyncio.wait(self._pending)
        await self._on_disk()

    async def archive_next(self) -> ArchiveFile | None:
        """Write the next part of the log, a day at most, to a file of the archive; None where there is none.

        Files that are gone are taken from the list before, as in any run of the archive.
        """
        folder = folder_of(self.settings)
        if folder is None:
            return None
        await self.checkpoint_now()
        await self._unlist_lost(folder)
        return await self._archive_next(None, everything=True)

    def doom(self) -> None:
        """Let no failed commit be undone any more: the process is about to be killed."""
        self._doomed = True

    def _undo(self, error: StoreError) -> None:
        if not self._doomed:
            super()._undo(error)

    async def die(self) -> None:
        """End as a killed process does: nothing more is written, nothing is closed."""
        self.doom()
        writer, self._writer = self._writer, None
        if writer is not None:
            await asyncio.to_thread(writer.close)
