"""The text of a distance: `within 20 km of (48.21, 16.37)`."""

from __future__ import annotations

from bespeak.conditions.cursor import Cursor
from bespeak.conditions.tree import Near, Operand, Reach

_REACHES: dict[str, Reach] = {
    **dict.fromkeys(("km", "kilometers", "kilometres", "kilometer", "kilometre"), "km"),
    **dict.fromkeys(("mi", "mile", "miles"), "miles"),
    **dict.fromkeys(("m", "meters", "metres", "meter", "metre"), "metres"),
}
_EXAMPLE = "write within 20 km of (48.21, 16.37)"


def read_near(at: Cursor, operand: Operand) -> Near:
    """Take what follows `within`, where that is a number and no `last`."""
    within, _ = at.number("a distance such as 20 km")
    unit = _REACHES.get(at.next.text)
    if unit is None:
        raise at.error("km, miles or metres", "`within last` asks for days and hours: within last 7 days")
    at.advance()
    at.expect("of", "`of` and a place", _EXAMPLE)
    at.expect("(", "a place in brackets: (48.21, 16.37)", _EXAMPLE)
    latitude, _ = at.number("the latitude in degrees", _EXAMPLE)
    at.expect(",", "`,` and the longitude", _EXAMPLE)
    longitude, _ = at.number("the longitude in degrees", _EXAMPLE)
    at.expect(")", "`)`", _EXAMPLE)
    return Near(operand, float(latitude), float(longitude), float(within), unit)
