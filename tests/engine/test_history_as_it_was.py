"""What history counts for a segment that is defined later is what would have been counted from the beginning."""

from __future__ import annotations

import asyncio

import pytest

from bespeak.clock import HOUR, MINUTE, format_time, parse_time
from bespeak.testing.three_way import ThreeWays

START = parse_time("2026-03-10T12:00:00Z")
SEEN = 'count("Impression") = 1'


def said(place: int, name: str, **more: str) -> dict[str, object]:
    when = format_time(START + place * MINUTE)
    return {"type": "track", "event": name, "messageId": f"m{place}", "timestamp": when, **more}


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_it_counts_the_same_when_it_is_defined_before_and_after(first: bool) -> None:
    """A device that was shown something, came, was shown something more, and became somebody's."""

    async def lived() -> None:
        ways = await ThreeWays.begun({"seen": SEEN} if first else {}, START + 10 * MINUTE)
        for place, name in enumerate(("Impression", "Product Viewed", "Impression")):
            await ways.send([said(place, name, anonymousId="phone")])
        await ways.send([said(3, "Impression", userId="ann")])
        await ways.send([said(4, "Product Viewed", userId="ann", anonymousId="phone")])
        if not first:
            await ways.define({"seen": SEEN})
        assert ways.agreed() == {"u:ann": frozenset({"seen"})}
        await ways.close()

    asyncio.run(lived())


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_history_is_late_by_what_was_known_of_whom_it_was_then(first: bool) -> None:
    """Ann holds a device of Bob's in her hands, and becomes one with him only later."""
    busy = {"busy": 'count("Product Viewed", last 7 days) = 3'}

    async def lived() -> None:
        ways = await ThreeWays.begun(busy if first else {}, START)
        view = {"type": "track", "event": "Product Viewed"}
        for place, (hours, more) in enumerate(
            (
                (0, {**view, "userId": "bob", "anonymousId": "tablet"}),
                (72, {**view, "userId": "ann"}),
                (60, {**view, "userId": "ann", "anonymousId": "tablet"}),
                (0, {"type": "alias", "userId": "ann", "previousId": "bob"}),
            )
        ):
            await ways.send([{**more, "messageId": f"m{place}", "timestamp": format_time(START - hours * HOUR)}])
        if not first:
            await ways.define(busy)
        assert ways.agreed() == {"u:ann": frozenset({"busy"})}
        await ways.close()

    asyncio.run(lived())
