"""`bespeak import`: history from files, with a bar, a quarantine, and a summary that adds up."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bespeak.catalog import Item
from bespeak.cli.client import Client, Embedded, ask, connected
from bespeak.cli.output import show
from bespeak.cli.progress import Bar
from bespeak.clock import SystemClock
from bespeak.errors import NotFound
from bespeak.events import Event
from bespeak.sources import ImportInto, ImportMap, Progress, Quarantine, Summary, import_files, load_map

_BODY_BYTES = 8_000_000
"""A body to a running server; a batch that is larger is halved."""


class OverHttp:
    """The engine behind a running server, as an import sees it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def import_events(self, events: Sequence[Event]) -> tuple[int, int, int]:
        """Send events; returns how many were accepted, known already, and refused."""
        body = msgspec.json.encode(events)
        if len(body) > _BODY_BYTES and len(events) > 1:
            half = len(events) // 2
            first, second = await self.import_events(events[:half]), await self.import_events(events[half:])
            return first[0] + second[0], first[1] + second[1], first[2] + second[2]
        counted = ask(self._client, "POST", "/v1/history", body)
        return counted["accepted"], counted["duplicate"], counted["refused"]

    async def put_items(self, items: Sequence[Item]) -> int:
        """Send items; returns how many are new or changed."""
        body = msgspec.json.encode(items)
        if len(body) > _BODY_BYTES and len(items) > 1:
            half = len(items) // 2
            return await self.put_items(items[:half]) + await self.put_items(items[half:])
        count: int = ask(self._client, "POST", "/v1/items", body)["count"]
        return count


def import_all(arguments: Namespace) -> int:
    """Import the files and say what became of every record."""
    import_map = load_map(arguments.map)
    files = [Path(name) for name in arguments.files]
    for path in files:
        if not path.exists():
            raise NotFound(f"{path}: no such file")
    quarantine = Quarantine()
    try:
        with connected(arguments) as client:
            summary = _import(client, files, import_map, quarantine)
    finally:
        quarantine.close()
    kept = [str(path) for path in quarantine.paths()]
    return show(arguments, {**msgspec.to_builtins(summary), "quarantine": kept}, summary_text(summary, kept))


def _import(client: Client, files: list[Path], import_map: ImportMap, quarantine: Quarantine) -> Summary:
    bar = Bar()

    def progress(now: Progress) -> None:
        units = {"reading": "bytes", "putting": "items", "importing": "records"}
        bar.update(now.stage, now.done, now.total, units[now.stage])

    async def run(into: ImportInto) -> Summary:
        return await import_files(
            into, files, import_map, received=SystemClock().now(), reject=quarantine.add, progress=progress
        )

    try:
        if isinstance(client, Embedded):
            return client.runner.run(run(client.engine))
        return asyncio.run(run(OverHttp(client)))
    finally:
        bar.finish()


def summary_text(summary: Summary, quarantine: list[str]) -> str:
    """Say what became of every record, so that it can be added up."""
    parts = ((summary.accepted, "accepted"), (summary.duplicate, "duplicate"), (summary.rejected, "rejected"))
    lines = [
        f"{summary.read:,} read = " + " + ".join(f"{count:,} {what}" for count, what in parts),
        f"{summary.items:,} items new or changed",
    ]
    if summary.refused:
        lines.append(f"{summary.refused:,} of the rejected were refused, since there is no consent for them")
    lines += [f"rejected lines with their reasons: {path}" for path in quarantine]
    return "\n".join(lines)
