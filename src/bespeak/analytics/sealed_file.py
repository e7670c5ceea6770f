"""A file that is sealed as a whole, under a key of its own that seals nothing else.

    BSPKARC1 | length of the sealed head (4) | head | block | block | ...       AES-256-GCM each, tag (16) behind

The head is small and read by itself; a block holds 1 MiB of the content, the last one what is left. The nonce of a
part is its number: a key seals one file once, so no nonce comes twice. Authenticated beside each part: what the file
is bound to (its name among it), the part's number, and whether it is the last; so that a cut, swapped or renamed file
is found.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from bespeak.errors import OwnError, StoreError
from bespeak.privacy.masters import sync_folder

MAGIC = b"BSPKARC1"
BLOCK_BYTES = 1 << 20
_TAG_BYTES = 16
_HEAD_MAX = 1 << 26

_length = struct.Struct(">I")


class Damaged(OwnError):
    """A sealed file is not what was written: missing, cut, changed, renamed, or sealed under another key."""

    code = "archive_damaged"


class FileKey(msgspec.Struct, frozen=True):
    """The secret of one file (32 bytes), and what the file is bound to."""

    secret: bytes
    bound: bytes

    def __repr__(self) -> str:
        return f"FileKey(bound={self.bound!r})"


def seal_file(path: Path, key: FileKey, head: bytes, content: int) -> tuple[int, str]:
    """Write a new file (mode 0600) and sync it and its name.

    Parameters
    ----------
    content
        Descriptor of what is sealed, from its beginning.

    Returns
    -------
    Its bytes, and their SHA-256.

    Raises
    ------
    StoreError
        It cannot be written; nothing is left of it.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            told = hashlib.sha256()
            size = 0
            for part in _sealed(key, head, content):
                file.write(part)
                told.update(part)
                size += len(part)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
    return size, told.hexdigest()


def open_head(path: Path, key: FileKey) -> bytes:
    """Return the head of a file. Raises `Damaged`."""
    with _opened(path) as file:
        return _head(file, path, key)


def open_file(path: Path, key: FileKey, into: int) -> None:
    """Write the content of a file to a descriptor, which is empty. Raises `Damaged`."""
    with _opened(path) as file:
        _head(file, path, key)
        number = 0
        block = file.read(BLOCK_BYTES + _TAG_BYTES)
        while True:
            number += 1
            following = file.read(BLOCK_BYTES + _TAG_BYTES)
            plain = _open(path, key, number, block, last=not following)
            if os.write(into, plain) != len(plain):
                raise StoreError(f"there is no room in memory for the content of {path}")
            if not following:
                return
            block = following


def digest_of(path: Path) -> tuple[int, str]:
    """Return the bytes of a file and their SHA-256. Raises `Damaged` when there is none."""
    told, size = hashlib.sha256(), 0
    with _opened(path) as file:
        while part := file.read(BLOCK_BYTES):
            told.update(part)
            size += len(part)
    return size, told.hexdigest()


def _sealed(key: FileKey, head: bytes, content: int) -> Iterator[bytes]:
    sealed = _seal(key, 0, head, last=False)
    yield MAGIC + _length.pack(len(sealed)) + sealed
    place, number = 0, 0
    size = os.fstat(content).st_size
    while True:
        number += 1
        block = os.pread(content, BLOCK_BYTES, place)
        place += len(block)
        yield _seal(key, number, block, last=place >= size)
        if place >= size:
            return


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise Damaged(f"{path}: cannot be read: {error.strerror}") from error


def _head(file: BinaryIO, path: Path, key: FileKey) -> bytes:
    start = file.read(len(MAGIC) + _length.size)
    if len(start) < len(MAGIC) + _length.size or not start.startswith(MAGIC):
        raise Damaged(f"{path}: expected it to begin with {MAGIC!r}, found {start[: len(MAGIC)]!r}")
    length: int = _length.unpack(start[len(MAGIC) :])[0]
    return _open(path, key, 0, file.read(min(length, _HEAD_MAX)), last=False)


def _seal(key: FileKey, number: int, block: bytes, *, last: bool) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key.secret).encrypt(number.to_bytes(12, "big"), block, _associated(key, number, last=last))


def _open(path: Path, key: FileKey, number: int, block: bytes, *, last: bool) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key.secret).decrypt(number.to_bytes(12, "big"), block, _associated(key, number, last=last))
    except (InvalidTag, ValueError):
        what = "its head" if number == 0 else f"block {number}"
        raise Damaged(f"{path}: {what} does not open; it was changed, cut or renamed, or its key is another") from None


def _associated(key: FileKey, number: int, *, last: bool) -> bytes:
    return key.bound + number.to_bytes(8, "big") + bytes([last])
