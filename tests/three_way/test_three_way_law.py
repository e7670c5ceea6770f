"""Whatever people did and whatever is asked: the live engine, plain counting and SQL say the same."""

from __future__ import annotations

import asyncio

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from bespeak.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND, format_time, parse_time
from bespeak.conditions import Compare, HalfLife, InSegment, Path
from bespeak.conditions import format_condition as to_text
from bespeak.profiles import IdentitySettings
from bespeak.testing.condition_trees import (
    TEXTS,
    aggregates,
    counted,
    is_meant,
    marked,
    moments,
    numbers,
    texts,
    trees,
    value_leaves,
)
from bespeak.testing.three_way import SETTINGS, ThreeWays

START = parse_time("2026-01-31T22:30:00Z")  # the month ends within hours, in each zone at another
ZONES = (None, None, None, "Europe/Berlin", "Asia/Tokyo", "America/New_York", "Nowhere")
OWNERS = {"d0": "u0", "d1": "u0", "d2": "u1"}
NAMES = ("Product Viewed", "Product Viewed", "Product Added", "Order Completed", "Rated 5*", "Impression")

scalars = st.one_of(texts, numbers, st.booleans(), st.none())
found = st.one_of(scalars, scalars, st.lists(scalars, max_size=3), st.just({"er": 2}))
of_people = [Path(f"sessions.{name}") for name in ("count", "events", "minutes", "started")]
of_people += [Path("known"), Path("zone"), Path("user_id"), Path("traits.group_id")]
figures = st.one_of(st.integers(0, 4), st.booleans(), st.sampled_from(["Europe/Berlin", "u0", "g1"]))
asked_of_people = st.one_of(
    st.builds(Compare, st.sampled_from(of_people), st.sampled_from(["=", "!=", "<", ">="]), figures).filter(is_meant),
    st.builds(Compare, st.just(Path("sessions.started")), st.sampled_from(["<", ">", "on"]), moments),
)
is_known = value_leaves("person", ("traits.addresses",)).filter(lambda one: "context.device" not in to_text(one))
counts = counted.filter(lambda one: "context.device" not in to_text(one))
halved = aggregates(("count", "sum"), within=st.builds(HalfLife, st.sampled_from([MILLISECOND, HOUR, DAY])))
fading = st.builds(Compare, halved, st.sampled_from(["=", "<", ">=", "!="]), numbers)
leaves = st.one_of(counts, counts, counts, fading, marked, is_known, is_known, asked_of_people)
definitions = st.tuples(
    st.lists(trees(leaves, most=2), min_size=3, max_size=8),
    trees(st.one_of(leaves, st.builds(InSegment, st.sampled_from(["s0", "s1"]))), most=4),
).map(lambda made: [*made[0], made[1]])

ages = st.one_of(
    st.integers(0, 6).map(lambda n: n * MILLISECOND),
    st.integers(0, 90).map(lambda n: n * MINUTE),
    st.sampled_from([HOUR, 20 * HOUR, DAY, DAY + SECOND, 2 * DAY, 31 * DAY, 40 * DAY]),
)
deeds = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["track", "track", "track", "track", "identify", "alias", "group", "page"]),
        "name": st.sampled_from(NAMES),
        "device": st.sampled_from(["d0", "d1", "d2", "d3"]),
        "known": st.booleans(),
        "ago": ages,
        "price": found,
        "other": found,
        "zone": st.sampled_from(ZONES),
        "city": st.sampled_from(TEXTS),
        "beside": st.booleans(),
    }
)


def message(place, deed):
    kind, owner = deed["type"], OWNERS.get(deed["device"])
    context = {"page": deed["other"]}
    if deed["zone"] is not None:
        context["timezone"] = deed["zone"]
    traits = {
        "country": deed["price"],
        "age": deed["other"],
        "joined": "2026-01-31",
        "a b": {"c": deed["price"]},
        "addresses": [{"city": deed["city"], "zip": deed["price"], "deep": {"er": deed["other"]}}, deed["other"]],
    }
    if deed["beside"]:
        context["traits"] = {"country": deed["other"], "timezone": deed["zone"], "a b.c": deed["city"]}
    said = {"messageId": f"m{place:02}", "timestamp": format_time(START - deed["ago"]), "context": context}
    if kind == "alias":
        return {**said, "type": "alias", "userId": owner or "u1", "previousId": ("u0", "u1", "d3")[place % 3]}
    if kind == "identify":
        return {**said, "type": "identify", "userId": owner or "u2", "anonymousId": deed["device"], "traits": traits}
    said |= {"anonymousId": deed["device"], "type": kind}
    if deed["known"] and owner is not None:
        said["userId"] = owner
    if kind == "group":
        return {**said, "groupId": f"g{place % 2}", "traits": {}}
    properties = {
        "price": deed["price"],
        "deep": {"er": deed["other"]},
        "products": [{"id": "i1", "city": deed["city"], "zip": deed["price"]}, {"id": "i2", "deep": {"er": 2}}],
    }
    return {**said, "properties": properties} | ({"event": deed["name"]} if kind == "track" else {"name": "Home"})


