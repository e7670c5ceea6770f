"""Date math: Elasticsearch's vectors, zones, and the instants at which what is asked of a date turns."""

# ruff: noqa: E501 - a case stands on one line

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bespeak.clock import DAY, HOUR, MINUTE, NEVER, from_datetime, parse_time
from bespeak.conditions.tree import Between, Compare, Moment, Path, Within
from bespeak.conditions.values.dates import dated, resolve, settle, turns
from bespeak.conditions.values.moments import NoMoment, read_date, read_moment
from bespeak.conditions.values.zones import instant_of, next_change, next_leap, wall_at, zone_of

NOW = "2026-03-15T10:30:45.123456+00:00"  # a Sunday
X = Path("traits.x")


def shown(at, zone="UTC"):
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).astimezone(ZoneInfo(zone)).isoformat()


def resolved(expr, *, up=False, zone="UTC", now=NOW):
    return shown(resolve(read_moment(expr), parse_time(now), zone_of(zone), up=up), zone)


@pytest.mark.parametrize(
    "expr, down, up",
    [
        ("now", NOW, NOW),
        ("now+1h", "2026-03-15T11:30:45.123456+00:00", None),
        ("now+1H", "2026-03-15T11:30:45.123456+00:00", None),
        ("now-7d", "2026-03-08T10:30:45.123456+00:00", None),
        ("now-2w", "2026-03-01T10:30:45.123456+00:00", None),
        ("now+90m-30s", "2026-03-15T12:00:15.123456+00:00", None),
        ("now+d", "2026-03-16T10:30:45.123456+00:00", None),
        ("now-18y", "2008-03-15T10:30:45.123456+00:00", None),
        ("now/d", "2026-03-15T00:00:00+00:00", "2026-03-15T23:59:59.999999+00:00"),
        ("now/1d", "2026-03-15T00:00:00+00:00", "2026-03-15T23:59:59.999999+00:00"),
        ("now/w", "2026-03-09T00:00:00+00:00", "2026-03-15T23:59:59.999999+00:00"),
        ("now/M", "2026-03-01T00:00:00+00:00", "2026-03-31T23:59:59.999999+00:00"),
        ("now/y", "2026-01-01T00:00:00+00:00", "2026-12-31T23:59:59.999999+00:00"),
        ("now/h", "2026-03-15T10:00:00+00:00", "2026-03-15T10:59:59.999999+00:00"),
        ("now/m", "2026-03-15T10:30:00+00:00", "2026-03-15T10:30:59.999999+00:00"),
        ("now/s", "2026-03-15T10:30:45+00:00", "2026-03-15T10:30:45.999999+00:00"),
        ("now+1M-1d/d", "2026-04-14T00:00:00+00:00", "2026-04-14T23:59:59.999999+00:00"),
        ("now/d+8h", "2026-03-15T08:00:00+00:00", "2026-03-16T07:59:59.999999+00:00"),
        ("2001-02-01||+1M/d", "2001-03-01T00:00:00+00:00", "2001-03-01T23:59:59.999999+00:00"),
        ("2001-01-31||+1M", "2001-02-28T00:00:00+00:00", None),
        ("2000-02-29||+1y", "2001-02-28T00:00:00+00:00", None),
        ("2000-02-29||-4y", "1996-02-29T00:00:00+00:00", None),
        ("2001-02-01", "2001-02-01T00:00:00+00:00", "2001-02-01T23:59:59.999999+00:00"),
        ("2001-02-01T12:00", "2001-02-01T12:00:00+00:00", "2001-02-01T12:00:00+00:00"),
        ("2001-02-01T12:00:00+02:00", "2001-02-01T10:00:00+00:00", None),
        ("2001-02-01T12:00:00+02:00||/d", "2001-02-01T00:00:00+00:00", "2001-02-01T23:59:59.999999+00:00"),
    ],
)
def test_an_expression_is_what_elasticsearch_makes_of_it(expr, down, up):
    assert resolved(expr) == down
    assert resolved(expr, up=True) == (down if up is None else up)


