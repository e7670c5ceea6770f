"""Proposals: who may be proposed, in what order, and where each came from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bespeak.catalog import Catalog, Item
from bespeak.profiles.profile import Recent
from bespeak.recommend import (
    NEWEST,
    Candidates,
    Interaction,
    Interactions,
    RecommendSettings,
    SeqKNN,
    Trending,
    arrange,
    blend_weights,
    materialize,
    propose,
    standardize,
)
from bespeak.recommend.propose import _best

VIEW = "Product Viewed"
LETTERS = "abcdefghijkl"
DEFAULT = RecommendSettings()


def history(*items: str) -> tuple[Recent, ...]:
    return tuple(Recent(place, f"m{place:03}", VIEW, item) for place, item in enumerate(items))


def taught() -> tuple[Trending, SeqKNN]:
    """People wander along the alphabet from `a`; the earlier letters are the more popular."""
    trending, seqknn = Trending(), SeqKNN()
    for end in range(2, len(LETTERS) + 1):
        for place in range(end):
            interaction = Interaction(LETTERS[place], VIEW, 0, tuple(LETTERS[:place]))
            trending.learn(Interactions.of([interaction]))
            seqknn.learn(Interactions.of([interaction]))
    return trending, seqknn


def paired() -> tuple[Trending, SeqKNN]:
    """Many look at `a`; three go from `e` to `f`."""
    trending, seqknn = Trending(), SeqKNN()
    for visit in ["a"] * 5 + ["ef"] * 3:
        for place, item in enumerate(visit):
            interaction = Interaction(item, VIEW, 0, tuple(visit[:place]))
            trending.learn(Interactions.of([interaction]))
            seqknn.learn(Interactions.of([interaction]))
    return trending, seqknn


MODELS = taught()
PAIRS = paired()


def ids(candidates: Candidates, catalog: Catalog) -> list[str]:
    return [catalog.ids[row] for row in candidates.rows]


@pytest.fixture
def catalog() -> Catalog:
    return Catalog(
        Item(id=item, created=place, categories=("vowels",) if item in "aei" else ())
        for place, item in enumerate(LETTERS)
    )


def ask(catalog: Catalog, *items: str, models=MODELS, options=DEFAULT, **more) -> Candidates:
    return propose(models, history(*items), catalog, at=0, settings=options, **more)


def test_nobodys_history_gives_what_is_trending(catalog) -> None:
    found = ask(catalog)
    assert ids(found, catalog) == list("bacdefghijkl"), "a and b tie: the newer one goes first"
    assert found.weights == {"trending": 1.0}


def test_a_cold_store_gives_the_newest_first_and_says_so(catalog) -> None:
    models = (Trending(), SeqKNN())
    found = ask(catalog, models=models)
    assert ids(found, catalog) == list(reversed(LETTERS))
    shown = materialize(
        arrange(catalog, found.rows, found.scores, 3, settings=DEFAULT), found, models, (), catalog, at=0
    )
    assert [(one.item, one.source, one.why) for one in shown] == [
        ("l", NEWEST, ()),
        ("k", NEWEST, ()),
        ("j", NEWEST, ()),
    ]


def test_what_nobody_speaks_for_comes_last_the_newest_first(catalog) -> None:
    catalog.put([Item(id="old", created=1), Item(id="new", created=10**6), Item(id="middle", created=100)])
    assert ids(ask(catalog), catalog)[-3:] == ["new", "middle", "old"]


def test_one_click_brings_what_follows_it(catalog) -> None:
    assert ids(ask(catalog, models=PAIRS), catalog)[0] == "a"
    found = ask(catalog, "e", models=PAIRS)
    assert ids(found, catalog)[0] == "f"
    placed = arrange(catalog, found.rows, found.scores, 1, settings=DEFAULT)
    (first,) = materialize(placed, found, PAIRS, history("e"), catalog, at=0)
    assert first.source == "seqknn"
    assert [(because.event, because.item, because.time) for because in first.why] == [(VIEW, "e", 0)]
    assert sum(first.sources.values()) == pytest.approx(first.score, abs=1e-6)


def test_scores_are_the_weighted_standard_scores_of_the_sources(catalog) -> None:
    found = ask(catalog, "c", "d")
    recent = history("c", "d")
    weights = blend_weights(["trending", "seqknn"], 2, DEFAULT)
    parts = {model.name: standardize(np.array(model.scores(recent, catalog, at=0))) for model in MODELS}
    whole = sum(weights[name] * part for name, part in parts.items())
    np.testing.assert_allclose(found.scores, whole[found.rows], atol=1e-8)
    for name, part in parts.items():
        np.testing.assert_allclose(found.sources[name], weights[name] * part[found.rows])
    assert (np.diff(found.scores) <= 0).all()


letters = st.sets(st.sampled_from(LETTERS))


@given(
    hidden=letters,
    sold_out=letters,
    removed=letters,
    excluded=letters,
    seen=st.lists(st.sampled_from(LETTERS), max_size=9),
)
def test_what_may_not_be_shown_is_never_proposed_and_everything_else_is(
    hidden, sold_out, removed, excluded, seen
) -> None:
    catalog = Catalog(Item(id=item, hidden=item in hidden, stock=0 if item in sold_out else None) for item in LETTERS)
    catalog.remove(removed)
    wanted = set(LETTERS) - hidden - sold_out - removed - excluded
    every = np.arange(catalog.rows)
    for allowed in (None, every, every[::-1]):
        found = ask(catalog, *seen, allowed=allowed, exclude=excluded)
        assert set(ids(found, catalog)) == wanted
        assert len(found.rows) == len(wanted)
    unseen = ask(catalog, *seen, options=RecommendSettings(exclude_seen=True), exclude=excluded)
    assert set(ids(unseen, catalog)) == wanted - set(seen)


def test_only_allowed_rows_are_proposed(catalog) -> None:
    found = ask(catalog, "b", allowed=catalog.category_rows("vowels"))
    assert set(ids(found, catalog)) == set("aei")
    assert len(ask(catalog, "b", allowed=catalog.category_rows("nothing")).rows) == 0


def test_an_empty_catalog_has_no_candidates() -> None:
    found = ask(Catalog(), "a")
    assert (len(found.rows), len(found.scores)) == (0, 0)


def test_there_are_at_most_as_many_candidates_as_are_set_and_exclusions_do_not_shrink_them() -> None:
    catalog = Catalog(Item(id=f"i{number}", created=number) for number in range(100))
    options = RecommendSettings(candidates=10)
    assert ids(ask(catalog, options=options), catalog) == [f"i{number}" for number in range(99, 89, -1)]
    barred = [f"i{number}" for number in range(95, 100)]
    assert ids(ask(catalog, options=options, exclude=barred), catalog) == [f"i{number}" for number in range(94, 84, -1)]


def test_a_variant_can_turn_a_source_off(catalog) -> None:
    off = ask(catalog, "e", options=DEFAULT.vary({"seqknn_weight": 0}))
    assert ids(off, catalog) == ids(ask(catalog), catalog)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 10, 300, 5_000, 20_000, 30_000]),
    st.sampled_from(["random", "sorted", "falling", "few", "alike"]),
)
@settings.get_profile("fewest")
def test_the_best_are_those_of_a_full_sort(seed, n, shape) -> None:
    """Also where the sample misleads: scores in order, or of few values."""
    scores = np.random.default_rng(seed).random(20_000)
    if shape == "sorted":
        scores.sort()
    elif shape == "falling":
        scores = np.sort(scores)[::-1]
    elif shape == "few":
        scores = np.floor(scores * 4)
    elif shape == "alike":
        scores[:] = 1.0
    best = _best(scores, n)
    assert len(set(best.tolist())) == min(n, len(scores))
    np.testing.assert_array_equal(scores[best], np.sort(scores)[::-1][:n])


def test_materialized_items_name_their_rules_and_pins(catalog) -> None:
    found = ask(catalog, "e", exclude=["l"], models=PAIRS)
    last, f = catalog.row("l"), catalog.row("f")
    placed = arrange(catalog, found.rows, found.scores, 3, settings=DEFAULT, pinned={last: 0})
    shown = materialize(
        placed,
        found,
        PAIRS,
        history("e"),
        catalog,
        at=0,
        rules={f: ["up", "down"], last: ["top"]},
        pinned_by={last: "top"},
    )
    assert [(one.item, one.source, one.pinned, one.rules) for one in shown[:2]] == [
        ("l", "rule:top", 0, ("top",)),
        ("f", "seqknn", None, ("up", "down")),
    ]
    assert shown[0].sources == {}
    silent = materialize(placed, found, PAIRS, history("e"), catalog, at=0, explain=False)
    assert {one.why for one in silent} == {()}
