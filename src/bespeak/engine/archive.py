"""The archive: sealed Parquet files of the log, each listed in the store by a document that is the truth about it.

The manifest is in the store, so that a file, its key, and the erasure that takes both away are one transaction: a file
that no document names is a leftover, whatever is in it, and nobody has its key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec

from bespeak.analytics import Damaged, FileKey, digest_of, open_file
from bespeak.analytics.parquet import memory_file
from bespeak.clock import DAY, Instant
from bespeak.privacy.masters import Masters
from bespeak.settings import Settings
from bespeak.stores import Document, SqliteSettings, Store, WrappedKey

ARCHIVE = "archive"
"""The kind of document that lists a file; its id is the first offset."""

FLOOR = "archive-floor"
"""The kind of document that says from which offset on the log is archived: what was before is dropped for good."""

FORMAT = 1
ENDING = ".sealed"


class ArchiveFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the archive, as the store lists it.

    Parameters
    ----------
    name
        Its name in the archive's folder; no two files ever have the same.
    version
        How often this part of the log was written: each erasure of somebody in it writes it anew.
    first, last
        Offsets of the log that it holds; between files nothing is held twice.
    rows
        Events in it. The log holds other records, too, and those of people who were erased.
    time_min, time_max
        When its events happened, the earliest and the latest; None when there are none.
    received_max
        When its newest record arrived.
    """

    name: str
    version: int
    first: int
    last: int
    rows: int
    time_min: Instant | None
    time_max: Instant | None
    received_max: Instant
    bytes: int
    sha256: str
    format: int = FORMAT


class Made(msgspec.Struct, frozen=True):
    """A file that is on disk, and not listed yet."""

    file: ArchiveFile
    secret: bytes


class Span(msgspec.Struct, frozen=True):
    """A part of the log that is to become a file."""

    first: int
    last: int
    version: int
    received_max: Instant


def folder_of(settings: Settings) -> Path | None:
    """Return where the archive of these settings is; None where the store is in RAM."""
    return Path(settings.data_dir) / "archive" if isinstance(settings.store, SqliteSettings) else None


def listed(store: Store) -> tuple[ArchiveFile, ...]:
    """Return every file that the store lists, in the order of the log."""
    return tuple(
        msgspec.msgpack.decode(one.data, type=ArchiveFile) for one in store.documents(ARCHIVE) if one.data is not None
    )


def document(file: ArchiveFile) -> Document:
    """Return what lists a file."""
    return Document(ARCHIVE, doc_id(file.first), file.version, msgspec.msgpack.encode(file))


def doc_id(first: int) -> str:
    """Return the id of the document of the file from an offset on; ids sort as offsets do."""
    return f"{first:016d}"


def name_of(first: int, last: int, version: int) -> str:
    """Return the name of a file."""
    return f"{first:012d}-{last:012d}-{version}{ENDING}"


def subject_of_file(name: str) -> str:
    """Return the subject of a file's key; no identifier can be it, since each begins with `u:` or `a:`."""
    return f"archive/{name}"


def file_key(masters: Masters, name: str, secret: bytes) -> FileKey:
    """Return the key of a file at work; it opens under no other name, and in no other store."""
    return FileKey(secret, f"bespeak archive {FORMAT} {masters.tenant} {name} ".encode())


def key_held(store: Store, masters: Masters, name: str) -> WrappedKey | None:
    """Return the key of a file as the store keeps it; None when there is none."""
    return store.key_of(masters.name_of(subject_of_file(name)))


def key_of(store: Store, masters: Masters, file: ArchiveFile) -> FileKey:
    """Return the key of a listed file.

    Raises
    ------
    Damaged
        The store has none.
    """
    held = key_held(store, masters, file.name)
    if held is None:
        raise Damaged(f"{file.name}: the store has no key to open it with")
    secret = masters.unwrap(held.wrapped, number=held.number, subject=held.subject)
    return file_key(masters, file.name, secret)


def floor_of(store: Store) -> int:
    """Return the first offset that is to be archived."""
    found = [one.data for one in store.documents(FLOOR) if one.data is not None]
    return msgspec.msgpack.decode(found[0], type=int) if found else 1


