"""Why a score is what it is: what each element gives, and when the band changes by itself."""

from __future__ import annotations

import math
from typing import cast

import msgspec

from bespeak.clock import NEVER, Instant
from bespeak.conditions import Compare, Exists, Not, Visitor
from bespeak.conditions.asking.answers import answers_function, holds_function, reader
from bespeak.conditions.asking.explain import next_turn
from bespeak.conditions.asking.visitor import Later
from bespeak.conditions.asking.worth import Part, parts_function, score_at
from bespeak.conditions.counting.waning import DECIMALS
from bespeak.conditions.derived import Score, Worked


class Contribution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one element gives. JSON-ready.

    Parameters
    ----------
    element
        Its name, or what it counts or asks.
    points
        For one event, or as long as the condition holds.
    counts
        How many events it counts now; with a half-life older ones count less than one. Of a condition 1 or 0.
    worth
        What it gives now.
    most
        The most that it may give.
    capped
        Whether it would give more than its most.
    """

    element: str
    points: float
    counts: float
    worth: float
    most: float | None = None
    capped: bool = False


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """A score with its reasons. JSON-ready.

    Parameters
    ----------
    value
        The score.
    total
        What the elements come to, before floor and cap.
    band
        The band that it is in; None where it is in none.
    next_change
        When it comes into another band if nothing happens; None: never.
    next_band
        Which band that will be; None where it is none.
    contributions
        What each element gives, in the order of the definition.
    """

    value: float
    total: float
    band: str | None
    next_change: Instant | None
    next_band: str | None
    contributions: tuple[Contribution, ...]


def explain(score: Score, banded: Worked | None, visitor: Visitor, at: Instant) -> Explained:
    """Say what a score is of somebody at an instant, and why; `banded` reads its band, if it has bands."""
    parts = parts_function(score, holds_function)(visitor, at)
    value = score_at(score, parts, at)
    band, change, following = (None, None, None) if banded is None else _bands(banded, visitor, at)
    return Explained(
        value=value,
        total=round(math.fsum(part.worth(at) for part in parts), DECIMALS) + 0.0,
        band=band,
        next_change=change,
        next_band=following,
        contributions=tuple(_contribution(part, at) for part in parts),
    )


def _contribution(part: Part, at: Instant) -> Contribution:
    counts = Part(msgspec.structs.replace(part.term, points=1.0, most=None), part.value, part.time, part.halflife)
    counted, worth = counts.worth(at), part.worth(at)
    return Contribution(
        element=part.term.name,
        points=part.term.points,
        counts=round(counted, DECIMALS),
        worth=round(worth, DECIMALS) + 0.0,
        most=part.term.most,
        capped=abs(worth) < abs(part.term.points * counted),
    )


def _bands(banded: Worked, visitor: Visitor, at: Instant) -> tuple[str | None, Instant | None, str | None]:
    """Return the band, when it changes by itself, and into which."""
    read = reader(banded)
    band = cast("str | None", read(visitor, at))
    stays = Not(Exists(banded)) if band is None else Compare(banded, "=", band, exact=True)
    _, until = next_turn(answers_function(stays), visitor, at)
    if until >= NEVER:
        return band, None, None
    return band, until, cast("str | None", read(Later(visitor, until), until))
