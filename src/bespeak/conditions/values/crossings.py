"""The very microsecond at which a figure that only rises or only falls passes a number."""

from __future__ import annotations

from collections.abc import Callable

from bespeak.clock import NEVER, Instant

Worth = Callable[[Instant], float]
"""What a figure is at an instant."""


def first_turn(worth: Worth, bound: float, at: Instant, until: Instant, guess: Instant) -> Instant:
    """Return the first instant in (at, until] at which a figure lies otherwise to a bound than at `at`.

    Below it, at it and above it are three ways to lie. `clock.NEVER` where it lies as before at `until`.

    Parameters
    ----------
    worth
        A figure that in [at, until] only rises or only falls.
    guess
        About when that is; the nearer, the fewer instants are looked at.

    Examples
    --------
    >>> def falling(at):
    ...     return 8.0 - at
    >>> first_turn(falling, 3, 0, 100, 0), first_turn(falling, 3, 5, 100, 50), first_turn(falling, -200, 0, 100, 9)
    (5, 6, 4611686018427387904)
    """
    before = _lies(worth(at), bound)
    if until <= at or _lies(worth(until), bound) == before:
        return NEVER
    low, high, step = at, until, 1
    near = min(max(guess, at + 1), until)
    if _lies(worth(near), bound) == before:
        low = near
        while low + step < until and _lies(worth(low + step), bound) == before:
            low, step = low + step, step * 2
        high = min(low + step, until)
    else:
        high = near
        while high - step > at and _lies(worth(high - step), bound) != before:
            high, step = high - step, step * 2
        low = max(high - step, at)
    while high - low > 1:
        middle = (low + high) // 2
        if _lies(worth(middle), bound) == before:
            low = middle
        else:
            high = middle
    return high


def _lies(worth: float, bound: float) -> int:
    return (worth > bound) - (worth < bound)
