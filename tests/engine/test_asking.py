"""Everybody is asked about new definitions in durable steps: who rests stays at rest, and a kill costs nothing."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from bespeak.analytics import ArchiveSettings
from bespeak.clock import DAY, HOUR, SECOND, ManualClock, format_time
from bespeak.decide import DecideRequest, SlotRequest
from bespeak.engine import Definition, Engine, asking, live, replay
from bespeak.engine.encoded import Encoded
from bespeak.engine.recovery import OWED
from bespeak.errors import StoreError, Unavailable
from bespeak.privacy import Key
from bespeak.profiles import ProfileSettings
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import Commit, MemorySettings, Store
from bespeak.testing.world_fragile import FragileMemory, FragileSqlite, MortalEngine

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
PEOPLE = 300
IN_RAM = 100
AT_ONCE = 10
SETTINGS = Settings(
    store=MemorySettings(),
    engine=EngineSettings(checkpoint_seconds=3600, models_seconds=3600),
    profiles=ProfileSettings(live_max=IN_RAM),
)
LATELY = 'performed("Product Viewed", last 30 seconds)'
OFTEN = 'count("Product Viewed", last 1 hour) >= 2'
DEAR = 'sum(properties.price of "Product Viewed", last 1 hour) >= 3'
OF_EVEN = "traits.even = true"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ASKED_AT_ONCE", AT_ONCE)
    monkeypatch.setattr(live, "READ_AT_ONCE", 2 * AT_ONCE)
    monkeypatch.setattr(live, "ASKED_BYTES", 10_000)


def segment(name: str, condition: str) -> Definition:
    return Definition(kind="segments", id=name, body={"id": name, "condition": condition})


def view(person: int, number: int, now: int) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "Product Viewed",
        "anonymousId": f"d{person}",
        "messageId": f"m{number}-{person}",
        "timestamp": format_time(now),
        "properties": {"product_id": f"i{person % 7}", "price": person % 4},
    }


async def send(engine: Engine, key: Key, *messages: dict[str, Any]) -> None:
    results = await engine.track(engine.parse(json.dumps({"batch": messages}).encode(), key=key), key)
    assert {result.status for result in results} == {"ok"}


async def opened(
    store: FragileMemory | FragileSqlite, clock: ManualClock, settings: Settings = SETTINGS
) -> MortalEngine:
    engine = MortalEngine.open(settings, clock=clock, rng=Random(1), store=store)
    await engine.start()
    return engine


async def begun(
    store: FragileMemory | FragileSqlite, settings: Settings = SETTINGS
) -> tuple[MortalEngine, Key, ManualClock]:
    """Return an engine that knows everybody by one event each; nearly all of them rest in the store."""
    clock = ManualClock(START)
    engine = await opened(store, clock, settings)
    key, _ = await engine.create_key("secret", "site")
    await engine.apply([segment("first", OFTEN)])
    for start in range(0, PEOPLE, 20):
        await send(engine, key, *(view(person, 0, clock.now()) for person in range(start, start + 20)))
    await engine.checkpoint_now()
    assert len(engine.sequencer.live) == IN_RAM
    return engine, key, clock


async def asked(engine: Engine, people: int) -> None:
    """Let the loop turn until so many have been asked about the newest definition, which all of them meet."""
    sequencer = engine.sequencer
    while not sequencer.live.owing:  # noqa: ASYNC110  it is the turns that are looked at
        await asyncio.sleep(0)
    while sequencer.sizes["all"] < people:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert sequencer.live.owing


ALL = segment("all", 'count("Product Viewed") >= 1')
"""Whoever was asked is in."""


def is_equal(engine: Engine, clock: ManualClock, settings: Settings = SETTINGS) -> None:
    """Check live against a replay, and the sizes of segments against those who are in them."""
    assert replay(settings, engine.store, clock=clock).difference is None
    held = [profile.segments for profile in engine.profiles()]
    assert engine.segment_sizes() == {name: sum(name in one for one in held) for name in engine.segment_sizes()}


async def dies(engine: MortalEngine, clock: ManualClock) -> MortalEngine:
    """Kill an engine, and start another one over its store."""
    await engine.die()
    store = engine.store
    assert isinstance(store, FragileMemory | FragileSqlite)
    return await opened(store, clock, engine.settings)


async def test_who_is_asked_at_rest_stays_at_rest_and_a_few_rows_wait_in_ram() -> None:
    engine, _, clock = await begun(FragileMemory())
    most: list[int] = []
    rows: list[int] = []
    applying = asyncio.create_task(engine.apply([ALL, segment("second", LATELY)]))
    while not applying.done():
        most.append(len(engine.sequencer.live))
        rows.append(len(engine.sequencer.live.asked))
        await asyncio.sleep(0)
    await applying
    assert max(most) == IN_RAM
    assert 0 < max(rows) < PEOPLE / 2, (max(rows), PEOPLE)
    assert engine.segment_sizes() == {"all": PEOPLE, "first": 0, "second": PEOPLE}
    is_equal(engine, clock)
    await engine.close()


@pytest.mark.parametrize("condition", [LATELY, DEAR], ids=["what was counted before", "what is counted anew"])
@pytest.mark.parametrize("people", [0, 30, IN_RAM, 160, 230, PEOPLE - 1])
async def test_a_kill_between_the_turns_loses_nothing_and_asks_nobody_twice(people: int, condition: str) -> None:
    engine, key, clock = await begun(FragileMemory())
    applying = asyncio.create_task(engine.apply([ALL, segment("second", condition)]))
    await asked(engine, people)
    clock.advance(SECOND)
    await send(engine, key, *(view(person, 1, clock.now()) for person in (3, 250, PEOPLE + 1)))
    engine.checkpoint()
    await send(engine, key, view(4, 2, clock.now()))
    engine = await dies(engine, clock)
    applying.cancel()
    await send(engine, key, view(5, 3, clock.now()))
    await engine._all_asked()
    assert engine.segment_sizes()["all"] == PEOPLE + 1
    is_equal(engine, clock)
    assert not engine.store.product(OWED).data  # type: ignore[union-attr]
    await engine.close()


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_comes_between_the_turns_live_is_what_a_replay_makes_of_it(seed: int) -> None:
    """Events, people who join, timers, checkpoints, failing commits, kills: at any turn."""
    rng = Random(seed)
    engine, key, clock = await begun(FragileMemory())
    numbers = itertools.count(1)
    for condition in (DEAR, LATELY, OF_EVEN):
        applying = asyncio.create_task(
            engine.apply([segment("all", ALL.body["condition"]), segment("moving", condition)])
        )
        for _ in range(8):
            number = next(numbers)
            await asyncio.sleep(0)
            clock.advance(rng.choice([0, SECOND, 20 * SECOND]))
            person, other = rng.sample(range(PEOPLE + 5), 2)
            messages = [view(person, number, clock.now())]
            if rng.random() < 0.5:
                who = {"type": "identify", "userId": f"u{other % 9}", "anonymousId": f"d{other}"}
                messages.append({**who, "messageId": f"i{number}", "traits": {"even": other % 2 == 0}})
            step = rng.choice(["send", "send", "checkpoint", "timers", "lost", "kill"])
            if step == "lost":
                await fails(engine, key, *messages)
            elif step == "kill":
                engine = await dies(engine, clock)
            elif step == "timers":
                engine.sequencer.advance(clock.now())
            elif step == "checkpoint":
                engine.checkpoint()
            await sent_at_last(engine, key, *messages)
        await asyncio.wait([applying])
        _ = applying.cancelled() or applying.exception()  # it may have been killed, or undone with its commit
        await engine._all_asked()
    is_equal(engine, clock)
    await engine.close()


async def fails(engine: Engine, key: Key, *messages: dict[str, Any]) -> None:
    """Send what cannot be written, and let the disk work again."""
    store = engine.store
    assert isinstance(store, FragileMemory)
    await engine._on_disk()
    store.trouble = "lost"
    with pytest.raises((StoreError, Unavailable)):
        await send(engine, key, *messages)
    store.trouble = "none"


async def sent_at_last(engine: Engine, key: Key, *messages: dict[str, Any]) -> None:
    """Send until it is taken: a commit of the asking may fail, too, and is undone in the writer's own time."""
    while True:
        try:
            return await send(engine, key, *messages)
        except (StoreError, Unavailable):
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("people", [0, 40, 160])
async def test_a_commit_that_fails_between_the_turns_is_undone_and_everybody_is_asked_once(people: int) -> None:
    engine, key, clock = await begun(FragileMemory())
    applying = asyncio.create_task(engine.apply([ALL, segment("second", LATELY)]))
    await asked(engine, people)
    await fails(engine, key, view(3, 1, clock.now()))
    await sent_at_last(engine, key, view(3, 1, clock.now()))
    await applying
    assert engine.segment_sizes()["all"] == PEOPLE
    is_equal(engine, clock)
    await engine.close()


