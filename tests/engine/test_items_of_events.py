"""Filters that read the items of an event, as the catalog had them then: live, from history, and at a replay."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from bespeak.catalog import Item
from bespeak.clock import HOUR, SECOND, ManualClock, format_time, parse_time
from bespeak.engine import Definition, Engine, replay
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import MemorySettings
from bespeak.testing.world_fragile import FragileMemory, MortalEngine

pytestmark = pytest.mark.anyio

SETTINGS = Settings(store=MemorySettings(), engine=EngineSettings(checkpoint_seconds=3_600, models_seconds=3_600))
START = parse_time("2026-11-22T10:00:00Z")
TEXTS = {
    "nike": 'count("Product Viewed" where item.brand = "nike") >= 2',
    "dear": 'performed("Order Completed" where item.price > 100 and item.tags = "sale", last 2 hours)',
    "taste": 'most_frequent(item.brand of "Product Viewed") = "Nike"',
    "spent": 'sum(item.price of "Product Viewed") >= 150',
    "wool": 'performed("*" where item.properties.cloth.kind = "wool" and not item.categories in ["kids"])',
    "known": 'performed("Product Viewed" where item.id exists)',
}
ITEMS = (
    Item(id="p1", brand="Nike", price=50.0, tags=("new",), properties={"cloth": {"kind": "Wool"}}),
    Item(id="p2", brand="Puma", price=120.0, tags=("sale",), categories=("shoes", "kids")),
)


async def opened(clock: ManualClock, store: FragileMemory) -> MortalEngine:
    engine = MortalEngine.open(SETTINGS, clock=clock, rng=Random(1), store=store)
    await engine.start()
    return engine


async def send(engine: Engine, key: Any, who: str, name: str, *items: str) -> None:
    clock: Any = engine.clock
    clock.advance(SECOND)
    now = format_time(clock.now())
    said = {"product_id": items[0]} if len(items) == 1 else {"products": [{"product_id": one} for one in items]}
    message = {"type": "track", "event": name, "messageId": f"{who}{now}", "timestamp": now, "anonymousId": who}
    await engine.track(engine.parse(json.dumps({"batch": [{**message, "properties": said}]}).encode(), key=key), key)


async def define(engine: Engine, **texts: str) -> None:
    bodies = [(name, {"id": name, "condition": text}) for name, text in texts.items()]
    await engine.apply([Definition(kind="segments", id=name, body=body) for name, body in bodies])


async def lived(engine: Engine, key: Any) -> None:
    """Look at shoes whose brand is changed meanwhile, and buy two pairs at once."""
    await engine.put_items(ITEMS)
    await send(engine, key, "ada", "Product Viewed", "p1")
    await send(engine, key, "ada", "Product Viewed", "p1")
    await send(engine, key, "ada", "Order Completed", "p1", "p2")
    await send(engine, key, "bob", "Product Viewed", "p2")
    await engine.put_items([Item(id="p2", brand="Nike", price=40.0)])
    await send(engine, key, "bob", "Product Viewed", "p2")
    await send(engine, key, "bob", "Order Completed", "p2")
    await engine.remove_items(["p1"])
    await send(engine, key, "cleo", "Product Viewed", "p1")
    await send(engine, key, "cleo", "Product Viewed", "p2")
    await send(engine, key, "cleo", "Product Viewed", "p3")


def inside(engine: Engine, who: str) -> set[str]:
    profile = engine.find(who)
    return set() if profile is None else set(profile.segments)


FOUND = {
    "ada": {"nike", "dear", "taste", "wool", "known"},  # of two pairs, each test for itself
    "bob": {"taste", "spent", "known"},  # of two brands that were seen once the last counts
    "cleo": {"taste", "known"},
}


async def test_live_people_are_where_the_catalog_of_the_moment_puts_them() -> None:
    clock = ManualClock(START)
    engine = await opened(clock, FragileMemory())
    key, _ = await engine.create_key("secret", "site")
    await define(engine, **TEXTS)
    await lived(engine, key)
    assert {who: inside(engine, who) for who in FOUND} == FOUND
    clock.advance(2 * HOUR)
    await engine.tick()
    assert inside(engine, "ada") == FOUND["ada"] - {"dear"}
    await engine.close()
    assert replay(SETTINGS, engine.store, clock=clock).difference is None


async def test_history_is_counted_with_the_catalog_as_it_was_then() -> None:
    clock = ManualClock(START)
    engine = await opened(clock, FragileMemory())
    key, _ = await engine.create_key("secret", "site")
    await lived(engine, key)
    await define(engine, **TEXTS)
    assert {who: inside(engine, who) for who in FOUND} == FOUND
    await engine.die()
    engine = await opened(clock, engine.store)
    assert {who: inside(engine, who) for who in FOUND} == FOUND
    await engine.put_items([Item(id="p3", brand="Nike")])
    await send(engine, key, "cleo", "Product Viewed", "p3")
    assert inside(engine, "cleo") == FOUND["cleo"] | {"nike"}
    await engine.close()
    assert replay(SETTINGS, engine.store, clock=clock).difference is None


async def test_a_name_that_items_do_not_have_is_refused() -> None:
    engine = await opened(ManualClock(START), FragileMemory())
    for name, advice in (("brnd", "did you mean item.brand?"), ("created", "expected item.id")):
        with pytest.raises(Exception, match=r"expected item\.id, item\.title") as caught:
            await define(engine, x=f'performed("A" where item.{name} = "Nike")')
        assert advice in str(caught.value)
    await engine.close()
