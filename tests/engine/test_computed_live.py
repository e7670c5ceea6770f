"""Computed traits and scores in a running engine: counted over history, live, replayed, and never pulled from under."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from bespeak.catalog import Item
from bespeak.clock import DAY, HOUR, SECOND, ManualClock, format_time
from bespeak.computed import load_borders, load_score, load_trait
from bespeak.decide import DecideRequest, SlotRequest
from bespeak.engine import Definition, Engine, replay
from bespeak.engine.owing import Question, read_owed
from bespeak.errors import Conflict, DefinitionError, InvalidInput, NotFound
from bespeak.segments import Segments
from bespeak.segments import load as load_segment
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import MemorySettings, MemoryStore

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
SETTINGS = Settings(store=MemorySettings(), engine=EngineSettings(checkpoint_seconds=3600, models_seconds=3600))
BODIES: dict[Any, dict[str, Any]] = {
    ("traits", "viewed"): {"value": 'count("Product Viewed", last 2 hours)'},
    ("traits", "rate"): {"ratio": {"of": 'count("Order Completed")', "to": 'count("Product Viewed")'}},
    ("traits", "idle"): {"days_since": {"last": "Product Viewed"}},
    ("scores", "lead"): {
        "halflife": "1 hour",
        "elements": [
            {"event": "Product Viewed", "points": 2, "most": 5},
            {"event": "Product Added", "where": "properties.price > 3", "points": 3},
            {"condition": 'computed.viewed >= 2 and not performed("Order Completed", last 1 hour)', "points": -1},
        ],
        "floor": 0,
        "bands": {"cold": 0, "warm": 2, "hot": 5},
    },
    ("segments", "hot"): {"condition": 'scores.lead.band = "hot"'},
    ("segments", "lukewarm"): {"condition": "scores.lead between 1 and 3 or computed.rate > 0.5"},
    ("segments", "lapsed"): {"condition": 'computed.idle >= 0.25 and in_segment("known")'},
    ("segments", "known"): {"condition": "known = true"},
}


class Kept(MemoryStore):
    """A memory store that an engine does not close."""

    def close(self) -> None:
        pass


def definitions(*changed: tuple[str, str, dict[str, Any]]) -> list[Definition]:
    bodies = BODIES | {(kind, name): body for kind, name, body in changed}
    return [Definition(kind=kind, id=name, body={"id": name, **body}) for (kind, name), body in bodies.items()]


@asynccontextmanager
async def running(store: MemoryStore | None = None, clock: ManualClock | None = None) -> AsyncIterator[Engine]:
    engine = Engine.open(SETTINGS, clock=clock or ManualClock(START), rng=Random(1), store=store or Kept())
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def message(rng: Random, place: int, now: int) -> dict[str, Any]:
    late = rng.choice([0, 0, 0, 5, 200, 2_000, 100_000]) * SECOND
    device, base = f"d{rng.randrange(5)}", {"messageId": f"s{place}", "timestamp": format_time(now - late)}
    if rng.random() < 0.15:
        return {**base, "type": "identify", "userId": f"u{rng.randrange(3)}", "anonymousId": device}
    name = rng.choice(["Product Viewed", "Product Viewed", "Product Added", "Order Completed"])
    return {**base, "type": "track", "event": name, "anonymousId": device, "properties": {"price": rng.randrange(7)}}


async def live_through(engine: Engine, clock: ManualClock, rng: Random, places: range) -> None:
    key, _ = await engine.create_key("secret", f"site{places.start}")
    for place in places:
        clock.advance(rng.randrange(600) * SECOND)
        body = json.dumps({"batch": [message(rng, place, clock.now())]}).encode()
        await engine.track(engine.parse(body, key=key), key)
        if rng.random() < 0.3:
            engine.sequencer.advance(clock.now())


def everybody(engine: Engine, at: int) -> dict[str, Any]:
    engine.sequencer.advance(at)
    names = sorted(one.id for one in engine.profiles())
    found = {name: engine.profile(name, at=at) for name in names}
    return {
        name: (
            one["computed"],
            {score: (round(told["value"], 6), told["band"]) for score, told in one["scores"].items()},
            sorted(one["segments"]),
        )
        for name, one in found.items()
        if one is not None
    }


@pytest.mark.parametrize("seed", range(4))
async def test_history_counts_as_if_they_had_been_defined_from_the_beginning(seed: int) -> None:
    found = []
    for before in (True, False):
        clock, rng = ManualClock(START), Random(seed)
        async with running(clock=clock) as engine:
            if before:
                await engine.apply(definitions())
            await live_through(engine, clock, rng, range(60))
            if not before:
                await engine.apply(definitions())
            clock.advance(HOUR)
            found.append(everybody(engine, clock.now()))
    assert found[0] == found[1]
    assert any(segments for _, _, segments in found[0].values())


@pytest.mark.parametrize("seed", range(4))
async def test_a_replay_comes_to_what_is_live_whatever_was_changed_in_between(seed: int) -> None:
    store, clock, rng = Kept(), ManualClock(START), Random(seed)
    async with running(store, clock) as engine:
        await live_through(engine, clock, rng, range(20))
        await engine.apply(definitions())
        await live_through(engine, clock, rng, range(20, 50))
        other = {**BODIES["scores", "lead"], "halflife": "3 hours"}
        await engine.apply(definitions(("scores", "lead", other)))
        engine.checkpoint()
        await live_through(engine, clock, rng, range(50, 70))
    clock.advance(3 * HOUR)
    assert replay(SETTINGS, store, clock=clock).difference is None


async def test_who_is_in_follows_a_score_that_is_changed() -> None:
    clock = ManualClock(START)
    async with running(clock=clock) as engine:
        key, _ = await engine.create_key("secret", "site")
        await engine.apply(definitions())
        view = {"type": "track", "event": "Product Viewed", "anonymousId": "ada", "timestamp": format_time(START)}
        await engine.track(engine.parse(json.dumps({"batch": [view]}).encode(), key=key), key)
        assert engine.segment_sizes()["hot"] == 0
        more = {**BODIES["scores", "lead"], "elements": [{"event": "Product Viewed", "points": 6}]}
        await engine.apply(definitions(("scores", "lead", more)))
        assert engine.segment_sizes()["hot"] == 1
        scores = engine.explain_scores("ada")
        assert scores is not None
        assert (scores["lead"]["value"], scores["lead"]["next_band"]) == (6.0, "warm")
        clock.advance(HOUR)
        engine.sequencer.advance(clock.now())
        assert engine.segment_sizes()["hot"] == 0


async def test_what_others_name_is_not_deleted_and_they_are_named() -> None:
    rule = {"kind": "boost", "add": 2, "when": "scores.lead >= 2", "items": "item.price > 5"}
    block = {
        "slot": "top",
        "always": True,
        "template": "{{ n }} looks",
        "variables": {"n": {"path": "computed.viewed", "fallback": 0}},
        "fallback": "",
    }
    async with running() as engine:
        await engine.apply(definitions(("rules", "keen", rule), ("content", "looks", block)))
        with pytest.raises(Conflict, match="traits/viewed is asked for by content/looks, scores/lead"):
            await engine.delete("traits", "viewed")
        with pytest.raises(Conflict, match="scores/lead is asked for by rules/keen, segments/hot, segments/lukewarm"):
            await engine.delete("scores", "lead")
        for name in ("hot", "lukewarm"):
            await engine.delete("segments", name)
        await engine.delete("rules", "keen")
        assert (await engine.delete("scores", "lead")).change == "deleted"


async def test_rules_and_content_cannot_name_what_is_not_there() -> None:
    rule = {"kind": "boost", "add": 2, "when": "scores.led >= 2", "items": "item.price > 5"}
    async with running() as engine:
        with pytest.raises(DefinitionError, match=r"rules/keen: there is no score 'led'; did you mean 'lead'\?"):
            await engine.apply(definitions(("rules", "keen", rule)))
        assert engine.definitions("scores") == ()


async def test_rules_and_content_read_them_as_the_moment_has_them() -> None:
    rule = {"kind": "filter", "action": "keep", "when": "scores.lead >= 2", "items": "item.price > 5"}
    block = {
        "slot": "home",
        "condition": 'scores.lead.band = "warm"',
        "template": "<p>{{ n }} looks</p>",
        "variables": {"n": {"path": "computed.viewed", "fallback": 0}},
        "fallback": "",
    }
    clock = ManualClock(START)
    async with running(clock=clock) as engine:
        key, _ = await engine.create_key("secret", "site")
        await engine.put_items([Item(id=f"i{n}", price=float(n), created=START) for n in range(12)])
        await engine.apply(definitions(("rules", "dear", rule), ("content", "looks", block)))
        view = {"type": "track", "event": "Product Viewed", "anonymousId": "ada", "timestamp": format_time(START)}
        await engine.track(engine.parse(json.dumps({"batch": [view]}).encode(), key=key), key)
        slots = (SlotRequest(id="home", n=3),)
        answer = engine.decide(DecideRequest(anonymous_id="ada", slots=slots), key=key).slots["home"]
        assert answer.content is not None
        assert answer.content.html == "<p>1 looks</p>"
        assert {item.item for item in answer.items} <= {f"i{n}" for n in range(6, 12)}
        clock.advance(DAY)
        later = engine.decide(DecideRequest(anonymous_id="ada", slots=slots), key=key).slots["home"]
        assert later.content is None


RFM: dict[str, Any] = {
    "rfm": {
        "recency": "computed.idle",
        "frequency": 'count("Product Viewed")',
        "monetary": 'sum(properties.price of "Product Viewed")',
    }
}
BEST = {"condition": "computed.rfm.frequency = 5 and computed.rfm.recency >= 1"}


async def test_borders_are_drawn_of_everybody_and_put_in_force_like_definitions() -> None:
    store, clock = Kept(), ManualClock(START)
    async with running(store, clock) as engine:
        key, _ = await engine.create_key("secret", "site")
        await engine.apply(definitions(("traits", "rfm", RFM), ("segments", "best", BEST)))
        with pytest.raises(InvalidInput, match="computed trait 'rfm': nobody has recency, frequency and monetary"):
            await engine.draw_borders("rfm")
        with pytest.raises(NotFound, match="there is no computed trait 'idle' with rfm"):
            await engine.draw_borders("idle")
        view = {"type": "track", "event": "Product Viewed", "properties": {"price": 2}}
        batch = [{**view, "anonymousId": f"d{n}"} for n in range(10) for _ in range(n + 1)]
        batch += [{"type": "track", "event": "Other", "anonymousId": "nobody"}]
        await engine.track(engine.parse(json.dumps({"batch": batch}).encode(), key=key), key)
        assert engine.segment_sizes()["best"] == 0
        drawn = await engine.draw_borders("rfm")
        assert (drawn["people"], drawn["version"], drawn["change"]) == (10, 1, "created")
        assert drawn["borders"]["frequency"] == [2.0, 4.0, 6.0, 8.0]
        assert drawn["borders"]["monetary"] == [4.0, 8.0, 12.0, 16.0]
        assert engine.segment_sizes()["best"] == 2
        known = engine.profile("d9")
        assert known is not None
        assert known["computed"]["rfm"] == {
            "code": "555", "recency": 5, "frequency": 5, "monetary": 5, "cell": "champions"
        }  # fmt: skip
        assert (await engine.draw_borders("rfm"))["change"] == "unchanged"
        with pytest.raises(Conflict, match="traits/rfm is asked for by segments/best"):
            await engine.delete("traits", "rfm")
        assert (await engine.delete("borders", "rfm")).change == "deleted"
        assert engine.segment_sizes()["best"] == 0
        await engine.draw_borders("rfm")
    assert replay(SETTINGS, store, clock=clock).difference is None


async def test_borders_of_what_is_not_graded_are_refused() -> None:
    lines = {"recency": [1, 2, 3, 4], "frequency": [1, 2, 3, 4], "monetary": [1, 2, 3, 4]}
    async with running() as engine:
        with pytest.raises(DefinitionError, match="borders/idle: there is no computed trait 'idle' with rfm"):
            await engine.apply(definitions(("borders", "idle", lines)))


def test_an_asking_that_a_checkpoint_fell_into_goes_on_under_the_names_of_before() -> None:
    def each(kind: str) -> list[dict[str, Any]]:
        return [{"id": name, **body} for (of, name), body in BODIES.items() if of == kind]

    orders = {"event": "Order Completed", "id": "properties.id", "amount": "properties.total", "refunds": "Refund"}
    more = [
        {"id": "net", "orders": {**orders, "read": "sum"}},
        {"id": "city", "value": "traits.city"},
        {"id": "left", "difference": {"of": "computed.net", "less": "computed.viewed"}},
        {"id": "rfm", **RFM},
    ]
    lines = {"id": "rfm", "recency": [1, 2, 3, 4], "frequency": [1, 2, 3, 4], "monetary": [1, 2, 3, 4]}
    before = Segments(
        [load_segment(one, source="test") for one in each("segments")],
        [load_trait(one, source="test") for one in [*each("traits"), *more]],
        [load_score(one, source="test") for one in each("scores")],
        [load_borders(lines, source="test")],
    )
    question = Question(before, _Nothing(), START, zone="UTC")  # type: ignore[arg-type]
    owed = read_owed(question.written("", frozenset()))
    assert owed.segments().same_as(before)
    assert not owed.segments().same_as(Segments(before.all(), before.traits, before.scores))


class _Nothing:
    """No history to count."""

    has_work = False
    counted: tuple[str, ...] = ()
    offset = 0
