"""The final order: pins, variety, and the place to learn from."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.catalog import Catalog, Item
from bespeak.errors import InvalidInput
from bespeak.recommend import Placed, RecommendSettings, arrange

PLAIN = RecommendSettings(mmr=1.0)
SHOP = Catalog(
    Item(id=f"i{row}", categories=(("shoes", "hats", "socks")[row % 3],), tags=(f"t{row % 5}",)) for row in range(30)
)
SHOP.put([Item(id="hidden", hidden=True)])


def order(n: int, *, scores=None, options=PLAIN, catalog=SHOP, rows=None, **more) -> tuple[Placed, ...]:
    rows = np.arange(30) if rows is None else np.array(rows, np.intp)
    scores = np.linspace(3, 0, len(rows)) if scores is None else np.array(scores, float)
    return arrange(catalog, rows, scores, n, settings=options, **more)


def rows_of(placed: tuple[Placed, ...]) -> list[int]:
    return [one.row for one in placed]


def test_without_variety_it_is_the_order_of_the_scores() -> None:
    assert rows_of(order(3, scores=[1, 3, 2], rows=[7, 8, 9])) == [8, 9, 7]
    assert rows_of(order(0)) == []
    assert rows_of(order(5, rows=[])) == []


def test_variety_by_a_worked_case() -> None:
    """Relevance 1, .9, .8, 0; the first two are alike (1), the others like nothing.

    After a: b has .8 x .9 - .2 = .52, c .8 x .8 = .64. So a, c, then b (.52), then d (0).
    """
    twins = Catalog(
        [Item(id="a", tags=("x",)), Item(id="b", tags=("x",)), Item(id="c", tags=("y",)), Item(id="d", tags=("z",))]
    )
    placed = order(4, catalog=twins, rows=[0, 1, 2, 3], scores=[1, 0.9, 0.8, 0], options=RecommendSettings(mmr=0.8))
    assert rows_of(placed) == [0, 2, 1, 3]
    assert [one.score for one in placed] == [1, 0.8, 0.9, 0]


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sampled_from([0.0, 0.3, 0.8, 0.95]))
def test_variety_is_the_greedy_choice_of_the_definition(seed, n, mmr) -> None:
    rng = np.random.default_rng(seed)
    rows, scores = rng.permutation(30)[:20], rng.normal(size=20)
    relevance = (scores - scores.min()) / (scores.max() - scores.min())
    picks: list[int] = []
    for place in rows_of(order(n, rows=rows, scores=scores, options=RecommendSettings(mmr=mmr))):
        worth = {
            row: mmr * relevance[at]
            - (1 - mmr) * max((SHOP.attributes.similarity(int(row), one) for one in picks), default=0)
            for at, row in enumerate(rows.tolist())
            if row not in picks
        }
        assert worth[place] == pytest.approx(max(worth.values()), abs=1e-6)
        picks.append(place)


pins = st.dictionaries(st.integers(0, 29), st.integers(0, 9), max_size=6).filter(
    lambda pinned: len(set(pinned.values())) == len(pinned)
)


@given(pins, st.integers(0, 12), st.sampled_from([1.0, 0.8]), st.integers(0, 30))
def test_pins_stand_exactly_where_they_are_pinned(pinned, n, mmr, candidates) -> None:
    placed = order(n, rows=list(range(candidates)), options=RecommendSettings(mmr=mmr), pinned=pinned)
    rows = rows_of(placed)
    assert len(rows) == len(set(rows)) == min(n, len(set(range(candidates)) | {r for r, p in pinned.items() if p < n}))
    for row, place in pinned.items():
        if place < len(rows) and len(rows) == n:
            assert rows[place] == row
            assert placed[place].pinned == place
        assert (row in rows) or place >= n


def test_a_pin_with_too_few_items_before_it_moves_up() -> None:
    assert rows_of(order(10, rows=[1, 2], pinned={7: 6, 8: 5})) == [1, 2, 8, 7]


def test_of_two_pins_on_one_place_the_later_one_takes_the_next() -> None:
    assert rows_of(order(4, pinned={9: 1, 8: 1, 7: 2})) == [0, 9, 8, 7]


def test_a_pinned_item_that_may_not_be_shown_is_not() -> None:
    assert rows_of(order(2, pinned={SHOP.row("hidden"): 0})) == [0, 1]


def test_a_pinned_candidate_keeps_its_score() -> None:
    placed = order(2, rows=[4, 5], scores=[2, 1], pinned={5: 0, 9: 1})
    assert [(one.row, one.score, one.pinned) for one in placed] == [(5, 1, 0), (9, 0, 1)]


def test_variety_counts_what_is_pinned() -> None:
    """a is best; with its twin c pinned it gives way to b."""
    twins = Catalog(
        [Item(id="a", tags=("x",)), Item(id="b", tags=("y",)), Item(id="c", tags=("x",)), Item(id="d", tags=("z",))]
    )
    options = RecommendSettings(mmr=0.8)
    alone = order(1, catalog=twins, rows=[0, 1, 3], scores=[1, 0.9, 0], options=options)
    beside = order(2, catalog=twins, rows=[0, 1, 3], scores=[1, 0.9, 0], options=options, pinned={2: 0})
    assert (rows_of(alone), rows_of(beside)) == ([0], [2, 1])


def test_exploring_fills_the_last_free_place_with_the_stated_propensities() -> None:
    """4 candidates, 2 places, e = .4: m = 3 are left for the last place; the best 1 - .4 + .4 / 3, others .4 / 3."""
    options, rng = RecommendSettings(mmr=1.0, explore=0.4), Random(1)
    seen: Counter[int] = Counter()
    for _ in range(6_000):
        first, last = order(2, rows=[0, 1, 2, 3], options=options, rng=rng)
        assert (first.row, first.propensity, first.explored) == (0, 1.0, False)
        assert last.propensity == pytest.approx(0.6 + 0.4 / 3 if last.row == 1 else 0.4 / 3)
        assert last.explored or last.row == 1
        seen[last.row] += 1
    for row, share in ((1, 0.6 + 0.4 / 3), (2, 0.4 / 3), (3, 0.4 / 3)):
        assert seen[row] / 6_000 == pytest.approx(share, abs=4 * 0.5 / 6_000**0.5)


def test_exploring_leaves_pins_alone_and_is_off_without_a_free_place() -> None:
    options = RecommendSettings(explore=1.0)
    assert rows_of(order(2, pinned={5: 0, 6: 1}, options=options)) == [5, 6]
    assert {order(2, pinned={5: 1}, options=options, rng=Random(seed))[1].row for seed in range(20)} == {5}


def test_exploring_without_a_random_generator_is_an_error() -> None:
    with pytest.raises(InvalidInput, match="pass rng="):
        order(2, options=RecommendSettings(explore=0.1))


def test_not_exploring_is_certain() -> None:
    assert {one.propensity for one in order(10)} == {1.0}
