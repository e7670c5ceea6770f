"""`bespeak backup` and `bespeak restore`: a store copied while it is in use, and put back."""

from __future__ import annotations

from argparse import Namespace
from contextlib import closing
from pathlib import Path

import msgspec

from bespeak.cli.client import settings_of
from bespeak.cli.output import show
from bespeak.cli.progress import Bar
from bespeak.cli.upkeep import store_of
from bespeak.engine.archive_copy import Copied, beside, copy_archive
from bespeak.engine.opening import KEY_AWAITING, opens, put_key_in_force
from bespeak.errors import Conflict, InvalidInput, NotFound, StoreError
from bespeak.privacy.envelope import KeyMissing, SealBroken
from bespeak.privacy.masters import KEY_FILE, KeyFile
from bespeak.stores import Checked, SqliteSettings, SqliteSnapshot, StoreLock, copy_file, put_in_place


def backup(arguments: Namespace) -> int:
    """Copy the store as it is now, also beside the server that owns it."""
    settings = settings_of(arguments)
    path, store = store_of(settings)
    target = Path(arguments.file)
    if not target.parent.is_dir():
        raise NotFound(f"{target.parent}: there is no such folder")
    if target.is_dir():
        raise InvalidInput(f"{target} is a folder; name a file in it")
    if target.exists() and (target.samefile(path) or not arguments.force):
        raise Conflict(f"{target} is there already; name another file, or replace it with --force")
    shown = _Progress()
    try:
        checked = copy_file(path, target, store, shown)
    finally:
        shown.finish()
    archive = copy_archive(target, store, Path(settings.data_dir) / "archive", beside(target))
    size = target.stat().st_size
    text = f"{target}: {size:,} bytes, {checked.records:,} records, verified\n"
    text += (
        f"Keep a copy of {Path(settings.data_dir) / KEY_FILE} too, in another place: nothing personal opens without it"
    )
    return _told(arguments, target, checked, text + _archive_text(archive), archive=msgspec.to_builtins(archive))


def restore(arguments: Namespace) -> int:
    """Put a backup into a data directory that nobody uses."""
    settings = settings_of(arguments)
    if not isinstance(settings.store, SqliteSettings):
        raise InvalidInput('store.type is "memory": there is no file to restore')
    source, directory = Path(arguments.file), Path(settings.data_dir)
    if not source.is_file():
        raise NotFound(f"{source}: no such file; `bespeak backup` writes one")
    path, place = directory / settings.store.path, KeyFile(directory / KEY_FILE)
    brought = None if arguments.key is None else KeyFile(Path(arguments.key)).read()
    if arguments.key is not None and brought is None:
        raise NotFound(f"{arguments.key}: no such file; it is the copy of the store's {KEY_FILE}")
    lacks = False

    def accept(fresh: Path) -> None:
        nonlocal lacks
        there = place.read()
        lacks = not _opens(fresh, brought or there)
        if brought is not None and there not in {None, brought} and not arguments.force:
            raise Conflict(f"there is another key file at {place.path}; keep it, then replace it with --force")
        if brought is not None and brought != there:
            KeyFile(directory / KEY_AWAITING).write(brought)

    shown = _Progress()
    with StoreLock.acquire(directory, None):
        if path.exists() and (path.samefile(source) or not arguments.force):
            raise Conflict(f"there is a store at {path}; back it up, then replace it with --force")
        try:
            checked = put_in_place(source, path, settings.store, shown, accept)
            if brought is not None:
                put_key_in_force(directory, brought)
        finally:
            shown.finish()
        archive = copy_archive(path, settings.store, beside(source), directory / "archive")
    text = f"{path}: {checked.records:,} records to offset {checked.last:,}, verified"
    if lacks:
        text += f"\nNothing personal in it opens yet: put the store's {KEY_FILE} at {place.path} before you start"
    text += _archive_text(archive)
    return _told(arguments, path, checked, text, lacks_key=lacks, archive=msgspec.to_builtins(archive))


def _opens(path: Path, key_file: bytes | None) -> bool:
    """Say whether the master keys are there that a store needs.

    Raises
    ------
    StoreError
        They are damaged, or those of another store.
    """
    with closing(SqliteSnapshot(path)) as store:
        try:
            return opens(store, key_file)
        except (KeyMissing, SealBroken) as error:
            raise StoreError(
                f"{error.message}: the master key is not that of the backup; name its {KEY_FILE} with --key"
            ) from error


def _archive_text(archive: Copied) -> str:
    text = f"\narchive: {archive.files:,} files" if archive.files or archive.missing else ""
    if archive.missing:
        text += f"; {archive.missing:,} could not be had, and are made anew from the log"
    return text


class _Progress:
    """Shows a copy's two stages."""

    def __init__(self) -> None:
        self._bar = Bar()

    def __call__(self, stage: str, done: int, total: int) -> None:
        self._bar.update(stage, done, total, "pages" if stage == "copying" else "records")

    def finish(self) -> None:
        self._bar.finish()


def _told(arguments: Namespace, path: Path, checked: Checked, text: str, **more: object) -> int:
    found = {"file": str(path), "bytes": path.stat().st_size, **msgspec.to_builtins(checked), **more}
    return show(arguments, found, text)
