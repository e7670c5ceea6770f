"""Places on the globe: where a value says that something is, and whether that is near.

References
----------
[^1]: R. W. Sinnott, "Virtues of the Haversine", Sky and Telescope 68 (1984), 159.
[^2]: IUGG mean radius of the Earth, R1 = 6,371,008.8 m (GRS 80).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import asin, cos, inf, radians, sin, sqrt
from typing import TypeAlias, cast

from bespeak.conditions.meaning.misfit import Misfit
from bespeak.conditions.tree import Near, Operand, Reach
from bespeak.conditions.values.pairs import elements

RADIUS = 6_371_008.8
"""Of the globe, in metres."""
METRES: Mapping[Reach, float] = {"km": 1_000.0, "miles": 1_609.344, "metres": 1.0}
"""Of each unit of distance."""
FARTHEST = 20_020_000.0
"""Metres beyond which nothing on the globe is from anything else."""

_Place: TypeAlias = tuple[float, float]
"""Latitude and longitude in degrees."""

_TEXT = re.compile(r"\s*([-+]?[0-9]{1,3}(?:\.[0-9]{1,15})?)\s*,\s*([-+]?[0-9]{1,3}(?:\.[0-9]{1,15})?)\s*")
_TEXT_MAX = 60
_NUMBERS = frozenset({int, float})
_LATITUDES = ("latitude", "lat")
_LONGITUDES = ("longitude", "lon", "lng")


def distance(one: _Place, other: _Place) -> float:
    """Return the metres between two places, along the surface of a globe.

    Examples
    --------
    >>> round(distance((48.2082, 16.3738), (48.1486, 17.1077)) / 1000, 1)  # Vienna to Bratislava
    54.8
    """
    (here, west), (there, east) = (tuple(map(radians, place)) for place in (one, other))
    half = sin((there - here) / 2) ** 2 + cos(here) * cos(there) * sin((east - west) / 2) ** 2
    return 2 * RADIUS * asin(min(1.0, sqrt(half)))


def place_of(value: object) -> _Place | None:
    """Return where a value says that something is: an object with both coordinates, or a text of the two.

    Coordinates are numbers in degrees: `latitude` (or `lat`) from -90 to 90, `longitude` (or `lon`, `lng`) from -180 to
    180.

    Examples
    --------
    >>> place_of({"lat": 48.2, "lng": 16.37}), place_of("48.2, 16.37"), place_of({"lat": 48.2}), place_of([48.2, 16.37])
    ((48.2, 16.37), (48.2, 16.37), None, None)
    """
    if isinstance(value, dict):
        held = cast("Mapping[str, object]", value)
        return _placed(_first(held, _LATITUDES), _first(held, _LONGITUDES))
    if isinstance(value, str) and len(value) <= _TEXT_MAX:
        found = _TEXT.fullmatch(value)
        return None if found is None else _placed(float(found[1]), float(found[2]))
    return None


def is_near(test: Near) -> Callable[[object], bool]:
    """Build what says whether a value, or an element of a list, is within the distance that is asked for."""
    center, reach = (test.latitude, test.longitude), test.within * METRES[test.unit]

    def passes(value: object) -> bool:
        if value is None:
            return False
        places = map(place_of, elements(value))
        return any(place is not None and distance(place, center) <= reach for place in places)

    return passes


def checked(test: Near, operand: Operand) -> Near:
    """Return a test with its numbers as decimals, of an operand that was checked.

    Raises
    ------
    Misfit
        It asks for a place that is not on the globe, or for no distance.
    """
    latitude, longitude, within = _decimal(test.latitude), _decimal(test.longitude), _decimal(test.within)
    if not -90 <= latitude <= 90:
        raise Misfit("latitude", "degrees from -90 to 90", f"{latitude:g}", "write (latitude, longitude)")
    if not -180 <= longitude <= 180:
        raise Misfit("longitude", "degrees from -180 to 180", f"{longitude:g}", "write (latitude, longitude)")
    if not 0 < within * METRES[test.unit] <= FARTHEST:
        raise Misfit("distance", "more than 0, and at most 20,020 km", f"{within:g} {test.unit}")
    return Near(operand, latitude + 0.0, longitude + 0.0, within, test.unit)  # + 0.0: there is no -0


def _decimal(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # a whole number of hundreds of digits
        return inf if number > 0 else -inf


def _first(held: Mapping[str, object], names: tuple[str, ...]) -> object:
    for name in names:
        if name in held:
            return held[name]
    return None


def _placed(latitude: object, longitude: object) -> _Place | None:
    if latitude.__class__ not in _NUMBERS or longitude.__class__ not in _NUMBERS:
        return None
    north, east = cast("_Place", (latitude, longitude))
    return (float(north), float(east)) if -90 <= north <= 90 and -180 <= east <= 180 else None
