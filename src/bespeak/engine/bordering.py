"""The figures of everybody, gathered a few people at a time, for the borders of a computed trait that is graded."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import msgspec

from bespeak.clock import Instant
from bespeak.computed import FIGURES, Spread
from bespeak.conditions import Operand
from bespeak.conditions.asking.answers import reader
from bespeak.conditions.asking.visitor import Read
from bespeak.conditions.derived import Grade, Worked
from bespeak.engine.site import Site
from bespeak.errors import InvalidInput, NotFound
from bespeak.profiles import Profile, ProfileSettings, View

GATHERED_AT_ONCE = 100
"""People whose figures are read before others have their turn: some milliseconds."""


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """Where the borders of each figure lie, of how many people, and how far off they may be, as a part of these."""

    lines: dict[str, tuple[float, ...]]
    people: int
    rank_error: float


class Pace:
    """Gives the loop to others between two pieces of work, so that the work takes a part of the time only.

    Parameters
    ----------
    share
        That part, above 0 and at most 1.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._began = time.perf_counter()

    async def rest(self) -> None:
        """Let others have their turn."""
        await asyncio.sleep((time.perf_counter() - self._began) * (1 / self._share - 1))
        self._began = time.perf_counter()


def graded(trait_id: str, site: Site) -> tuple[Operand, ...]:
    """Return what recency, frequency and monetary value of a computed trait are.

    Raises
    ------
    NotFound
        There is no such computed trait, or it is not graded.
    """
    operands = [site.segments.operands.get(f"computed.{trait_id}.{figure}") for figure in FIGURES]
    found = [one.derived.operand for one in operands if isinstance(one, Worked) and isinstance(one.derived, Grade)]
    if len(found) < len(FIGURES):
        raise NotFound(f"there is no computed trait {trait_id!r} with rfm")
    return tuple(found)


async def borders_of(
    trait_id: str,
    operands: Sequence[Operand],
    profiles: Iterator[Profile],
    at: Instant,
    settings: ProfileSettings,
    *,
    share: float,
    looked_at: Callable[[int], None],
) -> Gathered:
    """Return the borders of each figure as of `at`, of those who have all of them.

    Nobody is named in them, and who was erased is in none of those that come after. The same figures in the same order
    of people come to the same borders. What is held meanwhile does not grow with the people: three times some 600 KB.

    Parameters
    ----------
    operands
        What the figures are, as `graded` gave them.
    share
        The part of the time that it may take.
    looked_at
        Told how many people were looked at so far.

    Raises
    ------
    InvalidInput
        Nobody has these figures.
    """
    reads, spreads = [reader(operand) for operand in operands], [Spread() for _ in operands]
    pace, people = Pace(share), 0
    while some := list(islice(profiles, GATHERED_AT_ONCE)):
        for profile in some:
            numbers = _numbers(reads, View(profile, at, settings), at)
            for spread, number in zip(spreads, numbers, strict=False):
                spread.add(number)
        people += len(some)
        looked_at(people)
        await pace.rest()
        if not all(spread.has_room(GATHERED_AT_ONCE) for spread in spreads):  # else it fills up among the next people
            await _take_in(spreads, pace)
    await _take_in(spreads, pace)
    if not spreads[0].figures:
        raise InvalidInput(f"computed trait {trait_id!r}: nobody has recency, frequency and monetary value yet")
    return Gathered(
        lines={figure: spread.quintiles() for figure, spread in zip(FIGURES, spreads, strict=True)},
        people=spreads[0].figures,
        rank_error=max(spread.rank_error for spread in spreads),
    )


def _numbers(reads: Iterable[Read], view: View, at: Instant) -> list[float]:
    """Return all the figures of somebody, or none where one of them is no number."""
    figures = [read(view, at) for read in reads]
    numbers = [float(one) for one in figures if isinstance(one, int | float) and not isinstance(one, bool)]
    return numbers if len(numbers) == len(figures) and all(map(math.isfinite, numbers)) else []


async def _take_in(spreads: Iterable[Spread], pace: Pace) -> None:
    for spread in spreads:
        for _ in spread.take_in():
            await pace.rest()
