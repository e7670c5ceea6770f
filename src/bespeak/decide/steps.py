"""The path of a page: from a snapshot of one person to an answer, slot by slot.

`assign` > `propose` > `blend` > `rules.apply` > `arrange` > `render`. Pure: what is known comes as a `Snapshot`,
what may be shown as an `Offer`, time and randomness as arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bespeak import content, experiments, rules
from bespeak.catalog import Catalog
from bespeak.clock import Instant
from bespeak.content import Block, Chosen, FellBack
from bespeak.decide.decision import BlockAnswer, SlotAnswer, SlotRequest
from bespeak.decide.settings import DecideSettings
from bespeak.experiments import Assigned, Assignment, Experiment
from bespeak.profiles import Recent, View
from bespeak.recommend import Candidates, Recommender, RecommendSettings, Scored, arrange, materialize, propose
from bespeak.rules import Rule, Ruled

LOOKED_AT = "Product Viewed"
"""What the item of a slot's page counts as: the newest thing that the person looked at."""


class Snapshot(msgspec.Struct, frozen=True):
    """One person as of one instant.

    Parameters
    ----------
    view
        What is known; of nobody where the profile may not or cannot be used.
    unit
        The ids by which experiments assign: empty without consent. Somebody of whom nothing is known yet has some, so
        that the first page shows the variant that every later one will.
    personalized
        False where the profile may not or cannot be used.
    reason
        Why not, as a sentence.
    """

    view: View
    unit: Mapping[str, str]
    personalized: bool
    reason: str


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision draws on besides the person."""

    catalog: Catalog
    recommenders: tuple[Recommender, ...]
    rules: tuple[Rule, ...]
    experiments: tuple[Experiment, ...]
    blocks: tuple[Block, ...]
    recommend: RecommendSettings
    decide: DecideSettings


class Offered(msgspec.Struct, frozen=True):
    """One slot's answer, with every candidate as it was scored: the record of what might have been shown."""

    answer: SlotAnswer
    candidates: Mapping[str, float]


class Page(msgspec.Struct, frozen=True):
    """All answers of a page and what they rest on; `late` are the slots that found no time left."""

    slots: Mapping[str, Offered]
    assignments: tuple[Assignment, ...]
    late: tuple[str, ...]


def decide(
    slots: Sequence[SlotRequest],
    snapshot: Snapshot,
    offer: Offer,
    *,
    at: Instant,
    rng: Random,
    spent: Callable[[], float],
    explain: bool,
) -> Page:
    """Answer every slot of a page.

    Parameters
    ----------
    spent
        Returns the seconds since the request began; over the deadline, what is left gets its default content.
    explain
        Whether each item says which events brought it.
    """
    assignments = experiments.assign(offer.experiments, snapshot.unit, snapshot.view, at) if snapshot.unit else ()
    merged = experiments.merge_settings(assignments)
    offer = msgspec.structs.replace(offer, recommend=offer.recommend.vary(merged.settings))
    answers: dict[str, Offered] = {}
    late: list[str] = []
    for slot in slots:
        if spent() * 1_000 > offer.decide.deadline_ms:
            late.append(slot.id)
            answers[slot.id] = Offered(default_slot(slot, snapshot, offer, at, "no time was left"), {})
            continue
        answers[slot.id] = _slot(slot, snapshot, offer, at, rng, explain=explain)
    return Page(answers, assignments, tuple(late))


def default_slot(slot: SlotRequest, snapshot: Snapshot, offer: Offer, at: Instant, reason: str) -> SlotAnswer:
    """Answer a slot with what needs no work: its content as an unknown visitor gets it."""
    return SlotAnswer(reason=reason, content=_content(slot, snapshot, offer, at))


def _slot(slot: SlotRequest, snapshot: Snapshot, offer: Offer, at: Instant, rng: Random, *, explain: bool) -> Offered:
    block = _content(slot, snapshot, offer, at)
    n = slot.n if slot.n is not None else (0 if block is not None else offer.decide.items_default)
    if n == 0:
        return Offered(
            SlotAnswer(reason=block.reason if block is not None else "nothing was asked for", content=block), {}
        )
    history = _history(slot, snapshot, at)
    exclude = _excluded(slot, snapshot, offer)
    allowed = _allowed(slot, snapshot, offer, at)
    candidates = propose(
        offer.recommenders, history, offer.catalog, at=at, settings=offer.recommend, allowed=allowed, exclude=exclude
    )
    ruled = _ruled(slot, snapshot, offer, candidates, allowed, exclude, at)
    placed = arrange(offer.catalog, ruled.rows, ruled.scores, n, settings=offer.recommend, pinned=ruled.pinned, rng=rng)
    rules_of = {one.row: ruled.rules_of(one.row) for one in placed} if ruled.applied else {}
    items = materialize(
        placed,
        candidates,
        offer.recommenders,
        history,
        offer.catalog,
        at=at,
        rules=rules_of,
        pinned_by=ruled.pinned_by,
        explain=explain,
    )
    answer = SlotAnswer(reason=_because(snapshot, candidates, items), items=items, content=block)
    return Offered(answer, _record(offer.catalog, ruled))


