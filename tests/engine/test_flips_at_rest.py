"""Whose windows end while they rest flips where they rest: nobody is woken, and the next checkpoint has them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from random import Random

import pytest

from bespeak.clock import HOUR, MINUTE, SECOND, Instant, ManualClock
from bespeak.engine import Definition, ledger, replay
from bespeak.errors import NotFound
from bespeak.ids import ProfileId
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import Commit, MemorySettings, MemoryStore, ProfileRow
from bespeak.testing.world_fragile import FragileMemory, MortalEngine

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
SETTINGS = Settings(store=MemorySettings(), engine=EngineSettings(checkpoint_seconds=3_600, models_seconds=3_600))
PEOPLE = 12
VIEWED = 'performed("Product Viewed", last 2 hours)'
CONDITIONS = {"lately": VIEWED, "gone": f'count("Product Viewed") >= 1 and not {VIEWED}'}


class Asked(FragileMemory):
    """A store that notes what it is asked about people; its commits wait until they may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.alone = 0
        self.together: list[int] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def commit(self, commit: Commit) -> None:
        self.may_go_on.wait()
        super().commit(commit)

    def profile(self, profile_id: ProfileId) -> ProfileRow | None:
        self.alone += 1
        return super().profile(profile_id)

    def profiles_named(self, ids: Sequence[ProfileId]) -> tuple[ProfileRow, ...]:
        self.together.append(len(ids))
        return tuple(row for one in ids if (row := MemoryStore.profile(self, one)) is not None)

    def listen(self) -> None:
        """Forget what was asked so far."""
        self.alone, self.together = 0, []


async def opened(store: Asked, at: Instant) -> tuple[MortalEngine, ManualClock]:
    clock = ManualClock(at)
    engine = MortalEngine.open(SETTINGS, clock=clock, rng=Random(1), store=store)
    await engine.start()
    return engine, clock


async def views(engine: MortalEngine, *devices: str) -> None:
    """Let people view something, one message each."""
    batch = [
        {"type": "track", "event": "Product Viewed", "anonymousId": one, "messageId": f"m{one}{engine._offset}"}
        for one in devices
    ]
    key = engine.keys()[0]
    await engine.track(engine.parse(json.dumps({"batch": batch}).encode(), key=key), key)


async def lively(store: Asked) -> tuple[MortalEngine, ManualClock]:
    """Return an engine in whose RAM everybody is, and on whose disk, too."""
    engine, clock = await opened(store, START)
    await engine.create_key("secret", "site")
    await engine.apply(
        [
            Definition(kind="segments", id=name, body={"id": name, "condition": condition})
            for name, condition in CONDITIONS.items()
        ]
    )
    await views(engine, *(f"d{person}" for person in range(PEOPLE)))
    await engine.checkpoint_now()
    return engine, clock


async def at_rest(store: Asked) -> tuple[MortalEngine, ManualClock]:
    """Return an engine whose people are all on the disk, and none in RAM."""
    engine, _ = await lively(store)
    await engine.close()
    engine, clock = await opened(store, START + MINUTE)
    clock.advance(3 * HOUR)
    store.listen()
    return engine, clock


def is_equal(engine: MortalEngine, store: Asked, clock: ManualClock) -> None:
    assert replay(SETTINGS, store, clock=clock).difference is None
    held = [profile.segments for profile in engine.profiles()]
    assert engine.segment_sizes() == {name: sum(name in one for one in held) for name in CONDITIONS}


async def test_nobody_is_woken_and_all_are_looked_up_together() -> None:
    store = Asked()
    engine, clock = await at_rest(store)
    changes = engine.sequencer.advance(clock.now())
    assert {(change.segment, change.entered, change.at) for change in changes} == {
        ("lately", False, START + 2 * HOUR),
        ("gone", True, START + 2 * HOUR),
    }
    assert len(changes) == 2 * PEOPLE
    assert (len(engine.sequencer.live), store.alone, store.together) == (0, 0, [PEOPLE])
    assert engine.segment_sizes() == {"lately": 0, "gone": PEOPLE}
    is_equal(engine, store, clock)
    await engine.close()


async def test_the_next_checkpoint_has_them_and_they_flip_no_more() -> None:
    store = Asked()
    engine, clock = await at_rest(store)
    engine.sequencer.advance(clock.now())
    await engine.checkpoint_now()
    assert not engine.sequencer.live.asked
    await engine.close()
    engine, clock = await opened(store, clock.now())
    store.listen()
    assert engine.sequencer.advance(clock.now()) == ()
    assert (store.alone, store.together) == (0, [])
    is_equal(engine, store, clock)
    await engine.close()


