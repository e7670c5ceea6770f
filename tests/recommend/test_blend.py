"""The blend: standard scores, and weights by the length of the history."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.recommend import RecommendSettings, blend_weights, standardize

arrays = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30).map(np.array)


@given(arrays, st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_a_scale_and_an_offset_change_nothing(scores, scale, offset) -> None:
    spread = scores.std()
    if spread > 1e-3 * (1 + abs(scores.mean())):
        np.testing.assert_allclose(standardize(scores * scale + offset), standardize(scores), atol=1e-6)


@given(arrays)
def test_standard_scores_have_mean_0_and_deviation_1_or_are_all_0(scores) -> None:
    standard = standardize(scores)
    assert standard.mean() == pytest.approx(0, abs=1e-6)
    assert standard.std() == pytest.approx(1, abs=1e-6) or not standard.any()


def test_scores_that_are_all_alike_say_nothing() -> None:
    assert standardize(np.full(7, 0.1)).tolist() == [0.0] * 7


@pytest.mark.parametrize("n, trending", [(0, 1.0), (1, 0.6), (3, 1 / 3), (6, 0.2)])
def test_trending_gives_way_as_the_history_grows(n, trending) -> None:
    """1 / (1 + n / 1.5): the reference's simple form of its table."""
    weights = blend_weights(["trending", "seqknn"], n, RecommendSettings())
    assert weights == pytest.approx({"trending": trending, "seqknn": 1 - trending})


def test_a_source_that_is_silent_leaves_its_weight_to_those_that_speak() -> None:
    assert blend_weights(["trending"], 100, RecommendSettings()) == {"trending": 1.0}
    assert blend_weights(["seqknn"], 1, RecommendSettings()) == {"seqknn": 1.0}
    assert blend_weights([], 1, RecommendSettings()) == {}


def test_settings_scale_the_weights_and_0_turns_a_source_off() -> None:
    double = blend_weights(["trending", "seqknn"], 3, RecommendSettings(trending_weight=2))
    assert double == pytest.approx({"trending": 0.5, "seqknn": 0.5})
    assert blend_weights(["trending", "seqknn"], 3, RecommendSettings(seqknn_weight=0))["seqknn"] == 0
    assert blend_weights(["trending"], 3, RecommendSettings(trending_weight=0)) == {"trending": 0.0}


@given(st.integers(0, 1000), st.sets(st.sampled_from(["trending", "seqknn", "ease", "mine"]), min_size=1))
def test_weights_add_up_to_one(n, names) -> None:
    weights = blend_weights(names, n, RecommendSettings())
    assert sum(weights.values()) == pytest.approx(1) or (n == 0 and not any(weights.values()))
    assert min(weights.values()) >= 0
