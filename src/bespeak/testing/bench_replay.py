"""How fast everything is built anew from the log, beside decoding the same log alone."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterable
from random import Random

from bespeak.clock import ManualClock
from bespeak.engine import Definition, Engine, rebuild
from bespeak.engine.records import SealedRecord, decode, open_event
from bespeak.settings import Settings
from bespeak.stores import MemorySettings, MemoryStore


class _Kept(MemoryStore):
    """A memory store that outlives the engine that filled it."""

    def close(self) -> None:
        """Stay open."""


def replay_rates(definitions: tuple[Definition, ...], bodies: Iterable[bytes], at: int) -> tuple[float, float]:
    """Return records a second that a replay takes in, and that are merely decoded.

    Parameters
    ----------
    definitions
        What is in force from the beginning.
    bodies
        Batches of events in Segment's wire format.
    at
        The present instant.
    """
    store, settings = _Kept(), Settings(store=MemorySettings())
    asyncio.run(_fill(store, settings, definitions, bodies, at))
    gc.collect()
    began = time.perf_counter()
    ledger = rebuild(settings, store, clock=ManualClock(at))
    took = time.perf_counter() - began
    began = time.perf_counter()
    for row in store.read(0):
        for offset, record in decode(row, after=0):
            if isinstance(record, SealedRecord):
                open_event(ledger.vault, record, offset)
    least = time.perf_counter() - began
    return store.last_offset() / took, store.last_offset() / least


async def _fill(
    store: MemoryStore, settings: Settings, definitions: tuple[Definition, ...], bodies: Iterable[bytes], at: int
) -> None:
    engine = Engine.open(settings, clock=ManualClock(at), rng=Random(0), store=store)
    await engine.start()
    key, _ = await engine.create_key("secret", "bench")
    await engine.apply(definitions)
    for body in bodies:
        await engine.track(engine.parse(body, key=key), key)
    await engine.close()
