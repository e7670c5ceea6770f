"""Wherever people are, whatever their clocks show, on whichever lists: engine, plain looking and SQL say the same."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from bespeak.clock import HOUR, MINUTE, SECOND, format_time, parse_time
from bespeak.engine import change_list
from bespeak.testing.three_way import ThreeWays

START = parse_time("2026-10-24T20:30:00Z")  # the night in which clocks are put back in Berlin
TEXTS = {
    "near": "place within 300 km of (48.21, 16.37)",
    "abroad": 'place.country != "at" and place exists',
    "ios": 'device.os = "ios" or device.type in ["mobile", "tv"]',
    "vip": 'in_list("vip") and not in_list("staff")',
    "fresh": 'performed("List Joined" where properties.list = "vip", last 2 hours)',
    "half": 'bucket("spring") < 0.5',
    "night": "local.hour >= 22 or local.hour < 6",
    "twice": "local.hour = 2 and local.weekday = 7",
    "sunday": 'local.date = "2026-10-25"',
    "opened": "local.hour >= traits.opens",
    "seen": 'count("Viewed" where context.location within 20 km of (47.5, 19)) >= 1',
    "shops": "traits.shops within 5 miles of (52.5, 13.4) and traits.shops within 100000 metres of (48.2, 16.4)",
}
PLACES = (
    {"country": "AT", "latitude": 48.2, "longitude": 16.4},
    {"country": "HU", "latitude": 47.5, "longitude": 19.0},
    {"country": "DE", "lat": 52.5, "lng": 13.4},
    {"latitude": 95, "longitude": 1},
    {},
    "48.2,16.4",
)
DEVICES = ({"device": {"type": "tv"}}, {"os": {"name": "iOS"}}, {"userAgentData": {"mobile": True}}, {"device": 5})
SHOPS = ("48.2,16.4", {"lat": 52.51, "lng": 13.4}, [{"lat": 52.5, "lng": 13.4}, "48.2,16.4", None], 7)

deeds = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["view", "view", "view", "identify", "join", "leave", "decide"]),
        "who": st.sampled_from(["d0", "d1", "u0"]),
        "list": st.sampled_from(["vip", "staff"]),
        "ago": st.sampled_from([0, SECOND, HOUR, 26 * HOUR]),
        "place": st.sampled_from([None, *PLACES]),
        "device": st.sampled_from([{}, *DEVICES]),
        "zone": st.sampled_from([None, "Europe/Berlin", "Asia/Kolkata"]),
        "shops": st.sampled_from([None, *SHOPS]),
        "opens": st.sampled_from([None, 3, 22]),
        "wait": st.sampled_from([0, MINUTE, 3 * HOUR]),
    }
)


def message(number, at, deed):
    given = {"location": deed["place"], "timezone": deed["zone"]}
    traits = {name: deed[name] for name in ("shops", "opens") if deed[name] is not None}
    context = {name: value for name, value in given.items() if value is not None} | deed["device"] | {"traits": traits}
    who = {"userId": deed["who"]} if deed["who"].startswith("u") else {"anonymousId": deed["who"]}
    said = {"messageId": f"m{number}", "timestamp": format_time(at - deed["ago"]), "context": context, **who}
    if deed["kind"] == "identify":
        return {**said, "type": "identify", "userId": "u0"}
    return {**said, "type": "track", "event": "Impression" if deed["kind"] == "decide" else "Viewed"}


async def lived(happened, waits):
    ways = await ThreeWays.begun(TEXTS, START)
    try:
        for number, deed in enumerate(happened):
            await ways.wait(ways.clock.now() + deed["wait"])
            if deed["kind"] in {"join", "leave"}:
                person = f"{'u' if deed['who'].startswith('u') else 'a'}:{deed['who']}"
                await change_list(ways.engine, deed["list"], [person], joined=deed["kind"] == "join")
            else:
                await ways.send([message(number, ways.clock.now(), deed)])
        assert ways.unanswered == frozenset()
        ways.agreed()
        for wait in waits:
            await ways.wait(ways.clock.now() + wait)
            ways.agreed()
    finally:
        await ways.close()


@settings.get_profile("fewest")
@given(
    st.lists(deeds, min_size=2, max_size=10),
    st.lists(st.sampled_from([HOUR // 2, HOUR, 5 * HOUR, 24 * HOUR]), max_size=4),
)
def test_places_clocks_and_lists_are_the_same_three_ways(happened, waits):
    asyncio.run(lived(happened, waits))
