"""A store in RAM, with the behaviour of the durable ones: what is left out is the disk."""

from __future__ import annotations

import bisect
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, takewhile

import msgspec

from bespeak.clock import Instant
from bespeak.errors import StoreError
from bespeak.ids import ProfileId
from bespeak.stores.settings import MemorySettings
from bespeak.stores.store import (
    ChangeRow,
    Checkpoint,
    Commit,
    Document,
    Forget,
    LogRow,
    Product,
    ProfileRow,
    Rejected,
    SeenPage,
    Snapshot,
    WrappedKey,
)
from bespeak.stores.verify import (
    AGELESS,
    NO_PARTS,
    SUBJECT_BYTES,
    droppable,
    follows,
    leaves_parts,
    parts_held,
    split_digests,
    verify,
)


class _Kept(msgspec.Struct, frozen=True):
    """A snapshot, and what it holds."""

    head: Snapshot
    profiles: dict[ProfileId, ProfileRow]
    aliases: dict[ProfileId, ProfileId]
    documents: dict[str, tuple[Document, ...]]


class MemoryStore:
    """Everything in RAM; nothing outlives the process.

    A lock stands for the transaction: a reader in another thread sees all of a commit or nothing of it. `beside` is
    what would lie beside a durable store in its data directory, by file name.

    Examples
    --------
    >>> store = MemoryStore()
    >>> store.commit(Commit(rows=(LogRow(first=1, count=2, received=0, payload=b"ab"),)))
    >>> store.last_offset()
    2
    """

    def __init__(self, settings: MemorySettings | None = None) -> None:
        self._settings = settings or MemorySettings()
        self._lock = threading.RLock()
        self._rows: list[LogRow] = []
        self._last = 0
        self._offset = 0
        self._dropped = 0
        self._kept: list[_Kept] = []
        self._profiles: dict[ProfileId, ProfileRow] = {}
        self._waiting: dict[ProfileId, ProfileRow] = {}
        self._parts = NO_PARTS
        self._aliases: dict[ProfileId, ProfileId] = {}
        self._products: dict[str, Product] = {}
        self._hours: dict[int, set[bytes]] = {}
        self._documents: dict[str, dict[str, list[Document]]] = {}
        self._rejected: deque[Rejected] = deque(maxlen=self._settings.rejected_max)
        self._keys: dict[int, WrappedKey] = {}
        self._subjects: dict[bytes, int] = {}
        self._changes: list[ChangeRow] = []
        self._once: set[tuple[ProfileId, Instant, str]] = set()
        self._last_change = 0
        self._dropped_changes = 0
        self.beside: dict[str, bytes] = {}
        self._closed = False

    def commit(self, commit: Commit) -> None:
        """Keep all of it, or nothing of it. Raises `StoreError`; the store stays usable."""
        with self._lock:
            self._check_open()
            last = verify(commit, last=self._last, checkpoint=self._offset, parts=self._parts)
            self._check_versions(commit.documents)
            self._rows.extend(commit.rows)
            self._last = last
            for packed, hour in commit.seen:
                self._hours.setdefault(hour, set()).update(split_digests(packed))
            for document in commit.documents:
                self._add_document(document)
            self._rejected.extend(commit.rejected)
            for key in commit.keys:
                self._put_key(key)
            for change in commit.changes:
                self._put_change(change)
            if leaves_parts(commit):
                self._waiting.clear()
            if commit.part is not None:
                self._waiting.update({row.id: row for row in commit.part.profiles})
            self._parts = parts_held(commit, self._parts)
            if commit.checkpoint is not None:
                self._cut(commit.checkpoint)
            if commit.forget is not None:
                self._forget(commit.forget)

    def last_offset(self) -> int:
        """Return the offset of the newest record; 0 when the log is empty."""
        return self._last

    def read(self, after: int) -> Iterator[LogRow]:
        """Yield log rows that hold records with offset > `after`, in order, as of the first call of `next`."""
        with self._lock:
            self._check_open()
            start = bisect.bisect_right(self._rows, after, key=lambda row: row.first + row.count - 1)
            rows = self._rows[start:]
        yield from rows

    def dropped(self) -> int:
        """Return the last offset whose row was dropped; 0 when the log begins with its first."""
        return self._dropped

    def drop_log(self, upto: int, before: Instant, *, rows: int) -> bool:
        """Drop at most `rows` rows from the log's beginning, none over `upto` or received at `before` or later."""
        with self._lock:
            self._check_open()
            droppable(upto, self._kept[-1].head.offset if self._kept else 0)
            count = 0
            for row in self._rows[:rows]:
                if row.first + row.count - 1 > upto or row.received >= before:
                    break
                self._dropped = row.first + row.count - 1
                count += 1
            del self._rows[:count]
            return count == rows

    def take_snapshot(self, at: Instant, products: Iterable[str] = ()) -> Snapshot:
        """Let the checkpoint as it is now be read from here on, with its documents and those products."""
        with self._lock:
            self._check_open()
            if not self._offset:
                raise StoreError("there is no checkpoint to keep")
            if self._kept and self._kept[-1].head.offset == self._offset:
                last = self._kept[-1]
                self._kept[-1] = msgspec.structs.replace(last, head=msgspec.structs.replace(last.head, at=at))
                return self._kept[-1].head
            found = tuple(self._products[name] for name in products if name in self._products)
            documents = {kind: self.documents(kind) for kind in self._documents}
            head = Snapshot(self._offset, at, found)
            self._kept.append(_Kept(head, dict(self._profiles), dict(self._aliases), documents))
            return head

    def snapshots(self) -> tuple[Snapshot, ...]:
        """Return what snapshots there are, the oldest first."""
        with self._lock:
            self._check_open()
            return tuple(one.head for one in self._kept)

    def drop_snapshots(self, before: int, *, rows: int) -> bool:
        """Drop the snapshots of offsets below `before`; returns False, since nothing of them is left."""
        with self._lock:
            self._check_open()
            kept = [one for one in self._kept if one.head.offset >= before]
            droppable(self._dropped, kept[-1].head.offset if kept else 0)
            self._kept = kept
            return False

    def kept_profiles(self, offset: int) -> Iterator[ProfileRow]:
        """Yield every profile of the snapshot of an offset, as of the first call of `next`."""
        with self._lock:
            rows = list(self._snapshot(offset).profiles.values())
        yield from rows

    def kept_aliases(self, offset: int) -> Mapping[ProfileId, ProfileId]:
        """Return every alias of the snapshot of an offset."""
        with self._lock:
            return dict(self._snapshot(offset).aliases)

    def kept_documents(self, offset: int, kind: str) -> tuple[Document, ...]:
        """Return `documents` as they were in the snapshot of an offset."""
        with self._lock:
            return self._snapshot(offset).documents.get(kind, ())

    def _snapshot(self, offset: int) -> _Kept:
        self._check_open()
        for one in self._kept:
            if one.head.offset == offset:
                return one
        raise StoreError(f"there is no snapshot of offset {offset}")

    def checkpoint_offset(self) -> int:
        """Return the offset that the checkpoint includes; 0 when there is none."""
        return self._offset

    def profile(self, profile_id: ProfileId) -> ProfileRow | None:
        """Return one checkpointed profile by its own id (not by alias)."""
        with self._lock:
            self._check_open()
            return self._profiles.get(profile_id)

    def profiles_named(self, ids: Sequence[ProfileId]) -> tuple[ProfileRow, ...]:
        """Return those of these profiles that are checkpointed, in any order, each once."""
        with self._lock:
            return tuple(row for one in dict.fromkeys(ids) if (row := self.profile(one)) is not None)

    def profiles(self, after: ProfileId = "") -> Iterator[ProfileRow]:
        """Yield the checkpointed profiles behind an id, in the order of their ids, as of the first call of `next`."""
        with self._lock:
            self._check_open()
            rows = sorted((row for row in self._profiles.values() if row.id > after), key=lambda row: row.id)
        yield from rows

    def due(
        self, before: Instant, *, limit: int, after: tuple[Instant, ProfileId] | None = None
    ) -> tuple[tuple[ProfileId, Instant], ...]:
        """Return at most `limit` profiles whose `next_flip_at` <= `before`, the earliest first, those after `after`."""
        with self._lock:
            self._check_open()
            found = [
                (row.next_flip_at, row.id)
                for row in self._profiles.values()
                if row.next_flip_at is not None
                and row.next_flip_at <= before
                and (after is None or (row.next_flip_at, row.id) > after)
            ]
        return tuple((profile_id, at) for at, profile_id in sorted(found)[: max(0, limit)])

    def alias(self, alias: ProfileId) -> ProfileId | None:
        """Return the profile id that one alias resolves to; None when it is none."""
        with self._lock:
            self._check_open()
            return self._aliases.get(alias)

    def aliases(self) -> Mapping[ProfileId, ProfileId]:
        """Return every alias and the profile id that it resolves to."""
        with self._lock:
            self._check_open()
            return dict(self._aliases)

    def product(self, name: str) -> Product | None:
        """Return another fold product."""
        with self._lock:
            self._check_open()
            return self._products.get(name)

    def seen(self, digests: Iterable[bytes]) -> frozenset[bytes]:
        """Return those of the digests that are kept, whatever their age."""
        with self._lock:
            self._check_open()
            hours = tuple(self._hours.values())
            return frozenset(digest for digest in digests if any(digest in hour for hour in hours))

    def seen_since(self, hour: int, *, after: int = 0, rows: int = 64) -> SeenPage:
        """Return the digests of the hours from `hour` on, all on one page; those without an age stay out."""
        with self._lock:
            self._check_open()
            kept = (digests for each, digests in self._hours.items() if each >= max(hour, 0))
            return SeenPage(b"".join(digest for digests in kept for digest in digests), None)

    def forget_seen(self, before_hour: int) -> None:
        """Drop aged digests of hours before `before_hour`; those without an age stay."""
        with self._lock:
            self._check_open()
            for hour in [each for each in self._hours if AGELESS < each < before_hour]:
                del self._hours[hour]

    def documents(self, kind: str) -> tuple[Document, ...]:
        """Return the newest version of each document of a kind that is not deleted, ordered by id."""
        with self._lock:
            self._check_open()
            newest = [versions[-1] for _, versions in sorted(self._documents.get(kind, {}).items())]
        return tuple(document for document in newest if document.data is not None)

    def versions(self, kind: str, doc_id: str) -> tuple[Document, ...]:
        """Return every kept version of one document, oldest first, deletions (data None) included."""
        with self._lock:
            self._check_open()
            return tuple(self._documents.get(kind, {}).get(doc_id, ()))

    def rejected(self, *, limit: int = 100, source: str | None = None) -> tuple[Rejected, ...]:
        """Return the newest rejected things, newest first."""
        with self._lock:
            self._check_open()
            found = (each for each in reversed(self._rejected) if source is None or each.source == source)
            return tuple(islice(found, max(0, limit)))

    def rejected_count(self) -> int:
        """Return how many rejected things are kept."""
        return len(self._rejected)

    def key(self, number: int) -> WrappedKey | None:
        """Return a key by its number, also a destroyed one (nothing wrapped); None when there never was one."""
        with self._lock:
            self._check_open()
            return self._keys.get(number)

    def keys_numbered(self, numbers: Sequence[int]) -> tuple[WrappedKey, ...]:
        """Return the keys of these numbers as `key` does, in any order; those that there never were are left out."""
        with self._lock:
            return tuple(key for one in dict.fromkeys(numbers) if (key := self.key(one)) is not None)

    def key_of(self, subject: bytes) -> WrappedKey | None:
        """Return the key of a subject; None when there is none, or it was destroyed."""
        with self._lock:
            self._check_open()
            number = self._subjects.get(subject)
            return None if number is None else self._keys[number]

    def keys_of(self, subjects: Sequence[bytes]) -> tuple[WrappedKey, ...]:
        """Return the keys of these subjects as `key_of` does, in any order; those that have none are left out."""
        with self._lock:
            return tuple(key for one in dict.fromkeys(subjects) if (key := self.key_of(one)) is not None)

    def each_key(self) -> Iterator[WrappedKey]:
        """Yield every key that was not destroyed, in the order of its number, as of the first call of `next`."""
        with self._lock:
            self._check_open()
            kept = [key for _, key in sorted(self._keys.items()) if key.wrapped]
        yield from kept

    def last_key(self) -> int:
        """Return the highest number that a key has or had; 0 when there is none."""
        with self._lock:
            self._check_open()
            return max(self._keys, default=0)

    def changes(self, after: int, *, limit: int, names: Sequence[ProfileId] | None = None) -> tuple[ChangeRow, ...]:
        """Return the first rows of changes behind a number, at most `limit`, of these names (None: of all)."""
        with self._lock:
            self._check_open()
            start = bisect.bisect_right(self._changes, after, key=lambda row: row.number)
            found = (row for row in self._changes[start:] if names is None or row.name in names)
            return tuple(islice(found, max(0, limit)))

    def newest_change(self) -> ChangeRow | None:
        """Return the newest row of changes; None when there is none."""
        with self._lock:
            self._check_open()
            return self._changes[-1] if self._changes else None

    def last_change(self) -> int:
        """Return the highest number of changes that was given so far, also where its row is gone; 0 when none was."""
        with self._lock:
            self._check_open()
            return self._last_change

    def dropped_changes(self) -> int:
        """Return the highest number of changes that was dropped for its age; 0 when none was."""
        with self._lock:
            self._check_open()
            return self._dropped_changes

    def drop_changes(self, upto: int, before: Instant, *, rows: int) -> bool:
        """Drop the oldest changes: at most `rows`, none of a number over `upto`, none written at `before` or later."""
        with self._lock:
            self._check_open()
            oldest = takewhile(lambda row: row.number <= upto and row.written < before, self._changes)
            gone = list(islice(oldest, rows))
            if gone:
                self._dropped_changes = gone[-1].number
                self._once.difference_update(map(_once, gone))
                del self._changes[: len(gone)]
            return len(gone) == rows

    def wipe(self) -> bool:
        """Return True: what was forgotten is in no list any more."""
        return True

    def size(self) -> int:
        """Return the bytes of log, profiles, products, documents, changes and rejected things; not what Python adds."""
        with self._lock:
            parts: list[bytes | None] = [row.payload for row in self._rows]
            parts += [row.data for row in self._profiles.values()]
            parts += [product.data for product in self._products.values()]
            parts += [each.data for kind in self._documents.values() for kept in kind.values() for each in kept]
            parts += [each.data for each in self._rejected]
            parts += [row.data for row in self._changes]
            return sum(len(part) for part in parts if part is not None)

    def close(self) -> None:
        """Refuse everything from now on; idempotent."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")

    def _check_versions(self, documents: tuple[Document, ...]) -> None:
        newest: dict[tuple[str, str], int] = {}
        for document in documents:
            key = (document.kind, document.id)
            if key not in newest:
                kept = self._documents.get(document.kind, {}).get(document.id)
                newest[key] = kept[-1].version if kept else 0
            follows(document.kind, document.id, document.version, newest[key])
            newest[key] = document.version

    def _add_document(self, document: Document) -> None:
        kept = self._documents.setdefault(document.kind, {}).setdefault(document.id, [])
        kept.append(document)
        del kept[: -self._settings.versions_max]

    def _put_key(self, key: WrappedKey) -> None:
        held = self._keys.get(key.number)
        if held is None or held.wrapped:
            self._keys[key.number] = key
            self._subjects[key.subject] = key.number

    def _put_change(self, change: ChangeRow) -> None:
        if _once(change) not in self._once:
            self._once.add(_once(change))
            self._last_change += 1
            self._changes.append(msgspec.structs.replace(change, number=self._last_change))

    def _forget(self, forget: Forget) -> None:
        for number in forget.keys:
            held = self._keys.get(number)
            if held is not None:
                self._subjects.pop(held.subject, None)
                self._keys[number] = WrappedKey(number, bytes(SUBJECT_BYTES), b"")
        if forget.rejected is not None:
            kept = [each for each in self._rejected if not forget.rejected(each)]
            self._rejected = deque(kept, maxlen=self._settings.rejected_max)
        for one in self._kept:
            for name in forget.names:
                one.profiles.pop(name, None)
                one.aliases.pop(name, None)
        gone = frozenset(forget.names)
        self._changes = [row for row in self._changes if row.name not in gone]
        self._once = set(map(_once, self._changes))

    def _cut(self, checkpoint: Checkpoint) -> None:
        for profile_id in checkpoint.removed:
            self._profiles.pop(profile_id, None)
        self._profiles |= self._waiting | {row.id: row for row in checkpoint.profiles}
        self._waiting.clear()
        for alias in checkpoint.unaliased:
            self._aliases.pop(alias, None)
        self._aliases.update(checkpoint.aliases)
        for product in checkpoint.products:
            self._products[product.name] = product
        self._offset = checkpoint.offset


def _once(row: ChangeRow) -> tuple[ProfileId, Instant, str]:
    return row.name, row.at, row.cause
