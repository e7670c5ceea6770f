"""Where people are, what their clocks show, the bucket they fall in: known distances, known clocks, known hashes."""

from __future__ import annotations

from math import pi

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.clock import HOUR, NEVER, SECOND, format_time, parse_time
from bespeak.conditions import bind, compile_condition, format_condition, from_json, mask, parse, to_json
from bespeak.conditions.values.near import FARTHEST, RADIUS, distance, place_of
from bespeak.errors import ConditionError
from bespeak.testing.naive_places import metres_apart

VIENNA, BRATISLAVA, LONDON, NEW_YORK = (48.2082, 16.3738), (48.1486, 17.1077), (51.5074, -0.1278), (40.7128, -74.006)


class Person:
    def __init__(self, **values):
        self.values = {name.replace("_", "."): value for name, value in values.items()}

    def get(self, path):
        return self.values.get(path)

    def state(self, _key):
        return None


def holds(text, person, at=0):
    return compile_condition(parse(text)).holds(person, at)


def turns(text, zone, begin, end):
    """Return when a condition turns in a zone, as answers say one after the other, and to what."""
    compiled, person, found = compile_condition(parse(text)), Person(zone=zone), []
    at = parse_time(begin)
    was, until = compiled.answer(person, at)
    while until < parse_time(end):
        now, later = compiled.answer(person, until)
        if now is not was:
            found.append((format_time(until), now))
        was, until = now, later
    return found


# Distances.


def test_distances_are_those_of_the_globe():
    assert distance((90, 0), (0, 0)) == pytest.approx(RADIUS * pi / 2)
    assert distance((0, 0), (0, 180)) == distance((90, 0), (-90, 77)) == pytest.approx(RADIUS * pi)
    assert RADIUS * pi < FARTHEST
    assert distance((0, 179.5), (0, -179.5)) == pytest.approx(RADIUS * pi / 180), "over the date line"
    assert distance(LONDON, NEW_YORK) == pytest.approx(5_570_000, rel=1e-3), "as every table of distances has it"
    assert distance(VIENNA, BRATISLAVA) == pytest.approx(54_800, rel=2e-3)
    assert distance(VIENNA, VIENNA) == 0


degrees = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@given(degrees, degrees)
def test_a_distance_is_the_angle_between_two_arrows(one, other):
    assert distance(one, other) == pytest.approx(metres_apart(one, other), abs=0.5)
    assert distance(one, other) == distance(other, one)


@pytest.mark.parametrize(
    "value, place",
    [
        ({"latitude": 48.5, "longitude": 16}, (48.5, 16.0)),
        ({"lat": -48, "lon": 16.25, "name": "shop"}, (-48.0, 16.25)),
        ({"lat": 1, "lng": 2, "lon": 3}, (1.0, 3.0)),
        ("48.5,16", (48.5, 16.0)),
        (" -48.25 , +16.5 ", (-48.25, 16.5)),
        ({"lat": 91, "lng": 2}, None),
        ({"lat": 1, "lng": 181}, None),
        ({"lat": "1", "lng": "2"}, None),
        ({"lat": True, "lng": 2}, None),
        ({"lat": 1}, None),
        ({}, None),
        ("48.5", None),
        ("48.5,16,3", None),
        ("nan,1", None),
        ("1e1,1", None),
        ("1," + "1" * 100, None),
        ([48.5, 16], None),
        (48.5, None),
        (None, None),
    ],
)
def test_a_place_is_an_object_with_both_coordinates_or_a_text_of_them(value, place):
    assert place_of(value) == place


