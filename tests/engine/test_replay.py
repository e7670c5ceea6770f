"""`replay`: what was folded live is what the log says, and where it is not, the first difference is named."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import msgspec
import pytest

from bespeak.catalog import Item
from bespeak.clock import DAY, HOUR, SECOND, ManualClock, format_time
from bespeak.engine import Definition, Engine, replay
from bespeak.engine.aliases import seal_alias
from bespeak.engine.vault import PRODUCT, STORE
from bespeak.errors import CorruptLog
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import Checkpoint, Commit, Document, LogRow, MemorySettings, MemoryStore, Product
from bespeak.stores.gaps import make_gap

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
SETTINGS = Settings(store=MemorySettings(), engine=EngineSettings(checkpoint_seconds=3600, models_seconds=3600))
SEGMENTS = {
    "fans": 'count("Product Viewed", last 90 seconds) >= 2',
    "ever": 'count("Product Viewed") >= 3',
    "spenders": 'sum(properties.price of "Product Added", last 1 hour) > 5',
    "quiet": 'performed("Product Viewed", last 1 day) and not performed("Product Viewed", last 2 minutes)',
}


class Kept(MemoryStore):
    """A memory store that an engine does not close."""

    def close(self) -> None:
        pass


def message(rng: Random, place: int, now: int) -> dict[str, Any]:
    late = rng.choice([0, 0, 0, 5, 40, 200, 2_000]) * SECOND
    device, base = f"d{rng.randrange(6)}", {"messageId": f"s{place}", "timestamp": format_time(now - late)}
    if rng.random() < 0.15:
        traits = {"plan": rng.choice(["free", "pro"])}
        return {**base, "type": "identify", "userId": f"u{rng.randrange(4)}", "anonymousId": device, "traits": traits}
    name = rng.choice(["Product Viewed", "Product Viewed", "Product Added", "Order Completed"])
    properties = {"product_id": f"i{rng.randrange(12)}", "price": rng.randrange(9)}
    return {**base, "type": "track", "event": name, "anonymousId": device, "properties": properties}


async def lived(seed: int, *, places: int = 120) -> tuple[MemoryStore, ManualClock]:
    """Live through a story with late events, joins, definitions in the middle, checkpoints and windows that close."""
    rng, store, clock = Random(seed), Kept(), ManualClock(START)
    engine = Engine.open(SETTINGS, clock=clock, rng=Random(1), store=store)
    await engine.start()
    key, _ = await engine.create_key("write", "site")
    await engine.put_items([Item(id=f"i{n}", price=float(n), created=START) for n in range(12)])
    at = iter(SEGMENTS.items())
    for place in range(places):
        clock.advance(rng.randrange(40) * SECOND)
        if place % 30 == 10:
            name, condition = next(at)
            await engine.apply([Definition(kind="segments", id=name, body={"id": name, "condition": condition})])
        if place == 70:
            await engine.remove_items(["i3"])
        body = json.dumps({"batch": [message(rng, place, clock.now())]}).encode()
        await engine.track(engine.parse(body, key=key), key)
        if rng.random() < 0.3:
            engine.sequencer.advance(clock.now())
        if rng.random() < 0.1:
            engine.checkpoint(models=rng.random() < 0.5)
    await engine.close()
    return store, clock


@pytest.mark.parametrize("seed", range(12))
async def test_a_replay_comes_to_what_is_live_whatever_came_late_and_whatever_closed(seed: int) -> None:
    store, clock = await lived(seed)
    clock.advance(HOUR)
    stages: dict[str, list[tuple[int, int]]] = {}
    found = replay(SETTINGS, store, clock=clock, watch=lambda stage, *far: stages.setdefault(stage, []).append(far))
    assert found.difference is None
    assert found.offset == found.checkpoint == store.last_offset()
    assert stages["replaying"][-1] == (found.offset, found.offset)
    assert stages["comparing"][-1] == (found.profiles, found.profiles)
    assert [done for done, _ in stages["replaying"]] == sorted({done for done, _ in stages["replaying"]})


async def test_a_window_that_only_the_log_since_the_checkpoint_knows_closes_after_a_crash() -> None:
    store, clock = Kept(), ManualClock(START)
    engine = Engine.open(SETTINGS, clock=clock, store=store)
    await engine.start()
    key, _ = await engine.create_key("write", "site")
    await engine.apply([Definition(kind="segments", id="fans", body={"id": "fans", "condition": SEGMENTS["fans"]})])
    view = {"type": "track", "event": "Product Viewed", "anonymousId": "ada"}
    await engine.track(engine.parse(json.dumps({"batch": [view, view]}).encode(), key=key), key)
    assert engine.segment_sizes() == {"fans": 1}
    # Killed: nothing is closed.
    again = Engine.open(SETTINGS, clock=clock, store=store)
    await again.start()
    clock.advance(91 * SECOND)
    again.sequencer.advance(clock.now())
    assert again.segment_sizes() == {"fans": 0}
    await again.close()
    assert replay(SETTINGS, store, clock=clock).equal


async def test_a_checkpoint_that_lags_behind_is_brought_up_by_the_log() -> None:
    store, clock = await lived(3)
    engine = Engine.open(SETTINGS, clock=clock, store=store)
    await engine.start()
    (key,) = engine.keys()
    await engine.track(
        engine.parse(json.dumps({"batch": [message(Random(9), 999, clock.now())]}).encode(), key=key), key
    )
    found = replay(SETTINGS, store, clock=clock)
    assert found.equal
    assert found.checkpoint < found.offset
    await engine.close()


def tampered(store: MemoryStore, **changes: Any) -> None:
    store.commit(Commit(checkpoint=Checkpoint(offset=store.checkpoint_offset(), **changes)))


async def test_the_first_difference_is_named_with_both_values() -> None:
    store, clock = await lived(3)
    engine = Engine.open(SETTINGS, clock=clock, store=store)
    profile = engine.sequencer.live.get(next(engine.profiles()).id)
    assert profile is not None
    name = min(profile.counts)
    true = profile.counts[name]
    profile.counts[name] += 1
    profile.first_seen -= DAY
    engine.sequencer.live.touch(profile.id)
    engine.sequencer.live.begin_cut()
    engine.sequencer.live.cut()
    tampered(store, profiles=engine.sequencer.live.rows())
    found = replay(SETTINGS, store, clock=clock).difference
    assert found is not None
    assert (found.kind, found.id, found.field) == ("profile", profile.id, f"counts.{name}")
    assert (found.live, found.replayed) == (true + 1, true)


async def test_somebody_too_many_and_somebody_too_few_are_told_apart() -> None:
    store, clock = await lived(3)
    engine = Engine.open(SETTINGS, clock=clock, store=store)
    profile = next(engine.profiles())
    tampered(store, removed=(engine.vault.name(profile.id),))
    found = replay(SETTINGS, store, clock=clock).difference
    assert found is not None
    assert (found.kind, found.id, found.live, found.replayed) == ("profile", profile.id, "nobody", "somebody")


@pytest.mark.parametrize("kind", ["alias", "segment", "model", "item", "definition"])
async def test_a_difference_beside_the_profiles_is_found(kind: str) -> None:
    store, clock = await lived(3)
    offset = store.checkpoint_offset()
    state = store.product("state")
    assert state is not None
    totals = msgspec.msgpack.decode(state.data)
    vault = Engine.open(SETTINGS, clock=clock, store=store).vault
    match kind:
        case "alias":
            sealed = seal_alias(vault, "a:nobody", "a:d1")
            tampered(store, aliases={vault.name("a:nobody"): sealed})
        case "segment":
            totals[1 if isinstance(totals, list) else "sizes"]["ever"] += 1
            tampered(store, products=(Product("state", offset, msgspec.msgpack.encode(totals)),))
        case "model":
            other, _ = await lived(4)
            learned = Engine.open(SETTINGS, clock=clock, store=other).models.recommenders
            ((trending,),) = (one.dump() for one in learned if one.name == "trending")
            held = {name for name, product in store._products.items() if product.data}
            (name,) = held & {"models:a:trending:0", "models:b:trending:0"}
            tampered(store, products=(Product(name, offset, vault.seal(STORE, PRODUCT, trending)),))
        case "item":
            item = msgspec.msgpack.encode(Item(id="i5", price=99.0))
            store.commit(Commit(documents=(Document("item", "i5", offset + 100, item),)))
        case _:
            body = msgspec.json.encode({"id": "ever", "condition": 'count("Product Viewed") >= 4'})
            store.commit(Commit(documents=(Document("definition/segments", "ever", 9, body),)))
    found = replay(SETTINGS, store, clock=clock).difference
    assert found is not None
    assert found.kind == kind


async def test_a_gap_is_told_and_shows_as_what_the_checkpoint_alone_knows() -> None:
    store, clock = await lived(3)
    place = next(place for place, row in enumerate(store._rows) if row.first > 40)
    row = store._rows[place]
    store._rows[place] = make_gap(row.first, row.count, row.received, chained=lambda _: 0, needed=None)
    found = replay(SETTINGS, store, clock=clock)
    assert found.gaps == ((row.first, row.first + row.count - 1),)
    assert found.difference is not None


async def test_a_payload_that_is_no_record_is_refused() -> None:
    store, clock = await lived(3)
    store.commit(Commit(rows=(LogRow(store.last_offset() + 1, 1, 0, b"nonsense"),)))
    with pytest.raises(CorruptLog, match="log row"):
        replay(SETTINGS, store, clock=clock)


async def test_after_an_erasure_a_replay_comes_to_what_is_live_but_for_what_was_learned() -> None:
    store, clock = await lived(3)
    engine = Engine.open(SETTINGS, clock=clock, store=store)
    await engine.start()
    await engine.erase("d1")
    await engine.close()
    found = replay(SETTINGS, store, clock=clock)
    assert (found.equal, found.erased) == (True, True)
