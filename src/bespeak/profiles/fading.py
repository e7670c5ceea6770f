"""Sums that fade: each addition counts fully at its time and loses half of it every half-life."""

from __future__ import annotations

from bespeak.clock import Duration, Instant
from bespeak.profiles.profile import Faded


def faded(value: Faded, at: Instant, halflife: Duration) -> float:
    """Return what a faded sum is worth at `at` (earlier than its reference: what it will be worth, taken back).

    Examples
    --------
    >>> faded(Faded(4.0, 0), at=7, halflife=7)
    2.0
    """
    return float(value.value * 2.0 ** ((value.time - at) / halflife))


def add(value: Faded | None, amount: float, at: Instant, halflife: Duration) -> Faded:
    """Add `amount` at `at`; the order of additions does not matter (to 1e-9): both are taken to the newer time."""
    if value is None:
        return Faded(amount, at)
    if at >= value.time:
        return Faded(value.value * 2.0 ** ((value.time - at) / halflife) + amount, at)
    return Faded(value.value + amount * 2.0 ** ((at - value.time) / halflife), value.time)
