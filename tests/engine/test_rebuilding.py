"""Models built anew from the log: as if an erased person had never been there, while everything goes on."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bespeak.clock import DAY, HOUR, MINUTE, SECOND, ManualClock, format_time
from bespeak.engine import Engine, rebuilding, replay
from bespeak.engine.records import ModelsRecord, decode
from bespeak.errors import BespeakError, StoreError
from bespeak.privacy import Key
from bespeak.profiles.settings import ProfileSettings
from bespeak.recommend.dumps import difference
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import Commit, MemorySettings, MemoryStore, SqliteSettings, SqliteSnapshot
from bespeak.testing.world import World

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
QUIET = EngineSettings(checkpoint_seconds=3_600, models_seconds=3_600)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Kept(MemoryStore):
    """A memory store that an engine does not close, and whose disk can be full."""

    full = False

    def commit(self, commit: Commit) -> None:
        if self.full:
            raise StoreError("disk full")
        super().commit(commit)

    def close(self) -> None:
        pass


def in_ram(**changes: Any) -> Settings:
    return Settings(store=MemorySettings(), engine=QUIET, **changes)


@asynccontextmanager
async def running(settings: Settings, clock: ManualClock, store: MemoryStore | None = None) -> AsyncIterator[Engine]:
    engine = Engine.open(settings, clock=clock, rng=Random(1), store=store)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


async def key_of(engine: Engine) -> Key:
    held = engine.keys()
    return held[0] if held else (await engine.create_key("write", "site"))[0]


async def send(engine: Engine, *messages: dict[str, Any]) -> None:
    key = await key_of(engine)
    results = await engine.track(engine.parse(json.dumps({"batch": list(messages)}).encode(), key=key), key)
    assert {result.status for result in results} <= {"ok", "refused"}


def view(device: str, item: str, place: int, at: int, *, late: int = 0) -> dict[str, Any]:
    return {
        "type": "track",
        "event": ("Product Viewed", "Product Viewed", "Product Added", "Page Viewed")[place % 4],
        "anonymousId": device,
        "messageId": f"m{place}",
        "timestamp": format_time(at - late),
        "properties": {"product_id": item},
    }


def story(seed: int, places: int) -> list[tuple[int, dict[str, Any]]]:
    """Return what happens, and when: views, late ones too, and people who sign in on several devices."""
    rng, at, told = Random(seed), START, []
    for place in range(places):
        at += rng.randrange(600) * SECOND
        device = f"d{rng.randrange(8)}"
        if rng.random() < 0.1:
            told.append(
                (at, {"type": "identify", "userId": f"u{device[1:]}", "anonymousId": device, "messageId": f"i{place}"})
            )
            continue
        late = rng.choice([0, 0, 0, 0, HOUR, 3 * DAY])
        told.append((at, view(device, f"i{int(rng.paretovariate(0.7)) % 40}", place, at, late=late)))
    return told


async def live_through(engine: Engine, clock: ManualClock, told: list[tuple[int, dict[str, Any]]]) -> None:
    for at, message in told:
        clock.advance(max(0, at - clock.now()))
        await send(engine, message)


def assert_same_models(one: Engine, other: Engine) -> None:
    for mine, theirs in zip(one.models.recommenders, other.models.recommenders, strict=True):
        assert difference(mine.dump(), theirs.dump()) is None


async def rebuilt(engine: Engine) -> None:
    engine.begin_rebuild(share=1)
    status = await engine.rebuilt(60)
    assert (status.rebuilding, status.failed) == (False, "")


@pytest.mark.parametrize("seed", range(8))
async def test_after_a_rebuild_it_is_as_if_an_erased_person_had_never_been_there(seed: int) -> None:
    told = story(seed, 250)
    left_out = {"d3", "u3"}
    store, clock = Kept(), ManualClock(START)
    async with running(in_ram(), clock, store) as engine:
        await live_through(engine, clock, told[:200])
        await engine.erase("d3")
        assert engine.models_status().erased is not None
        assert not replay(in_ram(), store, clock=clock).compared
        before = {one.name: one.dump() for one in engine.models.recommenders}
        await rebuilt(engine)
        assert {one.name: one.dump() for one in engine.models.recommenders} != before
        status = engine.models_status()
        assert (status.erased, status.done, status.total) == (None, status.total, status.total)
        other_clock = ManualClock(START)
        async with running(in_ram(), other_clock) as other:
            others = [(at, one) for at, one in told[:200] if not left_out & {one["anonymousId"], one.get("userId")}]
            await live_through(other, other_clock, others)
            assert_same_models(engine, other)
        clock.advance(SECOND)
        await live_through(engine, clock, [(at, one) for at, one in told[200:] if one["anonymousId"] != "d3"])
        again = Engine.open(in_ram(), clock=clock, rng=Random(1), store=store)  # as after a crash
        assert_same_models(engine, again)
        assert again.models.built == engine.models.built > 0
    found = replay(in_ram(), store, clock=clock)
    assert (found.difference, found.compared, found.erased) == (None, True, False)


async def test_at_the_end_of_a_simulated_month_nothing_of_a_person_is_in_the_models(tmp_path: Path) -> None:
    """The month of a small town on disk, its busiest person erased, against the month without that person."""
    world = World(3, people=25, items=60)
    clock = ManualClock(world.opened + 31 * DAY)
    messages = list(world.history(world.opened, days=30))

    async def lived(name: str, without: frozenset[str]) -> tuple[Engine, Settings]:
        settings = Settings(data_dir=str(tmp_path / name), engine=QUIET, profiles=ProfileSettings(live_max=100))
        engine = Engine.open(settings, clock=clock, rng=Random(1))
        await engine.start()
        key, _ = await engine.create_key("secret", "site")
        for start in range(0, len(messages), 500):
            batch = [one for one in messages[start : start + 500] if not without & {*ids_of(one)}]
            parsed = engine.parse(json.dumps({"batch": batch}).encode(), key=key)
            await engine.import_events(parsed.events)
        return engine, settings

    engine, settings = await lived("all", frozenset())
    busiest = max(engine.profiles(), key=lambda profile: len(profile.recent))
    ids = frozenset(name[2:] for name in (busiest.id, *busiest.aliases))
    await engine.erase(busiest.id)
    await rebuilt(engine)
    other, _ = await lived("without", ids)
    assert_same_models(engine, other)
    await other.close()
    await engine.close()
    assert not (tmp_path / "all" / rebuilding.FOLDER).exists()
    store = SqliteSnapshot(tmp_path / "all" / "bespeak.db", SqliteSettings())
    found = replay(settings, store, clock=clock)
    store.close()
    assert (found.difference, found.compared) == (None, True)


def ids_of(message: dict[str, Any]) -> list[str]:
    return [message[name] for name in ("userId", "anonymousId", "previousId") if message.get(name)]


async def test_more_people_than_may_be_in_ram_rest_elsewhere_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three hundred people who come back again and again, of whom a hundred may be awake."""
    monkeypatch.setattr(rebuilding, "SPILL", 20)
    few = in_ram(profiles=ProfileSettings(live_max=100))
    store, clock, awake = Kept(), ManualClock(START), []
    take = rebuilding.Builder._take

    def watched(builder: rebuilding.Builder, *record: Any) -> None:
        take(builder, *record)
        awake.append(len(builder._sequencer.live))

    monkeypatch.setattr(rebuilding.Builder, "_take", watched)
    async with running(few, clock, store) as engine:
        for place in range(1_200):
            clock.advance(SECOND)
            await send(engine, view(f"d{place % 300}", f"i{place * 7 % 31}", place, clock.now()))
        await engine.erase("d7")
        await rebuilt(engine)
        assert 100 <= max(awake) <= 120
        assert replay(few, store, clock=clock).compared
    assert replay(few, store, clock=clock).difference is None


