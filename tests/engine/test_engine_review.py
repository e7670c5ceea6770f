"""What must hold when things go wrong at the wrong moment: failing disks, impatient callers, races, false claims."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from bespeak.catalog import Item
from bespeak.clock import MINUTE, SECOND, ManualClock, format_time
from bespeak.decide import DecideRequest, SlotRequest
from bespeak.engine import Definition, Engine
from bespeak.errors import Conflict, InvalidInput, StoreError, Unavailable
from bespeak.privacy import Key, PrivacySettings, sign
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import Commit, LogRow, MemorySettings, MemoryStore, Store

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
SELDOM = EngineSettings(checkpoint_seconds=3_600, models_seconds=3_600)
IN_RAM = Settings(store=MemorySettings())
KEEN = 'count("Product Viewed", last 10 minutes) >= 2'
NO_ORDER = 'not performed("Order Completed")'
CONSENT_EVENT = "Segment Consent Preference Updated"


@asynccontextmanager
async def running(
    settings: Settings = IN_RAM, *, clock: ManualClock | None = None, store: Store | None = None
) -> AsyncIterator[Engine]:
    engine = Engine.open(settings, clock=clock or ManualClock(START), rng=Random(1), store=store)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def segment(segment_id: str, condition: str, **more: Any) -> Definition:
    return Definition(kind="segments", id=segment_id, body={"id": segment_id, "condition": condition, **more})


def view(place: int, person: str = "a", **more: Any) -> dict[str, Any]:
    properties = {"product_id": f"i{place % 5}"}
    named = {"event": "Product Viewed", "anonymousId": person, "messageId": f"m{place}"}
    return {"type": "track", **named, "properties": properties, **more}


def identify(user: str, device: str, **more: Any) -> dict[str, Any]:
    return {"type": "identify", "userId": user, "anonymousId": device, "messageId": f"{user}-{device}", **more}


def consenting(device: str, *, granted: bool) -> dict[str, Any]:
    context = {"consent": {"categoryPreferences": {"personalization": granted}}}
    return {"type": "track", "event": CONSENT_EVENT, "anonymousId": device, "context": context}


async def write_key(engine: Engine, name: str = "site") -> Key:
    return (await engine.create_key("write", name))[0]


async def send(engine: Engine, key: Key, *messages: dict[str, Any]) -> list[str]:
    parsed = engine.parse(json.dumps({"batch": messages}).encode(), key=key)
    return [result.status for result in await engine.track(parsed, key)]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110  nothing to wait on: the engine keeps its own time
            await asyncio.sleep(0.01)


def failures(engine: Engine) -> float:
    return engine.metrics.snapshot()["bespeak_commit_failures_total"]


def known(engine: Engine, any_id: str) -> dict[str, Any]:
    found = engine.profile(any_id)
    assert found is not None
    return found


# Segments and timers


async def test_somebody_first_seen_with_device_and_user_id_is_asked_for_every_segment() -> None:
    async with running() as engine:
        key = await write_key(engine)
        await engine.apply([segment("quiet", NO_ORDER)])
        await send(engine, key, identify("u", "a"))
        assert engine.segment_sizes() == {"quiet": 1}


async def test_a_window_of_an_event_that_no_checkpoint_holds_is_left_in_time_after_a_crash() -> None:
    clock, store = ManualClock(START), MemoryStore()
    settings = Settings(store=MemorySettings(), engine=SELDOM)
    async with running(settings, clock=clock, store=store) as engine:
        key = await write_key(engine)
        await engine.apply([segment("keen", KEEN)])
        await send(engine, key, view(1), view(2))
        again = Engine.open(settings, clock=clock, store=store)  # what a killed process would find
        assert again.segment_sizes() == {"keen": 1}
        again.sequencer.advance(clock.now())
        again.sequencer.advance(clock.advance(11 * MINUTE))
        assert again.segment_sizes() == {"keen": 0}


async def test_memberships_replay_as_they_were_though_timers_fired_between_late_events() -> None:
    clock, store = ManualClock(START), MemoryStore()
    settings = Settings(store=MemorySettings(), engine=SELDOM)
    async with running(settings, clock=clock, store=store) as engine:
        key = await write_key(engine)
        await engine.apply([segment("keen", KEEN)])
        await send(engine, key, view(1), view(2))
        engine.sequencer.advance(clock.advance(12 * MINUTE))
        assert engine.segment_sizes() == {"keen": 0}
        late = [view(place, timestamp=format_time(START + 5 * MINUTE)) for place in (3, 4)]
        await send(engine, key, *late)
        held = known(engine, "a")["segments"]
        assert held["keen"]["since"] == format_time(START + 10 * MINUTE), "when it was left, it could be entered again"
        again = Engine.open(settings, clock=clock, store=store)
        assert known(again, "a")["segments"] == held


async def test_what_was_due_before_a_definition_flips_at_its_own_time_also_at_replay() -> None:
    clock, store = ManualClock(START), MemoryStore()
    async with running(clock=clock, store=store) as engine:
        key = await write_key(engine)
        await engine.apply([segment("away", 'not performed("Product Viewed", last 10 minutes)')])
        await send(engine, key, view(1))
        clock.advance(60 * MINUTE)
        await engine.apply([segment("quiet", NO_ORDER)])
        since = {name: one["since"] for name, one in known(engine, "a")["segments"].items()}
        assert since == {"away": format_time(START + 10 * MINUTE), "quiet": format_time(START + 60 * MINUTE)}


async def test_timers_take_one_place_for_each_profile_however_often_its_flip_moves() -> None:
    clock = ManualClock(START)
    async with running(clock=clock) as engine:
        key = await write_key(engine)
        await engine.apply([segment("rich", 'sum(properties.price of "Product Viewed", last 30 minutes) >= 3')])
        timers = engine.sequencer.timers
        assert timers.refill(START, lambda: ()), "there is nothing else to read"
        for place in range(3_000):
            timers.note(f"a:{place % 2}", START + (3_000 - place) * SECOND // 2)
        assert len(timers) < 1_100
        assert list(timers.due(START + 30 * MINUTE)) == ["a:1", "a:0"]
        for place in range(20):
            clock.advance(SECOND)
            await send(engine, key, view(place, properties={"price": 3}))
        engine.sequencer.advance(clock.advance(29 * MINUTE + 55 * SECOND))
        assert engine.segment_sizes() == {"rich": 1}
        engine.sequencer.advance(clock.advance(5 * SECOND))
        assert engine.segment_sizes() == {"rich": 0}


async def test_flips_found_by_a_page_are_told_to_whoever_watches() -> None:
    clock = ManualClock(START)
    async with running(clock=clock) as engine:
        key = await write_key(engine)
        await engine.apply([segment("keen", KEEN)])
        await send(engine, key, view(1), view(2))
        watching = engine.subscribe()
        engine._importing = 1  # timers stand still while history comes in
        clock.advance(11 * MINUTE)
        engine.decide(DecideRequest(anonymous_id="a", slots=(SlotRequest(id="home"),)), key=key)
        seen = [await anext(watching) for _ in range(2)]
        assert [(one.kind, one.text) for one in seen] == [("segment", "keen"), ("decision", "home")]
        engine._importing = 0


# Definitions and keys


async def test_a_deleted_definition_counts_its_versions_on_after_a_restart(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path))
    async with running(settings) as engine:
        await engine.apply([segment("keen", KEEN)])
        await engine.delete("segments", "keen")
    async with running(settings) as engine:
        (applied,) = await engine.apply([segment("keen", KEEN)])
        assert (applied.version, applied.change) == (3, "created")
        assert failures(engine) == 0


async def test_of_definitions_applied_at_the_same_time_the_last_is_in_force_and_no_version_is_there_twice() -> None:
    async with running() as engine:
        key = await write_key(engine)
        engine.accept(engine.parse(json.dumps(view(1)).encode(), key=key), key)  # something to wait for
        bodies = [segment("keen", KEEN, name=f"Keen {n}") for n in range(3)]
        told = await asyncio.gather(*(engine.apply([one]) for one in bodies), return_exceptions=True)
        assert [isinstance(one, Conflict) for one in told] == [True, True, False]
        assert [(one.version, one.body["name"]) for one in engine.definitions("segments")] == [(1, "Keen 2")]
        applied = await asyncio.gather(
            *(engine.apply([segment("known", "known = true", name=f"{n}")]) for n in range(3))
        )
        assert [one.version for (one,) in applied] == [1, 2, 3], "what needs no history is in force one after the other"
        assert failures(engine) == 0


async def test_revoking_a_key_twice_is_no_failure() -> None:
    async with running() as engine:
        key = await write_key(engine)
        await engine.revoke_key(key.id)
        first = engine.keys()
        await engine.revoke_key(key.id)
        assert (engine.keys(), failures(engine)) == (first, 0)


async def test_two_keys_of_one_name_made_at_the_same_time_are_one() -> None:
    async with running() as engine:
        made = await asyncio.gather(write_key(engine), write_key(engine), return_exceptions=True)
        assert len([one for one in made if isinstance(one, Key)]) == 1


# Callers that stop waiting


async def test_a_caller_that_stops_waiting_takes_nobody_elses_answer_away() -> None:
    async with running() as engine:
        key = await write_key(engine)
        engine.accept(engine.parse(json.dumps(view(1)).encode(), key=key), key)
        waiting = [asyncio.create_task(send(engine, key, view(1))) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert answers[1] == ["duplicate"]


async def test_a_caller_that_stops_waiting_does_not_end_checkpoints() -> None:
    async with running(Settings(store=MemorySettings(), engine=SELDOM)) as engine:
        key = await write_key(engine)
        await send(engine, key, view(1))
        engine.checkpoint()
        waiting = asyncio.create_task(send(engine, key, view(1)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await send(engine, key, view(2))
        assert engine.metrics.snapshot()["bespeak_checkpoints_total"] == 1
        assert not engine._pending


# Disks


class Slow(MemoryStore):
    """A memory store whose second checkpoint, once it is asked to be slow, takes as long as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.checkpoints = -1_000

    def commit(self, commit: Commit) -> None:
        if commit.checkpoint is not None:
            self.checkpoints += 1
            if self.checkpoints == 2:
                self.go_on.wait(10)
        super().commit(commit)


