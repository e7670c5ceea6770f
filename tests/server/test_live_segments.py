"""A window is entered with the event that fills it, and left at its second, with no further event."""

from __future__ import annotations

from typing import Any

import pytest

from bespeak.clock import SECOND
from bespeak.engine import Live, Subscription

pytestmark = pytest.mark.server

SEGMENT = {"condition": 'count("Product Viewed", last 3 seconds) >= 2'}
TRIES = 3
"""Other work on the machine may hold the server up for a second, but not every time."""


def view(device: str) -> dict[str, Any]:
    return {"type": "track", "event": "Product Viewed", "anonymousId": device, "properties": {"product_id": "p"}}


def test_a_window_of_three_seconds_is_left_within_one_second_of_its_time(site: Any) -> None:
    assert site.secret.put("/v1/segments/hurried", json=SEGMENT).status_code in {200, 201}
    lags = []
    for attempt in range(TRIES):
        lags.append(lag_of_an_exit(site, f"hurry-{attempt}"))
        if lags[-1] < SECOND:
            break
    assert min(lags) < SECOND, f"left {[lag / SECOND for lag in lags]} seconds late"
    assert site.secret.get("/v1/segments/hurried").json()["size"] == 0


def lag_of_an_exit(site: Any, device: str) -> int:
    """Enter with the second view, wait for the exit, and return how late it was seen (microseconds)."""

    async def watch() -> Subscription:
        watching: Subscription = site.engine.subscribe()
        return watching

    watching = site.run(watch)
    site.write.post("/v1/batch", json={"batch": [view(device)]})
    assert "hurried" not in site.profile(device)["segments"]
    site.write.post("/v1/batch", json={"batch": [view(device)]})
    assert "2" in site.profile(device)["segments"]["hurried"]["why"]

    async def left() -> tuple[int, int, int]:
        views: list[Live] = []
        async for live in watching:
            if live.profile != f"a:{device}":
                continue
            if live.kind == "event":
                views.append(live)
            if live.kind == "segment" and not live.detail["entered"]:
                return views[0].at, live.at, site.engine.clock.now()
        raise AssertionError("the feed ended")

    first, stamped, seen = site.run(left)
    watching.close()
    assert len(site.profile(device)["recent"]) == 2, "no further event"
    assert stamped == first + 3 * SECOND, "the first view leaves the window three seconds after it was seen"
    return seen - stamped
