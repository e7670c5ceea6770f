"""What a town's messages lack: shared devices, people who turn out to be one, changed minds, clocks that are wrong.

All of it is legal on the wire; what is not (damage, drops, doubles) is `world_faults`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Final

from bespeak.clock import DAY, HOUR, MINUTE, Instant, format_time, parse_time
from bespeak.events.vocabulary import CONSENT_UPDATED, ITEM_HIDDEN
from bespeak.testing.world import World
from bespeak.testing.world_visits import Message

BACK: Final = (HOUR, 20 * HOUR, 2 * DAY, 9 * DAY)
"""How much older than it should be a message may say that it is."""


class Mischief:
    """Makes a town's messages worse; everything follows from the seed of the world.

    Parameters
    ----------
    share
        Share of the messages that something happens to, 0 to 1.
    """

    def __init__(self, world: World, *, share: float = 0.25) -> None:
        self._rng = Random(f"mischief {world.seed}")
        self._share = share
        self._items = [item.id for item in world.items]
        self._devices = [device.anonymous_id for person in world.people for device in person.devices]
        self._users = [person.user_id for person in world.people if person.user_id is not None] or ["customer-none"]
        self._more = 0

    def over(self, messages: Iterable[Message]) -> Iterator[Message]:
        """Yield the messages, some of them changed and some with others behind them."""
        for message in messages:
            if self._rng.random() >= self._share:
                yield message
                continue
            kinds: tuple[Callable[[Message], Iterator[Message]], ...] = (
                self._on_a_shared_device,
                self._identified,
                self._two_people,
                self._changed_mind,
                self._said_beside,
                self._hidden,
                self._of_a_group,
                self._wrong_time,
                self._too_large,
            )
            weights = (3, 3, 2, 3, 3, 2, 1, 4, 1)
            (kind,) = self._rng.choices(kinds, weights)
            yield from kind(message)

    def _new(self, message: Message, **fields: object) -> Message:
        """Return another message of the same device, at the same time and under an id of its own."""
        self._more += 1
        kept = {name: message[name] for name in ("anonymousId", "timestamp", "context")}
        return {**kept, "messageId": f"more-{self._more}-{message['messageId']}", **fields}

    def _on_a_shared_device(self, message: Message) -> Iterator[Message]:
        yield {**message, "anonymousId": self._rng.choice(self._devices)}

    def _identified(self, message: Message) -> Iterator[Message]:
        yield message
        traits = {"plan": self._rng.choice(("free", "pro")), "logins": self._rng.randrange(9)}
        yield self._new(message, type="identify", userId=self._rng.choice(self._users), traits=traits)

    def _two_people(self, message: Message) -> Iterator[Message]:
        yield message
        previous = self._rng.choice([*self._users, *self._devices])
        yield self._new(message, type="alias", userId=self._rng.choice(self._users), previousId=previous)

    def _changed_mind(self, message: Message) -> Iterator[Message]:
        yield message
        yield self._new(message, type="track", event=CONSENT_UPDATED, properties={}, context=self._choices(message))

    def _said_beside(self, message: Message) -> Iterator[Message]:
        yield {**message, "context": self._choices(message)}

    def _choices(self, message: Message) -> dict[str, object]:
        rng, context = self._rng, message["context"]
        said = {name: rng.random() < 0.75 for name in ("personalization", "analytics") if rng.random() < 0.7}
        return {**(context if isinstance(context, dict) else {}), "consent": {"categoryPreferences": said}}

    def _hidden(self, message: Message) -> Iterator[Message]:
        yield message
        yield self._new(
            message, type="track", event=ITEM_HIDDEN, properties={"product_id": self._rng.choice(self._items)}
        )

    def _of_a_group(self, message: Message) -> Iterator[Message]:
        yield message
        yield self._new(message, type="group", groupId=f"club-{self._rng.randrange(3)}", traits={"size": 3})
        yield self._new(message, type="screen", name="Home", properties={"product_id": 17})

    def _wrong_time(self, message: Message) -> Iterator[Message]:
        said: Instant = parse_time(str(message["timestamp"]))
        wrong = said - self._rng.choice(BACK) if self._rng.random() < 0.8 else said + 5 * MINUTE
        yield message
        yield {**message, "messageId": f"wrong-{message['messageId']}", "timestamp": format_time(wrong)}

    def _too_large(self, message: Message) -> Iterator[Message]:
        yield message
        yield self._new(message, type="track", event="Counted", properties={"atoms": 2**80})
