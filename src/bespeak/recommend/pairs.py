"""How often one item led to another: sparse weights, each item with a bounded number of others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int32]
Places = NDArray[np.int64]
Weights = NDArray[np.float64]

_EMPTY = -1
_SMALLEST = 8
_SPARE = 65_536


class Pairs:
    """A sparse matrix of weights from item to item: added to by many pairs at once, read by rows.

    A row is a table with open addressing in one pool that all rows share: a power of two of slots, at most three
    quarters of them in use, 12 bytes each. So a batch of pairs is found, added to and inserted by a few operations on
    arrays, whatever rows they are in, and a row is read as one slice.

    Weights that are multiples of one power of two add up exactly, in any order and grouping; then the state depends on
    the pairs alone, and not on how they were put into batches.

    Parameters
    ----------
    keep
        Targets that a cut leaves a row.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._targets: Numbers = np.full(_SPARE, _EMPTY, np.int32)
        self._weights: Weights = np.zeros(_SPARE)
        self._end = 1  # the first slot stays empty: it is the table of every row that has none
        self._rows = 0
        self._starts: Places = np.zeros(64, np.int64)
        self._masks: Places = np.zeros(64, np.int64)
        self._sizes: Places = np.zeros(64, np.int64)
        self._free: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return self._rows

    @property
    def sizes(self) -> Places:
        """How many targets each row has, shape (len(self),)."""
        return self._sizes[: self._rows]

    def grow(self, rows: int) -> None:
        """Have at least `rows` rows."""
        if rows > len(self._starts):
            more = np.zeros(max(rows - len(self._starts), len(self._starts)), np.int64)
            self._starts, self._masks, self._sizes = (
                np.concatenate([column, more]) for column in (self._starts, self._masks, self._sizes)
            )
        self._rows = max(self._rows, rows)

    def add(self, rows: Places, targets: Places, weights: Weights) -> None:
        """Add weights to pairs; a pair may come several times. All rows are below `len(self)`; shapes (n,)."""
        slots, there = self._find(rows, targets)
        if there.all():
            np.add.at(self._weights, slots, weights)
            return
        np.add.at(self._weights, slots[there], weights[there])
        new = ~there
        keys, inverse = np.unique((rows[new] << 32) | targets[new], return_inverse=True)
        sums = np.bincount(inverse, weights[new]).astype(np.float64, copy=False)
        self._insert(keys >> 32, keys & 0xFFFFFFFF, sums)

    def cut(self, discount: NDArray[np.float64]) -> None:
        """Leave each row with more than twice `keep` targets the `keep` largest by weight * discount[target].

        Of equal ones the lower targets stay.
        """
        long = np.flatnonzero(self.sizes > 2 * self._keep)
        if not len(long):
            return
        kept = [self._strongest(row, discount) for row in long.tolist()]
        rows = np.repeat(long, [len(targets) for targets, _ in kept])
        self._clear(long)
        self._sizes[long] = 0
        self._insert(rows, np.concatenate([part for part, _ in kept]), np.concatenate([part for _, part in kept]))

    def row(self, row: int) -> tuple[Places, Weights]:
        """Return the targets of a row, ascending, and their weights."""
        _, targets, weights = self._entries(np.array([row], np.int64))
        return targets, weights

    def gather(self, rows: list[int], factors: list[float]) -> tuple[Numbers, Weights]:
        """Return targets and weights of some rows, each row times its factor; a target may come several times.

        A target of -1 has the weight 0: an empty slot. Nothing at all when the rows are empty.
        """
        starts: list[int] = self._starts[rows].tolist()
        lengths: list[int] = (self._masks[rows] + 1).tolist()
        if not starts or not self._sizes[rows].any():
            return np.zeros(0, np.int32), np.zeros(0)
        slices = [slice(start, start + length) for start, length in zip(starts, lengths, strict=True)]
        weights = np.concatenate([self._weights[part] for part in slices])
        weights *= np.repeat(np.array(factors), lengths)
        return np.concatenate([self._targets[part] for part in slices]), weights

    def block(self, rows: list[int], targets: list[int]) -> NDArray[np.float64]:
        """Return the weights from some rows to some targets, 0 where there is no pair; shape (rows, targets)."""
        lines = np.repeat(np.array(rows, np.int64), len(targets))
        slots, there = self._find(lines, np.tile(np.array(targets, np.int64), len(rows)))
        return np.where(there, self._weights[slots], 0.0).reshape(len(rows), len(targets))

    def select(self, keep: Places, numbers: int) -> Pairs:
        """Return the pairs among the items `keep` (ascending), numbered anew from 0; `numbers` = items so far."""
        renumbered = np.full(numbers, -1, np.int64)
        renumbered[keep] = np.arange(len(keep))
        chosen = Pairs(self._keep)
        chosen.grow(len(keep))
        for some in _parts(keep, self._masks[keep] + 1, _SPARE):
            rows, targets, weights = self._entries(some)
            moved = renumbered[targets]
            stays = moved >= 0
            chosen._insert(renumbered[rows[stays]], moved[stays], weights[stays])
        return chosen

    def pieces(self, most: int) -> Iterator[tuple[Numbers, Numbers, Weights]]:
        """Yield the rows in order, with about `most` pairs at a time: targets a row, targets (ascending), weights."""
        for some in _parts(np.arange(self._rows), self.sizes, most):
            _, targets, weights = self._entries(some)
            yield self._sizes[some].astype(np.int32), targets.astype(np.int32), weights

    def restore(self, lengths: Numbers, targets: Numbers, weights: NDArray[np.floating]) -> None:
        """Append rows of those lengths, with distinct targets each.

        Raises
        ------
        ValueError
            The parts do not fit together.
        """
        if not len(targets) == len(weights) == int(lengths.sum()) or (len(targets) and targets.min() < 0):
            raise ValueError("the lengths of its parts contradict each other")
        first = self._rows
        self.grow(first + len(lengths))
        rows = np.repeat(np.arange(first, self._rows), lengths)
        self._insert(rows, targets.astype(np.int64), weights.astype(np.float64))

    def _find(self, rows: Places, targets: Places) -> tuple[Places, NDArray[np.bool_]]:
        """Return the slot of each pair, and whether it is there; where it is not, an empty slot."""
        bases, masks = self._starts[rows], self._masks[rows]
        places = _spread(targets) & masks
        slots = bases + places
        found = self._targets[slots]
        there = found == targets
        left = np.flatnonzero(~there & (found != _EMPTY))
        step = 0
        while len(left):
            step += 1
            places[left] = (places[left] + step) & masks[left]
            tried = bases[left] + places[left]
            slots[left] = tried
            found = self._targets[tried]
            hit = found == targets[left]
            there[left[hit]] = True
            left = left[~hit & (found != _EMPTY)]
        return slots, there

    def _insert(self, rows: Places, targets: Places, weights: Weights) -> None:
        """Insert distinct pairs that are not there; rows ascending."""
        if not len(rows):
            return
        firsts = np.flatnonzero(np.diff(rows, prepend=-1))
        touched = rows[firsts]
        sizes = self._sizes[touched] + np.diff(firsts, append=len(rows))
        full = sizes * 4 > (self._masks[touched] + 1) * 3
        if full.any():
            self._enlarge(touched[full], sizes[full])
        self._sizes[touched] = sizes
        self._place(rows, targets, weights)

    def _place(self, rows: Places, targets: Places, weights: Weights) -> None:
        """Write distinct pairs into free slots of tables that have room for them."""
        bases, masks = self._starts[rows], self._masks[rows]
        places = _spread(targets) & masks
        step = 0
        while len(targets):
            slots = bases + places
            free = np.flatnonzero(self._targets[slots] == _EMPTY)
            claimed, wanted = slots[free], targets[free]
            self._targets[claimed] = wanted
            won = free[self._targets[claimed] == wanted]
            self._weights[slots[won]] = weights[won]
            left = np.ones(len(targets), np.bool_)
            left[won] = False
            step += 1
            bases, masks, targets, weights = bases[left], masks[left], targets[left], weights[left]
            places = (places[left] + step) & masks

    def _enlarge(self, rows: Places, sizes: Places) -> None:
        """Give rows new tables, for `sizes` targets each, with what they held."""
        held = self._entries(rows)
        self._clear(rows)
        slots = np.maximum(_SMALLEST, 1 << np.ceil(np.log2(sizes * 4 / 3)).astype(np.int64)).tolist()
        self._starts[rows] = [self._room(size) for size in slots]
        self._masks[rows] = np.array(slots) - 1
        self._place(*held)

    def _room(self, slots: int) -> int:
        free = self._free.get(slots)
        if free:
            return free.pop()
        start = self._end
        self._end += slots
        if self._end > len(self._targets):
            held = len(self._targets)
            wanted = max(self._end, held + held // 8) + _SPARE
            self._targets.resize(wanted, refcheck=False)
            self._targets[held:] = _EMPTY
            self._weights.resize(wanted, refcheck=False)
        return start

    def _clear(self, rows: Places) -> None:
        """Take the tables of rows away."""
        starts: list[int] = self._starts[rows].tolist()
        lengths: list[int] = (self._masks[rows] + 1).tolist()
        for start, slots in zip(starts, lengths, strict=True):
            if start:
                self._targets[start : start + slots] = _EMPTY
                self._weights[start : start + slots] = 0.0
                self._free.setdefault(slots, []).append(start)
        self._starts[rows] = self._masks[rows] = 0

    def _entries(self, rows: Places) -> tuple[Places, Places, Weights]:
        """Return row, target and weight of every pair of some rows (ascending), ordered by row and target."""
        lengths = self._masks[rows] + 1
        ends = np.cumsum(lengths)
        slots = np.repeat(self._starts[rows] - (ends - lengths), lengths) + np.arange(int(ends[-1]) if len(ends) else 0)
        targets = self._targets[slots]
        there = targets != _EMPTY
        keys = (np.repeat(rows, lengths)[there] << 32) | targets[there]
        order = np.argsort(keys)
        keys = keys[order]
        return keys >> 32, keys & 0xFFFFFFFF, self._weights[slots[there][order]]

    def _strongest(self, row: int, discount: NDArray[np.float64]) -> tuple[Places, Weights]:
        targets, weights = self.row(row)
        worth = weights * discount[targets]
        least = np.partition(worth, len(worth) - self._keep)[len(worth) - self._keep]
        above = np.flatnonzero(worth > least)
        equal = np.flatnonzero(worth == least)[: self._keep - len(above)]
        kept = np.concatenate([above, equal])
        return targets[kept], weights[kept]


def _spread(targets: Places) -> Places:
    """Return hashes: the middle bits of a product with 2^32 / phi."""
    return (targets * 2_654_435_769) >> 12


def _parts(rows: Places, sizes: Places, most: int) -> Iterator[Places]:
    """Cut rows into runs of about `most` entries."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(rows):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield rows[start:stop]
        start = stop
