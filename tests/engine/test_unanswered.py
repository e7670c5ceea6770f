"""A question that the store does not answer changes nothing, and takes nobody's turn away."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from bespeak.clock import HOUR, MINUTE, SECOND, ManualClock
from bespeak.decide import DecideRequest, SlotRequest
from bespeak.engine import Definition, Engine, replay
from bespeak.engine import live as live_table
from bespeak.engine.site import Registry, Site
from bespeak.errors import StoreError, Unavailable
from bespeak.ids import ProfileId
from bespeak.profiles import Profile
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import Commit, MemorySettings, ProfileRow
from bespeak.testing.world_fragile import FragileMemory, MortalEngine

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
IN_RAM = Settings(store=MemorySettings(), engine=EngineSettings(checkpoint_seconds=3_600, models_seconds=3_600))
LATELY = Definition(
    kind="segments", id="lately", body={"id": "lately", "condition": 'performed("Product Viewed", last 20 minutes)'}
)
PEOPLE = "abcdef"


class Unanswering(FragileMemory):
    """A store in RAM that does not answer about some people; its commits wait until they may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: frozenset[str] = frozenset()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def commit(self, commit: Commit) -> None:
        self.may_go_on.wait()
        super().commit(commit)

    def _asked(self, name: str) -> None:
        if name in self.hidden:
            raise StoreError("bad sector")

    def profile(self, profile_id: ProfileId) -> ProfileRow | None:
        self._asked(profile_id)
        return super().profile(profile_id)

    def alias(self, alias: ProfileId) -> ProfileId | None:
        self._asked(alias)
        return super().alias(alias)

    def profiles(self, *after: str) -> Iterator[ProfileRow]:
        for row in super().profiles(*after):
            self._asked(row.id)
            yield row


async def opened(store: Unanswering, at: int = START) -> Engine:
    engine = MortalEngine.open(IN_RAM, clock=ManualClock(at), rng=Random(1), store=store)
    await engine.start()
    if not engine.keys():
        await engine.create_key("secret", "site")
    return engine


async def views(engine: Engine, *people: str, then: tuple[dict[str, Any], ...] = ()) -> None:
    """Let people view something, one message each, in one batch."""
    batch = [
        {"type": "track", "event": "Product Viewed", "anonymousId": one, "messageId": f"m{one}{engine._offset}"}
        for one in people
    ]
    parsed = engine.parse(json.dumps({"batch": [*batch, *then]}).encode(), key=engine.keys()[0])
    await engine.track(parsed, engine.keys()[0])


async def at_rest(store: Unanswering, at: int = START) -> Engine:
    """Return an engine whose people are all in the store, and none in RAM."""
    engine = await opened(store)
    await engine.apply([LATELY])
    await views(engine, *PEOPLE)
    await engine.close()
    return await opened(store, at)


async def test_whose_flips_are_due_flip_all_or_none_and_none_is_forgotten() -> None:
    store = Unanswering()
    engine = await at_rest(store)
    store.hidden = frozenset({engine.vault.name("a:d")})
    later = START + HOUR
    for _ in range(2):
        with pytest.raises(StoreError):
            engine.sequencer.advance(later)
        assert engine.segment_sizes() == {"lately": len(PEOPLE)}
        assert engine.sequencer.worked <= START
    store.hidden = frozenset()
    assert len(engine.sequencer.advance(later)) == len(PEOPLE)
    assert engine.segment_sizes() == {"lately": 0}
    await engine.close()


async def test_whoever_had_no_turn_when_the_store_fell_silent_has_it_later_and_nobody_has_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_table, "READ_AT_ONCE", 1)
    store = Unanswering()
    engine = await at_rest(store)
    live, paid = engine.sequencer.live, list[str]()

    def pay(profile: Profile) -> None:
        paid.append(profile.id)

    live.owe(pay)
    live.settle(1)
    store.hidden = frozenset(engine.vault.name(f"a:{one}") for one in PEOPLE if f"a:{one}" not in paid)
    for most in (2, None):
        with pytest.raises(StoreError):
            live.settle(most)
        assert (live.owing, len(paid)) == (True, 1)
    store.hidden = frozenset()
    assert not live.settle()
    assert sorted(paid) == [f"a:{one}" for one in PEOPLE]
    await engine.close()


