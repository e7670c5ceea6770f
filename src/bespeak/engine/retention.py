"""How long the log is kept: its oldest rows go, and a snapshot says what they said."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping

import msgspec

from bespeak.clock import DAY, MINUTE, NEVER, Instant
from bespeak.engine.archive import folder_of, listed, unarchived
from bespeak.engine.archiving import to_its_end
from bespeak.engine.rebuilding import Rebuilding
from bespeak.engine.recovery import STATE
from bespeak.errors import BespeakError
from bespeak.stores import LogRow, Snapshot

log = logging.getLogger("bespeak.engine")

FIRST_SECONDS = 60.0
"""How soon after the start a server first looks for rows that are too old."""

EVERY_SECONDS = 3_600.0
"""How often it does from then on."""

ROWS_AT_ONCE = 500
"""Rows dropped in one transaction, so that commits between them wait for some milliseconds at most."""

CHANGES_AT_ONCE = 1_000
"""Rows of changes dropped in one transaction."""

SNAPSHOTS_MAX = 4
"""Snapshots kept, also where nothing can be dropped for long; each takes what has changed until the next one."""

YOUNG = 0.5
"""A new snapshot is taken when the newest is older than this part of what is kept: so far back a replay always goes."""


class Retained(msgspec.Struct, frozen=True, kw_only=True):
    """What one run did.

    Parameters
    ----------
    dropped
        The last offset whose row is gone; 0 when the log begins with its first.
    slices
        Transactions that this took, of `ROWS_AT_ONCE` rows at most.
    snapshots
        Offsets of the snapshots that there are now, the oldest first: there a replay may begin.
    """

    dropped: int
    slices: int
    snapshots: tuple[int, ...]


class Retaining(Rebuilding):
    """A ledger whose log need not be kept for ever."""

    _retaining: asyncio.Task[None] | None = None
    _dropped = 0
    _trimmed: Instant = 0
    _trims = False

    async def start(self) -> None:
        """Begin to write, to keep time, and to drop what is too old."""
        await super().start()
        self._dropped = self.store.dropped()
        if self.settings.engine.log_keep_days:
            self._retaining = asyncio.create_task(self._retain_at_times(), name="bespeak-retention")

    async def close(self) -> None:
        """Drop nothing more, then close."""
        if self._retaining is not None:
            self._retaining.cancel()
            await asyncio.gather(self._retaining, return_exceptions=True)
            self._retaining = None
        await super().close()

    def _gauges(self) -> Mapping[str, float]:
        return {**super()._gauges(), "bespeak_log_dropped_offset": self._dropped}

    async def _trim(self, now: Instant) -> None:
        """Drop the oldest changes of memberships, those that are too many or too old; looked at once a minute.

        What the newest checkpoint does not hold stays: it is worked out anew after a kill, and is known by that.
        """
        if self._undoing or not (self._trims or abs(now - self._trimmed) >= MINUTE):
            return
        self._trimmed, self._trims = now, False
        newest = self.store.newest_change()
        self._trims = newest is not None and await self._drop_changes(now, newest.number)

    def _is_behind(self) -> bool:
        """Whether something is left, also of what is to be dropped: a storm writes more than would go tick by tick."""
        return super()._is_behind() or (self._trims and not self._undoing)

    async def _drop_changes(self, now: Instant, last: int) -> bool:
        """Drop some changes, and say whether more are to go."""
        settings, drop, rows = self.settings.engine, self.store.drop_changes, CHANGES_AT_ONCE
        upto = min(self._changes_safe, last - settings.changes_max)
        if upto > self.store.dropped_changes() and await asyncio.to_thread(drop, upto, NEVER, rows=rows):
            return True
        days = settings.changes_keep_days
        return bool(days) and await asyncio.to_thread(drop, self._changes_safe, now - round(days * DAY), rows=rows)

    async def _retain_at_times(self) -> None:
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            try:
                await self.retain()
            except Exception as error:
                self.metrics.add("bespeak_retention_failures_total")
                known = isinstance(error, BespeakError)
                log.warning("old rows of the log could not be dropped, for now: %s", error, exc_info=not known)
            await asyncio.sleep(EVERY_SECONDS)

    async def retain(self) -> Retained:
        """Drop the rows of the log that are older than `engine.log_keep_days`, and see to the snapshots.

        Only what a snapshot includes is dropped, and, where there is an archive, what is in it.

        Raises
        ------
        StoreError
            The store could not be written; what was dropped so far is.
        """
        slices = 0
        days = self.settings.engine.log_keep_days
        if days:
            await to_its_end(self._take_snapshot_if_due(round(days * DAY * YOUNG)))
            while await to_its_end(self._drop_some(self.clock.now() - round(days * DAY))):
                slices += 1
        self._dropped = self.store.dropped()
        return Retained(
            dropped=self._dropped, slices=slices, snapshots=tuple(one.offset for one in self.store.snapshots())
        )

    async def _take_snapshot_if_due(self, young: int) -> None:
        """Keep the newest checkpoint, unless one that is young and can be begun with is kept already."""
        now = self.clock.now()
        usable = self._usable()
        first = await asyncio.to_thread(self._first_row)
        if first is None or now - first.received < young or (usable and abs(now - usable[-1].at) < young):
            return
        async with self._changing:
            await self._all_asked()  # a snapshot is no place to go on asking from: the log may be shorter by then
            if await self.checkpoint_now() > self.sequencer.counted:
                await asyncio.to_thread(self.store.take_snapshot, now, (STATE,))

    def _usable(self) -> list[Snapshot]:
        """Return the snapshots behind which no definition has counted history.

        What a definition before them counted is in their profiles. What one behind them counted can be counted again
        only as long as all the rows are there that were there then.
        """
        return [one for one in self.store.snapshots() if one.offset > self.sequencer.counted]

    async def _drop_some(self, before: Instant) -> bool:
        """Drop some rows, when there are none left the snapshots that are of no more use; says whether to go on.

        Meanwhile no definition counts history and no file of the archive is made: each sees a log that stays.
        """
        async with self._changing, self.archive_lock():
            await self._all_asked()  # a start that goes on asking counts history anew
            self._check_known()
            usable = self._usable()
            if not usable or self._is_preparing():
                return False  # whoever counts history sees a log that stays
            last = min(usable[-1].offset, self._archived())
            first = await asyncio.to_thread(self._first_row)
            if first is None or first.received >= before or first.first + first.count - 1 > last:
                least = max(self.store.dropped(), usable[-SNAPSHOTS_MAX:][0].offset)
                return await asyncio.to_thread(self.store.drop_snapshots, least, rows=ROWS_AT_ONCE)
            await asyncio.to_thread(self.store.drop_snapshots, usable[0].offset, rows=ROWS_AT_ONCE)
            await asyncio.to_thread(self.store.drop_log, last, before, rows=ROWS_AT_ONCE)
            return True

    def _first_row(self) -> LogRow | None:
        return next(self.store.read(self.store.dropped()), None)

    def _archived(self) -> int:
        """Return the last offset of the log that the archive has; where there is none, of the whole log."""
        archives = self.settings.archive.minutes > 0 and hasattr(os, "memfd_create")
        if (archives and folder_of(self.settings) is not None) or listed(self.store):
            due = next(unarchived(self.store, self.store.last_offset()), None)
            return self.store.last_offset() if due is None else due[0] - 1
        return self.store.last_offset()
