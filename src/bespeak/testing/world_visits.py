"""What a person does in the shop: one visit, as messages on Segment's wire.

A visit is a conversation. It yields a `Did` when the person does something, and an `Ask` when a slot
of the page comes into view; whoever drives it answers an `Ask` with the item ids that the slot shows, so
that decisions change behaviour. No clock, no network: the driver decides what `at` means.

A person chooses by taste and by how good an item is, with a bias towards the first places, and only among
what is shown: the slot, or a page of a category that they like.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from random import Random
from typing import TYPE_CHECKING, Final

import msgspec

from bespeak.catalog.item import Item
from bespeak.clock import SECOND, Instant, format_time
from bespeak.ids import new_id
from bespeak.testing.world_people import Device, Person

if TYPE_CHECKING:
    from bespeak.testing.world import World

Message = dict[str, object]
"""One message on Segment's wire: `type`, `messageId`, `anonymousId`, `timestamp`, ..."""

CURRENCY: Final = "EUR"
LIST_PAGE: Final = 12
_EYE: Final = tuple(1.0 / (1.0 + 0.18 * place) for place in range(200))
"""How likely an eye gets as far as a place, relative to the first."""


class Did(msgspec.Struct, frozen=True):
    """The person did something at `at`; `message` says so."""

    at: Instant
    message: Message


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A slot comes into view, and the person looks at what it shows.

    Parameters
    ----------
    item
        The item that the page is about; None where the page is about none.
    """

    person: Person
    device: Device
    slot: str
    at: Instant
    n: int = 8
    item: str | None = None


class Memory(msgspec.Struct):
    """What a device keeps between visits, as a cookie would: the banner's answer, and whether it is logged in."""

    asked: bool = False
    known: bool = False


Visit = Generator[Did | Ask, Sequence[str] | None, None]


def visit(world: World, person: Person, device: Device, memory: Memory, at: Instant, rng: Random) -> Visit:
    """Play one visit that starts at `at`; ends when the person leaves. `memory` is kept up to date."""
    walk = _Walk(world, person, device, memory, at, rng)
    yield from walk.arrive()
    pages = 1 + min(40, int(rng.expovariate(1.0 / person.pages_per_visit)))
    current: str | None = None
    for _ in range(pages):
        chosen = yield from walk.look(current)
        if chosen is None:
            chosen = yield from walk.browse()
        if chosen is None:
            break
        yield from walk.view(chosen)
        current = chosen
    yield from walk.leave()


