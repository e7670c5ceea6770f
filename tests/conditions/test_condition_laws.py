"""Laws of conditions on generated trees and logs, against a second evaluator that is as plain as can be."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bespeak.clock import MILLISECOND, NEVER
from bespeak.conditions import (
    AfterEvent,
    Aggregate,
    And,
    Compare,
    Exists,
    Feeds,
    Flips,
    In,
    InSegment,
    Not,
    Or,
    Path,
    Performed,
    State,
    bind,
    check,
    compile_condition,
    format_condition,
    from_json,
    load,
    mask,
    merge,
    parse,
    to_json,
    together,
)
from bespeak.events import Event
from bespeak.testing.naive import holds as naive
from bespeak.testing.naive import worth
from bespeak.testing.naive_counts import type_of

EVENTS = ("Product Viewed", "Product Viewed", "Order Completed")
LONG = 40 * MILLISECOND


# What is generated.

texts = st.sampled_from(["DE", "FR", "", '\u00e9\u2028"\\', "shoes"])
numbers = st.one_of(st.integers(-3, 5), st.sampled_from([0.1, 0.2, 0.3, 1.5, -2.5, 1e300, 2**60, 1.0]))
values = st.one_of(texts, numbers, st.booleans())
found_values = st.one_of(values, st.none(), st.lists(values, max_size=3), st.just({"deep": 1}))
operators = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
person_paths = st.sampled_from(["traits.country", "traits.age", "traits.a b.c", "context.device", "user_id"]).map(Path)
event_paths = st.sampled_from(["properties.price", "properties.deep.er", "context.page", "type"]).map(Path)
item_paths = st.sampled_from(["item.price", "item.tags", "item.hidden", "item.properties.colour"]).map(Path)
windows = st.one_of(st.none(), st.integers(1, 5).map(lambda n: n * MILLISECOND))


def is_meant(leaf):
    ordered_flag = isinstance(leaf, Compare) and isinstance(leaf.value, bool) and leaf.op not in {"=", "!="}
    operand = getattr(leaf, "operand", None)
    odd_figure = (
        isinstance(leaf, Compare)
        and isinstance(operand, Aggregate)
        and operand.kind != "last"
        and type_of(leaf.value) != "number"
    )
    asked = leaf.values if isinstance(leaf, In) else (getattr(leaf, "value", None),)
    beyond = (
        isinstance(operand, Aggregate)
        and operand.kind == "count"
        and operand.within is not None
        and any(type_of(value) == "number" and value >= 1_000 for value in asked)
    )
    return not ordered_flag and not odd_figure and not beyond


def leaves(operands):
    return st.one_of(
        st.builds(Compare, operands, operators, values),
        st.builds(In, operands, st.lists(values, min_size=1, max_size=6).map(tuple)),
        st.builds(Exists, operands),
    ).filter(is_meant)


def trees(leaf, most=12):
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.builds(Not, inner),
            st.builds(And, st.lists(inner, max_size=3).map(tuple)),
            st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
        ),
        max_leaves=most,
    )


wheres = st.one_of(st.none(), st.none(), trees(leaves(event_paths), most=3))
aggregates = st.one_of(
    st.builds(Aggregate, st.just("count"), st.sampled_from(EVENTS), st.none(), wheres, windows),
    st.builds(
        Aggregate,
        st.sampled_from(["sum", "last"]),
        st.sampled_from(EVENTS),
        st.just("properties.price"),
        wheres,
        windows,
    ),
)
performed = st.builds(Performed, st.sampled_from(EVENTS), wheres, windows)
memberships = st.builds(InSegment, st.sampled_from(["loyal", 'a "b"']))
moving = st.one_of(leaves(aggregates), performed)
short = st.integers(1, 5).map(lambda n: n * MILLISECOND)
rolling = st.one_of(
    st.builds(Performed, st.just(EVENTS[0]), st.none(), short),
    st.builds(
        Compare,
        st.builds(Aggregate, st.just("count"), st.just(EVENTS[0]), st.none(), st.none(), short),
        operators,
        st.integers(0, 3),
    ),
)
amounts = st.one_of(st.integers(0, 3), st.sampled_from([0.1, 0.2, -1]))
bounds = st.one_of(st.integers(-1, 6), st.sampled_from([0.3, 0.5]))
totals = st.builds(
    Compare,
    st.builds(Aggregate, st.just("sum"), st.just(EVENTS[0]), st.just("properties.price"), st.none(), short),
    operators,
    bounds,
)
rolling_groups = trees(rolling, most=4)
conditions = trees(st.one_of(leaves(person_paths), moving, memberships))
people = st.dictionaries(
    st.sampled_from(["traits.country", "traits.age", "traits.a b.c", "context.device", "user_id", "segments.loyal"]),
    found_values,
)
prices = st.one_of(
    st.integers(0, 5), st.integers(-3, 5), st.sampled_from([0.1, 0.2, 0.3, 1.5]), st.none(), texts, st.booleans()
)


@st.composite
def logs(draw, most=8):
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from(EVENTS),
                st.integers(0, 20).map(lambda n: n * 500),  # half milliseconds, so that window edges and ties are hit
                st.one_of(prices, st.lists(prices, max_size=3)),
                st.fixed_dictionaries({}, optional={"deep": st.one_of(prices, st.fixed_dictionaries({"er": prices}))}),
                st.sampled_from(["track", "page"]),
            ),
            max_size=most,
        )
    )
    return [
        Event(
            type=kind,
            name=name,
            message_id=f"m{number}",
            time=time,
            received=0,
            properties={"price": price, **more} if price is not None else more,
            context={"page": "home"},
        )
        for number, (name, time, price, more, kind) in enumerate(rows)
    ]


class Person:
    def __init__(self, values, states=None):
        self.values = values
        self.states = states or {}

    def get(self, path):
        return self.values.get(path)

    def state(self, key):
        return self.states.get(key)


def folded(feeds, events, delay=LONG):
    states = {}
    newest = 0
    for event in events:
        feeds.update(states, event, newest=newest, delay=delay)
        newest = max(newest, event.time)
    return states


def edges(condition, events):
    """Every instant at which anything can change, and its neighbours."""
    windows_of = {one.within for one in compile_condition(condition).depends.aggregates if one.within is not None}
    ends = {event.time + within for event in events for within in {0, *windows_of}}
    return sorted({edge + near for edge in ends for near in (-1, 0, 1)})


# Forms.


@given(conditions)
def test_text_reads_back_into_the_same_tree(condition):
    normal = check(condition)
    again = parse(format_condition(condition))
    assert repr(again) == repr(normal)  # repr, since 1 == 1.0 == True
    assert repr(check(normal)) == repr(normal)


@given(conditions)
def test_json_reads_back_into_the_same_tree(condition):
    normal = check(condition)
    assert repr(from_json(to_json(condition))) == repr(normal)
    assert repr(load(msgspec.json.decode(to_json(condition)))) == repr(normal)


# Answers.


@given(moving, logs())
def test_one_leaf_is_right_at_both_edges_of_its_window(leaf, events):
    compiled = compile_condition(leaf)
    visitor = Person({}, folded(Feeds(compiled.depends.aggregates), events))
    newest = max((event.time for event in events), default=0)
    # A leaf without a window counts all there ever was, also what is yet to come.
    for at in (at for at in edges(leaf, events) if at >= newest - LONG):
        truth = naive(leaf, {}, events, at)
        assert compiled.holds(visitor, at) == truth
        assert compiled.answer(visitor, at)[0] == truth


@given(conditions, people, logs())
def test_compiled_answers_are_those_of_counting_the_raw_events(condition, person, events):
    compiled = compile_condition(condition)
    visitor = Person(person, folded(Feeds(compiled.depends.aggregates), events))
    newest = max((event.time for event in events), default=0)
    for at in [newest, newest - 7, newest + MILLISECOND, *edges(condition, events)]:
        if at >= newest - LONG:
            assert compiled.holds(visitor, at) == naive(condition, person, events, at)
            assert compiled.answer(visitor, at)[0] == naive(condition, person, events, at)


@given(conditions, people, logs(), st.integers(0, 16_000))
def test_nothing_changes_by_itself_before_the_next_flip(condition, person, events, at):
    compiled = compile_condition(condition)
    visitor = Person(person, folded(Feeds(compiled.depends.aggregates), events))
    truth = naive(condition, person, events, at)
    flip = compiled.next_flip(visitor, at)
    assert flip > at
    assert all(naive(condition, person, events, t) == truth for t in edges(condition, events) if at < t < flip)


@given(rolling_groups, logs(), st.lists(st.integers(0, 30).map(lambda n: n * 500), min_size=3, max_size=3))
def test_windows_that_end_at_different_times_flip_together_at_none_too_late(condition, events, instants):
    compiled = compile_condition(condition)
    visitor = Person({}, folded(Feeds(compiled.depends.aggregates), events))
    for at in instants:
        holds, flip = compiled.answer(visitor, at)
        assert flip > at
        assert holds == naive(condition, {}, events, at)
        assert all(naive(condition, {}, events, t) == holds for t in edges(condition, events) if at < t < flip)


@given(totals, st.lists(st.tuples(st.integers(0, 12), amounts), max_size=8), st.integers(0, 12))
def test_the_flip_of_a_sum_is_exact(leaf, paid, at):
    events = [
        Event(
            type="track",
            name=EVENTS[0],
            message_id=f"m{number}",
            time=time * 500,
            received=0,
            properties={"price": price},
        )
        for number, (time, price) in enumerate(paid)
    ]
    compiled = compile_condition(leaf)
    visitor = Person({}, folded(Feeds(compiled.depends.aggregates), events))
    at *= 500
    truth = naive(leaf, {}, events, at)
    changes = [t for t in edges(leaf, events) if t > at and naive(leaf, {}, events, t) != truth]
    assert compiled.answer(visitor, at) == (truth, min(changes, default=NEVER))


@given(moving, logs(), st.integers(0, 16_000))
def test_the_flip_of_one_leaf_is_exact(leaf, events, at):
    compiled = compile_condition(leaf)
    visitor = Person({}, folded(Feeds(compiled.depends.aggregates), events))
    changes = [t for t in edges(leaf, events) if t > at and naive(leaf, {}, events, t) != naive(leaf, {}, events, at)]
    assert compiled.next_flip(visitor, at) == min(changes, default=NEVER)


@given(conditions, people, logs())
def test_explanations_say_what_holds_and_found(condition, person, events):
    compiled = compile_condition(condition)
    at = max((event.time for event in events), default=0)
    visitor = Person(person, folded(Feeds(compiled.depends.aggregates), events))
    explanation = compiled.explain(visitor, at)
    msgspec.json.encode(explanation)
    assert compiled.sentence(visitor, at, explanation.holds) == explanation.sentence()
    pairs = [(compiled.condition, explanation)]
    while pairs:
        part, said = pairs.pop()
        assert said.holds == naive(part, person, events, at)
        assert said.text == format_condition(part)
        match part:
            case And(parts) | Or(parts):
                pairs += list(zip(parts, said.children, strict=True))
            case Not(inner):
                pairs += list(zip((inner,), said.children, strict=True))
            case Compare(operand) | In(operand) | Exists(operand):
                assert said.value == worth(operand, person, events, at)


@given(st.lists(st.one_of(conditions, rolling_groups, totals), min_size=1, max_size=5), people, logs(), st.data())
def test_asked_together_they_answer_as_each_alone(several, person, events, data):
    asked = {f"c{number}": compile_condition(one) for number, one in enumerate(several)}
    feeds = Feeds(aggregate for one in asked.values() for aggregate in one.depends.aggregates)
    visitor = Person(person, folded(feeds, events))
    at = data.draw(st.integers(0, 16_000)) + data.draw(st.sampled_from([0, 16_000]))
    held = {name: True for name in asked if data.draw(st.booleans())}
    answers = {name: one.answer(visitor, at) for name, one in asked.items()}
    noted = {name: at + data.draw(st.integers(1, 9_000)) for name in asked if data.draw(st.booleans())}
    flips, fresh = Flips(), Flips()
    for name, then in noted.items():
        flips.note(name, then)
    for way, moved in (
        ("by", together((name, one, "both") for name, one in asked.items())(visitor, at, held, flips)),
        ("anew", together(((name, one, "both") for name, one in asked.items()), anew=True)(visitor, at, held, fresh)),
    ):
        found = {name: holds for name, holds, _ in moved}
        assert len(found) == len(moved), way
        assert found == {name: holds for name, (holds, _) in answers.items() if holds != (name in held)}
    for name, (_, until) in answers.items():
        assert fresh.at(name) == until
        assert flips.at(name) == min(until, noted.get(name, NEVER))
    assert flips.times == sorted(flips.times)


@given(
    st.lists(st.one_of(conditions, rolling_groups, totals, moving), min_size=1, max_size=6),
    st.dictionaries(st.sampled_from(["traits.country", "traits.age"]), values),
    logs(most=12),
    st.lists(st.integers(0, 9), min_size=12, max_size=12),
)
def test_asking_only_what_an_event_turns_keeps_everybody_right(several, person, events, waits):
    """After each event, in any order of arrival, and at each flip: held are those who hold, and no flip is too late."""
    asked = {f"c{number}": compile_condition(one) for number, one in enumerate(several)}
    feeds = Feeds(aggregate for one in asked.values() for aggregate in one.depends.aggregates)
    after = {name: AfterEvent(name, asked.items()) for name in EVENTS}
    everybody = Person(person)
    held, flips, at, newest, taken = {}, Flips(), 0, 0, []
    first = together(((name, one, "both") for name, one in asked.items()), anew=True)
    for name, holds, _ in first(everybody, at, held, flips):
        move(held, name, holds)
    for event, wait in zip(events, waits, strict=False):
        until = max(at, event.time) + wait * 500
        while flips.next <= until:
            at = flips.next
            name = flips.take()
            holds, later = asked[name].answer(everybody, at)
            move(held, name, holds)
            if later != NEVER:
                flips.note(name, later)
            if flips.next > at:
                agree(asked, everybody, person, taken, at, held, flips)
        at = max(at, event.time)
        fed = feeds.update(everybody.states, event, newest=newest, delay=LONG)
        taken.append(event)
        newest = max(newest, event.time)
        for name, holds, why in after[event.name].ask(everybody, at, fed, held, flips):
            assert (name in held) is not holds
            assert why is None or why == asked[name].sentence(everybody, at, holds)
            move(held, name, holds)
        agree(asked, everybody, person, taken, at, held, flips)


def move(held, name, holds):
    if holds:
        held[name] = True
    else:
        held.pop(name, None)


def agree(asked, everybody, person, taken, at, held, flips):
    assert set(held) == {name for name, one in asked.items() if naive(one.condition, person, taken, at)}
    assert len(set(flips.names)) == len(flips.names)
    for name, one in asked.items():
        assert at < flips.at(name) <= one.next_flip(everybody, at)


# States.


@given(st.lists(aggregates, max_size=5), logs(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_within_the_delay_leaves_no_trace(declared, events, rng):
    feeds = Feeds(declared)
    delay = 3 * MILLISECOND
    shuffled = sorted(events, key=lambda event: event.time + rng.randrange(delay))
    in_order = sorted(events, key=lambda event: (event.time, event.message_id))
    assert folded(feeds, shuffled, delay) == folded(feeds, in_order, delay)


@given(st.lists(aggregates, max_size=5), logs(), st.data())
def test_two_people_merged_are_one_person_from_the_start(declared, events, data):
    feeds = Feeds(declared)
    first = [event for event in events if data.draw(st.booleans())]
    second = [event for event in events if event not in first]
    one, other = folded(feeds, first), folded(feeds, second)
    there, back = folded(feeds, first), folded(feeds, second)
    merge(there, folded(feeds, second))
    merge(back, folded(feeds, first))
    assert there == back == folded(feeds, events)
    alone = {}
    merge(alone, one)
    assert alone == one
    assert other == folded(feeds, second)


@given(st.lists(aggregates, max_size=5), logs())
def test_states_survive_being_stored(declared, events):
    states = folded(Feeds(declared), events)
    for codec in (msgspec.json, msgspec.msgpack):
        assert codec.decode(codec.encode(states), type=dict[str, State]) == states


# Items.


items = st.fixed_dictionaries(
    {
        "item.price": st.one_of(st.none(), st.floats(-3, 5), st.integers(-3, 5)),
        "item.tags": st.lists(st.one_of(texts, numbers), max_size=3).map(tuple),
        "item.hidden": st.booleans(),
        "item.properties.colour": found_values,
    }
)


def columns_of(rows):
    def objects(path):
        column = np.empty(len(rows), dtype=object)
        for number, row in enumerate(rows):
            column[number] = row[path]
        return column

    return {
        "item.price": np.array(
            [np.nan if row["item.price"] is None else row["item.price"] for row in rows], np.float64
        ),
        "item.tags": objects("item.tags"),
        "item.hidden": np.array([row["item.hidden"] for row in rows], np.bool_),
        "item.properties.colour": objects("item.properties.colour"),
    }


@given(trees(leaves(st.one_of(item_paths, st.just(Path("item.brand"))))), st.lists(items, max_size=8))
def test_a_mask_holds_where_the_condition_holds_for_the_item(condition, rows):
    flags = mask(check(condition), columns_of(rows), len(rows))
    assert flags.dtype == np.bool_
    assert flags.tolist() == [compile_condition(condition).holds(Person(row), 0) for row in rows]


@given(trees(st.one_of(leaves(st.one_of(person_paths, item_paths)), moving)), people, logs(), items)
def test_binding_settles_the_person_and_leaves_the_item(condition, person, events, item):
    compiled = compile_condition(condition)
    states = folded(Feeds(compiled.depends.aggregates), events)
    at = max((event.time for event in events), default=0)
    left = bind(condition, Person(person, states), at)
    truth = naive(condition, person | item, events, at)
    if isinstance(left, bool):
        assert left == truth
    else:
        depends = compile_condition(left).depends
        assert depends.paths
        assert all(path.startswith("item.") for path in depends.paths)
        assert not depends.aggregates
        assert compile_condition(left).holds(Person(item), at) == truth
