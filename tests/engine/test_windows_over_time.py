"""Windows flip on their second: whatever their kind, wherever the person lives, and also while nothing runs."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from bespeak.clock import DAY, HOUR, MINUTE, SECOND, ManualClock, format_time, parse_time
from bespeak.engine import Definition, Engine, replay
from bespeak.engine.answers import profile_answer
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import MemorySettings
from bespeak.testing.world_fragile import FragileMemory, MortalEngine

pytestmark = pytest.mark.anyio

SETTINGS = Settings(store=MemorySettings(), engine=EngineSettings(checkpoint_seconds=3_600, models_seconds=3_600))
ZONES = {
    "ada": ("Asia/Tokyo", "2026-03-31T15:00:00Z"),
    "bob": ("Europe/Berlin", "2026-03-31T22:00:00Z"),
    "cleo": ("America/New_York", "2026-04-01T04:00:00Z"),
}
"""Who lives where, and when the month ends there."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


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


async def send(engine: Engine, key: Any, name: str, at: int, who: str, zone: str | None = None, **said: Any) -> None:
    message = {"type": "track", "event": name, "anonymousId": who, "messageId": f"{who}-{at}", "properties": said}
    context = {} if zone is None else {"timezone": zone}
    body = json.dumps({"batch": [{**message, "context": context, "timestamp": format_time(at)}]}).encode()
    await engine.track(engine.parse(body, key=key), key)


def inside(engine: Engine, segment: str) -> set[str]:
    found = {who: engine.find(who) for who in ZONES}
    return {who for who, profile in found.items() if profile is not None and segment in profile.segments}


async def test_this_month_ends_for_each_at_their_own_midnight() -> None:
    start = parse_time("2026-03-31T10:00:00Z")
    clock = ManualClock(start)
    engine, key = await begun(
        clock,
        busy='count("Product Viewed", this month) >= 1',
        before='count("Product Viewed", last month) >= 1',
        idle='not performed("Product Viewed", this month)',
    )
    for who, (zone, _) in ZONES.items():
        await send(engine, key, "Product Viewed", start, who, zone)
    assert inside(engine, "busy") == set(ZONES)
    assert inside(engine, "before") == inside(engine, "idle") == set()
    gone: set[str] = set()
    for who, (_, end) in ZONES.items():
        clock.advance(parse_time(end) - 1 - clock.now())
        await engine.tick()
        assert inside(engine, "busy") == set(ZONES) - gone
        clock.advance(1)
        await engine.tick()
        gone.add(who)
        assert inside(engine, "busy") == set(ZONES) - gone
        assert inside(engine, "before") == inside(engine, "idle") == gone
        for segment in ("before", "idle"):
            profile = engine.find(who)
            assert profile is not None
            assert profile.segments[segment].since == parse_time(end)
    await engine.close()
    assert replay(SETTINGS, engine.store, clock=clock).difference is None


async def test_whoever_moves_to_another_zone_gets_its_days() -> None:
    start = parse_time("2026-03-31T14:30:00Z")  # half an hour before midnight in Tokyo
    clock = ManualClock(start)
    engine, key = await begun(clock, today='count("Product Viewed", today) = 1')
    await send(engine, key, "Product Viewed", start, "ada", "Asia/Tokyo")
    clock.advance(MINUTE)
    await send(engine, key, "Cart Viewed", clock.now(), "ada", "Europe/Berlin")
    clock.advance(HOUR)
    await engine.tick()
    assert inside(engine, "today") == {"ada"}, "in Berlin it is still the 31st"
    clock.advance(parse_time("2026-03-31T22:00:00Z") - clock.now())
    await engine.tick()
    assert inside(engine, "today") == set()
    await engine.close()
    assert replay(SETTINGS, engine.store, clock=clock).difference is None


