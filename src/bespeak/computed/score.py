"""A score: points for what somebody does and is, which fade together, between a floor and a cap, and its bands."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from bespeak.clock import Duration
from bespeak.computed.written import Text, check_name, condition_in, counted_in, halflife_in, refusal
from bespeak.conditions import format_condition
from bespeak.conditions.derived import Score, Term
from bespeak.conditions.text.printer import format_operand
from bespeak.definitions import read

ELEMENTS_MAX = 100
"""Elements of one score."""
BANDS_MAX = 20
"""Bands of one score."""
POINTS_MAX = 1_000_000
"""Points, either way, that one event can give, and a floor, a cap or a band can ask for."""
_NAME_MAX = 200


class ScorePlan(msgspec.Struct, frozen=True, kw_only=True):
    """How a score comes about; it is read as `scores.ID`, and its band as `scores.ID.band`.

    Parameters
    ----------
    id
        1 to 100 of a-z, 0-9, `-`, `_`.
    name, description
        For people.
    score
        The terms, the floor and the cap; what others are that a condition names is not filled in yet.
    bands
        The least score of each band, and its name, the lowest first.
    version
        Counts up with each change.
    """

    id: str
    score: Score
    bands: tuple[tuple[float, str], ...] = ()
    name: str = ""
    description: str = ""
    version: int = 1


class _Element(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    points: float
    event: str | None = None
    where: Text | None = None
    condition: Text | None = None
    most: float | None = None
    name: str = ""


class _Written(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of the definition as they are written."""

    id: str
    elements: tuple[_Element, ...]
    name: str = ""
    description: str = ""
    halflife: str | None = None
    floor: float | None = None
    cap: float | None = None
    bands: dict[str, float] = {}
    version: int = 1


def load(raw: Mapping[str, object], *, source: str, version: int = 1) -> ScorePlan:
    """Read a definition, as YAML or JSON gave it.

    Raises
    ------
    DefinitionError
        A field is unknown, missing or wrong; the message names `source`, the field, the value and what would do.

    Examples
    --------
    >>> plan = load({"id": "intent", "elements": [{"event": "Newsletter Opened", "points": 2}]}, source="intent.yaml")
    >>> plan.score.terms[0].name
    'count("Newsletter Opened")'
    """
    written = read(raw, _Written, what="score", source=source, extra={"version": version})
    if not 1 <= len(written.elements) <= ELEMENTS_MAX:
        raise refusal(source, "elements", f"1 to {ELEMENTS_MAX} elements", len(written.elements))
    halflife = None if written.halflife is None else halflife_in(written.halflife, source)
    terms = tuple(_term(one, f"elements[{n}]", source, halflife) for n, one in enumerate(written.elements))
    floor, cap = (_bounded(getattr(written, field), field, source) for field in ("floor", "cap"))
    if floor is not None and cap is not None and floor >= cap:
        raise refusal(source, "cap", f"more than the floor, {floor:g}", cap)
    return ScorePlan(
        id=check_name(written.id, source),
        score=Score(terms, floor, cap),
        bands=_bands(written.bands, source),
        name=written.name or written.id,
        description=written.description,
        version=written.version,
    )


def _term(element: _Element, field: str, source: str, halflife: Duration | None) -> Term:
    points, most = _bounded(element.points, f"{field}.points", source), element.most
    if not points:
        raise refusal(source, f"{field}.points", "a number other than 0", element.points)
    if most is not None and not 0 < most <= POINTS_MAX:
        raise refusal(source, f"{field}.most", f"a number from above 0 to {POINTS_MAX:,}", most, _MOST)
    if len(element.name) > _NAME_MAX:
        raise refusal(source, f"{field}.name", f"at most {_NAME_MAX} characters", element.name)
    if (element.event is None) is (element.condition is None):
        found = "neither" if element.event is None else "both"
        raise refusal(source, field, "either event or condition", found, "event: Newsletter Opened")
    if element.event is not None:
        counted = counted_in(element.event, element.where, field, source, halflife)
        shown = format_operand(msgspec.structs.replace(counted, within=None))
        return Term(element.name or shown, points, counted=counted, most=most)
    for given, value in (("where", element.where), ("most", most)):
        if value is not None:
            raise refusal(source, f"{field}.{given}", "nothing, beside condition", value, "it goes with event")
    condition = condition_in(element.condition or "", f"{field}.condition", source)
    return Term(element.name or format_condition(condition), points, condition=condition)


def _bounded(number: float | None, field: str, source: str) -> float | None:
    if number is not None and not (math.isfinite(number) and abs(number) <= POINTS_MAX):
        raise refusal(source, field, f"a number from -{POINTS_MAX:,} to {POINTS_MAX:,}", number)
    return number


def _bands(written: Mapping[str, float], source: str) -> tuple[tuple[float, str], ...]:
    if len(written) > BANDS_MAX:
        raise refusal(source, "bands", f"at most {BANDS_MAX} bands", len(written))
    found: dict[float, str] = {}
    for name, least in written.items():
        if not 1 <= len(name) <= _NAME_MAX:
            raise refusal(source, "bands", f"names of 1 to {_NAME_MAX} characters", name)
        _bounded(least, f"bands.{name}", source)
        if least in found:
            raise refusal(source, f"bands.{name}", f"another least score than that of {found[least]!r}", least)
        found[least] = name
    return tuple(sorted(found.items()))


_MOST = "points may be below 0, most is how many at most either way"