async def test_a_profile_stays_in_ram_until_the_checkpoint_that_holds_it_is_written() -> None:
    few = msgspec.structs.replace(Settings().profiles, live_max=100)
    store = Slow()
    async with running(Settings(store=MemorySettings(), engine=SELDOM, profiles=few), store=store) as engine:
        key = await write_key(engine)
        people = [f"d{n}" for n in range(150)]
        await send(engine, key, *(view(n, person) for n, person in enumerate(people)))
        await engine._settle(engine.checkpoint())
        await send(engine, key, *(view(1_000 + n, f"other{n}") for n in range(150)))
        store.checkpoints = 0
        first = engine.checkpoint()
        parsed = engine.parse(
            json.dumps({"batch": [view(2_000 + n, one) for n, one in enumerate(people)]}).encode(), key=key
        )
        engine.accept(parsed, key)
        second = engine.checkpoint()
        assert first is not None
        assert second is not None
        await first
        counts = [known(engine, person)["counts"]["Product Viewed"] for person in people]
        store.go_on.set()
        await second
        assert counts == [2] * len(people)


class Broken(MemoryStore):
    """A memory store that fails as it is told."""

    writes: Exception | None = None
    reads: Exception | None = None
    forgets: Exception | None = None

    def commit(self, commit: Commit) -> None:
        if self.writes is not None:
            raise self.writes
        super().commit(commit)

    def read(self, after: int) -> Iterator[LogRow]:
        if self.reads is not None:
            raise self.reads
        return super().read(after)

    def forget_seen(self, before_hour: int) -> None:
        if self.forgets is not None:
            raise self.forgets
        super().forget_seen(before_hour)


