"""`bespeak archive`: the log as Parquet files, and SQL over them."""

from __future__ import annotations

from argparse import Namespace
from contextlib import closing
from datetime import datetime
from pathlib import Path

import msgspec

from bespeak.cli.archive_checking import verify_archive
from bespeak.cli.client import ask, connected, settings_of
from bespeak.cli.output import show, table
from bespeak.cli.upkeep import store_of
from bespeak.clock import NEVER, Instant, parse_time
from bespeak.errors import Conflict, NotFound
from bespeak.stores import SqliteSnapshot

NONE = "no file yet: `bespeak archive run` writes what is due, `--everything` the rest"


def run(arguments: Namespace) -> int:
    """Write what is due to files, now."""
    with connected(arguments) as client:
        done = ask(client, "POST", "/v1/archive", everything="1" if arguments.everything else None)
    lines = [f"{len(done['made'])} files written, {done['rows']:,} events in them"]
    if done["dropped"]:
        lines.append(f"{len(done['dropped'])} files dropped, older than archive.keep_days")
    lines.append(f"{done['files']:,} files hold the log to offset {done['upto']:,}; {done['waiting']:,} records wait")
    return show(arguments, done, "\n".join(lines))


def list_files(arguments: Namespace) -> int:
    """List the files, in the order of the log."""
    from bespeak.engine.archive import listed
    from bespeak.engine.archive_reading import shown

    path, store = store_of(settings_of(arguments))
    with closing(SqliteSnapshot(path, store)) as snapshot:
        files = [shown(file) for file in listed(snapshot)]
    heads = ("file", "rows", "from", "to", "bytes", "version")
    rows = [[file[head] if head not in {"from", "to"} else _short(file[head]) for head in heads] for file in files]
    return show(arguments, files, table(heads, rows) if rows else NONE)


def verify(arguments: Namespace) -> int:
    """Look whether every file is there, with the bytes that were written."""
    settings = settings_of(arguments)
    found = verify_archive(settings, *store_of(settings))
    show(arguments, found, "\n".join(found.lines) or NONE)
    return 1 if found.bad else 0


def query(arguments: Namespace) -> int:
    """Ask one SELECT over the view `events`."""
    from bespeak.engine import ask_archive

    since, until = _times(arguments)
    settings = settings_of(arguments)
    store_of(settings)
    offset, answer = ask_archive(settings, arguments.sql, since=since, until=until)
    text = table(answer.columns, [[_cell(value) for value in row] for row in answer.rows])
    if answer.more:
        text += f"\nand more: archive.query_rows is {settings.archive.query_rows:,}"
    return show(arguments, {"offset": offset, **msgspec.to_builtins(answer)}, text)


def export(arguments: Namespace) -> int:
    """Write the events to one plain Parquet file."""
    from bespeak.engine import export_archive

    path = Path(arguments.file)
    if not path.parent.is_dir():
        raise NotFound(f"{path.parent}: there is no such folder")
    if path.exists() and not arguments.force:
        raise Conflict(f"{path} is there already; name another file, or replace it with --force")
    since, until = _times(arguments)
    settings = settings_of(arguments)
    store_of(settings)
    rows = export_archive(settings, path, since=since, until=until)
    size = path.stat().st_size
    text = f"{path}: {rows:,} events, {size:,} bytes. It is not sealed, and erasing a person does not reach it"
    return show(arguments, {"file": str(path), "rows": rows, "bytes": size}, text)


def _times(arguments: Namespace) -> tuple[Instant, Instant]:
    since: str | None = arguments.since
    until: str | None = arguments.until
    return (-NEVER if since is None else parse_time(since)), (NEVER if until is None else parse_time(until))


def _short(value: object) -> object:
    return value[:19] if isinstance(value, str) else value


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return value if value is None or isinstance(value, int | float) else str(value)
