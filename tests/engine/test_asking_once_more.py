"""Everybody is asked about definitions as who they are by then: asked before, gone, or behind the time of the log."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

import msgspec
import pytest

from bespeak.clock import HOUR, SECOND, ManualClock, format_time
from bespeak.engine import Definition, asking, live, rebuild, replay
from bespeak.engine.counted import Counted, History
from bespeak.engine.recovery import OWED
from bespeak.errors import StoreError
from bespeak.ids import ProfileId
from bespeak.privacy import Key
from bespeak.profiles import ProfileSettings
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import MemorySettings
from bespeak.testing.world_fragile import FragileMemory, MortalEngine
from bespeak.testing.world_promises import everything, same

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
PEOPLE = 60
IN_RAM = 10
FEW = 3
QUIET = EngineSettings(checkpoint_seconds=3600, models_seconds=3600)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few be asked at once of many that are read at once; no checkpoint comes by itself."""
    monkeypatch.setattr(asking, "ASKED_AT_ONCE", FEW)
    monkeypatch.setattr(live, "READ_AT_ONCE", PEOPLE)


def segment(name: str, condition: str) -> Definition:
    return Definition(kind="segments", id=name, body={"id": name, "condition": condition})


ALL = segment("all", 'count("Product Viewed") >= 1')
"""Whoever was asked is in."""

DEAR = segment("dear", 'sum(properties.price of "Product Viewed") >= 3')
LATELY = segment("lately", 'performed("Product Viewed", last 1 hour)')


class Town:
    """A store, an engine over it, and a clock; everybody has viewed one product, and nearly all rest."""

    engine: MortalEngine
    key: Key

    def __init__(self) -> None:
        self.store = FragileMemory()
        self.clock = ManualClock(START)
        self.sent = 0
        profiles = ProfileSettings()
        msgspec.structs.force_setattr(profiles, "live_max", IN_RAM)  # below what a user may ask for
        self.settings = Settings(store=MemorySettings(), profiles=profiles, engine=QUIET)

    async def opened(self) -> None:
        self.engine = MortalEngine.open(self.settings, clock=self.clock, rng=Random(1), store=self.store)
        await self.engine.start()

    async def peopled(self) -> None:
        await self.opened()
        self.key, _ = await self.engine.create_key("secret", "site")
        await self.view(*range(PEOPLE))
        await self.engine.checkpoint_now()
        assert len(self.engine.sequencer.live) == IN_RAM

    async def killed(self) -> None:
        """Kill the engine, and start another."""
        await self.engine.die()
        await self.opened()

    async def send(self, **message: Any) -> None:
        self.sent += 1
        whole = {"messageId": f"m{self.sent}", "timestamp": format_time(self.clock.now()), **message}
        results = await self.engine.track(self.engine.parse(json.dumps(whole).encode(), key=self.key), self.key)
        assert [result.status for result in results] == ["ok"]

    async def view(self, *people: int) -> None:
        for one in people:
            price = {"price": one % 4}
            await self.send(type="track", event="Product Viewed", anonymousId=f"d{one}", properties=price)

    async def asked(self, people: int, *definitions: Definition) -> asyncio.Task[Any]:
        """Apply definitions, `ALL` with them, and return when so many have been asked; others wait for `asks_on`."""
        applying = asyncio.create_task(self.engine.apply([ALL, *definitions]))
        while not self.engine.sequencer.live.owing:  # noqa: ASYNC110  it is the turns that are looked at
            await asyncio.sleep(0)
        while self.engine.sequencer.sizes["all"] < people:
            assert self.engine.sequencer.live.owing
            await asyncio.sleep(0)
        asking.ASKED_AT_ONCE = 0
        assert self.engine.sequencer.live.owing
        return applying

    async def asks_on(self) -> None:
        """Let everybody who is left be asked."""
        asking.ASKED_AT_ONCE = FEW
        while self.engine.sequencer.live.owing:  # noqa: ASYNC110
            await asyncio.sleep(0)

    def last(self) -> int:
        """Return who rests, and is asked last of all."""
        here, name = self.engine.sequencer.live._profiles, self.engine.vault.name
        return max((one for one in range(PEOPLE) if f"a:d{one}" not in here), key=lambda one: name(f"a:d{one}"))

    async def is_as_the_log_says(self) -> None:
        """Check live, and what a start would read, against a replay of the log from its start."""
        await self.engine.settle()
        at = self.clock.now() + 9 * HOUR
        anew = everything(rebuild(self.settings, self.store, clock=self.clock), at)
        same("live", everything(self.engine, at), anew)
        assert replay(self.settings, self.store, clock=self.clock).difference is None
        await self.killed()
        same("after a start", everything(self.engine, at), anew)


