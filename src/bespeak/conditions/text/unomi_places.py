"""Conditions of Unomi about where somebody is, and on which lists, as conditions of ours."""

from __future__ import annotations

import re
from typing import cast

from bespeak.conditions.meaning.misfit import Misfit
from bespeak.conditions.text.unomi_values import Parameters, number_in
from bespeak.conditions.tree import And, Between, Compare, Condition, InList, Near, Not, Operand, Or, Path, Reach
from bespeak.conditions.values.near import place_of

PLACE = Path("place")
_REACHES: dict[str, Reach] = {"": "metres", "m": "metres", "km": "km", "mi": "miles", "miles": "miles"}
_DISTANCE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)\s*", re.IGNORECASE)
_NAMES = {"country": "country", "admin1": "region", "city": "city"}
_CORNERS = ("rectLatitudeSW", "rectLatitudeNE", "rectLongitudeSW", "rectLongitudeNE")


def on_lists(given: Parameters, at: str) -> Condition:
    """Read a `profileUserListCondition`: on any of the lists, on all of them, or on none.

    Raises
    ------
    Misfit
        It names no lists; so the others do whose parameters are none.
    """
    named: object = given.get("lists")
    lists = cast("list[object]", named) if isinstance(named, list) else []
    if not lists:
        raise Misfit(f"{at}.lists", "a list of ids", repr(given.get("lists"))[:80])
    parts = tuple(InList(str(one)) for one in lists)
    match str(given.get("matchType", "in")):
        case "all":
            return And(parts)
        case "notIn":
            return Not(Or(parts))
        case _:
            return Or(parts)


def in_place(given: Parameters, at: str) -> Condition:
    """Read a `geoLocationSessionCondition`: in a country, a region, a city."""
    if given.get("admin2") is not None:
        raise Misfit(f"{at}.admin2", "country, admin1 or city", "`admin2`", "ask for the city, or a distance")
    asked = [(ours, given[name]) for name, ours in _NAMES.items() if given.get(name) is not None]
    return And(tuple(Compare(Path(f"place.{name}"), "=", str(value)) for name, value in asked))


def by_point(given: Parameters, at: str) -> Condition:
    """Read a `geoLocationByPointSessionCondition`: in a circle, or between two corners."""
    if given.get("type") == "circle":
        center = {"lat": given.get("circleLatitude"), "lon": given.get("circleLongitude")}
        return near(PLACE, {**given, "center": center}, at)
    if given.get("type") == "rectangle":
        south, north, west, east = (number_in(given, name, at) for name in _CORNERS)
        return And((Between(Path("place.latitude"), south, north), Between(Path("place.longitude"), west, east)))
    raise Misfit(f"{at}.type", "circle or rectangle", repr(given.get("type"))[:80])


def near(operand: Operand, given: Parameters, at: str) -> Condition:
    """Read what the operator `distance` asks: `center`, `distance` and `unit`."""
    center = place_of(given.get("center"))
    if center is None:
        raise Misfit(f"{at}.center", 'a place such as "48.21,16.37"', repr(given.get("center"))[:80])
    found = _DISTANCE.fullmatch(f"{given.get('distance')}{given.get('unit') or ''}")
    unit = None if found is None else _REACHES.get(found[2].lower())
    if found is None or unit is None:
        raise Misfit(f"{at}.distance", "a distance in km, mi or m, such as 10km", repr(given.get("distance"))[:80])
    return Near(operand, *center, float(found[1]), unit)