async def test_people_of_whom_one_was_asked_and_the_other_was_not_are_joined_as_in_a_replay() -> None:
    engine, key, clock = await begun(FragileMemory())
    applying = asyncio.create_task(engine.apply([ALL, segment("second", DEAR)]))
    await asked(engine, 180)
    table = engine.sequencer.live
    by_name = sorted((engine.vault.name(f"a:d{person}"), person) for person in range(PEOPLE))
    resting = [person for name, person in by_name if f"a:d{person}" not in table._profiles]
    early, late = resting[0], resting[-1]
    assert not table.owes(f"a:d{early}")
    assert table.owes(f"a:d{late}")
    for device in (early, late):
        who = {"type": "identify", "userId": "both", "anonymousId": f"d{device}", "messageId": f"in-{device}"}
        await send(engine, key, who)
    assert not table.owes("u:both")
    await engine._settle(engine.checkpoint())
    engine = await dies(engine, clock)
    applying.cancel()
    await engine._all_asked()
    both = engine.find("both")
    assert both is not None
    assert both.counts["Product Viewed"] == 2
    assert engine.segment_sizes()["all"] == PEOPLE - 1
    is_equal(engine, clock)
    await engine.close()


async def test_a_page_of_somebody_who_was_not_asked_yet_is_answered_under_the_new_definitions() -> None:
    engine, key, clock = await begun(FragileMemory())
    applying = asyncio.create_task(engine.apply([ALL, segment("second", LATELY)]))
    await asked(engine, 150)
    table = engine.sequencer.live
    resting = [person for person in range(PEOPLE) if f"a:d{person}" not in table._profiles]
    last = max(resting, key=lambda person: engine.vault.name(f"a:d{person}"))
    assert engine.sequencer.live.owes(f"a:d{last}")
    page = DecideRequest(anonymous_id=f"d{last}", slots=(SlotRequest(id="home"),))
    assert engine.decide(page, key=key).segments == ("all", "second")
    await applying
    assert engine.segment_sizes()["all"] == PEOPLE
    is_equal(engine, clock)
    await engine.close()


