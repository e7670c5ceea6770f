"""Scores of several recommenders as one, weighted by how much a person's history can say."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from bespeak.recommend.scored import Scores
from bespeak.recommend.settings import RecommendSettings


def standardize(scores: Scores) -> Scores:
    """Return (scores - mean) / standard deviation; zeros where all are alike. Any scale and offset give the same.

    Examples
    --------
    >>> import numpy as np
    >>> standardize(np.array([0.0, 2.0])).tolist()
    [-1.0, 1.0]
    """
    size = max(1, len(scores))
    mean = float(scores.sum()) / size
    centred = scores - mean
    spread = math.sqrt(float(np.square(centred).sum()) / size)  # not @: BLAS would wake its threads for 20 us of work
    if spread <= 1e-12 * abs(mean):
        centred[:] = 0.0
    elif spread > 0:
        centred /= spread
    return centred


def blend_weights(sources: Iterable[str], n: int, settings: RecommendSettings) -> dict[str, float]:
    """Return the weight of each source for a history of `n` events; they add up to 1, or are all 0.

    Trending has 1 / (1 + n / 1.5), the others share the rest alike; `trending_weight` and `seqknn_weight` scale
    their own. What a source that is silent would have had goes to those that speak.

    References
    ----------
    Renda, Straccia, 2003. Web metasearch: rank vs. score based rank aggregation methods, section 2.

    Examples
    --------
    >>> blend_weights(["trending", "seqknn"], 3, RecommendSettings())["seqknn"]
    0.6666666666666667
    """
    names = list(sources)
    trending = 1.0 / (1.0 + n / 1.5)
    others = sum(name != "trending" for name in names)
    factors = {"trending": settings.trending_weight, "seqknn": settings.seqknn_weight}
    weights = {
        name: factors.get(name, 1.0) * (trending if name == "trending" else (1.0 - trending) / others) for name in names
    }
    total = sum(weights.values())
    return {name: weight / total if total > 0 else 0.0 for name, weight in weights.items()}
