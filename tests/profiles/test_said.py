"""Where somebody is, on what device, and on which lists: the newest word counts, whatever arrives first."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.clock import DAY, SECOND
from bespeak.conditions import Feeds
from bespeak.events import Event
from bespeak.ids import hash_v2
from bespeak.profiles import EMPTY, LISTS_MAX, Folding, Profile, ProfileSettings, View, fold, merge, share
from bespeak.testing.naive_places import bucket_of, device_in, lists_of, place_in, said

START = 1_780_000_000 * SECOND
SETTINGS = ProfileSettings()
LOCATIONS = (
    {"country": "AT", "city": "Wien", "latitude": 48.21, "longitude": 16.37, "speed": 3},
    {"country": "DE"},
    {"lat": 52, "lng": 13.4},
    {"latitude": 95, "longitude": 1, "country": "XX"},
    {"latitude": 1.5},
    {"country": "", "city": 5, "region": "x" * 101},
    {},
    "48.2,16.3",
    None,
)


def event(at, place, name="Viewed", source="shop", properties=None, **context):
    return Event(
        type="track",
        name=name,
        message_id=f"m{place}",
        time=START + at,
        received=0,
        properties=properties or {},
        context=context,
        source=source,
    )


def listed(at, place, name, joined, source="bespeak"):
    return event(at, place, "List Joined" if joined else "List Left", source, {"list": name})


def folded(events, profile_id="a:a"):
    profile = Profile(id=profile_id)
    folding = Folding(Feeds([]), lambda _item: None, SETTINGS)
    facts = [fold(profile, one, folding).facts for one in events]
    return profile, facts


def read(profile, path):
    return View(profile, START, SETTINGS).get(path)


words = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 20), st.sampled_from(LOCATIONS)),
        st.tuples(
            st.integers(0, 20), st.sampled_from(["vip", "staff"]), st.booleans(), st.sampled_from(["bespeak", "shop"])
        ),
    ),
    min_size=1,
    max_size=10,
)


def events_of(rows, first=0):
    return [
        event(row[0], place, location=row[1]) if len(row) == 2 else listed(row[0], place, *row[1:])
        for place, row in enumerate(rows, first)
    ]


def agrees(profile, events):
    place = said(events, place_in)
    assert read(profile, "place") == (place or None)
    assert {name for name in ("vip", "staff") if read(profile, f"lists.{name}")} == lists_of(events)


@given(words, st.randoms(use_true_random=False))
def test_the_newest_word_counts_in_whatever_order_it_arrives(rows, rng):
    events = events_of(rows)
    profile, _ = folded(rng.sample(events, len(events)))
    agrees(profile, events)
    again, _ = folded(events)
    assert (profile.place, profile.device, profile.lists) == (again.place, again.device, again.lists)


@given(words, words)
def test_of_two_people_that_are_one_the_newer_word_counts(mine, theirs):
    ours, others = events_of(mine), events_of(theirs, 100)
    one, other = folded(ours)[0], folded(others)[0]
    merge(one, other, SETTINGS)
    agrees(one, [*ours, *others])
    agrees(other, others)


@given(words)
def test_what_was_said_survives_bytes_and_sharing(rows):
    profile, _ = folded(events_of(rows))
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(profile), type=Profile)
    share(again)
    assert again == profile


def test_a_profile_of_before_is_read():
    """A checkpoint that an older version wrote has none of these fields."""
    profile, _ = folded([event(0, 0, location=LOCATIONS[0], device={"type": "ios"}), listed(1, 1, "vip", joined=True)])
    plain = msgspec.msgpack.decode(msgspec.msgpack.encode(profile))
    for field in ("place", "device", "lists"):
        del plain[field]
    old = msgspec.msgpack.decode(msgspec.msgpack.encode(plain), type=Profile)
    assert (old.place, old.device, old.lists) == (None, None, {})
    assert read(old, "place.country") is None
    assert read(old, "lists.vip") is False


def test_a_place_is_read_by_name_and_as_a_whole():
    profile, _ = folded([event(0, 0, location=LOCATIONS[0])])
    assert read(profile, "place") == {"country": "AT", "city": "Wien", "latitude": 48.21, "longitude": 16.37}
    assert [read(profile, f"place.{name}") for name in ("country", "latitude", "region")] == ["AT", 48.21, None]
    assert read(folded([])[0], "place") is None
    newer, _ = folded([event(0, 0, location=LOCATIONS[0]), event(1, 1, location=LOCATIONS[1])])
    assert read(newer, "place") == {"country": "DE"}, "it is not in a city of another country"


@pytest.mark.parametrize(
    "context, device",
    [
        (
            {"device": {"type": "ios", "model": "iPhone17,1", "manufacturer": "Apple", "id": "secret"}},
            {"type": "ios", "model": "iPhone17,1", "manufacturer": "Apple"},
        ),
        (
            {"os": {"name": "Android", "version": "16"}, "app": {"name": "Shop", "version": "2.1"}},
            {"os": "Android", "os_version": "16", "app": "Shop", "app_version": "2.1"},
        ),
        ({"device": "tv"}, {"type": "tv"}),
        ({"userAgentData": {"mobile": True, "platform": "Android", "brands": []}}, {"type": "mobile", "os": "Android"}),
        ({"userAgentData": {"mobile": False}, "device": {"type": "kiosk"}}, {"type": "kiosk"}),
        ({"app": {"name": "Shop"}}, None),
        ({"device": {"type": 5, "model": "x" * 101}, "os": "Linux"}, None),
    ],
)
def test_a_device_is_what_the_context_calls_it(context, device):
    profile, _ = folded([event(0, 0, **context)])
    assert read(profile, "device") == device == (device_in(context) or None)
    assert read(profile, "device.type") == (device or {}).get("type")


def test_only_what_is_new_is_a_fact_that_changed():
    here, there = LOCATIONS[0], LOCATIONS[1]
    _, facts = folded([event(at, at, location=one) for at, one in enumerate([here, here, {}, there, here])])
    assert facts == [True, False, False, True, True]
    _, facts = folded([listed(at, at, "vip", joined=joined) for at, joined in enumerate([True, True, False, False])])
    assert facts == [True, False, True, False]
    _, facts = folded([event(at, at, os={"name": "iOS"}) for at in (0, 1)])
    assert facts == [True, False]


def test_what_comes_late_says_nothing_of_the_place_and_all_of_a_list():
    profile, _ = folded(
        [event(3 * DAY, 0), event(0, 1, location=LOCATIONS[0]), listed(1, 2, "vip", joined=True)],
    )
    assert read(profile, "place") is None
    assert read(profile, "lists.vip") is True
    assert (profile.sessions, profile.last_seen) == (1, START + 3 * DAY), "nobody visited us by being put on a list"


def test_nobody_puts_themselves_on_a_list():
    profile, facts = folded([listed(0, 0, "vip", joined=True, source="shop"), event(1, 1, "List Joined", "bespeak")])
    assert (profile.lists, facts) == ({}, [False, False])


def test_lists_are_bounded_and_those_that_were_left_make_room():
    full = [listed(n, n, f"l{n}", joined=n > 1) for n in range(LISTS_MAX)]
    profile, _ = folded([*full, listed(LISTS_MAX, LISTS_MAX, "new", joined=True)])
    assert len(profile.lists) == LISTS_MAX
    assert {"l0", "l1", "new"} & set(profile.lists) == {"l1", "new"}
    crowd = [listed(n, n, f"l{n}", joined=True) for n in range(LISTS_MAX)]
    crowded, facts = folded([*crowd, listed(9, 999, "x", joined=True)])
    assert ("x" in crowded.lists, facts[-1]) == (False, False)


def test_everybody_falls_in_one_of_ten_thousand_buckets_and_nobody_in_none():
    people = [Profile(id=f"u:{n}") for n in range(2_000)]
    share_of = sum(read(one, "bucket.spring") < 0.1 for one in people) / len(people)
    assert share_of == pytest.approx(0.1, abs=0.02)
    assert read(people[7], "bucket.spring") == hash_v2("spring", "u:7") == bucket_of("spring", "u:7")
    assert read(Profile(id="u:\U0001f600"), "bucket.é") == bucket_of("é", "u:\U0001f600")
    assert read(EMPTY, "bucket.spring") is None
    both = sum(read(one, "bucket.spring") < 0.5 and read(one, "bucket.summer") < 0.5 for one in people)
    assert both / len(people) == pytest.approx(0.25, abs=0.04), "salts are dealt anew"


def test_the_local_time_is_read_in_the_zone_of_the_person():
    profile, _ = folded([event(0, 0, timezone="Asia/Tokyo")])  # 2026-05-28T20:26:40Z
    assert [read(profile, f"local.{part}") for part in ("hour", "weekday", "date", "year")] == [
        5,
        5,
        "2026-05-29",
        None,
    ]
