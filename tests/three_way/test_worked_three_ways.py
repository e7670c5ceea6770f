"""Whatever is worked out of events, and whatever the catalog had then: engine, plain counting and SQL say the same."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bespeak.clock import DAY, HOUR, MILLISECOND, MINUTE, format_time, parse_time
from bespeak.testing.three_way import ThreeWays

START = parse_time("2026-03-10T12:00:00Z")
OWNERS = {"d0": "u0", "d1": "u0", "d2": None}
BUSY = 'count("Product Viewed", last 4 hours) >= 2 or computed.spent > 4'
CONDITIONS = (
    'performed("Product Added", last 2 hours)',
    'not performed("Order Completed", today)',
    'count("Product Viewed" where item.brand = "nike", last 3 hours) >= 1 and known = false',
    "computed.viewed >= 2",
    "computed.idle > 0.5",
    'in_segment("busy")',
    "scores.simple >= 3",
    "interests.tag.red > 1.7",
    "consent.marketing = true",
)
TRAITS = {
    "viewed": {"value": 'count("Product Viewed", last 5 hours)'},
    "spent": {"value": 'sum(properties.total of "Order Completed")'},
    "dear": {"value": 'max(item.price of "Product*", last 2 days)'},
    "taste": {"value": 'most_frequent(item.tags of "*")'},
    "rate": {"ratio": {"of": 'count("Order Completed", last 1 day)', "to": "computed.viewed"}},
    "net": {"difference": {"of": 'sum(properties.total of "Order Completed", last 1 day)', "less": "computed.viewed"}},
    "idle": {"days_since": {"last": "Product Viewed", "where": "properties.total > 1"}},
    "age": {"days_since": {"first": "Product*"}},
    "graded": {
        "rfm": {
            "recency": "computed.age",
            "frequency": 'count("Order Completed", last 8 hours)',
            "monetary": 'sum(properties.total of "Order Completed", half-life 2 hours)',
        }
    },
    "faded": {"value": 'count("Product Viewed" where item.price > 50, half-life 3 hours)'},
}
BORDERS = {"graded": {"recency": [0.125, 0.25, 0.25, 1], "frequency": [0, 1, 2, 3], "monetary": [0.25, 0.5, 1, 2]}}
SIMPLE = {"elements": [{"event": "Product*", "points": 1, "most": 3}, {"condition": CONDITIONS[0], "points": 1.5}]}
PAIRS = {
    "event": "Order Completed",
    "id": "properties.order",
    "amount": "properties.total",
    "refunds": "Order Refunded",
}
ITEMS = (
    {"id": "p0", "brand": "Nike", "price": 60, "tags": ["red"], "categories": ["shoes"]},
    {"id": "p0", "brand": "Puma", "price": 20, "tags": ["red", "sale"]},
    {"id": "p1", "brand": "nike", "price": 100, "categories": ["shoes", "kids"], "properties": {"size": [42, 43]}},
    {"id": "p1", "properties": {"size": 44}},
)

operators = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
bounds = st.sampled_from(["0", "0.5", "1", "2", "3", "-1"])
elements = st.one_of(
    st.fixed_dictionaries(
        {
            "event": st.sampled_from(["Product Viewed", "Product Added", "Order*"]),
            "points": st.sampled_from([-2, 0.5, 1, 2, 3]),
        },
        optional={
            "most": st.sampled_from([1, 2.5, 4]),
            "where": st.sampled_from(["properties.total >= 2", 'item.brand = "nike"', "item.properties.size = 43"]),
        },
    ),
    st.fixed_dictionaries({"condition": st.sampled_from(CONDITIONS), "points": st.sampled_from([-2, 1, 2.5])}),
)
scores = st.fixed_dictionaries(
    {"elements": st.lists(elements, min_size=1, max_size=4), "bands": st.just({"low": 0, "warm": 1.25, "hot": 4})},
    optional={
        "halflife": st.sampled_from(["20 minutes", "3 hours", "1 day"]),
        "floor": st.sampled_from([-3, 0]),
        "cap": st.sampled_from([2.75, 5]),
    },
)
orders = st.fixed_dictionaries(
    {
        "window": st.sampled_from(["last 5 hours", "today", "last 1 day"]),
        "read": st.sampled_from(["sum", "count", "avg"]),
    },
    optional={"refunded": st.just("properties.total")},
).map(lambda fields: {"orders": {**PAIRS, **fields}})
asked = st.one_of(
    st.builds("scores.made {} {}".format, operators, bounds),
    st.builds("scores.made.band {} {}".format, st.sampled_from(["=", "!="]), st.sampled_from(['"warm"', '"HOT"'])),
    st.builds("scores.made > computed.viewed and {}".format, st.sampled_from(CONDITIONS)),
    st.builds("computed.{} {} {}".format, st.sampled_from(sorted(TRAITS)), operators, bounds),
    st.builds("computed.kept {} {}".format, operators, bounds),
    st.builds("computed.graded.{} {} 3".format, st.sampled_from(["recency", "monetary", "frequency"]), operators),
    st.builds("{} and not ({})".format, st.sampled_from(CONDITIONS), st.sampled_from(CONDITIONS)),
    st.sampled_from(
        [
            'computed.graded.cell in ["lost", "new", "hibernating"]',
            'computed.taste = "red" or computed.taste is missing',
            "scores.made.band is missing",
            "scores.made between 1 and computed.viewed",
            "interests.category.shoes > 2.3",
            'last("Product Viewed") has (item.brand = "puma")',
            'sequence("Product Viewed" where item.price > 50 then "Order*" where item.tags = "sale" within 1 day)',
            'distinct(item.brand of "*") >= 2',
            'performed("*" where item.properties.size in [43, 44] and not item.tags exists, last 2 days)',
        ]
    ),
)
deeds = st.fixed_dictionaries(
    {
        "name": st.sampled_from(
            ["Product Viewed", "Product Viewed", "Product Added", "Order Completed", "Order Refunded", "identify"]
        ),
        "device": st.sampled_from(sorted(OWNERS)),
        "known": st.booleans(),
        "ago": st.sampled_from([0, 0, MINUTE, HOUR, 3 * HOUR, 20 * HOUR, DAY, 2 * DAY, 3 * DAY]),
        "total": st.integers(0, 3),
        "items": st.sampled_from([("p0",), ("p0",), ("p1",), ("p0", "p1"), ("p9",), ()]),
        "agrees": st.sampled_from([None, None, True, False]),
        "stock": st.sampled_from([None, None, *ITEMS]),
        "gone": st.sampled_from([None, None, None, "p0"]),
        "wait": st.sampled_from([0, 0, MINUTE, HOUR]),
    }
)


def message(place, at, deed):
    base = {"messageId": f"m{place:02}", "timestamp": format_time(at - deed["ago"]), "anonymousId": deed["device"]}
    base["context"] = {}
    if deed["agrees"] is not None:
        base["context"] = {"consent": {"categoryPreferences": {"marketing": deed["agrees"]}}}
    owner = OWNERS[deed["device"]]
    if deed["known"] and owner is not None:
        base["userId"] = owner
    if deed["name"] == "identify":
        return {**base, "type": "identify", "userId": owner or "u1", "traits": {}}
    properties = {"products": list(deed["items"])} if len(deed["items"]) > 1 else {"category": "shoes"}
    if len(deed["items"]) == 1:
        properties["product_id"] = deed["items"][0]
    properties |= {"order": place % 3 if place % 4 else None}
    if deed["total"] < 3 or place % 2:
        properties["total"] = deed["total"]
    return {**base, "type": "track", "event": deed["name"], "properties": properties}


async def lived(score, kept, conditions, happened, waits, later):
    named = {"traits": {**TRAITS, "kept": kept}, "scores": {"simple": SIMPLE, "made": score}, "borders": BORDERS}
    texts = {"busy": BUSY, **{f"s{place}": text for place, text in enumerate(conditions)}}
    ways = await ThreeWays.begun({"first": "true"} if later else texts, START, named={} if later else named)
    try:
        for place, deed in enumerate(happened):
            await ways.wait(ways.clock.now() + deed["wait"])
            await ways.stock([deed["stock"]] if deed["stock"] else [], [deed["gone"]] if deed["gone"] else [])
            await ways.send([message(place, ways.clock.now(), deed)] * (1 + place % 3 // 2))
            if later and place == len(happened) // 2:
                await ways.define(texts, named)
        assert ways.unanswered == frozenset()
        ways.agreed()
        for wait in waits:
            await ways.wait(ways.clock.now() + wait)
            ways.agreed()
    finally:
        await ways.close()


@pytest.mark.slow
@settings.get_profile("fewest")
@given(
    scores,
    orders,
    st.lists(asked, min_size=4, max_size=8),
    st.lists(deeds, min_size=4, max_size=14),
    st.lists(st.sampled_from([MILLISECOND, HOUR, 3 * HOUR, DAY]), max_size=2),
    st.booleans(),
)
def test_what_is_worked_out_and_what_items_were_is_the_same_three_ways(score, kept, conditions, happened, waits, later):
    asyncio.run(lived(score, kept, conditions, happened, waits, later))
