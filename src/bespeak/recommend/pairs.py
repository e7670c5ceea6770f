"""How often one item led to another: sparse weights, each item with a bounded number of others."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int32]
Weights = NDArray[np.float32]

LOOSE_MAX = 128
"""Additions to a row that wait in a dict before they are merged into its arrays."""

_NO_NUMBERS: Numbers = np.zeros(0, np.int32)
_NO_WEIGHTS: Weights = np.zeros(0, np.float32)


class Packed(msgspec.Struct, frozen=True, array_like=True):
    """A dump of pairs: settled rows and loose additions, each as lengths, targets and weights in bytes."""

    settled: tuple[bytes, bytes, bytes]
    loose: tuple[bytes, bytes, bytes]


class Pairs:
    """A sparse matrix of weights from item to item, added to one pair at a time and read by rows.

    A row is a sorted array of targets with their weights (8 bytes each), and a dict of what was added since;
    the dict is merged when it has more than `LOOSE_MAX` targets. A row that then has more than twice `keep`
    targets is cut back to the `keep` largest by weight * discount[target].

    Parameters
    ----------
    keep
        Targets that a cut leaves a row.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._targets: list[Numbers] = []
        self._weights: list[Weights] = []
        self.loose: list[dict[int, float]] = []

    def __len__(self) -> int:
        return len(self.loose)

    def grow(self, rows: int) -> None:
        """Have at least `rows` rows."""
        for _ in range(len(self.loose), rows):
            self._targets.append(_NO_NUMBERS)
            self._weights.append(_NO_WEIGHTS)
            self.loose.append({})

    def size(self, row: int) -> int:
        """Return how many targets a row holds at most (one may be both settled and loose)."""
        return len(self._targets[row]) + len(self.loose[row])

    def block(self, rows: list[int], targets: list[int]) -> NDArray[np.float64]:
        """Return the weights from some rows to some targets, 0 where there is no pair; shape (rows, targets)."""
        parts = [self._targets[row] for row in rows]
        # One sorted array of row and target in one number, searched once for every pair that is asked for.
        lines = np.arange(len(rows), dtype=np.int64) << 32
        keys = np.concatenate([*parts, _NO_NUMBERS]) + np.repeat(lines, [len(part) for part in parts])
        asked = lines[:, None] + np.array(targets, np.int64)
        found = np.zeros(asked.shape)
        if len(keys):
            places = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
            there = keys[places] == asked
            weights = np.concatenate([self._weights[row] for row in rows])
            found[there] = weights[places[there]]
        found += [[loose.get(target, 0.0) for target in targets] for loose in (self.loose[row] for row in rows)]
        return found

    def row(self, row: int) -> dict[int, float]:
        """Return all pairs of a row, by target."""
        pairs: dict[int, float] = dict(zip(self._targets[row].tolist(), self._weights[row].tolist(), strict=True))
        for target, weight in self.loose[row].items():
            pairs[target] = pairs.get(target, 0.0) + weight
        return pairs

    def gather(self, rows: list[int], factors: list[float]) -> tuple[Numbers, NDArray[np.float64]]:
        """Return targets and weights of some rows, each row times its factor; a target may come several times."""
        targets = [self._targets[row] for row in rows]
        weights: list[NDArray[np.float32] | NDArray[np.float64]] = [self._weights[row] for row in rows]
        lengths = [len(part) for part in targets]
        for row in rows:
            loose = self.loose[row]
            lengths.append(len(loose))
            targets.append(np.fromiter(loose, np.int32, len(loose)))
            weights.append(np.fromiter(loose.values(), np.float64, len(loose)))
        scale: NDArray[np.float64] = np.repeat(np.array(factors + factors), lengths)
        scale *= np.concatenate(weights)
        return np.concatenate(targets), scale

    def settle(self, row: int, discount: NDArray[np.float64]) -> None:
        """Merge what was added to a row, and cut the row back when it is too long.

        `discount` has one factor for every item: what a weight is worth to a target, for the cut.
        """
        loose = self.loose[row]
        extra = np.fromiter(loose, np.int32, len(loose))
        added = np.fromiter(loose.values(), np.float64, len(loose)).astype(np.float32)
        targets, weights = self._targets[row], self._weights[row]
        if len(targets):
            places = np.searchsorted(targets, extra)
            places[places == len(targets)] = 0
            there = targets[places] == extra
            weights[places[there]] += added[there]
            extra, added = extra[~there], added[~there]
        targets, weights = np.concatenate([targets, extra]), np.concatenate([weights, added])
        self.loose[row] = {}
        self.replace(row, targets, weights, discount)

    def replace(self, row: int, targets: Numbers, weights: Weights, discount: NDArray[np.float64]) -> None:
        """Set a row's pairs (each target once), cut back when too long."""
        if len(targets) > 2 * self._keep:
            worth = weights * discount[targets]
            best = np.argpartition(worth, len(worth) - self._keep)[-self._keep :]
            targets, weights = targets[best], weights[best]
        order = np.argsort(targets)
        self._targets[row], self._weights[row] = targets[order], weights[order]

    def select(self, keep: NDArray[np.intp], numbers: int) -> Pairs:
        """Return the pairs among the items `keep` (ascending), numbered anew from 0; `numbers` = items so far."""
        renumbered = np.full(numbers, -1, np.int32)
        renumbered[keep] = np.arange(len(keep), dtype=np.int32)
        chosen = Pairs(self._keep)
        kept: list[int] = keep.tolist()
        for row in kept:
            targets = renumbered[self._targets[row]]
            chosen._targets.append(targets[targets >= 0])
            chosen._weights.append(self._weights[row][targets >= 0])
            moved = {int(renumbered[target]): weight for target, weight in self.loose[row].items()}
            moved.pop(-1, None)
            chosen.loose.append(moved)
        return chosen

    def pack(self) -> Packed:
        """Return everything as bytes."""
        keys = (target for loose in self.loose for target in loose)
        values = (weight for loose in self.loose for weight in loose.values())
        loose_lengths = _lengths(self.loose)
        total = int(loose_lengths.sum())
        settled = (
            _lengths(self._targets).tobytes(),
            np.concatenate([_NO_NUMBERS, *self._targets]).tobytes(),
            np.concatenate([_NO_WEIGHTS, *self._weights]).tobytes(),
        )
        loose = (
            loose_lengths.tobytes(),
            np.fromiter(keys, np.int32, total).tobytes(),
            np.fromiter(values, np.float64, total).tobytes(),
        )
        return Packed(settled, loose)

    def unpack(self, packed: Packed) -> None:
        """Replace everything by what `pack` gave. Raises ValueError when the parts do not fit together."""
        lengths = np.frombuffer(packed.settled[0], np.int32)
        targets = np.frombuffer(packed.settled[1], np.int32)
        weights = np.frombuffer(packed.settled[2], np.float32)
        loose_lengths = np.frombuffer(packed.loose[0], np.int32)
        loose_targets: list[int] = np.frombuffer(packed.loose[1], np.int32).tolist()
        loose_weights: list[float] = np.frombuffer(packed.loose[2], np.float64).tolist()
        fits = len(targets) == len(weights) == lengths.sum() and len(lengths) == len(loose_lengths)
        if not fits or not len(loose_targets) == len(loose_weights) == loose_lengths.sum():
            raise ValueError("the lengths of its parts contradict each other")
        ends: list[int] = np.cumsum(lengths).tolist()
        starts = [0, *ends[:-1]]
        self._targets = [targets[a:b].copy() for a, b in zip(starts, ends, strict=True)] if ends else []
        self._weights = [weights[a:b].copy() for a, b in zip(starts, ends, strict=True)] if ends else []
        pairs = iter(zip(loose_targets, loose_weights, strict=True))
        self.loose = [dict(next(pairs) for _ in range(length)) for length in loose_lengths.tolist()]


def _lengths(parts: Iterable[Numbers] | Iterable[dict[int, float]]) -> Numbers:
    return np.array([len(part) for part in parts], np.int32)