async def test_a_page_has_its_answer_when_its_record_cannot_be_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = await opened(Unanswering())
    await views(engine, "a")

    def fails(*_: object, **__: object) -> None:
        raise StoreError("bad sector")

    with monkeypatch.context() as unreadable:
        unreadable.setattr(engine.sequencer, "admit", fails)
        page = engine.decide(DecideRequest(anonymous_id="a", slots=(SlotRequest(id="home"),)), key=engine.keys()[0])
    assert page.personalized
    assert engine.metrics.snapshot()["bespeak_decisions_unrecorded_total"] == 1
    assert engine.store.last_offset() == engine._offset == 1
    await engine.close()


async def test_definitions_compiled_before_everything_was_read_again_are_not_put_in_force(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Unanswering()
    engine = await at_rest(store)
    compiled = Registry.with_changes

    def undone(registry: Registry, *changes: Any) -> Site:
        site = compiled(registry, *changes)
        engine.recover()
        return site

    lately = Definition(kind="segments", id="hour", body={"id": "hour", "condition": 'count("A", last 1 hour) >= 1'})
    with monkeypatch.context() as undoing:
        undoing.setattr(Registry, "with_changes", undone)
        for change in (engine.apply([lately]), engine.delete("segments", "lately")):
            with pytest.raises(Unavailable, match="read again"):
                await change
    assert engine.segment_sizes() == {"lately": len(PEOPLE)}
    await engine.apply([lately])
    assert replay(IN_RAM, store, clock=ManualClock(START)).difference is None
    await engine.close()


async def test_a_definition_is_not_said_to_be_there_before_it_is_on_disk() -> None:
    store = Unanswering()
    engine = await opened(store)
    store.may_go_on.clear()
    store.trouble = "lost"
    first = asyncio.create_task(engine.apply([LATELY]))
    while not engine.definitions("segments"):  # noqa: ASYNC110  compiled in another thread
        await asyncio.sleep(0.001)
    first.cancel()
    again = asyncio.create_task(engine.apply([LATELY]))
    await asyncio.sleep(0.01)
    store.may_go_on.set()
    with pytest.raises(StoreError):
        await again
    store.trouble = "none"
    while engine._writer is None or not engine._writer.ready:  # noqa: ASYNC110  undone by the writer in its own time
        await asyncio.sleep(0.001)
    (applied,) = await engine.apply([LATELY])
    assert applied.change == "created"
    await engine.close()


async def test_a_key_made_for_what_was_not_taken_outlives_a_new_master_key() -> None:
    store = Unanswering()
    engine = await opened(store)
    store.hidden = frozenset({engine.vault.name("a:b")})
    with pytest.raises(StoreError):
        await views(engine, "b", then=({"type": "track", "anonymousId": "a", "messageId": "m0"},))
    store.hidden = frozenset()
    await engine.rotate_master_key()
    await views(engine, "a")
    await engine.close()
    engine = await opened(store, START + MINUTE)
    profile = engine.find("a")
    assert profile is not None
    assert profile.counts == {"Product Viewed": 1}
    await engine.close()


async def test_an_engine_closes_whether_or_not_its_last_checkpoint_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Unanswering()
    engine = await at_rest(store)
    await views(engine, "a")

    def fails(*_: object, **__: object) -> None:
        raise StoreError("bad sector")

    with monkeypatch.context() as unreadable:
        unreadable.setattr(engine.models, "products", fails)
        await engine.close()
    assert engine._writer is None
    engine = await opened(store)
    profile = engine.find("a")
    assert profile is not None
    assert profile.counts == {"Product Viewed": 2}
    await engine.close()


async def test_an_erasure_that_is_done_is_told_whatever_cannot_be_asked_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Unanswering()
    engine = await at_rest(store)

    def fails() -> int:
        raise StoreError("bad sector")

    with monkeypatch.context() as silent:
        silent.setattr(store, "rejected_count", fails)
        receipt = await engine.erase("a")
    assert (receipt.identifiers, receipt.keys) == (1, 1)
    assert "write-ahead log is cut" in receipt.stores["disk"]
    assert engine.find("a") is None
    await engine.close()
