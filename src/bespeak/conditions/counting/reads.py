"""What an aggregate is at an instant, and what it becomes at later ones without a new event."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias, cast

from bespeak.clock import NEVER, Duration, Instant
from bespeak.conditions.counting.states import State
from bespeak.conditions.counting.states_figures import MILLIONTHS, Count, Sum, Sums, Times, Total
from bespeak.conditions.counting.states_values import (
    Entries,
    Entry,
    First,
    Kept,
    Last,
    Seen,
    Tally,
    distinct,
    entry_time,
    keys_of,
    most_frequent,
    value_of,
)
from bespeak.conditions.counting.windows import Frame, Get
from bespeak.conditions.tree import Kind

ReadEver: TypeAlias = Callable[[State | None], object]
ReadBetween: TypeAlias = Callable[[State | None, Instant, Instant], object]
"""Given the two ends of a window, the first of which is out and the last in."""

FIGURES: frozenset[Kind] = frozenset({"count", "sum", "avg", "min", "max", "distinct"})
"""Aggregates that are numbers."""
NEVER_MISSING: frozenset[Kind] = frozenset({"count", "sum", "distinct"})
"""Aggregates that of no event at all are 0; the others are missing then."""


def count_in(state: State | None, within: Duration | None, at: Instant) -> int:
    """Return how many events a count holds at an instant: those in (at - within, at], or all there ever were."""
    if isinstance(state, Times) and within is not None:
        times = state.times
        newest = len(times) if times[-1] <= at else bisect_right(times, at)
        return newest - bisect_right(times, at - within)
    return state.n if isinstance(state, Count) else 0


def reached_in(state: State | None, least: int, within: Duration | None, at: Instant) -> bool:
    """Say whether a count holds `least` or more (1 or more) at an instant."""
    if isinstance(state, Times) and within is not None:
        times = state.times
        if times[-1] <= at:
            return len(times) >= least and times[-least] > at - within
    return count_in(state, within, at) >= least


def sum_in(state: State | None, within: Duration | None, at: Instant) -> float:
    """Return what a sum holds at an instant, exact to the millionth."""
    if isinstance(state, Sums) and within is not None:
        times = state.times
        oldest = bisect_right(times, at - within)
        return sum(state.amounts[oldest : bisect_right(times, at)]) / MILLIONTHS
    return (state.whole * MILLIONTHS + state.millionths) / MILLIONTHS if isinstance(state, Sum) else 0.0


def last_in(state: State | None, within: Duration | None, at: Instant) -> Kept:
    """Return the value at the newest (time, message id), in (at - within, at] or ever; None when there is none."""
    if not isinstance(state, Last):
        return None
    return state.entries[-1][2] if within is None else _last_between(state, at - within, at)


def _last_between(state: State | None, after: Instant, until: Instant) -> Kept:
    if not isinstance(state, Last | Entries):
        return None
    place = bisect_right(state.entries, until, key=entry_time)
    if not place:
        return None
    time, _, value = state.entries[place - 1]
    return value if time > after else None


def _first_between(state: State | None, after: Instant, until: Instant) -> Kept:
    inside = entries_inside(state, after, until)
    return inside[0][2] if inside else None


def _count_between(state: State | None, after: Instant, until: Instant) -> int:
    return len(times_inside(state, after, until))


def _amounts(state: State | None, after: Instant, until: Instant) -> list[int]:
    if not isinstance(state, Sums):
        return []
    return state.amounts[bisect_right(state.times, after) : bisect_right(state.times, until)]


def _sum_between(state: State | None, after: Instant, until: Instant) -> float:
    return sum(_amounts(state, after, until)) / MILLIONTHS


def _avg_between(state: State | None, after: Instant, until: Instant) -> float | None:
    return _mean(_amounts(state, after, until))


def _min_between(state: State | None, after: Instant, until: Instant) -> float | None:
    return _whole(min(_amounts(state, after, until), default=None))


def _max_between(state: State | None, after: Instant, until: Instant) -> float | None:
    return _whole(max(_amounts(state, after, until), default=None))


def _distinct_between(state: State | None, after: Instant, until: Instant) -> int:
    return len({key for _, _, value in entries_inside(state, after, until) for key in keys_of(value)})


def _most_frequent_between(state: State | None, after: Instant, until: Instant) -> Kept:
    often = _Often()
    for entry in entries_inside(state, after, until):
        often.add(entry)
    return often.value()


def times_inside(state: State | None, after: Instant, until: Instant) -> Sequence[Instant]:
    """Return the times of the events that a state holds of a window, oldest first."""
    if isinstance(state, Times | Sums):
        times = state.times
        return times[bisect_right(times, after) : bisect_right(times, until)]
    return [entry[0] for entry in entries_inside(state, after, until)]


def entries_inside(state: State | None, after: Instant, until: Instant) -> Sequence[tuple[Instant, str, Kept]]:
    """Return the values that a state holds of a window, oldest first."""
    if not isinstance(state, Entries | Last):
        return ()
    entries = state.entries
    return entries[bisect_right(entries, after, key=entry_time) : bisect_right(entries, until, key=entry_time)]


def _avg_ever(state: State | None) -> float | None:
    if not isinstance(state, Total):
        return None
    return (state.whole * MILLIONTHS + state.millionths) / (state.n * MILLIONTHS)


def _mean(amounts: Sequence[int]) -> float | None:
    return sum(amounts) / (len(amounts) * MILLIONTHS) if amounts else None


def _whole(millionths: int | None) -> float | None:
    return None if millionths is None else millionths / MILLIONTHS


def _most_frequent_ever(state: State | None) -> Kept:
    found = most_frequent(state.values.items()) if isinstance(state, Tally) else None
    return None if found is None else value_of(found)


def _distinct_ever(state: State | None) -> int:
    return distinct(state) if isinstance(state, Seen) else 0


EVER: dict[Kind, ReadEver] = {
    "count": lambda state: count_in(state, None, 0),
    "sum": lambda state: sum_in(state, None, 0),
    "avg": _avg_ever,
    "min": lambda state: _whole(state.least) if isinstance(state, Total) else None,
    "max": lambda state: _whole(state.most) if isinstance(state, Total) else None,
    "distinct": _distinct_ever,
    "first": lambda state: state.entry[2] if isinstance(state, First) else None,
    "last": lambda state: last_in(state, None, 0),
    "most_frequent": _most_frequent_ever,
}
"""What each aggregate is over all that it was ever fed."""

BETWEEN: dict[Kind, ReadBetween] = {
    "count": _count_between,
    "sum": _sum_between,
    "avg": _avg_between,
    "min": _min_between,
    "max": _max_between,
    "distinct": _distinct_between,
    "first": _first_between,
    "last": _last_between,
    "most_frequent": _most_frequent_between,
}
"""What each aggregate is over the events of a window."""


class _Running(Protocol):
    """An aggregate over what slides through a window: what came in first leaves first."""

    def add(self, one: object, /) -> None: ...

    def drop(self, one: object, /) -> None: ...

    def value(self) -> object: ...


class _Added:
    """A count or a sum."""

    def __init__(self, unit: int) -> None:
        self._unit = unit
        self._total = 0

    def add(self, one: object, /) -> None:
        self._total += cast("int", one)

    def drop(self, one: object, /) -> None:
        self._total -= cast("int", one)

    def value(self) -> object:
        return self._total if self._unit == 1 else self._total / self._unit


class _Averaged:
    def __init__(self) -> None:
        self._total = 0
        self._n = 0

    def add(self, one: object, /) -> None:
        self._total += cast("int", one)
        self._n += 1

    def drop(self, one: object, /) -> None:
        self._total -= cast("int", one)
        self._n -= 1

    def value(self) -> object:
        return self._total / (self._n * MILLIONTHS) if self._n else None


class _Ranked:
    """The least (place 0) or the most (place -1)."""

    def __init__(self, place: int) -> None:
        self._place = place
        self._sorted: list[int] = []

    def add(self, one: object, /) -> None:
        insort(self._sorted, cast("int", one))

    def drop(self, one: object, /) -> None:
        del self._sorted[bisect_right(self._sorted, cast("int", one)) - 1]

    def value(self) -> object:
        return self._sorted[self._place] / MILLIONTHS if self._sorted else None


class _Lined:
    """The first (place 0) or the last (place -1) of the entries."""

    def __init__(self, place: int) -> None:
        self._place = place
        self._line: deque[Entry] = deque()

    def add(self, one: object, /) -> None:
        self._line.append(cast("Entry", one))

    def drop(self, _one: object, /) -> None:
        self._line.popleft()

    def value(self) -> object:
        return self._line[self._place][2] if self._line else None


class _Different:
    def __init__(self) -> None:
        self._times: Counter[str] = Counter()

    def add(self, one: object, /) -> None:
        self._times.update(keys_of(cast("Entry", one)[2]))

    def drop(self, one: object, /) -> None:
        for key in keys_of(cast("Entry", one)[2]):
            self._times[key] -= 1
            if not self._times[key]:
                del self._times[key]

    def value(self) -> object:
        return len(self._times)


class _Often:
    def __init__(self) -> None:
        self._times: dict[str, tuple[int, Instant]] = {}
        self._best: str | None = None

    def add(self, one: object, /) -> None:
        time, _, value = cast("Entry", one)
        for key in keys_of(value):
            self._times[key] = self._times.get(key, (0, time))[0] + 1, time
        self._best = None

    def drop(self, one: object, /) -> None:
        for key in keys_of(cast("Entry", one)[2]):
            times, newest = self._times.pop(key)
            if times > 1:
                self._times[key] = times - 1, newest
            if key == self._best:
                self._best = None

    def value(self) -> Kept:
        if self._best is None:
            self._best = most_frequent(self._times.items())
        return None if self._best is None else value_of(self._best)


_RUNNING: dict[Kind, Callable[[], _Running]] = {
    "count": lambda: _Added(1),
    "sum": lambda: _Added(MILLIONTHS),
    "avg": _Averaged,
    "min": lambda: _Ranked(0),
    "max": lambda: _Ranked(-1),
    "distinct": _Different,
    "first": lambda: _Lined(0),
    "last": lambda: _Lined(-1),
    "most_frequent": _Often,
}


def changes(kind: Kind, state: State | None, frame: Frame, get: Get, at: Instant) -> Iterator[tuple[Instant, object]]:
    """Yield the later instants, in order, at which a window changes without a new event, and what it holds then.

    Few events are asked when they come and leave: what comes first leaves first, and of a day, a month or a year all
    leave together. What is held is added up only where something is left.
    """
    times, worth = _slid(state)
    after, until = frame.bounds(get, at)
    oldest = bisect_right(times, after)
    newest = max(oldest, bisect_right(times, until))
    nothing = _RUNNING[kind]().value()
    running: _Running | None = None
    while oldest < len(times):
        change = frame.leaves(times[oldest], get) if oldest < newest else NEVER
        if newest < len(times):
            change = min(change, frame.enters(times[newest], get))
        if change == NEVER:
            return
        come = newest if newest == len(times) else _moved(times, newest, len(times), change, frame.enters, get)
        gone = _moved(times, oldest, come, change, frame.leaves, get)
        running = _slide(kind, running, worth, (oldest, newest), (gone, come))
        oldest, newest = gone, come
        yield change, nothing if running is None else running.value()


def _moved(
    times: Sequence[Instant], first: int, end: int, by: Instant, moves: Callable[[Instant, Get], Instant], get: Get
) -> int:
    """Return the place behind the events from `first` on, and before `end`, that have moved by an instant.

    They move in their order, so that those are found by asking few: one after another, then further and further on.
    """
    place, step = first, 1
    while place < end and moves(times[place], get) <= by:
        first = place + 1
        place, step = place + step, step * 2
    end = min(place, end)
    return first if first >= end else bisect_right(times, by, first, end, key=lambda time: moves(time, get))


def _slide(
    kind: Kind, running: _Running | None, worth: Sequence[object], held: tuple[int, int], then: tuple[int, int]
) -> _Running | None:
    """Return what adds up the places of `then`, given what added up those of `held`, if anything did; None of none."""
    if then[0] == then[1]:
        return None
    if running is None:
        running = _RUNNING[kind]()
        for one in worth[slice(*then)]:
            running.add(one)
        return running
    for one in worth[held[1] : then[1]]:
        running.add(one)
    for one in worth[held[0] : then[0]]:
        running.drop(one)
    return running


def _slid(state: State | None) -> tuple[Sequence[Instant], Sequence[object]]:
    """Return what slides through the windows of a state: the times, and what each is worth."""
    match state:
        case Times():
            return state.times, [1] * len(state.times)
        case Sums():
            return state.times, state.amounts
        case Last() | Entries():
            return [entry[0] for entry in state.entries], state.entries
        case _:
            return (), ()