@pytest.mark.parametrize(
    "expr, offset, said",
    [
        ("", 0, "expected a date such as 2026-01-31, or date math such as now-7d/d, found nothing"),
        ("now+1X", 5, "expected a unit: y, M, w, d, h, m or s, found `X`"),
        ("now*1d", 3, "expected `+`, `-` or `/`, found `*`"),
        ("now+", 4, "expected a unit: y, M, w, d, h, m or s, found the end"),
        ("now+5", 5, "found the end"),
        ("now/2d", 4, "expected one unit after `/`, as in /d, found `2`"),
        ("now/", 4, "found the end"),
        ("now-7D", 5, "found `D`"),
        ("Now", 0, "found `Now`"),
        (" now", 0, "found ` now`"),
        ("now 1d", 3, "found ` `"),
        ("2001-02-30", 0, "found `2001-02-30`"),
        ("2001-02-01+1d", 0, "write `||` between a date and what follows"),
        ("||+1d", 0, "found nothing"),
        ("tomorrow", 0, "found `tomorrow`"),
        ("1700000000", 0, "found `1700000000`"),
        ("now-9999y", 0, "at most 1,000 years"),
        ("now" + "+1d" * 11, 33, "at most 10 steps"),
        ("now+" + "9" * 200 + "d", 100, "at most 100 characters"),
    ],
)
def test_what_is_no_expression_is_refused_at_its_place(expr, offset, said):
    with pytest.raises(NoMoment) as caught:
        read_moment(expr)
    assert caught.value.offset == offset
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "zone, now, expr, down, up",
    [
        ("Europe/Vienna", "2026-03-29T12:00:00Z", "now/d", "2026-03-29T00:00:00+01:00", "2026-03-29T23:59:59.999999+02:00"),
        ("Europe/Vienna", "2026-03-29T12:00:00Z", "now-1d", "2026-03-28T14:00:00+01:00", None),
        ("Europe/Vienna", "2026-03-29T12:00:00Z", "now-24h", "2026-03-28T13:00:00+01:00", None),
        ("Europe/Vienna", "2026-03-28T01:30:00Z", "now+1d", "2026-03-29T03:30:00+02:00", None),
        ("America/New_York", "2026-02-01T03:00:00Z", "now/M", "2026-01-01T00:00:00-05:00", "2026-01-31T23:59:59.999999-05:00"),
        ("Pacific/Auckland", "2026-01-31T12:00:00Z", "now/M", "2026-02-01T00:00:00+13:00", "2026-02-28T23:59:59.999999+13:00"),
        ("Asia/Kolkata", "2026-01-31T12:10:00Z", "now/h", "2026-01-31T17:00:00+05:30", "2026-01-31T17:59:59.999999+05:30"),
        ("America/New_York", NOW, "2026-01-31", "2026-01-31T00:00:00-05:00", "2026-01-31T23:59:59.999999-05:00"),
        ("America/New_York", NOW, "2026-01-31T05:00:00Z||/d", "2026-01-31T00:00:00-05:00", None),
        # Beirut leaps from midnight to one: the day begins at one
        ("Asia/Beirut", "2026-03-29T12:00:00Z", "now/d", "2026-03-29T01:00:00+03:00", None),
        # Havana shows midnight twice: the day begins with the first
        ("America/Havana", "2026-11-01T12:00:00Z", "now/d", "2026-11-01T00:00:00-04:00", "2026-11-01T23:59:59.999999-05:00"),
    ],
)  # fmt: skip
def test_days_and_months_are_those_of_the_zone(zone, now, expr, down, up):
    assert resolved(expr, zone=zone, now=now) == down
    if up is not None:
        assert resolved(expr, zone=zone, now=now, up=True) == up


@pytest.mark.parametrize(
    "text, is_date",
    [
        ("2026-01-31", True),
        ("2026-01-31T12:00", True),
        ("2026-01-31 12:00:00.5", True),
        ("2026-01-31T12:00:00,123Z", True),
        ("2026-01-31T12:00:00+0530", True),
        ("2026-01-31T12:00:00-05", True),
        ("2026-1-31", False),
        ("2026-02-29", False),
        ("20260131", False),
        ("2026-01-31T", False),
        ("2026-01-31T25:00", False),
        ("2026-01-31T12:00:00+99:00", False),
        ("0000-01-01", False),
        ("2026-W05-6", False),
        ("31.01.2026", False),
        ("\u0662\u0660\u0662\u0666-01-31", False),
        ("2026-01-31\n", False),
        ("", False),
    ],
)
def test_only_iso_8601_is_a_date(text, is_date):
    assert (read_date(text) is not None) is is_date


def held(op, value, expr, *, zone=None, now=NOW):
    return dated(Compare(X, op, Moment(expr)))(value, parse_time(now), zone)


