"""How good a ranking is, by what people turned to next or by tastes that are known.

Every function takes a ranking, best first, each item once. No sampled candidates anywhere: a target is to be ranked
among all items (sampled metrics flatter, and they reorder the models).

References
----------
Järvelin, Kekäläinen, 2002. Cumulated gain-based evaluation of IR techniques (NDCG).
Krichene, Rendle, 2020. On sampled metrics for item recommendation (why nothing is sampled).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from bespeak.recommend.scored import Scores

ItemT = TypeVar("ItemT", bound=Hashable)


def ndcg_at(ranked: Sequence[ItemT], targets: Collection[ItemT], k: int) -> float:
    """Return the sum of 1 / log2(rank + 1) over hits in the first `k`, by that of a perfect ranking; 0 without targets.

    Examples
    --------
    >>> ndcg_at(["a", "b", "c"], {"b"}, 10)
    0.6309297535714575
    """
    wanted = set(targets)
    return graded_ndcg_at(ranked, dict.fromkeys(wanted, 1.0), k)


def graded_ndcg_at(ranked: Sequence[ItemT], gains: Mapping[ItemT, float], k: int) -> float:
    """Return the sum of gain / log2(rank + 1) over the first `k`, by that of the best order of `gains`.

    Gains are 0 or more, taken as they are (linear, not 2^gain - 1); an item without one has 0. 0 when none has any.
    """
    found = sum(gains.get(item, 0.0) / math.log2(rank + 1) for rank, item in enumerate(ranked[:k], 1))
    best = sum(gain / math.log2(rank + 1) for rank, gain in enumerate(sorted(gains.values(), reverse=True)[:k], 1))
    return found / best if best > 0 else 0.0


def recall_at(ranked: Sequence[ItemT], targets: Collection[ItemT], k: int) -> float:
    """Return the hits in the first `k` by the hits that were possible: min(targets, k); 0 without targets."""
    wanted = set(targets)
    possible = min(len(wanted), k)
    return sum(item in wanted for item in ranked[:k]) / possible if possible else 0.0


def hit_rate(ranked: Sequence[ItemT], targets: Collection[ItemT], k: int) -> float:
    """Return 1 when any of the first `k` is a target, else 0; its mean over people is the hit rate."""
    wanted = set(targets)
    return float(any(item in wanted for item in ranked[:k]))


def middle_rank(scores: Scores, target: int) -> float:
    """Return the rank (1 is best) of a row by its score, equal scores sharing their middle rank.

    Examples
    --------
    >>> import numpy as np
    >>> middle_rank(np.array([3.0, 1.0, 1.0, 0.0]), 2)
    2.5
    """
    score = scores[target]
    above = int((scores > score).sum())
    alike = int((scores == score).sum())
    return 1.0 + above + (alike - 1) / 2.0


def mrr(ranks: Iterable[float]) -> float:
    """Return the mean of 1 / rank, one rank a person: that of the best target in the full ranking; 0 for nobody."""
    parts = [1.0 / rank for rank in ranks]
    return sum(parts) / len(parts) if parts else 0.0


def coverage(rankings: Iterable[Sequence[ItemT]], items: int, k: int) -> float:
    """Return the share of the catalog's `items` that are among the first `k` of anybody's ranking."""
    shown = {item for ranked in rankings for item in ranked[:k]}
    return len(shown) / items if items else 0.0
