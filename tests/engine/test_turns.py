"""Work on everybody is done a few people at a time: others have their turn between, and nothing comes out otherwise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import pytest

from bespeak.clock import SECOND, ManualClock, format_time
from bespeak.decide import DecideRequest, SlotRequest
from bespeak.engine import Definition, Engine, asking, ledger, preparing, recovery, replay
from bespeak.engine import committing as committing_module
from bespeak.engine import engine as engine_module
from bespeak.engine.backfill import Backfill
from bespeak.engine.wishes import PREPARING
from bespeak.engine.writer import Entry
from bespeak.errors import StoreError, Unavailable
from bespeak.privacy import Key
from bespeak.profiles import ProfileSettings
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import Commit, MemorySettings, MemoryStore

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
PEOPLE = 300
AT_ONCE = 20
SETTINGS = Settings(
    store=MemorySettings(),
    engine=EngineSettings(checkpoint_seconds=3600, models_seconds=3600),
    profiles=ProfileSettings(live_max=100),
)
FEW = Settings(store=MemorySettings(), engine=EngineSettings(checkpoint_seconds=3600, models_seconds=3600))
TWICE = 'count("Product Viewed", last 1 hour) >= 2'
ONCE_LATELY = 'performed("Product Viewed", last 30 seconds)'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committing_module, "CUT_AT_ONCE", AT_ONCE)
    monkeypatch.setattr(asking, "ASKED_AT_ONCE", AT_ONCE)
    monkeypatch.setattr(preparing, "READ_AT_ONCE", AT_ONCE)
    monkeypatch.setattr(engine_module, "ASKED_AT_ONCE", AT_ONCE)


class Kept(MemoryStore):
    """A memory store that an engine does not close, and whose commits fail when told."""

    fails = False

    def close(self) -> None:
        pass

    def commit(self, commit: Commit) -> None:
        if self.fails:
            raise StoreError("the disk is full")
        super().commit(commit)


class Turns:
    """Counts calls of a function in each turn of the event loop."""

    def __init__(self) -> None:
        self.counts = [0]
        self._task = asyncio.create_task(self._next())

    async def _next(self) -> None:
        while True:
            self.counts.append(0)
            await asyncio.sleep(0)

    def counting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.counts[-1] += 1
            return function(*arguments, **named)

        return counted

    def end(self) -> int:
        """Return the most calls of one turn."""
        self._task.cancel()
        return max(self.counts)


def segment(name: str, condition: str) -> Definition:
    return Definition(kind="segments", id=name, body={"id": name, "condition": condition})


def body(people: Iterable[int], number: int, now: int) -> bytes:
    return json.dumps(
        {
            "batch": [
                {
                    "type": "track",
                    "event": "Product Viewed",
                    "anonymousId": f"d{person}",
                    "messageId": f"m{number}-{person}",
                    "timestamp": format_time(now),
                    "properties": {"product_id": f"i{person % 7}"},
                }
                for person in people
            ]
        }
    ).encode()


async def opened(
    store: MemoryStore, settings: Settings = FEW, *, condition: str | None = TWICE
) -> tuple[Engine, Key, ManualClock]:
    """Return an engine that knows everybody by one event each, all of it in a checkpoint."""
    clock = ManualClock(START)
    engine = Engine.open(settings, clock=clock, rng=Random(1), store=store)
    await engine.start()
    key, _ = await engine.create_key("write", "site")
    if condition is not None:
        await engine.apply([segment("first", condition)])
    await engine.track(engine.parse(body(range(PEOPLE), 0, clock.now()), key=key), key)
    await engine.checkpoint_now()
    return engine, key, clock


async def send(engine: Engine, key: Key, clock: ManualClock, rng: Random, number: int) -> None:
    clock.advance(SECOND)
    people = sorted(rng.sample(range(PEOPLE + 20), 5))
    await engine.track(engine.parse(body(people, number, clock.now()), key=key), key)


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something holds."""
    while not holds():  # noqa: ASYNC110  it is the turns that are looked at
        await asyncio.sleep(0)


