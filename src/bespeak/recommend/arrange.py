"""The final order: what rules pinned, then relevance against variety, then a place to learn from."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import msgspec
import numpy as np
from numpy.typing import NDArray

from bespeak.catalog import Catalog
from bespeak.errors import InvalidInput
from bespeak.recommend.scored import Scores
from bespeak.recommend.settings import RecommendSettings


class Placed(msgspec.Struct, frozen=True):
    """One item in its place.

    Parameters
    ----------
    score
        As it came, not that of variety; 0 for a pinned item that was not a candidate.
    pinned
        The place that a rule gave it, else None.
    propensity
        The probability that this item stands at this place, given those before it.
    explored
        Whether it was drawn at random.
    """

    row: int
    score: float
    pinned: int | None = None
    propensity: float = 1.0
    explored: bool = False


def arrange(
    catalog: Catalog,
    rows: NDArray[np.intp],
    scores: Scores,
    n: int,
    *,
    settings: RecommendSettings,
    pinned: Mapping[int, int] | None = None,
    rng: Random | None = None,
) -> tuple[Placed, ...]:
    """Return at most `n` items in the order in which they are shown.

    Pinned rows stand exactly where they are pinned (0 = first), whether candidates or not, unless there are too few
    items to fill the places before. The other places go by maximal marginal relevance: the candidate with the
    largest mmr * relevance - (1 - mmr) * likeness to what is chosen already, relevance scaled to 0..1 over
    the pool. With `explore` = e, the last free place goes with probability e to one of the pool's m candidates that are
    left, each alike: the best has propensity 1 - e + e / m, another e / m.

    Parameters
    ----------
    rows, scores
        Candidates and their scores, each row once, in any order.
    pinned
        Place by row. Of two rows pinned to one place the later one moves to the next free place.
    rng
        Needed when `explore` is more than 0.

    References
    ----------
    Carbonell, Goldstein, 1998. The use of MMR, diversity-based reranking, section 2.
    """
    places = _pinned_places(pinned or {}, n, catalog)
    fixed = np.array(list(places.values()), np.intp)
    if len(fixed):
        free = ~np.isin(rows, fixed)
        pin_scores = dict(zip(rows[~free].tolist(), scores[~free].tolist(), strict=True))
        rows, scores = rows[free], scores[free]
    else:
        pin_scores = {}
    want = min(n - len(places), len(rows))
    pool = _best(scores, max(settings.mmr_pool, 3 * n))
    chosen = vary(catalog, rows[pool], scores[pool], want, settings.mmr, fixed)
    free_places = [Placed(int(rows[pool[place]]), float(scores[pool[place]])) for place in chosen]
    if free_places and settings.explore > 0:
        rest = np.delete(pool, chosen)
        free_places[-1] = _explore(free_places[-1], rows[rest], scores[rest], settings.explore, rng)
    fixed_places = {place: Placed(row, pin_scores.get(row, 0.0), place) for place, row in places.items()}
    return _interleave(free_places, fixed_places)


def vary(
    catalog: Catalog,
    rows: NDArray[np.intp],
    scores: Scores,
    n: int,
    mmr: float,
    chosen: NDArray[np.intp],
) -> list[int]:
    """Return `n` places in `rows` by maximal marginal relevance; `rows` come best first, `chosen` stand already."""
    if n <= 0:
        return []
    if mmr >= 1:
        return list(range(min(n, len(rows))))
    low, high = float(scores[-1]), float(scores[0])
    relevance = (scores - low) / (high - low) if high > low else np.ones(len(scores))
    relevance *= mmr
    vectors = catalog.attributes.select(np.concatenate([rows, chosen]))
    alike = np.zeros(len(rows), np.float32)
    for place in range(len(rows), len(rows) + len(chosen)):
        np.maximum(alike, vectors.to(place)[: len(rows)], out=alike)
    picks: list[int] = []
    for _ in range(min(n, len(rows))):
        pick = int(np.argmax(relevance - (1.0 - mmr) * alike))
        picks.append(pick)
        relevance[pick] = -np.inf
        np.maximum(alike, vectors.to(pick)[: len(rows)], out=alike)
    return picks


def _explore(best: Placed, rows: NDArray[np.intp], scores: Scores, share: float, rng: Random | None) -> Placed:
    if rng is None:
        raise InvalidInput("arrange: `explore` is more than 0, so a random generator is needed: pass rng=")
    options = len(rows) + 1
    if rng.random() < share:
        drawn = rng.randrange(options)
        if drawn < len(rows):
            return Placed(int(rows[drawn]), float(scores[drawn]), propensity=share / options, explored=True)
    return msgspec.structs.replace(best, propensity=1.0 - share + share / options)


def _pinned_places(pinned: Mapping[int, int], n: int, catalog: Catalog) -> dict[int, int]:
    """Return row by place, of the rows that may be shown and have a place among the `n`."""
    places: dict[int, int] = {}
    for row, wanted in pinned.items():
        place = wanted
        while place in places:
            place += 1
        if 0 <= place < n and catalog.is_showable(np.array([row], np.intp))[0]:
            places[place] = row
    return places


def _interleave(free: list[Placed], fixed: dict[int, Placed]) -> tuple[Placed, ...]:
    """Put the fixed ones where they belong and the free ones between; late fixed ones move up when too few are free."""
    order: list[Placed] = []
    waiting = iter(free)
    for place in range(len(free) + len(fixed)):
        if place in fixed:
            order.append(fixed.pop(place))
            continue
        following = next(waiting, None)
        if following is None:
            order.extend(fixed[later] for later in sorted(fixed))
            break
        order.append(following)
    return tuple(order)


def _best(scores: Scores, n: int) -> NDArray[np.intp]:
    """Return the places of the `n` highest scores, best first; of equal ones the earlier place first."""
    best = np.argpartition(-scores, n)[:n] if n < len(scores) else np.arange(len(scores))
    return best[np.lexsort((best, -scores[best]))]
