"""One process owns a data directory: a lock file that says who, and where it answers.

The lock is the kernel's (`flock`), not the file's existence: it goes when its process goes, however it went,
so nothing has to be cleaned up after a crash. The file itself stays.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Self

import msgspec

from bespeak.errors import StoreError, StoreLocked

LOCK_NAME = "bespeak.lock"

_TRIES = 5
_PAUSE_SECONDS = 0.02
"""`read_owner` holds a shared lock for an instant; an owner-to-be tries again rather than fail because of it."""

_SHOWN_BYTES = 4096


class Owner(msgspec.Struct, frozen=True):
    """Who holds a directory: the process, and where it answers (None while it does not)."""

    pid: int
    address: str | None = None


class StoreLock:
    """Ownership of a data directory, from `acquire` to `release` or the end of the process.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, StoreLock.acquire(Path(folder), "127.0.0.1:8000"):
    ...     read_owner(Path(folder))
    '127.0.0.1:8000'
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor: int | None = descriptor
        self.path = path

    @classmethod
    def acquire(cls, directory: Path, address: str | None) -> StoreLock:
        """Take ownership, making the directory when it is missing.

        Raises
        ------
        StoreLocked
            Another process (or another part of this one) owns it; `address` says where that answers.
        StoreError
            The directory or the lock file cannot be made.
        """
        path = directory / LOCK_NAME
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"cannot open the lock file {path}: {error.strerror}") from error
        if not _try_lock(descriptor):
            owner = _shown(descriptor)
            os.close(descriptor)
            raise _locked(directory, owner)
        lock = cls(descriptor, path)
        lock.announce(address)
        return lock

    def announce(self, address: str | None) -> None:
        """Say where this process answers, for those who find the directory owned.

        Raises
        ------
        StoreError
            The lock has been released.
        """
        if self._descriptor is None:
            raise StoreError(f"{self.path} was released; acquire it again to announce an address")
        shown = msgspec.json.encode(Owner(pid=os.getpid(), address=address))
        os.pwrite(self._descriptor, shown, 0)
        os.ftruncate(self._descriptor, len(shown))

    def release(self) -> None:
        """Give the directory up; idempotent."""
        if self._descriptor is None:
            return
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def read_owner(directory: Path) -> str | None:
    """Return where the owner of a directory answers; None when nobody owns it, or the owner does not answer yet."""
    try:
        descriptor = os.open(directory / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = _shown(descriptor)
        return owner.address if owner else None
    else:
        return None
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE_SECONDS)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return True
    return False


def _shown(descriptor: int) -> Owner | None:
    """Return who the lock file names; None while its owner is writing it."""
    try:
        return msgspec.json.decode(os.pread(descriptor, _SHOWN_BYTES, 0), type=Owner)
    except msgspec.DecodeError:
        return None


def _locked(directory: Path, owner: Owner | None) -> StoreLocked:
    who = f"process {owner.pid}" if owner else "another process"
    address = owner.address if owner else None
    where = f", which answers at {address}" if address else ""
    return StoreLocked(f"{directory} is in use by {who}{where}; talk to it, or stop it first", address=address)
