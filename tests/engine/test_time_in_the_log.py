"""Timers run beside the log: where that could show in what comes next, the log says how far they were."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

import msgspec
import pytest

from bespeak.clock import DAY, HOUR, MINUTE, SECOND, ManualClock, format_time
from bespeak.decide import DecideRequest, SlotRequest
from bespeak.engine import Definition, Engine, ledger, replay
from bespeak.engine import engine as engine_module
from bespeak.engine import timers as timing
from bespeak.engine.records import TimeRecord, decode
from bespeak.errors import StoreError
from bespeak.events import Event
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import MemorySettings
from bespeak.testing.world_fragile import FragileMemory, MortalEngine

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
SETTINGS = Settings(store=MemorySettings(), engine=EngineSettings(checkpoint_seconds=3_600, models_seconds=3_600))
SEEN = 'count("Product Viewed", last 2 days) >= 1'
TWICE = 'count("Order Completed") >= 1'
EVER = 'count("Product Viewed") >= 1'


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
    await engine.apply(
        [
            Definition(kind="segments", id=name, body={"id": name, "condition": text})
            for name, text in conditions.items()
        ]
    )
    return engine, key


async def send(engine: Engine, key: Any, name: str, at: int, message_id: str, who: str = "ada") -> None:
    message = {"type": "track", "event": name, "anonymousId": who, "messageId": message_id}
    body = json.dumps({"batch": [{**message, "timestamp": format_time(at)}]}).encode()
    await engine.track(engine.parse(body, key=key), key)


def order(who: str, clock: ManualClock) -> Event:
    return Event(
        type="track",
        name="Order Completed",
        message_id="row-1",
        time=START + DAY,
        received=clock.now(),
        anonymous_id=who,
        source="orders.csv",
        signed=True,
    )


def said(engine: Engine) -> list[int]:
    """Return the instants that the log says timers had come to."""
    records = (record for row in engine.store.read(0) for _, record in decode(row, after=0))
    return [record.at for record in records if isinstance(record, TimeRecord)]


def since(engine: Engine, segment: str) -> int:
    profile = engine.find("ada")
    assert profile is not None
    return profile.segments[segment].since


async def test_history_that_is_imported_behind_a_window_that_has_closed_replays_as_it_fell() -> None:
    clock = ManualClock(START)
    engine, key = await begun(clock, seen=SEEN, twice=TWICE)
    await send(engine, key, "Product Viewed", START, "m1")
    clock.advance(5 * DAY)
    await engine.tick()
    assert engine.segment_sizes() == {"seen": 0, "twice": 0}
    await engine.import_events([order("ada", clock)])
    assert since(engine, "twice") == START + 2 * DAY, "not before the last time that anybody was asked"
    assert said(engine) == [clock.now()]
    assert replay(SETTINGS, engine.store, clock=clock).difference is None
    await engine.import_events([order("ada", clock)])
    assert said(engine) == [clock.now()], "nothing has flipped since"
    await engine.close()


async def test_events_after_a_clock_was_set_back_replay_as_they_fell() -> None:
    clock = ManualClock(START)
    engine, key = await begun(clock, seen='count("Product Viewed", last 20 minutes) >= 1', twice=TWICE)
    await send(engine, key, "Product Viewed", START, "m1")
    clock.advance(HOUR)
    await engine.tick()
    assert engine.segment_sizes() == {"seen": 0, "twice": 0}
    clock.advance(-50 * MINUTE)
    await send(engine, key, "Order Completed", clock.now(), "m2")
    assert since(engine, "twice") == START + 20 * MINUTE, "not before the last time that anybody was asked"
    assert said(engine) == [START + HOUR]
    found = replay(SETTINGS, engine.store, clock=clock)
    assert found.difference is None
    await engine.close()


async def test_a_page_after_a_clock_was_set_back_replays_as_it_fell() -> None:
    clock = ManualClock(START)
    engine, key = await begun(
        clock, seen='count("Product Viewed", last 20 minutes) >= 1', shown='count("Decision Made") >= 1'
    )
    await send(engine, key, "Product Viewed", START, "m1")
    clock.advance(HOUR)
    await engine.tick()
    clock.advance(-50 * MINUTE)
    engine.decide(DecideRequest(anonymous_id="ada", slots=(SlotRequest(id="home"),)), key=key)
    await engine.settle()
    assert since(engine, "shown") == START + 20 * MINUTE
    assert replay(SETTINGS, engine.store, clock=clock).difference is None
    await engine.close()


async def test_a_replay_while_the_clock_is_set_back_compares_at_what_was_the_latest_moment() -> None:
    clock = ManualClock(START)
    engine, key = await begun(clock, seen='count("Product Viewed", last 20 minutes) >= 1')
    await send(engine, key, "Product Viewed", START, "m1")
    clock.advance(HOUR)
    await engine.tick()
    clock.advance(-50 * MINUTE)
    await engine.close()
    store = engine.store
    assert isinstance(store, FragileMemory)
    found = replay(SETTINGS, store, clock=clock)
    assert (found.difference, found.checkpoint) == (None, found.offset)


async def test_what_falls_due_while_the_machine_sleeps_flips_when_it_wakes() -> None:
    """Its window ends beyond the hour that timers look ahead, and no checkpoint was written before the sleep."""
    clock = ManualClock(START)
    engine, key = await begun(clock, seen=SEEN)
    await engine.tick()
    await send(engine, key, "Product Viewed", START, "m1")
    assert engine.segment_sizes() == {"seen": 1}
    clock.advance(3 * DAY)
    await engine.tick()
    assert engine.segment_sizes() == {"seen": 0}
    profile = engine.find("ada")
    assert profile is not None
    assert profile.as_of == START + 2 * DAY, "at its second"
    await engine.close()


async def test_a_start_with_a_clock_that_was_set_back_knows_how_far_timers_were() -> None:
    clock = ManualClock(START)
    engine, key = await begun(clock, seen='count("Product Viewed", last 20 minutes) >= 1', twice=TWICE)
    await send(engine, key, "Product Viewed", START, "m1")
    clock.advance(HOUR)
    await engine.tick()
    store = engine.store
    assert isinstance(store, FragileMemory)
    await engine.close()
    clock.advance(-50 * MINUTE)
    engine = await opened(clock, store)
    await send(engine, key, "Order Completed", clock.now(), "m2")
    assert said(engine) == [START + HOUR]
    assert replay(SETTINGS, store, clock=clock).difference is None
    await engine.close()


async def long_stopped(people: int) -> tuple[FragileMemory, ManualClock, Any]:
    """Return a store in which somebody's window has closed each minute, days ago."""
    clock = ManualClock(START)
    engine, key = await begun(clock, seen=SEEN, twice=TWICE)
    for number in range(people):
        clock.advance(MINUTE)
        await send(engine, key, "Product Viewed", clock.now(), f"m{number}", who=f"d{number}")
    store = engine.store
    assert isinstance(store, FragileMemory)
    await engine.close()
    clock.advance(5 * DAY)
    return store, clock, key


