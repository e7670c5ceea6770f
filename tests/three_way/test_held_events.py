"""Events that are held and followed, as previews ask them, say after each step what SQL says that reads all anew."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bespeak.analytics import warm
from bespeak.clock import MINUTE, format_time, parse_time
from bespeak.testing.held import Disagreement, Held
from bespeak.testing.steps import live_through, read_table
from bespeak.testing.three_way import ThreeWays

TABLES = sorted(Path(__file__).parent.glob("*.yaml"))
NOW = parse_time("2026-03-10T12:00:00Z")


@pytest.mark.slow
@pytest.mark.parametrize("path", TABLES, ids=[path.stem for path in TABLES])
def test_held_events_follow_each_step_of_a_table(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "_FEW", 0)  # what is worked out is brought up to what came, and never made anew
    monkeypatch.setattr(warm, "LOOSE_MAX", 1)  # and all is pressed together after each step
    asyncio.run(live_through(read_table(path), warm=True))


def test_held_events_that_miss_some_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lived() -> None:
        ways = await ThreeWays.begun({"keen": 'count("View", last 10 minutes) >= 2'}, NOW, warm=True)
        said = {"type": "track", "event": "View", "userId": "ann"}
        views = [{**said, "messageId": f"m{n}", "timestamp": format_time(NOW - n * MINUTE)} for n in range(3)]
        await ways.send(views[:1])
        ways.agreed()
        monkeypatch.setattr(Held, "_follow", lambda held, engine: None)
        await ways.send(views[1:])
        try:
            with pytest.raises(Disagreement, match="keen: held events say"):
                ways.agreed()
        finally:
            await ways.close()

    asyncio.run(lived())
