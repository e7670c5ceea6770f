"""Hash and ranges, against published cases and against numbers worked out by hand."""

from __future__ import annotations

import pytest

from bespeak.experiments import bucket_ranges, choose_variation, equal_weights, fnv1a32, hash_v1, hash_v2, in_range


# Fowler, Noll and Vo publish these for the 32-bit FNV-1a.
@pytest.mark.parametrize(
    "text, value",
    [("", 0x811C9DC5), ("a", 0xE40C292C), ("ab", 0x4D2505CA), ("foobar", 0xBF9CF968), ("hello", 0x4F9F2CAB)],
)
def test_fnv1a_gives_the_published_values(text, value):
    assert fnv1a32(text) == value


def test_version_1_is_the_hash_of_value_then_seed_in_thousandths():
    # fnv1a32("a") = 0xE40C292C = 3826002220, whose last three digits are 220.
    assert hash_v1("", "a") == hash_v1("a", "") == 0.22


def test_version_2_hashes_the_decimal_digits_of_the_hash_of_seed_then_value():
    assert hash_v2("", "a") == (fnv1a32("3826002220") % 10_000) / 10_000
    assert hash_v2("seed", "value") == hash_v2("seedv", "alue"), "seed and value run together, as in GrowthBook"


# GrowthBook's published cases: [seed, value, version, hash].
@pytest.mark.parametrize(
    "seed, value, version, expected",
    [
        ("", "a", 1, 0.22),
        ("", "b", 1, 0.077),
        ("b", "a", 1, 0.946),
        ("ef", "d", 1, 0.652),
        ("asdf", "8952klfjas09ujk", 1, 0.549),
        ("", "123", 1, 0.011),
        ("", '___)((*":&', 1, 0.563),
        ("seed", "a", 2, 0.0505),
        ("seed", "b", 2, 0.2696),
        ("foo", "ab", 2, 0.2575),
        ("foo", "def", 2, 0.2019),
        ("89123klj", "8952klfjas09ujkasdf", 2, 0.124),
        ("90850943850283058242805", "123", 2, 0.7516),
        ("()**(%$##$%#$#", '___)((*":&', 2, 0.0128),
    ],
)
def test_the_hash_gives_growthbooks_published_cases(seed, value, version, expected):
    assert (hash_v1 if version == 1 else hash_v2)(seed, value) == expected


def test_a_character_beyond_the_basic_plane_counts_as_two_code_units():
    pair = "\ud83d\ude00"
    assert fnv1a32("\U0001f600") == fnv1a32(pair) != fnv1a32("\ud83d")


def test_ranges_worked_out_by_hand():
    assert bucket_ranges(2, 1.0) == ((0.0, 0.5), (0.5, 1.0))
    assert bucket_ranges(2, 0.5) == ((0.0, 0.25), (0.5, 0.75))
    assert bucket_ranges(2, 1.0, [0.4, 0.6]) == ((0.0, 0.4), (0.4, 1.0))
    assert bucket_ranges(2, 0.0) == ((0.0, 0.0), (0.5, 0.5))


@pytest.mark.parametrize("weights", [[0.4], [0.4, 0.1], [0.7, 0.6], [1.5, -0.5]])
def test_weights_that_cannot_be_shares_are_taken_as_equal(weights):
    assert bucket_ranges(2, 1.0, weights) == bucket_ranges(2)


def test_a_range_holds_its_start_and_not_its_end():
    assert in_range(0.25, (0.25, 0.5))
    assert not in_range(0.5, (0.25, 0.5))
    assert [choose_variation(n, bucket_ranges(2, 0.5)) for n in (0.0, 0.2499, 0.25, 0.5, 0.75)] == [0, 0, None, 1, None]


def test_equal_weights_of_none_are_none():
    assert equal_weights(0) == ()
    assert equal_weights(4) == (0.25, 0.25, 0.25, 0.25)
