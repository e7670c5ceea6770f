"""A part of the log written to a file of the archive, and a file written anew without some people."""

from __future__ import annotations

import os
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Mapping

import msgspec

from bespeak.analytics import Row, Table, open_file, open_head, rewrite, row_of, seal_file
from bespeak.analytics.parquet import memory_file
from bespeak.clock import Instant
from bespeak.engine.aliases import Aliases
from bespeak.engine.archive import ArchiveFile, Made, Span, file_key, folder_of, key_of, name_of, next_span
from bespeak.engine.records import EventRecord, SealedRecord, decode, open_event
from bespeak.engine.vault import Vault
from bespeak.ids import ProfileId
from bespeak.privacy.envelope import KEY_BYTES
from bespeak.privacy.masters import KEY_FILE, KeyHeld, Masters, encode_masters
from bespeak.privacy.sealing import key_number
from bespeak.profiles import IdentitySettings, Resolved, canonical, resolve
from bespeak.settings import Settings
from bespeak.stores import Store

SLICE_SECONDS = 0.002
"""How long writing takes the CPU before it lets others have their turn."""

_keys = struct.Struct(">Q")


class Head(msgspec.Struct, frozen=True):
    """What a file says of itself, sealed: which data keys its rows are sealed under in the log."""

    keys: bytes


class Stopped(Exception):
    """The engine is closing, or nobody waits for the file any more."""


def pauses(share: float, stopped: Callable[[], bool]) -> Callable[[], None]:
    """Return what keeps a thread to its share of a core, in slices that keep nobody waiting for long.

    It raises `Stopped` once `stopped` says so.
    """
    began = time.thread_time()

    def pause() -> None:
        nonlocal began
        took = time.thread_time() - began
        if took < SLICE_SECONDS:
            return
        if stopped():
            raise Stopped
        time.sleep(took * (1 - share) / share)
        began = time.thread_time()

    return pause


def write_next(
    store: Store, masters: Masters, settings: Settings, now: Instant, *, everything: bool, pause: Callable[[], None]
) -> Made | None:
    """Write the next part of the log that is due to a file; None when none is.

    It has a vault and aliases of its own, which read what is durable and forget it again: the engine's remember what
    they read, and so are for the loop's thread only.

    Raises
    ------
    StoreError
        The log cannot be read, or the file not written.
    """
    span = next_span(store, settings, now, everything=everything)
    if span is None:
        return None
    vault = Vault(store, KeyHeld({KEY_FILE: encode_masters(masters)}), bound=settings.engine.keys_max)
    vault.load()
    aliases = Aliases(store, vault, bound=settings.engine.keys_max)
    return write_span(store, vault, settings, span, aliases, pause)


def write_span(
    store: Store,
    vault: Vault,
    settings: Settings,
    span: Span,
    aliases: Mapping[ProfileId, ProfileId],
    pause: Callable[[], None],
) -> Made:
    """Write one part of the log to a file; called from the archive's process or thread.

    Parameters
    ----------
    vault
        Opens events; used by nobody else meanwhile.
    pause
        Called now and then, so that others have their turn.

    Raises
    ------
    StoreError
        The log cannot be read, or the file not written.
    """
    keys: set[int] = set()
    times: list[Instant] = []
    with Table() as table, memory_file("archive") as content:
        for row in store.read(span.first - 1):
            for offset, record in decode(row, after=span.first - 1):
                if offset <= span.last and isinstance(record, SealedRecord | EventRecord):
                    _add(vault, settings.identity, table, record, offset, aliases, keys, times)
                    pause()
            if row.first + row.count > span.last:
                break
        table.write(content)
        return seal_rows(vault.masters, settings, span, content, keys, table.rows, times)


def _add(
    vault: Vault,
    identity: IdentitySettings,
    table: Table,
    record: SealedRecord | EventRecord,
    offset: int,
    aliases: Mapping[ProfileId, ProfileId],
    keys: set[int],
    times: list[Instant],
) -> None:
    found = row_in(vault, identity, record, offset, aliases)
    if found is None:
        return
    keys.add(found.key)
    times[:] = [min(times[0], found.time), max(times[1], found.time)] if times else [found.time, found.time]
    table.add(found.row)