async def test_what_is_due_when_the_store_does_not_answer_flips_when_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "PAGE", 3)
    store, clock, _ = await long_stopped(12)
    engine = MortalEngine.open(SETTINGS, clock=clock, rng=Random(1), store=store)
    with monkeypatch.context() as away:
        away.setattr(store, "profile", silent)
        with pytest.raises(StoreError):
            await engine.start()
        for _ in range(3):
            with pytest.raises(StoreError):
                await engine.tick()
    while engine.sequencer.timers.is_behind(clock.now()):
        await engine.tick()
    assert engine.segment_sizes() == {"seen": 0, "twice": 0}
    await engine.close()


def silent(_name: str) -> None:
    raise StoreError("the disk does not answer")


async def test_after_a_long_stop_no_more_is_read_than_is_worked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "PAGE", 4)
    monkeypatch.setattr(ledger, "FLIPS_AT_ONCE", 2)
    store, clock, _ = await long_stopped(40)
    engine = await opened(clock, store)
    held: list[int] = []
    while engine.sequencer.timers.is_behind(clock.now()):
        await engine.tick()
        held.append(len(engine.sequencer.timers))
    assert max(held) <= 4, "a page"
    assert len(held) >= 40 // 2
    assert engine.segment_sizes() == {"seen": 0, "twice": 0}
    await engine.close()


