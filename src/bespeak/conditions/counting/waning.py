"""What events add up to that lose half of their worth in every half-life.

One number is kept, as of the newest event, whatever there was. It does not depend on the order in which events came (to
1e-9), and no event is ever forgotten. What is read is told to nine decimals: so what should be 2 is 2, and what is less
than half a billionth is nothing.

Examples
--------
>>> states = {}
>>> for day in (0, 7):
...     _ = add_waning(states, "views", day, 1.0, 7)
>>> [waned(states["views"], at) for at in (7, 14, 21)]
[1.5, 0.75, 0.375]
>>> falls_past(states["views"], 0.75, 7), falls_past(states["views"], 0.75, 14)
(14, 15)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from bespeak.clock import NEVER, Duration, Instant
from bespeak.conditions.values.crossings import first_turn

if TYPE_CHECKING:
    from bespeak.conditions.counting.states import State

DECIMALS = 9
"""To which a figure that fades is told."""
HALVINGS_MAX = 150
"""After so many half-lives nothing is left of any figure that there can be."""


class Waning(msgspec.Struct, array_like=True, tag="h", gc=False):
    """What there ever was, as of `time`, that of the newest event, and the half-life (microseconds)."""

    halflife: Duration
    value: float
    time: Instant


def add_waning(states: dict[str, State], key: str, time: Instant, amount: float, halflife: Duration) -> Waning:
    """Add an amount that counts in full at its time."""
    state = states.get(key)
    if not isinstance(state, Waning):
        state = states[key] = Waning(halflife, amount, time)
    elif time >= state.time:
        state.value = state.value * 2.0 ** ((state.time - time) / halflife) + amount
        state.time = time
    else:
        state.value += amount * 2.0 ** ((time - state.time) / halflife)
    return state


def merge_wanings(one: Waning, other: Waning) -> Waning:
    """Return what both add up to, as of the newer time."""
    newer, older = (one, other) if one.time >= other.time else (other, one)
    return Waning(newer.halflife, newer.value + _worth(older, newer.time), newer.time)


def waned(state: State | None, at: Instant) -> float:
    """Return what is left at an instant; before the newest event what there was at it."""
    return round(_worth(state, at), DECIMALS) if isinstance(state, Waning) else 0.0


def falls_past(state: State | None, bound: float, at: Instant) -> Instant:
    """Return the next instant after `at` at which what is left lies otherwise to a bound: below, at it, above it."""
    if not isinstance(state, Waning):
        return NEVER
    start = max(at, state.time)
    left = state.value / bound if bound else math.inf
    halvings = math.log2(left) if 1 < left < math.inf else 0.0
    guess = state.time + int(halvings * state.halflife)
    return first_turn(lambda then: waned(state, then), bound, at, start + HALVINGS_MAX * state.halflife, guess)


def _worth(state: Waning, at: Instant) -> float:
    return state.value if at <= state.time else float(state.value * 2.0 ** ((state.time - at) / state.halflife))
