"""How fast history is counted for new definitions, until they are in force, beside opening the same events alone."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterable
from pathlib import Path
from random import Random

from bespeak.clock import ManualClock
from bespeak.engine import Definition, Engine
from bespeak.engine.records import SealedRecord, decode, open_event
from bespeak.settings import Settings
from bespeak.stores import SqliteSettings


def backfill_rates(
    folder: Path, before: tuple[Definition, ...], after: tuple[Definition, ...], bodies: Iterable[bytes], at: int
) -> tuple[float, float]:
    """Return events of the log a second from asking for definitions until everybody is in them, and merely opened.

    Parameters
    ----------
    before, after
        What is in force from the beginning, and what comes when the log is full.
    bodies
        Batches of events in Segment's wire format.
    at
        The present instant.
    """
    return asyncio.run(_rates(Settings(data_dir=str(folder), store=SqliteSettings()), before, after, bodies, at))


async def _rates(
    settings: Settings,
    before: tuple[Definition, ...],
    after: tuple[Definition, ...],
    bodies: Iterable[bytes],
    at: int,
) -> tuple[float, float]:
    engine = Engine.open(settings, clock=ManualClock(at), rng=Random(0))
    await engine.start()
    key, _ = await engine.create_key("secret", "bench")
    await engine.apply(before)
    for body in bodies:
        await engine.track(engine.parse(body, key=key), key)
    await engine.checkpoint_now()
    events = engine.store.last_offset()
    gc.collect()
    began = time.perf_counter()
    await engine.apply(after)
    took = time.perf_counter() - began
    began = time.perf_counter()
    for row in engine.store.read(0):
        for offset, record in decode(row, after=0):
            if isinstance(record, SealedRecord):
                open_event(engine.vault, record, offset)
    least = time.perf_counter() - began
    await engine.close()
    return events / took, events / least