def counted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many flip in each turn from now on."""
    worked: list[int] = []
    advance = engine.sequencer.advance

    def counting(now: int, *, most: int | None = None) -> Any:
        changes = advance(now, most=most)
        worked.append(len(changes))
        return changes

    monkeypatch.setattr(engine.sequencer, "advance", counting)
    return worked


async def test_history_waits_in_turns_for_what_is_due_after_a_long_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "PAGE", 4)
    monkeypatch.setattr(engine_module, "FLIPS_AT_ONCE", 2)
    monkeypatch.setattr(ledger, "FLIPS_AT_ONCE", 2)
    store, clock, _ = await long_stopped(40)
    engine = await opened(clock, store)
    worked = counted(engine, monkeypatch)
    assert await engine.import_events([order("d3", clock)]) == (1, 0, 0)
    assert (max(worked), sum(worked)) == (2, 38)
    assert engine.segment_sizes() == {"seen": 0, "twice": 1}
    assert replay(SETTINGS, store, clock=clock).difference is None
    await engine.close()


async def test_history_waits_in_turns_for_what_falls_due_while_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "FLIPS_AT_ONCE", 2)
    clock = ManualClock(START)
    engine, key = await begun(clock, seen=SEEN, twice=TWICE)
    for number in range(40):
        await send(engine, key, "Product Viewed", clock.now(), f"m{number}", who=f"d{number}")
    worked = counted(engine, monkeypatch)

    async def page() -> None:
        while not engine._importing:  # noqa: ASYNC110  it begins in its own time
            await asyncio.sleep(0)
        clock.advance(5 * DAY)
        engine.decide(DecideRequest(anonymous_id="d0", slots=(SlotRequest(id="home"),)), key=key)

    asked = asyncio.create_task(page())
    assert await engine.import_events([order("d3", clock)]) == (1, 0, 0)
    await asked
    assert (max(worked), sum(worked)) == (2, 39), "whose page it was flipped with it"
    assert engine.segment_sizes() == {"seen": 0, "twice": 1}
    assert said(engine) == [clock.now()]
    assert replay(SETTINGS, engine.store, clock=clock).difference is None
    await engine.close()


async def amid_a_storm(monkeypatch: pytest.MonkeyPatch) -> tuple[MortalEngine, ManualClock, Any]:
    """Return an engine whose clock was set back to before the instant at which 12 flip, when two of them had."""
    monkeypatch.setattr(ledger, "FLIPS_AT_ONCE", 2)
    monkeypatch.setattr(engine_module, "FLIPS_AT_ONCE", 2)
    clock = ManualClock(START)
    engine, key = await begun(clock, seen='count("Product Viewed", last 20 minutes) >= 1', twice=TWICE)
    for number in range(12):
        await send(engine, key, "Product Viewed", START, f"m{number}", who=f"d{number}")
    clock.advance(HOUR)
    await engine.tick()
    assert engine.segment_sizes() == {"seen": 10, "twice": 0}
    clock.advance(-50 * MINUTE)
    return engine, clock, key


async def test_a_storm_goes_on_in_turns_when_the_clock_was_set_back_amid_it(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, clock, key = await amid_a_storm(monkeypatch)
    worked = counted(engine, monkeypatch)
    while engine._is_behind():
        await engine.tick()
    assert engine.segment_sizes() == {"seen": 0, "twice": 0}
    await send(engine, key, "Order Completed", clock.now(), "order", who="d5")
    assert (max(worked), sum(worked)) == (2, 10)
    assert engine.segment_sizes() == {"seen": 0, "twice": 1}
    assert said(engine) == [START + HOUR]
    assert replay(SETTINGS, engine.store, clock=clock).difference is None
    await engine.close()


async def test_history_waits_in_turns_for_a_storm_that_was_left_when_the_clock_was_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, clock, _ = await amid_a_storm(monkeypatch)
    worked = counted(engine, monkeypatch)
    row = msgspec.structs.replace(order("d5", clock), time=START)
    assert await engine.import_events([row]) == (1, 0, 0)
    assert (max(worked), sum(worked)) == (2, 10)
    assert engine.segment_sizes() == {"seen": 0, "twice": 1}
    assert replay(SETTINGS, engine.store, clock=clock).difference is None
    await engine.close()


async def test_definitions_after_a_clock_was_set_back_replay_as_they_fell() -> None:
    clock = ManualClock(START)
    engine, key = await begun(clock, seen='count("Product Viewed", last 20 minutes) >= 1')
    await send(engine, key, "Product Viewed", START, "m1")
    clock.advance(HOUR)
    await engine.tick()
    clock.advance(-50 * MINUTE)
    await engine.apply([Definition(kind="segments", id="ever", body={"id": "ever", "condition": EVER})])
    assert replay(SETTINGS, engine.store, clock=clock).difference is None
    assert since(engine, "ever") == START + 20 * MINUTE, "not before the last time that anybody was asked"
    assert said(engine) == [START + HOUR]
    await engine.close()
