"""The archive and the log behind it as one, at one cut: asked over, also beside the server that owns the store."""

from __future__ import annotations

import base64
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import msgspec

from bespeak.analytics import Answer, Damaged, Row, ask, export
from bespeak.analytics.conditions_sql import NOTHING, Events, Members, Rules, members, sql_of
from bespeak.analytics.conditions_sql_goods import UNKNOWN, Goods
from bespeak.clock import NEVER, Instant, format_time
from bespeak.conditions import Condition
from bespeak.engine.archive import ArchiveFile, floor_of, folder_of, gaps_in, listed, opened
from bespeak.engine.archive_goods import goods_of
from bespeak.engine.archive_writing import row_in
from bespeak.engine.records import EventRecord, SealedRecord, decode
from bespeak.engine.vault import ALIAS, Vault
from bespeak.errors import InvalidInput, StoreError
from bespeak.ids import ProfileId
from bespeak.privacy.masters import KEY_FILE, KeyFile, KeyHeld
from bespeak.settings import Settings
from bespeak.stores import SqliteSettings, SqliteSnapshot, Store

_TRIES = 5
"""How often a cut is taken anew when an erasure has replaced a file between listing and opening it."""


class Cut(msgspec.Struct, frozen=True):
    """Everything up to one offset of the log.

    Parameters
    ----------
    offset
        The last one.
    files
        Descriptors of the archive's files, open in memory.
    tail
        The events that are in none of them; it can be read once, and lets go of the store at its end.
    aliases
        Profile ids that mean another; complete once the tail was read.
    goods
        What the catalog had of items, where it was asked for.
    """

    offset: int
    files: tuple[int, ...]
    tail: Iterator[Row]
    aliases: dict[ProfileId, ProfileId]
    goods: Goods = UNKNOWN


def ask_archive(
    settings: Settings, sql: str, *, since: Instant = -NEVER, until: Instant = NEVER, threads: int = 2
) -> tuple[int, Answer]:
    """Ask SQL over the view `events`, and return the offset of the cut with the answer.

    Parameters
    ----------
    since, until
        Files whose events all happened before or after are not opened. Of the others the view has every row: say the
        time in SQL, too.

    Raises
    ------
    InvalidInput
        The store is in RAM, or the question cannot be answered.
    StoreError
        The store or its master keys cannot be read.
    Damaged
        A file of the archive cannot be read.
    """
    with cut_of(settings, since=since, until=until) as cut:
        return cut.offset, ask(sql, cut.files, cut.tail, cut.aliases, settings.archive, threads=threads)


def members_in_archive(
    settings: Settings,
    condition: Condition,
    at: Instant,
    *,
    segments: Mapping[str, Condition] = NOTHING,
    most: int = 20,
    threads: int = 2,
) -> tuple[int, Members]:
    """Ask SQL who holds a condition at an instant, and return the offset of the cut with the answer.

    Nothing has to be counted for it beforehand: it is how a condition that nobody has defined yet can be tried.

    Parameters
    ----------
    segments
        What `in_segment` means, as `segments.references.inlined` returns it.
    most
        People named, 1 to 1,000.

    Raises
    ------
    NotInSql
        The log does not answer it (the context of a request, items of a time that was dropped); the message names the
        part.
    InvalidInput, StoreError, Damaged
        As `ask_archive`.
    """
    rules = Rules(settings.profiles, settings.identity)
    query = sql_of(condition, at, segments=segments)
    with cut_of(settings, goods=query.reads_items) as cut:
        events = Events(cut.files, cut.tail, cut.aliases, cut.goods)
        found = members(condition, at, events, settings.archive, rules, segments=segments, most=most, threads=threads)
        return cut.offset, found


def export_archive(settings: Settings, path: Path, *, since: Instant = -NEVER, until: Instant = NEVER) -> int:
    """Write the events that happened from `since` to before `until` to a new, unsealed Parquet file; returns its rows.

    Raises as `ask_archive`; `StoreError` also when it cannot be written.
    """
    bounds = ["true"]
    if since > -NEVER:
        bounds.append(f"time >= make_timestamp({since})")
    if until < NEVER:
        bounds.append(f"time < make_timestamp({until})")
    working = path.with_name(f".{path.name}.new")
    working.unlink(missing_ok=True)
    try:
        with cut_of(settings, since=since, until=until) as cut:
            rows = export(working, cut.files, cut.tail, cut.aliases, settings.archive, where=" AND ".join(bounds))
        working.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
    finally:
        working.unlink(missing_ok=True)
    return rows


