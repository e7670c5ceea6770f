"""What every commit must be, whatever store it goes to: checked before anything is changed."""

from __future__ import annotations

from bespeak.errors import StoreError
from bespeak.stores.store import Checkpoint, Commit, LogRow

DIGEST_BYTES = 16
SUBJECT_BYTES = 16
AGELESS = -1
"""The hour of digests that are kept without an age."""

NO_PARTS = (0, 0)
"""Held when no checkpoint is being written in parts."""


def split_digests(packed: bytes) -> list[bytes]:
    """Return the digests that were packed into one."""
    return [packed[at : at + DIGEST_BYTES] for at in range(0, len(packed), DIGEST_BYTES)]


def verify(commit: Commit, *, last: int, checkpoint: int, parts: tuple[int, int] = NO_PARTS) -> int:
    """Return the last offset of the log once the commit is in.

    Parameters
    ----------
    last
        Offset of the newest durable record.
    checkpoint
        Offset that the present checkpoint includes.
    parts
        The cut that parts are held of, and how many.

    Raises
    ------
    StoreError
        The rows do not continue the log, a digest is not 16 bytes, a key is none, a checkpoint or product includes what
        is not in the log, or less than the one before, or a part is missing. These are the program's mistakes, not the
        disk's trouble.
    """
    for row in commit.rows:
        last = _follow(row, last)
    for digest, hour in commit.seen:
        if not digest or len(digest) % DIGEST_BYTES or hour < AGELESS:
            raise StoreError(
                f"seen: expected {DIGEST_BYTES} bytes for each digest, and an hour,"
                f" got {len(digest)} bytes, hour {hour}"
            )
    for each in commit.keys:
        if each.number < 1 or len(each.subject) != SUBJECT_BYTES or not each.wrapped:
            raise StoreError(
                f"key {each.number}: expected a number from 1, {SUBJECT_BYTES} bytes of subject and a wrapped secret,"
                f" got {len(each.subject)} and {len(each.wrapped)} bytes"
            )
    parts = parts_after(commit, parts)
    if commit.checkpoint is not None:
        _cut(commit.checkpoint, last, checkpoint, parts if _has_parts(commit) else NO_PARTS)
    return last


def parts_after(commit: Commit, parts: tuple[int, int]) -> tuple[int, int]:
    """Return the cut that parts are held of, and how many, once a commit's part is in.

    Raises
    ------
    StoreError
        The part does not follow the one before.
    """
    part = commit.part
    if part is None:
        return parts
    if part.number != 1 and parts != (part.cut, part.number - 1):
        raise StoreError(
            f"checkpoint: part {part.number} of cut {part.cut} does not follow part {parts[1]} of cut {parts[0]}"
        )
    return part.cut, part.number


def leaves_parts(commit: Commit) -> bool:
    """Say whether parts that are held belong to a checkpoint that does not come any more, once this commit comes."""
    if commit.part is not None:
        return commit.part.number == 1
    return commit.checkpoint is not None and not commit.checkpoint.parts


def parts_held(commit: Commit, parts: tuple[int, int]) -> tuple[int, int]:
    """Return the cut that parts are held of, and how many, when a commit is in."""
    return NO_PARTS if commit.checkpoint is not None else parts_after(commit, parts)


def _has_parts(commit: Commit) -> bool:
    return commit.part is not None or (commit.checkpoint is not None and commit.checkpoint.parts > 0)


def _follow(row: LogRow, last: int) -> int:
    if row.first != last + 1 or row.count < 1:
        raise StoreError(
            f"log: expected a row of 1 or more records from offset {last + 1}, got {row.count} from {row.first}"
        )
    return last + row.count


def _cut(checkpoint: Checkpoint, last: int, before: int, parts: tuple[int, int]) -> None:
    if parts != ((checkpoint.cut, checkpoint.parts) if checkpoint.parts else NO_PARTS):
        raise StoreError(
            f"checkpoint: {checkpoint.parts} parts of cut {checkpoint.cut} belong to it, and there are {parts[1]} of"
            f" cut {parts[0]}"
        )
    if not before <= checkpoint.offset <= last:
        raise StoreError(f"checkpoint: expected an offset from {before} to {last}, got {checkpoint.offset}")
    for product in checkpoint.products:
        if not 0 <= product.offset <= last:
            raise StoreError(f"product {product.name!r}: expected an offset from 0 to {last}, got {product.offset}")


def droppable(upto: int, newest: int) -> None:
    """Raise StoreError unless a snapshot (the newest of them is of the offset `newest`) includes what is dropped."""
    if upto > newest:
        raise StoreError(f"log: rows up to offset {upto} are not dropped, since no snapshot from there on is kept")


def follows(kind: str, doc_id: str, version: int, newest: int) -> None:
    """Raise StoreError unless a document's version is newer than the newest one kept (0 when there is none)."""
    if version <= newest:
        raise StoreError(f"document {kind} {doc_id!r}: expected a version after {newest}, got {version}")
