"""The one writer: a thread that takes everything queued and makes it durable in one transaction (group commit)."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from bespeak.errors import Overloaded, StoreError, Unavailable
from bespeak.stores import (
    ChangeRow,
    Checkpoint,
    Commit,
    Document,
    Forget,
    LogRow,
    Part,
    Rejected,
    Store,
    WrappedKey,
)

log = logging.getLogger("bespeak.engine")

CHANGE_BYTES = 200
"""What a row of changes takes in RAM beside its sealed part."""


class Entry:
    """One thing to write, and the future that its sender waits for.

    Parameters
    ----------
    bytes
        What it takes in the queue, once it is there.
    """

    __slots__ = (
        "bytes",
        "changes",
        "checkpoint",
        "documents",
        "failure",
        "forget",
        "future",
        "keys",
        "part",
        "rejected",
        "row",
        "seen",
    )

    def __init__(  # noqa: PLR0913  as many as a transaction has parts
        self,
        future: asyncio.Future[None],
        *,
        row: LogRow | None = None,
        seen: tuple[tuple[bytes, int], ...] = (),
        documents: tuple[Document, ...] = (),
        rejected: tuple[Rejected, ...] = (),
        checkpoint: Checkpoint | None = None,
        part: Part | None = None,
        keys: tuple[WrappedKey, ...] = (),
        changes: tuple[ChangeRow, ...] = (),
        forget: Forget | None = None,
        failure: StoreError | None = None,
    ) -> None:
        self.future = future
        self.row = row
        self.seen = seen
        self.documents = documents
        self.rejected = rejected
        self.checkpoint = checkpoint
        self.part = part
        self.keys = keys
        self.changes = changes
        self.forget = forget
        self.failure = failure
        self.bytes = 0

    def weigh(self) -> int:
        """Take down and return what it takes: the log's row, changes of memberships, and what goes to quarantine."""
        size = len(self.row.payload) if self.row is not None else 0
        if self.changes:
            size += sum(CHANGE_BYTES + len(one.data) for one in self.changes)
        if self.rejected:
            size += sum(len(one.data) for one in self.rejected)
        self.bytes = size
        return size