@pytest.mark.parametrize(
    "op, value, expr, holds",
    [
        # a rounded day: `<` before it, `>` after it
        ("<", "2026-03-14T23:59:59.999999Z", "now/d", True),
        ("<", "2026-03-15T00:00:00Z", "now/d", False),
        (">=", "2026-03-15T00:00:00Z", "now/d", True),
        (">=", "2026-03-14T23:59:59Z", "now/d", False),
        ("<=", "2026-03-15T23:59:59.999Z", "now/d", True),
        ("<=", "2026-03-16T00:00:00Z", "now/d", False),
        (">", "2026-03-15T23:59:59.999Z", "now/d", False),
        (">", "2026-03-16T00:00:00Z", "now/d", True),
        # a day alone is a rounded one
        ("<=", "2026-01-31T18:00:00Z", "2026-01-31", True),
        (">", "2026-01-31T18:00:00Z", "2026-01-31", False),
        ("<", "2026-01-31T18:00:00Z", "2026-01-31", False),
        (">=", "2026-01-31", "2026-01-31", True),
        # the same instant, whatever the zone that it was written in
        ("=", "2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00Z", True),
        ("!=", "2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00Z", False),
        ("=", "2026-01-31T12:00:00", "2026-01-31T10:00:00Z", False),
        # the same day
        ("on", "2026-01-31T18:00:00Z", "2026-01-31", True),
        ("on", "2026-02-01T00:00:00Z", "2026-01-31", False),
        ("on", "2026-03-15T23:00:00Z", "now", True),
        ("on", "2026-03-14T23:00:00Z", "now-1d", True),
        # not a date: nothing holds, and so `!=` does
        ("<", "soon", "now", False),
        ("<", 5, "now", False),
        ("<", None, "now", False),
        ("on", 20260131, "2026-01-31", False),
        ("!=", "soon", "now", True),
        ("!=", None, "now", True),
        ("<", True, "now", False),
        ("<", {"a": "2026-01-31"}, "now", False),
        # any element of a list
        ("<", ["soon", "2030-01-01", "2026-01-01"], "now", True),
        ("<", ["soon", "2030-01-01"], "now", False),
        ("<", [], "now", False),
        ("<", [["2026-01-01"]], "now", False),
    ],
)
def test_a_date_is_compared_as_the_rules_say(op, value, expr, holds):
    assert held(op, value, expr) is holds


def test_a_day_is_the_day_of_the_persons_zone():
    late = "2026-02-01T03:00:00Z"  # still the 31st in New York
    assert held("on", late, "2026-01-31", zone="America/New_York")
    assert not held("on", late, "2026-01-31")
    assert held("on", "2026-01-31", "2026-01-31", zone="America/New_York")
    assert held("on", "2026-01-31", "2026-01-31", zone="Pacific/Auckland")
    assert held("<=", late, "2026-01-31", zone="America/New_York")


def test_both_ends_of_between_are_in():
    month = Between(X, Moment("2026-01-01"), Moment("2026-01-31"))
    passes = dated(month)
    inside = [passes(f"2026-{text}", 0, None) for text in ("01-01", "01-31T23:59:59.999999Z")]
    outside = [passes(text, 0, None) for text in ("2025-12-31T23:59:59Z", "2026-02-01", ["2025-01-01", "2027-01-01"])]
    assert (inside, outside) == ([True, True], [False, False, False])


def test_within_holds_from_the_instant_for_so_long():
    joined = parse_time("2026-03-15T10:00:00Z")
    week = Within(X, 7 * DAY)
    for at, holds, until in [
        (joined - 1, False, joined),
        (joined, True, joined + 7 * DAY),
        (joined + 7 * DAY - 1, True, joined + 7 * DAY),
        (joined + 7 * DAY, False, NEVER),
    ]:
        assert turns(week, "2026-03-15T10:00:00Z", at, None) == (holds, until)
        assert dated(week)("2026-03-15T10:00:00Z", at, None) is holds


@pytest.mark.parametrize(
    "test, value, now, zone, holds, until",
    [
        (Compare(X, ">", Moment("now-18y/d")), "2008-03-16", NOW, None, True, "2026-03-16T00:00:00+00:00"),
        (Compare(X, "<=", Moment("now-18y")), "2008-03-16", NOW, None, False, "2026-03-16T00:00:00+00:00"),
        (Compare(X, "on", Moment("now")), "2026-03-15", NOW, None, True, "2026-03-16T00:00:00+00:00"),
        (Compare(X, "on", Moment("now")), "2026-03-20", NOW, "Asia/Tokyo", False, "2026-03-19T15:00:00+00:00"),
        (Compare(X, "<", Moment("now/M")), "2026-03-15", NOW, "Europe/Vienna", False, "2026-03-31T22:00:00+00:00"),
        (Compare(X, ">", Moment("2026-01-31")), "2026-03-15", NOW, None, True, None),
        (Compare(X, "<", Moment("now")), "soon", NOW, None, False, None),
        (Compare(X, "!=", Moment("now/d")), "2026-03-16", NOW, None, True, "2026-03-16T00:00:00+00:00"),
        (Compare(X, ">=", Moment("now+1M")), "2026-02-28", "2026-01-27T00:00:00Z", None, True, "2026-01-28T00:00:00.000001+00:00"),
        (Compare(X, "<", Moment("now-1d")), ["2030-01-01", "2026-03-15"], NOW, None, False, "2026-03-16T00:00:00.000001+00:00"),
    ],
)  # fmt: skip
def test_the_instant_at_which_an_answer_turns_is_known(test, value, now, zone, holds, until):
    found = turns(test, value, parse_time(now), zone)
    assert found[0] is holds
    assert (None if found[1] == NEVER else shown(found[1])) == until


