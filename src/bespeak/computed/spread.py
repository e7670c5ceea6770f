"""How one figure is spread over everybody, in little room: where it is cut into fifths, and how far off that may be.

What is kept is a KLL sketch [^1]: some thousands of the figures, each for as many as it stands for. Chance says which,
and is seeded: the same figures, given in the same portions, leave the same bytes. Of few figures all are kept, and
what is said of them is exact.

References
----------
[^1]: Karnin, Lang, Liberty, 2016. Optimal Quantile Approximation in Streams, FOCS, section 3.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

import numpy as np
from kll_sketch import KLL  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs] - it has no types

PARTS = 5
"""Into how many parts everybody is cut."""

KEPT = 4_096
"""Figures up to which all are kept; of more at most three times as many. 0.07 % off, of which see `rank_error`."""

SORTED_AT_ONCE = 65_536
"""Figures that wait to be sorted; of so many or fewer it does not matter in which order they came."""

TAKEN_AT_ONCE = 1_000
"""Sorted figures that are taken in one go, some two milliseconds."""

_SEED = 0x62657370656C6B


class Spread:
    """What is known of one figure of everybody.

    Examples
    --------
    >>> spent = Spread()
    >>> for figure in (30, 10, 50, 20, 40):
    ...     spent.add(figure)
    >>> spent.quintiles(), spent.rank_error, spent.figures
    ((10.0, 20.0, 30.0, 40.0), 0.0, 5)
    """

    def __init__(self) -> None:
        self._sketch = KLL(KEPT, _SEED)
        self._waiting = array("d")

    @property
    def figures(self) -> int:
        """How many figures were given."""
        return int(self._sketch.n) + len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether so many figures wait that they are to be taken in."""
        return len(self._waiting) >= SORTED_AT_ONCE

    def has_room(self, figures: int) -> bool:
        """Whether so many figures more can be given before those that wait are to be taken in."""
        return len(self._waiting) + figures <= SORTED_AT_ONCE

    def add(self, figure: float) -> None:
        """Give one more figure, a finite one; where it is full, the others are taken in first."""
        if self.is_full:
            self._take_in()
        self._waiting.append(figure)

    def take_in(self) -> Iterator[None]:
        """Take in the figures that wait, in ascending order, some a step; none may be given between."""
        ordered: list[float] = np.sort(np.array(self._waiting)).tolist()
        self._waiting = array("d")
        for start in range(0, len(ordered), TAKEN_AT_ONCE):
            self._sketch.extend(ordered[start : start + TAKEN_AT_ONCE])
            yield

    def _take_in(self) -> None:
        for _ in self.take_in():
            pass

    def merge(self, other: Spread) -> None:
        """Take in what is known of other people, too; of them it is known as before."""
        self._take_in()
        other._take_in()
        self._sketch.merge(other._sketch)

    @property
    def rank_error(self) -> float:
        """How far off a border may be, as a part of all figures, 99 times in 100; 0 where it is exact.

        A border that should have a fifth of all figures at or below it has a fifth more or less that part.
        """
        exact = self.figures <= KEPT and not self._sketch.is_estimation_mode
        return 0.0 if exact else float(self._sketch.normalized_rank_error())

    def quintiles(self) -> tuple[float, ...]:
        """Return the four borders of at least one figure: of n in ascending order those at the places n/5, 2n/5, ...

        Places are rounded up. What is equal lies on one side of a border.
        """
        self._take_in()
        count = int(self._sketch.n)
        places = [-(-part * count // PARTS) - 1 for part in range(1, PARTS)]
        # The sketch reads the figure at the place `share * (count - 1)`, rounded down: the middle of a place is safe.
        shares = [min(1.0, (place + 0.5) / max(1, count - 1)) for place in places]
        return tuple(map(float, self._sketch.quantiles_at(shares)))

    def to_bytes(self) -> bytes:
        """Return all that is known as bytes: the same bytes where the same figures came in the same portions."""
        self._take_in()
        return bytes(self._sketch.to_bytes())


def quintiles(figures: Iterable[float]) -> tuple[float, ...]:
    """Return the four borders of some figures, at least one.

    Examples
    --------
    >>> quintiles(range(1, 11)), quintiles([7.0]), quintiles([1, 1, 1, 1, 1, 1, 1, 1, 2, 3])
    ((2.0, 4.0, 6.0, 8.0), (7.0, 7.0, 7.0, 7.0), (1.0, 1.0, 1.0, 1.0))
    """
    spread = Spread()
    for figure in figures:
        spread.add(figure)
    return spread.quintiles()
