"""What fades: a number of which half is lost in every half-life, and the instants at which it passes others."""

from __future__ import annotations

import math

import msgspec

from bespeak.clock import NEVER, Duration, Instant

_HALVINGS_MAX = 1_100
"""After so many half-lives nothing is left of any number."""


class Fading(msgspec.Struct, frozen=True, gc=False):
    """A number that was `value` at `time`, and loses half of what is left in every `halflife` (microseconds).

    Examples
    --------
    >>> weight = Fading(8.0, time=0, halflife=7)
    >>> weight.worth(7), weight.falls_below(1.0, 0), weight.falls_to(1.0, 0)
    (4.0, 22, 21)
    """

    value: float
    time: Instant
    halflife: Duration

    def worth(self, at: Instant) -> float:
        """Return what it is at an instant (earlier than its time: what it would have been)."""
        return float(self.value * 2.0 ** ((self.time - at) / self.halflife))

    def falls_to(self, bound: float, at: Instant) -> Instant:
        """Return when it falls to `bound`, after `at`; `clock.NEVER` when it is there already, or never will be."""
        return self._falls(at, bound, below=False)

    def falls_below(self, bound: float, at: Instant) -> Instant:
        """Return when it falls below `bound`, after `at`; `clock.NEVER` when it is there already, or never will be."""
        return self._falls(at, bound, below=True)

    def _falls(self, at: Instant, bound: float, *, below: bool) -> Instant:
        """Guess by the closed form, and look around the guess for the very microsecond."""

        def fallen(then: Instant) -> bool:
            worth = self.worth(then)
            return worth < bound or (worth == bound and not below)

        if self.value <= 0 or bound < 0 or (bound == 0 and below) or fallen(at):
            return NEVER
        if fallen(at + 1):
            return at + 1
        halvings = math.log2(self.value / bound) if bound > 0 else _HALVINGS_MAX
        guess = max(at + 1, self.time + math.ceil(min(halvings, _HALVINGS_MAX) * self.halflife))
        low, high, step = guess, guess, 1
        while fallen(low) and low > at + 1:
            low, step = max(at + 1, low - step), step * 2
        step = 1
        while not fallen(high):
            high, step = high + step, step * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if fallen(middle) else (middle, high)
        return min(NEVER, high)
