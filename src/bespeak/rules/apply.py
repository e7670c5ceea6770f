"""Applying rules to the candidates of a slot: filters, then boosts, then pins; and saying what each did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from bespeak.clock import Instant
from bespeak.conditions import Condition, Visitor, bind
from bespeak.rules.masks import Mask, Masks, Table, masks_of
from bespeak.rules.rule import ITEM, Boost, Filter, Pin, Rule

Rows: TypeAlias = NDArray[np.intp]
Scores: TypeAlias = NDArray[np.float64]


class Ruled(msgspec.Struct, frozen=True):
    """The candidates after the rules.

    Parameters
    ----------
    rows
        Rows of the catalog, in the order given; a pinned item that was no candidate stands at the end.
    scores
        Their scores, shape (len(rows),).
    pinned
        Place by row; 0 is the first.
    pinned_by
        The pin by row.
    applied
        By rule id, for each rule that worked: one flag a row of the catalog that says where. Of a filter, the rows
        it keeps out; of a boost, those whose score it moves; of a pin, the one it pins.
    skipped
        By rule id, for each pin that could not have its place: why.
    """

    rows: Rows
    scores: Scores
    pinned: Mapping[int, int]
    applied: Mapping[str, Mask]
    skipped: Mapping[str, str] = {}
    pinned_by: Mapping[int, str] = {}

    def rules_of(self, row: int) -> tuple[str, ...]:
        """Return the rules that worked on a row, in the order of their ids."""
        return tuple(sorted(rule for rule, touched in self.applied.items() if touched[row]))


def apply(  # noqa: PLR0913  # a step takes what it needs
    rules: Iterable[Rule],
    slot: str,
    visitor: Visitor,
    catalog: Table,
    rows: Rows,
    scores: Scores,
    at: Instant,
    *,
    pinnable: Rows | None = None,
    masks: Masks | None = None,
) -> Ruled:
    """Apply the rules of a slot to its candidates.

    Filters first (an item must pass all of them), then boosts (see `Boost`), then pins by priority, then id. Of two
    pins for one place, or of one item, the later one is skipped and says so. The arrays given are not changed.

    Parameters
    ----------
    rows
        Candidates, as rows of the catalog, each once.
    scores
        Their standardised scores, shape (len(rows),).
    pinnable
        Rows that a pin may bring in though they are no candidates; None: candidates only. Filters hold for them too.
    masks
        Where masks are remembered; by default beside the catalog.
    """
    step = _Step(visitor, catalog, at, masks if masks is not None else masks_of(catalog))
    working = [r for r in rules if r.works(slot, at) and (r.visitors is None or r.visitors.holds(visitor, at))]
    applied: dict[str, Mask] = {}
    if not working:
        return Ruled(rows, scores, {}, applied)
    passing = _filter([r for r in working if isinstance(r, Filter)], step, applied)
    if passing is not None:
        kept = passing[rows]
        rows, scores = rows[kept], scores[kept]
        pinnable = None if pinnable is None else pinnable[passing[pinnable]]
    scores = _boost([r for r in working if isinstance(r, Boost)], step, rows, scores, applied)
    pins = sorted((r for r in working if isinstance(r, Pin)), key=lambda r: (-r.priority, r.id))
    return _pin(pins, step, Ruled(rows, scores, {}, applied), pinnable)


def passing(rules: Iterable[Rule], slot: str, visitor: Visitor, catalog: Table, at: Instant) -> Mask | None:
    """Return which rows of the catalog pass every filter of a slot; None where no filter works.

    Asked before candidates are chosen, so that a strict filter leaves the best of what it keeps, not an empty slot.
    """
    filters = [r for r in rules if isinstance(r, Filter) and r.works(slot, at)]
    working = [r for r in filters if r.visitors is None or r.visitors.holds(visitor, at)]
    return _filter(working, _Step(visitor, catalog, at, masks_of(catalog)), {})


class _Step(msgspec.Struct, frozen=True):
    """Whom, what and when the conditions of this call are about."""

    visitor: Visitor
    catalog: Table
    at: Instant
    masks: Masks

    def matching(self, condition: Condition) -> Mask:
        """Return the rows that the condition holds for, with this visitor."""
        return self.masks.of(bind(condition, self.visitor, self.at, prefix=ITEM), self.catalog)


def _filter(filters: list[Filter], step: _Step, applied: dict[str, Mask]) -> Mask | None:
    """Return which rows pass every filter; None when there is none."""
    passing: Mask | None = None
    for rule in filters:
        match = step.matching(rule.items)
        kept = match if rule.action == "keep" else ~match
        applied[rule.id] = ~match if rule.action == "keep" else match
        passing = kept if passing is None else passing & kept
    return passing


def _boost(boosts: list[Boost], step: _Step, rows: Rows, scores: Scores, applied: dict[str, Mask]) -> Scores:
    if not boosts or not len(rows):
        return scores
    lowest = scores.min()
    factors = np.ones(len(rows))
    adds = np.zeros(len(rows))
    for rule in boosts:
        match = step.matching(rule.items)
        applied[rule.id] = match
        touched = match[rows]
        if rule.factor is not None:
            factors[touched] *= rule.factor
        if rule.add is not None:
            adds[touched] += rule.add
    moved: Scores = lowest + (scores - lowest) * factors + adds
    return moved


def _pin(pins: list[Pin], step: _Step, ruled: Ruled, pinnable: Rows | None) -> Ruled:
    rows, scores = ruled.rows, ruled.scores
    pinned: dict[int, int] = {}
    places: dict[int, str] = {}
    applied = dict(ruled.applied)
    skipped: dict[str, str] = {}
    brought: list[int] = []
    for rule in pins:
        if rule.place in places:
            skipped[rule.id] = f"place {rule.place} is taken by rule {places[rule.place]}"
            continue
        row = _wanted(rule, step, ruled, pinnable, pinned)
        if isinstance(row, str):
            skipped[rule.id] = row
            continue
        pinned[row] = rule.place - 1
        places[rule.place] = rule.id
        touched = np.zeros(step.catalog.rows, np.bool_)
        touched[row] = True
        applied[rule.id] = touched
        if not (rows == row).any():
            brought.append(row)
    if brought:
        least = scores.min() if len(scores) else 0.0
        rows = np.concatenate([rows, np.asarray(brought, rows.dtype)])
        scores = np.concatenate([scores, np.full(len(brought), least)])
    return Ruled(rows, scores, pinned, applied, skipped, {row: places[place + 1] for row, place in pinned.items()})


def _wanted(rule: Pin, step: _Step, ruled: Ruled, pinnable: Rows | None, pinned: Mapping[int, int]) -> int | str:
    """Return the row that a pin is for, or why there is none."""
    rows, scores = ruled.rows, ruled.scores
    if rule.item is not None:
        row = step.catalog.row(rule.item)
        if row is None:
            return f"item {rule.item!r} is not in the catalog"
        if row in pinned:
            return f"item {rule.item!r} is pinned at place {pinned[row] + 1} already"
        if (rows == row).any() or (pinnable is not None and (pinnable == row).any()):
            return row
        return f"item {rule.item!r} may not be shown here: filtered out, out of stock, hidden, or not a candidate"
    if rule.items is None:
        return "it names no item"
    match = step.matching(rule.items)
    if pinned:
        match = match.copy()
        match[list(pinned)] = False
    fitting = np.flatnonzero(match[rows])
    if len(fitting):
        return int(rows[fitting[np.argmax(scores[fitting])]])
    beyond = pinnable[match[pinnable]] if pinnable is not None else rows[:0]
    return int(beyond[0]) if len(beyond) else "no item that may be shown here matches"
