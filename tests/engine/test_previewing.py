"""A condition tried before it is defined: who would be in is who is in, once it is."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from bespeak.analytics.conditions_sql_values import NotInSql
from bespeak.clock import HOUR, SECOND, ManualClock, format_time
from bespeak.conditions import parse
from bespeak.engine import Definition, Engine
from bespeak.engine import previewing as previewing_module
from bespeak.engine.previewing import compare, preview
from bespeak.segments.references import inlined
from bespeak.settings import Settings

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
SEGMENTS = {
    "often": 'count("Product Viewed", last 1 day) >= 3',
    "bought": 'performed("Order Completed")',
    "both": 'in_segment("often") and in_segment("bought")',
    "asked": "consent.marketing = true",
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
    assert list(found.left_out) == ["asked"]
    assert "consent.marketing" in found.left_out["asked"]
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
    with pytest.raises(NotInSql, match=r"consent\.marketing"):
        preview(engine.settings, parse(SEGMENTS["asked"]), {}, START)
    await engine.close()


async def test_more_segments_than_can_be_compared_are_named(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previewing_module, "OVERLAPS_MAX", 1)
    found = preview(engine.settings, parse("true"), inlined(engine.sequencer.segments.all()).conditions, START)
    assert len(found.found.others) == 1
    assert set(found.left_out) | set(found.found.others) == set(SEGMENTS)
    await engine.close()
