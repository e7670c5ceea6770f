"""Archiving on a running engine: one file at a time, in a process or thread of its own, and without whom is erased."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bespeak.analytics import Damaged
from bespeak.clock import DAY, Instant
from bespeak.engine.archive import (
    ARCHIVE,
    FLOOR,
    ArchiveFile,
    Made,
    doc_id,
    document,
    folder_of,
    key_held,
    listed,
    next_span,
    subject_of_file,
    tidy,
    unarchived,
    upto,
)
from bespeak.engine.archive_apart import Apart
from bespeak.engine.archive_writing import Stopped, pauses, without, write_next
from bespeak.engine.ledger import Ledger
from bespeak.engine.writer import Entry
from bespeak.errors import BespeakError, InvalidInput, StoreError
from bespeak.ids import ProfileId
from bespeak.stores import Document, Forget, WrappedKey

log = logging.getLogger("bespeak.engine")

T = TypeVar("T")

FIRST_SECONDS = 60.0
"""How soon after the start a server first looks for what is due."""

FEW = 2_000
"""Records of the log of which a thread finds out at once whether they are due: they take some 10 ms."""


REST_SECONDS = 0.1
"""How often who rests looks whether the engine is closing."""


class Archived(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of the archive did.

    Parameters
    ----------
    made
        Files written, and their events.
    dropped
        Files that were older than `archive.keep_days`.
    files
        Files that there are now.
    upto
        The last offset of the log that is archived.
    waiting
        Records of the log behind it: fewer than fill a file, of a day that is not over.
    """

    made: tuple[str, ...]
    rows: int
    dropped: tuple[str, ...]
    files: int
    upto: int
    waiting: int


class Rewritten(msgspec.Struct, frozen=True, kw_only=True):
    """Files written anew for an erasure, whose documents and keys go with its commit.

    Parameters
    ----------
    made
        The new ones.
    old
        Names of those that they replace, or that could not be read any more.
    lost
        Of the old ones, those that could not be read: their part of the log is archived anew.
    keys
        Keys of the old ones, to destroy.
    """

    made: tuple[Made, ...] = ()
    old: tuple[str, ...] = ()
    lost: tuple[ArchiveFile, ...] = ()
    keys: tuple[int, ...] = ()


