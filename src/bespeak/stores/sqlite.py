"""The durable store: one SQLite file, in WAL mode, synced at every commit."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from bespeak.clock import Instant
from bespeak.errors import StoreError
from bespeak.ids import ProfileId
from bespeak.stores import sqlite_changes, sqlite_kept, sqlite_keys, sqlite_log, sqlite_many, sqlite_parts, sqlite_seen
from bespeak.stores.fair import FairLock
from bespeak.stores.settings import SqliteSettings
from bespeak.stores.sqlite_file import TROUBLE, connect, connect_reader, open_writer
from bespeak.stores.sqlite_upkeep import Upkeep
from bespeak.stores.sqlite_write import forget, put_checkpoint, put_documents, put_rejected
from bespeak.stores.store import (
    ChangeRow,
    Commit,
    Document,
    LogRow,
    Product,
    ProfileRow,
    Rejected,
    SeenPage,
    Snapshot,
    WrappedKey,
)
from bespeak.stores.verify import NO_PARTS, droppable, leaves_parts, parts_held, verify

_log = logging.getLogger(__name__)

_UPKEEP_CACHE_KIB = 2_048
_WIPE_PAUSE_SECONDS = 0.02
_EARLIEST = (-(2**63), "")


class SqliteStore:
    """Everything in one SQLite file; what `commit` has returned for survives a power cut.

    One connection writes, another answers single reads from any thread, and each iterator has one of its own, whose
    view stays as it was when it began. A thread beside them (`Upkeep`) copies the write-ahead log into the file when it
    has grown, and sorts dedupe digests, so that commits pay for neither.

    Parameters
    ----------
    path
        The file; made with mode 0600, and its directory with 0700, where missing.

    Raises
    ------
    StoreError
        The file cannot be opened, is not ours, or has a format that this version cannot read.
    CorruptLog
        The checkpoint includes more than the log holds.
    """

    def __init__(self, path: Path | str, settings: SqliteSettings | None = None) -> None:
        self.path = Path(path)
        self._settings = settings or SqliteSettings()
        self._write_lock = FairLock()
        self._read_lock = threading.RLock()
        self._closed = False
        with ExitStack() as opened:
            writer = opened.enter_context(closing(open_writer(self.path, self._settings)))
            try:
                self._reader = opened.enter_context(closing(connect_reader(self.path, self._settings)))
                copier = opened.enter_context(closing(connect(self.path, self._settings, cache_kib=_UPKEEP_CACHE_KIB)))
                self._last, self._crc, self._offset = sqlite_log.ends(self._reader, self.path)
                self._snapshot = sqlite_kept.newest(self._reader)
                loose = sqlite_seen.loose_counts(self._reader)
            except TROUBLE as error:
                raise StoreError(f"cannot read the store {self.path}: {error}") from error
            opened.pop_all()
        self._writer: sqlite3.Connection | None = writer
        self._parts = NO_PARTS
        self._lookup = sqlite_seen.Lookup()
        self._upkeep = Upkeep(
            self._settings,
            connection=copier,
            transaction=self._transaction,
            pause=self._write_lock,
            on_sorted=self._reset_lookup,
            loose=loose,
        )

    # Writing

    def commit(self, commit: Commit) -> None:
        """Make all of it durable, or none. Raises `StoreError`; the store stays usable."""
        with self._write_lock:
            self._check_open()
            self._reopen()
            last = verify(commit, last=self._last, checkpoint=self._offset, parts=self._parts)
            with self._transaction(secure=commit.forget is not None) as writer:
                if leaves_parts(commit):
                    sqlite_parts.undo(writer)
                sqlite_kept.keep(writer, self._snapshot, commit)
                crc = sqlite_log.append(writer, commit.rows, self._crc)
                sqlite_seen.add(writer, commit.seen)
                put_documents(writer, commit.documents, versions_max=self._settings.versions_max)
                put_rejected(writer, commit.rejected, rejected_max=self._settings.rejected_max)
                sqlite_keys.put(writer, commit.keys)
                sqlite_changes.put(writer, commit.changes)
                if commit.part is not None:
                    sqlite_parts.put(writer, commit.part.profiles)
                if commit.checkpoint is not None:
                    put_checkpoint(writer, commit.checkpoint)
                if commit.forget is not None:
                    forget(writer, commit.forget)
            self._last, self._crc, self._parts = last, crc, parts_held(commit, self._parts)
            if commit.checkpoint is not None:
                self._offset = commit.checkpoint.offset
            self._upkeep.note(commit)

    def forget_seen(self, before_hour: int) -> None:
        """Drop aged digests of hours before `before_hour`; those without an age stay."""
        with self._write_lock:
            self._check_open()
            with self._transaction() as writer:
                writer.execute("DELETE FROM seen WHERE hour < ?", (before_hour,))
            self._upkeep.forget(before_hour)
        self._reset_lookup()

    def drop_log(self, upto: int, before: Instant, *, rows: int) -> bool:
        """Drop at most `rows` rows from the log's beginning, none over `upto` or received at `before` or later."""
        with self._write_lock:
            self._check_open()
            self._reopen()
            droppable(upto, self._snapshot)
            with self._transaction() as writer:
                return sqlite_log.drop(writer, upto, before, rows=rows)[1]

    def take_snapshot(self, at: Instant, products: Iterable[str] = ()) -> Snapshot:
        """Let the checkpoint as it is now be read from here on, with its documents and those products."""
        with self._write_lock:
            self._check_open()
            self._reopen()
            if not self._offset:
                raise StoreError(f"{self.path} has no checkpoint to keep")
            with self._transaction() as writer:
                taken = sqlite_kept.take(writer, self._offset, at, tuple(products))
            self._snapshot = taken.offset
            return taken

    def drop_snapshots(self, before: int, *, rows: int) -> bool:
        """Drop the snapshots of offsets below `before`, which are unlisted at once; at most `rows` rows of theirs."""
        with self._write_lock:
            self._check_open()
            self._reopen()
            newest = self._snapshot if self._snapshot >= before else 0
            with self._transaction() as writer:
                droppable(sqlite_log.start_of_log(writer)[0], newest)
                more = sqlite_kept.drop(writer, before, rows)
            self._snapshot = newest
            return more

    def drop_changes(self, upto: int, before: Instant, *, rows: int) -> bool:
        """Drop the oldest changes: at most `rows`, none of a number over `upto`, none written at `before` or later."""
        with self._write_lock:
            self._check_open()
            with self._transaction() as writer:
                gone = sqlite_changes.drop(writer, upto, before, rows)
            self._upkeep.note_dropped(gone)
            return gone == rows

    def wipe(self) -> bool:
        """Copy the write-ahead log into the file and cut it, so that no older page is left in it.

        Returns
        -------
        False when a reader that began before held it up for too long; the next call, or closing, does it.

        Raises
        ------
        StoreError
            The file cannot be written.
        """
        end = time.monotonic() + self._settings.busy_ms / 1000
        while True:
            with self._write_lock:
                self._check_open()
                if self._cut_wal(self._reopen()):
                    return True
            if time.monotonic() > end:
                return False
            time.sleep(_WIPE_PAUSE_SECONDS)

    def _cut_wal(self, writer: sqlite3.Connection) -> bool:
        try:
            writer.execute("PRAGMA busy_timeout=0")  # commits wait for us meanwhile
            return not writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                return False
            raise StoreError(f"the write-ahead log of {self.path} could not be cut: {error}") from error
        finally:
            writer.execute(f"PRAGMA busy_timeout={self._settings.busy_ms}")

    # Reading

    def last_offset(self) -> int:
        """Return the offset of the newest durable record; 0 when the log is empty (offsets start at 1)."""
        return self._last

    def read(self, after: int) -> Iterator[LogRow]:
        """Yield log rows that hold records with offset > `after`, in order, as of the first call of `next`.

        Raises
        ------
        CorruptLog
            A row is missing, torn or changed; the message names it. Rows before it have been given.
        """
        with self._own_reader() as reader:
            yield from sqlite_log.read(reader, after)

    def dropped(self) -> int:
        """Return the last offset whose row was dropped; 0 when the log begins with its first."""
        with self._shared_reader() as reader:
            return sqlite_log.start_of_log(reader)[0]

    def snapshots(self) -> tuple[Snapshot, ...]:
        """Return what snapshots there are, the oldest first."""
        with self._shared_reader() as reader:
            return sqlite_kept.listed(reader)

    def kept_profiles(self, offset: int) -> Iterator[ProfileRow]:
        """Yield every profile of the snapshot of an offset, in any order, as of the first call of `next`."""
        with self._own_reader() as reader:
            sqlite_kept.find(reader, offset)
            yield from sqlite_kept.profiles(reader, offset)

    def kept_aliases(self, offset: int) -> Mapping[ProfileId, ProfileId]:
        """Return every alias of the snapshot of an offset."""
        with self._own_reader() as reader:
            sqlite_kept.find(reader, offset)
            return sqlite_kept.aliases(reader, offset)

    def kept_documents(self, offset: int, kind: str) -> tuple[Document, ...]:
        """Return `documents` as they were in the snapshot of an offset."""
        with self._own_reader() as reader:
            sqlite_kept.find(reader, offset)
            return sqlite_kept.documents(reader, offset, kind)

    def checkpoint_offset(self) -> int:
        """Return the offset that the checkpoint includes; 0 when there is none."""
        return self._offset

    def profile(self, profile_id: ProfileId) -> ProfileRow | None:
        """Return one checkpointed profile by its own id (not by alias)."""
        with self._shared_reader() as reader:
            row = reader.execute("SELECT data, next_flip_at FROM profiles WHERE id = ?", (profile_id,)).fetchone()
        return ProfileRow(profile_id, row[0], row[1]) if row else None

    def profiles_named(self, ids: Sequence[ProfileId]) -> tuple[ProfileRow, ...]:
        """Return those of these profiles that are checkpointed, in any order, each once."""
        query = "SELECT id, data, next_flip_at FROM profiles WHERE id IN ({values})"
        with self._shared_reader() as reader:
            return tuple(ProfileRow(*row) for row in sqlite_many.read(reader, query, dict.fromkeys(ids)))

    def profiles(self, after: ProfileId = "") -> Iterator[ProfileRow]:
        """Yield the checkpointed profiles behind an id, in the order of their ids, as of the first call of `next`."""
        query = "SELECT id, data, next_flip_at FROM profiles WHERE id > ? ORDER BY id"
        with self._own_reader() as reader:
            for row in reader.execute(query, (after,)):
                yield ProfileRow(*row)

    def due(
        self, before: Instant, *, limit: int, after: tuple[Instant, ProfileId] | None = None
    ) -> tuple[tuple[ProfileId, Instant], ...]:
        """Return at most `limit` profiles whose `next_flip_at` <= `before`, the earliest first, those after `after`."""
        query = (
            "SELECT id, next_flip_at FROM profiles WHERE next_flip_at <= ? AND (next_flip_at, id) > (?, ?)"
            " ORDER BY next_flip_at, id LIMIT ?"
        )
        with self._shared_reader() as reader:
            return tuple(reader.execute(query, (before, *(after or _EARLIEST), max(0, limit))))

    def alias(self, alias: ProfileId) -> ProfileId | None:
        """Return the profile id that one alias resolves to; None when it is none."""
        with self._shared_reader() as reader:
            row = reader.execute("SELECT id FROM aliases WHERE alias = ?", (alias,)).fetchone()
        return row[0] if row else None

    def aliases(self) -> Mapping[ProfileId, ProfileId]:
        """Return every alias and the profile id that it resolves to."""
        with self._shared_reader() as reader:
            return dict(reader.execute("SELECT alias, id FROM aliases"))

    def product(self, name: str) -> Product | None:
        """Return another fold product."""
        with self._shared_reader() as reader:
            row = reader.execute("SELECT included, data FROM products WHERE name = ?", (name,)).fetchone()
        return Product(name, row[0], row[1]) if row else None

    def seen(self, digests: Iterable[bytes]) -> frozenset[bytes]:
        """Return those of the digests that are on disk, whatever their age."""
        with self._shared_reader() as reader:
            reader.execute("BEGIN")
            try:
                return self._lookup.find(reader, digests)
            finally:
                reader.execute("ROLLBACK")

    def seen_since(self, hour: int, *, after: int = 0, rows: int = 64) -> SeenPage:
        """Return a page of the digests of the hours from `hour` on; those without an age stay out."""
        with self._shared_reader() as reader:
            return sqlite_seen.page(reader, hour, after=after, rows=rows)

    def documents(self, kind: str) -> tuple[Document, ...]:
        """Return the newest version of each document of a kind that is not deleted, ordered by id."""
        # SQLite takes the bare column `data` from the row that has the maximum.
        query = "SELECT id, max(version), data FROM documents WHERE kind = ? GROUP BY id ORDER BY id"
        with self._shared_reader() as reader:
            return tuple(Document(kind, *row) for row in reader.execute(query, (kind,)) if row[2] is not None)

    def versions(self, kind: str, doc_id: str) -> tuple[Document, ...]:
        """Return every kept version of one document, oldest first, deletions (data None) included."""
        query = "SELECT version, data FROM documents WHERE kind = ? AND id = ? ORDER BY version"
        with self._shared_reader() as reader:
            return tuple(Document(kind, doc_id, *row) for row in reader.execute(query, (kind, doc_id)))

    def rejected(self, *, limit: int = 100, source: str | None = None) -> tuple[Rejected, ...]:
        """Return the newest rejected things, newest first."""
        columns = "SELECT source, place, reason, at, data FROM rejected"
        with self._shared_reader() as reader:
            if source is None:
                rows = reader.execute(f"{columns} ORDER BY row DESC LIMIT ?", (max(0, limit),))
            else:
                rows = reader.execute(f"{columns} WHERE source = ? ORDER BY row DESC LIMIT ?", (source, max(0, limit)))
            return tuple(Rejected(*row) for row in rows)

    def rejected_count(self) -> int:
        """Return how many rejected things are kept (the store keeps a bounded number, dropping the oldest)."""
        with self._shared_reader() as reader:
            return int(reader.execute("SELECT count(*) FROM rejected").fetchone()[0])

    def changes(self, after: int, *, limit: int, names: Sequence[ProfileId] | None = None) -> tuple[ChangeRow, ...]:
        """Return the first rows of changes behind a number, at most `limit`, of these names (None: of all)."""
        with self._shared_reader() if names is None else self._own_reader() as reader:  # names: a walk over the table
            return sqlite_changes.read(reader, after, limit, names)

    def newest_change(self) -> ChangeRow | None:
        """Return the newest row of changes; None when there is none."""
        with self._shared_reader() as reader:
            return sqlite_changes.newest(reader)

    def last_change(self) -> int:
        """Return the highest number of changes that was given so far, also where its row is gone; 0 when none was."""
        with self._shared_reader() as reader:
            return sqlite_changes.last(reader)

    def dropped_changes(self) -> int:
        """Return the highest number of changes that was dropped for its age; 0 when none was."""
        with self._shared_reader() as reader:
            return sqlite_changes.dropped(reader)

    def key(self, number: int) -> WrappedKey | None:
        """Return a key by its number, also a destroyed one (nothing wrapped); None when there never was one."""
        with self._shared_reader() as reader:
            return sqlite_keys.by_number(reader, number)

    def keys_numbered(self, numbers: Sequence[int]) -> tuple[WrappedKey, ...]:
        """Return the keys of these numbers as `key` does, in any order; those that there never were are left out."""
        with self._shared_reader() as reader:
            return tuple(sqlite_keys.by_numbers(reader, dict.fromkeys(numbers)))

    def key_of(self, subject: bytes) -> WrappedKey | None:
        """Return the key of a subject; None when there is none, or it was destroyed."""
        with self._shared_reader() as reader:
            return sqlite_keys.by_subject(reader, subject)

    def keys_of(self, subjects: Sequence[bytes]) -> tuple[WrappedKey, ...]:
        """Return the keys of these subjects as `key_of` does, in any order; those that have none are left out."""
        with self._shared_reader() as reader:
            return tuple(sqlite_keys.by_subjects(reader, dict.fromkeys(subjects)))

    def each_key(self) -> Iterator[WrappedKey]:
        """Yield every key that was not destroyed, in the order of its number, as of the first call of `next`."""
        with self._own_reader() as reader:
            yield from sqlite_keys.all_kept(reader)

    def last_key(self) -> int:
        """Return the highest number that a key has or had; 0 when there is none."""
        with self._shared_reader() as reader:
            return sqlite_keys.last_number(reader)

    def size(self) -> int:
        """Return the bytes that the file and its write-ahead log take on disk."""
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        """Let go of everything; idempotent. The write-ahead log is copied into the file."""
        with self._write_lock:
            if self._closed:
                return
            self._closed = True
        self._upkeep.close()
        with self._read_lock:
            self._lookup.reset()
            self._reader.close()
        with self._write_lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    # Connections

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"the store {self.path} is closed")

    @contextmanager
    def _transaction(self, *, secure: bool = False) -> Generator[sqlite3.Connection]:
        """Give the writing connection inside a transaction: all of the block is committed, or nothing of it.

        With `secure`, what it deletes is overwritten with zeros.
        """
        writer = self._reopen()
        try:
            if secure:
                writer.execute("PRAGMA secure_delete=ON")
            writer.execute("BEGIN IMMEDIATE")
            yield writer
            writer.execute("COMMIT")
        except BaseException as error:
            self._undo(writer)
            if isinstance(error, TROUBLE):
                raise StoreError(f"the store {self.path} could not write: {error}") from error
            raise
        finally:
            if secure and self._writer is not None:
                self._writer.execute("PRAGMA secure_delete=OFF")

    def _reopen(self) -> sqlite3.Connection:
        """Return the writing connection; where it had to be given up, a new one, and what is truly in the file."""
        if self._writer is None:
            with ExitStack() as opened:
                writer = opened.enter_context(closing(open_writer(self.path, self._settings)))
                try:
                    self._last, self._crc, self._offset = sqlite_log.ends(writer, self.path)
                    self._snapshot = sqlite_kept.newest(writer)
                    self._parts = NO_PARTS
                except TROUBLE as error:
                    raise StoreError(f"cannot read the store {self.path}: {error}") from error
                opened.pop_all()
            self._writer = writer
        return self._writer

    def _undo(self, writer: sqlite3.Connection) -> None:
        """Roll back; a connection that cannot even do that is replaced at the next commit."""
        try:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
        except sqlite3.Error as error:
            _log.warning("the store %s could not roll back, and opens its file anew: %s", self.path, error)
            writer.close()
            self._writer = None

    @contextmanager
    def _shared_reader(self) -> Generator[sqlite3.Connection]:
        """Give the connection of single reads, to one thread at a time."""
        with self._read_lock:
            self._check_open()
            try:
                yield self._reader
            except TROUBLE as error:
                raise StoreError(f"the store {self.path} could not read: {error}") from error

    @contextmanager
    def _own_reader(self) -> Generator[sqlite3.Connection]:
        """Give a connection whose view stays as it is now, whatever is committed meanwhile."""
        self._check_open()
        reader: sqlite3.Connection | None = None
        try:
            reader = connect_reader(self.path, self._settings)
            reader.execute("BEGIN")
            yield reader
        except TROUBLE as error:
            raise StoreError(f"the store {self.path} could not read: {error}") from error
        finally:
            if reader is not None:
                reader.close()

    def _reset_lookup(self) -> None:
        with self._read_lock:
            if not self._closed:
                self._lookup.reset()