def _allowed(slot: SlotRequest, snapshot: Snapshot, offer: Offer, at: Instant) -> NDArray[np.intp] | None:
    """Return the rows of the slot's category that pass its filters; None where neither says anything."""
    rows = offer.catalog.category_rows(slot.category) if slot.category is not None else None
    passing = rules.passing(offer.rules, slot.id, snapshot.view, offer.catalog, at)
    if passing is None:
        return rows
    rows = offer.catalog.showable() if rows is None else rows
    return rows[passing[rows]]


def _history(slot: SlotRequest, snapshot: Snapshot, at: Instant) -> tuple[Recent, ...]:
    recent = snapshot.view.profile.recent[-200:] if snapshot.personalized else []
    history = tuple(row for row in recent if row.time <= at)
    if slot.item is not None and (not history or history[-1].item != slot.item):
        history = (*history, Recent(at, "", LOOKED_AT, slot.item))
    return history


def _excluded(slot: SlotRequest, snapshot: Snapshot, offer: Offer) -> set[str]:
    profile = snapshot.view.profile
    excluded = {*slot.exclude, *profile.hidden}
    if slot.item is not None:
        excluded.add(slot.item)
    if offer.recommend.exclude_bought:
        excluded.update(profile.bought)
    return excluded


def _ruled(
    slot: SlotRequest,
    snapshot: Snapshot,
    offer: Offer,
    candidates: Candidates,
    allowed: NDArray[np.intp] | None,
    exclude: set[str],
    at: Instant,
) -> Ruled:
    catalog = offer.catalog
    pinnable: NDArray[np.intp] | None = None
    if any(isinstance(rule, rules.Pin) for rule in offer.rules):
        pinnable = catalog.showable() if allowed is None else allowed
        barred = [row for item_id in exclude if (row := catalog.row(item_id)) is not None]
        pinnable = pinnable[catalog.is_showable(pinnable) & ~np.isin(pinnable, barred)]
    return rules.apply(
        offer.rules, slot.id, snapshot.view, catalog, candidates.rows, candidates.scores, at, pinnable=pinnable
    )


def _content(slot: SlotRequest, snapshot: Snapshot, offer: Offer, at: Instant) -> BlockAnswer | None:
    choice = content.choose(offer.blocks, slot.id, snapshot.view, at)
    if not isinstance(choice, Chosen):
        return None
    block = choice.block
    rendering = content.render(block, content.variables(block, snapshot.view))
    fell_back = isinstance(rendering, FellBack)
    reason = f"{choice.reason}; fallback: {rendering.reason}" if isinstance(rendering, FellBack) else choice.reason
    return BlockAnswer(block=block.id, version=block.version, html=rendering.html, reason=reason, fallback=fell_back)


def _because(snapshot: Snapshot, candidates: Candidates, items: tuple[Scored, ...]) -> str:
    if not items:
        return "nothing in the catalog may be shown here"
    mix = ", ".join(f"{name} {weight:.0%}" for name, weight in candidates.weights.items() if weight > 0)
    mix = mix or "the newest items, since nothing was learned yet"
    return mix if snapshot.personalized else f"{snapshot.reason}: {mix}"


def _record(catalog: Catalog, ruled: Ruled) -> dict[str, float]:
    ids = catalog.ids
    best = np.argsort(-ruled.scores, kind="stable")[:50]
    return {ids[int(ruled.rows[place])]: round(float(ruled.scores[place]), 6) for place in best}


def variants(assignments: Sequence[Assignment]) -> dict[str, str]:
    """Return the variant by experiment, of those that the person takes part in."""
    return {one.experiment: one.variant for one in assignments if isinstance(one, Assigned)}


def explain_assignments(assignments: Sequence[Assignment]) -> dict[str, Any]:
    """Return every assignment with its reason, for people."""
    return {one.experiment: msgspec.to_builtins(one) for one in assignments}
