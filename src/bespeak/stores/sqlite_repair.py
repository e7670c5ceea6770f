"""A repair of the log: damaged rows are written to a file, and a gap takes their place."""

from __future__ import annotations

import os
import sqlite3
from base64 import b64encode
from contextlib import closing
from pathlib import Path

import msgspec

from bespeak.errors import StoreError
from bespeak.stores.gaps import make_gap
from bespeak.stores.settings import SqliteSettings
from bespeak.stores.sqlite_check import Advance, BadRow, Checked, Mend, check_log
from bespeak.stores.sqlite_file import TROUBLE, connect_reader, open_writer, recognise
from bespeak.stores.sqlite_log import chain
from bespeak.stores.store import LogRow


class _Exported(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the file of exported rows; the bytes that stood in the row are base64."""

    first: int
    last: int
    place: int | None
    reason: str
    received: int | None
    data: str


def verify_file(path: Path, settings: SqliteSettings, progress: Advance | None = None) -> Checked:
    """Look at the whole log of a store, also beside the process that owns it; nothing is changed.

    Raises
    ------
    StoreError
        There is no store, or it cannot be read at all.
    """
    return _check(path, settings, progress)[0]


def repair_file(path: Path, settings: SqliteSettings, export: Path, progress: Advance | None = None) -> Checked:
    """Write the bytes of damaged rows to `export` (JSON lines), and put a gap in their place; whoever calls owns it.

    Returns
    -------
    What was found before; nothing is written when nothing was damaged.

    Raises
    ------
    StoreError
        The file itself is damaged, so that rows cannot be written any more; or the export cannot be written.
    """
    checked, mends = _check(path, settings, progress)
    if not mends:
        return checked
    if checked.file:
        raise StoreError(
            f"{path} is damaged in its structure ({checked.file[0]}), which cannot be mended row by row;"
            " restore a backup with `bespeak restore`"
        )
    _export(checked.bad, export)
    with closing(open_writer(path, settings)) as writer:
        try:
            writer.execute("BEGIN IMMEDIATE")
            for mend in mends:
                _mend(writer, mend)
            writer.execute("COMMIT")
        except TROUBLE as error:
            raise StoreError(f"{path} cannot be mended: {error}; restore a backup with `bespeak restore`") from error
    return checked


def _mend(writer: sqlite3.Connection, mend: Mend) -> None:
    if mend.whole:
        writer.execute("UPDATE log SET crc = ? WHERE first = ?", (mend.needed, mend.first))
        return

    def chained(row: LogRow) -> int:
        return chain(mend.before, row)

    count = mend.last - mend.first + 1
    gap = make_gap(mend.first, count, mend.received, chained=chained, needed=mend.needed)
    writer.execute("DELETE FROM log WHERE first BETWEEN ? AND ?", (mend.first, mend.last))
    writer.execute(
        "INSERT INTO log (first, count, received, crc, payload) VALUES (?, ?, ?, ?, ?)",
        (gap.first, gap.count, gap.received, chained(gap), gap.payload),
    )


def _check(path: Path, settings: SqliteSettings, progress: Advance | None) -> tuple[Checked, tuple[Mend, ...]]:
    if not path.is_file():
        raise StoreError(f"{path}: there is no store")
    try:
        with closing(connect_reader(path, settings)) as reader:
            recognise(reader, path)
            reader.execute("BEGIN")
            return check_log(reader, progress)
    except TROUBLE as error:
        raise StoreError(f"cannot read the store {path}: {error}; restore a backup with `bespeak restore`") from error


def _export(bad: tuple[BadRow, ...], export: Path) -> None:
    """Write damaged rows to a new file that only its owner may read, and sync it before anything is dropped."""
    lines = [
        msgspec.json.encode(
            _Exported(
                first=row.first,
                last=row.last,
                place=row.place,
                reason=row.reason,
                received=row.received,
                data=b64encode(row.data).decode(),
            )
        )
        for row in bad
    ]
    try:
        descriptor = os.open(export, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(b"\n".join([*lines, b""]))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(f"cannot write the damaged rows to {export}: {error.strerror}; nothing was changed") from error
