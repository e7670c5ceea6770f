"""Computed traits are read as they are written, and stand for what they are wherever they are named."""

from __future__ import annotations

from typing import Any

import pytest

from bespeak.clock import DAY, NEVER, SECOND
from bespeak.computed import load_score, load_trait
from bespeak.conditions import Feeds
from bespeak.conditions.asking.answers import reader
from bespeak.errors import DefinitionError
from bespeak.events import Event
from bespeak.profiles import Folding, Profile, ProfileSettings, View, fold
from bespeak.segments import Segments, load, named_in

START = 1_780_000_000 * SECOND
SETTINGS = ProfileSettings()
TRAITS: dict[str, dict[str, Any]] = {
    "orders": {"value": 'count("Bought")'},
    "revenue": {"value": 'sum(properties.total of "Bought", last 90 days)'},
    "share": {"ratio": {"of": "computed.orders", "to": 'count("Viewed")'}},
    "net": {"difference": {"of": 'sum(properties.total of "Bought")', "less": 'sum(properties.by of "Refunded")'}},
    "idle": {"days_since": {"last": "Bought"}},
    "known_for": {"days_since": {"first": "Bought", "where": "properties.total > 100"}},
    "brand": {"value": 'most_frequent(properties.brand of "Viewed")'},
    "city": {"value": "traits.city"},
    "shipped": {"value": 'last(properties.on of "Shipped")'},
}
EVENTS = [
    ("Viewed", 0, {"brand": "Acme"}),
    ("Viewed", DAY, {"brand": "Acme"}),
    ("Bought", 2 * DAY, {"total": 40}),
    ("Viewed", 3 * DAY, {"brand": "Zeta"}),
    ("Refunded", 3 * DAY, {"by": 9.9}),
    ("Viewed", 3 * DAY + 1, {}),
]


def site(
    segments: dict[str, str] | None = None, traits: dict[str, Any] = TRAITS, scores: dict[str, Any] | None = None
) -> Segments:
    return Segments(
        [load({"id": name, "condition": text}, source="test") for name, text in (segments or {}).items()],
        [load_trait({"id": name, **body}, source="test") for name, body in traits.items()],
        [load_score({"id": name, **body}, source="test") for name, body in (scores or {}).items()],
    )


def somebody(segments: Segments, happened: list[Any] = EVENTS) -> Profile:
    profile = Profile(id="a:a")
    folding = Folding(Feeds(segments.aggregates()), lambda _item: None, SETTINGS)
    for place, (name, offset, properties) in enumerate(happened):
        time = START + offset
        event = Event(
            type="track", name=name, message_id=f"m{place}", time=time, received=time, properties=dict(properties)
        )
        fold(profile, event, folding)
    return profile


def test_each_is_what_the_events_come_to():
    segments = site()
    at = START + 12 * DAY
    view = View(somebody(segments), at, SETTINGS, worked={name: reader(one) for name, one in segments.operands.items()})
    found = {name: view.get(f"computed.{name}") for name in TRAITS}
    assert found == {
        "orders": 1,
        "revenue": 40.0,
        "share": 0.25,
        "net": 30.1,
        "idle": 10.0,
        "known_for": None,
        "brand": "Acme",
        "city": None,
        "shipped": None,
    }
    assert view.get("computed.nothing") is None


def test_in_a_segment_an_aggregate_stands_in_the_place_of_the_name():
    by_name = site({"big": 'computed.revenue > 100 and computed.city = "Wien"'}).compiled("big")
    written = site({"big": 'sum(properties.total of "Bought", last 90 days) > 100 and traits.city = "Wien"'})
    assert by_name is not None
    assert by_name.condition == (compiled.condition if (compiled := written.compiled("big")) else None)


def test_days_since_turn_at_their_instant():
    compiled = site({"idle": "computed.idle >= 30"}).compiled("idle")
    assert compiled is not None
    view = View(somebody(site()), START, SETTINGS)
    at, due = START + 4 * DAY, START + 32 * DAY
    assert compiled.answers(view, at) == (False, due)
    assert [compiled.holds(view, then) for then in (due - 1, due)] == [False, True]
    assert compiled.answers(view, due) == (True, NEVER)
    assert compiled.explain(view, due).sentence() == "computed.idle is 30"