async def test_a_commit_that_fails_in_an_unforeseen_way_is_undone_like_any_other() -> None:
    store = Broken()
    async with running(store=store) as engine:
        key = await write_key(engine)
        store.writes = RuntimeError("nobody thought of this")
        with pytest.raises(StoreError) as caught:
            await asyncio.wait_for(send(engine, key, view(1)), 5)
        assert "nobody thought" not in str(caught.value), "its text may say too much"
        store.writes = None
        assert await send(engine, key, view(1)) == ["ok"]


async def test_nothing_is_taken_or_decided_until_what_was_undone_can_be_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bespeak.engine.ledger.UNDO_SECONDS", 0.05)
    store = Broken()
    async with running(store=store) as engine:
        key = await write_key(engine)
        await send(engine, key, view(1), consenting("b", granted=False))
        store.writes = store.reads = StoreError("the disk is gone")
        with pytest.raises(StoreError):
            await asyncio.wait_for(send(engine, key, view(2)), 5)
        with pytest.raises(Unavailable):
            await send(engine, key, view(3))
        with pytest.raises(Unavailable):  # what RAM holds now may lack a denial
            engine.decide(DecideRequest(anonymous_id="b", slots=(SlotRequest(id="home"),)), key=key)
        assert engine.checkpoint() is None
        store.writes = store.reads = None
        await until(lambda: not engine._undoing)
        assert await send(engine, key, view(2)) == ["ok"]
        assert known(engine, "a")["counts"]["Product Viewed"] == 2
        assert known(engine, "b")["consent"] == {"personalization": False}


