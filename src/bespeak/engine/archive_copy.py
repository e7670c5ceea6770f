"""The archive's files beside a backup: copied when the store's copy names them, whatever has happened meanwhile."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from pathlib import Path

import msgspec

from bespeak.analytics import Damaged, digest_of
from bespeak.engine.archive import ArchiveFile, listed, tidy
from bespeak.errors import StoreError
from bespeak.privacy.masters import sync_folder
from bespeak.stores import SqliteSettings, SqliteSnapshot


class Copied(msgspec.Struct, frozen=True):
    """How many files stand beside the copy, and how many could not be had.

    Those are of people erased while the copy was made, or damaged; a store that lacks them makes them anew.
    """

    files: int
    missing: int


def beside(backup: Path) -> Path:
    """Return the folder of a backup's archive.

    Examples
    --------
    >>> beside(Path("/backup/monday.db")).name
    'monday.db.archive'
    """
    return backup.with_name(backup.name + ".archive")


def copy_archive(store: Path, settings: SqliteSettings, source: Path, target: Path) -> Copied:
    """Copy the files that a store lists (a copy itself, or a restored one) from one folder to another.

    What the target holds already stays, since files are never changed; what is not listed goes.

    Raises
    ------
    StoreError
        A file cannot be written.
    """
    with closing(SqliteSnapshot(store, settings)) as snapshot:
        files = listed(snapshot)
        tidy(snapshot, target)
    if not files:
        return Copied(0, 0)
    try:
        target.mkdir(mode=0o700, exist_ok=True)
        missing = sum(not _copied(file, source, target) for file in files)
        sync_folder(target)
    except OSError as error:
        raise StoreError(f"cannot write to {target}: {error.strerror}") from error
    return Copied(len(files) - missing, missing)


def _copied(file: ArchiveFile, source: Path, target: Path) -> bool:
    path = target / file.name
    if _is(file, path):
        return True
    if not _is(file, source / file.name):
        path.unlink(missing_ok=True)
        return False
    working = path.with_name(f".{file.name}.new")
    try:
        shutil.copyfile(source / file.name, working)
    except FileNotFoundError:  # an erasure has replaced it this moment
        working.unlink(missing_ok=True)
        return False
    working.chmod(0o600)
    descriptor = os.open(working, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    working.replace(path)
    return True


def _is(file: ArchiveFile, path: Path) -> bool:
    try:
        return path.stat().st_size == file.bytes and digest_of(path) == (file.bytes, file.sha256)
    except (OSError, Damaged):
        return False