class Found(msgspec.Struct, frozen=True, gc=False):
    """An event of the log: the number of its data key, its time, whose it is, whom it joined, and its row."""

    key: int
    time: Instant
    person: ProfileId
    joined: ProfileId
    row: Row


def row_in(
    vault: Vault,
    identity: IdentitySettings,
    record: SealedRecord | EventRecord,
    offset: int,
    aliases: Mapping[ProfileId, ProfileId],
) -> Found | None:
    """Return an event of the log as a row; None when its person was erased."""
    opened = open_event(vault, record, offset)
    if opened is None:
        return None
    event, joined = opened
    resolved = resolve(event, aliases, identity, signed=event.signed)
    person = canonical(resolved.profile, aliases) if isinstance(resolved, Resolved) else ""
    key = key_number(record.private) if isinstance(record, SealedRecord) else 0
    row = row_of(event, offset=offset, data_key=key, imported=record.imported, person=person, joined=joined)
    return Found(key, event.time, person, joined or "", row)


def seal_rows(
    masters: Masters,
    settings: Settings,
    span: Span,
    content: int,
    keys: set[int],
    rows: int,
    times: list[Instant],
) -> Made:
    """Seal the rows of a part of the log as a file of the archive, which nothing lists yet.

    Parameters
    ----------
    content
        Descriptor of the Parquet.
    keys, rows, times
        Under which data keys its rows are sealed in the log, how many there are, and their first and last time.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    folder = folder_of(settings)
    assert folder is not None  # noqa: S101  only a store on disk is archived
    folder.mkdir(mode=0o700, exist_ok=True)
    name = name_of(span.first, span.last, span.version)
    secret = os.urandom(KEY_BYTES)
    head = msgspec.msgpack.encode(Head(pack(keys)))
    (folder / name).unlink(missing_ok=True)  # of a commit that failed; nobody has its key
    size, digest = seal_file(folder / name, file_key(masters, name, secret), head, content)
    file = ArchiveFile(
        name=name,
        version=span.version,
        first=span.first,
        last=span.last,
        rows=rows,
        time_min=times[0] if times else None,
        time_max=times[1] if times else None,
        received_max=span.received_max,
        bytes=size,
        sha256=digest,
    )
    return Made(file, secret)


def pack(keys: Iterable[int]) -> bytes:
    """Return numbers in few bytes, in their order."""
    return zlib.compress(b"".join(_keys.pack(key) for key in sorted(keys)), 1)


def unpack(packed: bytes) -> frozenset[int]:
    """Return the numbers that `pack` was given."""
    return frozenset(key for (key,) in _keys.iter_unpack(zlib.decompress(packed)))


def without(
    store: Store, masters: Masters, settings: Settings, file: ArchiveFile, keys: frozenset[int], ids: Iterable[str]
) -> Made | None:
    """Write a file anew without some people; None when they are not in it.

    Raises
    ------
    Damaged
        The file cannot be read.
    StoreError
        The new one cannot be written.
    """
    folder = folder_of(settings)
    assert folder is not None  # noqa: S101  only a store on disk is archived
    key = key_of(store, masters, file)
    held = unpack(msgspec.msgpack.decode(open_head(folder / file.name, key), type=Head).keys)
    if 0 not in held and not keys & held:
        return None
    with memory_file("before") as before, memory_file("after") as after:
        open_file(folder / file.name, key, before)
        rows = rewrite(before, after, keys=sorted(keys), ids=sorted(ids))
        if rows == file.rows and not keys & held:
            return None
        span = Span(file.first, file.last, file.version + 1, file.received_max)
        times = [] if file.time_min is None or file.time_max is None or not rows else [file.time_min, file.time_max]
        return seal_rows(masters, settings, span, after, set(held - keys), rows, times)