def test_a_date_may_be_asked_of_a_computed_trait():
    compiled = site({"fresh": "computed.shipped within last 7 days"}).compiled("fresh")
    assert compiled is not None
    assert compiled.depends.events == {"Shipped"}


@pytest.mark.parametrize(
    "body, said",
    [
        ({}, "expected one of value, ratio, difference, days_since, orders, rfm, found nothing"),
        ({"value": 'count("E")', "ratio": {"of": "traits.a", "to": "traits.b"}}, "found value and ratio"),
        ({"value": 'count("E") >= 5'}, 'value: expected a path or an aggregate such as count("Order Completed")'),
        ({"value": "count(E)"}, "write strings in double quotes"),
        ({"value": "context.page"}, "value: expected an aggregate, or a path of the person, found 'context.page'"),
        ({"ratio": {"of": 'count("E")'}}, "ratio.to: is missing"),
        ({"days_since": {}}, "days_since: expected either first or last, found 'neither'"),
        ({"days_since": {"last": "E", "where": "traits.x = 1"}}, "filter on an event: expected properties.NAME"),
        ({"alue": 'count("E")'}, "alue: unknown field; did you mean 'value'?"),
        ({"value": 'count("E")', "id": "A b"}, "id: expected 1 to 100 of a-z"),
    ],
)
def test_a_trait_that_cannot_be_says_where_what_and_what_would_do(body, said):
    with pytest.raises(DefinitionError) as refused:
        load_trait({"id": "made", **body}, source="test.yaml")
    assert refused.value.message.startswith("test.yaml: ")
    assert said in refused.value.message


FADING = {"loved": {"value": 'count("Viewed", half-life 7 days)'}}


@pytest.mark.parametrize(
    "segments, traits, scores, said",
    [
        (
            {"big": "computed.revenu > 5"},
            TRAITS,
            {},
            "segment 'big': there is no computed trait 'revenu'; did you mean 'revenue'?",
        ),
        ({"big": "scores.lead > 5"}, {}, {}, "segment 'big': there is no score 'lead'; define it in scores/"),
        (
            {},
            {"a": {"value": "computed.b"}, "b": {"value": "computed.a"}},
            {},
            "computed trait 'a': it asks for itself: computed.a > computed.b > computed.a",
        ),
        (
            {"keen": "scores.lead > 5"},
            {},
            {"lead": {"elements": [{"condition": 'in_segment("keen")', "points": 1}]}},
            "score 'lead': it asks for itself: scores.lead > keen > scores.lead",
        ),
        (
            {"hot": 'scores.lead.band = "hot"'},
            {},
            {"lead": {"elements": [{"event": "E", "points": 1}]}},
            "segment 'hot': there is no 'scores.lead.band'; there is scores.lead: it has no bands",
        ),
        (
            {},
            {**FADING, "odd": {"ratio": {"of": "computed.loved", "to": 'count("Viewed")'}}},
            {},
            "computed trait 'odd': ratio: expected what events alone change, found count(\"Viewed\", half-life 7 days)",
        ),
        (
            {"odd": "computed.idle > interests.tag.wool"},
            TRAITS,
            {},
            "segment 'odd': computed.idle and interests.tag.wool fade or run by themselves",
        ),
        ({"odd": "any of computed.idle where (it.a = 1)"}, TRAITS, {}, "'computed.idle' is no list of objects"),
        ({"odd": 'computed.orders contains "a"'}, TRAITS, {}, "count: expected a comparison such as >= 5"),
    ],
)  # fmt: skip
def test_names_that_cannot_be_are_refused_with_the_reason(segments, traits, scores, said):
    with pytest.raises(DefinitionError) as refused:
        site(segments, traits, scores)
    assert said in refused.value.message


def test_scores_that_name_each_other_many_times_over_are_refused():
    def body(below: int | None) -> dict[str, Any]:
        if below is None:
            return {"elements": [{"event": "Viewed", "points": 1}]}
        return {"elements": [{"condition": f"scores.s{below} > {bound}", "points": 1} for bound in range(6)]}

    scores = {f"s{place}": body(place - 1 if place else None) for place in range(6)}
    with pytest.raises(
        DefinitionError, match=r"score 's4': with all that it names it has [\d,]+ parts, expected at most"
    ):
        site({}, {}, scores)