class Archiving(Ledger):
    """A ledger whose log becomes files that SQL can be asked over."""

    _archive_task: asyncio.Task[None] | None = None
    _archive_busy: asyncio.Lock | None = None
    _archive_runs: asyncio.Lock | None = None
    _archive_apart: Apart | None = None
    _archive_stop = False
    _archive_upto = 0

    async def start(self) -> None:
        """Begin to write, to keep time, and to archive what is due."""
        await super().start()
        self._archive_busy, self._archive_runs = asyncio.Lock(), asyncio.Lock()
        self._archive_stop = False
        folder = folder_of(self.settings)
        if folder is None:
            return
        tidy(self.store, folder)
        self._archive_upto = upto(self.store)
        if self.settings.archive.minutes > 0 and hasattr(os, "memfd_create"):
            self._archive_task = asyncio.create_task(self._archive_at_times(), name="bespeak-archive")

    async def close(self) -> None:
        """Stop archiving at the next event, write everything that waits, checkpoint, and let the store go."""
        self._archive_stop = True
        if self._archive_apart is not None:
            self._archive_apart.kill()
        if self._archive_task is not None:
            self._archive_task.cancel()
            await asyncio.gather(self._archive_task, return_exceptions=True)
            self._archive_task = None
        if self._archive_busy is not None:
            async with self._archive_busy:  # a file that is being written is given up, or listed
                pass
        await super().close()

    def archive_lock(self) -> asyncio.Lock:
        """Return what is held while files are written or keys change: a file is never made of what is being erased."""
        if self._archive_busy is None:
            self._archive_busy = asyncio.Lock()
        return self._archive_busy

    async def archive(self, *, everything: bool = False) -> Archived:
        """Write what is due to files, drop what is too old, and say what was done.

        Parameters
        ----------
        everything
            Also what does not fill a file yet, of a day that is not over.

        Raises
        ------
        InvalidInput
            The store is in RAM.
        StoreError
            A file or the store could not be written; what was archived before stays.
        """
        folder = folder_of(self.settings)
        if folder is None:
            raise InvalidInput('store.type is "memory": there is nothing on disk to archive')
        if self._archive_runs is None:
            self._archive_runs = asyncio.Lock()
        async with self._archive_runs:  # of the processes that write there is never more than one
            await self.checkpoint_now()
            return await self._archive_run(folder, everything=everything)

    async def _archive_run(self, folder: Path, *, everything: bool) -> Archived:
        await to_its_end(self._unlist_lost(folder))
        made = await self._archive_due(everything=everything)
        dropped = await to_its_end(self._drop_old(folder))
        self._archive_upto = upto(self.store)
        return Archived(
            made=tuple(file.name for file in made),
            rows=sum(file.rows for file in made),
            dropped=dropped,
            files=len(listed(self.store)),
            upto=self._archive_upto,
            waiting=self.store.last_offset() - self._archive_upto,
        )

    async def _archive_due(self, *, everything: bool) -> list[ArchiveFile]:
        """Write and list what is due, file by file; who stops waiting for it ends the file that is being written."""
        apart = Apart(self.settings) if self.settings.archive.apart else None
        self._archive_apart = apart
        made: list[ArchiveFile] = []
        try:
            while (file := await to_its_end(self._archive_next(apart, everything=everything))) is not None:
                made.append(file)
                await self._archive_rest(0.0 if apart is None else apart.seconds)
        finally:
            self._archive_apart = None
            if apart is not None:
                await to_its_end(asyncio.to_thread(apart.end))
        return made

    async def _archive_rest(self, seconds: float) -> None:
        """Rest after so many seconds of work, so that archiving keeps to its share, and the store is not read."""
        share = self.settings.archive.cpu_share
        until = time.monotonic() + seconds * (1 - share) / share
        while not self._archive_stop and (left := until - time.monotonic()) > 0:  # noqa: ASYNC110  no event says so
            await asyncio.sleep(min(left, REST_SECONDS))

    async def _archive_at_times(self) -> None:
        every = self.settings.archive.minutes * 60
        await asyncio.sleep(min(every, FIRST_SECONDS))  # a server that is often started anew archives, too
        while True:
            try:
                await self.archive()
            except Exception as error:
                self.metrics.add("bespeak_archive_failures_total")
                known = isinstance(error, BespeakError)
                log.warning("the archive could not be written, and will be tried again: %s", error, exc_info=not known)
            await asyncio.sleep(every)

    def _gauges(self) -> Mapping[str, float]:
        return {**super()._gauges(), "bespeak_archive_offset": self._archive_upto}

    async def _archive_next(self, apart: Apart | None, *, everything: bool) -> ArchiveFile | None:
        """Write and list the next file; None when nothing is due."""
        async with self.archive_lock():
            if self._archive_stop:
                return None
            try:
                made = await asyncio.to_thread(self._write_next, everything, apart)
                if made is not None:
                    await self._list(made)
            except BaseException:
                self.archive_swept()
                raise
            return None if made is None else made.file

    def _write_next(self, everything: bool, apart: Apart | None) -> Made | None:  # noqa: FBT001  called by to_thread
        masters, now = self.vault.masters, self.clock.now()
        try:
            if apart is None:
                pause = pauses(self.settings.archive.cpu_share, lambda: self._archive_stop)
                return write_next(self.store, masters, self.settings, now, everything=everything, pause=pause)
            return apart.next(masters, now, everything=everything) if self._worth_starting(now, everything) else None
        except Stopped:
            self.archive_swept()
            return None

    def _worth_starting(self, now: Instant, everything: bool) -> bool:  # noqa: FBT001  passed on
        """Say whether a process is worth its start: it finds out itself what is due, where that takes long."""
        waiting = sum(last - first + 1 for first, last in unarchived(self.store, self.store.checkpoint_offset()))
        return waiting > FEW or next_span(self.store, self.settings, now, everything=everything) is not None

    async def _list(self, made: Made) -> None:
        """Make a file part of the archive, in one commit with its key."""
        future = asyncio.get_running_loop().create_future()
        await self._put(
            self._open_writer(), Entry(future, documents=(document(made.file),), keys=self._keys_of([made]))
        )

    def archive_swept(self) -> None:
        """Remove the files that the store does not list, whatever a commit that failed came to; the lock is held."""
        folder = folder_of(self.settings)
        with contextlib.suppress(StoreError):  # the next start does it
            if folder is not None:
                tidy(self.store, folder)

    def _keys_of(self, made: Iterable[Made]) -> tuple[WrappedKey, ...]:
        return tuple(self.vault.wrapped(subject_of_file(one.file.name), one.secret) for one in made)

    # -- retention

    async def _unlist_lost(self, folder: Path) -> None:
        """Take files that are gone, or cut, from the list; their part of the log becomes due again."""
        async with self.archive_lock():
            lost = [file for file in listed(self.store) if not _there(folder, file)]
            if not lost:
                return
            log.warning("%d files of the archive are gone or cut, and are made anew from the log", len(lost))
            await self._unlist(lost, ())

    async def _unlist(self, files: Sequence[ArchiveFile], documents: tuple[Document, ...]) -> None:
        """Take files from the list and destroy their keys, in one commit; then remove them."""
        entry = Entry(
            asyncio.get_running_loop().create_future(),
            documents=(*map(_unlisted, files), *documents),
            forget=Forget(keys=self._numbers(files)),
        )
        await self._put(self._open_writer(), entry)
        await asyncio.to_thread(self.store.wipe)
        self.archive_swept()

    async def _drop_old(self, folder: Path) -> tuple[str, ...]:
        """Drop whole files that are older than is kept, from the oldest on; their keys are destroyed with them."""
        days = self.settings.archive.keep_days
        if not days:
            return ()
        async with self.archive_lock():
            old = self._older_than(self.clock.now() - days * DAY)
            if not old or self._is_needed():
                return ()
            versions = self.store.versions(FLOOR, FLOOR)
            floor = Document(
                FLOOR, FLOOR, versions[-1].version + 1 if versions else 1, msgspec.msgpack.encode(old[-1].last + 1)
            )
            await self._unlist(old, (floor,))
            return tuple(file.name for file in old)

    def _is_needed(self) -> bool:
        """Whether what the log has dropped is being counted, or would be by a start or a replay from some snapshot."""
        counted = self.sequencer.counted
        behind = [self.store.checkpoint_offset(), *(one.offset for one in self.store.snapshots())]
        return self.store.dropped() > 0 and (
            self._is_preparing() or self.sequencer.live.owing or min(behind) <= counted
        )

    def _is_preparing(self) -> bool:
        """Whether history is being counted for definitions that are not in force yet."""
        return False

    def _older_than(self, edge: Instant) -> list[ArchiveFile]:
        old: list[ArchiveFile] = []
        for file in listed(self.store):
            if file.received_max >= edge:
                break
            old.append(file)
        return old

    def _numbers(self, files: Iterable[ArchiveFile]) -> tuple[int, ...]:
        held = (key_held(self.store, self.vault.masters, file.name) for file in files)
        return tuple(key.number for key in held if key is not None)

    # -- erasure

    async def archive_without(self, ids: Sequence[ProfileId]) -> Rewritten:
        """Write anew every file in which somebody is; the archive's lock is held.

        Raises
        ------
        StoreError
            A file could not be written; nothing has changed.
        """
        if folder_of(self.settings) is None:
            return Rewritten()
        keys = frozenset(self.vault.numbers(ids))
        return await asyncio.to_thread(self._rewrite, keys, tuple(ids))

    def _rewrite(self, keys: frozenset[int], ids: tuple[ProfileId, ...]) -> Rewritten:
        made: list[Made] = []
        old: list[ArchiveFile] = []
        lost: list[ArchiveFile] = []
        try:
            for file in listed(self.store):
                try:
                    one = without(self.store, self.vault.masters, self.settings, file, keys, ids)
                except Damaged:
                    lost.append(file)
                    continue
                if one is not None:
                    made.append(one)
                    old.append(file)
        except BaseException:
            self.archive_swept()
            raise
        both = (*old, *lost)
        return Rewritten(
            made=tuple(made), old=tuple(file.name for file in both), lost=tuple(lost), keys=self._numbers(both)
        )

    def archive_parts(self, rewritten: Rewritten) -> tuple[tuple[Document, ...], tuple[WrappedKey, ...]]:
        """Return the documents and keys that go with the commit of an erasure."""
        documents = (*(document(one.file) for one in rewritten.made), *map(_unlisted, rewritten.lost))
        return documents, self._keys_of(rewritten.made)


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Wait for work that goes on to its end also when whoever waits for it has gone away."""
    return await asyncio.shield(asyncio.ensure_future(work))


def _there(folder: Path, file: ArchiveFile) -> bool:
    try:
        return (folder / file.name).stat().st_size == file.bytes
    except OSError:
        return False


def _unlisted(file: ArchiveFile) -> Document:
    return Document(ARCHIVE, doc_id(file.first), file.version + 1, None)


def told(rewritten: Rewritten) -> str:
    """Say what an erasure did to the archive."""
    if not rewritten.old:
        return "in none of its files"
    parts: list[str] = []
    if rewritten.made:
        names = ", ".join(one.file.name for one in rewritten.made[:20])
        more = f" and {len(rewritten.made) - 20} more" if len(rewritten.made) > 20 else ""
        parts.append(f"{len(rewritten.made)} files written anew without them, the old keys destroyed: {names}{more}")
    if rewritten.lost:
        parts.append(f"{len(rewritten.lost)} that could not be read are given up, and made anew from the log")
    return "; ".join(parts)
