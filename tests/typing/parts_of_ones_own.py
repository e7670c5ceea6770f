"""A user's own parts, as the type checkers see them: a clock and a recommender that fit the protocols.

Nothing here runs; `./test types` reads it as a user's program, with the types that users get.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_type

import numpy as np

from bespeak.catalog import Catalog
from bespeak.clock import Clock, Instant, ManualClock, SystemClock
from bespeak.profiles import Recent
from bespeak.recommend import Because, Interactions, Recommender, Scores


class Noon:
    """A clock that stands at noon."""

    def now(self) -> Instant:
        """Return noon of the first day."""
        return 12 * 3_600_000_000


class Alphabetical:
    """The least useful recommender: the catalog from A to Z."""

    name = "alphabetical"

    def scores(self, history: tuple[Recent, ...], catalog: Catalog, /, *, at: Instant) -> Scores | None:
        """Score by the place of the id in the alphabet."""
        del history, at
        order = np.argsort(np.array(catalog.ids))
        values = np.empty(len(order))
        values[order] = np.linspace(1.0, 0.0, len(order))
        return values

    def why(
        self, history: tuple[Recent, ...], catalog: Catalog, items: Sequence[str], /, *, at: Instant
    ) -> tuple[tuple[Because, ...], ...]:
        """Return nothing for each: the alphabet has no reasons."""
        del history, catalog, at
        return tuple(() for _ in items)

    def learn(self, batch: Interactions, /) -> None:
        """Learn nothing."""
        del batch

    def dump(self) -> tuple[bytes, ...]:
        """Return nothing: there is no state."""
        return ()

    def load(self, pieces: Sequence[bytes], /) -> None:
        """Take nothing."""
        del pieces


class Backwards:
    """Not a clock: it answers with text."""

    def now(self) -> str:
        """Return the wrong thing."""
        return "noon"


clocks: list[Clock] = [Noon(), ManualClock(0), SystemClock()]
recommender: Recommender = Alphabetical()
wrong: Clock = Backwards()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

assert_type(Noon().now(), int)