@pytest.mark.parametrize("zone", [None, "America/New_York"])
@pytest.mark.parametrize(
    "test",
    [
        *(Compare(X, op, Moment("now/d")) for op in ("<", "<=", ">", ">=", "=", "!=", "on")),
        Between(X, Moment("now-1d/d"), Moment("now/d")),
        Within(X, 12 * HOUR),
    ],
)
def test_a_settled_date_asks_the_same_as_the_one_that_moved(test, zone):
    now = parse_time(NOW)
    days = range(now // DAY * DAY - 2 * DAY, now + 2 * DAY, HOUR)
    for value in [shown(at + more) for at in days for more in (-1, 0, 1)]:
        assert dated(settle(test, now, zone))(value, 0, None) is dated(test)(value, now, zone)


ZONES = ("UTC", "Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata")
steps = st.one_of(
    st.builds("{}{}{}".format, st.sampled_from("+-"), st.integers(0, 40), st.sampled_from("dwhm")),
    st.builds("{}{}{}".format, st.sampled_from("+-"), st.integers(0, 3), st.sampled_from("yM")),
    st.sampled_from(["/d", "/M", "/w", "/h", "/y"]),
)
expressions = st.lists(steps, max_size=3).map(lambda parts: "now" + "".join(parts))
MOMENTS = [  # days of months' ends and of clocks that change
    "2026-03-29T00:30:00", "2026-10-25T00:15:00", "2026-01-28T23:00:00", "2026-01-31T12:00:00", "2026-03-08T06:30:00",
    "2026-11-01T05:30:00", "2026-04-04T15:00:00", "2026-02-28T23:59:59", "2024-02-29T12:00:00", "2025-12-31T23:00:00",
]  # fmt: skip
instants = st.builds(
    lambda text, hours: parse_time(text) + hours * 15 * MINUTE, st.sampled_from(MOMENTS), st.integers(-200, 200)
)


@given(
    expressions, st.sampled_from(["<", "<=", ">", ">=", "=", "!=", "on"]), instants, instants, st.sampled_from(ZONES)
)
@example("now+1M", ">=", parse_time("2026-01-28T23:00:00"), parse_time("2026-02-28T12:00:00"), "UTC")
@example("now-1d", "<", parse_time("2026-10-25T00:15:00"), parse_time("2026-10-24T00:30:00"), "Europe/Vienna")
def test_an_answer_turns_at_the_first_instant_at_which_it_is_another(expr, op, at, near, zone):
    value = shown(near)
    test = Compare(X, op, Moment(expr))
    passes = dated(test)
    holds, until = turns(test, value, at, zone)
    assert holds is passes(value, at, zone)
    assert until > at
    horizon = min(until, at + 500 * DAY)
    look = [*range(at, horizon, 7 * HOUR)[:300], *range(max(at, horizon - 3 * DAY), horizon, 15 * MINUTE), horizon - 1]
    assert all(passes(value, t, zone) is holds for t in look)
    assert until == NEVER or passes(value, until, zone) is not holds


@given(expressions, st.lists(instants, max_size=4), instants, st.sampled_from(ZONES))
def test_an_answer_about_a_list_stands_until_it_is_asked_again(expr, found, at, zone):
    value = [shown(one) for one in found]
    for op in ("<", ">=", "=", "on"):
        test = Compare(X, op, Moment(expr))
        passes = dated(test)
        holds, until = turns(test, value, at, zone)
        assert holds is passes(value, at, zone)
        assert until > at
        assert all(passes(value, t, zone) is holds for t in range(at, min(until, at + 60 * DAY), 5 * HOUR))
        if op in {"<", ">="} and until != NEVER:
            assert passes(value, until, zone) is not holds


@given(instants, st.sampled_from(ZONES))
def test_a_wall_clock_is_read_as_the_zone_says(at, name):
    zone = zone_of(name)
    there = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).astimezone(ZoneInfo(name))
    wall = wall_at(at, zone)
    assert wall == from_datetime(there.replace(tzinfo=None))
    assert instant_of(wall, zone) in {at, from_datetime(there.replace(fold=0).astimezone(UTC))}
    change = next_change(at, zone)
    assert change > at
    assert wall_at(min(change - 1, at + 300 * DAY), zone) - min(change - 1, at + 300 * DAY) == wall - at
    leap = next_leap(wall, zone)
    assert leap > wall
    assert leap - 1 - instant_of(leap - 1, zone) == wall - instant_of(wall, zone)
