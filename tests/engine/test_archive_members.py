"""Who holds a condition, by SQL over the archive and the log behind it: whoever is in the segment live."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bespeak.analytics import ArchiveSettings
from bespeak.analytics.conditions_sql_values import NotInSql
from bespeak.clock import DAY, HOUR, SECOND, ManualClock, format_time
from bespeak.conditions import parse
from bespeak.engine import Definition, Engine, members_in_archive
from bespeak.engine.archive import listed
from bespeak.errors import InvalidInput
from bespeak.privacy import Key
from bespeak.segments.references import inlined
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import MemorySettings

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
SEGMENTS = {
    "busy": 'count("Product*", last 1 day) >= 3',
    "spenders": 'sum(properties.price of "Product*") > 200',
    "idle": 'not performed("Product Viewed", last 12 hours)',
    "known": "known = true and sessions.count >= 2",
    "pros": 'traits.plan = "pro"',
    "all": 'in_segment("known") and not in_segment("pros")',
}


@asynccontextmanager
async def running(settings: Settings, clock: ManualClock) -> AsyncIterator[Engine]:
    engine = Engine.open(settings, clock=clock, rng=Random(1))
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def on_disk(folder: Path, **more: Any) -> Settings:
    archive = ArchiveSettings(**{"minutes": 0, "rows": 100, "cpu_share": 1.0, "apart": False, "query_mib": 256, **more})
    return Settings(data_dir=str(folder), archive=archive, engine=EngineSettings(models_seconds=3600))


async def come(engine: Engine, key: Key, names: Iterable[str], at: int, mark: str) -> None:
    """Let people look at things on a device, sign in behind that, and send what is a day and a half old."""
    for place, name in enumerate(names):
        device = {"anonymousId": f"device-of-{name}"}
        views = [
            {
                **device,
                "type": "track",
                "event": "Product Viewed" if one % 2 else "Product Added",
                "messageId": f"{name}-{mark}{one}",
                "timestamp": format_time(at - ago * HOUR),
                "properties": {"price": 10 * one},
            }
            for one, ago in enumerate((3, 1, 0, 36, 2, 25, 1, 0, 40)[: 3 + place * 2])
        ]
        traits = {"plan": "pro" if place % 2 else "free"}
        signs_in = {**device, "type": "identify", "userId": name, "traits": traits, "messageId": f"{name}-{mark}"}
        body = json.dumps({"batch": [*views[:2], signs_in, *views[2:]]}).encode()
        assert {one.status for one in await engine.track(engine.parse(body, key=key), key)} == {"ok"}


def agree(engine: Engine, at: int) -> dict[str, set[str]]:
    """Ask SQL for the members of every segment, and compare with who is in live; returns them."""
    engine.sequencer.advance(at)
    named = inlined(engine.sequencer.segments.all()).conditions
    live = {name: {one.id for one in engine.profiles() if name in one.segments} for name in SEGMENTS}
    for name, text in SEGMENTS.items():
        offset, found = members_in_archive(engine.settings, parse(text), at, segments=named, most=100)
        assert offset == engine.store.last_offset()
        assert (found.size, set(found.sample)) == (len(live[name]), live[name]), name
        assert list(found.sample) == sorted(found.sample)
    return live


async def test_files_and_tail_together_say_who_is_in(tmp_path: Path) -> None:
    settings, clock = on_disk(tmp_path), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("secret", "site")
        bodies = [(name, {"id": name, "condition": text}) for name, text in SEGMENTS.items()]
        await engine.apply([Definition(kind="segments", id=name, body=body) for name, body in bodies])
        people = [f"person-{number:02}" for number in range(4)]
        await come(engine, key, people, START, "a")
        first = agree(engine, START)
        assert all(first[name] for name in ("busy", "spenders", "known", "pros", "all")), "else this shows little"
        clock.advance(DAY)
        await engine.archive()
        assert listed(engine.store), "all of it is in files now"
        assert agree(engine, clock.now()) != first
        await come(engine, key, [*people[2:], "new"], clock.now(), "b")
        second = agree(engine, clock.now())
        await engine.erase("u:person-03")
        left = agree(engine, clock.now())
        assert left == {name: held - {"u:person-03"} for name, held in second.items()}


async def test_what_the_events_do_not_say_is_refused_by_name(tmp_path: Path) -> None:
    settings = on_disk(tmp_path)
    async with running(settings, ManualClock(START)):
        for text, named in (
            ("first_seen exists", "first_seen"),
            ('traits.a = 1 and not (performed("X") or scores.lead > 2)', "scores.lead"),
            ('in_segment("gone")', 'in_segment\\("gone"\\)'),
            ('context.device = "phone"', "context.device"),
        ):
            with pytest.raises(NotInSql, match=f"`{named}`"):
                members_in_archive(settings, parse(text), START)


async def test_there_has_to_be_an_archive_to_ask() -> None:
    with pytest.raises(InvalidInput, match="no archive"):
        members_in_archive(Settings(store=MemorySettings()), parse("true"), START)