async def test_no_turn_of_the_loop_asks_more_than_a_few_people(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _, _ = await opened(Kept())
    turns = Turns()
    monkeypatch.setattr(engine.sequencer, "_ask_one", turns.counting(engine.sequencer._ask_one))
    await engine.apply([segment("second", ONCE_LATELY)])
    most = turns.end()
    assert sum(turns.counts) == PEOPLE
    assert most <= AT_ONCE
    assert engine.segment_sizes()["second"] == PEOPLE
    await engine.close()


async def test_no_turn_of_the_loop_makes_more_than_a_few_rows_of_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Kept()
    engine, key, clock = await opened(store)
    clock.advance(SECOND)
    await engine.track(engine.parse(body(range(PEOPLE), 1, clock.now()), key=key), key)
    turns = Turns()
    monkeypatch.setattr(engine.sequencer.live, "_cut_one", turns.counting(engine.sequencer.live._cut_one))
    await engine.checkpoint_now()
    most = turns.end()
    assert sum(turns.counts) == PEOPLE
    assert most <= AT_ONCE
    await engine.close()


async def test_no_turn_of_the_loop_counts_more_than_a_few_people(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _, clock = await opened(Kept(), SETTINGS)
    turns = Turns()
    segments = engine.registry.site.segments
    members_at = segments.members_at

    def counted(*arguments: Any) -> int:
        people = list(arguments[1])
        turns.counts[-1] += len(people)
        return members_at(arguments[0], people, *arguments[2:])

    monkeypatch.setattr(segments, "members_at", counted)
    assert await engine.segment_count("first", at=clock.now()) == 0
    most = turns.end()
    assert sum(turns.counts) == PEOPLE
    assert most <= AT_ONCE
    await engine.close()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("settings", [FEW, SETTINGS], ids=["all in RAM", "some at rest"])
async def test_events_between_the_turns_of_new_definitions_come_out_as_in_a_replay(
    seed: int, settings: Settings
) -> None:
    rng, store = Random(seed), Kept()
    engine, key, clock = await opened(store, settings)
    conditions = [ONCE_LATELY, 'count("Product Viewed", last 2 minutes) >= 2', TWICE]
    for round_, condition in enumerate(conditions):
        applying = asyncio.create_task(engine.apply([segment("moving", condition)]))
        for number in range(8):
            await send(engine, key, clock, rng, 100 * (round_ + 1) + number)
            engine.sequencer.advance(clock.now())
            await asyncio.sleep(0)
        await applying
    found = replay(settings, store, clock=clock)
    assert found.difference is None
    assert found.profiles == engine.sequencer.profiles
    sizes = engine.segment_sizes()
    held = [profile.segments for profile in engine.profiles()]
    assert sizes == {name: sum(name in one for one in held) for name in sizes}
    await engine.close()


@pytest.mark.parametrize("seed", range(6))
async def test_events_between_the_turns_of_a_checkpoint_are_not_in_it(seed: int) -> None:
    rng, store = Random(seed), Kept()
    engine, key, clock = await opened(store)
    for number in range(4):
        clock.advance(SECOND)
        await engine.track(engine.parse(body(range(PEOPLE), 10 + number, clock.now()), key=key), key)
        cut = engine._offset
        written = engine.checkpoint()
        assert written is not None
        await asyncio.gather(written, *(send(engine, key, clock, rng, 1_000 + 10 * number + n) for n in range(6)))
        assert store.checkpoint_offset() == cut
        assert store.last_offset() > cut
        assert replay(FEW, store, clock=clock).difference is None
    await engine.close()


async def test_a_second_checkpoint_waits_for_no_turn_of_the_first() -> None:
    store = Kept()
    engine, key, clock = await opened(store)
    clock.advance(SECOND)
    await engine.track(engine.parse(body(range(PEOPLE), 1, clock.now()), key=key), key)
    first = engine.checkpoint()
    await send(engine, key, clock, Random(0), 2)
    second = engine.checkpoint()
    assert first is not None
    assert second is not None
    await asyncio.gather(first, second)
    assert store.checkpoint_offset() == store.last_offset()
    assert replay(FEW, store, clock=clock).difference is None
    await engine.close()


async def test_somebody_who_is_erased_between_the_turns_is_in_no_checkpoint() -> None:
    store = Kept()
    engine, key, clock = await opened(store)
    clock.advance(SECOND)
    await engine.track(engine.parse(body(range(PEOPLE), 1, clock.now()), key=key), key)
    applying = asyncio.create_task(engine.apply([segment("second", ONCE_LATELY)]))
    await asyncio.sleep(0)
    engine.checkpoint()
    name = engine.vault.name("a:d7")
    await engine.erase("d7")
    await applying
    await engine.checkpoint_now()
    assert store.profile(name) is None
    assert engine.find("d7") is None
    assert engine.segment_sizes()["second"] == PEOPLE - 1
    assert replay(FEW, store, clock=clock).difference is None
    await engine.close()


async def test_definitions_whose_commit_fails_are_undone_with_those_who_were_asked() -> None:
    store = Kept()
    engine, key, clock = await opened(store)
    store.fails = True
    with pytest.raises(StoreError):
        await engine.apply([segment("second", ONCE_LATELY)])
    store.fails = False
    assert set(engine.segment_sizes()) == {"first"}
    assert not engine.sequencer.live.owing
    await send(engine, key, clock, Random(0), 5)
    await engine.apply([segment("second", ONCE_LATELY)])
    assert replay(FEW, store, clock=clock).difference is None
    await engine.close()


async def test_whoever_stops_waiting_for_new_definitions_stops_nobody_from_being_asked() -> None:
    engine, _, _ = await opened(Kept())
    applying = asyncio.create_task(engine.apply([segment("second", ONCE_LATELY)]))
    await until(lambda: engine.sequencer.live.owing)
    applying.cancel()
    await until(lambda: not engine.sequencer.live.owing)
    assert engine.segment_sizes()["second"] == PEOPLE
    await engine.close()


async def test_history_is_taken_in_with_a_turn_for_others_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "TAKEN_AT_ONCE", AT_ONCE)
    engine, key, clock = await opened(Kept(), condition=None)
    turns = Turns()
    monkeypatch.setattr(engine.sequencer, "take", turns.counting(engine.sequencer.take))
    first = engine.parse(body(range(PEOPLE), 1, clock.now() - 2), key=key).events
    second = engine.parse(body(range(PEOPLE), 2, clock.now() - 1), key=key).events
    results = await asyncio.gather(engine.import_events(first), engine.import_events(second))
    assert turns.end() <= AT_ONCE
    assert results == [(PEOPLE, 0, 0), (PEOPLE, 0, 0)]
    order = [row.message_id for row in engine.find("d3").recent]  # type: ignore[union-attr]
    assert order == ["m1-3", "m2-3", "m0-3"]
    await engine.close()


async def test_history_of_which_one_turn_could_not_be_kept_is_not_said_to_be_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_module, "TAKEN_AT_ONCE", AT_ONCE)
    store = Kept()
    engine, key, clock = await opened(store, condition=None)
    events = engine.parse(body(range(PEOPLE), 1, clock.now() - 2), key=key).events
    store.fails = True
    importing = asyncio.create_task(engine.import_events(events))
    await until(lambda: bool(engine.metrics.counters["bespeak_commit_failures_total"]))
    store.fails = False
    with pytest.raises((StoreError, Unavailable)):
        await importing
    accepted, duplicate, refused = await engine.import_events(events)
    assert (accepted + duplicate, refused) == (PEOPLE, 0)
    assert replay(FEW, store, clock=clock).difference is None
    await engine.close()


