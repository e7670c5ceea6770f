"""The names that an editor offers are those of the newest events; nothing is noted before somebody asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from bespeak.clock import SECOND, ManualClock
from bespeak.conditions import Vocabulary
from bespeak.engine import Definition, Engine, change_list, unseen_in
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


async def test_what_is_defined_and_the_lists_that_people_are_on_are_known() -> None:
    bodies: dict[tuple[str, str], dict[str, object]] = {
        ("traits", "orders"): {"value": 'count("Order Completed")'},
        ("traits", "idle"): {"days_since": {"last": "Order Completed"}},
        ("traits", "rfm"): {
            "rfm": {"recency": "computed.idle", "frequency": "computed.orders", "monetary": "computed.orders"}
        },
        ("scores", "lead"): {"elements": [{"event": "Order Completed", "points": 1}], "bands": {"warm": 1, "hot": 5}},
        ("scores", "plain"): {"elements": [{"event": "Order Completed", "points": 1}]},
    }
    definitions = [Definition(kind=kind, id=name, body={"id": name, **body}) for (kind, name), body in bodies.items()]  # type: ignore[arg-type]
    async with running() as engine:
        await engine.apply(definitions)
        await engine.import_events([identified(0, city="Wien")])
        await change_list(engine, "vip", ["u:ada"], joined=True)
        known = await engine.vocabulary()
        grades = [f"computed.rfm.{one}" for one in ("cell", "frequency", "monetary", "recency")]
        assert sorted(known.computed) == ["computed.idle", "computed.orders", "computed.rfm", *grades]
        assert sorted(known.scores) == ["scores.lead", "scores.lead.band", "scores.plain"]
        assert known.lists == ("vip",)
        assert known.values["scores.lead.band"] == ("warm", "hot")
        assert len(known.values["computed.rfm.cell"]) == 11
        assert known.values.keys() == {"scores.lead.band", "computed.rfm.cell"}


def test_a_computed_trait_that_is_not_there_yet_is_not_called_unseen() -> None:
    known = Vocabulary({"Product Viewed": ()})
    assert unseen_in(segment("computed.later > 5 and scores.later > 5"), known) == ()
