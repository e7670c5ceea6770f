"""The table of pairs against a plain dictionary, and its bounds."""

from __future__ import annotations

import random
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.recommend.pairs import Pairs

triples = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 400), st.integers(1, 1_000)), max_size=300)


def added(pairs: Pairs, told, *, rows: int = 31) -> Pairs:
    pairs.grow(rows)
    columns = [np.array(column, np.int64) for column in zip(*told, strict=True)] or [np.zeros(0, np.int64)] * 3
    pairs.add(columns[0], columns[1], columns[2] / 1_024)
    return pairs


def contents(pairs: Pairs) -> dict[tuple[int, int], float]:
    found = {}
    for row in range(len(pairs)):
        targets, weights = pairs.row(row)
        assert targets.tolist() == sorted(set(targets.tolist()))
        found |= {(row, target): weight for target, weight in zip(targets.tolist(), weights.tolist(), strict=True)}
    return found


def summed(told) -> dict[tuple[int, int], float]:
    sums: dict[tuple[int, int], float] = defaultdict(float)
    for row, target, weight in told:
        sums[row, target] += weight / 1_024
    return sums


@given(st.lists(triples, max_size=6))
def test_the_sums_are_those_of_a_dictionary_in_whatever_batches(batches) -> None:
    pairs, whole = Pairs(5_000), Pairs(5_000)
    everything = [one for batch in batches for one in batch]
    for batch in batches:
        added(pairs, batch)
    added(whole, everything)
    assert contents(pairs) == contents(whole) == summed(everything)
    assert int(pairs.sizes.sum()) == len(summed(everything))


@given(triples, st.lists(st.integers(0, 30), min_size=1, max_size=5, unique=True))
def test_a_row_is_gathered_with_its_factor_and_empty_slots_weigh_nothing(told, rows) -> None:
    pairs = added(Pairs(5_000), told)
    targets, weights = pairs.gather(rows, [2.0] * len(rows))
    assert not weights[targets < 0].any()
    found = np.bincount(targets[targets >= 0], weights[targets >= 0], minlength=401)
    wanted = np.zeros(401)
    for (row, target), weight in summed(told).items():
        if row in rows:
            wanted[target] += 2 * weight
    np.testing.assert_array_equal(found, wanted)


@given(triples)
def test_a_block_holds_zero_where_there_is_no_pair(told) -> None:
    pairs, sums = added(Pairs(5_000), told), summed(told)
    targets = [0, 7, 400]
    wanted = [[sums.get((row, target), 0.0) for target in targets] for row in (3, 4, 3)]
    assert pairs.block([3, 4, 3], targets).tolist() == wanted


@given(triples, st.integers(1, 200))
def test_what_is_restored_from_its_pieces_is_the_same(told, most) -> None:
    pairs, again = added(Pairs(5_000), told), Pairs(5_000)
    pieces = list(pairs.pieces(most))
    for lengths, targets, weights in pieces:
        again.restore(lengths, targets, weights)
    assert contents(again) == contents(pairs)
    assert max(len(targets) for _, targets, _ in pieces) <= max(most, int(pairs.sizes.max()))


def test_a_cut_keeps_the_worthiest_and_of_equals_the_lower_targets() -> None:
    pairs = Pairs(10)
    pairs.grow(100)
    discount = np.ones(100)
    discount[50:] = 10.0
    added(pairs, [(0, target, 1_024) for target in range(21)])
    added(pairs, [(1, target, 1_024 * (1 + target % 3)) for target in range(60)])
    added(pairs, [(2, target, 1_024) for target in range(20)])
    pairs.cut(discount)
    assert pairs.row(0)[0].tolist() == list(range(10))
    assert pairs.row(1)[0].tolist() == list(range(50, 60))
    assert pairs.row(2)[0].tolist() == list(range(20)), "twice as many as are kept are no reason to cut"
    added(pairs, [(0, 99, 5)])
    assert pairs.row(0)[1].tolist() == [1.0] * 10 + [5 / 1_024]


def test_the_room_of_rows_that_are_cut_is_used_again() -> None:
    rng, pairs = random.Random(1), Pairs(10)
    pairs.grow(50)
    for _ in range(300):
        added(pairs, [(rng.randrange(50), rng.randrange(1_000), 1) for _ in range(200)], rows=50)
        pairs.cut(np.ones(1_000))
    assert pairs.sizes.max() <= 20
    assert pairs._end < 50 * 64 * 4


def test_lengths_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="contradict"):
        Pairs(10).restore(np.array([2], np.int32), np.array([1], np.int32), np.array([1.0]))


def test_a_selection_has_the_pairs_among_what_is_kept_under_new_numbers() -> None:
    told = [(row, target, 1 + row * target) for row in range(31) for target in range(31) if row != target]
    pairs = added(Pairs(5_000), told)
    keep = np.arange(0, 31, 3)
    chosen = contents(pairs.select(keep, 31))
    assert chosen == {(a, b): (1 + 9 * a * b) / 1_024 for a in range(11) for b in range(11) if a != b}
