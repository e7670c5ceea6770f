"""Settings of recommendations: their bounds, and what a variant may change."""

from __future__ import annotations

import msgspec
import pytest

from bespeak.errors import SettingsError
from bespeak.recommend import OVERRIDABLE, RecommendSettings
from bespeak.recommend.settings import RANGES


@pytest.mark.parametrize("name", RANGES)
def test_a_number_outside_its_range_is_refused_with_the_range(name) -> None:
    low, high = RANGES[name]
    for value in (low, high):
        assert getattr(RecommendSettings(**{name: value}), name) == value
    for value in (low - 1, high + 1, float("nan")):
        with pytest.raises(SettingsError, match=rf"recommend\.{name}: expected .* to .*, got"):
            RecommendSettings(**{name: value})


def test_every_number_has_a_range() -> None:
    numbers = {field.name for field in msgspec.structs.fields(RecommendSettings) if field.type in (int, float)}
    assert numbers == RANGES.keys()


def test_a_weight_of_an_event_is_bounded_and_0_takes_it_out() -> None:
    with pytest.raises(SettingsError, match=r"event_weights\['Product Viewed'\]: expected 0 to 100, got -1"):
        RecommendSettings(event_weights={"Product Viewed": -1.0})
    weights = RecommendSettings(event_weights={"Product Viewed": 0.0, "Video Watched": 2.0}).weights()
    assert "Product Viewed" not in weights
    assert (weights["Video Watched"], weights["Order Completed"]) == (2.0, 5.0)


def test_a_variant_changes_what_it_may_and_the_rest_is_not_ours() -> None:
    settings = RecommendSettings(mmr=0.9)
    varied = settings.vary({"trending_weight": 0.5, "explore": 1, "headline": "Hello", "window": 3})
    assert varied == RecommendSettings(mmr=0.9, trending_weight=0.5, explore=1)
    assert settings.vary({"headline": "Hello"}) is settings


@pytest.mark.parametrize("name", sorted(OVERRIDABLE))
def test_a_variant_of_the_wrong_type_or_out_of_range_is_refused(name) -> None:
    for value in ("much", None, 7 if name == "exclude_seen" else True):
        with pytest.raises(SettingsError, match=rf"recommend\.{name} of a variant: expected"):
            RecommendSettings().vary({name: value})
    if name != "exclude_seen":
        with pytest.raises(SettingsError, match=rf"recommend\.{name}: expected"):
            RecommendSettings().vary({name: -1})
