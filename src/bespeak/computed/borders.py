"""Borders of quintiles: where the figures of everybody are cut into five parts, as of when that was last worked out.

They are definitions like others: worked out of everybody, put in force by a record in the log, and so the same at a
replay. They may be written by hand as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from bespeak.clock import Duration, Instant, format_time, parse_time
from bespeak.computed.spread import PARTS
from bespeak.computed.trait import FIGURES, RfmPlan, Trait
from bespeak.computed.written import check_name, refusal
from bespeak.definitions import read
from bespeak.errors import InvalidInput


class Borders(msgspec.Struct, frozen=True, kw_only=True):
    """The borders of one computed trait.

    Parameters
    ----------
    id
        That of the computed trait.
    recency, frequency, monetary
        Four numbers each, in ascending order: up to the first lies the least fifth of all figures.
    drawn
        As of when they were worked out of everybody; None: they were written by hand.
    people, rank_error
        Of how many people, and how far off a border may be, as a part of these.
    trait_version
        The version that the computed trait had then.
    version
        Counts up with each change.
    """

    id: str
    recency: tuple[float, ...]
    frequency: tuple[float, ...]
    monetary: tuple[float, ...]
    drawn: Instant | None = None
    people: int = 0
    rank_error: float = 0.0
    trait_version: int = 0
    version: int = 1

    @property
    def lines(self) -> tuple[object, ...]:
        """What grades stand on; whoever draws the same borders once more changes nobody."""
        return self.id, self.recency, self.frequency, self.monetary


class _Written(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    recency: tuple[float, ...]
    frequency: tuple[float, ...]
    monetary: tuple[float, ...]
    drawn: str | None = None
    people: int = 0
    rank_error: float = 0.0
    trait_version: int = 0
    version: int = 1


def load(raw: Mapping[str, object], *, source: str, version: int = 1) -> Borders:
    """Read a definition, as YAML or JSON gave it.

    Raises
    ------
    DefinitionError
        A field is unknown, missing or wrong; the message names `source`, the field, the value and what would do.
    """
    written = read(raw, _Written, what="borders", source=source, extra={"version": version})
    for field in FIGURES:
        _check(getattr(written, field), field, source)
    if written.people < 0:
        raise refusal(source, "people", "a number of people", written.people)
    if not 0 <= written.rank_error <= 1:
        raise refusal(source, "rank_error", "a part of all, from 0 to 1", written.rank_error)
    return Borders(
        id=check_name(written.id, source),
        recency=written.recency,
        frequency=written.frequency,
        monetary=written.monetary,
        drawn=None if written.drawn is None else _instant(written.drawn, source),
        people=written.people,
        rank_error=written.rank_error,
        trait_version=written.trait_version,
        version=written.version,
    )


def drawn_body(
    trait: Trait, lines: Mapping[str, tuple[float, ...]], *, at: Instant, people: int, rank_error: float
) -> dict[str, object]:
    """Return borders that were worked out of everybody as they would be written."""
    return {
        "id": trait.id,
        **{figure: list(lines[figure]) for figure in FIGURES},
        "drawn": format_time(at),
        "people": people,
        "rank_error": rank_error,
        "trait_version": trait.version,
    }


def every(trait: Trait) -> Duration | None:
    """Return how often the borders of a computed trait are drawn; None where never, or where nothing is graded."""
    return trait.value.every if isinstance(trait.value, RfmPlan) else None


def is_due(trait: Trait, borders: Borders | None, now: Instant) -> bool:
    """Say whether borders are to be drawn, by those that are in force.

    Those that were written by hand stay. Those of the future are drawn anew when they are so far ahead: a clock was set
    back.

    Examples
    --------
    >>> from bespeak.clock import DAY, HOUR
    >>> from bespeak.computed.trait import load
    >>> count = 'count("Order Completed")'
    >>> trait = load({"id": "rfm", "rfm": dict.fromkeys(FIGURES, count)}, source="rfm.yaml")
    >>> fifths = dict.fromkeys(FIGURES, (1.0, 2.0, 3.0, 4.0))
    >>> drawn = Borders(id="rfm", **fifths, drawn=0, trait_version=1)
    >>> is_due(trait, None, 0), is_due(trait, drawn, DAY - 1), is_due(trait, drawn, DAY)
    (True, False, True)
    """
    often = every(trait)
    if often is None:
        return False
    if borders is None:
        return True
    if borders.drawn is None:
        return False
    return borders.trait_version != trait.version or abs(now - borders.drawn) >= often


def _check(borders: tuple[float, ...], field: str, source: str) -> None:
    expected = f"{PARTS - 1} numbers in ascending order"
    if len(borders) != PARTS - 1 or list(borders) != sorted(borders) or not all(map(math.isfinite, borders)):
        raise refusal(source, field, expected, list(borders))


def _instant(text: str, source: str) -> Instant:
    try:
        return parse_time(text)
    except InvalidInput:
        raise refusal(source, "drawn", "an ISO 8601 time such as 2026-01-31T12:00:00Z", text) from None
