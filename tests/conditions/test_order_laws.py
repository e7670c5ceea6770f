"""Laws of what stands on the order of events: sequences, what the newest event has, what a trait has been.

They hold and turn when the second evaluator says so, which looks at all the events there are each time: whatever the
order in which they came, of whomever they were, and however late.
"""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.clock import DAY, HOUR, MINUTE, NEVER, parse_time
from bespeak.conditions import (
    AfterEvent,
    And,
    Calendar,
    Compare,
    Feeds,
    Flips,
    FromTo,
    HasBeen,
    LastPerformed,
    Not,
    Or,
    Path,
    Performed,
    Sequence,
    Since,
    State,
    ThisSession,
    compile_condition,
    format_condition,
    key,
    merge,
    parse,
    together,
)
from bespeak.conditions.tree import Deed, Quiet, Step
from bespeak.events import Event
from bespeak.testing.condition_trees import lasting, newest, sequences
from bespeak.testing.naive import holds as naive
from bespeak.testing.naive_counts import session_started

START = parse_time("2026-10-24T18:00:00Z")  # clocks are put back in Berlin that night
HALF = 30 * MINUTE
ZONES = ("UTC", "Europe/Berlin")
NAMES = ("A", "A", "B", "C")
MIDNIGHTS = [parse_time(f"2026-{day}Z") for day in ("10-24T22:00", "10-25T00:00", "10-25T23:00", "10-26T00:00")]
LONG = 40 * DAY

windows = st.one_of(
    st.none(),
    st.sampled_from([HOUR, 3 * HOUR, DAY]),
    st.sampled_from([Calendar("day"), Calendar("day", 1), Calendar("month"), ThisSession()]),
    st.sampled_from([Since("2026-10-25T00:00:00Z"), FromTo("2026-10-24T19:00:00Z", "2026-10-25T12:00:00Z")]),
)
filters = st.sampled_from([None, None, Compare(Path("properties.n"), ">", 1)])
deeds = st.builds(Deed, st.sampled_from(["A", "A", "B", "C", "B*", "*"]), filters)
lengths = st.sampled_from([HALF, HOUR, 2 * HOUR, 5 * HOUR])
leaves = st.one_of(
    sequences(deeds, lengths, windows),
    sequences(deeds, lengths, windows),
    newest(("A", "B", "*"), filters, st.just(Compare(Path("properties.n"), ">=", 1)), windows),
    lasting(("traits.plan", "traits.deep.er", "traits.group_id"), st.sampled_from(["pro", "Free", 1]), lengths),
)
counted = st.builds(Performed, st.sampled_from(["A", "B"]), st.none(), windows)
trees = st.recursive(
    st.one_of(leaves, leaves, leaves, counted),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=3,
)
moments = st.integers(0, 40).map(lambda halves: START + halves * HALF)
plans = st.sampled_from(["pro", "pro", "Pro", "free", 1, None, ["pro", 1], {"er": "pro"}, {"er": 1}])


@st.composite
def logs(draw, most=10):
    said = st.fixed_dictionaries({}, optional={"plan": plans, "deep": plans})
    rows = draw(
        st.lists(
            st.tuples(st.sampled_from([*NAMES, "identify", "group"]), moments, st.integers(0, 2), st.none() | said),
            min_size=1,
            max_size=most,
        )
    )
    return [event(place, *row) for place, row in enumerate(rows)]


def event(place, name, time, n=0, said=None):
    """One event; what is said of traits is in it, or beside it."""
    kind = name if name in {"identify", "group"} else "track"
    beside = {"traits": said} if said is not None and (kind != "identify" or n == 0) else {}
    return Event(
        type=kind,
        name={"identify": "Identified", "group": "Grouped"}.get(name, name),
        message_id=f"m{(place * 7) % 10}{place}",
        time=time,
        received=time,
        group_id=("pro", "free", None)[n],
        properties=said or {} if kind == "identify" else {"n": n, "plan": "pro"},
        context=beside,
    )


