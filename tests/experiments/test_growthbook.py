"""Hash and ranges, against GrowthBook's own Python package."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.experiments import bucket_ranges, choose_variation, fnv1a32, hash_v1, hash_v2, in_range

theirs = pytest.importorskip("growthbook.core", reason="GrowthBook's package is not installed: pip install growthbook")

TEXT = st.text(max_size=40)
WEIGHTS = st.lists(st.floats(0, 1), min_size=1, max_size=6)


@given(TEXT, TEXT)
def test_the_hash_is_growthbooks_for_every_text(seed, value):
    assert fnv1a32(seed) == theirs.fnv1a32(seed)
    assert hash_v1(seed, value) == theirs.gbhash(seed, value, 1)
    assert hash_v2(seed, value) == theirs.gbhash(seed, value, 2)


@given(st.floats(-0.5, 1.5), WEIGHTS, st.integers(0, 6))
def test_ranges_are_growthbooks(coverage, weights, variants):
    expected = theirs.getBucketRanges(variants, coverage, weights)
    assert bucket_ranges(variants, coverage, weights) == tuple(expected)


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1), st.integers(1, 6))
def test_the_variant_chosen_is_growthbooks(n, coverage, variants):
    ranges = bucket_ranges(variants, coverage)
    expected = theirs.chooseVariation(n, list(ranges))
    ours = choose_variation(n, ranges)
    assert (-1 if ours is None else ours) == expected
    assert [in_range(n, r) for r in ranges] == [theirs.inRange(n, r) for r in ranges]