async def test_no_turn_of_the_loop_reads_more_than_a_few_records_of_history(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _, _ = await opened(Kept(), condition=None)
    turns = Turns()
    monkeypatch.setattr(Backfill, "_take", turns.counting(Backfill._take))
    await engine.apply([segment("second", ONCE_LATELY)])
    most = turns.end()
    assert sum(turns.counts) == PEOPLE
    assert most <= AT_ONCE
    await engine.close()


async def test_while_history_is_counted_pages_are_answered_and_events_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, go_on = Kept(), asyncio.Event()
    engine, key, clock = await opened(store, condition=None)
    read_some = engine._read_some

    async def waits(backfill: Backfill) -> bool:
        if backfill.offset > PEOPLE // 2:
            await go_on.wait()
        return await read_some(backfill)

    monkeypatch.setattr(engine, "_read_some", waits)
    applying = asyncio.create_task(engine.apply([segment("second", ONCE_LATELY)]))
    await until(lambda: any(one.done > PEOPLE // 2 for one in engine.preparing()))
    page = DecideRequest(anonymous_id="d3", slots=(SlotRequest(id="home", n=2),))
    assert engine.decide(page, key=key).personalized
    engine.accept(engine.parse(body([3], 7, clock.now()), key=key), key)
    await engine.track(engine.parse(body([3, 4], 8, clock.now()), key=key), key)
    await engine.erase("d5")
    (progress,) = engine.preparing()
    assert 0 < progress.done < progress.total
    assert engine.segment_sizes() == {}, "what was in force serves until history is counted"
    go_on.set()
    await applying
    await engine.checkpoint_now()
    third = engine.find("d3")
    assert third is not None
    assert third.counts == {"Product Viewed": 3, "Decision Made": 1}
    assert engine.segment_sizes() == {"second": PEOPLE - 1}
    assert replay(FEW, store, clock=clock).difference is None
    await engine.close()


def fails_once(monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> None:
    """Let a function fail when it is called next."""
    kept = getattr(module, name)

    def fail(*_arguments: Any, **_named: Any) -> Any:
        monkeypatch.setattr(module, name, kept)
        raise StoreError("the disk does not answer")

    monkeypatch.setattr(module, name, fail)


def signs_in(device: str) -> bytes:
    message = {"type": "identify", "userId": f"user-of-{device}", "anonymousId": device, "messageId": f"in-{device}"}
    return json.dumps({"batch": [message]}).encode()


async def test_what_was_gathered_for_a_checkpoint_that_could_not_be_made_is_in_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Kept()
    engine, key, clock = await opened(store)
    await engine.track(engine.parse(signs_in("d3"), key=key), key)
    fails_once(monkeypatch, recovery, "seal_alias")
    with pytest.raises(StoreError):
        engine.checkpoint()
    await until(lambda: engine.is_writable and not engine._pending and engine._writer is not None)
    await until(lambda: bool(engine.metrics.counters["bespeak_commit_failures_total"]))
    await send(engine, key, clock, Random(0), 5)
    await engine.checkpoint_now()
    assert store.checkpoint_offset() == store.last_offset()
    assert replay(FEW, store, clock=clock).difference is None
    await engine.close()


@pytest.mark.parametrize("place", ["the checkpoint", "the rows of people"])
async def test_an_erasure_that_cannot_be_sealed_is_undone_as_a_whole(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Kept()
    engine, key, clock = await opened(store)
    for device in ("d3", "d4"):
        await engine.track(engine.parse(signs_in(device), key=key), key)
    if place == "the checkpoint":
        fails_once(monkeypatch, recovery, "seal_alias")
    else:
        fails_once(monkeypatch, engine.sequencer.live, "_row_of")
    last = store.last_offset()
    with pytest.raises(StoreError):
        await engine.erase("d3")
    await until(lambda: bool(engine.metrics.counters["bespeak_commit_failures_total"]))
    assert (store.last_offset(), engine._offset) == (last, last)
    known = engine.find("d3")
    assert known is not None
    assert known.id == "u:user-of-d3"
    await send(engine, key, clock, Random(0), 5)
    receipt = await engine.erase("d3")
    assert receipt.identifiers == 2
    assert replay(FEW, store, clock=clock).difference is None
    await engine.close()


async def test_who_is_removed_comes_back_and_is_removed_again_leaves_no_row() -> None:
    """The second removal is younger than the checkpoint that was on its way with the first."""
    store = Kept()
    engine, _, _ = await opened(store)
    live = engine.sequencer.live
    assert live.get("a:d3") is not None
    live.remove("a:d3")
    first = live.begin_cut()
    live.create("a:d3")
    live.remove("a:d3")
    live.written(first)
    assert live.find("a:d3") is None, "its row is in the store"
    assert "a:d3" in live.begin_cut()
    await engine.close()


async def test_who_asks_for_a_checkpoint_or_an_erasure_waits_until_everybody_was_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, _, _ = await opened(Kept())
    turns = Turns()
    monkeypatch.setattr(engine.sequencer, "_ask_one", turns.counting(engine.sequencer._ask_one))
    applying = asyncio.create_task(engine.apply([segment("second", ONCE_LATELY)]))
    await until(lambda: engine.sequencer.live.owing)
    await asyncio.gather(applying, engine.checkpoint_now(), engine.erase("d7"))
    assert turns.end() <= AT_ONCE + 1
    assert engine.segment_sizes()["second"] == PEOPLE - 1
    await engine.close()


async def test_definitions_wait_for_a_store_that_is_being_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit fails while history is counted, and the store answers only later: what is folded then is undone."""
    monkeypatch.setattr(ledger, "UNDO_SECONDS", 3_600)
    store = Kept()
    engine, _, clock = await opened(store, condition=None)
    reading = asyncio.Event()

    def read(_self: Backfill, _upto: int, _most: int | None = None) -> bool:
        reading.set()
        return True

    with monkeypatch.context() as slow:
        slow.setattr(Backfill, "read", read)
        applying = asyncio.create_task(engine.apply([segment("second", ONCE_LATELY)]))
        await reading.wait()
        await until(lambda: bool(store.documents(PREPARING)))
        await fails_to_write_and_to_read(engine, store, monkeypatch)
    await asyncio.sleep(0.1)
    assert engine.segment_sizes() == {}
    assert not applying.done()
    engine._retry()
    assert not engine._undoing
    await applying
    assert engine.segment_sizes() == {"second": PEOPLE}
    assert replay(FEW, store, clock=clock).difference is None
    await engine.close()


async def fails_to_write_and_to_read(engine: Engine, store: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    fails_once(monkeypatch, engine, "recover")
    store.fails = True
    probe = engine._put(engine._open_writer(), Entry(asyncio.get_running_loop().create_future()))
    with pytest.raises(StoreError):
        await probe
    store.fails = False
    assert engine._undoing
