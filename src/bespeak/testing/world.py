"""A seeded town: a shop's goods, and people with known tastes, budgets, habits and consent.

The tastes are the truth that decisions are measured against; the engine sees only what people do. All of it
follows from the seed: a failure found here is a number that brings it back.

Examples
--------
>>> world = World(7, people=20, items=60)
>>> messages = list(world.visits(world.people[3], world.opened, days=30))
>>> messages[0]["type"], messages == list(world.visits(world.people[3], world.opened, days=30))
('page', True)
>>> float(world.taste(world.people[3]).max())
1.0
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from operator import attrgetter
from random import Random

import numpy as np
from numpy.typing import NDArray

from bespeak.catalog.item import Item
from bespeak.clock import DAY, HOUR, MINUTE, Instant, parse_time
from bespeak.errors import InvalidInput
from bespeak.testing.world_faults import Delivery, Fault, Faults, deliver
from bespeak.testing.world_goods import make_goods
from bespeak.testing.world_people import ConsentHabit, Device, LoginHabit, Person, make_person
from bespeak.testing.world_visits import Ask, Did, Memory, Message, Visit, product, visit
from bespeak.testing.world_words import COLOURS, DEPARTMENTS, KINDS, STYLES, Kind

__all__ = [
    "COLOURS",
    "DEPARTMENTS",
    "KINDS",
    "OPENED",
    "STYLES",
    "Ask",
    "ConsentHabit",
    "Delivery",
    "Device",
    "Did",
    "Fault",
    "Faults",
    "Kind",
    "LoginHabit",
    "Memory",
    "Message",
    "Person",
    "Shown",
    "Visit",
    "World",
    "arrivals",
    "deliver",
    "play",
    "product",
    "visit",
]

OPENED: Instant = parse_time("2026-01-05")
"""The day the shop opened, when nothing else is said: a Monday."""

Shown = Callable[[Ask], Sequence[str]]
"""What answers a slot: the item ids that it shows, in order."""


class World:
    """A seeded town.

    Parameters
    ----------
    seed
        Everything follows from it.
    people, items
        How many; at least 1 person and 12 items (one a category).
    opened
        When the shop opened; items entered the catalog up to 300 days before.

    Raises
    ------
    InvalidInput
        Too few people or items.
    """

    def __init__(self, seed: int, *, people: int = 2000, items: int = 500, opened: Instant = OPENED) -> None:
        if people < 1 or items < len(KINDS):
            raise InvalidInput(
                f"a world has at least 1 person and {len(KINDS)} items, got people={people}, items={items}"
            )
        self.seed = seed
        self.opened = opened
        self.items: tuple[Item, ...]
        self.draws: tuple[float, ...]
        self.items, self.draws = make_goods(items, opened=opened, rng=Random(f"goods {seed}"))
        self.people: tuple[Person, ...] = tuple(
            make_person(place, seed=seed, rng=Random(f"person {seed} {place}")) for place in range(people)
        )
        self._rows = {item.id: row for row, item in enumerate(self.items)}
        self._liking: dict[str, list[float]] = {}

    def row(self, item_id: str) -> int:
        """Return the place of an item in `items`; raises KeyError for an item of another world."""
        return self._rows[item_id]

    def item(self, item_id: str) -> Item:
        """Return an item by its id; raises KeyError for an item of another world."""
        return self.items[self._rows[item_id]]

    def find(self, item_id: str) -> Item | None:
        """Return an item by its id, or None."""
        row = self._rows.get(item_id)
        return None if row is None else self.items[row]

    def listing(self, category: str) -> tuple[str, ...]:
        """Return the ids of a category's items that can be sold, the most liked by everybody first."""
        return self._listings[category]

    def popular(self, n: int = 8) -> tuple[str, ...]:
        """Return what the shop window shows without an engine: what everybody likes most."""
        return self._window[:n]

    def taste(self, person: Person) -> NDArray[np.float64]:
        """Return the person's true relevance of each item, shape (len(items),), 0 to 1; the best item has 1.

        It is a product: category, style, colour, price against the level they like, and a part that everybody
        shares. The engine never reads it.
        """
        columns = self._columns
        liked = np.array([person.categories[kind.key] for kind in KINDS])[columns.kind]
        style = np.array([person.styles[name] for name in sorted(STYLES)])[columns.styles].mean(axis=1)
        colour = np.array([person.families[name] for name in columns.families])[columns.family]
        price = np.exp(-0.5 * ((columns.level - person.price_level) / 0.9) ** 2)
        taste = liked * (0.15 + 0.85 * style) * (0.4 + 0.6 * price) * (0.6 + 0.4 * colour) * (0.5 + 0.5 * columns.draw)
        best: NDArray[np.float64] = taste / taste.max()
        return best

    def liking(self, person: Person) -> list[float]:
        """Return `taste` as a list, for choosing one by one; kept, since a person comes again."""
        known = self._liking.get(person.id)
        if known is None:
            known = self._liking[person.id] = self.taste(person).tolist()
        return known

    def without_engine(self, ask: Ask) -> Sequence[str]:
        """Answer a slot as a shop without an engine does: bestsellers, of the same category on a product page."""
        if ask.item is None:
            return self.popular(ask.n)
        same = self.listing(self.item(ask.item).categories[-1])
        return [item for item in same[: ask.n + 1] if item != ask.item][: ask.n]

    def visits(
        self, person: Person, start: Instant, *, days: float, rng: Random | None = None, shown: Shown | None = None
    ) -> Iterator[Message]:
        """Yield what the person does from `start` on for `days`, in the order of time.

        Without `rng` it follows from the seed, the person and `start`; without `shown` slots are answered by
        `without_engine`. The person is taken to come for the first time.
        """
        for did in self._deeds(person, start, days, rng, shown):
            yield did.message

    def history(self, start: Instant, *, days: float, shown: Shown | None = None) -> Iterator[Message]:
        """Yield what everybody does from `start` on for `days`, merged in the order of time.

        A person's slots are asked for only after all that this person did before was yielded.
        """
        streams = [self._deeds(person, start, days, None, shown) for person in self.people]
        for did in heapq.merge(*streams, key=attrgetter("at")):
            yield did.message

    def deliveries(self, start: Instant, *, days: float, faults: Faults) -> Iterator[Delivery]:
        """Yield `history` as it arrives when messages are dropped, doubled, late and damaged."""
        return deliver(self.history(start, days=days), faults, Random(f"faults {self.seed} {start}"))

    def _deeds(
        self, person: Person, start: Instant, days: float, rng: Random | None, shown: Shown | None
    ) -> Iterator[Did]:
        rng = rng or Random(f"visits {self.seed} {person.id} {start}")
        memories = {device.anonymous_id: Memory() for device in person.devices}
        free = start
        for at in arrivals(person, start, days=days, rng=rng):
            device = rng.choices(person.devices, (3, 1)[: len(person.devices)])[0]
            steps = visit(self, person, device, memories[device.anonymous_id], max(at, free), rng)
            for did in play(steps, shown or self.without_engine):
                yield did
                free = did.at + MINUTE

    @cached_property
    def _columns(self) -> _Columns:
        return _Columns(self.items, self.draws)

    @cached_property
    def _window(self) -> tuple[str, ...]:
        order = sorted(range(len(self.items)), key=lambda row: -self.draws[row])
        return tuple(self.items[row].id for row in order if self.items[row].stock)

    @cached_property
    def _listings(self) -> dict[str, tuple[str, ...]]:
        return {
            kind.key: tuple(item for item in self._window if self.item(item).categories[-1] == kind.key)
            for kind in KINDS
        }


