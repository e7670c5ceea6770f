"""A store as it is at one moment, to read only: also beside the process that owns it."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from sqlite3 import Connection

from bespeak.clock import Instant
from bespeak.errors import StoreError
from bespeak.stores import sqlite_changes, sqlite_kept, sqlite_keys, sqlite_log, sqlite_seen
from bespeak.stores.settings import SqliteSettings
from bespeak.stores.sqlite import SqliteStore
from bespeak.stores.sqlite_file import TROUBLE, connect_reader, recognise
from bespeak.stores.store import Commit, Snapshot


class SqliteSnapshot(SqliteStore):
    """Everything in one read transaction: whatever is committed meanwhile, log, checkpoint and documents fit together.

    While it is open the owner's write-ahead log cannot start anew, and grows.

    Raises
    ------
    StoreError
        There is no store, it cannot be read, is not ours, or has a format that this version cannot read.
    CorruptLog
        The checkpoint includes more than the log holds.
    """

    def __init__(self, path: Path | str, settings: SqliteSettings | None = None) -> None:
        # Nothing of the writing store is made: no writing connection, no thread beside it.
        self.path = Path(path)
        self._settings = settings or SqliteSettings()
        self._read_lock = threading.RLock()
        self._closed = False
        self._lookup = sqlite_seen.Lookup()
        if not self.path.is_file():
            raise StoreError(f"{self.path}: there is no store")
        with ExitStack() as opened:
            try:
                self._reader = opened.enter_context(closing(connect_reader(self.path, self._settings)))
                recognise(self._reader, self.path)
                sqlite_keys.stand_in(self._reader)
                sqlite_kept.stand_in(self._reader)
                sqlite_changes.stand_in(self._reader)
                self._reader.execute("BEGIN")
                self._last, self._crc, self._offset = sqlite_log.ends(self._reader, self.path)
            except TROUBLE as error:
                raise StoreError(f"cannot read the store {self.path}: {error}") from error
            opened.pop_all()

    def commit(self, commit: Commit) -> None:
        """Refuse: it is as it was. Raises `StoreError`."""
        raise StoreError(f"{self.path} is open to be read only")

    def forget_seen(self, before_hour: int) -> None:
        """Refuse: it is as it was. Raises `StoreError`."""
        raise StoreError(f"{self.path} is open to be read only")

    def drop_log(self, upto: int, before: Instant, *, rows: int) -> bool:
        """Refuse: it is as it was. Raises `StoreError`."""
        raise StoreError(f"{self.path} is open to be read only")

    def take_snapshot(self, at: Instant, products: Iterable[str] = ()) -> Snapshot:
        """Refuse: it is as it was. Raises `StoreError`."""
        raise StoreError(f"{self.path} is open to be read only")

    def drop_snapshots(self, before: int, *, rows: int) -> bool:
        """Refuse: it is as it was. Raises `StoreError`."""
        raise StoreError(f"{self.path} is open to be read only")

    def drop_changes(self, upto: int, before: Instant, *, rows: int) -> bool:
        """Refuse: it is as it was. Raises `StoreError`."""
        raise StoreError(f"{self.path} is open to be read only")

    def close(self) -> None:
        """Let go of everything; idempotent."""
        with self._read_lock:
            if not self._closed:
                self._closed = True
                self._lookup.reset()
                self._reader.close()

    def seen(self, digests: Iterable[bytes]) -> frozenset[bytes]:
        """Return those of the digests that are on disk, whatever their age."""
        with self._shared_reader() as reader:
            return self._lookup.find(reader, digests)

    @contextmanager
    def _own_reader(self) -> Generator[Connection]:
        """Give the one connection: its view never changes."""
        self._check_open()
        try:
            yield self._reader
        except TROUBLE as error:
            raise StoreError(f"the store {self.path} could not read: {error}") from error
