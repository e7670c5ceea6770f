"""The chosen items as an answer: where each came from, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bespeak.catalog import Catalog
from bespeak.clock import Instant
from bespeak.profiles.profile import Recent
from bespeak.recommend.arrange import Placed
from bespeak.recommend.propose import NEWEST, Candidates
from bespeak.recommend.scored import Because, Recommender, Scored


def materialize(  # noqa: PLR0913  # a step takes what it needs
    placed: Sequence[Placed],
    candidates: Candidates,
    recommenders: Sequence[Recommender],
    history: tuple[Recent, ...],
    catalog: Catalog,
    *,
    at: Instant,
    rules: Mapping[int, Sequence[str]] | None = None,
    pinned_by: Mapping[int, str] | None = None,
    explain: bool = True,
) -> tuple[Scored, ...]:
    """Return the answer's items, in the order given.

    Parameters
    ----------
    rules
        Ids of the rules that changed each row's score or place.
    pinned_by
        Id of the rule that pinned a row: its source is then `rule:ID`.
    explain
        Whether to fill `why`.
    """
    index = {row: place for place, row in enumerate(candidates.rows.tolist())}
    shares = [_shares(candidates, index.get(one.row)) for one in placed]
    pins = pinned_by or {}
    sources = [
        f"rule:{pins[one.row]}" if one.pinned is not None and one.row in pins else _source(share)
        for one, share in zip(placed, shares, strict=True)
    ]
    ids = [catalog.ids[one.row] for one in placed]
    whys = _whys(ids, sources, recommenders, history, catalog, at) if explain else {}
    touched = rules or {}
    return tuple(
        Scored(
            item=item_id,
            score=one.score,
            source=source,
            sources=share,
            why=whys.get(item_id, ()),
            rules=tuple(touched.get(one.row, ())),
            pinned=one.pinned,
            propensity=one.propensity,
        )
        for one, item_id, source, share in zip(placed, ids, sources, shares, strict=True)
    )


def _shares(candidates: Candidates, place: int | None) -> dict[str, float]:
    if place is None:
        return {}
    return {name: float(part[place]) for name, part in candidates.sources.items()}


def _source(shares: Mapping[str, float]) -> str:
    """Return the recommender that brought most; `newest` when none speaks for the item."""
    if not shares:
        return NEWEST
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] > 0 else NEWEST


def _whys(
    ids: Sequence[str],
    sources: Sequence[str],
    recommenders: Sequence[Recommender],
    history: tuple[Recent, ...],
    catalog: Catalog,
    at: Instant,
) -> dict[str, tuple[Because, ...]]:
    whys: dict[str, tuple[Because, ...]] = {}
    for recommender in recommenders:
        brought = [item_id for item_id, source in zip(ids, sources, strict=True) if source == recommender.name]
        if brought:
            reasons = recommender.why(history, catalog, brought, at=at)
            whys.update(zip(brought, reasons, strict=True))
    return whys
