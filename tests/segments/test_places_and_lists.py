"""Memberships by place, device, list and clock: at every half hour what looking at all events makes of it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bespeak.clock import HOUR, MINUTE, parse_time
from bespeak.conditions import Feeds
from bespeak.events import Event
from bespeak.ids import hash_v2
from bespeak.profiles import Folding, Profile, ProfileSettings, fold, merge
from bespeak.segments import Segments, load
from bespeak.testing.naive import holds
from bespeak.testing.naive_counts import zone_of
from bespeak.testing.naive_places import lists_of, place_in, said

START = parse_time("2026-10-24T06:00:00Z")  # a Saturday; clocks are put back in Berlin the night after
SETTINGS = ProfileSettings(time_zone="Europe/Berlin", late_hours=30)
TEXTS = {
    "near": "place within 300 km of (48.21, 16.37)",
    "abroad": 'place.country exists and place.country != "at"',
    "vip": 'in_list("vip")',
    "outside": 'not in_list("vip") and performed("View", today)',
    "half": 'bucket("spring") < 0.5',
    "night": "local.hour >= 22 or local.hour < 6",
    "twice": "local.hour = 2",
    "weekend": 'local.weekday in [6, 7] and in_list("vip")',
    "sunday": 'local.date = "2026-10-25"',
    "opened": "local.hour >= traits.opens",
    "awake": 'local.hour between 8 and 20 and place.country = "AT" and not performed("View", last 3 hours)',
}
IN_FORCE = Segments(load({"id": name, "condition": text}, source="test") for name, text in TEXTS.items())
PLACES = (
    {"country": "AT", "latitude": 48.2, "longitude": 16.4},
    {"country": "HU", "latitude": 47.5, "longitude": 19.0},
    {"country": "DE", "latitude": 52.5, "longitude": 13.4},
    {"country": "AT"},
)
ZONES = ("Europe/Berlin", "Asia/Tokyo", "Australia/Lord_Howe")

deeds = st.lists(
    st.tuples(
        st.sampled_from(["View", "View", "List Joined", "List Left"]),
        st.integers(-20, 60),
        st.sampled_from([None, *PLACES]),
        st.sampled_from([None, None, *ZONES]),
        st.sampled_from([None, 9, 23]),
    ),
    min_size=1,
    max_size=10,
)


def event(place, at, deed):
    name, _, location, zone, opens = deed
    given = {"location": location, "timezone": zone, "traits": None if opens is None else {"opens": opens}}
    context = {field: value for field, value in given.items() if value is not None}
    source, said_of = ("bespeak", {"list": "vip"}) if name.startswith("List") else ("shop", {})
    return Event(
        type="track",
        name=name,
        message_id=f"m{place}",
        time=at,
        received=at,
        properties=said_of,
        context={} if said_of else context,
        source=source,
    )


class Person:
    """Somebody as the engine holds them, and what they did, in a list."""

    def __init__(self, profile_id="a:a"):
        self.profile = Profile(id=profile_id)
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
        place = said(self.timely, place_in) or None
        opens = [one for one in self.timely if "traits" in one.context]
        newest = max(opens, key=lambda one: (one.time, one.message_id), default=None)
        known = {
            "zone": zone_of(self.timely, None, "Europe/Berlin"),
            "place": place,
            "place.country": (place or {}).get("country"),
            "lists.vip": "vip" in lists_of(self.taken),
            "bucket.spring": hash_v2("spring", self.profile.id),
            "traits.opens": None if newest is None else newest.context["traits"]["opens"],
        }
        conditions = {one.id: one.condition for one in IN_FORCE.all()}
        return {name for name, one in conditions.items() if holds(one, known, self.taken, at, timely=self.timely)}

    def agrees(self):
        at = self.profile.as_of
        assert set(self.profile.segments) == self.truth(at)
        assert self.profile.next_flip_at > at


@settings.get_profile("few")
@given(deeds, st.integers(0, 60))
def test_at_every_half_hour_people_are_where_all_their_events_put_them(happened, wait):
    person, clock = Person(), START
    for place, deed in enumerate(happened):
        at = clock + deed[1] * HOUR // 2
        clock = max(clock, at)
        person.take(event(place, at, deed))
        person.agrees()
    began = person.profile.as_of
    for half in range(wait):
        for near in (-1, 0):
            at = (began // HOUR + 1) * HOUR + half * 30 * MINUTE + near
            changes = IN_FORCE.advance(person.profile, at, SETTINGS)
            assert all(began < change.at <= at for change in changes)
            assert set(person.profile.segments) == person.truth(at)


@settings.get_profile("few")
@given(deeds, st.lists(st.booleans(), min_size=10, max_size=10), st.integers(0, 30))
def test_two_who_turn_out_to_be_one_are_where_the_events_of_both_put_them(happened, whose, wait):
    people, clock = (Person("u:1"), Person("a:b")), START
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
