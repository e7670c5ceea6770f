"""What goes wrong on the way: messages dropped, doubled, late, or damaged."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from random import Random
from typing import Literal, cast

import msgspec

from bespeak.clock import MINUTE, Duration, Instant, parse_time
from bespeak.errors import InvalidInput
from bespeak.testing.world_visits import Message

Fault = Literal["none", "doubled", "late", "malformed"]


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """How often what goes wrong; each share is 0 to 1, of the messages sent.

    Parameters
    ----------
    dropped
        Never arrives.
    doubled
        Arrives a second time, with the same message id.
    late
        Arrives up to `delay` after it was sent, behind what was sent after it.
    malformed
        A damaged copy arrives as well: what arrives undamaged is not changed by this fault.
    """

    dropped: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    malformed: float = 0.0
    delay: Duration = 30 * MINUTE

    def __post_init__(self) -> None:
        for name in ("dropped", "doubled", "late", "malformed"):
            share = cast("float", getattr(self, name))
            if not 0.0 <= share <= 1.0:
                raise InvalidInput(f"faults: {name} is a share of 0 to 1, got {share}")


class Delivery(msgspec.Struct, frozen=True):
    """One message as it arrives: when, what, and what happened to it. A damaged one may not be an object at all."""

    at: Instant
    message: object
    fault: Fault


def deliver(messages: Iterable[Message], faults: Faults, rng: Random) -> Iterator[Delivery]:
    """Yield `messages` (in the order of their times) as they arrive, in the order of arrival."""
    waiting: list[tuple[Instant, int, Delivery]] = []
    for count, message in enumerate(messages):
        sent = parse_time(str(message["timestamp"]))
        while waiting and waiting[0][0] <= sent:
            yield heapq.heappop(waiting)[2]
        for order, delivery in enumerate(_fates(message, sent, faults, rng)):
            heapq.heappush(waiting, (delivery.at, 3 * count + order, delivery))
    while waiting:
        yield heapq.heappop(waiting)[2]


def _fates(message: Message, sent: Instant, faults: Faults, rng: Random) -> list[Delivery]:
    """Return the arrivals of one message; none when it is dropped."""
    if rng.random() < faults.dropped:
        return []
    late = rng.random() < faults.late
    arrival = sent + rng.randint(1, faults.delay) if late else sent
    fates = [Delivery(arrival, message, "late" if late else "none")]
    if rng.random() < faults.doubled:
        fates.append(Delivery(arrival + rng.randint(0, faults.delay), message, "doubled"))
    if rng.random() < faults.malformed:
        fates.append(Delivery(arrival, _damage(message, rng), "malformed"))
    return fates


def _damage(message: Message, rng: Random) -> object:
    """Return something that no parser may take for a message."""
    copy = {**message, "messageId": f"damaged-{message['messageId']}"}
    match rng.randrange(5):
        case 0:
            return {key: value for key, value in copy.items() if key not in {"anonymousId", "userId"}}
        case 1:
            return {**copy, "type": "teleport"}
        case 2:
            return {**copy, "messageId": "m" * 300}
        case 3:
            return {**copy, "type": "track", "event": 17}
        case _:
            return ["not", "a", "message"]
