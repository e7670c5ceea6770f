"""Windows: which events are in, and when each comes in and leaves, in any time zone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.clock import DAY, HOUR, MINUTE, NEVER, SECOND, format_time, parse_time
from bespeak.conditions.counting.windows import fixed_ends, frame, is_fixed, period_at, period_start
from bespeak.conditions.tree import Calendar, FromTo, Since, ThisSession
from bespeak.testing.naive_counts import is_inside

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Asia/Kolkata", "Pacific/Auckland", "Asia/Kathmandu")
UNITS = ("day", "week", "month", "quarter", "year")
START = parse_time("2025-12-01T00:00:00Z")

zones = st.sampled_from(ZONES)
calendars = st.builds(Calendar, st.sampled_from(UNITS), st.integers(0, 2))
instants = st.one_of(
    st.integers(0, 400 * 24 * 4).map(lambda quarters: START + quarters * 15 * MINUTE),
    st.integers(0, 400 * DAY).map(lambda later: START + later),
)


def known(zone="UTC", started=None):
    return {"zone": zone, "sessions.started": started}.get


@given(zones, calendars, instants, instants)
def test_a_period_of_the_calendar_is_the_local_days_that_bear_its_name(zone, calendar, time, at):
    after, until = frame(calendar).bounds(known(zone), at)
    assert (after < time <= until) == is_inside(calendar, time, at, known(zone))


@given(zones, calendars, instants)
def test_an_event_is_in_from_when_it_enters_until_just_before_it_leaves(zone, calendar, time):
    window, person = frame(calendar), known(zone)
    enters, leaves = window.enters(time, person), window.leaves(time, person)
    assert time <= enters < leaves
    for at, inside in ((enters, True), (leaves - 1, True), (leaves, False), (enters - 1, False)):
        assert is_inside(calendar, time, at, person) is inside


@given(zones, calendars, st.lists(instants, min_size=2, max_size=2))
def test_what_came_first_enters_and_leaves_first(zone, calendar, times):
    window, person = frame(calendar), known(zone)
    first, second = sorted(times)
    assert window.enters(first, person) <= window.enters(second, person)
    assert window.leaves(first, person) <= window.leaves(second, person)


@given(zones, calendars, instants)
def test_no_window_reaches_further_back_than_it_says(zone, calendar, at):
    window = frame(calendar)
    after, _ = window.bounds(known(zone), at)
    assert at - window.span <= after < at


@pytest.mark.parametrize(
    "zone, noon, hours",
    [
        ("Europe/Berlin", "2026-03-29T12:00:00Z", 23),
        ("Europe/Berlin", "2026-10-25T12:00:00Z", 25),
        ("Europe/Berlin", "2026-06-01T12:00:00Z", 24),
        ("America/Sao_Paulo", "2018-11-04T12:00:00Z", 23),  # the clock is put on at midnight: the day begins at one
        ("Australia/Lord_Howe", "2026-04-05T02:00:00Z", 24.5),
        ("Pacific/Apia", "2011-12-29T22:00:00Z", 24),  # the next day was left out
    ],
)
def test_a_day_is_as_long_as_the_clocks_there_make_it(zone, noon, hours):
    start, end, _ = period_at(zone, "day", parse_time(noon))
    assert (end - start) / HOUR == hours


def test_a_day_that_was_left_out_holds_nothing():
    start, end, number = period_at("Pacific/Apia", "day", parse_time("2011-12-30T12:00:00Z"))
    assert (format_time(start), format_time(end)) == ("2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z")
    assert period_start("Pacific/Apia", "day", number - 1) == start  # the 30th
    assert frame(Calendar("day", 1)).bounds(known("Pacific/Apia"), start) == (start - 1, start - 1)


def test_where_clocks_are_put_back_over_midnight_the_new_day_stays():
    # In St. John's at 00:01 on the 7th it was 23:01 on the 6th again.
    midnight = parse_time("2010-11-07T02:30:00Z")
    for minutes in (0, 1, 30, 61):
        assert period_at("America/St_Johns", "day", midnight + minutes * MINUTE)[0] == midnight


@pytest.mark.parametrize(
    "unit, start, end",
    [
        ("day", "2026-02-01T00:00:00Z", "2026-02-02T00:00:00Z"),
        ("week", "2026-01-26T00:00:00Z", "2026-02-02T00:00:00Z"),  # a Monday
        ("month", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"),
        ("quarter", "2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z"),
        ("year", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
    ],
)
def test_weeks_begin_on_mondays_and_quarters_in_january(unit, start, end):
    found = period_at("UTC", unit, parse_time("2026-02-01T12:00:00Z"))
    assert (format_time(found[0]), format_time(found[1])) == (start, end)


def test_a_zone_that_nobody_knows_is_utc():
    at = parse_time("2026-02-01T12:00:00Z")
    assert period_at("Mars/Olympus", "day", at) == period_at("UTC", "day", at)
    assert frame(Calendar("day")).bounds({}.get, at) == frame(Calendar("day")).bounds(known("UTC"), at)


def test_a_visit_holds_what_happened_since_it_began_and_lets_nothing_go():
    window, person = frame(ThisSession()), known(started="2026-01-01T10:00:00Z")
    began = parse_time("2026-01-01T10:00:00Z")
    assert window.bounds(person, began + DAY) == (began - 1, began + DAY)
    assert window.enters(began - 1, person) == NEVER
    assert (window.enters(began, person), window.leaves(began, person)) == (began, NEVER)


def test_without_a_visit_nothing_is_in_one():
    after, until = frame(ThisSession()).bounds(known(), START)
    assert after >= until


def test_fixed_ends_are_instants_and_never_move():
    assert fixed_ends(Since("2026-01-01")) == (parse_time("2026-01-01T00:00:00Z"), NEVER)
    assert fixed_ends(FromTo("2026-01-01", "2026-01-02T00:00:01+01:00")) == (
        parse_time("2026-01-01"),
        parse_time("2026-01-01T23:00:01Z"),
    )
    for window in (None, Since("2026-01-01"), FromTo("2026-01-01", "2026-01-02")):
        assert is_fixed(window)
        assert frame(window) is None
    for window in (5 * SECOND, Calendar("day"), ThisSession()):
        assert not is_fixed(window)
        assert frame(window) is not None
