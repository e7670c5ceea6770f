"""What time alone changes, it changes while nothing runs: a stop or a kill moves no flip by a microsecond."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from bespeak.analytics import ArchiveSettings
from bespeak.clock import DAY, HOUR, MINUTE, SECOND, ManualClock, format_time, parse_time
from bespeak.engine import Definition, replay
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import MemorySettings
from bespeak.testing.world_fragile import FragileMemory, MortalEngine

pytestmark = pytest.mark.anyio

QUIET = Settings(
    engine=EngineSettings(checkpoint_seconds=3_600, models_seconds=3_600, models_rebuild_hours=0),
    archive=ArchiveSettings(minutes=0),
)
START = parse_time("2026-03-31T10:00:00Z")
ENDS = {
    "Asia/Tokyo": "2026-03-31T15:00:00Z",
    "Europe/Berlin": "2026-03-31T22:00:00Z",
    "America/New_York": "2026-04-01T04:00:00Z",
}
"""When March ends where."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Place:
    """Where an engine runs and comes back: on disk, where it is closed, or over a store in RAM, where it is killed."""

    def __init__(self, folder: Path, clock: ManualClock, *, killed: bool) -> None:
        self._clock = clock
        self._killed = killed
        self._store = FragileMemory() if killed else None
        store = {"store": MemorySettings()} if killed else {"data_dir": str(folder)}
        self.settings = msgspec.structs.replace(QUIET, **store)

    async def start(self) -> MortalEngine:
        engine = MortalEngine.open(self.settings, clock=self._clock, rng=Random(1), store=self._store)
        await engine.start()
        await self.at(engine, self._clock.now())
        return engine

    async def at(self, engine: MortalEngine, moment: int) -> None:
        """Let it be that moment, and what is due be worked through."""
        self._clock.advance(moment - self._clock.now())
        while engine.sequencer.timers.is_behind(moment):
            await engine.tick()

    async def stop(self, engine: MortalEngine) -> None:
        if self._killed:
            await engine.settle()
            await engine.die()
        else:
            await engine.close()

    async def end(self, engine: MortalEngine) -> None:
        await engine.close()
        if self._store is not None:
            assert replay(self.settings, self._store, clock=self._clock).difference is None


@pytest.fixture(params=[False, True], ids=["closed", "killed"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[int], Place]:
    return lambda moment: Place(tmp_path, ManualClock(moment), killed=request.param)


async def begun(place: Place, **conditions: str) -> tuple[MortalEngine, Callable[..., Awaitable[None]]]:
    engine = await place.start()
    key, _ = await engine.create_key("secret", "site")
    bodies = [(name, {"id": name, "condition": text}) for name, text in conditions.items()]
    await engine.apply([Definition(kind="segments", id=name, body=body) for name, body in bodies])

    async def send(to: MortalEngine, who: str, name: str, at: int, zone: str | None = None) -> None:
        message: dict[str, Any] = {"type": "track", "event": name, "anonymousId": who, "messageId": f"{who}-{at}"}
        message |= {"timestamp": format_time(at), "context": {} if zone is None else {"timezone": zone}}
        await to.track(to.parse(json.dumps({"batch": [message]}).encode(), key=key), key)

    return engine, send


def since(engine: MortalEngine, who: str) -> dict[str, int]:
    profile = engine.find(who)
    assert profile is not None
    return {segment: held.since for segment, held in profile.segments.items()}


async def test_a_month_that_ends_in_three_zones_while_nothing_runs_has_ended_at_each_midnight(place) -> None:
    here = place(START)
    engine, send = await begun(
        here,
        busy='performed("View", this month)',
        before='performed("View", last month)',
        idle='not performed("*", today)',
    )
    for zone in ENDS:
        await send(engine, zone, "View", START, zone)
        assert since(engine, zone) == {"busy": START}
    await here.stop(engine)
    here._clock.advance(parse_time("2026-03-31T20:00:00Z") - START)
    engine = await here.start()
    tokyo = parse_time(ENDS["Asia/Tokyo"])
    assert since(engine, "Asia/Tokyo") == {"before": tokyo, "idle": tokyo}
    for zone in ("Europe/Berlin", "America/New_York"):
        assert since(engine, zone) == {"busy": START}, "there it is still March"
    await here.at(engine, parse_time(ENDS["Europe/Berlin"]) - 1)
    assert since(engine, "Europe/Berlin") == {"busy": START}
    await here.at(engine, parse_time(ENDS["Europe/Berlin"]))
    assert since(engine, "Europe/Berlin").keys() == {"before", "idle"}
    await here.stop(engine)
    here._clock.advance(40 * DAY)
    engine = await here.start()
    for zone, end in ENDS.items():
        assert since(engine, zone) == {"idle": parse_time(end)}, "last month is over, too"
    await here.end(engine)


async def test_five_seconds_with_a_restart_in_them_are_five_seconds(place) -> None:
    here = place(START)
    engine, send = await begun(
        here,
        hasty='count("View", last 5 seconds) >= 2',
        calm='performed("View") and not performed("View", last 5 seconds)',
    )
    await send(engine, "ada", "View", START)
    await here.at(engine, START + 2 * SECOND)
    await send(engine, "ada", "View", START + 2 * SECOND)
    assert since(engine, "ada") == {"hasty": START + 2 * SECOND}
    await here.at(engine, START + 3 * SECOND)
    await here.stop(engine)
    here._clock.advance(2 * SECOND - 1)
    engine = await here.start()
    assert since(engine, "ada") == {"hasty": START + 2 * SECOND}, "a microsecond is left"
    await here.at(engine, START + 5 * SECOND)
    assert since(engine, "ada") == {}, "one view is left"
    await here.stop(engine)
    here._clock.advance(MINUTE)
    engine = await here.start()
    assert since(engine, "ada") == {"calm": START + 7 * SECOND}, "since the other had left"
    await here.end(engine)


async def test_an_absence_of_thirty_days_over_restarts_begins_on_its_second_and_ends_with_an_event(place) -> None:
    here = place(START)
    engine, send = await begun(here, absent='performed("Order") and not performed("View", last 30 days)')
    for who in ("ada", "bob", "cleo"):
        await send(engine, who, "View", START, "Europe/Berlin")
        await send(engine, who, "Order", START + 1, "Europe/Berlin")
    for day in (10, 29):
        await here.stop(engine)
        here._clock.advance(START + day * DAY - here._clock.now())
        engine = await here.start()
        assert since(engine, "ada") == {}
    due = START + 30 * DAY
    await here.at(engine, due - 1)
    await send(engine, "bob", "View", due - 1)
    assert since(engine, "ada") == {}
    await here.stop(engine)
    here._clock.advance(HOUR)
    engine = await here.start()
    assert since(engine, "ada") == since(engine, "cleo") == {"absent": due}
    assert since(engine, "bob") == {}, "there a microsecond before"
    await send(engine, "cleo", "View", here._clock.now())
    assert since(engine, "cleo") == {}
    await here.stop(engine)
    here._clock.advance(31 * DAY)
    engine = await here.start()
    assert since(engine, "bob") == {"absent": due - 1 + 30 * DAY}
    assert since(engine, "cleo") == {"absent": due - 1 + HOUR + 30 * DAY}
    await here.end(engine)
