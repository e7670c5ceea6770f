"""The shop's goods: 500 seeded items that look, cost and are called like things one could buy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from bespeak.catalog.item import Item
from bespeak.clock import DAY, Instant
from bespeak.testing.world_words import BRANDS, COLOURS, KINDS, SERIES, STYLES, Colour, Kind

_OPENINGS: dict[str, str] = {
    "minimal": "Nothing added, nothing missing.",
    "rustic": "A little rough at the edges, on purpose.",
    "bold": "For rooms and people that can take it.",
    "classic": "It will look right in thirty years, too.",
    "playful": "Because Mondays exist.",
    "natural": "Drawn after what grows behind the workshop.",
    "vintage": "A pattern from the archive, made anew.",
    "graphic": "Clean lines that hold the eye.",
}


def make_goods(count: int, *, opened: Instant, rng: Random) -> tuple[tuple[Item, ...], tuple[float, ...]]:
    """Make `count` items, spread over the twelve categories, and how much everybody likes each (0 to 1).

    The second value, the *draw* of an item, is skewed as popularity is in real shops: a few stand out.
    """
    taken: set[str] = set()
    items = tuple(_make_item(place, KINDS[place % len(KINDS)], taken, opened, rng) for place in range(count))
    return items, tuple(rng.random() ** 2.5 for _ in items)


def _make_item(place: int, kind: Kind, taken: set[str], opened: Instant, rng: Random) -> Item:
    noun, shape = rng.choice(kind.shapes)
    material, sentence = rng.choice(kind.materials)
    colour = rng.choice(COLOURS)
    brand, factor = rng.choice(BRANDS)
    styles = tuple(rng.sample(sorted(STYLES), 2))
    full = _tidy(kind.price * factor * math.exp(rng.gauss(0.0, kind.spread)))
    discount = rng.choice((10, 20, 30)) if rng.random() < 0.15 else 0
    item_id = f"{kind.key}-{place + 1:04d}"
    return Item(
        id=item_id,
        title=_title(taken, material, noun, colour, rng),
        url=f"/product/{item_id}",
        image=f"/pictures/{item_id}.svg",
        categories=(kind.department, kind.key),
        tags=(*styles, colour.family, *(("sale",) if discount else ())),
        brand=brand,
        price=_tidy(full * (100 - discount) / 100) if discount else full,
        stock=0 if rng.random() < 0.04 else rng.randint(2, 60),
        created=opened - rng.randint(0, 300) * DAY,
        properties={
            "color": colour.name,
            "material": material,
            "type": noun,
            "shape": shape,
            "style": styles[0],
            "discount": discount,
            "full_price": full,
            "description": f"{_OPENINGS[styles[0]]} {sentence}",
        },
    )


def _title(taken: set[str], material: str, noun: str, colour: Colour, rng: Random) -> str:
    """Return a title that no other item has; the series name is drawn again until it is so."""
    names: Sequence[str] = rng.sample(SERIES, len(SERIES))
    for name in names:
        title = f"{name} {material} {noun} in {colour.name}"
        if title not in taken:
            taken.add(title)
            return title
    title = f"{names[0]} {material} {noun} in {colour.name} No. {len(taken)}"
    taken.add(title)
    return title


def _tidy(price: float) -> float:
    """Round a price as shops do: whole euros from 20 on, else to half euros, never below 4."""
    return max(4.0, float(round(price)) if price >= 20 else round(price * 2) / 2)
