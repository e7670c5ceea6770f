"""A category's page: its goods in an order, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from bespeak.catalog import Catalog, Item
from bespeak.demo.cards import card
from bespeak.demo.visitor import Visitor

PAGE_SIZE = 24

_SORTS: Mapping[str, tuple[str, str, Callable[[Item], tuple[float, str]]]] = {
    "new": ("Newest", "the newest first", lambda item: (-item.created, item.id)),
    "low": ("Lowest price", "the lowest price first", lambda item: (item.price or 0.0, item.id)),
    "high": ("Highest price", "the highest price first", lambda item: (-(item.price or 0.0), item.id)),
}


def listing(catalog: Catalog, key: str, query: Mapping[str, str], visitor: Visitor) -> dict[str, object]:
    """Return the page of a category that the query asks for (`sort`, `page`); what makes no sense is the first."""
    sort = query.get("sort", "new") if query.get("sort") in _SORTS else "new"
    ids = [catalog.ids[int(row)] for row in catalog.category_rows(key)]
    items = sorted(
        (item for item in map(catalog.item, ids) if item is not None and not item.hidden), key=_SORTS[sort][2]
    )
    last = max(1, -(-len(items) // PAGE_SIZE))
    text = query.get("page", "1")
    page = min(last, max(1, int(text))) if text.isdecimal() and len(text) < 6 else 1
    shown = items[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]

    def url(**changes: object) -> str:
        fields = {"sort": sort, **changes, **({"why": 1} if visitor.why else {})}
        return f"/category/{key}?{urlencode(fields)}"

    return {
        "total": len(items),
        "order_words": _SORTS[sort][1],
        "cards": [card(item) for item in shown],
        "sorts": [
            {"title": title, "url": url(sort=name), "current": name == sort} for name, (title, _, _) in _SORTS.items()
        ],
        "pages": [
            {"number": number, "url": url(page=number), "current": number == page} for number in range(1, last + 1)
        ],
    }
