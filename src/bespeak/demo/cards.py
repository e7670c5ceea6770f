"""Cards: an item as the templates show it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bespeak.catalog import Catalog, Item
from bespeak.testing.world import product

Card = dict[str, object]


def money(amount: float | None) -> str:
    """Return a price as the shop writes it: `€ 89` or `€ 17.50`.

    Examples
    --------
    >>> money(89.0), money(17.5), money(1204.0)
    ('€ 89', '€ 17.50', '€ 1,204')
    """
    if amount is None:
        return ""
    return f"€ {amount:,.0f}" if float(amount).is_integer() else f"€ {amount:,.2f}"


def card(item: Item, *, eager: bool = False) -> Card:
    """Return what a card shows of an item; `properties` is the item as an e-commerce event names it, as JSON."""
    discount = item.properties.get("discount") or 0
    return {
        "id": item.id,
        "title": item.title,
        "brand": item.brand,
        "url": item.url,
        "image": item.image,
        "price": money(item.price),
        "full_price": money(item.properties.get("full_price")) if discount else "",
        "badge": _badge(item, int(discount)),
        "loading": "eager" if eager else "lazy",
        "properties": json.dumps(product(item), separators=(",", ":")),
    }


def cards(catalog: Catalog, ids: Sequence[str], *, eager: int = 0) -> list[Card]:
    """Return the cards of those ids that the catalog has; the first `eager` pictures are loaded at once."""
    found = [item for item in map(catalog.item, ids) if item is not None]
    return [card(item, eager=place < eager) for place, item in enumerate(found)]


def _badge(item: Item, discount: int) -> str:
    if item.stock == 0:
        return "Sold out"
    return f"{discount} % off" if discount else ""


def stock(item: Item) -> tuple[str, str]:
    """Return how much there is, in words, and the class that colours it."""
    if item.stock is None:
        return "In stock", "plenty"
    if item.stock == 0:
        return "Sold out for now", "none"
    if item.stock <= 5:
        return f"Only {item.stock} left", "few"
    return f"In stock: {item.stock} pieces", "plenty"
