"""The simulated town against the real engine: a failure is a seed."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterable
from random import Random
from typing import Any

import msgspec
import pytest

from bespeak.clock import MINUTE, ManualClock
from bespeak.engine import Engine
from bespeak.settings import Settings
from bespeak.stores import MemorySettings
from bespeak.testing.world import World
from bespeak.testing.world_faults import Delivery, Faults, deliver

FAULTS = Faults(doubled=0.1, late=0.2, malformed=0.05, delay=30 * MINUTE)
CONSENT = "Segment Consent Preference Updated"


async def live(deliveries: Iterable[Delivery], opened: int) -> tuple[dict[str, Any], Counter[str]]:
    """Send what arrives, one by one, and return every profile and how often each answer was given."""
    clock = ManualClock(opened)
    engine = Engine.open(Settings(store=MemorySettings()), clock=clock, rng=Random(0))
    await engine.start()
    key, _token = await engine.create_key("secret", "town")
    answers: Counter[str] = Counter()
    for delivery in deliveries:
        clock.advance(max(0, delivery.at - clock.now()))
        parsed = engine.parse(msgspec.json.encode({"batch": [delivery.message]}), key=key)
        answers.update(result.status for result in await engine.track(parsed, key))
    profiles = {profile.id: msgspec.to_builtins(profile) for profile in engine.profiles()}
    await engine.close()
    return profiles, answers


def same(one: Any, other: Any) -> bool:
    """Compare as JSON, floats to 1e-9: sums that fade are added in another order."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9)
    return bool(one == other)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_known_of_the_town_does_not_depend_on_how_its_messages_arrive(seed: int) -> None:
    world = World(seed, people=500, items=100)
    # Under fixed consent: what is refused depends on when the choice arrived, and must.
    messages = [each for each in world.history(world.opened, days=6) if each.get("event") != CONSENT]
    arrived = list(deliver(messages, FAULTS, Random(seed)))
    assert {delivery.fault for delivery in arrived} == {"none", "doubled", "late", "malformed"}
    as_sent, _ = asyncio.run(live(deliver(messages, Faults(), Random(seed)), world.opened))
    as_arrived, _ = asyncio.run(live(arrived, world.opened))
    for profile in [*as_sent.values(), *as_arrived.values()]:
        profile.pop("as_of", None)  # how far its timers have been looked at: a matter of arrival
    assert as_sent.keys() == as_arrived.keys()
    assert [name for name in as_sent if not same(as_sent[name], as_arrived[name])] == []


@pytest.mark.parametrize("seed", [1, 2])
def test_every_message_of_the_town_gets_exactly_one_answer(seed: int) -> None:
    world = World(seed, people=500, items=100)
    messages = [each for each in world.history(world.opened, days=6) if each.get("event") != CONSENT]
    arrived = list(deliver(messages, FAULTS, Random(seed)))
    faults = Counter(delivery.fault for delivery in arrived)
    _, answers = asyncio.run(live(arrived, world.opened))
    assert answers == {"ok": len(messages), "duplicate": faults["doubled"], "rejected": faults["malformed"]}