def test_near_is_within_the_distance_of_any_of_the_places():
    near = "traits.shops within 60 km of (48.2082, 16.3738)"
    bratislava, london = ({"lat": lat, "lng": lng} for lat, lng in (BRATISLAVA, LONDON))
    assert holds(near, Person(traits_shops=bratislava))
    assert holds(near, Person(traits_shops=[None, 5, london, "48.1486,17.1077"]))
    assert not holds(near, Person(traits_shops=[london]))
    assert not holds(near, Person(traits_shops=[]))
    assert not holds(near, Person())
    assert holds("traits.shops not within 60 km of (48.2082, 16.3738)", Person()), "not is the opposite, as everywhere"
    for less, unit in ((54.6, "km"), (33.9, "miles"), (54_600, "metres")):
        assert not holds(f"traits.shops within {less} {unit} of (48.2082, 16.3738)", Person(traits_shops=bratislava))
        more = less * 1.01
        assert holds(f"traits.shops within {more} {unit} of (48.2082, 16.3738)", Person(traits_shops=bratislava))


def test_items_can_be_near():
    shops = np.empty(3, dtype=object)
    shops[:] = [{"lat": 48.2, "lng": 16.3}, None, {"lat": 50.0, "lng": 16.3}]
    left = bind(parse("item.properties.shop within 20 km of (48.21, 16.37) and known = true"), Person(known=True), 0)
    assert mask(left, {"item.properties.shop": shops}, 3).tolist() == [True, False, False]


@pytest.mark.parametrize(
    "text, shown",
    [
        ("place within 20 km of (48.21, -16.37)", None),
        ("place within 20.0 kilometers of (48, 016)", "place within 20 km of (48, 16)"),
        ("place within 1.5 mi of (-0.0, 0)", "place within 1.5 miles of (0, 0)"),
        ("place not within 300 m of (1, 2)", "not (place within 300 metres of (1, 2))"),
        ('bucket("a.b c") between 0.25 and 0.5', None),
        ('bucket."a b" < 0.1', 'bucket("a b") < 0.1'),
        ("traits.limit > bucket.x", 'traits.limit > bucket("x")'),
        ('in_list("vip") and not in_list("staff")', None),
        ("local.hour in [22, 23] or local.weekday >= 6", None),
        ('performed("Shop Visited" where context.location within 2 km of (48.2, 16.4))', None),
    ],
)
def test_text_and_json_read_back(text, shown):
    condition = parse(text)
    assert format_condition(condition) == (shown or text)
    assert parse(shown or text) == condition == from_json(to_json(condition))


@pytest.mark.parametrize(
    "text, words",
    [
        ("place within 20 of (1, 2)", "column 17: expected km, miles or metres, found `of`"),
        ("place within 7 days of (1, 2)", "expected `last` and a duration such as 30 days, or a distance"),
        ("place within 20 km from (1, 2)", "expected `of` and a place, found `from`; write within 20 km of"),
        ("place within 20 km of (100, 2)", "degrees from -90 to 90, found 100; write (latitude, longitude)"),
        ("place within 20 km of (1, 200)", "degrees from -180 to 180, found 200"),
        ("place within 0 km of (1, 2)", "more than 0, and at most 20,020 km, found 0 km"),
        ("place within 90000 miles of (1, 2)", "at most 20,020 km, found 90000 miles"),
        ('count("View") within 2 km of (1, 2)', "count is a number"),
        ("place within soon", "or a distance such as 20 km"),
        ('place.countryy = "DE"', "found `place.countryy`; did you mean place.country?"),
        ('device.operating = "ios"', "expected device.type, device.model"),
        ("local = 5", "expected local.hour, local.weekday, local.date, found `local`"),
        ("local.hours = 5", "did you mean local.hour?"),
        ("local.hour = 25", "an hour from 0 to 23, found 25"),
        ('local.weekday = "monday"', "a day from 1 to 7, found 'monday'; Monday is 1, Sunday is 7"),
        ('local.date = "christmas"', 'a day such as "2026-12-24"'),
        ('local.date = "2026-12-24T10:00:00Z"', 'a day such as "2026-12-24"'),
        ('local.date >= date "2026-12-24"', "write the day itself, without `date`"),
        ("local.date within last 7 days", "a date such as traits.joined, found `local.date`"),
        ('local.hour on date "now"', "an hour from 0 to 23, found date 'now'"),
        ('bucket("spring") < 10', "a number from 0 to 1, found 10; write 0.1 for a tenth of all people"),
        ('bucket("spring") = "a"', "a number from 0 to 1, found 'a'"),
        ('bucket("") < 0.1', "a salt in double quotes"),
        ("bucket(spring) < 0.1", 'write strings in double quotes: "spring"'),
        ("any of local.hour where (it.a = 1)", "a list such as traits.addresses, found `local.hour`"),
        ("in_list(vip)", "the id of a list in double quotes"),
        ('performed("A" where in_list("vip"))', "context.NAME, item.NAME or type, found in_list(...)"),
        ('any of traits.a where (in_list("vip"))', "expected it.NAME, found in_list(...)"),
    ],
)
def test_what_has_no_meaning_is_refused_with_what_would_do(text, words):
    with pytest.raises(ConditionError) as caught:
        parse(text)
    assert words in str(caught.value)


