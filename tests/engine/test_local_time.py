"""Whoever's clock turns is moved at that instant, wherever they live, running or not; places go with people."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from bespeak.clock import DAY, HOUR, MINUTE, ManualClock, format_time, parse_time
from bespeak.engine import Definition, Engine, replay
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import MemorySettings
from bespeak.testing.world_fragile import FragileMemory, MortalEngine

pytestmark = pytest.mark.anyio

SETTINGS = Settings(store=MemorySettings(), engine=EngineSettings(checkpoint_seconds=3_600, models_seconds=3_600))
MORNING = {
    "ada": ("Asia/Kolkata", "2026-10-25T02:30:00Z"),
    "bob": ("Europe/Berlin", "2026-10-25T07:00:00Z"),  # clocks were put back at 01:00 UTC
    "cleo": ("America/New_York", "2026-10-25T12:00:00Z"),
}
"""Who lives where, and when it is eight there on the last Sunday of October."""


async def opened(clock: ManualClock, store: FragileMemory) -> MortalEngine:
    engine = MortalEngine.open(SETTINGS, clock=clock, rng=Random(1), store=store)
    await engine.start()
    return engine


async def begun(clock: ManualClock, **conditions: str) -> tuple[MortalEngine, Any]:
    engine = await opened(clock, FragileMemory())
    key, _ = await engine.create_key("secret", "site")
    bodies = [(name, {"id": name, "condition": text}) for name, text in conditions.items()]
    await engine.apply([Definition(kind="segments", id=name, body=body) for name, body in bodies])
    return engine, key


async def send(engine: Engine, key: Any, at: int, **said: Any) -> None:
    name = f"{at}-{len(str(said))}"
    message = {"type": "track", "event": "Viewed", "messageId": name, "timestamp": format_time(at), **said}
    await engine.track(engine.parse(json.dumps({"batch": [message]}).encode(), key=key), key)


def inside(engine: Engine, segment: str) -> set[str]:
    found = {who: engine.find(who) for who in MORNING}
    return {who for who, profile in found.items() if profile is not None and segment in profile.segments}


async def test_everybody_wakes_at_eight_of_their_own_clock_and_once_while_nothing_runs() -> None:
    clock = ManualClock(parse_time("2026-10-24T20:00:00Z"))
    engine, key = await begun(clock, awake="local.hour between 8 and 21", sunday="local.weekday = 7")
    for who, (zone, _) in MORNING.items():
        await send(engine, key, clock.now(), anonymousId=who, context={"timezone": zone})
    assert inside(engine, "awake") == {"cleo"}, "it is four in the afternoon in New York"
    clock.advance(parse_time("2026-10-25T02:30:00Z") - 1 - clock.now())
    await engine.tick()
    assert (inside(engine, "awake"), inside(engine, "sunday")) == (set(), {"ada", "bob"})
    clock.advance(1)
    await engine.tick()
    assert inside(engine, "awake") == {"ada"}
    await engine.close()
    clock.advance(10 * HOUR)
    engine = await opened(clock, engine.store)
    assert inside(engine, "awake") == {"ada", "bob", "cleo"}
    for who, (_, eight) in MORNING.items():
        profile = engine.find(who)
        assert profile is not None
        assert profile.segments["awake"].since == parse_time(eight), who
    await engine.close()
    assert replay(SETTINGS, engine.store, clock=clock).difference is None


async def test_whoever_flies_on_has_the_hour_of_where_they_land() -> None:
    clock = ManualClock(parse_time("2026-11-22T06:30:00Z"))
    engine, key = await begun(clock, early="local.hour < 8", near='place.country = "IN"')
    await send(engine, key, clock.now(), anonymousId="ada", context={"timezone": "Europe/Berlin"})
    assert inside(engine, "early") == {"ada"}
    clock.advance(MINUTE)
    landed = {"timezone": "Asia/Kolkata", "location": {"country": "IN"}}
    await send(engine, key, clock.now(), anonymousId="ada", context=landed)
    assert (inside(engine, "early"), inside(engine, "near")) == (set(), {"ada"})
    clock.advance(parse_time("2026-11-22T18:30:00Z") - clock.now())
    await engine.tick()
    assert inside(engine, "early") == {"ada"}, "midnight in Kolkata"
    await engine.close()
    assert replay(SETTINGS, engine.store, clock=clock).difference is None


async def test_a_device_that_turns_out_whose_it_is_brings_its_place_and_takes_their_bucket() -> None:
    clock = ManualClock(parse_time("2026-11-22T10:00:00Z"))
    engine, key = await begun(
        clock,
        vienna="place within 20 km of (48.21, 16.37)",
        ios='device.os = "ios"',
        dealt='bucket("a") < 0.5',
        other='bucket("a") >= 0.5',
    )
    here = {"location": {"latitude": 48.2, "longitude": 16.4}, "os": {"name": "iOS"}}
    await send(engine, key, clock.now() - DAY, userId="ada", context={"location": {"country": "IN"}})
    await send(engine, key, clock.now(), anonymousId="phone", context=here)
    await send(engine, key, clock.now(), type="identify", userId="ada", anonymousId="phone")
    assert inside(engine, "vienna") == inside(engine, "ios") == {"ada"}
    ada = engine.find("ada")
    assert ada is not None
    assert engine.find("phone") is ada
    shown = engine.profile("ada")
    assert shown is not None
    assert (shown["place"], shown["device"]) == ({"latitude": 48.2, "longitude": 16.4}, {"os": "iOS"})
    # GrowthBook's own SDK has .5262 for u:ada, and .0719 for a:phone.
    assert (inside(engine, "dealt"), inside(engine, "other")) == (set(), {"ada"})
    await engine.close()
    assert replay(SETTINGS, engine.store, clock=clock).difference is None