class Person:
    """What is known of somebody after these events."""

    def __init__(self, events, states=None, zone="UTC"):
        self.known = {"zone": zone, "sessions.started": session_started([one.time for one in events], 3 * HOUR)}
        self.states = states or {}

    def get(self, path):
        return self.known.get(path)

    def state(self, key):
        return self.states.get(key)

    def fading(self, _path):
        return None


def fold(feeds, events, states=None, delay=LONG):
    states, newest_time = {} if states is None else states, 0
    for one in events:
        feeds.update(states, one, newest=newest_time, delay=delay)
        newest_time = max(newest_time, one.time)
    return states


def feeds_of(conditions):
    return Feeds(one for condition in conditions for one in compile_condition(condition).depends.aggregates)


def edges(condition, events):
    """Every instant at which anything can change, and its neighbours."""
    declared = compile_condition(condition).depends.aggregates
    steps = {one.after.lasting for one in declared if isinstance(one, Sequence) and one.after is not None}
    steps |= {one.lasting for one in declared if isinstance(one, HasBeen)}
    steps |= {one.within for one in declared if not isinstance(one, HasBeen) and isinstance(one.within, int)}
    ends = {one.time + step for one in events for step in {0, *steps}}
    months = [parse_time("2026-10-31T23:00Z"), parse_time("2026-11-01T00:00Z")]
    return sorted({end + near for end in {*ends, *MIDNIGHTS, *months} for near in (-1, 0, 1)})


@given(trees, logs(), st.sampled_from(ZONES), st.lists(moments, min_size=1, max_size=2))
def test_an_answer_is_right_and_stands_until_its_flip(condition, events, zone, instants):
    compiled, person = compile_condition(condition), Person(events, fold(feeds_of([condition]), events), zone)
    asked = edges(condition, events)
    for at in instants:
        holds, flip = compiled.answer(person, at)
        assert holds == compiled.holds(person, at) == naive(condition, person, events, at)
        assert flip > at
        assert all(naive(condition, person, events, then) == holds for then in asked if at < then < flip)


@given(leaves, logs(), st.sampled_from(ZONES), moments)
def test_the_flip_of_one_leaf_is_exact_and_its_explanation_true(leaf, events, zone, at):
    compiled, person = compile_condition(leaf), Person(events, fold(feeds_of([leaf]), events), zone)
    holds = naive(leaf, person, events, at)
    turned = (then for then in edges(leaf, events) if then > at and naive(leaf, person, events, then) != holds)
    first = next(turned, NEVER)
    said = compiled.explain(person, at)
    assert compiled.next_flip(person, at) == (said.next_change or NEVER) == first
    assert said.holds is holds
    assert (said.value is True) is holds
    assert compiled.sentence(person, at, said.holds) == said.sentence()
    assert set(said.events) <= {one.time for one in events}
    assert list(said.events) == sorted(said.events, reverse=True)
    msgspec.json.encode(said)
    if isinstance(leaf, Sequence) and holds:
        assert len(said.events) == len(leaf.steps)


@given(st.lists(leaves, min_size=1, max_size=3), logs(), st.randoms(use_true_random=False), st.data())
def test_states_are_those_of_the_set_of_events_whatever_the_order_and_whoever_they_were_of(asked, events, rng, data):
    feeds = feeds_of(asked)
    mixed = rng.sample(events, len(events))
    theirs = [one for one in mixed if data.draw(st.booleans())]
    ours = [one for one in mixed if one not in theirs]
    into, back = fold(feeds, ours), fold(feeds, theirs)
    merge(into, fold(feeds, theirs))
    merge(back, fold(feeds, ours))
    in_order = fold(feeds, sorted(events, key=lambda one: (one.time, one.message_id)))
    assert into == back == fold(feeds, events) == in_order
    packed = msgspec.msgpack.encode(into)
    assert msgspec.msgpack.decode(packed, type=dict[str, State]) == into


