"""Where it is kept: the protocol of every store, and the values that pass through it.

A store keeps bytes; it knows nothing of events or profiles. One writer calls `commit`, from one thread;
readers may be elsewhere. A commit is one transaction: all of it is there afterwards, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from bespeak.clock import Instant
from bespeak.ids import ProfileId


class LogRow(msgspec.Struct, frozen=True):
    """One batch of records in the log: offsets `first` to `first + count - 1`.

    `payload` is opaque here; the store adds a CRC-32 over (previous CRC, first, count, received, payload), so
    that a torn, flipped, missing or swapped row is found.
    """

    first: int
    count: int
    received: Instant
    payload: bytes


class ProfileRow(msgspec.Struct, frozen=True):
    """One profile's checkpoint; `next_flip_at` is indexed, None when nothing changes by itself."""

    id: ProfileId
    data: bytes
    next_flip_at: Instant | None = None


class Product(msgspec.Struct, frozen=True):
    """Another fold product (co-occurrence counts, segment sizes, ...), with the offset that it includes."""

    name: str
    offset: int
    data: bytes


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A consistent cut: everything folded up to and including `offset`.

    `profiles` replaces the rows of the same id, `removed` deletes rows (merged away; done first), `aliases` maps ids
    to the profile that they resolve to, `unaliased` deletes such ids (done first); what is not named stays as it is.
    `offset` is in the log (with this commit's rows) and not before the checkpoint's present one.

    Rows that were committed before in parts belong to it: `parts` of them, those of `cut`.
    """

    offset: int
    cut: int = 0
    parts: int = 0
    profiles: tuple[ProfileRow, ...] = ()
    removed: tuple[ProfileId, ...] = ()
    aliases: Mapping[ProfileId, ProfileId] = {}
    unaliased: tuple[ProfileId, ...] = ()
    products: tuple[Product, ...] = ()


class Part(msgspec.Struct, frozen=True):
    """Some rows of a checkpoint that comes later, so that no transaction is long; nobody reads them before it does.

    Parameters
    ----------
    cut
        Tells the parts of one checkpoint from those of others.
    number
        The first part is 1, and drops the parts of a checkpoint that never came. Each other one follows the one before.
    profiles
        Rows of ids that no other part of the same cut has.
    """

    cut: int
    number: int
    profiles: tuple[ProfileRow, ...]


class Snapshot(msgspec.Struct, frozen=True):
    """A checkpoint that can still be read when newer ones have been written: that of `offset`, taken at `at`.

    `products` are those that were asked to be kept with it.
    """

    offset: int
    at: Instant
    products: tuple[Product, ...] = ()


class Document(msgspec.Struct, frozen=True):
    """A small named record with versions: a key, a definition, an item. `data` None deletes it.

    Each version is higher than the one before. A store keeps a bounded number of them, dropping the oldest.
    """

    kind: str
    id: str
    version: int
    data: bytes | None


class Rejected(msgspec.Struct, frozen=True):
    """One thing that was not accepted: where it came from, its place there, why, and the thing itself."""

    source: str
    place: str
    reason: str
    at: Instant
    data: bytes


class ChangeRow(msgspec.Struct, frozen=True):
    """What one thing changed for one person at one instant; a store keeps one row for each name, instant and cause.

    Parameters
    ----------
    name
        Whose it is: a pseudonym, as that of a profile.
    cause
        Tells what happened to the same person at the same instant apart.
    written
        When it was given to the store.
    number
        Its place among all; 0 before the store has it, which numbers rows from 1 on and gives no number twice.
    """

    name: ProfileId
    at: Instant
    cause: str
    written: Instant
    data: bytes
    number: int = 0


class WrappedKey(msgspec.Struct, frozen=True):
    """A data key as it is kept.

    Parameters
    ----------
    number
        Names it; numbers begin at 1 and rise in the order in which keys are made.
    subject
        Whose it is: a pseudonym of 16 bytes; zeros once it was destroyed.
    wrapped
        Its secret, wrapped by a master key; empty once it was destroyed. Every version of one key has as many bytes,
        so that a store can write it in the same place.
    """

    number: int
    subject: bytes
    wrapped: bytes


class SeenPage(msgspec.Struct, frozen=True):
    """Some digests, 16 bytes each, in any order, one perhaps twice; `more` asks for the next page, None when none is.

    All that were there when the first page was asked for are on one of the pages, whatever is written meanwhile.
    """

    packed: bytes
    more: int | None


class Forget(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure takes away for good, after everything else in its commit was written.

    Parameters
    ----------
    keys
        Numbers of keys to destroy: neither subject nor secret may be found anywhere in the store after `Store.wipe`.
    rejected
        Says which rejected things go; called from the writer's thread. None: no one does.
    names
        Ids whose profiles and aliases no snapshot has any more, nor keeps in this commit; their changes go, too.
    """

    keys: tuple[int, ...] = ()
    rejected: Callable[[Rejected], bool] | None = None
    names: tuple[ProfileId, ...] = ()


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """One transaction.

    Parameters
    ----------
    rows
        Log rows, in order; the first continues the log without a gap.
    seen
        16-byte dedupe digests of the events in `rows`, one or many packed behind each other, with the hour (Unix
        hours) of their arrival; hour -1 keeps digests without an age (imported rows).
    keys
        New keys, or known ones wrapped anew; a key that was destroyed stays destroyed.
    forget
        What is erased.
    part
        Rows of a later checkpoint, or of the one of this commit.
    changes
        Who moved where; rows that are there already (of the same name, instant and cause) stay as they are.
    """

    rows: tuple[LogRow, ...] = ()
    seen: tuple[tuple[bytes, int], ...] = ()
    documents: tuple[Document, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    checkpoint: Checkpoint | None = None
    keys: tuple[WrappedKey, ...] = ()
    forget: Forget | None = None
    part: Part | None = None
    changes: tuple[ChangeRow, ...] = ()


class Store(Protocol):
    """A place to keep the log and what was folded from it."""

    def commit(self, commit: Commit) -> None:
        """Make all of it durable, or none. Raises `StoreError`; the store stays usable."""
        ...

    def last_offset(self) -> int:
        """Return the offset of the newest durable record; 0 when the log is empty (offsets start at 1)."""
        ...

    def read(self, after: int) -> Iterator[LogRow]:
        """Yield log rows with records of offset > `after`, in order, as of the first `next`. Raises `CorruptLog`.

        Rows that were dropped are left out.
        """
        ...

    def dropped(self) -> int:
        """Return the last offset whose row was dropped; 0 when the log begins with its first."""
        ...

    def drop_log(self, upto: int, before: Instant, *, rows: int) -> bool:
        """Drop rows from the log's beginning: at most `rows`, none over `upto`, none received at `before` or later.

        Returns
        -------
        Whether more may be dropped. What is dropped in one call is one transaction.

        Raises
        ------
        StoreError
            No snapshot includes `upto`: the log would be the only one that knows.
        """
        ...

    def take_snapshot(self, at: Instant, products: Iterable[str] = ()) -> Snapshot:
        """Let the checkpoint as it is now be read from here on, with its documents and those products.

        Where its offset is that of the newest snapshot, this one stays, and becomes as young as `at`. Raises
        `StoreError` when there is no checkpoint.
        """
        ...

    def snapshots(self) -> tuple[Snapshot, ...]:
        """Return what snapshots there are, the oldest first."""
        ...

    def drop_snapshots(self, before: int, *, rows: int) -> bool:
        """Drop the snapshots of offsets below `before`, which are unlisted at once; at most `rows` rows of theirs.

        Returns
        -------
        Whether more rows of theirs are left: then it is called again, or by whoever drops the next ones.

        Raises
        ------
        StoreError
            Rows of the log were dropped, and no snapshot would be left that includes them.
        """
        ...

    def kept_profiles(self, offset: int) -> Iterator[ProfileRow]:
        """Yield every profile of the snapshot of an offset, in any order, as of the first `next`."""
        ...

    def kept_aliases(self, offset: int) -> Mapping[ProfileId, ProfileId]:
        """Return every alias of the snapshot of an offset."""
        ...

    def kept_documents(self, offset: int, kind: str) -> tuple[Document, ...]:
        """Return `documents` as they were in the snapshot of an offset."""
        ...

    def checkpoint_offset(self) -> int:
        """Return the offset that the checkpoint includes; 0 when there is none."""
        ...

    def profile(self, profile_id: ProfileId) -> ProfileRow | None:
        """Return one checkpointed profile by its own id (not by alias)."""
        ...

    def profiles_named(self, ids: Sequence[ProfileId]) -> tuple[ProfileRow, ...]:
        """Return those of these profiles that are checkpointed, in any order, each once."""
        ...

    def profiles(self, after: ProfileId = "") -> Iterator[ProfileRow]:
        """Yield every checkpointed profile behind the id `after`, in the order of its id, as of the first `next`."""
        ...

    def due(
        self, before: Instant, *, limit: int, after: tuple[Instant, ProfileId] | None = None
    ) -> tuple[tuple[ProfileId, Instant], ...]:
        """Return at most `limit` profiles whose `next_flip_at` <= `before`, the earliest first (then by id).

        Parameters
        ----------
        after
            Leave out those up to this instant and id: the last ones of the page before.
        """
        ...

    def alias(self, alias: ProfileId) -> ProfileId | None:
        """Return the profile id that one alias resolves to; None when it is none."""
        ...

    def aliases(self) -> Mapping[ProfileId, ProfileId]:
        """Return every alias and the profile id that it resolves to."""
        ...

    def product(self, name: str) -> Product | None:
        """Return another fold product."""
        ...

    def seen(self, digests: Iterable[bytes]) -> frozenset[bytes]:
        """Return those of the digests that are on disk, whatever their age."""
        ...

    def seen_since(self, hour: int, *, after: int = 0, rows: int = 64) -> SeenPage:
        """Return a page of the digests of the hours from `hour` on; those without an age stay out.

        Parameters
        ----------
        after
            0, or what the page before gave as `more`.
        rows
            How much one page holds, in rows of the store's own making.
        """
        ...

    def forget_seen(self, before_hour: int) -> None:
        """Drop aged digests of hours before `before_hour`; those without an age stay."""
        ...

    def documents(self, kind: str) -> tuple[Document, ...]:
        """Return the newest version of each document of a kind that is not deleted, ordered by id."""
        ...

    def versions(self, kind: str, doc_id: str) -> tuple[Document, ...]:
        """Return every kept version of one document, oldest first, deletions (data None) included."""
        ...

    def rejected(self, *, limit: int = 100, source: str | None = None) -> tuple[Rejected, ...]:
        """Return the newest rejected things, newest first."""
        ...

    def rejected_count(self) -> int:
        """Return how many rejected things are kept (the store keeps a bounded number, dropping the oldest)."""
        ...

    def changes(self, after: int, *, limit: int, names: Sequence[ProfileId] | None = None) -> tuple[ChangeRow, ...]:
        """Return the first rows of changes behind a number, at most `limit`, of these names (None: of all)."""
        ...

    def newest_change(self) -> ChangeRow | None:
        """Return the newest row of changes; None when there is none."""
        ...

    def last_change(self) -> int:
        """Return the highest number of changes that was given so far, also where its row is gone; 0 when none was."""
        ...

    def dropped_changes(self) -> int:
        """Return the highest number of changes that was dropped for its age; 0 when none was."""
        ...

    def drop_changes(self, upto: int, before: Instant, *, rows: int) -> bool:
        """Drop the oldest changes: at most `rows`, none of a number over `upto`, none written at `before` or later.

        Returns
        -------
        Whether more may be dropped. What is dropped in one call is one transaction.
        """
        ...

    def key(self, number: int) -> WrappedKey | None:
        """Return a key by its number, also a destroyed one (nothing wrapped); None when there never was one."""
        ...

    def keys_numbered(self, numbers: Sequence[int]) -> tuple[WrappedKey, ...]:
        """Return the keys of these numbers as `key` does, in any order; those that there never were are left out."""
        ...

    def key_of(self, subject: bytes) -> WrappedKey | None:
        """Return the key of a subject; None when there is none, or it was destroyed."""
        ...

    def keys_of(self, subjects: Sequence[bytes]) -> tuple[WrappedKey, ...]:
        """Return the keys of these subjects as `key_of` does, in any order; those that have none are left out."""
        ...

    def each_key(self) -> Iterator[WrappedKey]:
        """Yield every key that was not destroyed, in the order of its number, as of the first `next`."""
        ...

    def last_key(self) -> int:
        """Return the highest number that a key has or had; 0 when there is none."""
        ...

    def wipe(self) -> bool:
        """Let nothing of what was forgotten remain on disk, and say whether that could be done at once."""
        ...

    def size(self) -> int:
        """Return the bytes it takes."""
        ...

    def close(self) -> None:
        """Let go of everything; idempotent."""
        ...
