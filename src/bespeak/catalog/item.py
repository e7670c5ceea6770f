"""What can be shown."""

from __future__ import annotations

from typing import Any

import msgspec

from bespeak.clock import Instant


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One thing that can be shown: a product, an article, a film.

    Parameters
    ----------
    id
        1 to 200 characters, unique in the catalog.
    categories
        From the widest to the narrowest: `("clothing", "shoes")`.
    stock
        Pieces that can be sold; 0 is never recommended; None is not counted.
    hidden
        Never shown, whatever else is true.
    properties
        Anything else, read in conditions as `item.properties.NAME`.
    created
        When it entered the catalog (microseconds).
    """

    id: str
    title: str = ""
    url: str = ""
    image: str = ""
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    brand: str = ""
    price: float | None = None
    stock: int | None = None
    hidden: bool = False
    created: Instant = 0
    properties: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if not 1 <= len(self.id) <= 200:
            raise ValueError(f"item id must have 1 to 200 characters, got {len(self.id)}")
        if self.price is not None and not 0 <= self.price < 1e12:
            raise ValueError(f"item {self.id!r}: price must be 0 or more, got {self.price}")
