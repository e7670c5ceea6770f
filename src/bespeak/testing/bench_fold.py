"""What an event costs from parsed to folded and classified, and which step takes how much of it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from typing import Any
from unittest.mock import patch

import msgspec

from bespeak.engine import Definition, Engine
from bespeak.engine import sequencer as steps
from bespeak.errors import InvalidInput
from bespeak.events import Event
from bespeak.privacy import Key
from bespeak.profiles import Resolved
from bespeak.testing.world import KINDS, World

SEED = 7
STEPS = {
    "fold": ("fold",),
    "flips": ("advance",),
    "learn": ("learn",),
    "classify": ("classify", "welcome", "classify_all"),
}
"""The steps of an event, and the functions that take them."""

_TEXTS = (
    'count("Product Viewed", last {minutes} minutes) >= {n}',
    'count("Product Viewed", last {n} days) >= {minutes}',
    'count("Product Viewed" where properties.category = "{category}", last {minutes} days) >= {n}',
    'count("Product Clicked" where properties.price > {n}0, last {minutes} hours) >= {n}',
    'sum(properties.revenue of "Order Completed", last {minutes}0 days) > {n}0',
    'performed("Product Added", last {n} hours) and not performed("Order Completed", last {n} hours)',
    'not performed("Product Viewed", last {n} days)',
    'last(properties.category of "Product Viewed") = "{category}" and traits.country in ["DE", "FR"]',
    'traits.country = "DE" and count("Order Completed") >= {n}',
    "sessions.count >= {n}",
)


def town_segments(count: int) -> tuple[Definition, ...]:
    """Return segments as a shop would have them: ten kinds of conditions, over what people of the town do."""
    found: list[Definition] = []
    for place in range(count):
        number = place // len(_TEXTS)
        text = _TEXTS[place % len(_TEXTS)].format(minutes=10 + number, n=1 + number, category=KINDS[number % 12].key)
        body = {"id": f"segment-{place}", "condition": text}
        found.append(Definition(kind="segments", id=f"segment-{place}", body=body, source="bench"))
    return tuple(found)


def town(people: int, items: int) -> World:
    """Return the seeded town."""
    return World(SEED, people=people, items=items)


def town_bodies(world: World, count: int, *, size: int) -> Iterator[bytes]:
    """Yield what the people of a town send in a month, up to so many messages, in batches."""
    messages = islice(world.history(world.opened, days=30), count)
    while batch := list(islice(messages, size)):
        yield msgspec.json.encode({"batch": batch})


def take_all(engine: Engine, events: Iterable[Event]) -> None:
    """Take every event, as `import` does."""
    sequencer = engine.sequencer
    for event in events:
        resolved = sequencer.whose(event)
        if isinstance(resolved, Resolved):
            sequencer.take(event, resolved, imported=True)


def parsed(engine: Engine, bodies: Iterable[bytes], key: Key) -> list[Event]:
    """Return the events of the bodies."""
    return [event for body in bodies for event in engine.parse(body, key=key).events]


def step_costs(engine: Engine, events: list[Event]) -> dict[str, float]:
    """Return the microseconds of CPU that each step of an event takes on average; `rest` is all between them.

    The shares are those of the time that passes between entering a step and leaving it, less what asking the clock
    costs; a busy machine blurs them, the sum stays one of CPU.

    Raises
    ------
    InvalidInput
        There are no events.
    """
    if not events:
        raise InvalidInput("no events: there is nothing to measure")
    watch = _Watch()
    sequencer = engine.sequencer
    owners: dict[str, Any] = {"fold": steps, "learn": sequencer.models}
    with ExitStack() as stack:
        for step, names in STEPS.items():
            for name in names:
                owner = owners.get(name, sequencer.segments)
                stack.enter_context(patch.object(owner, name, watch.around(step, getattr(owner, name))))
        gc.collect()
        began, cpu = time.perf_counter_ns(), time.process_time()
        take_all(engine, events)
        passed, spent = time.perf_counter_ns() - began, time.process_time() - cpu
    return watch.costs(passed, spent * 1e6, len(events))


class _Watch:
    """Adds up how long steps take."""

    def __init__(self) -> None:
        self._passed: dict[str, int] = dict.fromkeys((*STEPS, "nothing"), 0)
        self._calls: dict[str, int] = dict.fromkeys((*STEPS, "nothing"), 0)

    def around(self, step: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the work and notes how long it took."""
        passed, calls, now = self._passed, self._calls, time.perf_counter_ns

        def timed(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the step takes and gives
            began = now()
            found = work(*arguments, **named)
            passed[step] += now() - began
            calls[step] += 1
            return found

        return timed

    def costs(self, passed: int, spent: float, events: int) -> dict[str, float]:
        """Return the part of each step in what was `spent`, an event."""
        nothing = self.around("nothing", lambda: None)
        began = time.perf_counter_ns()
        for _ in range(10_000):
            nothing()
        whole, inner = (time.perf_counter_ns() - began) / 10_000, self._passed["nothing"] / 10_000
        net = {step: self._passed[step] - inner * self._calls[step] for step in STEPS}
        net["rest"] = passed - sum(net.values()) - whole * sum(self._calls[step] for step in STEPS)
        each = spent / events / passed
        return {step: round(max(0.0, took) * each, 2) for step, took in net.items()}


__all__ = ["STEPS", "parsed", "step_costs", "take_all", "town", "town_bodies", "town_segments"]