@pytest.fixture
async def town() -> Town:
    """Return a town with people in it."""
    town = Town()
    await town.peopled()
    return town


@pytest.mark.parametrize("checkpoint", [False, True], ids=["in no checkpoint", "in one that is on its way"])
async def test_who_was_asked_where_they_rest_is_asked_once_more_as_they_are_since(town: Town, checkpoint: bool) -> None:
    applying = await town.asked(30, DEAR)
    await town.killed()  # the log has the definitions, and no checkpoint has anybody who was asked
    applying.cancel()
    await town.asks_on()
    assert town.engine.sequencer.live.asked
    applying = await town.asked(IN_RAM, LATELY)
    if checkpoint:
        await town.engine._settle(town.engine.checkpoint())
    await town.asks_on()
    await applying
    assert town.engine.segment_sizes() == {"all": PEOPLE, "dear": PEOPLE // 4, "lately": PEOPLE}
    await town.is_as_the_log_says()


async def test_who_was_joined_before_is_not_asked_when_a_checkpoint_has_taken_them_out_meanwhile(town: Town) -> None:
    gone = town.last()
    name = town.engine.vault.name(f"a:d{gone}")
    await town.send(type="identify", userId="ada", anonymousId=f"d{gone}")
    applying = await town.asked(30, DEAR)
    await town.engine._settle(town.engine.checkpoint())
    assert town.engine.sequencer.live.owing
    await town.asks_on()
    await applying
    assert town.store.profile(name) is None
    assert town.engine.segment_sizes()["all"] == PEOPLE
    await town.is_as_the_log_says()


@pytest.mark.parametrize("kill", [False, True], ids=["", "and a kill"])
async def test_time_that_the_log_lets_pass_passes_also_for_who_is_asked_later(town: Town, kill: bool) -> None:
    """Timers run for two hours, then the clock is set back, and somebody comes of whom an hour counts."""
    applying = await town.asked(30, LATELY)
    last, early = town.last(), next(iter(town.engine.sequencer.live._profiles.values()))
    town.clock.advance(2 * HOUR)
    town.engine.sequencer.advance(town.clock.now())
    town.clock.advance(-2 * HOUR)
    town.clock.advance(SECOND)
    await town.send(type="track", event="Cart Viewed", anonymousId="somebody")
    await town.view(int(early.id[3:]))
    if kill:
        await town.engine._settle(town.engine.checkpoint())
        assert town.store.product(OWED).data  # type: ignore[union-attr]
        await town.killed()
        applying.cancel()
    await town.view(last)
    await town.asks_on()
    if not kill:
        await applying
    held = town.engine.find(f"d{last}")
    assert held is not None
    assert held.segments["lately"].since == START + HOUR, "they left then, and came again"
    await town.is_as_the_log_says()


async def test_whose_history_cannot_be_read_when_they_are_asked_for_is_asked_later(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    applying = await town.asked(30, DEAR)
    take, last = Counted.take, town.last()

    def fails(_: Counted, profile_id: ProfileId) -> History | None:
        raise StoreError(f"the disk does not answer about {profile_id}")

    monkeypatch.setattr(Counted, "take", fails)
    with pytest.raises(StoreError):
        town.engine.find(f"d{last}")
    monkeypatch.setattr(Counted, "take", take)
    await town.asks_on()
    await applying
    assert town.engine.segment_sizes()["all"] == PEOPLE
    held = town.engine.find(f"d{last}")
    assert held is not None
    assert "all" in held.segments
    await town.is_as_the_log_says()
