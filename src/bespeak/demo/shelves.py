"""Shelves: the shop's slots, asked of the engine in process, as the templates show them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from bespeak.catalog import Catalog
from bespeak.decide import DecideRequest, Decision, SlotAnswer, SlotRequest
from bespeak.demo import words
from bespeak.demo.cards import Card, cards
from bespeak.engine import Engine
from bespeak.privacy import Key

Shelf = dict[str, object]

PICKS, SIMILAR, ADDONS, TRENDING, HERO = "home-picks", "product-similar", "cart-addons", "home-trending", "home-hero"
ART = 3
"""Picks that the welcome shows as pictures, beyond those on the shelf."""
_SIZES: Mapping[str, int] = {PICKS: 8, SIMILAR: 4, ADDONS: 4, TRENDING: 4, HERO: 0}
_CATEGORY = "category-picks"


class Shown(msgspec.Struct, frozen=True):
    """What one page was told to show: the decision, and the one that every visitor gets for what is trending."""

    decision: Decision
    common: Decision | None = None

    @property
    def slots(self) -> Mapping[str, SlotAnswer]:
        """Every slot of the page with its answer."""
        return {**self.decision.slots, **(self.common.slots if self.common is not None else {})}


def ask(
    engine: Engine,
    key: Key,
    anonymous_id: str,
    slots: Sequence[str],
    *,
    item: str | None = None,
    category: str | None = None,
    exclude: Sequence[str] = (),
) -> Shown:
    """Ask for the slots of a page; `item` is the one that the page is about, `exclude` what it shows anyway."""
    requests = [
        SlotRequest(
            id=name,
            n=_SIZES.get(name, 4) + (ART if name == PICKS and HERO in slots else 0),
            item=item if name == SIMILAR else None,
            category=category if name == _CATEGORY else None,
            exclude=tuple(exclude),
        )
        for name in slots
        if name != TRENDING
    ]
    request = DecideRequest(anonymous_id=anonymous_id, slots=tuple(requests), explain=True)
    decision = engine.decide(request, key=key)
    if TRENDING not in slots:
        return Shown(decision)
    shown = [scored.item for answer in decision.slots.values() for scored in answer.items]
    everybody = DecideRequest(slots=(SlotRequest(id=TRENDING, n=_SIZES[TRENDING], exclude=tuple(shown)),), explain=True)
    return Shown(decision, engine.decide(everybody, key=key))


def shelf(shown: Shown, slot: str, catalog: Catalog, *, eager: int = 0) -> Shelf:
    """Return one slot as the template `shelf` shows it."""
    answer = shown.slots.get(slot, SlotAnswer(reason=""))
    decision = shown.common if slot == TRENDING and shown.common is not None else shown.decision
    items = answer.items[: _SIZES.get(slot, 4)]
    personal = any(why.event in words.DEEDS for scored in items for why in scored.why)
    found: list[Card] = cards(catalog, [scored.item for scored in items], eager=eager)
    because = words.lead(items, catalog) if slot in (PICKS, _CATEGORY) else ""
    return {
        "slot": slot,
        "title": _TITLES[slot](personal),
        "because": because,
        "grid": "",
        "decision": decision.decision_id,
        "cards": found,
    }


def _either(personal: str, common: str) -> Callable[[bool], str]:
    return lambda is_personal: personal if is_personal else common


_TITLES: Mapping[str, Callable[[bool], str]] = {
    PICKS: _either("Picked for you", "A good place to start"),
    SIMILAR: _either("You may also like", "You may also like"),
    ADDONS: _either("Goes well with it", "Goes well with it"),
    TRENDING: _either("Trending now", "Trending now"),
    _CATEGORY: _either("Your kind of it", "Most wanted here"),
}
CATEGORY = _CATEGORY
