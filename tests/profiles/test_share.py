"""What is read of a profile shares its names with everybody's, and stays what it was."""

from __future__ import annotations

from copy import deepcopy

import msgspec

from bespeak.conditions.counting.aggregates import Last, Sums, Times
from bespeak.conditions.counting.states_figures import Total
from bespeak.conditions.counting.states_marks import Marks
from bespeak.conditions.counting.states_values import Entries, First, Seen, Tally
from bespeak.profiles import Faded, Membership, Profile, Recent, Zone, share

VIEWS = 'count("Product Viewed" where properties.price > 100, rolling)'
"""A name that is too long for the few that the decoder itself remembers."""


def somebody(profile_id: str) -> Profile:
    profile = Profile(
        id=profile_id,
        first_seen=10,
        last_seen=1_000_000_000_020,
        counts={"Product Viewed": 2},
        last={"Product Viewed": 1_000_000_000_020},
        interests={"category:shoes": Faded(1.5, 1_000_000_000_020)},
        recent=[
            Recent(10, "m1", "Product Viewed", "shoe-1"),
            Recent(1_000_000_000_020, "m2", "Product Viewed"),
        ],
        aggregates={
            VIEWS: Times(90, [10, 1_000_000_000_020]),
            "sum": Sums(90, [1_000_000_000_020], [5]),
            "last": Last(0, [(1_000_000_000_020, "m2", "shoes"), (1_000_000_000_030, "m3", ["a", "b"])]),
            "first": First((1_000_000_000_020, "m2", "shoes")),
            "values": Entries(90, [(1_000_000_000_020, "m2", "shoes")], 5),
            "distinct": Seen([5, 2**64 - 1], more=True),
            "marks": Marks(90, [(1_000_000_000_020, "m2", 1)], 5),
            "most": Tally({"tshoes": (2, 1_000_000_000_020)}),
            "figures": Total(2, 7, 500_000, 2_500_000, 5_000_000),
        },
        zone=Zone("Europe/Berlin", 1_000_000_000_020, "m2"),
        segments={"keen": Membership(1_000_000_000_020, 1, "2 views")},
    )
    profile.flips.note("keen", 1_000_000_000_110)
    return profile


def read(profile_id: str) -> Profile:
    """Return a profile that shares nothing with anybody, as it comes from the disk."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(somebody(profile_id)), type=Profile)


def test_a_profile_stays_what_it_was() -> None:
    profile = read("a:one")
    before = deepcopy(profile)
    share(profile)
    assert profile == before == somebody("a:one")
    assert list(profile.aggregates) == list(before.aggregates)


def test_names_are_the_same_objects_in_every_profile_that_was_read() -> None:
    one, other = read("a:one"), read("a:other")
    share(one)
    share(other)
    for part in ("counts", "last", "interests", "aggregates", "segments"):
        for name, its in zip(getattr(one, part), getattr(other, part), strict=True):
            assert name is its
    assert one.flips.names[0] is next(iter(other.segments))
    assert one.recent[0].name is other.recent[1].name
    assert one.recent[0].item is other.recent[0].item


def test_the_time_of_an_event_is_one_object_wherever_a_profile_keeps_it() -> None:
    profile = read("a:one")
    share(profile)
    times, sums, last = profile.aggregates[VIEWS], profile.aggregates["sum"], profile.aggregates["last"]
    assert isinstance(times, Times)
    assert isinstance(sums, Sums)
    assert isinstance(last, Last)
    newest = profile.last_seen
    kept = (profile.recent[-1].time, times.times[-1], sums.times[0], last.entries[0][0], profile.segments["keen"].since)
    assert all(time is newest for time in kept)
    assert last.entries[0][1] is profile.recent[-1].message_id
    first, zone = profile.aggregates["first"], profile.zone
    assert isinstance(first, First)
    assert zone is not None
    assert first.entry[0] is zone.time is newest
    assert first.entry[1] is zone.message_id is last.entries[0][1]
    marks = profile.aggregates["marks"]
    assert isinstance(marks, Marks)
    assert marks.entries[0][0] is newest
    assert marks.entries[0][1] is zone.message_id
