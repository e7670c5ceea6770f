"""The page about segments: its people are told to an engine, and each sentence has the members that stand below it."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from bespeak.clock import ManualClock, parse_time
from bespeak.engine import Definition, definitions_in
from bespeak.settings import Settings
from bespeak.stores import MemorySettings
from bespeak.testing.world_fragile import FragileMemory, MortalEngine

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "segments.md").read_text()
NOW = parse_time("2026-03-11T12:00:00Z")
KNOWN = re.findall(r"^\| (Ada|Bob|Cleo|Dan) \| (.*) \|$", PAGE, re.MULTILINE)
HAPPENED = re.findall(r"^\| (2026-[-0-9: ]*) \| (\w+) \| ([\w ]+) \| (.*) \|$", PAGE, re.MULTILINE)
SENTENCES = re.findall(r"^### (\d+)\. (.*)\n\n```condition\n([^`]*)\n```\n\nIn: (.*)\.$", PAGE, re.MULTILINE)
PEOPLE = ("Ada", "Bob", "Cleo", "Dan", "Eve")
MEMBER = re.compile(rf"({'|'.join(PEOPLE)})(?: (until|from) (2026-[-0-9]* [0-9:]*))?")


def instant(text: str) -> int:
    return parse_time(text.replace(" ", "T") + ":00Z")


def told() -> list[dict[str, Any]]:
    """Return the history of the page as Segment's messages, in its order."""
    known = [
        {
            "type": "identify",
            "userId": who,
            "timestamp": "2026-01-10T00:00:00Z",
            "traits": yaml.safe_load(f"{{{traits}}}"),
        }
        for who, traits in KNOWN
    ]
    done = [
        {
            "type": "track",
            "anonymousId" if who == "Eve" else "userId": who,
            "event": event,
            "timestamp": f"{when.replace(' ', 'T')}:00Z",
            "properties": yaml.safe_load(f"{{{properties}}}"),
        }
        for when, who, event, properties in HAPPENED
    ]
    return [{"messageId": f"m{place}", **message} for place, message in enumerate(known + done)]


def now_in(names: str) -> set[str]:
    """Return who is in according to the line below a sentence."""
    return {who for who, word, _ in MEMBER.findall(names) if word != "from"}


def stated() -> list[tuple[int, str, str, bool]]:
    """Return when the page says that somebody leaves or enters the segment of a sentence, in the order of time."""
    return sorted(
        (instant(time), f"s{number}", who, word == "from")
        for number, _, _, names in SENTENCES
        for who, word, time in MEMBER.findall(names)
        if time
    )


def inside(engine: MortalEngine, segment: str) -> set[str]:
    found = {who: engine.find(who) for who in PEOPLE}
    return {who for who, profile in found.items() if profile is not None and segment in profile.segments}


async def told_to(engine: MortalEngine, named: tuple[Definition, ...], *, late: bool) -> None:
    """Define the segments and tell the history, the one or the other first."""
    await engine.start()
    key, _ = await engine.create_key("secret", "site")
    numbered = [(f"s{number}", text) for number, _, text, _ in SENTENCES]
    bodies = [Definition(kind="segments", id=one, body={"id": one, "condition": text}) for one, text in numbered]
    parsed = engine.parse(json.dumps({"batch": told()}).encode(), key=key)
    if not late:
        await engine.apply([*named, *bodies])
    await engine.track(parsed, key)
    if late:
        await engine.apply([*named, *bodies])


async def is_as_stated(folder: Path, *, late: bool) -> None:
    clock = ManualClock(NOW)
    engine = MortalEngine.open(Settings(store=MemorySettings()), clock=clock, rng=Random(0), store=FragileMemory())
    try:
        await told_to(engine, definitions_in(folder), late=late)
        for number, sentence, _, names in SENTENCES:
            assert inside(engine, f"s{number}") == now_in(names), sentence
        for at, segment, who, enters in stated():
            for moment, is_in in ((at - 1, not enters), (at, enters)):
                clock.advance(moment - clock.now())
                await engine.tick()
                assert (who in inside(engine, segment)) is is_in, (segment, who)
    finally:
        await engine.close()


def test_there_are_twenty_sentences_and_nobody_is_overlooked():
    assert [int(number) for number, *_ in SENTENCES] == list(range(1, 21))
    assert PAGE.count("```condition\n") == 20
    assert (len(KNOWN), len(HAPPENED), PAGE.count("| 2026-")) == (4, 21, 21)
    assert len(stated()) == PAGE.count(" until 2026-") + PAGE.count(" from 2026-") == 10


@pytest.mark.parametrize("late", [False, True], ids=["defined before", "defined after"])
def test_each_sentence_has_the_members_that_stand_below_it(tmp_path, late):
    for name, text in re.findall(r'^```yaml title="([\w-]+/[\w.-]+)"\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    asyncio.run(is_as_stated(tmp_path, late=late))
