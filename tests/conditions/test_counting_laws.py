"""Laws of counting: every aggregate in every window is what the second evaluator makes of the raw events, and flips so.

Events come in any order, late and early, about two ids that turn out to be one person, and in time zones whose clocks
are put back that day.
"""

from __future__ import annotations

from itertools import pairwise
from typing import get_args
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.clock import DAY, HOUR, MINUTE, NEVER, SECOND, parse_time, to_datetime
from bespeak.conditions import (
    AfterEvent,
    Aggregate,
    And,
    Compare,
    Exists,
    Feeds,
    Flips,
    In,
    Not,
    Or,
    Path,
    State,
    compile_condition,
    key,
    merge,
    together,
)
from bespeak.conditions.asking.answers import reader
from bespeak.conditions.counting.reads import FIGURES
from bespeak.conditions.tree import AnyOf, Between, Calendar, FromTo, Kind, Moment, Since, ThisSession, Within
from bespeak.conditions.values.dates import instants
from bespeak.events import Event
from bespeak.testing.naive import holds as naive
from bespeak.testing.naive import worth
from bespeak.testing.naive_counts import session_started

START = parse_time("2026-10-24T12:00:00Z")  # clocks are put back in Berlin that night, in New York a week later
SPAN = 8 * DAY
GAP = 3 * HOUR
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu")
NAMES = ("Product Viewed", "Product Added", "Order Completed", "Rated 5*")
MEANT = ("Product Viewed", "Product*", "Order Completed", "*", r"Rated 5\*")


def midnights():
    """Every instant at which some local day begins, found by looking at each quarter of an hour."""
    found = set()
    for zone in ZONES:
        quarters = [START - 40 * DAY + quarter * 15 * MINUTE for quarter in range(60 * 24 * 4)]
        days = [(to_datetime(at).astimezone(ZoneInfo(zone))).date() for at in quarters]
        found |= {at for (before, after), at in zip(pairwise(days), quarters[1:], strict=True) if before != after}
    return sorted(found)


MIDNIGHTS = midnights()

values = st.one_of(
    st.integers(-2, 4),
    st.sampled_from([0.1, 0.2, 0.3, 2.5, 1.0]),
    st.sampled_from(["shoes", "Shoes", "hats", ""]),
    st.booleans(),
)
found_values = st.one_of(values, values, values, st.none(), st.lists(st.one_of(values, st.none()), max_size=3))
windows = st.one_of(
    st.none(),
    st.sampled_from([5 * SECOND, HOUR, DAY, 3 * DAY]),
    st.builds(Calendar, st.sampled_from(["day", "week", "month", "quarter", "year"]), st.sampled_from([0, 0, 1])),
    st.builds(Calendar, st.sampled_from(["day"]), st.sampled_from([0, 1])),
    st.sampled_from([Since("2026-10-25T00:00:00+02:00"), FromTo("2026-10-25", "2026-10-27T12:00:00Z")]),
    st.just(ThisSession()),
)
wheres = st.sampled_from([None, None, None, Compare(Path("properties.n"), ">", 1)])
kinds = st.sampled_from(get_args(Kind))


@st.composite
def aggregates(draw, of_kinds=kinds):
    kind = draw(of_kinds)
    of = None if kind == "count" else "properties.value"
    return Aggregate(kind, draw(st.sampled_from(MEANT)), of, draw(wheres), draw(windows))


@st.composite
def leaves(draw):
    aggregate = draw(aggregates())
    numbers = st.one_of(st.integers(-1, 4), st.sampled_from([0.3, 0.5, 2.5]))
    if aggregate.kind in FIGURES:
        op = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
        return draw(st.builds(Compare, st.just(aggregate), op, numbers))
    return draw(
        st.one_of(
            st.builds(Compare, st.just(aggregate), st.sampled_from(["=", "!="]), values),
            st.builds(Compare, st.just(aggregate), st.sampled_from(["<", ">="]), numbers),
            st.builds(In, st.just(aggregate), st.lists(values, min_size=1, max_size=3).map(tuple)),
            st.just(Exists(aggregate)),
        )
    )


figures = aggregates(st.sampled_from(sorted(FIGURES)))
ordered = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
SAID = ("2026-10-25", "2026-10-25T02:30:00", "2026-10-26T12:00:00Z", "soon")
MATH = ("now", "now-1d/d", "now+12h", "2026-10-26", "now/w")


def dated(kind, window, path):
    """An aggregate of dates, or what the person says."""
    return Aggregate(kind, "Product*", "properties.on", None, window) if window != "path" else Path(path)


