"""Trending against sums worked out by hand, and against the definition."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.catalog import Catalog, Item
from bespeak.clock import DAY
from bespeak.recommend import Interaction, Interactions, RecommendSettings, Trending

START = 1_700_000_000_000_000
events = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from(["Product Viewed", "Product Added", "Order Completed", "Page Viewed"]),
        st.integers(-400, 4_000),
    ),
    max_size=30,
)
WEIGHTS = {"Product Viewed": 1.0, "Product Added": 3.0, "Order Completed": 5.0}


def learn(trending: Trending, *told: tuple[str, str, float]) -> Trending:
    for item, name, day in told:
        trending.learn(Interactions.of([Interaction(item, name, START + round(day * DAY), ())]))
    return trending


def test_an_event_loses_half_its_weight_in_a_half_life() -> None:
    trending = learn(Trending(), ("a", "Product Viewed", 0), ("b", "Product Added", 0))
    assert trending.count("a", at=START) == 1
    assert trending.count("a", at=START + 30 * DAY) == 0.5
    assert trending.count("b", at=START + 60 * DAY) == 0.75


@given(events, st.integers(1, 100))
def test_counts_are_the_faded_sums_whatever_the_order_and_the_landmarks(told, halflife) -> None:
    """Days up to 4,000 with half-lives from 1 day pass an exponent of 50 many times."""
    settings = RecommendSettings(halflife_days=halflife)
    trending = learn(Trending(settings, weights=WEIGHTS), *told)
    shuffled = learn(Trending(settings, weights=WEIGHTS), *random.Random(1).sample(told, len(told)))
    at = START + 4_000 * DAY
    for item in "abc":
        wanted = sum(
            WEIGHTS.get(name, 0.0) * 0.5 ** ((4_000 - day) / halflife) for one, name, day in told if one == item
        )
        assert trending.count(item, at=at) == pytest.approx(wanted, rel=1e-9, abs=1e-30)
        assert shuffled.count(item, at=at) == pytest.approx(wanted, rel=1e-9, abs=1e-30)


@given(events)
def test_scores_are_the_counts_up_to_a_factor_also_as_items_come_and_go(told) -> None:
    catalog, trending = Catalog([Item(id="b")]), Trending(weights=WEIGHTS)
    for place, one in enumerate(told):
        learn(trending, one)
        trending.scores((), catalog, at=0)
        if place == 4:
            catalog.put([Item(id="a"), Item(id="z")])
    scores = trending.scores((), catalog, at=0)
    counts = np.array([trending.count(item_id, at=START) for item_id in catalog.ids])
    if scores is None:
        assert not counts.any()
    else:
        np.testing.assert_allclose(scores / scores.max(), counts / counts.max(), rtol=1e-9)


def test_an_item_that_enters_the_catalog_brings_what_was_counted_before() -> None:
    trending = learn(Trending(), ("late", "Product Viewed", 0))
    catalog = Catalog([Item(id="a")])
    assert trending.scores((), catalog, at=START) is None
    catalog.put([Item(id="late")])
    scores = trending.scores((), catalog, at=START)
    assert scores is not None
    assert scores.tolist() == [0.0, 1.0]


def test_weights_are_those_of_the_settings_over_the_defaults() -> None:
    trending = Trending(RecommendSettings(event_weights={"Video Watched": 2.5, "Product Viewed": 0.0}))
    learn(trending, ("a", "Video Watched", 0), ("b", "Product Viewed", 0), ("c", "Order Completed", 0))
    assert [trending.count(item, at=START) for item in "abc"] == [2.5, 0, 5]


def test_the_items_known_are_bounded_and_the_least_trending_are_forgotten() -> None:
    trending = Trending(RecommendSettings(items_max=100))
    for number in range(1_000):
        learn(trending, ("hit", "Product Viewed", 0), (f"i{number}", "Product Viewed", 0))
        assert len(trending._known) <= 101
    assert trending.count("hit", at=START) == 1_000
    assert trending.count("i999", at=START) == 1


def test_a_state_loaded_under_another_half_life_fades_by_the_new_one() -> None:
    told = ("a", "Product Viewed", 300), ("b", "Product Viewed", 0)
    monthly = learn(Trending(), *told)
    weekly = Trending(RecommendSettings(halflife_days=7))
    weekly.load(monthly.dump())
    newest = START + 300 * DAY
    assert weekly.count("a", at=newest) == pytest.approx(1)
    assert weekly.count("b", at=newest) == pytest.approx(2**-10)
    assert weekly.count("a", at=newest + 7 * DAY) == pytest.approx(0.5)
