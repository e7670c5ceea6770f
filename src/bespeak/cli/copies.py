"""`bespeak backup` and `bespeak restore`: a store copied while it is in use, and put back."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import msgspec

from bespeak.cli.client import settings_of
from bespeak.cli.output import show
from bespeak.cli.progress import Bar
from bespeak.cli.upkeep import store_of
from bespeak.errors import Conflict, InvalidInput, NotFound
from bespeak.stores import Checked, SqliteSettings, StoreLock, copy_file, put_in_place


def backup(arguments: Namespace) -> int:
    """Copy the store as it is now, also beside the server that owns it."""
    path, store = store_of(settings_of(arguments))
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
    size = target.stat().st_size
    return _told(arguments, target, checked, f"{target}: {size:,} bytes, {checked.records:,} records, verified")


def restore(arguments: Namespace) -> int:
    """Put a backup into a data directory that nobody uses."""
    settings = settings_of(arguments)
    if not isinstance(settings.store, SqliteSettings):
        raise InvalidInput('store.type is "memory": there is no file to restore')
    source, directory = Path(arguments.file), Path(settings.data_dir)
    if not source.is_file():
        raise NotFound(f"{source}: no such file; `bespeak backup` writes one")
    path = directory / settings.store.path
    shown = _Progress()
    with StoreLock.acquire(directory, None):
        if path.exists() and (path.samefile(source) or not arguments.force):
            raise Conflict(f"there is a store at {path}; back it up, then replace it with --force")
        try:
            checked = put_in_place(source, path, settings.store, shown)
        finally:
            shown.finish()
    return _told(arguments, path, checked, f"{path}: {checked.records:,} records to offset {checked.last:,}, verified")


class _Progress:
    """Shows a copy's two stages."""

    def __init__(self) -> None:
        self._bar = Bar()

    def __call__(self, stage: str, done: int, total: int) -> None:
        self._bar.update(stage, done, total, "pages" if stage == "copying" else "records")

    def finish(self) -> None:
        self._bar.finish()


def _told(arguments: Namespace, path: Path, checked: Checked, text: str) -> int:
    found = {"file": str(path), "bytes": path.stat().st_size, **msgspec.to_builtins(checked)}
    return show(arguments, found, text)