class _Columns:
    """What tastes read of the items, as arrays with one row an item."""

    def __init__(self, items: Sequence[Item], draws: Sequence[float]) -> None:
        kinds = {kind.key: place for place, kind in enumerate(KINDS)}
        styles = {name: place for place, name in enumerate(sorted(STYLES))}
        self.families = sorted({colour.family for colour in COLOURS})
        self.kind = np.array([kinds[item.categories[-1]] for item in items])
        self.styles = np.array([[styles[tag] for tag in item.tags[:2]] for item in items])
        self.family = np.array([self.families.index(item.tags[2]) for item in items])
        self.level = np.array([_level(item) for item in items])
        self.draw = np.array(draws)


def _level(item: Item) -> float:
    """Return how dear an item is in its category, in standard deviations of the logarithm."""
    kind = next(kind for kind in KINDS if kind.key == item.categories[-1])
    return math.log((item.price or kind.price) / kind.price) / kind.spread


def arrivals(person: Person, start: Instant, *, days: float, rng: Random) -> Iterator[Instant]:
    """Yield when the person comes, in order: some days not at all, and around the hour that they like."""
    times: list[Instant] = []
    for day in range(math.ceil(days)):
        part = min(1.0, days - day)
        if rng.random() < 1.0 - math.exp(-person.visits_per_day * part):
            hour = rng.gauss(person.hour, 1.5) % 24
            times.append(start + day * DAY + int(part * hour * HOUR))
    yield from sorted(times)


def play(steps: Visit, shown: Shown) -> Iterator[Did]:
    """Drive one visit, answering its slots by `shown`; yield what the person does."""
    answer: Sequence[str] | None = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration:
            return
        answer = None
        if isinstance(step, Ask):
            answer = shown(step)
        else:
            yield step
