"""What is done beside the commits: the write-ahead log copied into the file, dedupe digests sorted."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from bespeak.errors import StoreError
from bespeak.stores import sqlite_seen
from bespeak.stores.settings import SqliteSettings
from bespeak.stores.sqlite_file import PAGE_SIZE
from bespeak.stores.store import Commit
from bespeak.stores.verify import AGELESS, DIGEST_BYTES

_log = logging.getLogger(__name__)

CHANGE_BYTES = 200
"""What a row of changes takes beside its sealed part: its name, its cause, and its place in the index."""


class Upkeep:
    """A thread that sleeps until commits have made something worth doing.

    Parameters
    ----------
    connection
        What it reads and copies with; closed by `close`.
    transaction
        Gives the writing connection inside a transaction; used inside `pause`.
    pause
        Held while no commit may run.
    on_sorted
        Called after digests have moved.
    loose
        Unsorted digests by hour at the start.
    """

    def __init__(
        self,
        settings: SqliteSettings,
        *,
        connection: sqlite3.Connection,
        transaction: Callable[[], AbstractContextManager[sqlite3.Connection]],
        pause: AbstractContextManager[None],
        on_sorted: Callable[[], None],
        loose: dict[int, int],
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._transaction = transaction
        self._pause = pause
        self._on_sorted = on_sorted
        self._loose = loose
        self._wal_bytes = 0
        self._stopping = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bespeak-store-upkeep", daemon=True)
        self._thread.start()

    def note(self, commit: Commit) -> None:
        """Count what a commit has added, and wake the thread when it is enough; called while no other commit runs."""
        self._wal_bytes += _wal_bytes(commit)
        for packed, hour in commit.seen:
            if hour != AGELESS:
                self._loose[hour] = self._loose.get(hour, 0) + len(packed) // DIGEST_BYTES
        self._wake_if_due()

    def note_dropped(self, rows: int) -> None:
        """Count what dropping so many rows of changes has added; called while no commit runs."""
        self._wal_bytes += rows * CHANGE_BYTES
        self._wake_if_due()

    def _wake_if_due(self) -> None:
        if self._wal_bytes >= self._settings.wal_kib * 1024 or self._hours_to_sort():
            self._wake.set()

    def forget(self, before_hour: int) -> None:
        """Count no longer what was dropped; called while no commit runs."""
        for hour in [each for each in self._loose if each < before_hour]:
            del self._loose[hour]

    def close(self) -> None:
        """Stop the thread and wait for it."""
        self._stopping = True
        self._wake.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._stopping:
                return
            self._do()

    def _do(self) -> None:
        try:
            if self._wal_bytes >= self._settings.wal_kib * 1024:
                self._copy_wal()
            with self._pause:
                hours = self._hours_to_sort()
            for hour in hours:
                self._sort(hour)
        except (sqlite3.Error, StoreError) as error:
            # Nothing is lost: commits go on, the write-ahead log grows, and the next one wakes us again.
            _log.warning("the store's upkeep failed and will be tried again: %s", error)

    def _copy_wal(self) -> None:
        """Copy most while commits go on, then the rest while none runs, so that the next one starts the log anew.

        A reader that began before keeps the log from starting anew; then the next copy tries again.
        """
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        with self._pause:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._wal_bytes = 0

    def _hours_to_sort(self) -> tuple[int, ...]:
        """Return the hours that are over and have many loose digests; every hour when there are too many in all."""
        if not self._loose:
            return ()
        newest = max(self._loose)
        if sum(self._loose.values()) < self._settings.loose_max:
            return tuple(hour for hour, count in self._loose.items() if count >= sqlite_seen.PART_MIN and hour < newest)
        return tuple(self._loose)

    def _sort(self, hour: int) -> None:
        last, count, rows = sqlite_seen.sort_loose(self._connection, hour)
        with self._pause, self._transaction() as writer:
            sqlite_seen.add_part(writer, hour, rows)
        more = True
        while more:
            with self._pause, self._transaction() as writer:
                more = sqlite_seen.drop_loose(writer, hour, last)
        with self._pause:
            self._loose[hour] = self._loose.get(hour, 0) - count
            if self._loose[hour] <= 0:
                del self._loose[hour]
        self._on_sorted()


def _wal_bytes(commit: Commit) -> int:
    """Estimate what a commit adds to the write-ahead log: whole pages, one for each row that stands by itself."""
    rows = 2 + len(commit.documents) + len(commit.rejected)
    if commit.checkpoint is not None:
        rows += len(commit.checkpoint.profiles) + len(commit.checkpoint.aliases)
    if commit.part is not None:
        rows += 2 * len(commit.part.profiles)
    return (
        rows * PAGE_SIZE
        + sum(len(row.payload) for row in commit.rows)
        + 2 * sum(len(packed) for packed, _ in commit.seen)
        + 2 * sum(len(change.data) + CHANGE_BYTES for change in commit.changes)
    )
