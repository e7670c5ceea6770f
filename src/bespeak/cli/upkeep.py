"""`bespeak verify` and `bespeak replay`: is the log what was written, and is what was folded from it what is live."""

from __future__ import annotations

from argparse import Namespace
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bespeak.cli.archive_checking import Verified, verify_archive
from bespeak.cli.client import ask, running, settings_of
from bespeak.cli.output import show
from bespeak.cli.progress import Bar
from bespeak.clock import format_time
from bespeak.errors import InvalidInput, NotFound
from bespeak.privacy.envelope import KeyMissing
from bespeak.settings import Settings
from bespeak.stores import BadRow, Checked, SqliteSettings, SqliteSnapshot, StoreLock, repair_file, verify_file

if TYPE_CHECKING:
    from bespeak.engine import Replayed

SHOWN = 20
"""Damaged places that are told to a person; `--json` has all of them."""


def verify(arguments: Namespace) -> int:
    """Look at the whole log, and with `--repair` skip what is damaged."""
    settings = settings_of(arguments)
    path, store = store_of(settings)
    bar = Bar()

    def progress(done: int, total: int) -> None:
        bar.update("verifying", done, total, "records")

    export: Path | None = None
    try:
        if arguments.repair:
            export = Path(arguments.export) if arguments.export else _export_name(path)
            with StoreLock.acquire(Path(settings.data_dir), None):
                checked = repair_file(path, store, export, progress)
        else:
            checked = verify_file(path, store, progress)
    finally:
        bar.finish()
    mended = export if checked.bad else None
    archive = Verified() if checked.file else verify_archive(settings, path, store)
    text = "\n".join([verified_text(checked, mended), *archive.lines])
    show(arguments, {**_as_json(checked, mended), "archive": msgspec.to_builtins(archive)}, text)
    return 0 if (checked.sound or mended is not None) and not archive.bad else 1


def replay(arguments: Namespace) -> int:
    """Build everything anew from the log's start, and compare it with what is live."""
    from bespeak.engine import replay as replay_all

    settings = settings_of(arguments)
    path, store = store_of(settings)
    remote = running(Path(settings.data_dir))
    if remote is not None:
        with closing(remote):
            ask(remote, "POST", "/v1/checkpoint")  # so that what is live is what is on disk
    bar = Bar()

    def watch(stage: str, done: int, total: int) -> None:
        bar.update(stage, done, total, "records" if stage == "replaying" else "profiles")

    def replayed() -> Replayed:
        with closing(SqliteSnapshot(path, store)) as snapshot:
            return replay_all(settings, snapshot, watch=watch)

    try:
        try:
            found = replayed()
        except KeyMissing:  # the master key was changed between the snapshot and the look at its file: see it anew
            found = replayed()
    finally:
        bar.finish()
    show(arguments, {"equal": found.equal, **msgspec.to_builtins(found)}, replayed_text(found))
    return 0 if found.equal else 1


def replayed_text(found: Replayed) -> str:
    """Say that everything is equal, or what the first difference is."""
    told = [f"{found.offset:,} records, {found.profiles:,} profiles, {found.items:,} items"]
    if found.start:
        told.append(f"from the snapshot of offset {found.start:,} on: older rows were dropped, and the models not kept")
    told += [f"skipped by a repair: {_offsets(*gap)}" for gap in found.gaps]
    if not found.compared and not found.start:
        why = "somebody was erased since" if found.erased else "an older version learned it"
        told.append(f"{why}: what the recommenders learned is not compared until `bespeak models rebuild`")
    if found.difference is None:
        told.append("equal: what is live is what the log says")
    else:
        one = found.difference
        place = f"{one.kind} {one.id}" + (f", field {one.field}" if one.field else "")
        told += [f"DIFFERENT at {place}", f"  live      {_shown(one.live)}", f"  replayed  {_shown(one.replayed)}"]
    return "\n".join(told)


def store_of(settings: Settings) -> tuple[Path, SqliteSettings]:
    """Return the file of the store, which must be there.

    Raises
    ------
    InvalidInput
        The store of these settings is in RAM.
    NotFound
        There is no file.
    """
    if not isinstance(settings.store, SqliteSettings):
        raise InvalidInput('store.type is "memory": it has no log on disk')
    path = Path(settings.data_dir) / settings.store.path
    if not path.is_file():
        raise NotFound(f"{path}: there is no store; --data names the data directory")
    return path, settings.store


def verified_text(checked: Checked, export: Path | None) -> str:
    """Say what was found; after a repair, where the damaged bytes are and what was lost."""
    lines = [f"{checked.rows:,} rows, {checked.records:,} records, to offset {checked.last:,}"]
    if checked.dropped:
        lines.append(f"rows up to offset {checked.dropped:,} were dropped for their age")
    lines += [f"skipped by an earlier repair: {_offsets(*gap)}" for gap in checked.gaps]
    lines += [f"the file is damaged: {one}" for one in checked.file]
    lines += [_bad_text(row) for row in checked.bad[:SHOWN]]
    if len(checked.bad) > SHOWN:
        lines.append(f"and {len(checked.bad) - SHOWN:,} more; --json has all of them")
    if checked.sound:
        lines.append("sound: every row has its CRC, and no offset is missing")
    elif export is None:
        lines.append("Restore a backup, or skip what is damaged: `bespeak verify --repair`")
    else:
        lines += [f"the bytes of the damaged rows are in {export}", *_lost_text(checked)]
    return "\n".join(lines)


def _lost_text(checked: Checked) -> list[str]:
    told: list[str] = []
    for row in (row for row in checked.bad if not row.whole):
        if row.last <= checked.checkpoint:
            what = "the checkpoint includes them: profiles still know them, and a replay can no longer say them"
        else:
            what = "nothing includes them: what they said is lost; whoever has it can send it again under new ids"
        told.append(f"lost: {_offsets(row.first, row.last)}; {what}")
    return told or ["nothing was lost"]


def _bad_text(row: BadRow) -> str:
    came = f", received {format_time(row.received)}" if row.received is not None and 0 <= row.received < 2**57 else ""
    where = f"row {row.place}" if row.place is not None else "no row"
    return f"DAMAGED {_offsets(row.first, row.last)} ({where}{came}): {row.reason}"


def _offsets(first: int, last: int) -> str:
    return f"offset {first}" if first == last else f"offsets {first} to {last}"


def _as_json(checked: Checked, export: Path | None) -> dict[str, object]:
    bad = [
        msgspec.structs.replace(row, data=b"") for row in checked.bad
    ]  # the bytes may name people; the export has them
    found = msgspec.to_builtins(msgspec.structs.replace(checked, bad=tuple(bad)))
    return {**found, "sound": checked.sound, "export": None if export is None else str(export)}


def _export_name(path: Path) -> Path:
    return path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.jsonl")


def _shown(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 400 else text[:400] + " ..."
