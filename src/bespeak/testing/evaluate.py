"""Do decisions find what people like? Measured on the seeded town, against tastes that the engine never reads.

The town's history goes through the real engine event by event, then every person is asked for a decision and it is
compared with popularity: the items that most events of the same history were about, the same for everybody.
Both rank all items that may be shown and that the person has not bought; sampled metrics do not exist here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from math import sqrt
from random import Random
from typing import Any

import msgspec
import numpy as np

from bespeak.clock import DAY, SECOND, ManualClock
from bespeak.decide import DecideRequest, SlotRequest
from bespeak.engine import Engine
from bespeak.errors import InvalidInput
from bespeak.events import ITEM_WEIGHTS, Event, item_ids
from bespeak.privacy import Key
from bespeak.recommend.metrics import graded_ndcg_at
from bespeak.settings import Settings
from bespeak.stores import MemorySettings
from bespeak.testing.world import Message, Person, World

BATCH = 500
TOP = 10

Progress = Callable[[str], None]


class Measured(msgspec.Struct, frozen=True):
    """A mean over people, with its standard error and how many people there were."""

    mean: float
    se: float
    people: int


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured. `ratio` is NDCG@10 of the decisions over that of popularity."""

    seed: int
    people: int
    items: int
    events: int
    days: float
    decisions: Measured
    popularity: Measured
    ratio: float


async def run(
    *, seed: int = 0, people: int = 2_000, items: int = 500, days: float = 30.0, out: Progress = lambda _line: None
) -> dict[str, Any]:
    """Measure NDCG@10 of decisions and of popularity on a town.

    Parameters
    ----------
    days
        How much of the town's life the engine sees before it is asked.
    out
        Takes a line of progress now and then.
    """
    if people < 1 or items < 12 or days <= 0:
        raise InvalidInput(f"evaluate: expected people >= 1, items >= 12, days > 0, got {people}, {items}, {days}")
    world = World(seed, people=people, items=items)
    clock = ManualClock(world.opened + round(days * DAY) + SECOND)
    engine = Engine.open(Settings(store=MemorySettings()), clock=clock, rng=Random(seed))
    await engine.start()
    try:
        key, _ = await engine.create_key("secret", "evaluate")
        await engine.put_items(world.items)
        counts: Counter[str] = Counter()
        events = await _live(engine, key, world, days, counts, out)
        out(f"asking for {people:,} decisions")
        answer = _compare(engine, key, world, counts)
    finally:
        await engine.close()
    decisions, popularity = answer
    evaluation = Evaluation(
        seed=seed,
        people=people,
        items=items,
        events=events,
        days=days,
        decisions=decisions,
        popularity=popularity,
        ratio=decisions.mean / popularity.mean,
    )
    return dict(msgspec.to_builtins(evaluation))


async def _live(engine: Engine, key: Key, world: World, days: float, counts: Counter[str], out: Progress) -> int:
    total = 0
    for messages in _batches(world.history(world.opened, days=days)):
        parsed = engine.parse(msgspec.json.encode({"batch": messages}), key=key)
        await engine.import_events(parsed.events)
        total += len(parsed.events)
        for event in parsed.events:
            _count(event, counts)
        if total % 10_000 < BATCH:
            out(f"{total:,} events")
    return total


def _count(event: Event, counts: Counter[str]) -> None:
    weight = ITEM_WEIGHTS.get(event.name)
    if weight:
        for item in item_ids(event):
            counts[item] += 1


def _batches(messages: Iterator[Message]) -> Iterator[list[Message]]:
    while batch := list(islice(messages, BATCH)):
        yield batch


def _compare(engine: Engine, key: Key, world: World, counts: Counter[str]) -> tuple[Measured, Measured]:
    popular = [item.id for item in sorted(world.items, key=lambda item: (-counts[item.id], item.id))]
    decided: list[float] = []
    baseline: list[float] = []
    for person in world.people:
        profile = engine.find(person.user_id) if person.user_id else None
        profile = profile or engine.find(person.devices[0].anonymous_id)
        bought = set(profile.bought) if profile is not None else set[str]()
        taste = world.liking(person)
        gains = {item.id: taste[row] for row, item in enumerate(world.items) if item.stock and item.id not in bought}
        decided.append(graded_ndcg_at(_decide(engine, key, person), gains, TOP))
        baseline.append(graded_ndcg_at([item for item in popular if item in gains], gains, TOP))
    return _measured(decided), _measured(baseline)


def _decide(engine: Engine, key: Key, person: Person) -> list[str]:
    request = DecideRequest(
        user_id=person.user_id, anonymous_id=person.devices[0].anonymous_id, slots=(SlotRequest(id="evaluate", n=TOP),)
    )
    return [item.item for item in engine.decide(request, key=key).slots["evaluate"].items]


def _measured(values: list[float]) -> Measured:
    array = np.array(values)
    return Measured(float(array.mean()), float(array.std() / sqrt(len(array))), len(array))
