"""Filling the store at the first start: definitions, the catalog, and what the town did in the last thirty days."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import msgspec

from bespeak.clock import DAY, Instant
from bespeak.engine import Engine, definitions_in
from bespeak.events import Event, parse_batch
from bespeak.testing.world import Message, World

DEFINITIONS = Path(__file__).parent / "definitions"
HISTORY_DAYS = 30
_CHUNK = 500

Progress = Callable[[float, int], None]
"""Told the share that is done (0 to 1) and the events so far."""


async def fill(engine: Engine, world: World, start: Instant, *, progress: Progress, stopping: asyncio.Event) -> bool:
    """Bring definitions, goods and history in; True when all of it is there.

    May be repeated: what is there already changes nothing, since message ids follow from the seed and `start`.
    Stops early, and says False, when `stopping` is set.
    """
    await engine.apply(definitions_in(DEFINITIONS))
    await engine.put_items(world.items)
    now = engine.clock.now()
    done = 0
    for chunk in _chunks(world.history(start, days=HISTORY_DAYS), _CHUNK):
        if stopping.is_set():
            return False
        events = [event for event in _events(engine, chunk, now) if event.time <= now]
        await engine.import_events(events)
        done += len(events)
        if events:
            progress(min(1.0, (events[-1].time - start) / (now - start)), done)
        await asyncio.sleep(0)
    progress(1.0, done)
    return True


async def renew(engine: Engine) -> None:
    """Put the definitions in force that this version of the demo ships; unchanged ones keep their version."""
    await engine.apply(definitions_in(DEFINITIONS))


def _events(engine: Engine, messages: list[Message], received: Instant) -> tuple[Event, ...]:
    """Read messages as our own server would send them: with the secret key, so that identities are proven."""
    body = msgspec.json.encode({"batch": messages, "sentAt": None})
    return parse_batch(
        body,
        received=received,
        source="history",
        trusted=True,
        verify=lambda _user, _signature: False,
        limits=engine.settings.events,
    ).events


def _chunks(messages: Iterable[Message], size: int) -> Iterator[list[Message]]:
    stream = iter(messages)
    while chunk := list(islice(stream, size)):
        yield chunk


def history_start(now: Instant) -> Instant:
    """Return the midnight (UTC) that lies thirty days back."""
    return now // DAY * DAY - (HISTORY_DAYS - 1) * DAY
