"""The recommenders of a store: what they learn from the log, and their checkpoints, each with its own offset."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping

import msgspec

from bespeak.events import Event, item_ids
from bespeak.profiles import Profile, Recent
from bespeak.recommend import Interaction, Recommender
from bespeak.stores import Product, Store

HISTORY = 50
"""Earlier items handed to a learner with each interaction, at most."""

PENDING_MAX = 20_000
"""Interactions written beside the last full state; with more of them the full state is written again."""

_PENDING = "model:pending"
_decoder = msgspec.msgpack.Decoder(list[Interaction])


class Models:
    """Every recommender, learning event by event.

    A checkpoint holds each recommender's state, written now and then since it may be large, and what was learned
    since; together they are exactly what was live.

    Parameters
    ----------
    make
        Makes the recommenders, empty, in the order in which decisions ask them.
    weights
        Weight by event name; an event that is not here teaches nothing, and is no history either.
    history
        Earlier items handed to the recommenders with each interaction: as many as the most curious of them reads.
    """

    def __init__(
        self,
        make: Callable[[], tuple[Recommender, ...]],
        weights: Mapping[str, float],
        *,
        history: int = HISTORY,
    ) -> None:
        self._make = make
        self._weights = weights
        self._history = min(history, HISTORY)
        self.recommenders = make()
        self._pending: list[Interaction] = []
        self._written = 0

    def learn(self, profile: Profile, event: Event) -> None:
        """Take in an event that was just folded into `profile`; events without items teach nothing."""
        if event.name not in self._weights:
            return
        items = item_ids(event)
        if not items:
            return
        history = self._history_before(profile.recent, event)
        for item in items:
            interaction = Interaction(item, event.name, event.time, history)
            self._pending.append(interaction)
            self._learn(interaction)

    def load(self, store: Store) -> None:
        """Start anew from the checkpoint."""
        self.recommenders = self._make()
        for recommender in self.recommenders:
            product = store.product("model:" + recommender.name)
            if product is not None:
                recommender.load(product.data)
        pending = store.product(_PENDING)
        self._pending = _decoder.decode(pending.data) if pending is not None else []
        self._written = len(self._pending)
        for interaction in self._pending:
            self._learn(interaction)

    def products(self, offset: int, *, full: bool) -> tuple[Product, ...]:
        """Return what a checkpoint at `offset` must hold; nothing when nothing was learned since the last one.

        Parameters
        ----------
        full
            Whether to write the whole state; it is written anyway when too much was learned since.
        """
        if (full and self._pending) or len(self._pending) > PENDING_MAX:
            self._pending, self._written = [], 0
            states = tuple(Product("model:" + one.name, offset, one.dump()) for one in self.recommenders)
            return (*states, Product(_PENDING, offset, msgspec.msgpack.encode(self._pending)))
        if len(self._pending) == self._written:
            return ()
        self._written = len(self._pending)
        return (Product(_PENDING, offset, msgspec.msgpack.encode(self._pending)),)

    def _learn(self, interaction: Interaction) -> None:
        for recommender in self.recommenders:
            recommender.learn(interaction)

    def _history_before(self, recent: list[Recent], event: Event) -> tuple[str, ...]:
        """Return the items that the person dealt with before this event, oldest first."""
        weights, most = self._weights, self._history
        end = _place(recent, event)
        oldest = max(0, end - 4 * most)
        items: list[str] = []
        while end > oldest and len(items) < most:
            start = max(oldest, end - most)
            items[:0] = [row.item for row in recent[start:end] if row.item is not None and row.name in weights]
            end = start
        return tuple(items[-most:])


def _place(recent: list[Recent], event: Event) -> int:
    """Return how many recent events come before this one, which is among them and mostly the newest."""
    time, message_id = event.time, event.message_id
    if recent and recent[-1].time > time:
        return bisect_left(recent, (time, message_id), key=lambda row: (row.time, row.message_id))
    place = len(recent)
    while place and recent[place - 1].time == time and recent[place - 1].message_id >= message_id:
        place -= 1
    return place