async def test_who_comes_back_before_the_checkpoint_comes_back_as_they_have_become() -> None:
    store = Asked()
    engine, clock = await at_rest(store)
    engine.sequencer.advance(clock.now())
    await views(engine, "d3")
    known = engine.find("d3")
    assert known is not None
    assert list(known.segments) == ["lately"]
    assert engine.segment_sizes() == {"lately": 1, "gone": PEOPLE - 1}
    await engine.checkpoint_now()
    is_equal(engine, store, clock)
    await engine.close()


async def test_what_a_kill_took_flips_again_at_its_true_time() -> None:
    store = Asked()
    engine, clock = await at_rest(store)
    engine.sequencer.advance(clock.now())
    await engine.die()
    engine, clock = await opened(store, clock.now())
    assert engine.segment_sizes() == {"lately": 0, "gone": PEOPLE}
    assert {one.segments["gone"].since for one in engine.profiles()} == {START + 2 * HOUR}
    is_equal(engine, store, clock)
    await engine.close()


async def test_of_who_is_in_ram_the_disk_is_asked_nothing() -> None:
    store = Asked()
    engine, clock = await lively(store)
    clock.advance(3 * HOUR)
    store.listen()
    assert len(engine.sequencer.advance(clock.now())) == 2 * PEOPLE
    assert (len(engine.sequencer.live), store.alone, store.together) == (PEOPLE, 0, [])
    is_equal(engine, store, clock)
    await engine.close()


async def test_who_is_erased_after_a_flip_at_rest_is_gone() -> None:
    store = Asked()
    engine, clock = await at_rest(store)
    engine.sequencer.advance(clock.now())
    name = engine.vault.name("a:d3")
    await engine.erase("d3")
    await engine.checkpoint_now()
    assert MemoryStore.profile(store, name) is None
    with pytest.raises(NotFound):
        await engine.erase("d3")
    assert engine.segment_sizes() == {"lately": 0, "gone": PEOPLE - 1}
    await engine.close()


async def test_who_becomes_known_after_a_flip_at_rest_is_one_person() -> None:
    store = Asked()
    engine, clock = await at_rest(store)
    engine.sequencer.advance(clock.now())
    message = {"type": "identify", "userId": "ann", "anonymousId": "d3", "messageId": "in"}
    key = engine.keys()[0]
    await engine.track(engine.parse(json.dumps({"batch": [message]}).encode(), key=key), key)
    await engine.checkpoint_now()
    assert engine.segment_sizes() == {"lately": 0, "gone": PEOPLE}
    is_equal(engine, store, clock)
    await engine.close()


async def test_nobody_flips_while_too_many_who_did_wait_for_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "ASLEEP_BYTES", 1)
    monkeypatch.setattr(ledger, "FLIPS_AT_ONCE", 3)
    store = Asked()
    engine, clock = await at_rest(store)
    store.may_go_on.clear()
    for _ in range(5):
        await engine.tick()
    assert engine.segment_sizes()["gone"] == 6, "three that are on their way to the disk, and three behind them"
    store.may_go_on.set()
    for _ in range(PEOPLE):
        await engine.settle()
        await engine.tick()
    assert engine.segment_sizes()["gone"] == PEOPLE
    await engine.settle()
    is_equal(engine, store, clock)
    await engine.close()


@pytest.mark.parametrize("seed", range(8))
async def test_a_kill_amid_very_many_flips_loses_none_and_takes_none_twice(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = Random(seed)
    monkeypatch.setattr(ledger, "ASLEEP_BYTES", rng.choice([1, 10**9]))
    monkeypatch.setattr(ledger, "FLIPS_AT_ONCE", 2)
    store = Asked()
    engine, clock = await at_rest(store)
    for step in range(rng.randrange(2, 9)):
        await engine.tick()
        if rng.random() < 0.3:
            engine.checkpoint()
        if rng.random() < 0.3:
            await views(engine, f"d{rng.randrange(PEOPLE)}", f"new{step}")
        await asyncio.sleep(0)
    await engine.die()
    engine, clock = await opened(store, clock.now())
    while engine.sequencer.timers.is_behind(clock.now()):
        await engine.tick()
        await engine.settle()
    came_back = engine.segment_sizes()["lately"]
    assert engine.segment_sizes()["gone"] == engine.sequencer.profiles - came_back
    is_equal(engine, store, clock)
    await engine.close()
    engine, clock = await opened(store, clock.now())
    assert engine.sequencer.advance(clock.now()) == ()
    is_equal(engine, store, clock)
    await engine.close()
