"""When the time zone of people who name none is set to another, whoever it moves is moved, once, and the log knows."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import msgspec
import pytest

from bespeak.clock import HOUR, MINUTE, ManualClock, format_time, parse_time
from bespeak.engine import Definition, Engine, replay
from bespeak.profiles import ProfileSettings
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import MemorySettings
from bespeak.testing.world_fragile import FragileMemory, MortalEngine

pytestmark = pytest.mark.anyio

QUIET = EngineSettings(checkpoint_seconds=3_600, models_seconds=3_600)
UTC = Settings(store=MemorySettings(), engine=QUIET)
TOKYO, VIENNA = (
    msgspec.structs.replace(UTC, profiles=ProfileSettings(time_zone=zone)) for zone in ("Asia/Tokyo", "Europe/Vienna")
)
TEXTS = {
    "today": 'count("Viewed", today) >= 1',
    "night": "local.hour < 6",
    "joined": 'traits.joined on date "now"',
    "keen": 'count("Viewed", last 3 hours) >= 1',
}
START = parse_time("2026-11-22T13:30:00Z")  # 22:30 in Tokyo
PEOPLE = [f"p{n}" for n in range(120)]


async def opened(settings: Settings, clock: ManualClock, store: FragileMemory) -> MortalEngine:
    engine = MortalEngine.open(settings, clock=clock, rng=Random(1), store=store)
    await engine.start()
    return engine


async def begun(settings: Settings, clock: ManualClock, **texts: str) -> tuple[MortalEngine, Any]:
    engine = await opened(settings, clock, FragileMemory())
    key, _ = await engine.create_key("secret", "site")
    await engine.apply(
        [Definition(kind="segments", id=name, body={"id": name, "condition": text}) for name, text in texts.items()]
    )
    return engine, key


async def send(engine: Engine, key: Any, who: str, **context: Any) -> None:
    now = format_time(engine.clock.now())
    message = {"type": "track", "event": "Viewed", "messageId": f"{who}-{now}", "timestamp": now, "anonymousId": who}
    await engine.track(engine.parse(json.dumps({"batch": [{**message, "context": context}]}).encode(), key=key), key)


def inside(engine: Engine, who: str) -> set[str]:
    profile = engine.find(who)
    return set() if profile is None else set(profile.segments)


async def test_who_names_no_zone_is_asked_in_the_new_one_and_who_names_one_stays() -> None:
    clock = ManualClock(START)
    engine, key = await begun(UTC, clock, **TEXTS)
    await send(engine, key, "ada", traits={"joined": "2026-11-22"})
    await send(engine, key, "bob", timezone="Europe/Vienna", traits={"joined": "2026-11-22"})
    assert inside(engine, "ada") == inside(engine, "bob") == {"today", "joined", "keen"}
    await engine.close()
    clock.advance(2 * HOUR)  # 00:30 of the next day in Tokyo
    engine = await opened(TOKYO, clock, engine.store)
    await engine._all_asked()
    assert inside(engine, "ada") == {"night", "keen"}
    assert inside(engine, "bob") == {"today", "joined", "keen"}
    ada = engine.find("ada")
    assert ada is not None
    assert ada.segments["night"].since == clock.now(), "it came true when the setting was changed"
    assert engine.segment_sizes() == {"today": 1, "night": 1, "joined": 1, "keen": 2}
    clock.advance(MINUTE)
    await send(engine, key, "ada")
    assert inside(engine, "ada") == {"today", "night", "keen"}
    await engine.close()
    assert replay(TOKYO, engine.store, clock=clock).difference is None


async def test_what_was_due_while_nothing_ran_flips_in_the_zone_until_then() -> None:
    clock = ManualClock(START)
    engine, key = await begun(TOKYO, clock, **TEXTS)
    await send(engine, key, "ada")
    await engine.close()
    clock.advance(12 * HOUR)
    engine = await opened(VIENNA, clock, engine.store)  # 02:30 in Vienna
    await engine._all_asked()
    ada = engine.find("ada")
    assert ada is not None
    assert ada.segments["night"].since == parse_time("2026-11-23T01:30:00Z"), "it was night in Tokyo, and over"
    assert "keen" not in ada.segments
    await engine.close()
    assert replay(VIENNA, engine.store, clock=clock).difference is None


async def test_nothing_is_logged_where_the_zone_stays_and_nobody_is_asked_whom_it_cannot_move() -> None:
    clock = ManualClock(START)
    engine, key = await begun(UTC, clock, keen=TEXTS["keen"])
    await send(engine, key, "ada")
    await engine.close()
    before = engine.store.last_offset()
    engine = await opened(UTC, clock, engine.store)
    await engine.close()
    assert engine.store.last_offset() == before
    engine = await opened(TOKYO, clock, engine.store)
    assert not engine.sequencer.live.owing
    await engine.close()
    assert engine.store.last_offset() == before + 1
    assert replay(TOKYO, engine.store, clock=clock).difference is None


async def test_a_kill_while_people_are_asked_leaves_nobody_in_the_zone_of_before() -> None:
    clock = ManualClock(START)
    engine, key = await begun(UTC, clock, **TEXTS)
    for who in PEOPLE:
        await send(engine, key, who)
    await engine.close()
    clock.advance(2 * HOUR)
    engine = await opened(TOKYO, clock, engine.store)
    engine.sequencer.ask(40)
    engine.checkpoint()
    await engine.settle()
    await engine.die()
    clock.advance(MINUTE)
    engine = await opened(TOKYO, clock, engine.store)
    await engine._all_asked()
    assert [inside(engine, who) for who in PEOPLE] == [{"night", "keen"}] * len(PEOPLE)
    assert engine.segment_sizes() == {"today": 0, "night": 120, "joined": 0, "keen": 120}
    await engine.close()
    assert replay(TOKYO, engine.store, clock=clock).difference is None


async def test_a_zone_that_is_set_back_and_forth_is_lived_in_as_the_log_says() -> None:
    clock = ManualClock(START)
    engine, key = await begun(VIENNA, clock, **TEXTS)
    await send(engine, key, "ada")
    for settings in (TOKYO, UTC, TOKYO):
        await engine.close()
        clock.advance(HOUR)
        engine = await opened(settings, clock, engine.store)
        await engine._all_asked()
        clock.advance(MINUTE)
        await send(engine, key, "bob")
    assert inside(engine, "ada") == {"night"}
    await engine.close()
    assert replay(TOKYO, engine.store, clock=clock).difference is None
    assert replay(UTC, engine.store, clock=clock).difference is None, "whatever the settings say since"


async def test_a_filter_goes_by_the_clock_of_the_zone_that_is_set_when_the_event_comes() -> None:
    clock = ManualClock(START)  # 14:30 in Vienna
    texts = {"night": 'performed("Viewed" where local.hour >= 22)', "noon": 'performed("Viewed" where local.hour < 15)'}
    engine, key = await begun(VIENNA, clock, **texts)
    await send(engine, key, "ada")
    await send(engine, key, "bob", timezone="Asia/Tokyo")
    assert (inside(engine, "ada"), inside(engine, "bob")) == ({"noon"}, {"night"})
    await engine.close()
    clock.advance(MINUTE)
    engine = await opened(TOKYO, clock, engine.store)
    assert (inside(engine, "ada"), inside(engine, "bob")) == ({"noon"}, {"night"}), "what was counted stays"
    await send(engine, key, "ada")
    await send(engine, key, "bob", timezone="Europe/Vienna")
    assert inside(engine, "ada") == inside(engine, "bob") == {"noon", "night"}
    await engine.die()
    engine = await opened(TOKYO, clock, engine.store)
    assert inside(engine, "ada") == inside(engine, "bob") == {"noon", "night"}
    clock.advance(MINUTE)
    await send(engine, key, "cleo")
    assert inside(engine, "cleo") == {"night"}
    await engine.apply([Definition(kind="segments", id="late", body={"id": "late", "condition": texts["night"]})])
    assert inside(engine, "cleo") == {"night", "late"}
    await engine.close()
    assert replay(TOKYO, engine.store, clock=clock).difference is None
