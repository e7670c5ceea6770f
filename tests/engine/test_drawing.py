"""Borders of quintiles are drawn by themselves when it is time: once, never two at a time, no restart draws anew."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from bespeak.clock import DAY, HOUR, MINUTE, NEVER, SECOND, Instant, ManualClock, format_time
from bespeak.computed import Spread, spread
from bespeak.engine import BordersStatus, Definition, Engine, drawing, replay
from bespeak.engine.bordering import GATHERED_AT_ONCE, Gathered
from bespeak.errors import Conflict, NotFound, StoreError
from bespeak.profiles import Profile, ProfileSettings
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import MemorySettings, MemoryStore

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
SETTINGS = Settings(store=MemorySettings(), engine=EngineSettings(checkpoint_seconds=3600, models_seconds=3600))
IDLE = Definition(kind="traits", id="idle", body={"id": "idle", "days_since": {"last": "Product Viewed"}})
BEST = Definition(kind="segments", id="best", body={"id": "best", "condition": "computed.rfm.frequency = 5"})
VIEWS = 'count("Product Viewed")'


class Kept(MemoryStore):
    """A memory store that an engine does not close."""

    def close(self) -> None:
        pass


class Stepped(Engine):
    """The real engine, but that its time is kept by hand."""

    async def _keep_time(self) -> None:
        pass

    async def tick(self, now: Instant) -> None:
        """Do what the real one does ten times a second, and wait for what that has begun."""
        self.clock.advance(now - self.clock.now())  # type: ignore[attr-defined]
        self._tick(now, NEVER)
        if self._drawing is not None:
            await asyncio.wait([self._drawing])


def rfm(**more: Any) -> Definition:
    figures = {"recency": "computed.idle", "frequency": VIEWS, "monetary": 'sum(properties.price of "Product Viewed")'}
    return Definition(kind="traits", id="rfm", body={"id": "rfm", "rfm": {**figures, **more}})


@asynccontextmanager
async def running(store: MemoryStore, clock: ManualClock, settings: Settings = SETTINGS) -> AsyncIterator[Stepped]:
    engine = Stepped.open(settings, clock=clock, rng=Random(1), store=store)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


async def views(engine: Engine, *people: str) -> None:
    key, _ = await engine.create_key("secret", f"site-{engine.clock.now()}-{people[0]}")
    view = {"type": "track", "event": "Product Viewed", "properties": {"price": 2}}
    batch = [{**view, "anonymousId": one, "timestamp": format_time(engine.clock.now())} for one in people]
    for start in range(0, len(batch), 200):
        body = json.dumps({"batch": batch[start : start + 200]}).encode()
        await engine.track(engine.parse(body, key=key), key)


def some() -> list[str]:
    """Return ten people, of whom the first looks once and the last ten times."""
    return [f"d{person}" for person in range(10) for _ in range(person + 1)]


def status(engine: Engine) -> BordersStatus:
    found = engine.borders_status("rfm")
    assert found is not None
    return found


async def test_they_are_drawn_a_minute_after_the_start_and_then_once_a_day() -> None:
    store, clock = Kept(), ManualClock(START)
    async with running(store, clock) as engine:
        await engine.apply([IDLE, rfm(), BEST])
        await views(engine, *some())
        assert status(engine).version == 0
        await engine.tick(START + MINUTE - 1)
        assert status(engine).version == 0
        await engine.tick(START + MINUTE)
        told = status(engine)
        assert (told.version, told.people, told.rank_error, told.failed) == (1, 10, 0.0, "")
        assert told.drawn == format_time(START + MINUTE)
        assert told.next == format_time(START + MINUTE + DAY)
        assert engine.segment_sizes()["best"] == 2
        await views(engine, *["d0"] * 30)
        await engine.tick(START + DAY)
        assert status(engine).version == 1
        (before,) = engine.definitions("borders")
        await engine.tick(START + MINUTE + DAY)
        (after,) = engine.definitions("borders")
        assert (status(engine).version, status(engine).drawn) == (2, format_time(START + MINUTE + DAY))
        assert before.body["frequency"] == [2.0, 4.0, 6.0, 8.0]
        assert after.body["frequency"] == [3.0, 5.0, 7.0, 9.0]
        figures = engine.metrics.snapshot()
        assert figures["bespeak_borders_drawn_total"] == 2
        assert figures['bespeak_borders_drawn_timestamp_seconds{trait="rfm"}'] == (START + MINUTE + DAY) / SECOND
        assert figures["bespeak_borders_people_left"] == 0
    assert replay(SETTINGS, store, clock=clock).difference is None


async def test_a_restart_draws_nothing_anew_and_a_long_stop_is_made_up_for_once() -> None:
    store, clock = Kept(), ManualClock(START)
    async with running(store, clock) as engine:
        await engine.apply([IDLE, rfm()])
        await views(engine, *some())
        await engine.tick(START + MINUTE)
        drawn = status(engine)
    clock.advance(HOUR)
    async with running(store, clock) as engine:
        assert status(engine) == drawn
        await engine.tick(clock.now() + MINUTE)
        assert status(engine) == drawn
    clock.advance(10 * DAY)
    async with running(store, clock) as engine:
        for minutes in (1, 2, 3):
            await engine.tick(clock.now() + minutes * MINUTE)
        assert (status(engine).version, engine.metrics.counters["bespeak_borders_drawn_total"]) == (2, 1)
    assert replay(SETTINGS, store, clock=clock).difference is None


async def test_a_clock_that_was_set_back_by_far_is_not_waited_for() -> None:
    store, clock = Kept(), ManualClock(START + 365 * DAY)
    async with running(store, clock) as engine:
        await engine.apply([IDLE, rfm()])
        await views(engine, *some())
        await engine.tick(clock.now() + MINUTE)
        await engine.tick(START)
        await engine.tick(START + MINUTE)
        assert (status(engine).version, status(engine).drawn) == (2, format_time(START))


async def test_they_are_drawn_as_often_as_the_file_says_and_anew_when_it_says_something_else() -> None:
    store, clock = Kept(), ManualClock(START)
    async with running(store, clock) as engine:
        await engine.apply([IDLE, rfm(every="2 hours")])
        await views(engine, *some())
        versions = []
        for minutes in range(1, 6 * 60, 30):
            await engine.tick(START + minutes * MINUTE)
            versions.append(status(engine).version)
        assert versions == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]
        await engine.apply([rfm(every="2 hours", monetary=VIEWS)])
        await engine.tick(clock.now() + MINUTE)
        assert status(engine).version == 4, "what is graded is another thing now"
        assert engine.definitions("borders")[0].body["monetary"] == [2.0, 4.0, 6.0, 8.0]


async def test_never_is_by_hand_only_and_what_was_written_by_hand_stays() -> None:
    store, clock = Kept(), ManualClock(START)
    lines = {"recency": [1, 2, 3, 4], "frequency": [1, 2, 3, 4], "monetary": [1, 2, 3, 4]}
    async with running(store, clock) as engine:
        await engine.apply([IDLE, rfm(every="never")])
        await views(engine, *some())
        await engine.tick(START + DAY)
        assert (status(engine).version, status(engine).next) == (0, None)
        drawn = await engine.draw_borders("rfm")
        assert (drawn["version"], drawn["drawn"]) == (1, format_time(START + DAY))
        await engine.apply([rfm(), Definition(kind="borders", id="rfm", body={"id": "rfm", **lines})])
        await engine.tick(START + 5 * DAY)
        told = status(engine)
        assert (told.version, told.drawn, told.next) == (2, None, None)
        assert (await engine.draw_borders("rfm"))["version"] == 3
        await engine.tick(START + 6 * DAY)
        assert status(engine).version == 4, "by hand once more, they are drawn by themselves again"


async def test_while_nobody_has_figures_it_is_tried_every_ten_minutes() -> None:
    store, clock = Kept(), ManualClock(START)
    async with running(store, clock) as engine:
        await engine.apply([IDLE, rfm()])
        await engine.tick(START + MINUTE)
        assert status(engine).failed == "computed trait 'rfm': nobody has recency, frequency and monetary value yet"
        assert engine.metrics.counters["bespeak_borders_failures_total"] == 0, "that is no fault"
        await views(engine, *some())
        await engine.tick(START + 10 * MINUTE)
        assert status(engine).version == 0
        await engine.tick(START + 11 * MINUTE)
        assert (status(engine).version, status(engine).failed) == (1, "")


async def test_what_fails_is_seen_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(*_: Any, **__: Any) -> Gathered:
        raise StoreError("the disk is on fire")

    store, clock = Kept(), ManualClock(START)
    async with running(store, clock) as engine:
        await engine.apply([IDLE, rfm()])
        await views(engine, *some())
        with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "bespeak.engine"):
            patch.setattr(drawing, "borders_of", fails)
            await engine.tick(START + MINUTE)
        assert [one.getMessage() for one in caplog.records] == [
            "borders of rfm could not be drawn, for now: the disk is on fire"
        ]
        assert (status(engine).failed, status(engine).drawing) == ("the disk is on fire", None)
        assert engine.metrics.counters["bespeak_borders_failures_total"] == 1
        await engine.tick(START + 5 * MINUTE)
        assert status(engine).version == 0
        await engine.tick(START + 11 * MINUTE)
        assert (status(engine).version, status(engine).failed) == (1, "")


async def test_there_are_never_two_at_once_and_how_far_one_is_can_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    at_work, most, far = 0, 0, asyncio.Event()
    on = asyncio.Event()

    async def slow(*_: Any, looked_at: Callable[[int], None], **__: Any) -> Gathered:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        looked_at(4)
        far.set()
        await on.wait()
        at_work -= 1
        lines = dict.fromkeys(("recency", "frequency", "monetary"), (1.0, 2.0, 3.0, 4.0))
        return Gathered(lines=lines, people=10, rank_error=0.0)

    store, clock = Kept(), ManualClock(START)
    async with running(store, clock) as engine:
        await engine.apply([IDLE, rfm()])
        await views(engine, *some())
        monkeypatch.setattr(drawing, "borders_of", slow)
        alone = asyncio.create_task(engine.tick(START + MINUTE))
        await far.wait()
        now = status(engine).drawing
        assert now is not None
        assert (now.done, now.total) == (4, 10)
        assert engine.metrics.snapshot()["bespeak_borders_people_left"] == 6
        by_hand = [asyncio.create_task(engine.draw_borders("rfm")) for _ in range(2)]
        engine._tick(START + 3 * DAY, NEVER)
        await asyncio.sleep(0.01)
        on.set()
        found = await asyncio.gather(*by_hand)
        await alone
        assert (most, [one["version"] for one in found]) == (1, [1, 1])
        assert status(engine).drawing is None


async def test_others_have_their_turn_and_nobody_is_left_out_of_a_large_drawing() -> None:
    people = [f"p{person}" for person in range(3 * GATHERED_AT_ONCE + 7)]
    store, clock = Kept(), ManualClock(START)
    async with running(store, clock) as engine:
        await engine.apply([IDLE, rfm()])
        await views(engine, *people)
        drawn, seen = asyncio.create_task(engine.draw_borders("rfm")), set()
        while not drawn.done():
            now = status(engine).drawing
            seen |= {now.done} if now is not None else set()
            await asyncio.sleep(0)
        assert seen >= {GATHERED_AT_ONCE, 2 * GATHERED_AT_ONCE, 3 * GATHERED_AT_ONCE, len(people)}
        assert (await drawn)["people"] == len(people)


async def test_figures_that_wait_are_taken_in_with_turns_for_others_between(monkeypatch: pytest.MonkeyPatch) -> None:
    def in_one_go(full: Spread) -> None:
        assert not full._waiting, "all of it at once, and nobody has their turn meanwhile"

    monkeypatch.setattr(spread, "SORTED_AT_ONCE", 2 * GATHERED_AT_ONCE + 36)
    monkeypatch.setattr(Spread, "_take_in", in_one_go)
    people = [f"p{person}" for person in range(5 * GATHERED_AT_ONCE + 7)]
    async with running(Kept(), ManualClock(START)) as engine:
        await engine.apply([IDLE, rfm()])
        await views(engine, *people)
        drawn = await engine.draw_borders("rfm")
        assert (drawn["people"], drawn["borders"]["frequency"]) == (len(people), [1.0] * 4)


async def test_while_history_is_imported_nothing_is_drawn() -> None:
    store, clock = Kept(), ManualClock(START)
    async with running(store, clock) as engine:
        await engine.apply([IDLE, rfm()])
        await views(engine, *some())
        engine._importing = 1
        await engine.tick(START + MINUTE)
        assert status(engine).version == 0
        engine._importing = 0
        clock.advance(MINUTE // 2)
        await engine.import_events([])
        await engine.tick(START + 2 * MINUTE)
        assert status(engine).version == 0, "more of it may come in a moment"
        await engine.tick(START + 3 * MINUTE)
        assert status(engine).version == 1


async def test_an_engine_that_is_closed_gives_a_drawing_up_and_the_next_one_draws(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    far = asyncio.Event()

    async def endless(*_: Any, **__: Any) -> Gathered:
        far.set()
        await asyncio.Event().wait()
        raise AssertionError

    store, clock = Kept(), ManualClock(START)
    with monkeypatch.context() as patch:
        patch.setattr(drawing, "borders_of", endless)
        async with running(store, clock) as engine:
            await engine.apply([IDLE, rfm()])
            await views(engine, *some())
            clock.advance(MINUTE)
            engine._tick(clock.now(), NEVER)
            await far.wait()
    async with running(store, clock) as engine:
        assert status(engine).version == 0
        await engine.tick(clock.now() + MINUTE)
        assert status(engine).version == 1


async def test_of_what_is_not_graded_nothing_is_told_and_nothing_drawn() -> None:
    async with running(Kept(), ManualClock(START)) as engine:
        await engine.apply([IDLE])
        assert (engine.borders_status("idle"), engine.borders_status("rfm")) == (None, None)
        with pytest.raises(NotFound, match="there is no computed trait 'idle' with rfm"):
            await engine.draw_borders("idle")


async def test_everybody_is_read_once_and_in_one_order_wherever_they_are() -> None:
    few = Settings(store=MemorySettings(), engine=SETTINGS.engine, profiles=ProfileSettings(live_max=100))
    people = [f"p{person}" for person in range(250)]
    store, clock = Kept(), ManualClock(START)
    async with running(store, clock, few) as engine:
        await views(engine, *people)
        found = [ids(engine.sequencer.live.in_order())]
        await engine.checkpoint_now()
        assert len(engine.sequencer.live) < len(people), "some rest in the store"
        await views(engine, *people[100:130])
        found.append(ids(engine.sequencer.live.in_order()))
    async with running(store, clock, few) as engine:
        found.append(ids(engine.sequencer.live.in_order()))
        names = [engine.vault.name(one) for one in found[0]]
    assert names == sorted(names)
    assert sorted(found[0]) == sorted(f"a:{one}" for one in people)
    assert found[0] == found[1] == found[2]


def ids(profiles: Iterator[Profile]) -> list[str]:
    return [profile.id for profile in profiles]


async def test_borders_go_with_what_they_grade_and_what_is_graded_no_more_needs_none() -> None:
    store, clock = Kept(), ManualClock(START)
    async with running(store, clock) as engine:
        await engine.apply([IDLE, rfm(), BEST])
        await views(engine, *some())
        await engine.tick(START + MINUTE)
        with pytest.raises(Conflict, match="traits/rfm is asked for by segments/best: change or delete these first"):
            await engine.delete("traits", "rfm")
        assert engine.segment_sizes()["best"] == 2
        await engine.delete("segments", "best")
        await engine.delete("traits", "rfm")
        assert (engine.definitions("borders"), engine.borders_status("rfm")) == ((), None)
        await engine.apply([rfm(), BEST])
        await engine.tick(START + 2 * MINUTE)
        assert (status(engine).version, engine.segment_sizes()["best"]) == (3, 2)
        await engine.delete("segments", "best")
        plain = {"id": "rfm", "value": VIEWS}
        await engine.apply([Definition(kind="traits", id="rfm", body=plain)])
        await engine.tick(START + 3 * DAY)
        assert engine.borders_status("rfm") is None
    assert replay(SETTINGS, store, clock=clock).difference is None
