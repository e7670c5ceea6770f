"""Whether an event came too late, judged one after the other in the order of the log.

It is the rule of `conditions_sql_people`, for whoever reads the log once and goes on as it grows: what a profile has
seen is kept, so that nothing that was judged is looked at again.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from bespeak.clock import Instant

NOBODY = -1
"""Stands for no profile."""

Seen: TypeAlias = tuple[int, Instant, int, int, int, bool, bool]
"""An event: its offset, when it happened, the numbers of the id under which it came, of the profile that it joined and
of the id that took that in (`NOBODY` for none), whether we did it ourselves, and whether it makes somebody known all
the same."""

Verdict: TypeAlias = tuple[int, bool, bool]
"""An offset, whether the event was late, and whether it was of nobody."""


class Meanings:
    """Which number each number means by now: itself, until it is joined with another.

    Examples
    --------
    >>> meant = Meanings()
    >>> meant.grow(3)
    >>> meant.join(0, 1)
    >>> meant.join(1, 2)
    >>> [meant.of(number) for number in range(3)]
    [2, 2, 2]
    """

    def __init__(self) -> None:
        self._into = array("i")

    def grow(self, count: int) -> None:
        """Take in numbers, so that there are `count`; each new one means itself."""
        self._into.extend(range(len(self._into), count))

    def of(self, number: int) -> int:
        """Return what a number means."""
        into = self._into
        while into[number] != number:
            into[number] = into[into[number]]
            number = into[number]
        return number

    def join(self, number: int, into: int) -> None:
        """Let a number that means itself mean another, which means itself, too."""
        self._into[number] = into


class Lateness:
    """What every profile has seen, and so whether what comes next is late for it.

    Parameters
    ----------
    delay
        How much older than the newest event of its profile an event may be, in microseconds.

    Examples
    --------
    >>> late = Lateness(delay=10)
    >>> late.grow(1)
    >>> list(late.judge([(1, 100, 0, NOBODY, NOBODY, False, False), (2, 89, 0, NOBODY, NOBODY, False, False)]))
    [(2, True, False)]
    """

    def __init__(self, delay: int) -> None:
        self._delay = delay
        self._meant = Meanings()
        self._newest = array("q")
        self._known = bytearray()

    def grow(self, count: int) -> None:
        """Take in the numbers of ids, so that there are `count`."""
        self._meant.grow(count)
        more = count - len(self._known)
        self._known.extend(bytes(more))
        self._newest.extend(array("q", bytes(8 * more)))

    def judge(self, events: Iterable[Seen]) -> Iterator[Verdict]:
        """Take in events, in the order of the log, and yield those that were late, or of nobody."""
        newest, known, meant, delay = self._newest, self._known, self._meant, self._delay
        for offset, happened, own, joined, taker, silent, speaks in events:
            if NOBODY not in (joined, taker):
                self._join(joined, meant.of(taker))
            person = meant.of(own)
            late = happened < newest[person] - delay
            unheard = silent and not speaks and not known[person]
            if late or unheard:
                yield offset, late, unheard
            if not silent:
                known[person] = 1
                newest[person] = max(newest[person], happened)
            elif speaks:
                known[person] = 1

    def _join(self, joined: int, into: int) -> None:
        if joined == into:
            return
        self._newest[into] = max(self._newest[into], self._newest[joined])
        self._known[into] |= self._known[joined]
        self._meant.join(joined, into)
