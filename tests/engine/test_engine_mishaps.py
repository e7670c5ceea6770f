"""Events that cannot be folded, kept or told apart: each is answered, none harms its neighbours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import msgspec
import pytest

from bespeak.clock import DAY, HOUR, SECOND, ManualClock
from bespeak.engine import Definition, Engine
from bespeak.engine.dedupe import Dedupe
from bespeak.errors import StoreError
from bespeak.events import Event
from bespeak.ids import ProfileId, digest
from bespeak.privacy import Key
from bespeak.profiles import IdentitySettings
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import Commit, MemorySettings, MemoryStore, ProfileRow, Store

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
IN_RAM = Settings(store=MemorySettings(), engine=EngineSettings(checkpoint_seconds=3_600, models_seconds=3_600))


@asynccontextmanager
async def running(settings: Settings = IN_RAM, store: Store | None = None) -> AsyncIterator[tuple[Engine, Key]]:
    engine = Engine.open(settings, clock=ManualClock(START), rng=Random(1), store=store)
    await engine.start()
    try:
        yield engine, (await engine.create_key("write", "site"))[0]
    finally:
        await engine.close()


def view(place: int, person: str = "a", **more: Any) -> dict[str, Any]:
    named = {"event": "Product Viewed", "anonymousId": person, "messageId": f"m{place}"}
    return {"type": "track", **named, **more}


def past(place: int, person: str, time: int, **more: Any) -> Event:
    return Event(
        type="track",
        name="Product Viewed",
        message_id=f"p{place}",
        time=time,
        received=START,
        anonymous_id=person,
        source="import",
        **more,
    )


async def send(engine: Engine, key: Key, *messages: dict[str, Any]) -> list[str]:
    parsed = engine.parse(json.dumps({"batch": messages}).encode(), key=key)
    return [result.status for result in await engine.track(parsed, key)]


def views(engine: Engine, person: str) -> int:
    known = engine.profile(person)
    return 0 if known is None else known["counts"]["Product Viewed"]


class Unreadable(MemoryStore):
    """A memory store that cannot read one profile."""

    lost: ProfileId | None = None

    def profile(self, profile_id: ProfileId) -> ProfileRow | None:
        if profile_id == self.lost:
            raise StoreError("bad sector")
        return super().profile(profile_id)


async def test_a_batch_that_breaks_half_way_is_undone_as_a_whole() -> None:
    store = Unreadable()
    async with running(store=store) as (engine, key):
        waiting = engine.accept(engine.parse(json.dumps(view(1, "b")).encode(), key=key), key)
        store.lost = engine.vault.name("a:a")
        with pytest.raises(StoreError):
            await send(engine, key, view(2, "c"), view(3, "a"))
        await waiting.durable
        assert engine._writer is not None
        while not engine._writer.ready:  # noqa: ASYNC110  undone by the writer in its own time
            await asyncio.sleep(0.001)
        store.lost = None
        assert (views(engine, "b"), views(engine, "c")) == (1, 0)
        assert await send(engine, key, view(2, "c"), view(3, "a")) == ["ok", "ok"]
        assert [views(engine, person) for person in "abc"] == [1, 1, 1]
        assert store.last_offset() == 3


@pytest.mark.parametrize(
    "wrong, why",
    [
        ({"time": 9 * 10**18}, "time"),
        ({"time": -(10**18)}, "time"),
        ({"time": 10**30}, "time"),
        ({"properties": {"n": 10**30}}, "64 bits"),
    ],
)
async def test_history_that_cannot_be_kept_is_told_apart_from_the_rest(wrong: dict[str, Any], why: str) -> None:
    async with running() as (engine, key):
        bad = msgspec.structs.replace(past(2, "a", START), **wrong)
        counted = await engine.import_events([past(1, "a", START), bad, past(3, "a", START)])
        assert counted == (2, 0, 1)
        (rejected,) = engine.rejected()
        assert why in rejected.reason
        assert json.loads(rejected.data)["message_id"] == "p2"
        assert await send(engine, key, view(1)) == ["ok"]
        assert engine.metrics.snapshot()["bespeak_commit_failures_total"] == 0


async def test_an_event_about_nobody_goes_to_quarantine() -> None:
    claim = msgspec.structs.replace(IN_RAM, identity=IdentitySettings(unsigned="claim"))
    async with running(claim) as (engine, key):
        assert await send(engine, key, {"type": "identify", "userId": "u", "messageId": "m1"}) == ["rejected"]
        (rejected,) = engine.rejected()
        assert "not proven" in rejected.reason
        assert (rejected.source, rejected.place) == ("site", "m1")
        assert engine.metrics.snapshot()["bespeak_quarantine"] == 1


async def test_a_segment_applied_later_counts_what_each_device_did_before_they_were_one_person() -> None:
    month = Definition(
        kind="segments", id="month", body={"id": "month", "condition": 'count("Product Viewed", last 30 days) >= 4'}
    )
    sizes: list[dict[str, int]] = []
    for first in (True, False):
        async with running() as (engine, key):
            if first:
                await engine.apply([month])
            await engine.import_events([past(1, "a", START - 2 * DAY), past(2, "a", START - DAY)])
            await engine.import_events([past(3, "b", START - 9 * DAY), past(4, "b", START - 8 * DAY)])
            for device in "ab":
                await send(engine, key, {"type": "identify", "userId": "u", "anonymousId": device})
            if not first:
                await engine.apply([month])
            sizes.append(engine.segment_sizes())
    assert sizes == [{"month": 1}, {"month": 1}]


def test_messages_of_one_busy_hour_stay_within_the_bound_and_are_found_on_disk() -> None:
    store = MemoryStore()
    dedupe = Dedupe(store, bound=1_000, sieve_bytes=4_096)
    dedupe.load(START)
    names = [digest("site", f"m{n}") for n in range(5_000)]
    hour = START // HOUR
    for name in names:
        assert not dedupe.has(name)
        dedupe.add((name,), hour)
    dedupe.shrink(0)
    assert len(dedupe) == 5_000, "none of them is on disk yet"
    mark = dedupe.mark()
    store.commit(Commit(seen=tuple((name, hour) for name in names)))
    dedupe.shrink(mark)
    assert len(dedupe) <= 1_000
    assert all(dedupe.has(name) for name in names)
    again = Dedupe(store, bound=1_000, sieve_bytes=4_096)
    again.load(START)
    assert len(again) <= 1_000
    assert all(again.has(name) for name in names)
    assert not again.has(digest("site", "another"))
    again.add((digest("site", "tomorrow"),), hour + 25)
    assert len(again) == 1


def test_a_message_is_known_when_a_clock_that_was_a_day_ahead_is_right_again() -> None:
    store = MemoryStore()
    dedupe = Dedupe(store, bound=1_000, sieve_bytes=4_096)
    dedupe.load(START)
    hour = START // HOUR
    names = {place: digest("site", f"m{place}") for place in (0, 30, 1)}
    for place, name in names.items():
        assert not dedupe.has(name)
        dedupe.add((name,), hour + place)
        store.commit(Commit(seen=((name, hour + place),)))
    assert len(dedupe) == 2, "RAM holds a day"
    assert all(dedupe.has(name) for name in names.values())


def test_parts_that_are_too_old_go_one_for_each_that_comes() -> None:
    dedupe = Dedupe(MemoryStore(), bound=1_000, sieve_bytes=4_096)
    dedupe.load(START)
    hour = START // HOUR
    held: list[int] = []
    for place in (0, 1, 2, 100, 101, 102, 103):
        dedupe.add((digest("site", f"m{place}"),), hour + place)
        held.append(len(dedupe))
    assert held == [1, 2, 3, 3, 3, 3, 4]
