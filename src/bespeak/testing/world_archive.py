"""The archive in simulated months: whatever happened, its files and the log behind them are the log."""

from __future__ import annotations

from collections.abc import Iterator

from bespeak.clock import Instant
from bespeak.engine import ArchiveFile, Engine, ask_archive
from bespeak.engine.records import EventRecord, SealedRecord, decode, open_event
from bespeak.events import Event
from bespeak.ids import ProfileId
from bespeak.settings import Settings
from bespeak.testing.world_promises import same
from bespeak.testing.world_truth import Truth


def archive_is_log(engine: Engine, settings: Settings) -> None:
    """SQL sees each event of the log that opens once, in a file or behind them all, and nobody else's.

    Raises
    ------
    BrokenPromise
        It does not; the message names the first place that differs.
    """
    _, answer = ask_archive(settings, "SELECT log_offset FROM events ORDER BY log_offset", threads=1)
    opened = [offset for offset, _ in _opened(engine)]
    same("the archive: events that SQL sees", [row[0] for row in answer.rows], opened)


def people_in(file: ArchiveFile, engine: Engine, truth: Truth) -> set[ProfileId]:
    """Return whose events a file of the archive holds."""
    within = (event for offset, event in _opened(engine) if file.first <= offset <= file.last)
    held = set(map(_mark, within))
    return {name for name, being in truth.beings.items() if not held.isdisjoint(map(_mark, being.events))}


def _mark(event: Event) -> tuple[str, str, Instant]:
    """Tell an event from all others: what is said of consent may be there twice, of two people."""
    return event.source, event.message_id, event.received


def _opened(engine: Engine) -> Iterator[tuple[int, Event]]:
    """Yield the events of the log that open, with their offsets."""
    for row in engine.store.read(0):
        for offset, record in decode(row, after=0):
            if isinstance(record, SealedRecord | EventRecord):
                opened = open_event(engine.vault, record, offset)
                if opened is not None:
                    yield offset, opened[0]