dates = st.builds(dated, st.sampled_from(["first", "last"]), st.one_of(windows, st.just("path")), st.just("traits.on"))
pairs = st.one_of(
    st.builds(Compare, figures, ordered, figures),
    st.builds(Compare, figures, ordered, st.just(Path("traits.n"))),
    st.builds(Between, figures, st.integers(-1, 2), figures),
    st.builds(Compare, dates, st.sampled_from(["<", "<=", ">", ">=", "on"]), st.sampled_from(MATH).map(Moment)),
    st.builds(Within, st.just(Path("traits.on")), st.sampled_from([DAY, 3 * DAY])),
    st.builds(AnyOf, st.just("traits.many"), st.just(Compare(Path("it.on"), "<", Moment("now-12h")))),
)
trees = st.recursive(
    st.one_of(leaves(), leaves(), pairs),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=4,
)
moments = st.one_of(
    st.integers(0, SPAN // (30 * MINUTE)).map(lambda halves: START + halves * 30 * MINUTE),
    st.integers(0, 20).map(lambda seconds: START + seconds * SECOND),
    st.builds(
        lambda midnight, near: midnight + near,
        st.sampled_from([at for at in MIDNIGHTS if START <= at <= START + SPAN]),
        st.sampled_from([-1, 0, 1]),
    ),
)


@st.composite
def logs(draw, most=10):
    rows = draw(
        st.lists(st.tuples(st.sampled_from(NAMES), moments, found_values, st.integers(0, 3)), min_size=1, max_size=most)
    )
    return [
        Event(
            type="track",
            name=name,
            message_id=f"m{place}",
            time=time,
            received=time,
            properties={"n": n, "on": SAID[n], **({} if value is None else {"value": value})},
        )
        for place, (name, time, value, n) in enumerate(rows)
    ]


class Person:
    """What is known of somebody after these events."""

    def __init__(self, events, states=None, zone="UTC"):
        started = session_started([event.time for event in events], GAP)
        said = {"traits.n": 2, "traits.on": SAID[0], "traits.many": [{"on": on} for on in SAID]}
        self.known = {"zone": zone, "sessions.started": started, **said}
        self.states = states or {}

    def get(self, path):
        return self.known.get(path)

    def state(self, key):
        return self.states.get(key)

    def fading(self, _path):
        return None


def fold(feeds, events, states=None, delay=40 * DAY):
    states = {} if states is None else states
    newest = 0
    for event in events:
        feeds.update(states, event, newest=newest, delay=delay)
        newest = max(newest, event.time)
    return states


def person_of(conditions, events, zone):
    declared = [one for condition in conditions for one in compile_condition(condition).depends.aggregates]
    return Person(events, fold(Feeds(declared), events), zone)


def edges(condition, events):
    """Every instant at which anything can change, and its neighbours."""
    read = compile_condition(condition).depends.aggregates
    rolling = {one.within for one in read if isinstance(one.within, int)}
    ends = {event.time + within for event in events for within in {0, *rolling}}
    local = [ZoneInfo(zone) for zone in ZONES]
    said = {at for text in SAID[:3] for zone in local for at in instants(text, zone)}
    ends |= {at + later for at in said for later in (0, 12 * HOUR, -12 * HOUR, DAY, 3 * DAY)}
    return sorted({edge + near for edge in {*ends, *MIDNIGHTS} for near in (-1, 0, 1)})


@given(aggregates(), logs(), st.sampled_from(ZONES), moments)
def test_every_aggregate_in_every_window_is_what_the_raw_events_come_to(aggregate, events, zone, at):
    person = Person(events, fold(Feeds([aggregate]), events), zone)
    for then in (at, at + DAY, at + 20 * DAY):
        assert reader(aggregate)(person, then) == worth(aggregate, person, events, then)


@given(trees, logs(), st.sampled_from(ZONES), st.lists(moments, min_size=1, max_size=2))
def test_an_answer_is_right_and_stands_until_its_flip(condition, events, zone, instants):
    compiled, person = compile_condition(condition), person_of([condition], events, zone)
    asked = edges(condition, events)
    for at in instants:
        holds, flip = compiled.answer(person, at)
        assert holds == compiled.holds(person, at) == naive(condition, person, events, at)
        assert flip > at
        assert all(naive(condition, person, events, then) == holds for then in asked if at < then < flip)


@given(st.one_of(leaves(), pairs), logs(), st.sampled_from(ZONES), moments)
def test_the_flip_of_one_leaf_is_exact(leaf, events, zone, at):
    compiled, person = compile_condition(leaf), person_of([leaf], events, zone)
    holds = naive(leaf, person, events, at)
    turned = (then for then in edges(leaf, events) if then > at and naive(leaf, person, events, then) != holds)
    flip = compiled.next_flip(person, at)
    first = next(turned, NEVER)
    assert flip == first or (first == NEVER and flip > MIDNIGHTS[-1])


@given(trees, logs(), st.sampled_from(ZONES), moments)
def test_an_explanation_says_when_the_answer_truly_changes(condition, events, zone, at):
    compiled, person = compile_condition(condition), person_of([condition], events, zone)
    said = compiled.explain(person, at)
    msgspec.json.encode(said)
    turned = (then for then in edges(condition, events) if then > at)
    first = next((then for then in turned if naive(condition, person, events, then) != said.holds), NEVER)
    assert (said.next_change or NEVER) == first or (first == NEVER and (said.next_change or NEVER) > MIDNIGHTS[-1])
    assert said.sentence() == compiled.sentence(person, at, said.holds)


@given(st.lists(aggregates(), min_size=1, max_size=4), logs(), st.randoms(use_true_random=False), st.data())
def test_states_are_those_of_the_set_of_events_whatever_the_order_and_whoever_they_were_of(declared, events, rng, data):
    feeds = Feeds(declared)
    mixed = rng.sample(events, len(events))
    theirs = [event for event in mixed if data.draw(st.booleans())]
    ours = [event for event in mixed if event not in theirs]
    into, other = fold(feeds, ours), fold(feeds, theirs)
    back = fold(feeds, theirs)
    merge(back, fold(feeds, ours))
    merge(into, other)
    in_order = fold(feeds, sorted(events, key=lambda event: (event.time, event.message_id)))
    assert trimmed(into) == trimmed(back) == trimmed(fold(feeds, events)) == trimmed(in_order)
    packed = msgspec.msgpack.encode(into)
    assert msgspec.msgpack.decode(packed, type=dict[str, State]) == into


def trimmed(states):
    """States without what they may hold beyond their span, which depends on when it came."""
    return {name: sorted(state.values.items()) if hasattr(state, "values") else state for name, state in states.items()}


@given(aggregates(), logs(most=12), st.integers(0, 2))
def test_what_comes_too_late_is_in_no_window_but_in_all_that_ever_was(aggregate, events, delay_days):
    delay, timely, newest = delay_days * DAY, [], 0
    for event in events:
        if event.time >= newest - delay:
            timely.append(event)
        newest = max(newest, event.time)
    states = fold(Feeds([aggregate]), events, delay=delay)
    person = Person(timely, states)
    at = max(event.time for event in events)
    assert reader(aggregate)(person, at) == worth(aggregate, person, events, at, timely=timely)


@given(
    st.lists(trees, min_size=1, max_size=4),
    logs(most=8),
    st.sampled_from(ZONES),
    st.lists(st.integers(0, 40), min_size=8, max_size=8),
)
def test_asking_only_what_an_event_moves_keeps_everybody_right(conditions, events, zone, waits):
    """After each event, in any order of arrival, and at each flip: held are those who hold, and no flip is too late."""
    asked = {f"c{number}": compile_condition(one) for number, one in enumerate(conditions)}
    visits = {name for name, one in asked.items() if "sessions.started" in one.depends.paths}
    feeds = Feeds(aggregate for one in asked.values() for aggregate in one.depends.aggregates)
    always = together((name, asked[name], "both") for name in visits) if visits else None
    others = [(name, one) for name, one in asked.items() if name not in visits]
    after = {name: AfterEvent(name, others, always) for name in NAMES}
    states, taken, held, flips, at, newest = {}, [], {}, Flips(), 0, 0
    first = together(((name, one, "both") for name, one in asked.items()), anew=True)
    for name, holds, _ in first(Person([], states, zone), at, held, flips):
        move(held, name, holds)
    for event, wait in zip(events, waits, strict=False):
        until, person = max(at, event.time) + wait * HOUR, Person(taken, states, zone)
        while flips.next <= until:
            at = flips.next
            name = flips.take()
            holds, later = asked[name].answer(person, at)
            move(held, name, holds)
            if later != NEVER:
                flips.note(name, later)
        at = max(at, event.time)
        fed = feeds.update(states, event, newest=newest, delay=40 * DAY)
        taken.append(event)
        newest = max(newest, event.time)
        person = Person(taken, states, zone)
        for name, holds, _ in after[event.name].ask(person, at, fed, held, flips):
            assert (name in held) is not holds
            move(held, name, holds)
        assert set(held) == {name for name, one in asked.items() if naive(one.condition, person, taken, at)}
        for name, one in asked.items():
            assert at < flips.at(name) <= one.next_flip(person, at)


def move(held, name, holds):
    if holds:
        held[name] = True
    else:
        held.pop(name, None)


# Bounds.


def crowd(count, name="Product Viewed", value=lambda place: place):
    return [
        Event(
            type="track",
            name=name,
            message_id=f"m{place:05d}",
            time=START + place,
            received=START,
            properties={"value": value(place)},
        )
        for place in range(count)
    ]


@pytest.mark.parametrize("kind", ["avg", "min", "max", "first", "most_frequent", "distinct"])
def test_beyond_its_bound_a_window_keeps_the_newest_and_says_so(kind):
    leaf = Exists(Aggregate(kind, "Product Viewed", "properties.value", None, DAY))
    compiled = compile_condition(leaf)
    states = fold(Feeds(compiled.depends.aggregates, keep=10), crowd(30))
    found = compiled.explain(Person([], states), START + 30)
    assert found.approximate
    assert found.value == {"avg": 24.5, "min": 20, "max": 29, "first": 20, "most_frequent": 29, "distinct": 10}[kind]
    assert not compiled.explain(Person([], states), START + DAY + 19).approximate


def test_of_too_many_different_values_their_number_is_an_estimate_that_is_near():
    aggregate = Aggregate("distinct", "Product Viewed", "properties.value")
    feeds = Feeds([aggregate])
    states = fold(feeds, crowd(1_000))
    assert reader(aggregate)(Person([], states), START) == 1_000
    fold(feeds, crowd(20_000), states)
    backwards = fold(feeds, crowd(20_000)[::-1])
    assert states == backwards
    assert abs(reader(aggregate)(Person([], states), START) / 20_000 - 1) < 0.1  # three times its standard error
    assert len(states[key(aggregate)].hashes) == 1_000
    assert compile_condition(Compare(aggregate, ">", 5)).explain(Person([], states), START).approximate


def test_of_too_many_values_those_that_are_there_least_often_go():
    aggregate = Aggregate("most_frequent", "Product Viewed", "properties.value")
    states = fold(Feeds([aggregate], keep=10), crowd(200, value=lambda place: "often" if place % 2 else place))
    assert reader(aggregate)(Person([], states), START) == "often"
    assert len(states[key(aggregate)].values) == 10
    assert states[key(aggregate)].more


def test_aggregates_of_the_same_values_share_a_state():
    of_numbers = [Aggregate(kind, "E", "properties.n", None, DAY) for kind in ("sum", "avg", "min", "max")]
    of_values = [Aggregate(kind, "E", "properties.n", None, Calendar("month")) for kind in ("first", "distinct")]
    assert len({key(one) for one in of_numbers}) == len({key(one) for one in of_values}) == 1
    feeds = Feeds([*of_numbers, *of_values, Aggregate("last", "E", "properties.n", None, Calendar("day", 1))])
    assert len(feeds.keys) == 2


def test_names_that_begin_alike_are_resolved_once_and_of_too_many_none_is_remembered():
    feeds = Feeds([Aggregate("count", "Product*"), Aggregate("count", "Product Viewed")])
    states = fold(feeds, [event for number in range(10_050) for event in crowd(1, f"Product {number}")])
    fold(feeds, crowd(2), states)
    fold(feeds, crowd(3, "Other"), states)
    assert {name: state.n for name, state in states.items()} == {
        'count("Product*")': 10_052,
        'count("Product Viewed")': 2,
    }
    assert len(feeds._by_event) == 10_000
    assert len(feeds._of_several) == 3


def test_an_hour_that_comes_twice_is_part_of_its_day():
    """In Berlin the 25th of October 2026 has 25 hours: what happened at its beginning leaves after all of them."""
    aggregate = Aggregate("count", "Product Viewed", within=Calendar("day"))
    began = parse_time("2026-10-24T22:00:00Z")
    compiled = compile_condition(Compare(aggregate, ">=", 1))
    event = msgspec.structs.replace(crowd(1)[0], time=began)
    person = Person([event], fold(Feeds([aggregate]), [event]), "Europe/Berlin")
    assert compiled.answer(person, began) == (True, began + 25 * HOUR)