class _Walk:
    """The state of one visit: where the time stands, what was seen, what is in the cart."""

    def __init__(self, world: World, person: Person, device: Device, memory: Memory, at: Instant, rng: Random) -> None:
        self.world, self.person, self.device, self.memory, self.at, self.rng = world, person, device, memory, at, rng
        self.liking = world.liking(person)
        self.seen: set[str] = set()
        self.cart: list[Item] = []
        self.order_id = f"o-{device.anonymous_id}-{at}"
        self.context: dict[str, object] = {
            "device": {"type": device.type},
            "locale": person.locale,
            "timezone": person.timezone,
            "location": {"country": person.country},
            "userAgent": device.user_agent,
        }

    def message(self, kind: str, /, **fields: object) -> Did:
        """Return what the person does at the present instant of the visit, as a message of this device."""
        message: Message = {
            "type": kind,
            "messageId": new_id(self.at, self.rng),
            "anonymousId": self.device.anonymous_id,
            "timestamp": format_time(self.at),
            "context": self.context,
            **fields,
        }
        if self.memory.known and self.person.user_id:
            message["userId"] = self.person.user_id
        return Did(self.at, message)

    def pause(self, mean: float) -> None:
        """Let time pass: at least two seconds, `mean` seconds on average above that."""
        self.at += 2 * SECOND + int(self.rng.expovariate(1.0 / mean) * SECOND)

    def arrive(self) -> Visit:
        """Answer the banner once a device, open the home page, log in if that is the person's habit."""
        yield self.page("Home", "/")
        if not self.memory.asked:
            self.memory.asked = True
            if self.person.consent != "unasked":
                self.pause(3.0)
                yield self.consent()
        if self.person.login == "at_visit" and not self.memory.known:
            self.pause(12.0)
            yield self.identify()

    def page(self, name: str, path: str, **properties: object) -> Did:
        """Return a page call."""
        return self.message("page", name=name, properties={"path": path, **properties})

    def consent(self) -> Did:
        """Return the answer to the banner, as Segment's consent message."""
        allowed = {"analytics": True, "personalization": self.person.consent == "granted"}
        context = {**self.context, "consent": {"categoryPreferences": allowed}}
        return self.message("track", event="Segment Consent Preference Updated", properties={}, context=context)

    def identify(self) -> Did:
        """Return the login; every later message of this device carries the user id."""
        self.memory.known = True
        person = self.person
        return self.message(
            "identify",
            traits={"email": person.email, "first_name": person.first_name, "country": person.country},
        )

    def look(self, current: str | None) -> Generator[Did | Ask, Sequence[str] | None, str | None]:
        """Look at the slot of the page (home, or similar items on a product page) and perhaps click."""
        if self.rng.random() > 0.8:
            return None
        slot = "home-picks" if current is None else "product-similar"
        items = yield Ask(person=self.person, device=self.device, slot=slot, at=self.at, item=current)
        chosen = self.choose(items or (), stay_away=0.6)
        if chosen is not None:
            self.pause(6.0)
            place = list(items or ()).index(chosen)
            yield self.track("Product Clicked", self.world.item(chosen), list_id=slot, position=place + 1)
        return chosen

    def browse(self) -> Generator[Did | Ask, Sequence[str] | None, str | None]:
        """Open a category that the person likes and perhaps pick from a page of it, mostly the first."""
        liking = self.person.categories
        category = self.rng.choices(tuple(liking), tuple(liking.values()))[0]
        self.pause(8.0)
        yield self.page("Category", f"/category/{category}", category=category)
        listing = self.world.listing(category)
        first = min(int(self.rng.expovariate(0.9)), max(0, len(listing) - 1) // LIST_PAGE) * LIST_PAGE
        return self.choose(listing[first : first + LIST_PAGE], stay_away=0.25)

    def choose(self, items: Sequence[str], *, stay_away: float) -> str | None:
        """Return the item that the person takes up, or None; `stay_away` weighs against all of them together."""
        row, liking, draw = self.world.row, self.liking, self.world.draws
        weights = [
            0.0 if item in self.seen else liking[at] * (0.3 + draw[at]) * _EYE[place]
            for place, (item, at) in enumerate((item, row(item)) for item in items)
        ]
        total = sum(weights)
        if total <= 0 or self.rng.random() * (total + stay_away * 0.5) > total:
            return None
        return self.rng.choices(items, weights)[0]

    def view(self, item_id: str) -> Visit:
        """Open the product's page; put it in the cart if it pleases and fits the budget."""
        self.seen.add(item_id)
        item = self.world.item(item_id)
        self.pause(10.0)
        yield self.track("Product Viewed", item)
        spent = sum(other.price or 0.0 for other in self.cart)
        fits = spent + (item.price or 0.0) <= self.person.budget
        if fits and self.rng.random() < 0.45 * self.liking[self.world.row(item_id)]:
            self.pause(20.0)
            self.cart.append(item)
            yield self.track("Product Added", item, quantity=1)

    def leave(self) -> Visit:
        """Order what is in the cart, more often than not; else just go."""
        if not self.cart or self.rng.random() > 0.6:
            return
        self.pause(10.0)
        yield self.page("Cart", "/cart")
        items = yield Ask(person=self.person, device=self.device, slot="cart-addons", at=self.at, n=4)
        chosen = self.choose(items or (), stay_away=1.5)
        if chosen is not None:
            yield from self.view(chosen)
        self.pause(25.0)
        yield self.message("track", event="Checkout Started", properties=self.order())
        if self.person.login == "at_order" and not self.memory.known:
            self.pause(15.0)
            yield self.identify()
        self.pause(30.0)
        yield self.message("track", event="Order Completed", properties=self.order())

    def track(self, event: str, item: Item, **properties: object) -> Did:
        """Return a track call about one item."""
        return self.message("track", event=event, properties={**product(item), **properties})

    def order(self) -> dict[str, object]:
        """Return what is in the cart, as the properties of an order."""
        total = sum(item.price or 0.0 for item in self.cart)
        return {
            "order_id": self.order_id,
            "revenue": total,
            "total": total,
            "currency": CURRENCY,
            "products": [{**product(item), "quantity": 1} for item in self.cart],
        }


def product(item: Item) -> dict[str, object]:
    """Return an item as the product of an e-commerce event."""
    return {
        "product_id": item.id,
        "name": item.title,
        "category": item.categories[-1],
        "brand": item.brand,
        "price": item.price,
        "currency": CURRENCY,
        "discount": item.properties["discount"],
    }
