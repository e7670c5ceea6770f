"""The cart: what the visitor wants to buy, kept in a cookie, so that the shop keeps nothing itself."""

from __future__ import annotations

import re

import msgspec

LINES_MAX = 20
QUANTITY_MAX = 9
_LINE = re.compile(r"([a-z0-9-]{1,40}):([1-9])")


class Cart(msgspec.Struct, frozen=True):
    """Item ids with how many of each: at most 20 lines of 1 to 9 pieces.

    Examples
    --------
    >>> Cart.read("mugs-0004:1").add("mugs-0004", 2).write()
    'mugs-0004:3'
    """

    lines: tuple[tuple[str, int], ...] = ()

    @classmethod
    def read(cls, text: str) -> Cart:
        """Read a cookie; what is not a line is left out."""
        found: dict[str, int] = {}
        for match in filter(None, map(_LINE.fullmatch, text[:2_000].split("|"))):
            found[match[1]] = int(match[2])
        return cls(tuple(found.items())[:LINES_MAX])

    def write(self) -> str:
        """Return the cookie's text; `read` is the inverse."""
        return "|".join(f"{item}:{quantity}" for item, quantity in self.lines)

    def add(self, item: str, quantity: int) -> Cart:
        """Return the cart with more of an item."""
        return self.put(item, dict(self.lines).get(item, 0) + quantity)

    def put(self, item: str, quantity: int) -> Cart:
        """Return the cart with so many of an item; 0 takes it out. A line too many is not added."""
        lines = dict(self.lines)
        if quantity <= 0:
            lines.pop(item, None)
        elif item in lines or len(lines) < LINES_MAX:
            lines[item] = min(quantity, QUANTITY_MAX)
        return Cart(tuple(lines.items()))

    @property
    def count(self) -> int:
        """Pieces in all."""
        return sum(quantity for _, quantity in self.lines)
