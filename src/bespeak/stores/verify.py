"""What every commit must be, whatever store it goes to: checked before anything is changed."""

from __future__ import annotations

from bespeak.errors import StoreError
from bespeak.stores.store import Checkpoint, Commit, LogRow

DIGEST_BYTES = 16
SUBJECT_BYTES = 16
AGELESS = -1
"""The hour of digests that are kept without an age."""


def split_digests(packed: bytes) -> list[bytes]:
    """Return the digests that were packed into one."""
    return [packed[at : at + DIGEST_BYTES] for at in range(0, len(packed), DIGEST_BYTES)]


def verify(commit: Commit, *, last: int, checkpoint: int) -> int:
    """Return the last offset of the log once the commit is in.

    Parameters
    ----------
    last
        Offset of the newest durable record.
    checkpoint
        Offset that the present checkpoint includes.

    Raises
    ------
    StoreError
        The rows do not continue the log, a digest is not 16 bytes, a key is none, or a checkpoint or product includes
        what is not in the log, or less than the one before. These are the program's mistakes, not the disk's trouble.
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
    if commit.checkpoint is not None:
        _cut(commit.checkpoint, last, checkpoint)
    return last


def _follow(row: LogRow, last: int) -> int:
    if row.first != last + 1 or row.count < 1:
        raise StoreError(
            f"log: expected a row of 1 or more records from offset {last + 1}, got {row.count} from {row.first}"
        )
    return last + row.count


def _cut(checkpoint: Checkpoint, last: int, before: int) -> None:
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
