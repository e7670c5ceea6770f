"""The figures of everybody, gathered a few people at a time, for the borders of a computed trait that is graded."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterator
from itertools import islice

from bespeak.clock import Instant
from bespeak.computed import FIGURES, quintiles
from bespeak.conditions.answers import reader
from bespeak.conditions.derived import Grade, Worked
from bespeak.engine.site import Site
from bespeak.errors import InvalidInput, NotFound
from bespeak.profiles import Profile, ProfileSettings, View

GATHERED_AT_ONCE = 100
"""People whose figures are read before others have their turn: some milliseconds."""


async def borders_of(
    trait_id: str, site: Site, profiles: Iterator[Profile], at: Instant, settings: ProfileSettings
) -> tuple[dict[str, list[float]], int]:
    """Return the borders of each figure as of `at`, and of how many people they are: those who have all of them.

    Nobody is named in them, and who was erased is in none of those that come after. They are exact; three numbers of
    eight bytes a person are held meanwhile.

    Raises
    ------
    NotFound
        There is no such computed trait, or it is not graded.
    InvalidInput
        Nobody has these figures.
    """
    operands = [site.segments.operands.get(f"computed.{trait_id}.{figure}") for figure in FIGURES]
    graded = [one.derived.operand for one in operands if isinstance(one, Worked) and isinstance(one.derived, Grade)]
    if len(graded) < len(FIGURES):
        raise NotFound(f"there is no computed trait {trait_id!r} with rfm")
    reads, found = [reader(operand) for operand in graded], [array("d") for _ in FIGURES]
    while some := list(islice(profiles, GATHERED_AT_ONCE)):
        for profile in some:
            view = View(profile, at, settings)
            figures = [read(view, at) for read in reads]
            numbers = [float(one) for one in figures if isinstance(one, int | float) and not isinstance(one, bool)]
            if len(numbers) == len(FIGURES):
                for column, number in zip(found, numbers, strict=True):
                    column.append(number)
        await asyncio.sleep(0)
    people = len(found[0])
    if not people:
        raise InvalidInput(f"computed trait {trait_id!r}: nobody has recency, frequency and monetary value yet")
    borders = {figure: list(quintiles(column)) for figure, column in zip(FIGURES, found, strict=True)}
    return borders, people
