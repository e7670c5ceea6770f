"""What the catalog knows of the items that an event speaks of, for filters such as `where item.brand = "Nike"`."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from bespeak.catalog import Item
from bespeak.conditions.counting.where import Happening
from bespeak.events import Event
from bespeak.events.vocabulary import item_ids

_FIELDS: dict[str, Callable[[Item], object]] = {
    "id": lambda item: item.id,
    "title": lambda item: item.title,
    "url": lambda item: item.url,
    "image": lambda item: item.image,
    "categories": lambda item: item.categories,
    "tags": lambda item: item.tags,
    "brand": lambda item: item.brand,
    "price": lambda item: item.price,
    "stock": lambda item: item.stock,
    "hidden": lambda item: item.hidden,
}


def fields_of(item: Item) -> dict[str, object]:
    """Return all that a filter can read of an item, by name.

    Examples
    --------
    >>> found = fields_of(Item(id="p1", brand="Nike", properties={"size": 42}))
    >>> found["brand"], found["price"], found["properties"]
    ('Nike', None, {'size': 42})
    """
    return {**{name: read(item) for name, read in _FIELDS.items()}, "properties": item.properties}


class ItemValues:
    """Reads an attribute of the items of an event, as the catalog has them now.

    Of several items, all their values as a list; of items that the catalog does not know, nothing.

    Parameters
    ----------
    item
        The catalog's look-up.

    Examples
    --------
    >>> shoes = {"p1": Item(id="p1", brand="Nike", tags=("red",)), "p2": Item(id="p2", brand="Puma")}
    >>> bought = Event(type="track", name="Order Completed", message_id="m", time=0, received=0,
    ...     properties={"products": ["p1", "p2", "p3"]})
    >>> read = ItemValues(shoes.get)
    >>> read(bought, ("brand",)), read(bought, ("tags",)), read(bought, ("price",))
    (['Nike', 'Puma'], ['red'], None)
    """

    def __init__(self, item: Callable[[str], Item | None]) -> None:
        self._item = item

    def __call__(self, event: Happening, parts: tuple[str, ...], /) -> object:
        """Return the value at a path of the items, without its first part `item`; None where there is none."""
        found = [item for item_id in item_ids(cast("Event", event)) if (item := self._item(item_id)) is not None]
        if len(found) == 1:
            return _value(found[0], parts)
        values: list[object] = []
        for item in found:
            value = _value(item, parts)
            if isinstance(value, list | tuple):
                values += cast("list[object]", value)
            elif value is not None:
                values.append(value)
        return values or None


def _value(item: Item, parts: tuple[str, ...]) -> object:
    if len(parts) == 1:
        field = _FIELDS.get(parts[0])
        return None if field is None else field(item)
    found: object = item.properties
    for part in parts[1:]:
        found = cast("dict[str, object]", found).get(part) if isinstance(found, dict) else None
    return found