@given(leaves, logs(), st.integers(0, 4), st.data())
def test_what_is_dropped_for_its_age_is_missed_by_nobody(leaf, events, late, data):
    """Of two who turn out to be one person, each of whom kept only what the delay may still bring."""
    feeds, delay = feeds_of([leaf]), late * HOUR
    sides = {True: [], False: []}
    for one in events:
        sides[data.draw(st.booleans())].append(one)
    timely = []
    states = [fold(feeds, side, delay=delay) for side in sides.values()]
    for side in sides.values():
        newest_time = 0
        for one in side:
            timely += [one] if one.time >= newest_time - delay else []
            newest_time = max(newest_time, one.time)
    merge(*states)
    at = max(one.time for one in events)
    person = Person(timely, states[0])
    for then in (at, at + HOUR, at + DAY):
        assert compile_condition(leaf).holds(person, then) == naive(leaf, person, events, then, timely=timely)


@given(
    st.lists(trees, min_size=1, max_size=4),
    logs(most=8),
    st.sampled_from(ZONES),
    st.lists(st.integers(0, 12), min_size=8, max_size=8),
)
def test_asking_only_what_an_event_moves_keeps_everybody_right(conditions, events, zone, waits):
    """After each event, in any order of arrival, and at each flip: held are those who hold, and no flip is too late."""
    asked = {f"c{number}": compile_condition(one) for number, one in enumerate(conditions)}
    visits = [name for name, one in asked.items() if "sessions.started" in one.depends.paths]
    always = together((name, asked[name], "both") for name in visits) if visits else None
    others = [(name, one) for name, one in asked.items() if name not in visits]
    after = {name: AfterEvent(name, others, always) for name in {one.name for one in events}}
    feeds, states, taken, held, flips, at, newest_time = feeds_of(conditions), {}, [], {}, Flips(), 0, 0
    first = together(((name, one, "both") for name, one in asked.items()), anew=True)
    for name, holds, _ in first(Person([], states, zone), at, held, flips):
        move(held, name, holds)
    for one, wait in zip(events, waits, strict=False):
        until, person = max(at, one.time) + wait * HALF, Person(taken, states, zone)
        while flips.next <= until:
            at = flips.next
            name = flips.take()
            holds, later = asked[name].answer(person, at)
            move(held, name, holds)
            if later != NEVER:
                flips.note(name, later)
        at = max(at, one.time)
        fed = feeds.update(states, one, newest=newest_time, delay=LONG)
        taken.append(one)
        newest_time = max(newest_time, one.time)
        person = Person(taken, states, zone)
        for name, holds, _ in after[one.name].ask(person, at, fed, held, flips):
            assert (name in held) is not holds
            move(held, name, holds)
        assert set(held) == {name for name, one in asked.items() if naive(one.condition, person, taken, at)}
        for name, compiled in asked.items():
            assert at < flips.at(name) <= compiled.next_flip(person, at)


def move(held, name, holds):
    if holds:
        held[name] = True
    else:
        held.pop(name, None)


# Examples whose answers are known.


def answers(text, events, *instants):
    compiled = compile_condition(parse(text))
    person = Person(events, fold(feeds_of([compiled.condition]), events))
    return [compiled.holds(person, at) for at in instants]


def did(*named):
    """Events by name, so many half hours after the start."""
    return [event(place, name, START + halves * HALF) for place, (name, halves) in enumerate(named)]


