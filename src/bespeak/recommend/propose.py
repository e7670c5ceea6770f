"""The few hundred items worth a closer look, out of all that may be shown."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from bespeak.catalog import Catalog
from bespeak.clock import Instant
from bespeak.profiles.profile import Recent
from bespeak.recommend.blend import blend_weights, standardize
from bespeak.recommend.scored import Recommender, Scores
from bespeak.recommend.settings import RecommendSettings

NEWEST = "newest"
"""Source of an item that no recommender speaks for: among those, the newest comes first."""

_TIE = 1e-9
"""What being the newest adds to a score: it orders ties, and nothing else."""

_SAMPLE = 4_096


class Candidates(msgspec.Struct, frozen=True):
    """What was proposed, best first.

    Parameters
    ----------
    rows
        Rows of the catalog, each once, shape (candidates,).
    scores
        Blended scores, shape (candidates,), falling.
    sources
        Weighted, standardised score by recommender, each of shape (candidates,); they add up to `scores`
        (but for the order of ties).
    weights
        The blend's weight of each recommender that had something to say.
    """

    rows: NDArray[np.intp]
    scores: Scores
    sources: Mapping[str, Scores]
    weights: Mapping[str, float]


def propose(
    recommenders: Sequence[Recommender],
    history: tuple[Recent, ...],
    catalog: Catalog,
    *,
    at: Instant,
    settings: RecommendSettings,
    allowed: NDArray[np.intp] | None = None,
    exclude: Collection[str] = (),
) -> Candidates:
    """Blend what the recommenders say and return the best `settings.candidates` items.

    Parameters
    ----------
    history
        The person's recent events, oldest first; () for somebody unknown, who gets what is trending, and the
        newest items where nothing is.
    allowed
        Rows to choose from, each once; default: everything showable. What is not showable is left out anyway.
    exclude
        Item ids to leave out: bought, hidden by the person, on the page already.
    """
    rows = catalog.showable() if allowed is None else allowed
    whole = len(rows) == catalog.rows and allowed is None
    parts: dict[str, Scores] = {}
    for recommender in recommenders:
        scores = recommender.scores(history, catalog, at=at)
        if scores is not None:
            parts[recommender.name] = standardize(scores if whole else scores[rows])
    weights = blend_weights(parts, _acts(history, settings), settings)
    newest = catalog.newest()
    total = (newest if whole else newest[rows]) * _TIE
    for name, part in parts.items():
        np.multiply(part, weights[name], out=part)
        total += part
    barred = _barred(history, catalog, exclude, settings)
    best = _best(total, settings.candidates + len(barred))
    keep = catalog.is_showable(rows[best])
    if barred:
        keep &= ~np.isin(rows[best], barred)
    best = best[keep][: settings.candidates]
    return Candidates(rows[best], total[best], {name: part[best] for name, part in parts.items()}, weights)


def _acts(history: tuple[Recent, ...], settings: RecommendSettings) -> int:
    """Count the events that say something for an item."""
    weights = settings.weights()
    return sum(entry.item is not None and entry.name in weights for entry in history)


def _barred(
    history: tuple[Recent, ...], catalog: Catalog, exclude: Collection[str], settings: RecommendSettings
) -> list[int]:
    ids = set(exclude)
    if settings.exclude_seen:
        seen = [entry.item for entry in history if entry.item is not None]
        ids.update(seen[-settings.window :])
    return [row for item_id in ids if (row := catalog.row(item_id)) is not None]


def _best(scores: Scores, n: int) -> NDArray[np.intp]:
    """Return the places of the `n` highest scores, best first; of equal ones the later place first."""
    size = len(scores)
    if n >= size:
        best = np.arange(size)
    else:
        best = _above(scores, n)
        if n < len(best):
            best = best[np.argpartition(scores[best], len(best) - n)[len(best) - n :]]
    return best[np.lexsort((best, scores[best]))[::-1]]


def _above(scores: Scores, n: int) -> NDArray[np.intp]:
    """Return some places, the `n` highest scores among them: above a bound guessed from a sample, where that is enough.

    Choosing by a bound reads the scores once; a selection on all of them takes ten times as long, and much
    longer on scores that are nearly sorted.
    """
    size = len(scores)
    sample = scores[:: max(1, size // _SAMPLE)]
    place = len(sample) - 2 * n * len(sample) // size - 8
    if place > 0:
        above = np.flatnonzero(scores >= np.partition(sample, place)[place])
        if len(above) >= n:
            return above
    return np.arange(size)
