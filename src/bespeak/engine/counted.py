"""What history has counted for each person, until they are asked: the lately counted in RAM, the others on disk.

The file on disk has no name: it goes with the process, however that ends. What is in it is sealed under a key that is
in RAM only.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from itertools import islice
from pathlib import Path

import msgspec

from bespeak.clock import Instant
from bespeak.conditions.counting.states import State
from bespeak.errors import StoreError
from bespeak.ids import ProfileId, digest
from bespeak.privacy.envelope import KEY_BYTES
from bespeak.privacy.sealing import Field, Sealer

IN_RAM = 30_000
"""People whose histories are in RAM: half a kilobyte to some kilobytes each."""

PUT_ASIDE_AT_ONCE = 100
"""People whose histories go to disk together when there are more: some milliseconds."""

_FIELD = Field("counted")


class History(msgspec.Struct):
    """What is counted of one person, or whose an id is.

    Parameters
    ----------
    states
        States of aggregates by key.
    newest
        Time of the person's newest event: what a later one is late by.
    into
        Who has taken this id in; empty for a person. Then nothing else is here.
    """

    states: dict[str, State] = {}
    newest: Instant = 0
    into: ProfileId = ""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(History)


class Counted:
    """Histories by person.

    Parameters
    ----------
    folder
        Where the file is made once it is needed; None keeps everything in RAM, as a store in RAM does.
    bound
        People in RAM; the longest not asked for go first.

    Raises
    ------
    StoreError
        The disk cannot be written or read.

    Examples
    --------
    >>> counted = Counted(None, bound=1)
    >>> counted.put("u:ada", History()).states, counted.get("u:eve")
    ({}, None)
    """

    def __init__(self, folder: Path | None, *, bound: int = IN_RAM) -> None:
        self._folder = folder
        self._bound = bound
        self._here: dict[ProfileId, History] = {}
        self._gone: set[ProfileId] = set()
        self._file: sqlite3.Connection | None = None
        self._sealer = Sealer(1, os.urandom(KEY_BYTES), tenant="", subject="")

    def get(self, profile_id: ProfileId) -> History | None:
        """Return what `put` was given; None when there is nothing.

        It may be changed in place as long as no more than `bound` others are asked for.
        """
        history = self._here.pop(profile_id, None)
        if history is not None:
            self._here[profile_id] = history  # the last one now
            return history
        history = self._read(profile_id)
        return None if history is None else self.put(profile_id, history)

    def put(self, profile_id: ProfileId, history: History) -> History:
        """Keep a history, and return it; the longest not asked for go to disk first when there are too many."""
        if len(self._here) >= self._bound + PUT_ASIDE_AT_ONCE:
            self._put_aside()
        self._gone.discard(profile_id)
        self._here.pop(profile_id, None)
        self._here[profile_id] = history  # the last one now
        return history

    def take(self, profile_id: ProfileId) -> History | None:
        """Return a history for the last time, or before it is put again."""
        history = self._here.pop(profile_id, None)
        return self._read(profile_id) if history is None else history

    def drop(self, profile_id: ProfileId) -> None:
        """Forget somebody; what lies on disk of them is not read any more, and goes with its key."""
        self._here.pop(profile_id, None)
        if self._file is not None:
            self._gone.add(profile_id)

    def _read(self, profile_id: ProfileId) -> History | None:
        if self._file is None or profile_id in self._gone:
            return None
        try:
            row = self._file.execute("SELECT data FROM counted WHERE name = ?", (digest(profile_id),)).fetchone()
        except sqlite3.Error as error:
            raise StoreError(f"what history has counted could not be read: {error}") from error
        return None if row is None else _decoder.decode(self._sealer.open(_FIELD, row[0]))

    def _put_aside(self) -> None:
        gone = list(islice(self._here, PUT_ASIDE_AT_ONCE))
        rows = [(digest(one), self._sealer.seal(_FIELD, _encoder.encode(self._here[one]))) for one in gone]
        try:
            if self._file is None:
                self._file = _nameless(self._folder)
            with self._file:
                self._file.executemany("INSERT OR REPLACE INTO counted VALUES (?, ?)", rows)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"what history has counted could not be put aside on disk: {error}") from error
        for one in gone:
            del self._here[one]

    def close(self) -> None:
        """Let go of everything; idempotent."""
        self._here.clear()
        self._gone.clear()
        if self._file is not None:
            self._file.close()
            self._file = None


def _nameless(folder: Path | None) -> sqlite3.Connection:
    """Make a table in a file that goes when it is closed; nobody opens it again, so nothing waits for the disk."""
    if folder is None:
        file = sqlite3.connect(":memory:")
    else:
        number, path = tempfile.mkstemp(dir=folder, prefix="counting-")
        try:
            file = sqlite3.connect(path)
            for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "cache_size=-16000"):
                file.execute(f"PRAGMA {pragma}")
            file.execute("BEGIN EXCLUSIVE")
            file.execute("COMMIT")
        finally:
            os.close(number)
            Path(path).unlink()
    file.execute("CREATE TABLE counted (name BLOB PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID")
    return file