@pytest.mark.parametrize(
    "text, named, holds",
    [
        ('sequence("A" then "B")', [("A", 0), ("B", 1)], True),
        ('sequence("A" then "B")', [("B", 0), ("A", 1)], False),
        ('sequence("A" then "A")', [("A", 0)], False),
        ('sequence("A" then "A")', [("A", 0), ("A", 0)], True),
        ('sequence("A" then "B" within 1 hour)', [("A", 0), ("B", 2)], True),
        ('sequence("A" then "B" within 1 hour)', [("A", 0), ("B", 3)], False),
        ('sequence("A" then "B" within 1 hour)', [("A", 0), ("A", 1), ("B", 3)], True),
        (
            'sequence("A" then "B" within 1 hour then "C" within 1 hour)',
            [("A", 0), ("B", 1), ("B", 3), ("C", 5)],
            False,
        ),
        ('sequence("A" then "B" within 1 hour then "C" within 1 hour)', [("A", 0), ("B", 1), ("B", 2), ("C", 4)], True),
        ('sequence("A" then "B" without "C")', [("A", 0), ("C", 1), ("B", 2)], False),
        ('sequence("A" then "B" without "C")', [("A", 0), ("C", 1), ("A", 2), ("B", 3)], True),
        ('sequence("A" then "B" without "*")', [("A", 0), ("A", 1), ("B", 2)], True),
        ('sequence("A" then "*" without "*" then "C")', [("A", 0), ("B", 1), ("C", 2)], True),
        ('sequence("A" without "C" for 1 hour)', [("A", 0), ("C", 2)], False),
        ('sequence("A" without "C" for 1 hour)', [("A", 0), ("C", 3)], True),
        ('sequence("A" without "A" for 1 hour)', [("A", 0), ("A", 1)], True),
        ('sequence("A" then "B", last 1 hour)', [("A", 0), ("B", 11)], True),
        ('sequence("A" then "B", last 1 hour)', [("A", 0), ("B", 10)], False),
    ],
)
def test_a_sequence_is_complete_when_its_steps_follow_one_another(text, named, holds):
    assert answers(text, did(*named), START + 12 * HALF) == [holds]


def test_what_may_not_follow_is_waited_for_to_the_microsecond():
    text = 'sequence("A" then "B" within 1 hour without "C" for 1 day, last 2 days)'
    done = START + HALF
    compiled = compile_condition(parse(text))
    feeds, events = feeds_of([compiled.condition]), did(("A", 0), ("B", 1))
    states = fold(feeds, events)
    person = Person(events, states)
    assert compiled.answer(person, done) == (False, done + DAY)
    assert compiled.answer(person, done + DAY) == (True, done + 2 * DAY)
    assert compiled.answer(person, done + 2 * DAY) == (False, NEVER)
    feeds.update(states, event(9, "C", done + DAY), newest=done, delay=DAY)
    assert compiled.answer(person, done + DAY) == (False, NEVER)


def test_the_first_instant_of_a_fixed_window_is_in_and_the_last_is_not():
    text = 'sequence("B" then "A", from date "2026-10-24T19:00:00Z" to date "2026-10-24T20:00:00Z")'
    found = [answers(text, did(("B", 0), ("A", halves)), START + DAY) for halves in (1, 2, 3, 4)]
    assert found == [[False], [True], [True], [False]]


said_plans = st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["pro", "Pro", "free"])), min_size=1, max_size=8)


@given(lasting(("traits.plan",), st.just("pro"), st.sampled_from([HALF, HOUR, 2 * HOUR])), said_plans, moments)
def test_a_trait_that_is_said_often_is_what_the_second_evaluator_says(leaf, said, at):
    events = [event(place, "identify", START + at * HALF, 1, {"plan": plan}) for place, (at, plan) in enumerate(said)]
    compiled, person = compile_condition(leaf), Person(events, fold(feeds_of([leaf]), events))
    holds, until = compiled.answer(person, at)
    assert holds == naive(leaf, person, events, at)
    turned = (then for then in edges(leaf, events) if then > at and naive(leaf, person, events, then) != holds)
    assert until == next(turned, NEVER)


def test_a_trait_has_been_so_since_the_message_that_said_it_first():
    said = [("pro", 0), ("PRO", 2), ("free", 4), ("pro", 6), ("pro", 7)]
    events = [event(place, "identify", START + at * HALF, 1, {"plan": plan}) for place, (plan, at) in enumerate(said)]
    begun = START + 6 * HALF
    compiled = compile_condition(parse('traits.plan has been "pro" for 2 hours'))
    person = Person(events, fold(feeds_of([compiled.condition]), events))
    assert compiled.answer(person, START + 3 * HALF) == (False, begun + 2 * HOUR)
    assert compiled.answer(person, begun + 2 * HOUR) == (True, NEVER)
    assert compiled.explain(person, begun + DAY).events == (begun,)
    less = compile_condition(parse('traits.plan has been "pro" for less than 2 hours'))
    assert less.answer(person, begun) == (True, begun + 2 * HOUR)
    assert less.answer(person, START) == (True, START + 2 * HOUR)


