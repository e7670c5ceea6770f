"""Filling the store: whatever interrupts it, the next start makes the same town of it."""

from __future__ import annotations

import asyncio
from collections import Counter

from bespeak.clock import DAY, HOUR, ManualClock, parse_time
from bespeak.demo import filling
from bespeak.engine import Engine
from bespeak.settings import Settings
from bespeak.stores import MemorySettings
from bespeak.testing.world import World

NOW = parse_time("2026-02-03T15:30:00Z")
TOWN = World(5, people=120, items=60)


def _filled(directory: str, *stops: int) -> tuple[Counter[str], int]:
    """Fill a store, stopped after so many chunks each time; return events by name, and how many people there are."""

    async def work() -> tuple[Counter[str], int]:
        engine = Engine.open(Settings(data_dir=directory, store=MemorySettings()), clock=ManualClock(NOW))
        await engine.start()
        for chunks in (*stops, 10_000):
            stopping = asyncio.Event()
            seen: list[int] = []

            def progress(_share: float, events: int, chunks=chunks, seen=seen, stopping=stopping) -> None:
                seen.append(events)
                if len(seen) >= chunks:
                    stopping.set()

            done = await filling.fill(engine, TOWN, filling.history_start(NOW), progress=progress, stopping=stopping)
            assert done is (chunks == 10_000)
        counts = Counter[str]()
        profiles = list(engine.profiles())
        for profile in profiles:
            counts.update(profile.counts)
        await engine.close()
        return counts, len(profiles)

    return asyncio.run(work())


def test_an_interrupted_filling_that_goes_on_is_the_same_as_one_in_a_go(tmp_path) -> None:
    whole = _filled(str(tmp_path / "whole"))
    assert whole[0]["Product Viewed"] > 200
    assert _filled(str(tmp_path / "parts"), 1, 2) == whole


def test_history_ends_now_and_reaches_back_a_month() -> None:
    start = filling.history_start(NOW)
    assert start == parse_time("2026-01-05")
    assert NOW - start < 30 * DAY
    assert NOW - start > 29 * DAY - HOUR


def test_nothing_of_the_history_lies_in_the_future(tmp_path) -> None:
    async def newest() -> int:
        engine = Engine.open(Settings(data_dir=str(tmp_path), store=MemorySettings()), clock=ManualClock(NOW))
        await engine.start()
        start = filling.history_start(NOW)
        await filling.fill(engine, TOWN, start, progress=lambda _share, _events: None, stopping=asyncio.Event())
        times = [profile.last_seen for profile in engine.profiles()]
        await engine.close()
        return max(times)

    assert NOW - DAY < asyncio.run(newest()) <= NOW
