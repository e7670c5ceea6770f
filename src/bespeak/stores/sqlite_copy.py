"""A store copied as it is at one moment, and looked at as a whole before the copy counts."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Literal, TypeAlias

from bespeak.errors import CorruptLog, StoreError
from bespeak.stores.settings import SqliteSettings
from bespeak.stores.sqlite_check import Checked
from bespeak.stores.sqlite_file import TROUBLE, connect_reader, recognise
from bespeak.stores.sqlite_repair import verify_file

PAGES = 512
"""Pages copied at a time: 4 MB."""

CopyProgress: TypeAlias = Callable[[Literal["copying", "verifying"], int, int], None]
"""Told the stage, how far it is, and how far it goes: pages, then offsets."""


def copy_file(source: Path, target: Path, settings: SqliteSettings, progress: CopyProgress | None = None) -> Checked:
    """Copy a store to one plain file (mode 0600), verify it, and only then give it its name.

    The source may be in use: everything is copied as it was when the copy began, whatever is committed meanwhile.
    A file of the target's name is replaced.

    Raises
    ------
    StoreError
        The source cannot be read, or the copy cannot be written; there is no target then that was not there before.
    CorruptLog
        The copy is damaged, as the source is.
    """
    told = progress or _nobody
    working = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        _claim(working)
        with closing(connect_reader(source, settings)) as reader:
            recognise(reader, source)
            _copy(reader, working, lambda done, total: told("copying", done, total))
        checked = verify_file(working, settings, lambda done, total: told("verifying", done, total))
        if not checked.sound:
            what = checked.file[0] if checked.file else checked.bad[0].reason
            raise CorruptLog(f"{source} is damaged, and so is its copy: {what}; `bespeak verify` names all of it")
        _forget_log_of(working)
        working.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror}") from error
    except TROUBLE as error:
        raise StoreError(f"cannot copy {source} to {target}: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            working.unlink(missing_ok=True)
            _forget_log_of(working)
    return checked


def put_in_place(
    source: Path,
    path: Path,
    settings: SqliteSettings,
    progress: CopyProgress | None = None,
    accept: Callable[[Path], None] | None = None,
) -> Checked:
    """Make a store of a backup; whoever calls owns its directory. A store that is there is replaced at the very end.

    Parameters
    ----------
    accept
        Told where the verified copy is before it takes its place; what it raises leaves everything as it was.

    Raises
    ------
    StoreError, CorruptLog
        As `copy_file`; what was there is there still.
    """
    fresh = path.with_name(f"{path.name}.restored")
    checked = copy_file(source, fresh, settings, progress)
    try:
        if accept is not None:
            accept(fresh)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    finally:
        _forget_log_of(fresh)
    try:
        # A log of the old store must not be found beside the new one: SQLite would copy it in.
        _forget_log_of(path)
        fresh.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise StoreError(
            f"cannot put {source} in the place of {path}: {error.strerror}; it is whole at {fresh}"
        ) from error
    return checked


def _copy(reader: sqlite3.Connection, working: Path, told: Callable[[int, int], None]) -> None:
    # One read transaction over the whole copy: without it, every commit meanwhile would make SQLite begin anew.
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM meta").fetchone()
    with closing(sqlite3.connect(working, isolation_level=None)) as target:
        reader.backup(target, pages=PAGES, progress=lambda _status, left, total: told(total - left, total))
        target.execute("PRAGMA journal_mode=DELETE")
    descriptor = os.open(working, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _claim(working: Path) -> None:
    """Make the file before SQLite does, so that nobody else can read it for a moment."""
    os.close(os.open(working, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))


def _forget_log_of(path: Path) -> None:
    for ending in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _nobody(stage: Literal["copying", "verifying"], done: int, total: int) -> None:
    """Tell nobody."""
