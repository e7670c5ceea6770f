"""States of aggregates: what feeds them, what they keep, and their exact edges."""

from __future__ import annotations

import pytest

from bespeak.clock import DAY, HOUR, MINUTE, SECOND
from bespeak.conditions import Aggregate, Feeds, compile_condition, key, merge, parse
from bespeak.conditions.counting.aggregates import Count, Last, Sum, Times
from bespeak.errors import ConditionError
from bespeak.events import Event

NOON = 1_700_000_000 * SECOND


def happened(time, name="Product Viewed", message_id="m", type_="track", context=None, **properties):
    return Event(
        type=type_,
        name=name,
        message_id=message_id,
        time=time,
        received=time,
        properties=properties,
        context=context or {},
    )


def fold(feeds, *events, delay=DAY, states=None):
    states = {} if states is None else states
    newest = 0
    for event in events:
        feeds.update(states, event, newest=newest, delay=delay)
        newest = max(newest, event.time)
    return states


class Person:
    def __init__(self, states):
        self.states = states

    def get(self, path):
        return None

    def state(self, key):
        return self.states.get(key)


def asked(text, *events, delay=DAY, keep=1_000):
    """Return a function that says whether a condition holds at an instant, after these events."""
    compiled = compile_condition(parse(text))
    states = fold(Feeds(compiled.depends.aggregates, keep=keep), *events, delay=delay)
    return lambda at: compiled.holds(Person(states), at)


def found(text, at, *events, keep=1_000):
    compiled = compile_condition(parse(text))
    states = fold(Feeds(compiled.depends.aggregates, keep=keep), *events)
    return compiled.explain(Person(states), at)


@pytest.mark.parametrize(
    "text",
    [
        'performed("Product Viewed", last 1 hour)',
        'count("Product Viewed", last 1 hour) >= 1',
        'count("Product Viewed", last 1 hour) = 1',
        'not count("Product Viewed", last 1 hour) < 1',
        'sum(properties.price of "Product Viewed", last 1 hour) = 5',
        'last(properties.price of "Product Viewed", last 1 hour) = 5',
        'last(properties.price of "Product Viewed", last 1 hour) exists',
    ],
)
def test_an_event_is_in_its_window_from_its_own_instant_until_just_before_the_window_has_passed(text):
    holds = asked(text, happened(NOON, price=5))
    assert [holds(at) for at in (NOON - 1, NOON, NOON + HOUR - 1, NOON + HOUR)] == [False, True, True, False]


def test_three_views_in_ten_minutes_end_when_the_oldest_of_the_three_newest_leaves():
    compiled = compile_condition(parse('count("Product Viewed", last 10 minutes) >= 3'))
    views = [happened(NOON + minute * MINUTE) for minute in (0, 4, 6, 7)]
    person = Person(fold(Feeds(compiled.depends.aggregates), *views))
    now = NOON + 7 * MINUTE
    assert compiled.answer(person, now) == (True, NOON + 14 * MINUTE)
    assert not compiled.holds(person, NOON + 14 * MINUTE)


def test_a_visit_that_stays_away_flips_to_not_performed_at_its_second():
    compiled = compile_condition(parse('not performed("Page Viewed", last 30 days)'))
    person = Person(fold(Feeds(compiled.depends.aggregates), happened(NOON, "Page Viewed", type_="page")))
    assert compiled.answer(person, NOON + DAY) == (False, NOON + 30 * DAY)
    assert compiled.holds(person, NOON + 30 * DAY)


def test_money_adds_up_as_on_paper_in_any_order_and_for_ever():
    prices = [0.1, 0.2, 1e11, -1e11, 19.99, 0.01]
    text = 'sum(properties.price of "Product Viewed") = 20.3'
    windowed = 'sum(properties.price of "Product Viewed", last 1 hour) = 20.3'
    events = [happened(NOON + i, price=price) for i, price in enumerate(prices)]
    for order in (events, events[::-1], events[3:] + events[:3]):
        assert asked(text, *order)(NOON + 10)
        assert asked(windowed, *order)(NOON + 10)


def test_two_amounts_at_one_instant_leave_the_same_state_in_either_order():
    feeds = Feeds([Aggregate("sum", "Product Viewed", "properties.price", within=HOUR)])
    events = [happened(NOON, price=2), happened(NOON, price=1), happened(NOON - 1, price=3), happened(NOON, price=1.5)]
    states = fold(feeds, *events)
    assert states == fold(feeds, *events[::-1])
    assert states[feeds.keys[0]].amounts == [3_000_000, 1_000_000, 1_500_000, 2_000_000]


@pytest.mark.parametrize("price", ["5", True, None, [5], {"amount": 5}, 1e13, float("nan"), float("inf")])
def test_what_is_no_number_or_out_of_bounds_adds_nothing(price):
    assert asked('sum(properties.price of "Product Viewed") = 0', happened(NOON, price=price))(NOON)
    states = fold(Feeds([Aggregate("sum", "Product Viewed", "properties.price")]), happened(NOON, price=price))
    assert states == {}


