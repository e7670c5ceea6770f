"""The names that an editor offers are those of the newest events; nothing is noted before somebody asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from bespeak.clock import SECOND, ManualClock
from bespeak.engine import Definition, Engine, unseen_in
from bespeak.engine import vocabulary as vocabulary_module
from bespeak.engine.vocabulary import Seen
from bespeak.events import Event
from bespeak.settings import Settings
from bespeak.stores import MemorySettings

pytestmark = pytest.mark.anyio

NOW = 1_780_000_000 * SECOND


@asynccontextmanager
async def running() -> AsyncIterator[Engine]:
    engine = Engine.open(Settings(store=MemorySettings()), clock=ManualClock(NOW), rng=Random(1))
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def happened(place: int, name: str, **properties: object) -> Event:
    return Event(
        type="track",
        name=name,
        message_id=f"m{place}",
        time=NOW - SECOND,
        received=NOW,
        anonymous_id="a1",
        properties=properties,
    )


def identified(place: int, **traits: object) -> Event:
    return Event(
        type="identify",
        name="Identified",
        message_id=f"i{place}",
        time=NOW - SECOND,
        received=NOW,
        user_id="ada",
        properties=traits,
    )


def segment(condition: str) -> Definition:
    return Definition(kind="segments", id="s", body={"id": "s", "condition": condition})


async def test_names_of_events_properties_traits_and_segments_are_known() -> None:
    async with running() as engine:
        await engine.import_events(
            [happened(1, "Product Viewed", price=3, store={"city": "Wien"}), identified(2, country="AT")]
        )
        await engine.apply([segment("true")])
        known = await engine.vocabulary()
    assert known.events["Product Viewed"] == ("price", "store", "store.city")
    assert known.traits == ("country",)
    assert known.segments == ("s",)


async def test_names_seen_since_are_added_to_those_seen_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary_module, "NEWEST", 3)
    async with running() as engine:
        await engine.import_events([happened(place, f"E{place}") for place in range(9)])
        assert set((await engine.vocabulary()).events) == {"E6", "E7", "E8"}
        await engine.import_events([happened(9, "E9", size=1)])
        known = await engine.vocabulary()
        assert set(known.events) == {"E6", "E7", "E8", "E9"}
        assert known.events["E9"] == ("size",)
        assert await engine.vocabulary() == known


async def test_what_nobody_has_sent_is_told_with_the_nearest_name() -> None:
    async with running() as engine:
        await engine.import_events([happened(1, "Product Viewed", price=3), identified(2, country="AT")])
        known = await engine.vocabulary()
    typo = segment('count("Product Viewd") > 1 and performed("Product Viewed" where properties.prise > 2)')
    assert {one.message() for one in unseen_in(typo, known)} == {
        "unknown event 'Product Viewd': did you mean 'Product Viewed'?",
        "unknown property 'properties.prise': did you mean 'properties.price'?",
    }
    assert unseen_in(segment('count("Product Viewed") > 1 and traits.country = "AT"'), known) == ()


async def test_nothing_is_said_to_be_unknown_before_anything_was_seen() -> None:
    async with running() as engine:
        known = await engine.vocabulary()
    assert unseen_in(segment('performed("Anything") and traits.x = 1'), known) == ()


def test_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary_module, "NAMES_MAX", 4)
    monkeypatch.setattr(vocabulary_module, "EVENTS_MAX", 2)
    seen = Seen()
    for place in range(10):
        seen.note(happened(place, f"E{place}", **{f"p{number}": number for number in range(10)}))
        seen.note(identified(place, **{f"t{place}": 1, f"u{place}": 2}))
    assert list(seen.events) == ["E0", "Identified"]
    assert all(len(held) <= 4 for held in seen.events.values())
    assert len(seen.traits) == 4


def test_properties_within_properties_are_named_to_a_depth() -> None:
    seen = Seen()
    seen.note_properties("E", {"a": {"b": {"c": {"d": 1}}}})
    assert list(seen.events["E"]) == ["a", "a.b", "a.b.c"]
