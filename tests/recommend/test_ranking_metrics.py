"""Measures of rankings against worked cases and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from bespeak.recommend.metrics import coverage, graded_ndcg_at, hit_rate, middle_rank, mrr, ndcg_at, recall_at


def test_ndcg_of_a_worked_case() -> None:
    """Hits at ranks 2 and 4 of 3 targets, first 4: (1/log2 3 + 1/log2 5) / (1 + 1/log2 3 + 1/2)."""
    found = (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3) + 0.5)
    assert ndcg_at(["x", "a", "y", "b", "c"], ["a", "b", "c"], 4) == pytest.approx(found)


def test_the_perfect_order_is_1_even_with_more_targets_than_places() -> None:
    assert ndcg_at(list("abc"), set("abcdefgh"), 3) == pytest.approx(1)
    assert recall_at(list("abc"), set("abcdefgh"), 3) == 1


def test_nobody_wanted_anything() -> None:
    assert ndcg_at(["a"], [], 10) == recall_at(["a"], [], 10) == hit_rate(["a"], [], 10) == 0
    assert graded_ndcg_at(["a"], {}, 10) == mrr([]) == coverage([], 0, 10) == 0


@given(st.lists(st.integers(0, 5), min_size=2, max_size=15).filter(any), st.integers(1, 15), st.randoms())
def test_graded_ndcg_is_that_of_scikit_learn(gains, k, rng) -> None:
    scores = rng.sample(range(100), len(gains))
    ranked = sorted(range(len(gains)), key=lambda place: -scores[place])
    wanted = ndcg_score([gains], [scores], k=k)
    assert graded_ndcg_at(ranked, dict(enumerate(gains)), k) == pytest.approx(wanted)


def test_recall_and_hits_of_worked_cases() -> None:
    assert recall_at(list("xaybz"), ["a", "b", "c"], 4) == pytest.approx(2 / 3)
    assert recall_at(list("xaybz"), ["a", "b", "c"], 2) == pytest.approx(1 / 2)
    assert hit_rate(list("xay"), ["a"], 2) == 1
    assert hit_rate(list("xay"), ["a"], 1) == 0


def test_ties_share_the_middle_rank() -> None:
    scores = np.array([5.0, 2.0, 2.0, 2.0, 1.0])
    assert [middle_rank(scores, row) for row in range(5)] == [1, 3, 3, 3, 5]
    assert mrr([1, 4]) == pytest.approx((1 + 0.25) / 2)


def test_coverage_counts_what_anybody_is_shown() -> None:
    assert coverage([list("abc"), list("abx")], 10, 2) == 0.2
    assert coverage([list("abc"), list("abx")], 10, 3) == 0.4
