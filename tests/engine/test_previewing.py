"""A condition tried before it is defined: who would be in is who is in, once it is."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from bespeak.analytics.conditions_sql_values import NotInSql
from bespeak.catalog import Item
from bespeak.clock import HOUR, SECOND, ManualClock, format_time
from bespeak.conditions import Condition, parse
from bespeak.engine import Definition, Engine
from bespeak.engine import previewing as previewing_module
from bespeak.engine.previewing import compare, preview
from bespeak.errors import DefinitionError
from bespeak.segments.references import filled, inlined
from bespeak.settings import Settings

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
SEGMENTS = {
    "often": 'count("Product Viewed", last 1 day) >= 3',
    "bought": 'performed("Order Completed")',
    "both": 'in_segment("often") and in_segment("bought")',
    "starry": 'traits."*" = 1',
}
TRIED = 'count("Product Viewed", last 1 day) >= 5'


def body_of(people: int) -> bytes:
    """Let person 0 view nothing, person 1 one thing, and so on; every third one buys."""
    events = [
        {
            "type": "track",
            "userId": f"p{person:02}",
            "event": "Product Viewed",
            "messageId": f"{person}-{place}",
            "timestamp": format_time(START - place * HOUR),
        }
        for person in range(people)
        for place in range(person)
    ]
    events += [
        {"type": "track", "userId": f"p{person:02}", "event": "Order Completed", "messageId": f"{person}-o"}
        for person in range(0, people, 3)
    ]
    return json.dumps({"batch": events}).encode()


@pytest.fixture
async def engine(tmp_path: Path) -> Engine:
    engine = Engine.open(Settings(data_dir=str(tmp_path)), clock=ManualClock(START), rng=Random(1))
    await engine.start()
    key, _ = await engine.create_key("secret", "site")
    await engine.track(engine.parse(body_of(8), key=key), key)
    bodies = {name: {"id": name, "condition": text} for name, text in SEGMENTS.items()}
    await engine.apply([Definition(kind="segments", id=name, body=body) for name, body in bodies.items()])
    return engine


def live(engine: Engine, name: str) -> set[str]:
    return {profile.id for profile in engine.profiles() if name in profile.segments}


async def test_a_preview_is_exact_and_says_which_segments_it_meets(engine: Engine) -> None:
    named = inlined(engine.sequencer.segments.all()).conditions
    found = preview(engine.settings, parse(TRIED), named, START, most=2)
    assert (found.found.people, found.found.members.size) == (8, 3), "person 0 has bought, and viewed nothing"
    assert found.found.members.sample == ("u:p05", "u:p06")
    await engine.apply([Definition(kind="segments", id="tried", body={"id": "tried", "condition": TRIED})])
    members = live(engine, "tried")
    assert len(members) == found.found.members.size
    for name in ("often", "bought", "both"):
        held = live(engine, name)
        assert held, "else this shows little"
        overlap = found.found.others[name]
        assert (overlap.size, overlap.both) == (len(held), len(held & members)), name
    assert list(found.left_out) == ["starry"]
    assert "every name" in found.left_out["starry"]
    await engine.close()


async def test_a_difference_names_who_would_come_and_go(engine: Engine) -> None:
    named = inlined(engine.sequencer.segments.all()).conditions
    offset, found = compare(engine.settings, parse(SEGMENTS["bought"]), parse(TRIED), named, START)
    assert offset == engine.store.last_offset()
    assert (found.old, found.new, found.stay) == (3, 3, 1)
    assert (found.enter.size, found.enter.sample) == (2, ("u:p05", "u:p07"))
    assert (found.leave.size, found.leave.sample) == (2, ("u:p00", "u:p03"))
    await engine.close()


async def test_what_the_events_do_not_say_is_refused_before_anything_is_read(engine: Engine) -> None:
    with pytest.raises(NotInSql, match="every name"):
        preview(engine.settings, parse(SEGMENTS["starry"]), {}, START)
    await engine.close()


async def test_more_segments_than_can_be_compared_are_named(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previewing_module, "OVERLAPS_MAX", 1)
    found = preview(engine.settings, parse("true"), inlined(engine.sequencer.segments.all()).conditions, START)
    assert len(found.found.others) == 1
    assert set(found.left_out) | set(found.found.others) == set(SEGMENTS)
    await engine.close()


NAMED: dict[str, dict[str, Any]] = {
    "scores/lead": {
        "halflife": "1 day",
        "elements": [
            {"event": "Product Viewed", "points": 1, "most": 3},
            {"condition": 'in_segment("bought")', "points": 2},
        ],
        "bands": {"warm": 2, "hot": 4},
    },
    "traits/often": {"value": 'count("Product Viewed", last 3 hours)'},
    "segments/hot": {"condition": 'scores.lead.band = "hot" and computed.often >= 3'},
}


async def named(engine: Engine) -> dict[str, Condition]:
    """Put a score and a computed trait in force, and return what the segments ask for."""
    split = [(*place.split("/"), body) for place, body in NAMED.items()]
    await engine.apply([Definition(kind=cast("Any", kind), id=name, body={"id": name, **b}) for kind, name, b in split])
    live = engine.sequencer.segments
    return dict(inlined(live.all(), live.traits, live.scores, live.borders).conditions)


def tried(engine: Engine, text: str) -> Condition:
    live = engine.sequencer.segments
    return filled(parse(text), live.all(), live.traits, live.scores, live.borders)


async def test_a_preview_knows_scores_and_computed_traits(engine: Engine) -> None:
    segments = await named(engine)
    found = preview(engine.settings, tried(engine, "scores.lead >= 3 and computed.often exists"), segments, START)
    # Three views of 0, 1 and 2 hours ago give 2.9, more of them no more than 3, and buyers have 2 more.
    assert found.found.members.sample == ("u:p03", "u:p04", "u:p05", "u:p06", "u:p07")
    assert (found.found.others["hot"].size, found.found.others["hot"].both) == (2, 2)
    assert live(engine, "hot") == {"u:p03", "u:p06"}
    await engine.close()


async def test_a_difference_knows_scores_and_computed_traits(engine: Engine) -> None:
    segments = await named(engine)
    old, new = tried(engine, 'in_segment("hot")'), tried(engine, "computed.often >= 3")
    _, found = compare(engine.settings, old, new, segments, START)
    assert (found.stay, found.enter.sample) == (2, ("u:p04", "u:p05", "u:p07"))
    assert found.leave.size == 0
    with pytest.raises(DefinitionError, match="there is no score 'leed'; did you mean 'lead'"):
        tried(engine, "scores.leed > 1")
    await engine.close()


async def test_a_preview_knows_what_the_catalog_had(engine: Engine) -> None:
    key, _ = await engine.create_key("secret", "shop")

    async def seen(who: str) -> None:
        view = {"type": "track", "userId": who, "event": "Product Viewed", "properties": {"product_id": "p1"}}
        await engine.track(engine.parse(json.dumps({"batch": [{**view, "messageId": who}]}).encode(), key=key), key)

    await engine.put_items([Item(id="p1", brand="Nike")])
    await seen("early")
    await engine.archive(everything=True)
    await engine.put_items([Item(id="p1", brand="Puma")])
    await seen("late")
    nike = parse('performed("Product Viewed" where item.brand = "nike")')
    puma = parse('performed("Product Viewed" where item.brand = "puma") or interests.category.shoes > 1')
    assert preview(engine.settings, nike, {"puma": puma}, START).found.members.sample == ("u:early",)
    assert compare(engine.settings, nike, puma, {}, START)[1].enter.sample == ("u:late",)
    await engine.close()
