"""Memberships by the days of people who travel and say dates: at every hour what plain counting makes of it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bespeak.clock import HOUR, format_time, parse_time
from bespeak.conditions import Feeds
from bespeak.events import Event
from bespeak.profiles import Folding, Profile, ProfileSettings, fold, merge
from bespeak.segments import Segments, load
from bespeak.testing.naive import holds
from bespeak.testing.naive_counts import session_started, zone_of

START = parse_time("2026-10-24T06:00:00Z")  # clocks are put back in Berlin the night after
SETTINGS = ProfileSettings(session_gap_minutes=240, late_hours=30)
TEXTS = {
    "daily": 'count("View", today) >= 2',
    "before": 'count("*", yesterday) >= 2 and not performed("View", today)',
    "weekly": 'sum(properties.n of "Vi*", this week) > sum(properties.n of "Vi*", last week)',
    "visit": 'count("View", this session) >= 2',
    "usual": 'most_frequent(properties.n of "*", this month) = 2',
    "few": 'distinct(properties.n of "View", today) < distinct(properties.n of "View", last 2 days)',
    "joined": "traits.joined within last 1 day",
    "today": 'traits.joined on date "now"',
    "monday": 'traits.joined < date "now/w" and performed("View", last 6 hours)',
    "promised": 'last(properties.until of "Buy") > date "now+12h"',
    "then": 'sequence("View" where properties.n > 0 then "Buy" within 9 hours without "View" for 3 hours, this week)',
    "viewed": 'sequence("View" then "View" without "Buy", today)',
    "bought": 'last("*", yesterday) has (properties.n > 1)',
    "kept": 'traits.joined has been "2026-10-24" for 12 hours',
    "lately": 'not traits.joined has been "2026-10-24" for less than 1 day',
    "first": 'first(properties.n of "View", last week) exists or min(properties.n of "Buy", today) = 1',
}
IN_FORCE = Segments(load({"id": name, "condition": text}, source="test") for name, text in TEXTS.items())
JOINED = ("2026-10-24", "2026-10-25T02:30:00", "2026-10-26T12:00:00Z")

deeds = st.lists(
    st.tuples(
        st.sampled_from(["View", "View", "Buy"]),
        st.integers(-20, 60),
        st.integers(0, 3),
        st.sampled_from([None, None, "Europe/Berlin", "Asia/Tokyo", "America/New_York"]),
        st.sampled_from([None, None, *JOINED]),
    ),
    min_size=1,
    max_size=10,
)


def event(place, at, deed):
    name, _, n, zone, joined = deed
    context = {} if zone is None else {"timezone": zone}
    if joined is not None:
        context["traits"] = {"joined": joined}
    until = format_time(at + n * 8 * HOUR)
    said = {"n": n, "until": until}
    return Event(
        type="track", name=name, message_id=f"m{place}", time=at, received=at, properties=said, context=context
    )


class Person:
    """Somebody as the engine holds them, and what they did, in a list."""

    def __init__(self):
        self.profile = Profile(id="a:a")
        self.folding = Folding(Feeds(IN_FORCE.aggregates()), lambda _item: None, SETTINGS)
        self.taken, self.timely = [], []

    def take(self, happened):
        IN_FORCE.advance(self.profile, happened.time, SETTINGS)
        if happened.time >= self.profile.last_seen - SETTINGS.delay:
            self.timely.append(happened)
        folded = fold(self.profile, happened, self.folding)
        self.taken.append(happened)
        if len(self.taken) == 1:
            IN_FORCE.welcome(self.profile, happened, folded, SETTINGS)
        else:
            IN_FORCE.classify(self.profile, happened, folded, SETTINGS)

    def truth(self, at):
        joined = [one for one in self.timely if "traits" in one.context]
        newest = max(joined, key=lambda one: (one.time, one.message_id), default=None)
        known = {
            "zone": zone_of(self.timely, None, "UTC"),
            "sessions.started": session_started([one.time for one in self.timely], SETTINGS.session_gap),
            "traits.joined": None if newest is None else newest.context["traits"]["joined"],
        }
        conditions = {one.id: one.condition for one in IN_FORCE.all()}
        return {name for name, one in conditions.items() if holds(one, known, self.taken, at, timely=self.timely)}

    def agrees(self):
        at = self.profile.as_of
        assert set(self.profile.segments) == self.truth(at)
        assert self.profile.next_flip_at > at


@settings.get_profile("few")
@given(deeds, st.integers(0, 60))
def test_at_every_hour_people_are_where_plain_counting_puts_them(happened, wait):
    person, clock = Person(), START
    for place, deed in enumerate(happened):
        at = clock + deed[1] * HOUR // 2
        clock = max(clock, at)
        person.take(event(place, at, deed))
        person.agrees()
    began = person.profile.as_of
    for hour in range(wait):
        for near in (-1, 0):
            at = (began // HOUR + 1 + hour) * HOUR + near
            changes = IN_FORCE.advance(person.profile, at, SETTINGS)
            assert all(began < change.at <= at for change in changes)
            assert set(person.profile.segments) == person.truth(at)


@settings.get_profile("few")
@given(deeds, st.lists(st.booleans(), min_size=10, max_size=10), st.integers(0, 30))
def test_two_who_turn_out_to_be_one_are_where_plain_counting_puts_them(happened, whose, wait):
    people, clock = (Person(), Person()), START
    for place, deed in enumerate(happened):
        at = clock + abs(deed[1]) * HOUR // 8
        clock = max(clock, at)
        people[whose[place]].take(event(place, at, deed))
    one, other = people
    merge(one.profile, other.profile, SETTINGS)
    one.taken += other.taken
    one.timely += other.timely
    IN_FORCE.classify_all(one.profile, clock, SETTINGS)
    one.agrees()
    for hour in range(wait):
        at = (clock // HOUR + 1 + hour) * HOUR
        IN_FORCE.advance(one.profile, at, SETTINGS)
        assert set(one.profile.segments) == one.truth(at)
