"""The time zone of a person: what the newest message of a device said, else their trait, else the setting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.clock import SECOND
from bespeak.conditions import Feeds
from bespeak.events import Event
from bespeak.profiles import Folding, Profile, ProfileSettings, View, fold, merge
from bespeak.testing.naive_counts import zone_of

START = 1_780_000_000 * SECOND
SETTINGS = ProfileSettings(time_zone="Asia/Tokyo")
SAID = ("Europe/Berlin", "America/New_York", "UTC", "Mars/Olympus", "", 5, None, "../etc/passwd", "x" * 200)


def event(at, place, zone=None, trait=None, name="Viewed"):
    context = {} if zone is None else {"timezone": zone}
    if trait is not None:
        context["traits"] = {"timezone": trait}
    return Event(type="track", name=name, message_id=f"m{place}", time=START + at, received=0, context=context)


def folded(events):
    profile = Profile(id="a:a")
    folding = Folding(Feeds([]), lambda _item: None, SETTINGS)
    facts = [fold(profile, one, folding).facts for one in events]
    return profile, facts


def zone(profile):
    return View(profile, START, SETTINGS).get("zone")


said = st.lists(st.tuples(st.integers(0, 20), st.sampled_from(SAID)), min_size=1, max_size=8)


@given(said, st.randoms(use_true_random=False))
def test_the_newest_device_that_names_a_zone_says_it_in_whatever_order_it_arrives(rows, rng):
    events = [event(at, place, named) for place, (at, named) in enumerate(rows)]
    profile, _ = folded(rng.sample(events, len(events)))
    assert zone(profile) == zone_of(events, None, "Asia/Tokyo")
    assert profile.zone == folded(events)[0].zone


@given(said, said)
def test_of_two_people_that_are_one_the_newer_word_counts(mine, theirs):
    ours = [event(at, place, named) for place, (at, named) in enumerate(mine)]
    others = [event(at, place + 100, named) for place, (at, named) in enumerate(theirs)]
    one, other = folded(ours)[0], folded(others)[0]
    merge(one, other, SETTINGS)
    assert zone(one) == zone_of([*ours, *others], None, "Asia/Tokyo")


def test_a_device_goes_before_a_trait_and_a_trait_before_the_setting():
    assert zone(folded([event(0, 0)])[0]) == "Asia/Tokyo"
    assert zone(folded([event(0, 0, trait="Europe/Vienna")])[0]) == "Europe/Vienna"
    assert zone(folded([event(0, 0, trait="Vienna")])[0]) == "Asia/Tokyo"
    both = [event(0, 0, zone="Europe/Berlin"), event(1, 1, trait="Europe/Vienna")]
    assert zone(folded(both)[0]) == "Europe/Berlin"


def test_a_new_zone_is_a_fact_that_changed_and_the_same_one_is_not():
    _, facts = folded([event(at, at, named) for at, named in enumerate(["UTC", "UTC", "Nowhere", "Asia/Tokyo"])])
    assert facts == [True, False, False, True]


def test_what_comes_too_late_or_from_us_says_nothing_of_the_zone():
    day = 86_400 * SECOND
    late = [
        event(2 * day, 0, "UTC"),
        event(0, 1, "Europe/Berlin"),
        event(3 * day, 2, "Asia/Kolkata", name="Impression"),
    ]
    assert zone(folded(late)[0]) == "UTC"


def test_a_zone_that_is_none_is_no_setting():
    with pytest.raises(ValueError, match=r"profiles\.time_zone must be a name such as Europe/Vienna, got 'Wien'"):
        ProfileSettings(time_zone="Wien")


def test_merging_leaves_the_other_its_own_zone():
    one, other = folded([event(0, 0)])[0], folded([event(0, 1, "UTC")])[0]
    merge(one, other, SETTINGS)
    fold(one, event(5, 2, "UTC"), Folding(Feeds([]), lambda _item: None, SETTINGS))
    assert (one.zone.time, other.zone.time) == (START + 5, START)