class Writer:
    """Owns the store's write side.

    Entries are written in the order in which they were put. If a commit fails, every entry that waits fails
    with it, since each builds on the one before; `failed` is then called on the loop, once, and the writer
    refuses new entries until `resume`.

    Parameters
    ----------
    queue_bytes
        Bytes of log rows, changes and rejected things that may wait for the disk; beyond it senders are told to come
        back.
    took
        Told the seconds of each commit, also of one that failed; called from the writer's thread.
    """

    def __init__(
        self,
        store: Store,
        loop: asyncio.AbstractEventLoop,
        failed: Callable[[StoreError], None],
        *,
        queue_bytes: int,
        took: Callable[[float], None],
    ) -> None:
        self._store = store
        self._loop = loop
        self._failed = failed
        self._entries: list[Entry] = []
        self._bytes = 0
        self._queue_bytes = queue_bytes
        self._took = took
        self._wake = threading.Condition()
        self._waking = False
        self._closing = False
        self._broken = False
        self._failing = False
        self._failed_last = False
        self.commits = 0
        self._thread = threading.Thread(target=self._run, name="bespeak-writer", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether entries are taken, and there is room for them."""
        return not (self._broken or self._failing or self._closing or self._bytes > self._queue_bytes)

    @property
    def is_well(self) -> bool:
        """Whether the store took the last commit, and it is not closing."""
        return not (self._failed_last or self._closing)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of log rows, changes and rejected things that are not on disk yet."""
        return self._bytes

    def room(self) -> None:
        """Raise `Overloaded` when the queue is full, `Unavailable` after a failed commit."""
        if self._broken or self._failing or self._closing:
            raise Unavailable("the store is not writable at the moment", retry_after=1)
        if self._bytes > self._queue_bytes:
            raise Overloaded("the disk is behind: too much waits to be written", retry_after=1)

    def put(self, entry: Entry) -> None:
        """Queue an entry; the future resolves on the loop after COMMIT, or fails. Called on the loop's thread.

        The writer is woken when the loop has worked through what was ready, so that everything that came together
        shares one commit: a commit costs as much as some ten events, and on a fast disk it would else be made for each.
        """
        with self._wake:
            if self._closing:
                entry.future.set_exception(StoreError("the engine was closed before it could be written"))
                entry.future.exception()  # seen: a sender that has gone away does not make asyncio complain
                return
            self._entries.append(entry)
            self._bytes += entry.weigh()
        if not self._waking:
            self._waking = True
            self._loop.call_soon(self._wake_writer)

    def _wake_writer(self) -> None:
        self._waking = False
        with self._wake:
            self._wake.notify()

    def fail(self, failure: StoreError) -> None:
        """Write what waits, then behave as if a commit had failed; until then nothing more is taken."""
        self._failing = True
        self.put(Entry(self._loop.create_future(), failure=failure))

    def resume(self) -> None:
        """Take entries again, after what was folded and not written has been undone."""
        with self._wake:
            self._broken = self._failing = False
            self._wake.notify()

    def close(self) -> None:
        """Write what waits, then end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                while (self._broken or not self._entries) and not self._closing:
                    self._wake.wait()
                if self._broken or not self._entries:
                    return
                entries, self._entries = self._entries, []
            self._write(entries)

    def _write(self, entries: list[Entry]) -> None:
        for group in _groups(entries):
            try:
                self._write_group(group)
            except Exception as error:
                log.exception("commit failed")
                self._broken = True
                self._failed_last = group[0].failure is None
                failure = error if isinstance(error, StoreError) else StoreError("the commit failed for another reason")
                self._loop.call_soon_threadsafe(self._fail, entries, failure)
                return
            self.commits += 1
            self._failed_last = False
            with self._wake:
                self._bytes -= sum(entry.bytes for entry in group)
            self._loop.call_soon_threadsafe(_resolve, group)

    def _write_group(self, group: list[Entry]) -> None:
        if group[0].failure is not None:
            raise group[0].failure
        began = time.perf_counter()
        try:
            self._store.commit(_commit(group))
        finally:
            self._took(time.perf_counter() - began)

    def _fail(self, entries: list[Entry], error: StoreError) -> None:
        with self._wake:
            entries, self._entries, self._bytes = [*entries, *self._entries], [], 0
        try:
            self._failed(error)
        finally:
            for entry in entries:
                if not entry.future.done():
                    entry.future.set_exception(error)
                    entry.future.exception()  # seen: a sender that has gone away does not make asyncio complain


def _groups(entries: list[Entry]) -> list[list[Entry]]:
    """Cut the entries after each checkpoint, each part of one and each erasure: a transaction carries at most one.

    A failure stands alone.
    """
    groups: list[list[Entry]] = [[]]
    for entry in entries:
        if entry.failure is not None:
            groups.append([])
        groups[-1].append(entry)
        if any(one is not None for one in (entry.checkpoint, entry.part, entry.forget, entry.failure)):
            groups.append([])
    return [group for group in groups if group]


def _commit(group: list[Entry]) -> Commit:
    return Commit(
        rows=tuple(entry.row for entry in group if entry.row is not None),
        seen=tuple(pair for entry in group for pair in entry.seen),
        documents=tuple(document for entry in group for document in entry.documents),
        rejected=tuple(one for entry in group for one in entry.rejected),
        checkpoint=group[-1].checkpoint,
        part=group[-1].part,
        keys=tuple(key for entry in group for key in entry.keys),
        changes=tuple(one for entry in group for one in entry.changes),
        forget=group[-1].forget,
    )


def _resolve(group: list[Entry]) -> None:
    for entry in group:
        if not entry.future.done():
            entry.future.set_result(None)