async def test_time_is_kept_though_the_store_fails_once() -> None:
    store = Broken()
    store.forgets = StoreError("busy")
    clock = ManualClock(START)
    async with running(clock=clock, store=store) as engine:
        key = await write_key(engine)
        await engine.apply([segment("keen", KEEN)])
        await send(engine, key, view(1), view(2))
        await asyncio.sleep(0.15)
        clock.advance(11 * MINUTE)
        await until(lambda: engine.segment_sizes() == {"keen": 0})


# Who is who, and who said no


async def test_a_user_signature_joins_no_other_known_person() -> None:
    async with running() as engine:
        key = await write_key(engine)
        secret, _ = await engine.create_key("secret", "server")
        await send(engine, key, identify("victim", "va", traits={"email": "v@example.org"}))
        assert key.signing_secret is not None
        signed = {"userSignature": sign(key.signing_secret, "thief")}
        theft = {"type": "alias", "userId": "thief", "previousId": "victim"}
        assert await send(engine, key, {**theft, **signed}) == ["rejected"]
        assert known(engine, "victim")["id"] == "u:victim"
        assert await send(engine, secret, theft) == ["ok"]
        assert known(engine, "victim")["id"] == "u:thief"


async def test_an_alias_that_is_known_joins_no_device_of_the_same_name() -> None:
    async with running() as engine:
        secret, _ = await engine.create_key("secret", "server")
        await send(engine, secret, view(1, "old"), {"type": "identify", "userId": "old"})
        await send(engine, secret, {"type": "alias", "userId": "new", "previousId": "old"})
        await send(engine, secret, {"type": "alias", "userId": "new", "previousId": "old"})
        assert known(engine, "u:old")["id"] == "u:new"
        assert known(engine, "a:old")["id"] == "a:old"


async def test_a_device_that_said_no_is_not_identified() -> None:
    async with running() as engine:
        key = await write_key(engine)
        await send(engine, key, consenting("a", granted=False))
        assert await send(engine, key, identify("u", "a", traits={"email": "u@example.org"})) == ["refused"]
        assert engine.profile("u") is None
        assert known(engine, "a")["traits"] == {}


async def test_a_yes_given_before_the_login_counts_for_it() -> None:
    opt_in = Settings(store=MemorySettings(), privacy=PrivacySettings(mode="opt_in"))
    async with running(opt_in) as engine:
        key = await write_key(engine)
        assert await send(engine, key, identify("u", "b")) == ["refused"]
        await send(engine, key, consenting("a", granted=True))
        assert await send(engine, key, identify("u", "a")) == ["ok"]
        assert known(engine, "u")["consent"] == {"personalization": True}


# Pages


async def test_a_moment_that_cannot_be_written_is_refused() -> None:
    async with running() as engine:
        secret, _ = await engine.create_key("secret", "server")
        for at in (10**18, -1, True, "noon"):
            with pytest.raises(InvalidInput, match=r"context\.at"):
                engine.decide(DecideRequest(slots=(SlotRequest(id="home"),), context={"at": at}), key=secret)


EXPERIMENT = Definition(
    kind="experiments",
    id="test",
    body={
        "id": "test",
        "status": "running",
        "unit": "device",
        "variants": [{"key": "old", "weight": 0.5}, {"key": "new", "weight": 0.5}],
    },
)


async def test_the_first_page_shows_the_variant_that_every_later_one_will() -> None:
    async with running() as engine:
        key = await write_key(engine)
        await engine.put_items([Item(id="i1")])
        await engine.apply([EXPERIMENT])

        def variant() -> dict[str, str]:
            request = DecideRequest(anonymous_id="a", slots=(SlotRequest(id="home"),))
            return dict(engine.decide(request, key=key).experiments)

        first = variant()
        await send(engine, key, view(1))
        assert variant() == first != {}
        await send(engine, key, consenting("a", granted=False))
        assert variant() == {}, "without consent nobody is assigned"


async def test_a_known_person_is_assigned_by_user_though_the_page_names_the_device() -> None:
    async with running() as engine:
        key = await write_key(engine)
        secret, _ = await engine.create_key("secret", "server")
        await engine.apply([msgspec.structs.replace(EXPERIMENT, body={**EXPERIMENT.body, "unit": "user"})])
        await send(engine, key, identify("u", "a"))
        slots = (SlotRequest(id="home"),)
        by_device = engine.decide(DecideRequest(anonymous_id="a", slots=slots), key=key)
        by_user = engine.decide(DecideRequest(user_id="u", slots=slots), key=secret)
        assert by_device.experiments == by_user.experiments != {}