def test_json_is_checked_like_text():
    place = {"type": "path", "path": "place"}
    with pytest.raises(ConditionError, match="degrees from -90 to 90"):
        from_json({"type": "near", "operand": place, "latitude": 91, "longitude": 0, "within": 1})
    with pytest.raises(ConditionError, match="unit"):
        from_json({"type": "near", "operand": place, "latitude": 1, "longitude": 0, "within": 1, "unit": "yards"})
    with pytest.raises(ConditionError, match="latitude"):
        from_json(b'{"type":"near","operand":{"type":"path","path":"place"},"latitude":1e999,"longitude":0,"within":1}')


# Clocks.


def test_an_hour_that_comes_twice_lasts_two_and_one_that_is_leapt_over_never_comes():
    october = turns("local.hour = 2", "Europe/Vienna", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z")
    assert october == [
        ("2026-10-25T00:00:00Z", True),  # 02:00, summer time
        ("2026-10-25T02:00:00Z", False),  # 03:00: it has been 02:something twice
        ("2026-10-26T01:00:00Z", True),
        ("2026-10-26T02:00:00Z", False),
    ]
    march = turns("local.hour = 2", "Europe/Vienna", "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z")
    assert march == [("2026-03-30T00:00:00Z", True), ("2026-03-30T01:00:00Z", False)]


def test_full_hours_are_those_of_the_clock_also_where_it_goes_by_half_hours():
    kolkata = turns("local.hour >= 22", "Asia/Kolkata", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z")
    assert kolkata == [("2026-11-22T16:30:00Z", True), ("2026-11-22T18:30:00Z", False)]
    # Lord Howe puts its clocks back by half an hour, from 02:00 to 01:30, at 15:00 UTC.
    howe = turns("local.hour = 1", "Australia/Lord_Howe", "2026-04-04T12:00:00Z", "2026-04-04T20:00:00Z")
    assert howe == [("2026-04-04T14:00:00Z", True), ("2026-04-04T15:30:00Z", False)]


def test_days_turn_at_midnight_and_one_that_is_skipped_never_comes():
    weekend = turns("local.weekday in [6, 7]", "America/New_York", "2026-11-22T12:00:00Z", "2026-12-01T12:00:00Z")
    assert weekend == [
        ("2026-11-23T05:00:00Z", False),
        ("2026-11-28T05:00:00Z", True),
        ("2026-11-30T05:00:00Z", False),
    ]
    # Samoa went over the date line: after the 29th of December 2011 came the 31st.
    apia = ('local.date = "2011-12-30"', "Pacific/Apia", "2011-12-01T00:00:00Z", "2012-01-10T00:00:00Z")
    assert turns(*apia) == []
    assert turns(*apia[:1], "Asia/Tokyo", *apia[2:]) == [
        ("2011-12-29T15:00:00Z", True),
        ("2011-12-30T15:00:00Z", False),
    ]


def test_christmas_comes_every_year():
    found = turns('local.date ends with "-12-24"', "UTC", "2026-11-22T00:00:00Z", "2030-01-01T00:00:00Z")
    assert [time for time, now in found if now] == [f"{year}-12-24T00:00:00Z" for year in range(2026, 2030)]


def test_a_date_far_ahead_is_looked_at_again_before_it_comes_and_one_that_is_past_never_more():
    at = parse_time("2026-11-22T12:00:00Z")
    first, past = (compile_condition(parse(f'local.date >= "{day}"')) for day in ("2030-01-01", "2026-01-01"))
    assert first.answer(Person(), at) == (False, parse_time("2029-08-19"))
    assert turns('local.date >= "2030-01-01"', "UTC", "2026-11-22", "2031-01-01") == [("2030-01-01T00:00:00Z", True)]
    assert first.explain(Person(), at).next_change == parse_time("2030-01-01")
    assert past.answer(Person(), at) == (True, NEVER)
    assert compile_condition(parse('local.date != "2026-11-20"')).answer(Person(), at) == (True, NEVER)


def test_what_the_clock_never_or_always_shows_does_not_turn():
    at = parse_time("2026-11-22T12:00:00Z")
    for text in ("local.hour >= 0", "local.hour > 23", "local.weekday < 1", "local.hour exists", "local.hour = 7.5"):
        assert compile_condition(parse(text)).answer(Person(zone="Europe/Vienna"), at)[1] == NEVER, text


def test_the_clock_can_be_compared_with_what_is_known():
    at = parse_time("2026-11-22T18:30:00Z")
    person = Person(zone="Europe/Vienna", traits_opens=20)
    opened = compile_condition(parse("local.hour >= traits.opens"))
    assert opened.answer(person, at) == (False, parse_time("2026-11-22T19:00:00Z"))
    assert opened.answer(Person(zone="Europe/Vienna"), at) == (False, NEVER), "it is not known when"
    assert opened.answer(Person(traits_opens="late"), at) == (False, NEVER)
    ready = compile_condition(parse("local.date >= traits.from"))
    assert ready.answer(Person(traits_from="2027-01-15"), at) == (False, parse_time("2027-01-15"))
    assert ready.answer(Person(traits_from=["2026-01-15", "2028-01-01"]), at) == (True, NEVER)
    assert ready.answer(Person(), at) == (False, NEVER)


def test_people_are_where_their_zone_is_and_what_they_depend_on_says_so():
    at = parse_time("2026-11-22T23:30:00Z")
    assert [holds("local.hour = 0", Person(zone=zone), at) for zone in ("Europe/Vienna", "UTC", None, "Mars")] == [
        True,
        False,
        False,
        False,
    ]
    assert compile_condition(parse("local.hour = 0")).depends.paths == {"local.hour", "zone"}
    said = compile_condition(parse("local.hour = 0")).explain(Person(zone="Europe/Vienna"), at)
    assert (said.value, said.next_change, said.sentence()) == (0, at + HOUR // 2, "local.hour is 0")


def test_a_day_is_looked_at_once_for_all_who_live_in_one_zone():
    """A million people turn at one midnight: for each of them the next turn is looked up."""
    compiled = compile_condition(parse('local.date ends with "-02-29"'))
    noon = parse_time("2027-01-01T12:00:00Z")
    answers = {compiled.answer(Person(zone="Europe/Vienna"), noon + step * SECOND) for step in range(1_000)}
    assert answers == {(False, parse_time("2028-02-28T23:00:00Z"))}


# Buckets.


def test_a_bucket_is_compared_like_any_number():
    person = Person(bucket_spring=0.0999)
    assert [holds(f'bucket("spring") {asked}', person) for asked in ("< 0.1", ">= 0.1", "between 0.09 and 0.1")] == [
        True,
        False,
        True,
    ]
