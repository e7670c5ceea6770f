"""What encryption costs: an event sealed, and a person erased, each beside the least that it could cost."""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from bespeak.engine import Engine
from bespeak.engine.records import inside_of, seal_event, subject_of
from bespeak.events import Event
from bespeak.privacy import Key, envelope
from bespeak.profiles import Resolved
from bespeak.settings import Settings

ERASED = 50
"""People erased, one after the other."""


def seal_cost(engine: Engine, events: Iterable[Event]) -> tuple[float, float]:
    """Return CPU seconds for sealing events into records, and for encoding them into envelopes that are not sealed."""
    resolved = [(event, engine.sequencer.whose(event)) for event in events]
    work = [(event, subject_of(event, whose)) for event, whose in resolved if isinstance(whose, Resolved)]
    for _, subject in work:
        engine.vault.sealer(subject)

    gc.collect()
    began = time.process_time()
    for event, subject in work:
        seal_event(engine.vault, event, subject, "", imported=False)
    took = time.process_time() - began

    began = time.process_time()
    for event, _ in work:
        envelope.seal(inside_of(event, ""))
    return took, time.process_time() - began


def erase_cost(bodies: Iterable[bytes]) -> tuple[float, float]:
    """Return the median seconds to erase a person on disk, and to append and sync one page."""
    with tempfile.TemporaryDirectory() as folder:
        took = asyncio.run(_erase(Path(folder), bodies))
        return took, _sync_floor(Path(folder) / "floor")


async def _erase(folder: Path, bodies: Iterable[bytes]) -> float:
    engine = Engine.open(Settings(data_dir=str(folder)))
    await engine.start()
    key, _ = await engine.create_key("secret", "bench")
    for body in bodies:
        await _import(engine, key, body)
    await engine.close()
    engine = Engine.open(Settings(data_dir=str(folder)))
    await engine.start()
    times: list[float] = []
    for person in sorted(engine.sequencer.live.ids())[:ERASED]:
        began = time.perf_counter()
        await engine.erase(person)
        times.append(time.perf_counter() - began)
    await engine.close()
    return median(times)


async def _import(engine: Engine, key: Key, body: bytes) -> None:
    await engine.import_events(engine.parse(body, key=key).events)


def _sync_floor(path: Path) -> float:
    times: list[float] = []
    with path.open("wb") as file:
        for _ in range(ERASED):
            began = time.perf_counter()
            file.write(bytes(8_192))
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return median(times)
