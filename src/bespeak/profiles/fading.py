"""Sums that fade: each addition counts fully at its time and loses half of it every half-life."""

from __future__ import annotations

from bespeak.clock import Duration, Instant
from bespeak.conditions.values.fading import Fading
from bespeak.profiles.profile import Faded


def faded(value: Faded, at: Instant, halflife: Duration) -> float:
    """Return what a faded sum is worth at `at` (earlier than its reference: what it will be worth, taken back).

    Examples
    --------
    >>> faded(Faded(4.0, 0), at=7, halflife=7)
    2.0
    """
    return Fading(value.value, value.time, halflife).worth(at)


def add(held: dict[str, Faded], name: str, amount: float, at: Instant, halflife: Duration) -> None:
    """Add `amount` at `at` to a sum of a draft; the order of additions does not matter (to 1e-9).

    Both are taken to the newer time.

    Examples
    --------
    >>> held = {"tag:wool": Faded(4.0, 0)}
    >>> add(held, "tag:wool", 1.0, at=7, halflife=7)
    >>> held["tag:wool"]
    Faded(value=3.0, time=7)
    """
    value = held.get(name)
    if value is None:
        held[name] = Faded(amount, at)
    elif at >= value.time:
        value.value = value.value * 2.0 ** ((value.time - at) / halflife) + amount
        value.time = at
    else:
        value.value += amount * 2.0 ** ((at - value.time) / halflife)
