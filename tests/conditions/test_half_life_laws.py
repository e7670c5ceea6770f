"""What fades by a half-life is what the second evaluator makes of the raw events, and turns at its very instant."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.clock import DAY, HOUR, MILLISECOND, NEVER, SECOND
from bespeak.conditions import (
    AfterEvent,
    Aggregate,
    And,
    Compare,
    Feeds,
    Flips,
    HalfLife,
    Not,
    Or,
    State,
    compile_condition,
    format_condition,
    from_json,
    key,
    merge,
    parse,
    to_json,
)
from bespeak.conditions.asking.answers import reader
from bespeak.conditions.values.crossings import first_turn
from bespeak.errors import ConditionError
from bespeak.events import Event
from bespeak.testing.naive import holds as naive
from bespeak.testing.naive import worth

START = 1_780_000_000 * SECOND
HALFLIVES = (MILLISECOND, HOUR, DAY, 365 * DAY)
NEAR = 2e-9
"""How near to a number two sums of floats may lie on either side of it, told to nine decimals."""

happened = st.lists(
    st.tuples(
        st.sampled_from(["Product Viewed", "Product Added", "Order Completed"]),
        st.one_of(st.integers(0, 3 * DAY), st.integers(0, 72).map(lambda hours: hours * HOUR)),
        st.sampled_from([1, 2, -1, 0.1, 0.2, 2.5, 30, "many", None, True]),
    ),
    max_size=12,
)
faded = st.builds(
    lambda kind, event, halflife: Aggregate(
        kind, event, None if kind == "count" else "properties.price", None, HalfLife(halflife)
    ),
    st.sampled_from(["count", "sum"]),
    st.sampled_from(["Product Viewed", "Product*"]),
    st.sampled_from(HALFLIVES),
)
windowed = st.just(Aggregate("count", "Order Completed", None, None, DAY))
bounds = st.sampled_from([0, 0.5, 1, 1.5, 2, 3, -1, 0.001, 20])
leaves = st.builds(
    Compare, faded, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), st.one_of(bounds, bounds, windowed)
)
conditions = st.one_of(
    leaves,
    leaves.map(Not),
    st.tuples(leaves, leaves).map(And),
    st.tuples(leaves, st.builds(Compare, windowed, st.just(">="), st.just(1))).map(Or),
)


def events_of(rows) -> list[Event]:
    return [
        Event(
            type="track",
            name=name,
            message_id=f"m{place}",
            time=START + offset,
            received=START,
            properties={"price": price},
        )
        for place, (name, offset, price) in enumerate(rows)
    ]


def fed(aggregates, events) -> dict[str, State]:
    """Feed events in the order given, as those that are late by more than a day do."""
    feeds, states, newest = Feeds(aggregates), {}, 0
    for event in events:
        feeds.update(states, event, newest=max(newest, event.time), delay=DAY)
        newest = max(newest, event.time)
    return states


class Visitor:
    """Somebody of whom nothing but states is known."""

    def __init__(self, states: dict[str, State]) -> None:
        self.state = states.get

    def get(self, _path: str) -> object:
        return None

    def fading(self, _path: str) -> None:
        return None


@given(happened, faded, st.integers(0, 100 * DAY), st.randoms(), st.integers(0, 12))
def test_it_is_what_the_raw_events_come_to_in_any_order_and_about_two_who_are_one(rows, aggregate, later, rng, cut):
    events = events_of(rows)
    at = START + 3 * DAY + later
    expected = pytest.approx(worth(aggregate, {}, events, at), abs=NEAR)
    mixed = rng.sample(events, len(events))
    assert reader(aggregate)(Visitor(fed([aggregate], mixed)), at) == expected
    ours, theirs = fed([aggregate], mixed[:cut]), fed([aggregate], mixed[cut:])
    merge(ours, theirs)
    assert reader(aggregate)(Visitor(ours), at) == expected


@given(happened, conditions, st.lists(st.integers(0, 90 * DAY), max_size=5))
def test_an_answer_stands_until_its_next_flip_and_every_instant_agrees_with_the_raw_events(rows, condition, offsets):
    condition = check_of(condition)
    compiled = compile_condition(condition)
    events = sorted(events_of(rows), key=lambda event: event.time)
    visitor = Visitor(fed(compiled.depends.aggregates, events))
    at = max([START, *(event.time for event in events)])
    for _ in range(20):
        holds, until = compiled.answers(visitor, at)
        assert holds == compiled.holds(visitor, at)
        looked = [at, until - 1, (at + min(until, at + 400 * DAY)) // 2, *(at + offset for offset in offsets)]
        for instant in sorted(one for one in looked if at <= one < until):
            assert compiled.holds(visitor, instant) is holds
            if not is_near(condition, events, instant):
                assert naive(condition, {}, events, instant) is holds
        if until >= NEVER:
            break
        at = until


def check_of(condition):
    return compile_condition(condition).condition


def is_near(condition, events, at) -> bool:
    """Say whether a figure lies so near to its bound that the order of a sum decides."""
    parts = {And: lambda: condition.all, Or: lambda: condition.any, Not: lambda: (condition.condition,)}
    if type(condition) in parts:
        return any(is_near(part, events, at) for part in parts[type(condition)]())
    bound = condition.value
    number = worth(bound, {}, events, at) if isinstance(bound, Aggregate) else bound
    return abs(worth(condition.operand, {}, events, at) - number) < NEAR


@given(happened, st.lists(conditions, min_size=1, max_size=4), st.randoms())
def test_who_is_asked_after_each_event_and_at_each_flip_is_who_holds(rows, several, rng):
    named = [(f"c{place}", compile_condition(one)) for place, one in enumerate(several)]
    feeds = Feeds(one for _, compiled in named for one in compiled.depends.aggregates)
    events = sorted(events_of(rows), key=lambda event: event.time)
    states: dict[str, State] = {}
    visitor, flips = Visitor(states), Flips()
    held: dict[str, object] = {name: None for name, compiled in named if compiled.holds(visitor, START)}
    by_name = dict(named)

    def move(moves) -> None:
        for name, holds, _why in moves:
            assert (name in held) is not holds
            if holds:
                held[name] = None
            else:
                del held[name]

    def live_until(at: int) -> None:
        for _ in range(1_000):
            if flips.next > at:
                return
            then = flips.next
            name = flips.take()
            holds, until = by_name[name].answers(visitor, then)
            if until < NEVER:
                flips.note(name, until)
            if holds is not (name in held):
                move([(name, holds, None)])
        raise AssertionError("asked in circles")

    for event in [*events, None]:
        at = START + 10 * DAY if event is None else event.time
        live_until(at)
        if event is not None:
            changed = feeds.update(states, event, newest=event.time, delay=DAY)
            move(AfterEvent(event.name, named).ask(visitor, at, changed, held, flips))
        assert {name for name, compiled in named if compiled.holds(visitor, at)} == set(held)
    assert rng


@given(conditions)
def test_text_and_json_bring_the_same_condition_back(condition):
    checked = check_of(condition)
    assert parse(format_condition(checked)) == checked
    assert from_json(to_json(checked)) == checked


def test_half_is_left_after_each_half_life_to_the_microsecond():
    condition = parse('count("Product Viewed", half-life 14 days) >= 2')
    compiled = compile_condition(condition)
    events = events_of([("Product Viewed", 0, 1)] * 4)
    visitor = Visitor(fed(compiled.depends.aggregates, events))
    assert reader(condition.operand)(visitor, START) == 4.0
    assert reader(condition.operand)(visitor, START + 14 * DAY) == 2.0
    holds, until = compiled.answers(visitor, START)
    assert holds
    assert abs(until - (START + 14 * DAY)) < SECOND
    assert [compiled.holds(visitor, at) for at in (until - 1, until)] == [True, False]
    assert compiled.answers(visitor, until) == (False, NEVER)


def test_each_half_life_has_a_state_of_its_own():
    week, month = (Aggregate("count", "Product Viewed", None, None, HalfLife(days * DAY)) for days in (7, 30))
    assert key(week) == 'count("Product Viewed", half-life 7 days)'
    assert len(fed([week, month, week], events_of([("Product Viewed", 0, 1)]))) == 2


def test_what_is_late_counts_as_if_it_had_come_in_time():
    aggregate = Aggregate("count", "Product Viewed", None, None, HalfLife(DAY))
    late = events_of([("Product Viewed", 3 * DAY, 1), ("Product Viewed", 0, 1)])
    assert reader(aggregate)(Visitor(fed([aggregate], late)), START + 3 * DAY) == 1.125


def test_a_state_survives_its_bytes():
    aggregate = Aggregate("sum", "Product Viewed", "properties.price", None, HalfLife(DAY))
    states = fed([aggregate], events_of([("Product Viewed", 0, 0.1), ("Product Viewed", HOUR, 0.2)]))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(states), type=dict[str, State]) == states


@pytest.mark.parametrize(
    "text, said",
    [
        ('avg(properties.price of "E", half-life 7 days) > 1', "expected count or sum, found avg"),
        ('performed("E", half-life 7 days)', r'write count\("EVENT", half-life 7 days\) >= 0.5'),
        ('count("E" half-life 7 days) > 1', "write a comma before `half-life`"),
        ('count("E", half-life 7 months) > 1', "expected weeks, days, hours"),
        ('count("E", halflife 7 days) > 1', "did you mean `half-life`"),
        ('count("E", half-life 5000 days) > 1', "from 1 millisecond to 3,660 days"),
    ],
)
def test_what_cannot_fade_is_refused_with_what_would_do(text, said):
    with pytest.raises(ConditionError, match=said):
        parse(text)


@given(st.integers(-50, 50), st.integers(-60, 60), st.integers(0, 40), st.integers(1, 300), st.integers(-10, 400))
def test_the_first_turn_is_the_one_that_looking_at_every_instant_finds(slope, bound, at, span, guess):
    def line(then: int) -> float:
        return slope * then / 7

    def lies(then: int) -> tuple[bool, bool]:
        return line(then) > bound, line(then) < bound

    expected = next((then for then in range(at + 1, at + span + 1) if lies(then) != lies(at)), NEVER)
    assert first_turn(line, bound, at, at + span, guess) == expected