async def test_the_loop_does_not_wait_for_the_disk_of_a_rebuild(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "SPILL", 20)
    commit, writers = MemoryStore.commit, set[threading.Thread]()

    def watched(store: MemoryStore, one: Commit) -> None:
        writers.add(threading.current_thread())
        commit(store, one)

    clock = ManualClock(START)
    async with running(in_ram(), clock, Kept()) as engine:
        await live_through(engine, clock, story(1, 60))
        monkeypatch.setattr(MemoryStore, "commit", watched)
        await rebuilt(engine)
        assert len(writers) >= 2, "the engine's own, and others"
        assert threading.current_thread() not in writers


async def test_events_and_erasures_go_on_while_the_models_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """In small slices, with events between them: those before the cut are read, those after it are kept beside."""
    monkeypatch.setattr(rebuilding, "SLICE", 5)
    monkeypatch.setattr(rebuilding, "NEAR", 50)
    told = story(5, 400)
    store, clock = Kept(), ManualClock(START)
    async with running(in_ram(), clock, store) as engine:
        await live_through(engine, clock, told[:250])
        await engine.erase("d3")
        clock.advance(SECOND)
        engine.begin_rebuild(share=1)
        assert engine.begin_rebuild().rebuilding, "a second one is the first"
        for at, message in told[250:]:
            if not engine.models_status().rebuilding:
                break
            await live_through(engine, clock, [(at, message)])
        await engine.rebuilt(60)
        assert engine.models_status().failed == ""
        records = [record for row in store.read(0) for _, record in decode(row, after=0)]
        assert sum(isinstance(record, ModelsRecord) for record in records) == 1
        await live_through(engine, clock, [(clock.now(), view("d1", "i1", 9_001, clock.now()))])
        found = replay(in_ram(), store, clock=clock)
        assert (found.difference, found.compared) == (None, True)
        engine.begin_rebuild(share=1)
        await engine.erase("d4")  # of which the rebuild may have read something already
        await engine.rebuilt(60)
        assert engine.models_status().erased is not None
        assert not replay(in_ram(), store, clock=clock).compared
        await rebuilt(engine)
        found = replay(in_ram(), store, clock=clock)
        assert (found.difference, found.compared) == (None, True)