async def test_a_window_of_five_seconds_and_an_absence_of_thirty_days_over_a_restart() -> None:
    start = parse_time("2026-03-01T10:00:00Z")
    clock = ManualClock(start)
    engine, key = await begun(
        clock,
        hasty='count("Product Viewed", last 5 seconds) >= 2',
        absent='performed("Order Completed") and not performed("Product Viewed", last 30 days)',
        average='avg(properties.price of "Product Viewed", last 5 seconds) >= 3',
    )
    await send(engine, key, "Order Completed", start - MINUTE, "ada")
    await send(engine, key, "Product Viewed", start, "ada", price=1)
    await send(engine, key, "Product Viewed", start + 2 * SECOND, "ada", price=4)
    assert (inside(engine, "hasty"), inside(engine, "average")) == ({"ada"}, set())
    clock.advance(5 * SECOND - 1)
    await engine.tick()
    assert (inside(engine, "hasty"), inside(engine, "average")) == ({"ada"}, set())
    clock.advance(1)
    await engine.tick()
    assert (inside(engine, "hasty"), inside(engine, "average")) == (set(), {"ada"}), "the cheaper one has left"
    clock.advance(10 * DAY)
    await engine.close()
    clock.advance(25 * DAY)
    engine = await opened(clock, engine.store)
    profile = engine.find("ada")
    assert profile is not None
    assert profile.segments["absent"].since == start + 2 * SECOND + 30 * DAY
    assert inside(engine, "average") == set()
    await engine.close()
    assert replay(SETTINGS, engine.store, clock=clock).difference is None


async def test_an_interest_fades_below_its_bound_on_its_second() -> None:
    """A view of shoes weighs 1, and half of it after 14 days."""
    start = parse_time("2026-03-01T10:00:00Z")
    clock = ManualClock(start)
    engine, key = await begun(clock, keen="interests.category.shoes >= 0.5", faint="interests.category.shoes < 0.5")
    await send(engine, key, "Product Viewed", start, "ada", product_id="p1", category="shoes")
    assert inside(engine, "keen") == {"ada"}
    clock.advance(14 * DAY)
    await engine.tick()
    assert (inside(engine, "keen"), inside(engine, "faint")) == ({"ada"}, set()), "just one half is left"
    clock.advance(1)
    await engine.tick()
    assert (inside(engine, "keen"), inside(engine, "faint")) == (set(), {"ada"})
    profile = engine.find("ada")
    assert profile is not None
    assert profile.segments["faint"].since == start + 14 * DAY + 1
    await engine.close()
    assert replay(SETTINGS, engine.store, clock=clock).difference is None


async def test_a_visit_that_ends_takes_its_count_along() -> None:
    start = parse_time("2026-03-01T10:00:00Z")
    clock = ManualClock(start)
    engine, key = await begun(
        clock, eager='count("Product*", this session) >= 2', today='count("Product*", today) >= 3'
    )
    for minute in (0, 5):
        await send(engine, key, "Product Viewed", start + minute * MINUTE, "ada")
    assert inside(engine, "eager") == {"ada"}
    clock.advance(HOUR)
    await send(engine, key, "Product Added", clock.now(), "ada")
    assert inside(engine, "eager") == set(), "a new visit has begun"
    assert inside(engine, "today") == {"ada"}
    await engine.close()
    assert replay(SETTINGS, engine.store, clock=clock).difference is None


async def test_a_profile_says_in_whose_days_it_counts() -> None:
    start = parse_time("2026-03-01T10:00:00Z")
    clock = ManualClock(start)
    engine, key = await begun(clock)
    await send(engine, key, "Product Viewed", start, "ada", "Asia/Tokyo")
    await send(engine, key, "Product Viewed", start, "bob")
    found = [engine.find(who) for who in ("ada", "bob")]
    site = engine.registry.site
    known = [profile_answer(profile, start, SETTINGS.profiles, site) for profile in found if profile is not None]
    shown = [one["timeZone"] for one in known]
    assert shown == ["Asia/Tokyo", "UTC"]
    await engine.close()