def test_the_total_of_a_person_may_outgrow_64_bits_of_millionths():
    feeds = Feeds([Aggregate("sum", "Product Viewed", "properties.price")])
    states = fold(feeds, *(happened(NOON + i, price=10**12) for i in range(30)), happened(NOON, price=-0.5))
    assert states == {feeds.keys[0]: Sum(30 * 10**12 - 1, 500_000)}


def test_the_last_value_is_that_of_the_newest_time_then_of_the_greater_message_id():
    events = [
        happened(NOON, message_id="b", category="shoes"),
        happened(NOON, message_id="c", category="hats"),
        happened(NOON, message_id="a", category="coats"),
        happened(NOON - 1, message_id="z", category="bags"),
    ]
    for text in (
        'last(properties.category of "Product Viewed") = "hats"',
        'last(properties.category of "Product Viewed", last 1 hour) = "hats"',
    ):
        for order in (events, events[::-1]):
            assert asked(text, *order)(NOON)


def test_an_event_without_the_property_leaves_the_last_value_as_it_was():
    events = happened(NOON, category="shoes"), happened(NOON + 1), happened(NOON + 2, category={"name": "hats"})
    assert asked('last(properties.category of "Product Viewed") = "shoes"', *events)(NOON + 2)


def test_a_list_is_kept_as_the_last_value_without_what_no_condition_can_read():
    event = happened(NOON, tags=["sale", None, {"x": 1}, 5])
    assert asked('last(properties.tags of "Product Viewed") in ["sale"]', event)(NOON)
    states = fold(Feeds([Aggregate("last", "Product Viewed", "properties.tags")]), event)
    assert list(states.values()) == [Last(0, [(NOON, "m", ["sale", 5])])]


@pytest.mark.parametrize("value", ["x" * 1_001, ["x"] * 101, [], [{}]])
def test_a_value_over_its_bound_or_empty_is_not_kept(value):
    states = fold(Feeds([Aggregate("last", "Product Viewed", "properties.tags")]), happened(NOON, tags=value))
    assert states == {}


def test_the_last_value_ever_keeps_one_entry_and_a_windowed_one_those_within_the_delay_and_one_before():
    ever, windowed = Aggregate("last", "E", "properties.n"), Aggregate("last", "E", "properties.n", within=30 * DAY)
    states = fold(Feeds([ever, windowed]), *(happened(NOON + i * HOUR, "E", n=i) for i in range(100)))
    assert [value for _, _, value in states[key(ever)].entries] == [99]
    assert [value for _, _, value in states[key(windowed)].entries] == list(range(75, 100))


@pytest.mark.parametrize(
    "where, passes",
    [
        ("properties.discount > 0", True),
        ("properties.discount > 5", False),
        ('properties.item.brand = "Acme"', True),
        ("properties.item.brand.name exists", False),
        ('properties."Product Category" = "Shoes"', True),
        ('context.device.type in ["phone", "tablet"]', True),
        ('type = "track"', True),
        ('type = "page" or not properties.sale = true', False),
        ("properties.sizes in [42]", True),
        ("properties.sizes > 43", True),
        ("properties.sizes > 44", False),
        ("properties.nothing is missing and context.nothing is missing", True),
    ],
)
def test_a_filter_reads_the_event_itself(where, passes):
    properties = {
        "Product Category": "Shoes",
        "item": {"brand": "Acme"},
        "discount": 5,
        "sale": True,
        "sizes": [42, 44],
    }
    event = happened(NOON, context={"device": {"type": "phone"}}, **properties)
    assert asked(f'performed("Product Viewed" where {where})', event)(NOON) is passes


def test_an_event_feeds_only_what_names_it():
    feeds = Feeds([Aggregate("count", "Product Viewed"), Aggregate("count", "Order Completed", within=DAY)])
    states = {}
    assert feeds.events == {"Product Viewed", "Order Completed"}
    assert not feeds.update(states, happened(NOON, "Product Removed"), newest=0, delay=DAY)
    assert feeds.update(states, happened(NOON), newest=0, delay=DAY)
    assert states == {'count("Product Viewed")': Count(1)}


def test_an_event_later_than_the_delay_counts_for_ever_but_in_no_window():
    ever, windowed = Aggregate("count", "Product Viewed"), Aggregate("count", "Product Viewed", within=30 * DAY)
    feeds = Feeds([ever, windowed])
    states = {}
    for time in (NOON, NOON - DAY, NOON - DAY - 1):
        feeds.update(states, happened(time), newest=NOON, delay=DAY)
    assert states == {key(ever): Count(3), key(windowed): Times(31 * DAY, [NOON - DAY, NOON])}


