"""What can be set about recommendations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from bespeak.errors import SettingsError
from bespeak.events.vocabulary import ITEM_WEIGHTS

OVERRIDABLE: Final = frozenset({"trending_weight", "seqknn_weight", "mmr", "explore", "exclude_seen"})
"""Settings that a variant of an experiment may change for one decision; the others shape what is learned."""


class RecommendSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the recommenders, of the blend, and of the final order.

    Parameters
    ----------
    halflife_days
        Time in which an event loses half its weight in trending; 0.01 to 3,650 days.
    window
        Events before an event that count as having led to it, and the newest events of a person that are scored;
        1 to 50.
    neighbours
        Items kept for each item by SeqKNN; a row is cut back to it when it holds twice as many; 10 to 5,000.
        Memory: 20 to 41 bytes x neighbours an item that is busy.
    past_decay
        Events over which a pair of items counts less the further apart they are (tp of `pair_weights`); 0.1 to 1,000.
    future_decay
        The same for what comes after the next event (tn of `pair_weights`); 0.1 to 1,000.
    future
        Events after the next one that a past event is paired with, the next one included; 1 to 50.
    reverse
        Share of a pair's weight that counts in the other direction too; 0 to 1.
    source_power
        How strongly the frequency of the item that leads is divided out; 0 to 1.
    target_power
        How strongly the frequency of the item that is led to is divided out: higher favours the rare; 0 to 1.
    recency
        Events in which the weight of a person's history falls to 1/e when it is scored; 0.1 to 1,000.
    items_max
        Items that one recommender knows, whether in the catalog or not; beyond it a quarter is forgotten (the least
        trending; the longest untouched); 100 to 2,000,000.
    event_weights
        Weight by event name, over the defaults (`events.vocabulary.ITEM_WEIGHTS`); 0 to 100; 0 says nothing.
    trending_weight
        Factor on the weight that trending has by the length of the history; 0 (off) to 100.
    seqknn_weight
        Factor on the weight that SeqKNN has by the length of the history; 0 (off) to 100.
    candidates
        Items that rules and the final order choose from; 10 to 5,000.
    mmr
        Relevance against variety in the final order: 1 is relevance alone; 0 to 1.
    mmr_pool
        Best candidates that variety chooses from (at least three for each item asked for); 10 to 1,000.
    explore
        Probability that the last free place goes to a candidate drawn at random, for learning; 0 to 1, 0 is off.
    exclude_bought
        Leave out what the person has bought.
    exclude_seen
        Leave out the items of the person's newest `window` events with an item.

    Raises
    ------
    SettingsError
        A value is outside its range.

    References
    ----------
    The classes that read them: `SeqKNN`, `Trending`, `blend_weights`, `arrange`.
    """

    halflife_days: float = 30.0
    window: int = 20
    neighbours: int = 300
    past_decay: float = 10.0
    future_decay: float = 1.0
    future: int = 5
    reverse: float = 0.5
    source_power: float = 0.5
    target_power: float = 0.3
    recency: float = 5.0
    items_max: int = 300_000
    event_weights: dict[str, float] = {}
    trending_weight: float = 1.0
    seqknn_weight: float = 1.0
    candidates: int = 300
    mmr: float = 0.8
    mmr_pool: int = 100
    explore: float = 0.0
    exclude_bought: bool = True
    exclude_seen: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingsError(f"recommend.{name}: expected {low:,} to {high:,}, got {value}")
        for event, weight in self.event_weights.items():
            if not 0 <= weight <= 100:
                raise SettingsError(f"recommend.event_weights[{event!r}]: expected 0 to 100, got {weight}")

    def weights(self) -> dict[str, float]:
        """Return the weight of each event name that says anything for its items."""
        merged = {**ITEM_WEIGHTS, **self.event_weights}
        return {name: weight for name, weight in merged.items() if weight > 0}

    def vary(self, variant: Mapping[str, object]) -> RecommendSettings:
        """Return these settings as a variant of an experiment changes them; names that are not ours are ignored.

        Raises
        ------
        SettingsError
            A value is of the wrong type or out of range.
        """
        ours = {name: value for name, value in variant.items() if name in OVERRIDABLE}
        if not ours:
            return self
        for name, value in ours.items():
            flag = name == "exclude_seen"
            if isinstance(value, bool) is not flag or not isinstance(value, (int, float)):
                wanted = "true or false" if flag else "a number"
                raise SettingsError(f"recommend.{name} of a variant: expected {wanted}, got {value!r}")
        return msgspec.structs.replace(self, **ours)


RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "halflife_days": (0.01, 3_650),
    "window": (1, 50),
    "neighbours": (10, 5_000),
    "past_decay": (0.1, 1_000),
    "future_decay": (0.1, 1_000),
    "future": (1, 50),
    "reverse": (0, 1),
    "source_power": (0, 1),
    "target_power": (0, 1),
    "recency": (0.1, 1_000),
    "items_max": (100, 2_000_000),
    "trending_weight": (0, 100),
    "seqknn_weight": (0, 100),
    "candidates": (10, 5_000),
    "mmr": (0, 1),
    "mmr_pool": (10, 1_000),
    "explore": (0, 1),
}
"""Lowest and highest value of each number."""
