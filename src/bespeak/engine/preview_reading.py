"""The archive and the log held in memory for previews, and followed: read once from the store's file, then as it grows.

It is what `archive_reading` gives for one question, kept for the next ones. Between two looks at the store nothing of
it is held open, so that its write-ahead log begins anew when it should.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

from bespeak.analytics import COLUMNS, Damaged, FileKey, Row, open_file
from bespeak.analytics.conditions_sql import Query, Rules
from bespeak.analytics.conditions_sql_values import Kept
from bespeak.analytics.parquet import memory_file
from bespeak.analytics.warm import WarmEvents
from bespeak.clock import NEVER
from bespeak.engine.archive import ArchiveFile, floor_of, folder_of, key_of, listed
from bespeak.engine.archive_reading import aliases_in, rows_in
from bespeak.engine.vault import Vault
from bespeak.errors import CallerError, InvalidInput
from bespeak.ids import ProfileId
from bespeak.privacy.masters import KEY_FILE, KeyHeld, Masters, encode_masters
from bespeak.settings import Settings
from bespeak.stores import SqliteSettings, SqliteSnapshot

AT_ONCE: Final = 250_000
"""Events that are taken in at once; each chunk stands in memory twice while it is."""

_TRIES = 5
"""How often everything is read anew when files were written anew, or dropped, between listing and opening them."""

_NAMES = tuple(column.name for column in COLUMNS)
_OFFSET, _PERSON, _JOINED = (_NAMES.index(name) for name in ("log_offset", "person", "joined"))

Watch = Callable[[int, int], None]
"""Told how many events are taken in, of how many."""


class NotWarm(CallerError):
    """Events are not held in memory here, and cannot be; the message says why, and what would do."""

    code = "not_warm"
    status = 409


class DoesNotFit(NotWarm):
    """The events are more than `archive.preview_mib` holds: to take them in again is in vain until that changes."""


class Outrun(Exception):
    """What was taken in is no beginning of what there is: files were dropped, or the log is ahead."""


class Following:
    """Events of a store on disk in memory; `follow` brings them up to its last commit. Close it in the end.

    Parameters
    ----------
    masters
        The master keys.

    Raises
    ------
    InvalidInput
        The store is in RAM.
    """

    def __init__(self, settings: Settings, masters: Masters) -> None:
        folder = folder_of(settings)
        if folder is None or not isinstance(settings.store, SqliteSettings):
            raise InvalidInput('store.type is "memory": there is no archive')
        self._settings = settings
        self._masters = masters
        self._folder = folder
        self._events: WarmEvents | None = None
        self._aliases: dict[ProfileId, ProfileId] = {}
        self._named: dict[ProfileId, list[ProfileId]] = {}
        self._merged = 0
        self._floor = 1
        self.upto = 0

    @property
    def events(self) -> int:
        """Events that are held."""
        return 0 if self._events is None else self._events.events

    @property
    def held_mib(self) -> float:
        """RAM that they take, MiB."""
        return 0.0 if self._events is None else self._events.held_mib

    def close(self) -> None:
        """Let go of everything."""
        if self._events is not None:
            self._events.close()
            self._events = None

    def follow(self, watch: Watch, kept: tuple[Kept, ...] = ()) -> None:
        """Take in what was committed since; the first time, and where that is not possible, everything.

        Parameters
        ----------
        watch
            Told of it while everything is taken in.
        kept
            Paths that get columns of their own then.

        Raises
        ------
        DoesNotFit
            `archive.preview_mib` is too little.
        StoreError, CorruptLog, KeyMissing, SealBroken, Damaged
            The store or a file cannot be read. What is held is of no use any more then.
        """
        import duckdb

        try:
            if self._events is not None:
                with suppress(Outrun):
                    self._read_log(self._events)
                    return
            self._read_all(watch, kept)
        except duckdb.OutOfMemoryException as error:
            raise self._too_large(error) from None
        except BaseException:
            self.close()
            raise

    def ask(self, query: Query) -> tuple[Any, ...]:
        """Return the one row that a question has for an answer; raises as `WarmEvents.ask`."""
        assert self._events is not None  # noqa: S101  whoever asks has followed before
        return self._events.ask(query, self._settings.archive)

    def _read_all(self, watch: Watch, kept: tuple[Kept, ...]) -> None:
        for tries_left in reversed(range(_TRIES)):
            files = self._begin()
            assert self._events is not None  # noqa: S101  it has begun
            try:
                self._read_files(self._events, files, watch)
                self._read_log(self._events, watch)
                self._events.keep(kept)
                return
            except Damaged:
                if not tries_left or self._listed() == tuple(file for file, _ in files):
                    raise
            except Outrun:
                if not tries_left:
                    raise Damaged("files of the archive are dropped faster than they are read") from None

    def _begin(self) -> list[tuple[ArchiveFile, FileKey]]:
        """Begin anew, with what the store says at this moment; return the files with their keys."""
        self.close()
        settings = self._settings
        rules = Rules(settings.profiles, settings.identity)
        self._events = WarmEvents(rules, mib=settings.archive.preview_mib)
        with closing(self._snapshot()) as store:
            files = [(file, key_of(store, self._masters, file)) for file in listed(store)]
            self._floor = floor_of(store)
            # Whoever wrote a file knew of every merge in it.
            self._merged = max([store.checkpoint_offset(), *(file.last for file, _ in files)])
            self._aliases = aliases_in(store, self._vault(store))
        self._named = {}
        for alias, person in self._aliases.items():
            self._named.setdefault(person, []).append(alias)
        self._events.mean(self._aliases)
        self.upto = self._floor - 1
        return files

    def _read_files(self, events: WarmEvents, files: list[tuple[ArchiveFile, FileKey]], watch: Watch) -> None:
        total = sum(file.rows for file, _ in files)
        watch(0, total)
        group: list[tuple[ArchiveFile, FileKey]] = []
        for file, key in files:
            last = group[-1][0].last if group else self.upto
            if group and (file.first > last + 1 or sum(one.rows for one, _ in group) + file.rows > AT_ONCE):
                self._take_files(events, group)
                watch(events.events, total)
                group = []
            if file.first > last + 1:
                self._read_log(events, before=file.first)
            group.append((file, key))
        if group:
            self._take_files(events, group)
            watch(events.events, total)

    def _take_files(self, events: WarmEvents, group: list[tuple[ArchiveFile, FileKey]]) -> None:
        with ExitStack() as stack:
            held: list[int] = []
            for file, key in group:
                if file.rows:
                    held.append(stack.enter_context(memory_file(file.name)))
                    open_file(self._folder / file.name, key, held[-1])
            if held:
                events.add_files(held, merged=self._merged)
        self.upto = group[-1][0].last

    def _read_log(self, events: WarmEvents, watch: Watch | None = None, *, before: int = NEVER) -> None:
        """Take in the log behind what is held, up to before an offset, or to its end.

        Raises
        ------
        Outrun
            It does not hold what comes next any more.
        """
        with closing(self._snapshot()) as store:
            last = min(store.last_offset(), before - 1)
            if floor_of(store) != self._floor or self._is_behind(store, before):
                raise Outrun
            if last <= self.upto:
                return
            # Of merges `rows_in` knows nothing here: they are taken in between two rows.
            spans = [(self.upto + 1, last)]
            rows = rows_in(self._settings, store, self._vault(store), spans, self._aliases, known=NEVER)
            found = self._renamed(rows)
            while some := list(islice(found, AT_ONCE // 10)):
                events.add_rows(some, merged=self._merged)
                if watch is not None:
                    watch(events.events, events.events + last - int(some[-1][_OFFSET]))
        self.upto = last

    def _is_behind(self, store: SqliteSnapshot, before: int) -> bool:
        """Whether a file has what comes next, up to before an offset, and the log has it no more."""
        return store.dropped() > self.upto and any(
            file.first < before and file.last > self.upto for file in listed(store)
        )

    def _renamed(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Yield rows, and let ids mean others from the event on that joined them."""
        for row in rows:
            if row[_JOINED] and row[_OFFSET] > self._merged:
                self._join(row[_JOINED], row[_PERSON])
            yield row

    def _join(self, joined: ProfileId, person: ProfileId) -> None:
        names = [*self._named.pop(joined, ()), joined]
        self._aliases.update(dict.fromkeys(names, person))
        self._named.setdefault(person, []).extend(names)

    def _snapshot(self) -> SqliteSnapshot:
        assert isinstance(self._settings.store, SqliteSettings)  # noqa: S101  looked at when it was made
        return SqliteSnapshot(Path(self._settings.data_dir) / self._settings.store.path, self._settings.store)

    def _listed(self) -> tuple[ArchiveFile, ...]:
        with closing(self._snapshot()) as store:
            return listed(store)

    def _vault(self, store: SqliteSnapshot) -> Vault:
        keys = KeyHeld({KEY_FILE: encode_masters(self._masters)})
        vault = Vault(store, keys, bound=self._settings.engine.keys_max)
        vault.load()
        return vault

    def _too_large(self, error: Exception) -> DoesNotFit:
        mib, held = self._settings.archive.preview_mib, self.events
        self.close()
        return DoesNotFit(
            f"the events do not fit into archive.preview_mib ({mib:,} MiB; {held:,} of them did): raise it,"
            f" or let `bespeak segments preview --cold` read the files: {error}"
        )