async def test_somebody_is_erased_when_everybody_has_been_asked_and_leaves_no_row() -> None:
    engine, _, clock = await begun(FragileMemory())
    applying = asyncio.create_task(engine.apply([ALL, segment("second", DEAR)]))
    await asked(engine, 150)
    name = engine.vault.name("a:d7")
    await engine.erase("d7")
    await applying
    assert engine.store.profile(name) is None
    assert engine.segment_sizes()["all"] == PEOPLE - 1
    engine = await dies(engine, clock)
    assert engine.find("d7") is None
    is_equal(engine, clock)
    await engine.close()


async def test_definitions_that_come_while_others_are_asked_about_wait_for_them_also_when_nobody_else_does() -> None:
    store = FragileMemory()
    engine, _, clock = await begun(store)
    first = asyncio.create_task(engine.apply([ALL]))
    await asked(engine, 150)
    first.cancel()
    await asyncio.wait([first])
    assert engine.sequencer.live.owing
    await engine.apply([segment("second", LATELY), segment("first", DEAR)])
    assert engine.segment_sizes() == {"all": PEOPLE, "first": PEOPLE // 4, "second": PEOPLE}
    is_equal(engine, clock)
    await engine.close()


async def test_closing_asks_nobody_more_and_the_next_start_goes_on() -> None:
    engine, _, clock = await begun(FragileMemory())
    applying = asyncio.create_task(engine.apply([ALL, segment("second", DEAR)]))
    await asked(engine, 150)
    await engine.close()
    with pytest.raises(StoreError, match="next start"):
        await applying
    asked_before = engine.sequencer.sizes["all"]
    assert 150 <= asked_before < PEOPLE
    store = engine.store
    assert isinstance(store, FragileMemory)
    engine = await opened(store, clock)
    assert engine.sequencer.sizes["all"] == asked_before
    await engine._all_asked()
    assert engine.segment_sizes()["all"] == PEOPLE
    is_equal(engine, clock)
    await engine.close()


async def test_nobody_is_asked_about_what_is_no_segment_and_declares_nothing() -> None:
    engine, _, clock = await begun(FragileMemory())
    body = {"id": "hello", "slot": "home", "template": "Hello", "fallback": "Hi", "always": True}
    await engine.apply([Definition(kind="content", id="hello", body=body)])
    assert not engine.sequencer.live.owing
    assert not engine.sequencer.live.dirty
    is_equal(engine, clock)
    await engine.close()


async def test_a_flip_of_somebody_who_was_asked_at_rest_comes_though_no_checkpoint_has_it_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its instant is beyond what timers have in RAM, and the store does not know it."""
    monkeypatch.setattr(live, "ASKED_BYTES", 10**9)
    engine, _, clock = await begun(FragileMemory())
    applying = asyncio.create_task(engine.apply([ALL, segment("second", 'performed("Product Viewed", last 5 hours)')]))
    await asked(engine, PEOPLE - 5)
    resting = next(iter(engine.sequencer.live.asked.values()))
    assert resting.next_flip_at == START + 5 * HOUR
    clock.advance(5 * HOUR + SECOND)
    engine.sequencer.advance(clock.now())
    whose = next(p for p in range(PEOPLE) if engine.vault.name(f"a:d{p}") == resting.id)
    known = engine.find(f"d{whose}")
    assert known is not None
    assert "second" not in known.segments
    await applying
    engine.sequencer.advance(clock.now())
    assert engine.segment_sizes()["second"] == 0
    is_equal(engine, clock)
    await engine.close()


@asynccontextmanager
async def on_disk(folder: Path) -> AsyncIterator[tuple[MortalEngine, Key, ManualClock, Settings]]:
    quiet = msgspec.structs.replace(SETTINGS.engine, log_keep_days=10, models_rebuild_hours=0)
    settings = msgspec.structs.replace(SETTINGS, data_dir=str(folder), engine=quiet, archive=ArchiveSettings(minutes=0))
    store = FragileSqlite(folder / "people.db")
    engine, key, clock = await begun(store, settings)
    try:
        yield engine, key, clock, settings
    finally:
        store.close()


def kept(store: Store) -> dict[str, bytes]:
    return {row.id: row.data for row in store.kept_profiles(store.snapshots()[-1].offset)}


async def test_a_snapshot_from_before_keeps_who_they_were_and_none_is_taken_between_the_turns(tmp_path: Path) -> None:
    async with on_disk(tmp_path) as (engine, _, clock, settings):
        clock.advance(6 * DAY)
        await engine.retain()
        before = kept(engine.store)
        applying = asyncio.create_task(engine.apply([ALL, segment("second", DEAR)]))
        await asked(engine, 180)
        await engine._settle(engine.checkpoint())
        assert engine.store.product(OWED).data  # type: ignore[union-attr]
        assert kept(engine.store) == before
        clock.advance(6 * DAY)
        await asyncio.gather(applying, engine.retain())
        assert not engine.sequencer.live.owing
        assert len(engine.store.snapshots()) == 1, "that from before is of no more use"
        assert kept(engine.store) == {row.id: row.data for row in engine.store.profiles()}
        is_equal(engine, clock, settings)
        await engine.close()


async def test_a_kill_between_the_turns_of_a_store_on_disk_is_made_good_at_the_next_start(tmp_path: Path) -> None:
    async with on_disk(tmp_path) as (engine, key, clock, settings):
        applying = asyncio.create_task(engine.apply([ALL, segment("second", DEAR)]))
        await asked(engine, 180)
        await engine._settle(engine.checkpoint())
        await send(engine, key, view(5, 1, clock.now()))
        other = await dies(engine, clock)
        applying.cancel()
        await other._all_asked()
        assert other.segment_sizes()["all"] == PEOPLE
        is_equal(other, clock, settings)
        await other.close()


async def test_a_row_that_cannot_be_written_between_the_turns_undoes_what_was_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, _, clock = await begun(FragileMemory())
    sealed, calls = live.LiveTable._row_of, [0]

    def fails_once(table: live.LiveTable, packed: Encoded) -> Any:
        calls[0] += 1
        if calls[0] == 220:  # when those of the first checkpoint are on disk, and the definitions before them
            raise StoreError("the disk does not answer")
        return sealed(table, packed)

    monkeypatch.setattr(live.LiveTable, "_row_of", fails_once)
    with pytest.raises(StoreError):
        await engine.apply([ALL, segment("second", LATELY)])
    while not engine.is_writable:  # noqa: ASYNC110  undone by the writer in its own time
        await asyncio.sleep(0.001)
    await engine._all_asked()
    assert calls[0] > 220
    assert engine.segment_sizes() == {"all": PEOPLE, "first": 0, "second": PEOPLE}
    is_equal(engine, clock)
    await engine.close()


async def test_commits_of_the_asking_carry_rows_within_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    store = FragileMemory()
    engine, _, _ = await begun(store)
    sizes: list[int] = []
    commit = FragileMemory.commit

    def counted(self: FragileMemory, one: Commit) -> None:
        if one.checkpoint is not None:
            sizes.append(sum(len(row.data) for row in one.checkpoint.profiles))
        commit(self, one)

    monkeypatch.setattr(FragileMemory, "commit", counted)
    await engine.apply([ALL, segment("second", LATELY)])
    awake = IN_RAM * max(len(row.data) for row in store.profiles())
    assert len(sizes) > 2
    assert max(sizes) < 10_000 + awake + AT_ONCE * 2_000
    await engine.close()


async def test_whom_new_definitions_do_not_move_is_not_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, key, clock = await begun(FragileMemory())
    await send(engine, key, view(7, 1, clock.now()), view(8, 1, clock.now()))
    await engine.checkpoint_now()
    rows: set[str] = set()
    commit = FragileMemory.commit

    def noted(self: FragileMemory, one: Commit) -> None:
        for some in (one.part, one.checkpoint):
            rows.update(row.id for row in (some.profiles if some is not None else ()))
        commit(self, one)

    monkeypatch.setattr(FragileMemory, "commit", noted)
    await engine.apply([segment("second", OF_EVEN)])
    assert not rows
    await engine.apply([segment("third", 'count("Product Viewed") >= 2')])
    assert len(rows) == PEOPLE  # history is counted in it, and kept of everybody
    rows.clear()
    await engine.apply([segment("fourth", 'count("Product Viewed") > 1')])
    assert len(rows) == 2  # nothing but who is in
    assert engine.segment_sizes() == {"first": 2, "fourth": 2, "second": 0, "third": 2}
    is_equal(engine, clock)
    await (await dies(engine, clock)).close()
