"""What the owner of the shop does now and then: define, change the catalog, import old orders."""

from __future__ import annotations

from random import Random
from typing import Any, Final

import msgspec

from bespeak.catalog import Item
from bespeak.clock import DAY, Instant, parse_time
from bespeak.engine import Definition, DefinitionKind
from bespeak.events import NAMES, Event
from bespeak.testing.world import World

CONDITIONS: Final = (
    'count("Product Viewed", last 2 days) >= 3',
    'count("Product Viewed" where properties.price > 40, last 12 days) < 2',
    'not performed("Order Completed", last 10 days)',
    'not performed("Order Completed")',
    'sum(properties.price of "Product Viewed", last 20 days) >= 150',
    'sum(properties.revenue of "Order Completed") > 80',
    'last(properties.price of "Product Viewed", last 6 days) > 45',
    'last(properties.category of "Product Viewed") = "shoes"',
    'performed("Product Viewed") and not performed("Product Added", last 5 hours)',
    'count("Page Viewed" where properties.name = "Home", last 1 hour) = 1',
    'count("Decision Made", last 3 days) >= 1',
    'count("Segment Consent Preference Updated") >= 2',
    'traits.plan = "pro" or traits.logins in [1, 2, 3]',
    "traits.email exists",
    "consent.personalization = true",
    "known = true",
    "sessions.count >= 2",
    'sequence("Product Viewed" then "Product Added" within 1 hour, last 12 days)',
    'sequence("Product Viewed" where properties.price > 40 then "Product Added" without "Product Clicked")',
    'sequence("Product Added" without "Order Completed" for 6 hours, last 9 days)',
    'traits.plan has been "pro" for 3 days',
    'count("Page Viewed", this week) >= 2 or performed("Order Completed", yesterday)',
    'count("Product Viewed", since date "2026-01-20") >= 3',
    'performed("Order Completed" where any of properties.products where (it.price > 40 and it.quantity = 1))',
    'count("Product Viewed" where item.tags in ["new", "sale"] and item.price > 40, last 15 days) >= 1',
    'count("Product Viewed", half-life 3 days) >= 1.7',
    'bucket("spring") < 0.5 and performed("Product*", last 4 days)',
)
"""Conditions over the town's events: of every kind of aggregate, with windows of an hour to weeks and with none; of the
order of events, the calendar, lists, the items of an event, what fades, and chance."""

OTHERS: Final[tuple[tuple[Any, dict[str, Any]], ...]] = (
    ("rules", {"id": "sale", "kind": "boost", "items": 'item.tags = "sale"', "add": 0.5}),
    ("rules", {"id": "cheap", "kind": "filter", "action": "keep", "items": "item.price <= 100"}),
    (
        "content",
        {
            "id": "hello",
            "slot": "home",
            "condition": 'count("Page Viewed", last 3 days) >= 2',
            "template": "<p>Hi</p>",
            "fallback": "<p>Hello</p>",
        },
    ),
    (
        "experiments",
        {
            "id": "ranking",
            "status": "running",
            "condition": 'sum(properties.revenue of "Order Completed", last 30 days) > 10',
            "variants": [{"key": "control"}, {"key": "fresh"}],
        },
    ),
)


FIRST: Final[tuple[tuple[DefinitionKind, dict[str, Any]], ...]] = (
    ("traits", {"id": "views", "value": 'count("Product Viewed", last 8 days)'}),
    ("traits", {"id": "idle", "days_since": {"last": "Product Viewed"}}),
    ("traits", {"id": "rate", "ratio": {"of": 'count("Product Added")', "to": 'count("Product Viewed")'}}),
    (
        "traits",
        {
            "id": "rfm",
            "rfm": {
                "recency": "computed.idle",
                "frequency": "computed.views",
                "monetary": 'sum(properties.price of "Product Viewed")',
            },
        },
    ),
    (
        "scores",
        {
            "id": "keen",
            "halflife": "3 days",
            "elements": [
                {"event": "Product Viewed", "points": 1, "most": 6},
                {"event": "Product Added", "where": "properties.price > 40", "points": 3},
                {"condition": 'computed.views >= 3 and not performed("Order Completed", last 5 days)', "points": -1},
            ],
            "floor": 0,
            "bands": {"cool": 0, "warm": 2, "hot": 5},
        },
    ),
    ("segments", {"id": "keen", "condition": 'scores.keen.band = "hot" or scores.keen between 1 and 2'}),
    (
        "segments",
        {
            "id": "graded",
            "condition": 'computed.rfm.cell in ["champions", "loyal", "at risk"] or computed.rfm.recency = 3',
        },
    ),
    (
        "segments",
        {"id": "rating", "condition": 'computed.rate >= 0.25 and computed.idle < 6.5 and not in_segment("keen")'},
    ),
)
"""What is in force from the first day to the last: computed traits, a score, and segments that read them."""


def first_definitions() -> tuple[Definition, ...]:
    """Return what is in force from the first day on."""
    return tuple(Definition(kind=kind, id=str(body["id"]), body=body) for kind, body in FIRST)


def definition(rng: Random) -> Definition:
    """Make up a definition, mostly of a segment."""
    if rng.random() < 0.8:
        name = f"s{rng.randrange(8)}"
        return Definition(kind="segments", id=name, body={"id": name, "condition": rng.choice(CONDITIONS)})
    kind, body = rng.choice(OTHERS)
    return Definition(kind=kind, id=str(body["id"]), body=body)


def goods(world: World, rng: Random) -> list[Item]:
    """Return items as they are from now on: dearer, out of stock, or of another tag."""
    chosen = rng.sample(world.items, rng.randrange(1, 4))
    stocks = (None, 0, 7)
    return [
        msgspec.structs.replace(item, price=float(rng.randrange(5, 200)), stock=rng.choice(stocks), tags=("new",))
        for item in chosen
    ]


def history(world: World, rng: Random, now: Instant, name: str) -> list[Event]:
    """Return what people did in the month before, sorted by time, as rows of a file called `name`."""
    people = rng.sample(world.people, min(2, len(world.people)))
    start = now - 30 * DAY
    messages = [
        message
        for person in people
        for message, _ in zip(world.visits(person, start, days=28.0, rng=rng), range(12), strict=False)
    ]
    events = [_row(message, place, name, now) for place, message in enumerate(messages)]
    return sorted(events, key=lambda event: event.time)


def _row(message: dict[str, Any], place: int, name: str, now: Instant) -> Event:
    kind = message["type"]
    return Event(
        type=kind,
        name=str(message["event"]) if kind == "track" else NAMES[kind],
        message_id=f"{name}-{place:04d}",
        time=parse_time(message["timestamp"]),
        received=now,
        user_id=message.get("userId"),
        anonymous_id=message["anonymousId"],
        properties=message.get("traits") or message.get("properties") or {},
        context=message["context"],
        source=name,
        signed=True,
    )
