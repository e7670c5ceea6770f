"""The recommenders of a store: what they learn from the log, and their checkpoints, each with its own offset."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from bespeak.events import Event
from bespeak.events.vocabulary import ITEM_WEIGHTS, item_ids
from bespeak.profiles import Profile, Recent
from bespeak.recommend import Interaction, Recommender
from bespeak.stores import Product, Store

HISTORY = 50
"""Earlier items handed to a learner with each interaction."""


class Models:
    """Every recommender, learning event by event.

    Parameters
    ----------
    make
        Makes the recommenders, empty, in the order in which decisions ask them.
    """

    def __init__(self, make: Callable[[], tuple[Recommender, ...]]) -> None:
        self._make = make
        self.recommenders = make()
        self.offset = 0
        self._offsets: dict[str, int] = {}
        self._changed = False

    def learn(self, profile: Profile, event: Event, offset: int) -> None:
        """Take in an event that was folded into `profile`; events without items teach nothing.

        A recommender whose checkpoint includes `offset` leaves it out.
        """
        if event.name not in ITEM_WEIGHTS:
            return
        items = item_ids(event)
        if not items:
            return
        history = history_before(profile.recent, event)
        for item in items:
            interaction = Interaction(item, event.name, event.time, history)
            for recommender in self.recommenders:
                if offset > self._offsets.get(recommender.name, 0):
                    recommender.learn(interaction)
        self._changed = True

    def load(self, store: Store) -> None:
        """Start anew from every recommender's checkpoint; `offset` is the oldest that they include."""
        self.recommenders = self._make()
        self._changed = False
        for recommender in self.recommenders:
            product = store.product("model:" + recommender.name)
            if product is not None:
                recommender.load(product.data)
            self._offsets[recommender.name] = product.offset if product is not None else 0
        self.offset = min(self._offsets.values(), default=0)

    def products(self, offset: int) -> tuple[Product, ...]:
        """Return every recommender's state as of `offset`; nothing when nothing was learned since the last call."""
        if not self._changed:
            return ()
        self._changed = False
        return tuple(Product("model:" + one.name, offset, one.dump()) for one in self.recommenders)


def history_before(recent: list[Recent], event: Event) -> tuple[str, ...]:
    """Return the items that the person dealt with before this event, oldest first, at most `HISTORY`."""
    place = bisect_left(recent, (event.time, event.message_id), key=lambda row: (row.time, row.message_id))
    items = [row.item for row in recent[max(0, place - 2 * HISTORY) : place] if row.item is not None]
    return tuple(items[-HISTORY:])