def test_the_same_aggregate_declared_twice_is_fed_once():
    where = parse("properties.price > 5")
    feeds = Feeds([Aggregate("count", "E", None, where), Aggregate("count", "E", None, where)])
    assert feeds.keys == ('count("E" where properties.price > 5)',)
    assert fold(feeds, happened(NOON, "E", price=6)) == {feeds.keys[0]: Count(1)}


def test_filters_that_differ_in_type_only_are_two_aggregates():
    one, flag = (Aggregate("count", "E", None, parse(f"properties.x = {value}")) for value in ("1", "true"))
    feeds = Feeds([one, flag])
    assert fold(feeds, happened(NOON, "E", x=True)) == {key(flag): Count(1)}


def test_beyond_its_bound_a_window_keeps_the_newest_and_says_that_it_is_approximate():
    events = [happened(NOON + i) for i in range(20)]
    text = 'count("Product Viewed", last 1 hour) >= 5'
    assert not found(text, NOON + 20, *events[:10], keep=10).approximate
    crowded = found(text, NOON + 20, *events, keep=10)
    assert (crowded.holds, crowded.value, crowded.approximate) == (True, 10, True)
    # What found no room was at NOON + 9: from when that has left the window, the figure is exact again.
    assert found(text, NOON + HOUR + 8, *events, keep=10).approximate
    assert not found(text, NOON + HOUR + 9, *events, keep=10).approximate
    amount = found(
        'sum(properties.n of "Product Viewed", last 1 hour) > 5',
        NOON + 20,
        *(happened(NOON + i, n=1) for i in range(20)),
        keep=10,
    )
    assert (amount.value, amount.approximate) == (10, True)


def test_old_times_are_forgotten_once_no_window_can_reach_them():
    counted = Aggregate("count", "E", within=HOUR)
    states = fold(Feeds([counted]), *(happened(NOON + i * HOUR, "E") for i in range(100)))
    assert states[key(counted)].times == [NOON + i * HOUR for i in range(75, 100)]


def test_merging_leaves_the_other_profile_its_own_lists():
    counted = Aggregate("count", "E", within=HOUR)
    feeds = Feeds([counted])
    into, other = {}, fold(feeds, happened(NOON, "E"))
    merge(into, other)
    fold(feeds, happened(NOON + 1, "E"), states=into)
    assert other[key(counted)].times == [NOON]


def test_merging_keeps_the_bound():
    counted = Aggregate("count", "E", within=HOUR)
    feeds = Feeds([counted], keep=10)
    into = fold(feeds, *(happened(NOON + i, "E") for i in range(10)))
    merge(into, fold(feeds, *(happened(NOON + 5 + i, "E") for i in range(10))), keep=10)
    assert len(into[key(counted)].times) == 10
    assert into[key(counted)].dropped == NOON + 7  # 0 to 6, 5 and 6 again, and one of the two 7s found no room


@pytest.mark.parametrize(
    "aggregate",
    [
        Aggregate("sum", "E"),
        Aggregate("count", "E", "properties.price"),
        Aggregate("last", "E", "traits.country"),
        Aggregate("count", ""),
        Aggregate("count", "E", within=0),
        Aggregate("count", "E", within=1),
        Aggregate("count", "E", within=100_000 * DAY),
        Aggregate("count", "E", None, parse('traits.country = "DE"')),
        Aggregate("count", "E", None, parse('performed("E")')),
        Aggregate("count", "E", None, parse('in_segment("x")')),
    ],
)
def test_an_aggregate_without_a_meaning_is_refused(aggregate):
    with pytest.raises(ConditionError):
        Feeds([aggregate])


def test_windows_of_different_length_share_one_state_that_reaches_as_far_as_the_longest():
    windows = [Aggregate("count", "E", within=length) for length in (HOUR, 2 * DAY, DAY)]
    feeds = Feeds(windows)
    assert {key(window) for window in windows} == set(feeds.keys) == {'count("E", rolling)'}
    states = fold(feeds, *(happened(NOON + i * HOUR, "E") for i in range(100)))
    assert states == {feeds.keys[0]: Times(3 * DAY, [NOON + i * HOUR for i in range(28, 100)])}


def test_what_is_kept_too_short_or_not_at_all_needs_history():
    held = Feeds([Aggregate("count", "E", within=DAY), Aggregate("count", "F")])
    same = Feeds([Aggregate("count", "E", within=HOUR), Aggregate("count", "F")])
    more = Feeds([Aggregate("count", "E", within=2 * DAY), Aggregate("count", "F"), Aggregate("count", "G")])
    assert same.beyond(held).keys == ()
    assert more.beyond(held).keys == ('count("E", rolling)', 'count("G")')
    assert (more.covers(held), held.covers(same), more.covers(more.beyond(held))) == (False, False, True)
    assert not held.covers(more.beyond(held))
    assert held.covers(same.beyond(held)), "which is nothing"
    states = fold(more.beyond(held), *(happened(NOON + i * DAY, "E") for i in range(4)))
    assert states['count("E", rolling)'].times == [NOON + DAY, NOON + 2 * DAY, NOON + 3 * DAY]