@contextmanager
def cut_of(
    settings: Settings, *, since: Instant = -NEVER, until: Instant = NEVER, goods: bool = False
) -> Generator[Cut]:
    """Give everything up to the present end of the log; raises as `ask_archive`.

    Parameters
    ----------
    goods
        Whether to look up what the catalog had of items, for which the whole log is read.
    """
    folder = folder_of(settings)
    if folder is None or not isinstance(settings.store, SqliteSettings):
        raise InvalidInput('store.type is "memory": there is no archive')
    path = Path(settings.data_dir) / settings.store.path
    for tries_left in reversed(range(_TRIES)):
        with ExitStack() as stack:
            store = SqliteSnapshot(path, settings.store)
            stack.callback(store.close)
            vault = _vault(settings, store)
            files = listed(store)
            within = [file for file in files if _within(file, since, until)]
            try:
                open_files = opened(stack, store, vault.masters, folder, within)
            except Damaged:
                if tries_left and _changed_since(path, settings.store, files):
                    continue  # a file was written anew meanwhile, without somebody
                raise
            aliases = aliases_in(store, vault)
            had = goods_of(store) if goods else UNKNOWN
            tail = _tail(settings, store, vault, files, aliases)
            yield Cut(store.last_offset(), tuple(open_files), tail, aliases, had)
            return


def _changed_since(path: Path, settings: SqliteSettings, files: tuple[ArchiveFile, ...]) -> bool:
    with closing(SqliteSnapshot(path, settings)) as store:
        return listed(store) != files


def shown(file: ArchiveFile) -> dict[str, object]:
    """Return a file as it is listed for people and programs."""
    return {
        "file": file.name,
        "first": file.first,
        "last": file.last,
        "rows": file.rows,
        "from": None if file.time_min is None else format_time(file.time_min),
        "to": None if file.time_max is None else format_time(file.time_max),
        "bytes": file.bytes,
        "sha256": file.sha256,
        "version": file.version,
        "format": file.format,
    }


def _within(file: ArchiveFile, since: Instant, until: Instant) -> bool:
    if file.time_min is None or file.time_max is None:
        return False
    return file.time_max >= since and file.time_min < until


def _vault(settings: Settings, store: Store) -> Vault:
    """Return what opens events; whatever it makes, nothing is written."""
    data = KeyFile(Path(settings.data_dir) / KEY_FILE).read()
    vault = Vault(store, KeyHeld({} if data is None else {KEY_FILE: data}), bound=settings.engine.keys_max)
    vault.load()
    return vault


def aliases_in(store: Store, vault: Vault) -> dict[ProfileId, ProfileId]:
    """Return what profile ids mean that mean another, as the checkpoint has it."""
    found: dict[ProfileId, ProfileId] = {}
    for sealed in store.aliases().values():
        if sealed[1:2] == ":":
            continue  # of a store older than keys, which its next checkpoint seals
        data = vault.open(base64.b64decode(sealed), ALIAS)
        if data is not None:
            alias, person = msgspec.msgpack.decode(data, type=tuple[ProfileId, ProfileId])
            found[alias] = person
    return found


def _tail(
    settings: Settings,
    store: SqliteSnapshot,
    vault: Vault,
    files: tuple[ArchiveFile, ...],
    aliases: dict[ProfileId, ProfileId],
) -> Iterator[Row]:
    gaps = gaps_in(files, floor_of(store), store.last_offset())
    try:
        yield from rows_in(settings, store, vault, gaps, aliases, known=store.checkpoint_offset())
    finally:
        store.close()


def rows_in(
    settings: Settings,
    store: Store,
    vault: Vault,
    spans: Iterable[tuple[int, int]],
    aliases: dict[ProfileId, ProfileId],
    *,
    known: int,
) -> Iterator[Row]:
    """Yield the events of parts of the log, first and last offset of each, as rows.

    Parameters
    ----------
    aliases
        Those of the merges up to the offset `known`; later ones are put in as they are read.
    """
    for first, last in spans:
        for row in store.read(first - 1):
            if row.first > last:
                break
            for offset, record in decode(row, after=first - 1):
                if offset > last or not isinstance(record, SealedRecord | EventRecord):
                    continue
                found = row_in(vault, settings.identity, record, offset, aliases)
                if found is None:
                    continue
                if found.joined and offset > known:
                    _join(aliases, found.joined, found.person)
                yield found.row


def _join(aliases: dict[ProfileId, ProfileId], joined: ProfileId, person: ProfileId) -> None:
    """Take in a merge that the checkpoint does not hold yet."""
    for alias, meant in tuple(aliases.items()):
        if meant == joined:
            aliases[alias] = person
    aliases[joined] = person
