"""The engine as its callers see it: what is acknowledged is there once, now, and after a crash."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from bespeak.catalog import Item
from bespeak.clock import DAY, HOUR, MINUTE, SECOND, ManualClock
from bespeak.decide import DecideRequest, Decision, SlotRequest
from bespeak.engine import Definition, Engine
from bespeak.errors import Conflict, DefinitionError, Forbidden, NotFound, StoreError, StoreLocked
from bespeak.privacy import Key, sign
from bespeak.profiles import IdentitySettings, ProfileSettings
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import Commit, MemorySettings, MemoryStore, Store

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
FANS = Definition(
    kind="segments", id="fans", body={"id": "fans", "condition": 'count("Product Viewed", last 3 seconds) >= 2'}
)
SELDOM = EngineSettings(checkpoint_seconds=3600, models_seconds=3600)
EVER = Definition(kind="segments", id="ever", body={"id": "ever", "condition": 'count("Product Viewed") >= 2'})


class Failing(MemoryStore):
    """A memory store whose disk can be full."""

    full = False

    def commit(self, commit: Commit) -> None:
        if self.full:
            raise StoreError("disk full")
        super().commit(commit)


@asynccontextmanager
async def running(
    settings: Settings | None = None, *, clock: ManualClock | None = None, store: Store | None = None
) -> AsyncIterator[Engine]:
    engine = Engine.open(
        settings or Settings(store=MemorySettings()), clock=clock or ManualClock(START), rng=Random(1), store=store
    )
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def body(*messages: dict[str, Any]) -> bytes:
    return json.dumps({"batch": list(messages)}).encode()


def view(item: str, place: int, **more: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "Product Viewed",
        "anonymousId": "a",
        "messageId": f"m{place}",
        "properties": {"product_id": item},
        **more,
    }


async def key_of(engine: Engine, kind: str = "write") -> Key:
    name = kind + str(len(engine.keys()))
    key, _ = await engine.create_key("secret" if kind == "secret" else "write", name)
    return key


async def send(engine: Engine, key: Key, *messages: dict[str, Any]) -> list[str]:
    return [result.status for result in await engine.track(engine.parse(body(*messages), key=key), key)]


def goods(count: int = 12, **more: Any) -> list[Item]:
    return [
        Item(id=f"i{n}", title=f"Item {n}", categories=(f"c{n % 3}",), tags=(f"t{n % 2}",), price=float(n), **more)
        for n in range(count)
    ]


def ask(engine: Engine, key: Key, *, n: int = 5, **more: Any) -> Decision:
    slots = more.pop("slots", (SlotRequest(id="home", n=n),))
    return engine.decide(DecideRequest(slots=slots, **{"anonymous_id": "a", **more}), key=key)


def shown(decision: Decision, slot: str = "home") -> list[str]:
    return [item.item for item in decision.slots[slot].items]


async def test_an_event_is_visible_before_it_is_durable_and_counted_once() -> None:
    async with running() as engine:
        key = await key_of(engine)
        receipt = engine.accept(engine.parse(body(view("i1", 1)), key=key), key)
        known = engine.profile("a")
        assert known is not None
        assert known["counts"] == {"Product Viewed": 1}
        again = engine.accept(engine.parse(body(view("i1", 1)), key=key), key)
        await receipt.durable
        await again.durable
        assert [result.status for result in (*receipt.results, *again.results)] == ["ok", "duplicate"]
        assert engine.store.last_offset() == 1


async def test_results_stand_in_the_order_of_the_body_and_bad_items_go_to_quarantine() -> None:
    async with running() as engine:
        key = await key_of(engine)
        statuses = await send(engine, key, view("i1", 1), {"type": "track", "anonymousId": "a"}, view("i2", 2))
        assert statuses == ["ok", "rejected", "ok"]
        (bad,) = engine.rejected()
        assert json.loads(bad.data)["type"] == "track"
        assert bad.place == "1"


async def test_duplicates_are_found_after_a_restart(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path))
    async with running(settings) as engine:
        key = await key_of(engine)
        await send(engine, key, view("i1", 1))
    async with running(settings, clock=ManualClock(START + HOUR)) as engine:
        assert await send(engine, key, view("i1", 1)) == ["duplicate"]


async def test_an_imported_message_is_a_duplicate_at_any_age() -> None:
    clock = ManualClock(START)
    async with running(clock=clock) as engine:
        key = await key_of(engine, "secret")
        events = engine.parse(body(view("i1", 1), view("i2", 2)), key=key).events
        assert await engine.import_events(events) == (2, 0, 0)
        clock.advance(90 * DAY)
        assert await engine.import_events(events) == (0, 2, 0)


def everything(engine: Engine) -> dict[str, Any]:
    profiles = {profile.id: msgspec.to_builtins(profile) for profile in engine.profiles()}
    models = {one.name: one.dump() for one in engine.models.recommenders}
    return {
        "profiles": profiles,
        "aliases": dict(engine.sequencer.aliases),
        "sizes": engine.segment_sizes(),
        "count": engine.sequencer.profiles,
        "items": {item.id: item for item in engine.catalog.items()},
        "definitions": [one.id for one in engine.definitions("segments")],
        "models": models,
    }


def story(rng: Random, place: int) -> dict[str, Any]:
    device = f"d{rng.randrange(6)}"
    name = rng.choice(["Product Viewed", "Product Viewed", "Product Added", "Order Completed"])
    message: dict[str, Any] = {
        "type": "track",
        "event": name,
        "anonymousId": device,
        "messageId": f"s{place}",
        "properties": {"product_id": f"i{rng.randrange(12)}", "price": rng.randrange(9)},
    }
    if rng.random() < 0.15:
        message = {
            "type": "identify",
            "userId": f"u{rng.randrange(4)}",
            "anonymousId": device,
            "messageId": f"s{place}",
            "traits": {"plan": rng.choice(["free", "pro"])},
        }
    return message


@pytest.mark.parametrize("seed", range(6))
async def test_replaying_the_log_gives_what_was_live(seed: int) -> None:
    """Whatever was checkpointed and whatever was not: a crash at any moment loses nothing and counts nothing twice."""
    rng = Random(seed)
    store, clock = MemoryStore(), ManualClock(START)
    settings = Settings(store=MemorySettings(), engine=SELDOM)
    engine = Engine.open(settings, clock=clock, rng=Random(1), store=store)
    await engine.start()
    key = await key_of(engine)
    await engine.put_items(goods())
    for place in range(60):
        clock.advance(rng.randrange(40) * SECOND)
        if place in {10, 30}:
            await engine.apply([FANS if place == 10 else EVER])
        if place == 35:
            await engine.remove_items(["i3"])
        await send(engine, key, story(rng, place))
        if rng.random() < 0.1:
            engine.checkpoint(models=rng.random() < 0.5)
    await engine._durable()
    # Killed: nothing is closed; whatever is in `store` now is all there is.
    replayed = Engine.open(settings, clock=clock, rng=Random(1), store=store)
    live, again = everything(engine), everything(replayed)
    assert again == live
    await engine.close()


@pytest.mark.parametrize(
    "settings, people",
    [
        (Settings(store=MemorySettings(), engine=EngineSettings(checkpoint_seconds=3600, checkpoint_events=1_000)), 10),
        (Settings(store=MemorySettings(), engine=SELDOM, profiles=ProfileSettings(live_max=100)), 75),
    ],
    ids=["a log that would take long to replay", "as many changed people as three quarters of those in RAM"],
)
async def test_a_checkpoint_does_not_wait_for_its_time_with_much_to_write(settings: Settings, people: int) -> None:
    async with running(settings) as engine:
        key = await key_of(engine)
        first = engine._offset
        for place in range(1_100 if people == 10 else people):
            await send(engine, key, view("i1", place, anonymousId=f"a{place % people}"))
        while engine.store.checkpoint_offset() < first + people:  # noqa: ASYNC110  time is kept ten times a second
            await asyncio.sleep(0.01)
        await send(engine, key, view("i1", 9_999, anonymousId="a1"))
        assert not engine._is_much_unwritten()


async def test_a_commit_that_fails_is_undone_and_its_sender_told() -> None:
    store = Failing()
    async with running(store=store) as engine:
        key = await key_of(engine)
        await engine.apply([EVER])
        await send(engine, key, view("i1", 1))
        before = everything(engine)
        store.full = True
        with pytest.raises(StoreError):
            await send(engine, key, view("i2", 2))
        assert everything(engine) == before
        store.full = False
        assert await send(engine, key, view("i2", 2)) == ["ok"]
        assert engine.segment_sizes() == {"ever": 1}
        assert engine.store.last_offset() == 3


async def test_a_window_is_left_at_its_second_also_while_the_server_was_down(tmp_path: Path) -> None:
    settings, clock = Settings(data_dir=str(tmp_path)), ManualClock(START)
    async with running(settings, clock=clock) as engine:
        key = await key_of(engine)
        await engine.apply([FANS])
        await send(engine, key, view("i1", 1), view("i2", 2))
        assert engine.segment_sizes() == {"fans": 1}
    clock.advance(MINUTE)
    async with running(settings, clock=clock) as engine:
        assert engine.segment_sizes() == {"fans": 0}


async def test_a_segment_applied_later_counts_history() -> None:
    async with running() as engine:
        key = await key_of(engine)
        await send(engine, key, view("i1", 1), view("i2", 2))
        await send(engine, key, {"type": "identify", "userId": "u", "anonymousId": "a", "messageId": "m3"})
        await engine.apply([EVER])
        assert engine.segment_sizes() == {"ever": 1}


async def test_definitions_are_applied_all_or_none_and_count_their_versions() -> None:
    async with running() as engine:
        broken = Definition(kind="segments", id="broken", body={"id": "broken", "condition": "count("}, source="b.yaml")
        with pytest.raises(DefinitionError, match=r"b\.yaml"):
            await engine.apply([FANS, broken])
        assert engine.definitions("segments") == ()
        assert [one.change for one in await engine.apply([FANS])] == ["created"]
        assert [one.change for one in await engine.apply([FANS])] == ["unchanged"]
        changed = msgspec.structs.replace(FANS, body={**FANS.body, "name": "Fans"})
        (applied,) = await engine.apply([changed])
        assert (applied.change, applied.version) == ("updated", 2)
        await engine.delete("segments", "fans")
        assert engine.definitions("segments") == ()
        with pytest.raises(NotFound):
            await engine.delete("segments", "fans")


async def test_an_identify_joins_the_device_and_the_person() -> None:
    async with running() as engine:
        key = await key_of(engine)
        await engine.apply([EVER])
        await send(engine, key, view("i1", 1), view("i2", 2))
        await send(engine, key, {"type": "identify", "userId": "u", "anonymousId": "a", "traits": {"vip": True}})
        person, device = engine.profile("u"), engine.profile("a")
        assert person is not None
        assert person == device
        assert (person["userId"], person["counts"]["Product Viewed"], person["traits"]) == ("u", 2, {"vip": True})
        assert engine.segment_sizes() == {"ever": 1}
        assert engine.metrics.snapshot()["bespeak_profiles"] == 1


async def test_claims_wait_for_a_signature_when_settings_say_so() -> None:
    settings = Settings(store=MemorySettings(), identity=IdentitySettings(unsigned="claim"))
    async with running(settings) as engine:
        key = await key_of(engine)
        claim = {"type": "identify", "userId": "u", "anonymousId": "a"}
        await send(engine, key, claim)
        claimed = engine.profile("a")
        assert claimed is not None
        assert (claimed["userId"], claimed["claimedUserId"]) == (None, "u")
        assert engine.profile("u") is None
        assert key.signing_secret is not None
        await send(engine, key, {**claim, "userSignature": sign(key.signing_secret, "u")})
        assert engine.profile("u") == engine.profile("a")


async def test_a_refused_purpose_leaves_no_trace_and_a_default_page() -> None:
    async with running() as engine:
        key = await key_of(engine)
        await engine.put_items(goods())
        await send(engine, key, view("i1", 1))
        denied = {"consent": {"categoryPreferences": {"personalization": False}}}
        event = "Segment Consent Preference Updated"
        await send(engine, key, {"type": "track", "event": event, "anonymousId": "a", "context": denied})
        assert await send(engine, key, view("i2", 2)) == ["refused"]
        known = engine.profile("a")
        assert known is not None
        assert known["counts"]["Product Viewed"] == 1
        offset = engine.store.last_offset()
        decision = ask(engine, key)
        assert not decision.personalized
        assert "consent" in decision.reason
        assert len(shown(decision)) == 5
        assert engine.metrics.snapshot()["bespeak_log_offset"] == offset, "nothing about this person was recorded"


async def test_the_denial_of_a_refused_event_is_kept_without_the_event() -> None:
    async with running() as engine:
        key = await key_of(engine)
        denied = {"consent": {"categoryPreferences": {"personalization": False}}}
        assert await send(engine, key, view("i1", 1, context=denied)) == ["refused"]
        known = engine.profile("a")
        assert known is not None
        assert (known["consent"]["personalization"], known["recent"]) == (False, [])
        assert await send(engine, key, view("i2", 2)) == ["refused"]


async def test_the_events_of_a_request_are_known_to_its_decision() -> None:
    async with running() as engine:
        key = await key_of(engine)
        await engine.put_items(goods())
        for n in range(8):
            pair = (7, 8) if n < 5 else (1, 2)
            await send(engine, key, *(view(f"i{item}", n * 10 + item, anonymousId=f"x{n}") for item in pair))
        before = ask(engine, key, n=1)
        assert shown(before)[0] in {"i7", "i8"}
        assert before.slots["home"].items[0].source == "trending"
        raw = msgspec.Raw(json.dumps(view("i1", 999)).encode())
        after = ask(engine, key, n=1, events=(raw,))
        assert after.personalized
        assert shown(after) == ["i2"]
        assert after.slots["home"].items[0].source == "seqknn"


async def test_bought_hidden_and_sold_out_items_are_never_shown() -> None:
    async with running() as engine:
        key = await key_of(engine)
        await engine.put_items([*goods(), Item(id="gone", stock=0), Item(id="secret", hidden=True)])
        await send(engine, key, {**view("i1", 1), "event": "Order Completed"})
        await send(engine, key, {**view("i2", 2), "event": "Item Hidden"})
        everything_shown = shown(ask(engine, key, n=50))
        assert set(everything_shown) == {f"i{n}" for n in range(12)} - {"i1", "i2"}


async def test_an_item_says_its_source_and_the_events_that_brought_it() -> None:
    async with running() as engine:
        key, secret = await key_of(engine), await key_of(engine, "secret")
        await engine.put_items(goods())
        for n in range(4):
            await send(engine, key, *(view(f"i{item}", n * 10 + item, anonymousId=f"x{n}") for item in (1, 2)))
        await send(engine, key, view("i1", 1000))
        decision = ask(engine, secret, n=1, explain=True)
        (item,) = decision.slots["home"].items
        assert (item.item, item.source) == ("i2", "seqknn")
        assert item.why[0].item == "i1"
        assert decision.reasons is not None
        assert decision.reasons["profile"]["id"] == "a:a"


async def test_a_write_key_asks_only_about_its_own_device() -> None:
    async with running() as engine:
        key, secret = await key_of(engine), await key_of(engine, "secret")
        with pytest.raises(Forbidden):
            ask(engine, key, user_id="u")
        with pytest.raises(Forbidden):
            ask(engine, key, context={"at": START})
        assert key.signing_secret is not None
        ask(engine, key, user_id="u", user_signature=sign(key.signing_secret, "u"))
        ask(engine, secret, user_id="u")


async def test_a_decision_can_be_asked_as_of_its_moment() -> None:
    clock = ManualClock(START)
    async with running(clock=clock) as engine:
        key, secret = await key_of(engine), await key_of(engine, "secret")
        await engine.put_items(goods())
        for n in range(4):
            await send(engine, key, *(view(f"i{item}", n * 10 + item, anonymousId=f"x{n}") for item in (1, 2)))
        await send(engine, key, view("i1", 1000))
        then = clock.now()
        first = shown(ask(engine, secret, context={"at": then}))
        clock.advance(MINUTE)
        await send(engine, key, view("i7", 1001), view("i8", 1002))
        assert shown(ask(engine, secret, context={"at": then}))[0] == first[0] == "i2"


async def test_what_was_offered_is_written_to_the_log() -> None:
    async with running() as engine:
        key = await key_of(engine)
        await engine.put_items(goods())
        await send(engine, key, view("i1", 1))
        decision = ask(engine, key, n=2)
        known = engine.profile("a")
        assert known is not None
        assert known["counts"]["Decision Made"] == 1
        assert engine.metrics.snapshot()["bespeak_decisions_total"] == 1
        assert decision.decision_id


async def test_no_time_left_is_an_answer() -> None:
    settings = msgspec.structs.replace(
        Settings(store=MemorySettings()), decide=msgspec.structs.replace(Settings().decide, deadline_ms=1.0)
    )
    async with running(settings) as engine:
        key = await key_of(engine)
        await engine.put_items(goods(2000))
        slots = tuple(SlotRequest(id=f"s{n}", n=50) for n in range(60))
        decision = ask(engine, key, slots=slots)
        assert set(decision.slots) == {slot.id for slot in slots}
        assert "no time was left" in decision.slots["s59"].reason


async def test_keys_open_until_they_are_revoked() -> None:
    async with running() as engine:
        key, token = await engine.create_key("write", "site")
        assert engine.key(token) == key
        with pytest.raises(Conflict, match="in use"):
            await engine.create_key("secret", "site")
        await engine.revoke_key(key.id)
        assert engine.key(token) is None
        assert engine.key("bsw_unknown") is None


async def test_one_process_owns_a_store(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path))
    async with running(settings):
        with pytest.raises(StoreLocked):
            Engine.open(settings)
    async with running(settings):
        pass


async def test_profiles_beyond_the_bound_rest_in_the_store() -> None:
    base = Settings(store=MemorySettings())
    settings = msgspec.structs.replace(base, profiles=msgspec.structs.replace(base.profiles, live_max=100))
    async with running(settings) as engine:
        key = await key_of(engine)
        await send(engine, key, *(view("i1", n, anonymousId=f"d{n}") for n in range(300)))
        await engine.checkpoint_now()
        await asyncio.sleep(0)
        assert len(engine.sequencer.live) <= 100
        assert engine.metrics.snapshot()["bespeak_profiles"] == 300
        await send(engine, key, *(view("i2", 1000 + n, anonymousId=f"d{n}") for n in range(300)))
        counts = [profile.counts["Product Viewed"] for profile in engine.profiles()]
        assert counts == [2] * 300


async def test_whoever_watches_sees_events_moves_and_decisions() -> None:
    async with running() as engine:
        key = await key_of(engine)
        await engine.apply([FANS])
        watching = engine.subscribe()
        await send(engine, key, view("i1", 1), view("i2", 2))
        ask(engine, key)
        seen = [await anext(watching) for _ in range(4)]
        watching.close()
        assert [one.kind for one in seen] == ["event", "event", "segment", "decision"]
        assert seen[2].text == "fans"


def test_nothing_is_taken_before_the_engine_runs() -> None:
    engine = Engine.open(Settings(store=MemorySettings()), clock=ManualClock(START))
    key = Key(id="k", kind="write", name="k", created=0, digest=b"")
    with pytest.raises(StoreError, match="not running"):
        engine.accept(engine.parse(body(view("i1", 1)), key=key), key)