@pytest.mark.parametrize(
    "text, named",
    [
        ('sequence("A" then "B" within 3 hours then "B" within 3 hours, last 1 hour)', [("A", 0), ("B", 4), ("B", 8)]),
        ('sequence("A" then "B" then "B", last 1 hour)', [("A", 0), ("B", 40), ("B", 80)]),
        ('traits.plan has been "pro" for 3 hours', [("identify", 0), ("identify", 6)]),
        ('traits.plan has been "pro" for 3 hours', [("identify", 0), ("identify", 3), ("identify", 6)]),
        ('traits.plan has been "pro" for 3 hours', [("identify", 0), ("identify", 1), ("identify", 20)]),
    ],
)
def test_with_no_delay_at_all_what_may_be_asked_for_is_kept(text, named):
    compiled = compile_condition(parse(text))
    events = [event(place, name, START + at * HALF, 1, {"plan": "pro"}) for place, (name, at) in enumerate(named)]
    person = Person(events, fold(feeds_of([compiled.condition]), events, delay=0))
    assert compiled.holds(person, events[-1].time)


def test_who_says_the_same_a_thousand_times_has_been_it_since_the_first():
    often = [event(place, "identify", START + place * MINUTE, 1, {"plan": "pro"}) for place in range(1_500)]
    compiled = compile_condition(parse('traits.plan has been "pro" for 1 day'))
    states = fold(feeds_of([compiled.condition]), often)
    assert len(states[key(compiled.condition)].entries) <= 100
    person = Person([], states)
    assert compiled.answer(person, START + DAY - 1) == (False, START + DAY)
    assert not compiled.explain(person, START + DAY).approximate


def test_of_too_many_events_those_between_their_own_kind_go_first_and_it_says_so():
    compiled = compile_condition(parse('sequence("A" then "B")'))
    feeds = Feeds(compiled.depends.aggregates, keep=10)
    events = did(("A", 0), *(("B", place) for place in range(1, 40)))
    person = Person(events, fold(feeds, events))
    explained = compiled.explain(person, START + DAY)
    assert (explained.holds, explained.approximate) == (True, True)
    assert len(person.states[key(compiled.condition)].entries) <= 10
    mixed = did(*(("AB"[place % 2], place) for place in range(40)))
    kept = [time for time, _, _ in fold(feeds, mixed)[key(compiled.condition)].entries]
    assert 9 <= len(kept) <= 10
    assert kept == [one.time for one in mixed[-len(kept) :]]


def test_the_longest_sequence_knows_all_its_events_apart():
    others = [tuple(Deed(f"N{place}-{number}") for number in range(5)) for place in range(10)]
    steps = (Step("S0"), *(Step(f"S{place}", None, HOUR, others[place]) for place in range(1, 10)))
    longest = Sequence(steps, Quiet(others[0], HOUR))
    taken = did(*((f"S{place}", place) for place in range(10)))
    at = START + DAY
    assert answers(format_condition(longest), taken, at) == [True]
    for place in range(10):
        for number in range(5):
            intruder = event(99, f"N{place}-{number}", START + (place or 10) * HALF - 1)
            assert answers(format_condition(longest), [*taken, intruder], at) == [False]
            assert naive(longest, {}, [*taken, intruder], at) is False
    elsewhere = event(99, "N5-1", START + 6 * HALF - 1)
    assert answers(format_condition(longest), [*taken, elsewhere], at) == [True]


def test_sequences_of_the_same_events_share_a_state_and_newest_ones_do_not():
    several = ['sequence("A" then "B")', 'sequence("B" then "A" within 1 day without "A" for 1 hour)']
    assert len({key(parse(text)) for text in several}) == 1
    assert key(parse('sequence("A" then "B", today)')) == 'marks("A", "B", rolling)'
    two = [LastPerformed("A", Compare(Path("properties.n"), "=", n)) for n in (1, 2)]
    assert len({key(one) for one in two}) == 2


def test_a_leaf_that_is_asked_itself_is_its_own_operand():
    assert Sequence((Step("A"),)).operand == parse('sequence("A")')