async def lived(defined, happened, again, waits):
    ways = await ThreeWays.begun({f"s{n}": to_text(one) for n, one in enumerate(defined)}, START)
    try:
        messages = [message(place, deed) for place, deed in enumerate(happened)]
        for place, said in enumerate(messages):
            await ways.send([said, messages[place // 2]] if place in again else [said])
        ways.agreed()
        for wait in waits:
            await ways.wait(ways.clock.now() + wait)
            ways.agreed()
    finally:
        await ways.close()


@settings.get_profile("fewest")
@given(
    definitions,
    st.lists(deeds, min_size=3, max_size=12),
    st.sets(st.integers(0, 7)),
    st.lists(st.sampled_from([MILLISECOND, 2 * MILLISECOND, 2 * HOUR, DAY, 29 * DAY]), max_size=1),
)
def test_live_is_plain_counting_is_sql(defined, happened, again, waits):
    asyncio.run(lived(defined, happened, again, waits))


POOL = (
    'count("Product Viewed", last 30 hours) = 1',
    'count("Product*", last 2 days) >= 2',
    'count("*") >= 4',
    'count("Impression", last 3 days) = 1 or count("Impression") = 2',
    'not performed("Order Completed", today)',
    'count("Product*", yesterday) = 1',
    'count("*", this month) > count("*", last month)',
    'performed("Product Viewed", this week) and not performed("Product Viewed", last 20 hours)',
    'count("*", this session) = 1',
    'sum(properties.price of "*", last 40 hours) >= 3',
    'avg(properties.price of "Product*") > 1.5',
    'min(properties.price of "*", last 2 days) = 1',
    'max(properties.price of "Product Viewed", today) >= 2',
    'distinct(properties.brand of "*", last 30 hours) >= 2',
    'distinct(properties.brand of "Product*") = 1',
    'first(properties.brand of "*", last 2 days) = "a"',
    'last(properties.brand of "Product*") = exactly "A"',
    'last(properties.brand of "*", last 25 hours) = "\u00e9t\u00e9"',
    'most_frequent(properties.brand of "*", last 3 days) = "a"',
    'most_frequent(properties.brand of "*") in ["ete", 2]',
    'count("Product*" where properties.brand = "a") = 1',
    'count("*" where properties.price >= 2 and not context.page.path contains "x", last 2 days) >= 1',
    'performed("*" where any of properties.products where (it.id = "i1" and it.n > 1))',
    'count("*", since date "2026-01-31") = 1',
    'count("*", from date "2026-01-30" to date "2026-01-31T12:00:00Z") >= 2',
    'last("Product*") has (properties.price > 2)',
    'last("*" where properties.brand exists, last 30 hours) has (properties.brand = "a")',
    'traits.plan has been "pro" for 2 hours',
    'traits.plan has been exactly "pro" for less than 1 day or traits.group_id has been "g1" for 1 hour',
    'sequence("Product Viewed" then "Product*" within 1 day, last 2 days)',
    'sequence("Product*" then "Order Completed" without "Impression")',
    'sequence("Product*" without "Order Completed" for 5 hours, last 3 days)',
    'sequence("*" then "Product Viewed" where properties.price > 1 then "*" within 6 hours, today)',
    'traits.plan = "pro"',
    'traits.plan is missing or traits.tags has all ["a", "ete"]',
    'traits.tags contains "a" and not traits.plan = "free"',
    "traits.joined within last 2 days",
    'traits.joined on date "now"',
    'traits.joined < date "now/d"',
    'traits.version >= version "2.0"',
    "traits.n > sessions.count",
    "traits.n between 1 and sessions.events",
    "sessions.count = 2",
    "sessions.events >= 3 and known = true",
    "sessions.minutes > 60",
    'zone = "Asia/Tokyo"',
    "traits.timezone exists and not zone = traits.timezone",
    'traits.group_id = "g1"',
    'traits.plan matches "[a-z]+" and user_id exists',
    'traits.address.city = "\u00e9t\u00e9"',
    'count("Product*", half-life 6 hours) >= 1',
    'sum(properties.price of "*", half-life 1 day) > 3',
    'count("*" where item.id is missing, last 2 days) >= 2',
    "interests.category.shoes > 1.3 or consent.analytics exists",
)
BRANDS = ("a", "A", "\u00c9t\u00e9", "b", 2, 2.0, True, None, ["a", "b"])
SAID = (
    {"plan": "pro", "tags": ["\u00c4", "ETE"], "n": 2},
    {"plan": "Free", "tags": "a", "joined": "2026-01-31", "n": 3},
    {"plan": None, "joined": "2026-01-30T23:30:00", "version": "2.10", "timezone": "Asia/Tokyo"},
    {"joined": "2026-01-31T12:00:00Z", "version": "2.0.0-rc.1", "timezone": "Nowhere", "address": {"city": "Ete"}},
)
days = st.lists(
    st.tuples(
        st.sampled_from([*NAMES, "identify", "identify", "alias", "group"]),
        st.sampled_from(["d0", "d0", "d1", "d2", "d3"]),
        st.integers(0, 60),  # hours ago
        st.integers(0, 8),
        st.booleans(),
    ),
    min_size=5,
    max_size=16,
)


def said(place, deed):
    name, device, hours, n, known = deed
    at, owner = START - hours * HOUR - n * MINUTE, OWNERS.get(device)
    base = {"messageId": f"m{place:02}", "timestamp": format_time(at), "anonymousId": device, "context": {}}
    if n < len(ZONES):
        base["context"] = {} if ZONES[n] is None else {"timezone": ZONES[n]}
    if name == "alias":
        return {**base, "type": "alias", "userId": owner or "u1", "previousId": ("u0", "u1", "d3")[n % 3]}
    if name == "identify" and owner is not None:
        return {**base, "type": "identify", "userId": owner, "traits": SAID[n % len(SAID)]}
    if known and owner is not None:
        base["userId"] = owner
    if name in {"identify", "group"}:
        base["context"]["traits"] = SAID[n % len(SAID)]
        return {**base, "type": "group", "groupId": f"g{n % 2}"}
    base["context"]["page"] = {"path": "/x" if n % 2 else "/"}
    products = [{"id": f"i{one}", "n": one} for one in range(n % 4)]
    properties = {"price": n, "brand": BRANDS[n], "products": products}
    return {**base, "type": "track", "event": name, "properties": properties}


async def spent(asked, day, waits, *, later=0, kind="secret", unsigned="merge", erased=None):
    """Live through a day; `later` of the segments are defined when half of it is over, so that history is counted."""
    named = {f"s{n:02}": text for n, text in enumerate(asked)}
    whose = msgspec.structs.replace(SETTINGS, identity=IdentitySettings(unsigned=unsigned))
    ways = await ThreeWays.begun(dict(list(named.items())[later:]), START, whose, kind)
    try:
        for place, deed in enumerate(day):
            await ways.send([said(place, deed)] * (1 + place % 3 // 2))
            if later and place == len(day) // 2:
                await ways.define(named)
        there = sorted(ways.agreed())
        if erased is not None and there:
            await ways.engine.erase(there[erased % len(there)])
            assert set(ways.agreed()) == set(there) - {there[erased % len(there)]}
        for wait in waits:
            await ways.wait(ways.clock.now() + wait)
            ways.agreed()
    finally:
        await ways.close()


@settings.get_profile("fewest")
@given(
    st.lists(st.sampled_from(POOL), min_size=8, max_size=12, unique=True),
    days,
    st.lists(st.sampled_from([HOUR, 2 * HOUR, 5 * HOUR, DAY]), max_size=2),
)
def test_what_marketers_ask_of_days_of_several_devices_is_the_same_three_ways(asked, day, waits):
    asyncio.run(spent(asked, day, waits))


@settings.get_profile("fewest")
@given(
    st.lists(st.sampled_from(POOL), min_size=8, max_size=12, unique=True),
    days,
    st.integers(0, 7),
    st.sampled_from(["secret", "write"]),
    st.sampled_from(["merge", "claim"]),
    st.one_of(st.none(), st.integers(0, 3)),
)
def test_so_it_is_of_segments_that_came_later_and_whoever_s_word_is_taken(asked, day, later, kind, unsigned, erased):
    asyncio.run(spent(asked, day, [], later=later, kind=kind, unsigned=unsigned, erased=erased))