def upto(store: Store) -> int:
    """Return the last offset of the log that is in a file, or was; 0 when none is."""
    files = listed(store)
    return files[-1].last if files else floor_of(store) - 1


def next_span(store: Store, settings: Settings, now: Instant, *, everything: bool = False) -> Span | None:
    """Return the first part of the log that no file holds and that is due; None when none is.

    It is due when it fills a file, when the UTC day of its arrival is over, when a file stands behind it, or when
    everything is asked for. What the checkpoint does not include is not due, so that it knows every merge that is in a
    file. Nothing is opened for this.
    """
    last = store.checkpoint_offset()
    for start, end in unarchived(store, last):
        span, full = _measure(store, settings, start, end)
        if full or everything or end < last or span.received_max // DAY < now // DAY:
            return span
    return None


def unarchived(store: Store, last: int) -> Iterator[tuple[int, int]]:
    """Yield the first and last offset of each part of the log, up to `last`, that no file holds and none held."""
    return gaps_in(listed(store), max(floor_of(store), store.dropped() + 1), last)


def gaps_in(files: Iterable[ArchiveFile], floor: int, last: int) -> Iterator[tuple[int, int]]:
    """Yield the first and last offset of each part of the log that no file holds.

    Examples
    --------
    >>> list(gaps_in((), 1, 0)), list(gaps_in((), 3, 9))
    ([], [(3, 9)])
    """
    start = floor
    for file in files:
        if start < file.first:
            yield start, file.first - 1
        start = max(start, file.last + 1)
    if start <= last:
        yield start, last


def _measure(store: Store, settings: Settings, first: int, end: int) -> tuple[Span, bool]:
    """Return how far a file from `first` on goes, and whether it ends before the log does."""
    archive = settings.archive
    last, received, size = first - 1, 0, 0
    full = False
    for row in store.read(first - 1):
        top = min(row.first + row.count - 1, end)
        if last >= first and row.received // DAY != received // DAY:
            full = True
            break
        last, received = top, max(received, row.received)
        size += len(row.payload)
        full = last - first + 1 >= archive.rows or size >= archive.mib << 20
        if full or last >= end:
            break
    kept = store.versions(ARCHIVE, doc_id(first))
    return Span(first, max(last, first), kept[-1].version + 1 if kept else 1, received), full


def opened(stack: ExitStack, store: Store, masters: Masters, folder: Path, files: Iterable[ArchiveFile]) -> list[int]:
    """Open files into memory, and return their descriptors, which go with the stack. Raises `Damaged`."""
    found: list[int] = []
    for file in files:
        found.append(stack.enter_context(memory_file(file.name)))
        open_file(folder / file.name, key_of(store, masters, file), found[-1])
    return found


class Fault(msgspec.Struct, frozen=True):
    """One thing about the archive that is not as it should be."""

    name: str
    reason: str


def faults(store: Store, folder: Path, watch: Callable[[int, int], None]) -> tuple[Fault, ...]:
    """Look at every listed file: is it there, with the bytes that were written? Needs no key.

    Parameters
    ----------
    watch
        Told how many files are done, of how many.
    """
    found: list[Fault] = []
    before = 0
    files = listed(store)
    for place, file in enumerate(files, 1):
        if file.first <= before or file.last < file.first:
            found.append(Fault(file.name, f"holds offset {file.first}, which an earlier file holds too"))
        before = file.last
        try:
            size, digest = digest_of(folder / file.name)
        except Damaged as error:
            found.append(Fault(file.name, error.message))
            continue
        if (size, digest) != (file.bytes, file.sha256):
            found.append(Fault(file.name, f"expected {file.bytes} bytes of SHA-256 {file.sha256}, found {size} bytes"))
        watch(place, len(files))
    return tuple(found)


def tidy(store: Store, folder: Path) -> tuple[str, ...]:
    """Remove files that the store does not list: of a commit that failed, or replaced by one. Returns their names."""
    names = {file.name for file in listed(store)}
    gone = [path for path in folder.glob(f"*{ENDING}") if path.name not in names] if folder.is_dir() else []
    for path in gone:
        path.unlink(missing_ok=True)
    return tuple(sorted(path.name for path in gone))