def test_what_a_definition_names_is_found_wherever_it_stands():
    segment = load(
        {"id": "x", "condition": 'in_segment("a") or traits.t > computed.b or any of computed.d where (it.x = 1)'},
        source="test",
    )
    plan = load_score({"id": "y", "elements": [{"condition": 'scores.c.band = "hot"', "points": 1}]}, source="test")
    assert set(named_in(segment)) == {("segments", "a"), ("traits", "b"), ("traits", "d")}
    assert set(named_in(plan)) == {("scores", "c")}
    assert set(named_in(load_trait({"id": "z", **TRAITS["share"]}, source="test"))) == {("traits", "orders")}


ORDERS = {
    "event": "Bought",
    "id": "properties.order_id",
    "amount": "properties.total",
    "refunds": "Refunded",
    "refunded": "properties.by",
    "window": "last 30 days",
}
BOUGHT = [
    ("Bought", 0, {"order_id": "A", "total": 50}),
    ("Bought", 1 * DAY, {"order_id": "B", "total": 30.1}),
    ("Bought", 2 * DAY, {"total": 7}),
    ("Refunded", 3 * DAY, {"order_id": "A", "by": 20}),
    ("Refunded", 4 * DAY, {"order_id": "B", "by": 30.1}),
    ("Refunded", 4 * DAY, {"order_id": "Z", "by": 99}),
    ("Refunded", 4 * DAY, {"by": 99}),
]


@pytest.mark.parametrize(
    "changed, days, expected",
    [
        ({"read": "sum"}, 2.5, 87.1),
        ({"read": "sum"}, 3.5, 67.1),
        ({"read": "sum"}, 5, 37.0),
        ({"read": "count"}, 5, 2),
        ({"read": "avg"}, 5, 18.5),
        ({"read": "sum", "refunded": None}, 5, 7.0),
        ({"read": "sum"}, 30, 7.0),
        ({"read": "count"}, 40, 0),
        ({"read": "avg"}, 40, None),
        ({"read": "sum", "window": None}, 4_000 / 2, 37.0),
    ],
)
def test_a_refund_takes_from_its_order_and_an_order_of_which_nothing_is_left_is_none(changed, days, expected):
    body = {name: value for name, value in {**ORDERS, **changed}.items() if value is not None}
    segments = site({}, {"kept": {"orders": body}})
    at = START + int(days * DAY)
    happened = [one for one in BOUGHT if START + one[1] <= at]
    view = View(somebody(segments, happened), at, SETTINGS)
    assert reader(segments.operands["computed.kept"])(view, at) == expected


def test_an_order_that_is_told_again_counts_as_it_was_told_last():
    rows = [("Bought", 0, {"order_id": "A", "total": 50}), ("Bought", DAY, {"order_id": "A", "total": 40})]
    segments = site({}, {"kept": {"orders": {**ORDERS, "read": "sum"}}})
    view = View(somebody(segments, rows), START + DAY, SETTINGS)
    assert reader(segments.operands["computed.kept"])(view, START + DAY) == 40.0


def test_who_is_in_by_orders_leaves_when_an_order_leaves_its_window():
    segments = site({"big": "computed.kept >= 30"}, {"kept": {"orders": {**ORDERS, "read": "sum"}}})
    compiled = segments.compiled("big")
    assert compiled is not None
    view, at = View(somebody(segments, BOUGHT), START, SETTINGS), START + 5 * DAY
    assert compiled.answers(view, at) == (True, START + 30 * DAY)
    assert compiled.answers(view, START + 30 * DAY) == (False, NEVER)


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"read": "max"}, "orders.read: expected one of avg, count, sum, found 'max'"),
        ({"window": 'since date "2026-01-01"'}, "orders.window: expected a window that moves, such as last 90 days"),
        ({"window": "last 9"}, "orders.window: expected a path or an aggregate"),
        ({"window": "half-life 9 days"}, "orders.window: expected a window that moves"),
        ({"id": "order_id"}, "orders.id: condition, filter on an event: expected properties.NAME"),
        ({"amounts": "properties.total"}, "orders.amounts: unknown field; did you mean 'amount'?"),
    ],
)
def test_orders_that_cannot_be_say_where_what_and_what_would_do(changed, said):
    with pytest.raises(DefinitionError) as refused:
        load_trait({"id": "kept", "orders": {**ORDERS, "read": "sum", **changed}}, source="test.yaml")
    assert said in refused.value.message
