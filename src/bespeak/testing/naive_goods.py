"""What the items of an event have, as the catalog was when it came: part of the second evaluator.

It shares nothing with the one at work: an event carries its items along, as they were, and is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from bespeak.catalog import Item
from bespeak.events import Event


class Speaking(Event, frozen=True, kw_only=True, gc=False):
    """An event, and those of its items that the catalog had when it came."""

    items: tuple[Item, ...] = ()


def speaking(event: Event, items: Iterable[Item]) -> Event:
    """Return an event that carries its items; one without any as it is."""
    carried = tuple(items)
    fields = {name: getattr(event, name) for name in Event.__struct_fields__}
    return Speaking(**fields, items=carried) if carried else event


def of_items(event: Event, parts: Sequence[str]) -> object:
    """Return what stands at a path of the items of an event: of one what it has, of several all that any has.

    Examples
    --------
    >>> bought = Event(type="track", name="Order Completed", message_id="m", time=0, received=0)
    >>> shoes = Item(id="p1", brand="Nike", tags=("new", "sale")), Item(id="p2", properties={"size": {"eu": 42}})
    >>> of_items(speaking(bought, shoes[:1]), ["tags"]), of_items(speaking(bought, shoes), ["properties", "size", "eu"])
    (['new', 'sale'], [42])
    >>> of_items(bought, ["brand"])
    """
    said = [_of(item, parts) for item in (event.items if isinstance(event, Speaking) else ())]
    if len(said) == 1:
        return said[0]
    found: list[object] = []
    for value in said:
        if isinstance(value, list):
            found += cast("list[object]", value)
        elif value is not None:
            found.append(value)
    return found or None


def _of(item: Item, parts: Sequence[str]) -> object:
    value: object = getattr(item, parts[0])
    for part in parts[1:]:
        value = cast("dict[str, object]", value).get(part) if isinstance(value, dict) else None
    return list(cast("tuple[object, ...]", value)) if isinstance(value, tuple) else value