async def test_a_rebuild_that_cannot_be_written_leaves_everything_as_it_was() -> None:
    store, clock = Kept(), ManualClock(START)
    async with running(in_ram(), clock, store) as engine:
        await live_through(engine, clock, story(1, 60))
        await engine.erase("d3")
        before = [one.dump() for one in engine.models.recommenders]
        store.full = True
        engine.begin_rebuild(share=1)
        status = await engine.rebuilt(60)
        store.full = False
        assert "disk full" in status.failed
        assert (status.built, status.erased is None) == (0, False)
        assert [one.dump() for one in engine.models.recommenders] == before
        clock.advance(SECOND)
        sent = False
        while not sent:
            try:
                await send(engine, view("d1", "i1", 9_000, clock.now()))
                sent = True
            except BespeakError:  # a probe of the disk that was under way failed, too, and is being undone
                await asyncio.sleep(0.01)
        await rebuilt(engine)


async def test_what_was_undone_meanwhile_does_not_come_into_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    store, clock = Kept(), ManualClock(START)
    monkeypatch.setattr(rebuilding, "SLICE", 1)
    async with running(in_ram(), clock, store) as engine:
        await live_through(engine, clock, story(1, 60))
        engine.begin_rebuild(share=1)
        while engine.models._beside is None:  # noqa: ASYNC110  # every turn of the loop is a slice of the rebuild
            await asyncio.sleep(0)
        engine.recover()
        assert "read again" in (await engine.rebuilt(60)).failed
        await rebuilt(engine)


async def test_a_rebuild_is_given_up_when_the_engine_closes() -> None:
    store, clock = Kept(), ManualClock(START)
    async with running(in_ram(), clock, store) as engine:
        await live_through(engine, clock, story(1, 150))
        engine.begin_rebuild(share=0.05)
        await asyncio.sleep(0)
    assert engine.models_status().failed == "given up"
    assert replay(in_ram(), store, clock=clock).equal


async def test_what_a_rebuild_left_that_was_killed_is_gone_after_the_next_start(tmp_path: Path) -> None:
    folder = tmp_path / rebuilding.FOLDER
    folder.mkdir()
    (folder / "people.db").write_bytes(b"people, sealed under a key that nobody has any more")
    async with running(Settings(data_dir=str(tmp_path), engine=QUIET), ManualClock(START)):
        assert not folder.exists()


async def test_some_hours_after_an_erasure_a_rebuild_begins_by_itself() -> None:
    store, clock = Kept(), ManualClock(START)
    hours = EngineSettings(checkpoint_seconds=3_600, models_seconds=3_600, models_rebuild_hours=2)
    async with running(Settings(store=MemorySettings(), engine=hours), clock, store) as engine:
        await live_through(engine, clock, story(1, 60))
        receipt = await engine.erase("d3")
        assert "2 hours" in receipt.stores["models"]
        for passed, begins in ((MINUTE, False), (HOUR, False), (HOUR - 2 * MINUTE, False), (2 * MINUTE, True)):
            clock.advance(passed)
            engine._tick(clock.now(), clock.now() + HOUR)
            assert engine.models_status().rebuilding is begins
        assert (await engine.rebuilt(60)).failed == ""
        clock.advance(DAY)
        engine._tick(clock.now(), clock.now() + HOUR)
        assert not engine.models_status().rebuilding, "nobody was erased since"


async def test_with_zero_hours_it_never_begins_by_itself() -> None:
    clock = ManualClock(START)
    never = EngineSettings(models_rebuild_hours=0)
    async with running(Settings(store=MemorySettings(), engine=never), clock) as engine:
        await send(engine, view("d3", "i1", 1, START))
        receipt = await engine.erase("d3")
        assert "which is done by `bespeak models rebuild`" in receipt.stores["models"]
        clock.advance(365 * DAY)
        engine._tick(clock.now(), clock.now() + HOUR)
        assert not engine.models_status().rebuilding
