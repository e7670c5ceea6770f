"""The words that recommenders, rules and decisions share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from bespeak.catalog import Catalog
from bespeak.clock import Instant
from bespeak.profiles.profile import Recent
from bespeak.recommend.interactions import Interactions

Scores = NDArray[np.float64]
"""One score a row, shape (catalog.rows,), rows of removed items included; higher is better."""


class Because(msgspec.Struct, frozen=True, omit_defaults=True):
    """One reason for an item: `event` on `item` at `time` brought `weight` of its score."""

    event: str
    weight: float
    item: str | None = None
    time: Instant | None = None


class Scored(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One item of an answer, and why it is there.

    Parameters
    ----------
    source
        The recommender that brought most of the score (`seqknn`, `trending`, ...), or `rule:ID` for a pin.
    sources
        The weighted, standardised score by recommender; they add up to the blend's part of `score`.
    why
        The events that brought it, the strongest first.
    rules
        Rules that changed its score or its place.
    pinned
        The place (0 = first) that a rule insists on; `arrange` keeps it.
    propensity
        The probability that the policy shows this item at this place: 1 unless it explores.
    """

    item: str
    score: float
    source: str
    sources: Mapping[str, float] = {}
    why: tuple[Because, ...] = ()
    rules: tuple[str, ...] = ()
    pinned: int | None = None
    propensity: float = 1.0


class Recommender(Protocol):
    """Scores every item for one person's recent history. `scores` and `why` read, and change nothing."""

    @property
    def name(self) -> str:
        """What answers call it: `seqknn`."""
        ...

    def scores(self, history: tuple[Recent, ...], catalog: Catalog, /, *, at: Instant) -> Scores | None:
        """Return a score for every row of the catalog, or None when it has nothing to say.

        The array may be live and read-only: it is used before the recommender next learns, and not written to.
        """
        ...

    def why(
        self, history: tuple[Recent, ...], catalog: Catalog, items: Sequence[str], /, *, at: Instant
    ) -> tuple[tuple[Because, ...], ...]:
        """Return, for each of `items`, the events that brought it, the strongest first, at most three."""
        ...

    def learn(self, batch: Interactions, /) -> None:
        """Take interactions in, in their order; how they are cut into batches makes no difference to what is known."""
        ...

    def dump(self) -> tuple[bytes, ...]:
        """Return the whole state, in pieces of a few megabytes; called from any thread, while nothing is learned."""
        ...

    def load(self, pieces: Sequence[bytes], /) -> None:
        """Replace the whole state by what `dump` gave. Raises `InvalidInput` when it is something else."""
        ...
