"""How figures are spread: exact of few, within the stated error of many, and the same whenever it is worked out."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.computed import Spread, quintiles
from bespeak.computed.spread import KEPT, PARTS, SORTED_AT_ONCE, TAKEN_AT_ONCE

MANY = 12_000


def spread_of(figures) -> Spread:
    spread = Spread()
    for figure in figures:
        spread.add(float(figure))
    return spread


def exact(figures) -> list[float]:
    ordered = sorted(map(float, figures))
    return [ordered[-(-part * len(ordered) // PARTS) - 1] for part in range(1, PARTS)]


def misplaced(figures, borders) -> float:
    """Return by which part of all figures the border lies off that is farthest off its fifth."""
    ordered = np.sort(np.asarray(figures, float))
    off = [Fraction(0)]
    for part, border in enumerate(borders, start=1):
        wanted = Fraction(part, PARTS)
        at_most = Fraction(int(np.searchsorted(ordered, border, side="right")), len(ordered))
        below = Fraction(int(np.searchsorted(ordered, border, side="left")), len(ordered))
        off += [wanted - at_most, below - wanted]
    return float(max(off))


RNG = np.random.default_rng(20261122)
SHAPES = {
    "even": RNG.random(MANY),
    "ascending": np.arange(MANY),
    "descending": np.arange(MANY)[::-1],
    "a few large ones": RNG.lognormal(3, 2, MANY),
    "mostly equal": RNG.geometric(0.6, MANY),
    "below zero": RNG.normal(-5, 100, MANY),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_of_many_figures_each_border_lies_within_the_stated_error(shape):
    figures = SHAPES[shape]
    spread = spread_of(figures)
    assert (spread.figures, 0.0005 < spread.rank_error < 0.001) == (MANY, True)
    borders = spread.quintiles()
    assert list(borders) == sorted(borders)
    assert set(borders) <= set(figures.astype(float).tolist())
    assert misplaced(figures, borders) <= spread.rank_error


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 11, 101, KEPT - 1, KEPT])
def test_of_as_many_as_are_kept_it_is_exact(count):
    figures = np.random.default_rng(count).normal(0, 1, count)
    spread = spread_of(figures)
    assert spread.rank_error == 0.0
    assert list(spread.quintiles()) == exact(figures)
    spread.add(0.0)
    assert (spread.rank_error > 0) is (count == KEPT)


@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=50))
def test_of_any_few_figures_the_borders_are_those_of_plain_counting(figures):
    assert list(quintiles(figures)) == exact(figures)


def test_the_same_figures_leave_the_same_bytes_in_any_order():
    figures = SHAPES["a few large ones"]
    shuffled = np.random.default_rng(7).permutation(figures)
    one, other = spread_of(figures), spread_of(shuffled)
    assert one.to_bytes() == other.to_bytes()
    assert one.quintiles() == other.quintiles()
    assert one.to_bytes() != spread_of(figures[1:]).to_bytes()


def test_taken_in_in_steps_it_comes_to_the_same():
    figures = SHAPES["even"]
    one, other = spread_of(figures), spread_of(figures)
    steps = sum(1 for _ in other.take_in())
    assert steps == -(-MANY // TAKEN_AT_ONCE)
    assert one.to_bytes() == other.to_bytes()


def test_what_waits_is_bounded_however_many_there_are():
    figures = np.random.default_rng(3).random(SORTED_AT_ONCE + 2)
    spread = Spread()
    for figure in figures:
        spread.add(float(figure))
        assert len(spread._waiting) <= SORTED_AT_ONCE
    assert spread.figures == len(figures)
    assert misplaced(figures, spread.quintiles()) <= spread.rank_error


@pytest.mark.parametrize("shape", SHAPES)
def test_parts_merged_are_within_the_error_of_the_whole(shape):
    figures = SHAPES[shape]
    whole = Spread()
    for part in np.array_split(figures, 7):
        whole.merge(spread_of(part))
    assert whole.figures == MANY
    assert misplaced(figures, whole.quintiles()) <= whole.rank_error
    again = Spread()
    for part in np.array_split(figures, 7):
        again.merge(spread_of(part))
    assert again.to_bytes() == whole.to_bytes()


def test_few_merged_are_exact_and_the_other_stays_as_it_was():
    one, other = spread_of(range(0, 100, 2)), spread_of(range(1, 100, 2))
    before = other.to_bytes()
    one.merge(other)
    assert (list(one.quintiles()), one.rank_error) == (exact(range(100)), 0.0)
    assert other.to_bytes() == before
