"""Whether the archive's files are what was written, for `bespeak verify` and `bespeak archive verify`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import msgspec

from bespeak.cli.progress import Bar
from bespeak.settings import Settings
from bespeak.stores import SqliteSettings, SqliteSnapshot


class Verified(msgspec.Struct, frozen=True):
    """How many files there are, and what is wrong with which: name and reason."""

    files: int = 0
    bad: tuple[dict[str, str], ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """What to tell a person: nothing, where there is no archive."""
        if not self.bad:
            return (f"archive: {self.files:,} files, each as it was written",) if self.files else ()
        told = [f"archive: DAMAGED {one['name']}: {one['reason']}" for one in self.bad]
        return (*told, "Remove a damaged file, then `bespeak archive run` makes it anew from the log")


def verify_archive(settings: Settings, path: Path, store: SqliteSettings) -> Verified:
    """Look at every file that the store at `path` lists."""
    from bespeak.engine.archive import faults, folder_of, listed

    folder = folder_of(settings)
    if folder is None:
        return Verified()
    bar = Bar()
    with closing(SqliteSnapshot(path, store)) as snapshot:
        try:
            bad = faults(snapshot, folder, lambda done, total: bar.update("archive", done, total, "files"))
            return Verified(len(listed(snapshot)), tuple({"name": one.name, "reason": one.reason} for one in bad))
        finally:
            bar.finish()
