"""What is happening, for whoever watches: bounded, and never in the way of the event path."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Container
from typing import Any, Literal

import msgspec

from bespeak.clock import Instant

BOUND = 1_000


class Live(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that just happened, without personal data beyond the ids that a console shows."""

    kind: Literal["event", "segment", "decision"]
    at: Instant
    profile: str
    text: str
    detail: dict[str, Any] = {}


class Subscription:
    """An async iterator over what happens from now on; a slow reader loses the oldest."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._queue: deque[Live] = deque(maxlen=BOUND)
        self._ready = asyncio.Event()
        self._closed = False

    def push(self, live: Live) -> None:
        """Hand one on."""
        self._queue.append(live)
        self._ready.set()

    def forget(self, profiles: Container[str]) -> None:
        """Drop what waits about somebody who was erased."""
        kept = [live for live in self._queue if live.profile not in profiles]
        self._queue.clear()
        self._queue.extend(kept)

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Live:
        while not self._queue:
            if self._closed:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()
        return self._queue.popleft()

    def close(self) -> None:
        """Stop; the iterator ends."""
        self._closed = True
        self._ready.set()
        self._feed.drop(self)


class Feed:
    """Hands what happens to every subscription; costs nothing when nobody watches."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    @property
    def watched(self) -> bool:
        """Whether anybody watches."""
        return bool(self._subscriptions)

    def subscribe(self) -> Subscription:
        """Watch from now on."""
        subscription = Subscription(self)
        self._subscriptions.add(subscription)
        return subscription

    def drop(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        self._subscriptions.discard(subscription)

    def push(self, live: Live) -> None:
        """Hand one on to all."""
        for subscription in self._subscriptions:
            subscription.push(live)

    def forget(self, profiles: Container[str]) -> None:
        """Drop what waits, at anybody's, about somebody who was erased."""
        for subscription in self._subscriptions:
            subscription.forget(profiles)

    def close(self) -> None:
        """End every subscription."""
        for subscription in tuple(self._subscriptions):
            subscription.close()
