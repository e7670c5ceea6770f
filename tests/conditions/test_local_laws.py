"""Laws of the local time: what is shown is what the standard library shows, and nothing turns between two ticks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.clock import DAY, HOUR, MINUTE, NEVER, parse_time
from bespeak.conditions import Feeds, compile_condition, parse
from bespeak.conditions.values.local import next_tick, shown
from bespeak.errors import ConditionError
from bespeak.events import Event
from bespeak.testing.naive import SITE, holds
from bespeak.testing.naive_places import clock_shows

START = parse_time("2026-01-01T00:00:00Z")
ZONES = (
    "UTC",
    "Europe/Vienna",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",  # clocks move by half an hour
    "America/Havana",  # clocks are put forward at midnight
    "Africa/Casablanca",  # and around Ramadan
    "Pacific/Apia",
    "Nowhere/Land",
    None,
)
zones = st.sampled_from(ZONES)
instants = st.one_of(
    st.integers(START, START + 366 * DAY),
    st.builds(
        lambda half, near: START + half * 30 * MINUTE + near, st.integers(0, 17_520), st.sampled_from([-1, 0, 1])
    ),
    st.integers(parse_time("1960-01-01"), parse_time("2037-01-01")),
)
parts = st.sampled_from(["hour", "weekday", "date"])
numbers = {"hour": st.integers(0, 23), "weekday": st.integers(1, 7)}


class Person:
    def __init__(self, zone):
        self.zone = zone

    def get(self, path):
        return self.zone if path == "zone" else None

    def state(self, _key):
        return None


@given(parts, instants, zones)
def test_the_clock_shows_what_it_shows(part, at, zone):
    assert shown(part, at, zone) == clock_shows(part, at, zone)


@given(parts, instants, zones, st.floats(0, 1))
def test_between_two_ticks_the_clock_shows_one_thing(part, at, zone, where):
    tick = next_tick(part, at, zone)
    assert at < tick <= at + (HOUR if part == "hour" else DAY)
    for then in (at, tick - 1, at + int((tick - 1 - at) * where)):
        assert clock_shows(part, then, zone) == clock_shows(part, at, zone)


@st.composite
def conditions(draw):
    part = draw(st.sampled_from(["hour", "weekday"]))
    one, other = draw(numbers[part]), draw(numbers[part])
    op = draw(st.sampled_from(["=", "!=", "<", "<=", ">", ">="]))
    written = draw(
        st.sampled_from([f"{op} {one}", f"between {min(one, other)} and {max(one, other)}", f"in [{one}, {other}]"])
    )
    return f"local.{part} {written}"


@given(conditions(), conditions(), st.sampled_from(["and", "or"]), instants, zones)
def test_an_answer_stands_until_its_flip_and_turns_at_it(one, other, both, at, zone):
    for text in (one, f"{one} {both} {other}"):
        condition = parse(text)
        person = Person(zone)
        found, until = compile_condition(condition).answer(person, at)
        assert found is holds(condition, person, (), at)
        assert until > at
        hours = range(at // HOUR + 1, min(until, at + 15 * DAY) // HOUR + 1)
        near = [hour * HOUR + step for hour in hours for step in (-1, 0, 30 * MINUTE)]
        assert all(holds(condition, person, (), then) is found for then in near if at < then < until)
        if until != NEVER and text == one:
            assert holds(condition, person, (), until) is not found


class Happened(Person):
    """Somebody with one event, on a site in a zone."""

    def __init__(self, site, states):
        super().__init__("Asia/Tokyo")
        self.site = site
        self.states = states

    def get(self, path):
        return self.site if path == SITE else super().get(path)

    def state(self, key):
        return self.states.get(key)


@given(conditions(), instants, zones, st.sampled_from(ZONES[:8]))
def test_a_filter_asks_the_clock_where_the_event_happened(text, at, named, site):
    condition = parse(f'count("E" where {text}) = 1 and not performed("E" where not {text})')
    compiled = compile_condition(condition)
    event = Event(type="track", name="E", message_id="m", time=at, received=at, context={"timezone": named})
    person = Happened(site, {})
    Feeds(compiled.depends.aggregates, zone=site).update(person.states, event, newest=at, delay=0)
    part, _, asked = text.removeprefix("local.").partition(" ")
    zone = named if named in ZONES[:8] else site
    met = holds(parse(f"local.{part} {asked}"), Person(zone), (), at)
    assert compiled.holds(person, at) is holds(condition, person, [event], at) is met


def test_what_is_no_part_of_the_clock_is_refused_in_a_filter_too():
    with pytest.raises(ConditionError, match=r"expected local.hour, local.weekday, local.date, found `local.houer`"):
        parse('count("E" where local.houer > 5) > 1')
    with pytest.raises(ConditionError, match="expected an hour from 0 to 23, found 25"):
        parse('count("E" where local.hour >= 25) > 1')
