"""When conditions are asked again: the instants in order, each with its name."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Set as AbstractSet

import msgspec

from bespeak.clock import NEVER, Instant


class Flips(msgspec.Struct, array_like=True, gc=False):
    """Names by the instant at which each is asked again, sorted by (instant, name); a name is there at most once.

    A flip may be noted too early, but never too late: who is asked too early stays, and is noted again.

    Examples
    --------
    >>> flips = Flips()
    >>> flips.note("idle", 20)
    >>> flips.note("new", 10)
    >>> flips.by("idle", 30)  # is noted for 20, which will do
    >>> flips.next, flips.take(), flips.at("idle")
    (10, 'new', 20)
    >>> flips.without({"idle"}).next == NEVER
    True
    """

    times: list[Instant] = []
    names: list[str] = []

    @property
    def next(self) -> Instant:
        """The earliest instant; `clock.NEVER` when there is none."""
        return self.times[0] if self.times else NEVER

    def at(self, name: str) -> Instant:
        """Return when a name is asked again; `clock.NEVER` where it is not."""
        return self.times[self.names.index(name)] if name in self.names else NEVER

    def note(self, name: str, at: Instant) -> None:
        """Note a name that is not noted."""
        times, names = self.times, self.names
        place = bisect_right(times, at)
        while place and times[place - 1] == at and names[place - 1] > name:
            place -= 1
        times.insert(place, at)
        names.insert(place, name)

    def by(self, name: str, at: Instant) -> None:
        """See to it that a name is asked again, at `at` at the latest."""
        times, names = self.times, self.names
        place = bisect_left(times, at)
        if place < len(times) and times[place] == at and names[place] == name:
            return  # the common case: noted for that very instant
        if name in names:
            held = names.index(name)
            if times[held] <= at:
                return
            del times[held], names[held]
        self.note(name, at)

    def without(self, names: AbstractSet[str]) -> Flips:
        """Return what is noted of all other names."""
        if names.isdisjoint(self.names):
            return self
        kept = [place for place, name in enumerate(self.names) if name not in names]
        return Flips([self.times[place] for place in kept], [self.names[place] for place in kept])

    def take(self) -> str:
        """Take out the earliest name; there must be one."""
        del self.times[0]
        return self.names.pop(0)
