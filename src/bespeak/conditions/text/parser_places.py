"""The text of distances and buckets: `within 20 km of (48.21, 16.37)`, `bucket("spring")`."""

from __future__ import annotations

from bespeak.conditions.meaning.heads import BUCKET
from bespeak.conditions.text.cursor import Cursor
from bespeak.conditions.tree import Near, Operand, Path, Reach

_REACHES: dict[str, Reach] = {
    **dict.fromkeys(("km", "kilometers", "kilometres", "kilometer", "kilometre"), "km"),
    **dict.fromkeys(("mi", "mile", "miles"), "miles"),
    **dict.fromkeys(("m", "meters", "metres", "meter", "metre"), "metres"),
}
_TIMES = frozenset({"millisecond", "second", "minute", "hour", "day", "week", "month", "year"})
_EXAMPLE = "write within 20 km of (48.21, 16.37)"


def begins_bucket(at: Cursor) -> bool:
    """Say whether `bucket(` stands here; a path may begin with the word, too."""
    return at.next.text == BUCKET and at.after(1).text == "("


def read_bucket(at: Cursor) -> Path:
    """Take `bucket("SALT")`."""
    at.advance()
    return Path(f"{BUCKET}.{at.bracketed(lambda: at.string('a salt in double quotes'))}")


def begins_near(at: Cursor) -> bool:
    """Say whether a distance stands behind the `within` that stands here, and no length of time."""
    return at.after(1).kind == "number" and at.after(2).text.removesuffix("s") not in _TIMES


def read_near(at: Cursor, operand: Operand) -> Near:
    """Take `within` and what follows, where that is a number and no `last`."""
    at.advance()
    within, _ = at.number("a distance such as 20 km")
    unit = _REACHES.get(at.next.text)
    if unit is None:
        raise at.error("km, miles or metres", _EXAMPLE)
    at.advance()
    at.expect("of", "`of` and a place", _EXAMPLE)
    at.expect("(", "a place in brackets: (48.21, 16.37)", _EXAMPLE)
    latitude, _ = at.number("the latitude in degrees", _EXAMPLE)
    at.expect(",", "`,` and the longitude", _EXAMPLE)
    longitude, _ = at.number("the longitude in degrees", _EXAMPLE)
    at.expect(")", "`)`", _EXAMPLE)
    return Near(operand, latitude, longitude, within, unit)
