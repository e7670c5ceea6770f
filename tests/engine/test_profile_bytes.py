"""Profiles that an earlier version has written are read as they were meant."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from bespeak.conditions.counting.aggregates import Count, Times
from bespeak.engine.encoded import decode_profile, encode_profile
from bespeak.engine.packing import MAGIC, pack, unpack
from bespeak.profiles import Faded, Membership, Profile, Recent


def somebody() -> Profile:
    profile = Profile(
        id="a:ada",
        first_seen=5,
        last_seen=9,
        counts={"View": 2},
        interests={"tag:wool": Faded(1.5, 9)},
        recent=[Recent(5, "m1", "View"), Recent(9, "m2", "View", "i1")],
        aggregates={'count("View")': Count(2), 'count("View", rolling)': Times(100, [5, 9])},
        segments={"keen": Membership(9, 1, "why")},
        next_flip_at=20,
        as_of=9,
    )
    for name, at in (("idle", 30), ("keen", 20), ("avid", 30)):
        profile.flips.note(name, at)
    return profile


def test_a_profile_survives_its_bytes() -> None:
    assert decode_profile(encode_profile(somebody())) == somebody()
    assert decode_profile(encode_profile(Profile(id="a:nobody"))) == Profile(id="a:nobody")


@given(st.binary(max_size=2_000))
def test_what_is_packed_is_unpacked_and_what_never_was_stays(data: bytes) -> None:
    assert unpack(pack(data)) == data
    if not data.startswith(MAGIC):
        assert unpack(data) == data


def test_names_that_stand_in_a_profile_many_times_take_little_room() -> None:
    profile = somebody()
    for place in range(100):
        profile.segments[f"segment-{place}"] = Membership(9, 1, f'count("Product Viewed", last {place} days) is 3')
    plain = encode_profile(profile)
    assert len(pack(plain)) * 3 < len(plain)


def test_flips_that_stood_in_a_mapping_are_put_in_their_order() -> None:
    plain: dict[str, Any] = msgspec.msgpack.decode(encode_profile(somebody()))
    plain["flips"] = {"idle": 30, "avid": 30, "keen": 20}
    read = decode_profile(msgspec.msgpack.encode(plain))
    assert read == somebody()
    assert (read.flips.times, read.flips.names) == ([20, 30, 30], ["keen", "avid", "idle"])


def test_a_profile_without_flips_of_the_first_versions_has_none() -> None:
    plain: dict[str, Any] = msgspec.msgpack.decode(encode_profile(Profile(id="a:nobody")))
    del plain["flips"]
    assert decode_profile(msgspec.msgpack.encode(plain)) == Profile(id="a:nobody")
