"""What is kept of the events behind one aggregate, and how it is read at an instant.

Every state is a function of the *set* of events that fed it, never of their order, as long as its bound is
not filled: counts and sums add, lists stay sorted, and what is dropped for age is measured from the state's
own newest event. Sums are whole millionths, so that 0.1 + 0.2 is 0.3 in any order.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from operator import itemgetter
from typing import TypeAlias

import msgspec

from bespeak.clock import Duration, Instant
from bespeak.conditions.tree import MAX_AMOUNT, Value

MILLIONTHS = 1_000_000
"""Units of a sum in one whole."""

Kept: TypeAlias = Value | list[Value]
"""What `last` keeps: one value, or a list of them."""

Entry: TypeAlias = tuple[Instant, str, Kept]
"""Time, message id, value."""


class Count(msgspec.Struct, array_like=True, tag="n", gc=False):
    """How many events there ever were."""

    n: int


class Times(msgspec.Struct, array_like=True, tag="t", gc=False):
    """When the events of a windowed count happened, oldest first.

    `span` is the window and the allowed delay, beyond which a time is forgotten; `dropped` the newest time that found
    no room.
    """

    span: Duration
    times: list[Instant]
    dropped: Instant | None = None


class Sum(msgspec.Struct, array_like=True, tag="s", gc=False):
    """What the events ever added up to: `whole` + `millionths` / 1,000,000, with 0 <= millionths < 1,000,000."""

    whole: int
    millionths: int


class Sums(msgspec.Struct, array_like=True, tag="w", gc=False):
    """What each event of a windowed sum adds, in millionths, sorted by (time, amount); the rest as in `Times`."""

    span: Duration
    times: list[Instant]
    amounts: list[int]
    dropped: Instant | None = None


class Last(msgspec.Struct, array_like=True, tag="l", gc=False):
    """The newest values, sorted by (time, message id): all within `span` of the newest, and the one before them.

    `span` is the allowed delay for a windowed value, and 0 for ever.
    """

    span: Duration
    entries: list[Entry]


State: TypeAlias = Count | Times | Sum | Sums | Last

_NUMBERS = (int, float)
_entry_time = itemgetter(0)


def to_millionths(value: object) -> int | None:
    """Return a number as whole millionths; None for what cannot be summed (no number, or beyond 10**12)."""
    if isinstance(value, _NUMBERS) and not isinstance(value, bool) and -MAX_AMOUNT <= value <= MAX_AMOUNT:
        return round(value * MILLIONTHS)
    return None


def add_event(states: dict[str, State], key: str) -> Count:
    """Count one event for ever."""
    state = states.get(key)
    if isinstance(state, Count):
        state.n += 1
    else:
        state = states[key] = Count(1)
    return state


def add_time(states: dict[str, State], key: str, time: Instant, span: Duration, keep: int) -> bool:
    """Count one event in a window; `span` is the window and the allowed delay. False when it is too old to matter."""
    state = states.get(key)
    if not isinstance(state, Times):
        states[key] = Times(span, [time])
        return True
    state.span = span
    times = state.times
    newest = times[-1]
    if time >= newest:
        times.append(time)
        if times[0] <= time - span:
            del times[: bisect_right(times, time - span)]
    elif time <= newest - span:
        return False
    else:
        insort(times, time)
    if len(times) > keep:
        _bound_times(state, keep)
    return True


def add_amount(states: dict[str, State], key: str, amount: int) -> bool:
    """Add millionths for ever."""
    state = states.get(key)
    if not isinstance(state, Sum):
        state = states[key] = Sum(0, 0)
    carried, state.millionths = divmod(state.millionths + amount, MILLIONTHS)
    state.whole += carried
    return True


def add_timed_amount(states: dict[str, State], key: str, time: Instant, amount: int, span: Duration, keep: int) -> bool:
    """Add millionths in a window; `span` is the window and the allowed delay. False when it is too old to matter."""
    state = states.get(key)
    if not isinstance(state, Sums):
        states[key] = Sums(span, [time], [amount])
        return True
    state.span = span
    times, amounts = state.times, state.amounts
    if time > times[-1]:
        times.append(time)
        amounts.append(amount)
    elif time <= times[-1] - span:
        return False
    else:
        place = bisect_right(times, time)
        while place and times[place - 1] == time and amounts[place - 1] > amount:
            place -= 1
        times.insert(place, time)
        amounts.insert(place, amount)
    _prune_sums(state, keep)
    return True


def add_value(states: dict[str, State], key: str, entry: Entry, span: Duration, keep: int) -> bool:
    """Keep a value if it is or may become the last one; `span` is how far back of the newest one may be asked."""
    state = states.get(key)
    if not isinstance(state, Last):
        states[key] = Last(span, [entry])
        return True
    state.span = span
    entries = state.entries
    newest = entries[-1]
    if entry[0] > newest[0] or entry[:2] > newest[:2]:
        if span == 0 and len(entries) == 1:
            entries[0] = entry
            return True
        entries.append(entry)
    else:
        place = bisect_right(entries, entry[:2], key=itemgetter(0, 1))
        if place == 0 and entries[0][0] <= entries[-1][0] - span:
            return False
        entries.insert(place, entry)
    _prune_entries(state, keep)
    return True


def merge_states(one: State, other: State, keep: int) -> State:
    """Return the state of the events of both; the order of the two does not matter."""
    match one, other:
        case Count(), Count():
            return Count(one.n + other.n)
        case Sum(), Sum():
            carried, millionths = divmod(one.millionths + other.millionths, MILLIONTHS)
            return Sum(one.whole + other.whole + carried, millionths)
        case Times(), Times():
            times = Times(
                max(one.span, other.span), sorted(one.times + other.times), _newer(one.dropped, other.dropped)
            )
            del times.times[: bisect_right(times.times, times.times[-1] - times.span)]
            if len(times.times) > keep:
                _bound_times(times, keep)
            return times
        case Sums(), Sums():
            return _merge_sums(one, other, keep)
        case Last(), Last():
            entries = sorted(one.entries + other.entries, key=_entry_order)
            last = Last(max(one.span, other.span), entries)
            _prune_entries(last, keep)
            return last
        case _:
            raise TypeError(
                f"states of one key must be of one kind, got {type(one).__name__} and {type(other).__name__}"
            )


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
    if within is None:
        return state.entries[-1][2]
    place = bisect_right(state.entries, at, key=_entry_time)
    if not place:
        return None
    time, _, value = state.entries[place - 1]
    return value if time > at - within else None


def values_after(state: State | None, within: Duration, at: Instant) -> Iterator[tuple[Instant, object]]:
    """Yield the later instants, in order, at which a window changes without a new event, and what it holds then."""
    match state:
        case Times():
            yield from _running(state.times, [1] * len(state.times), within, at)
        case Sums():
            for change, amount in _running(state.times, state.amounts, within, at):
                yield change, amount / MILLIONTHS
        case Last():
            times = [entry[0] for entry in state.entries]
            leaving = [time + within for time in times[bisect_right(times, at - within) :]]
            for change in sorted({*times[bisect_right(times, at) :], *leaving}):
                yield change, last_in(state, within, change)
        case Count() | Sum() | None:
            return


def _running(times: list[Instant], amounts: list[int], within: Duration, at: Instant) -> Iterator[tuple[Instant, int]]:
    """Yield each instant after `at` at which amounts enter or leave the window, and their sum from then on."""
    oldest, newest = bisect_right(times, at - within), bisect_right(times, at)
    total = sum(amounts[oldest:newest])
    while oldest < len(times):
        change = times[oldest] + within
        if newest < len(times):
            change = min(change, times[newest])
            while newest < len(times) and times[newest] <= change:
                total += amounts[newest]
                newest += 1
        while oldest < newest and times[oldest] + within <= change:
            total -= amounts[oldest]
            oldest += 1
        yield change, total


def is_approximate(state: State | None, within: Duration | None, at: Instant) -> bool:
    """Say whether events that found no room belong to the window at `at`, so that the figure is a lower bound."""
    dropped = state.dropped if isinstance(state, Times | Sums) else None
    return dropped is not None and within is not None and dropped > at - within


def _newer(one: Instant | None, other: Instant | None) -> Instant | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def _entry_order(entry: Entry) -> tuple[Instant, str, str]:
    return (entry[0], entry[1], repr(entry[2]))


def _bound_times(state: Times | Sums, keep: int) -> None:
    excess = len(state.times) - keep
    state.dropped = _newer(state.dropped, state.times[excess - 1])
    del state.times[:excess]
    if isinstance(state, Sums):
        del state.amounts[:excess]


def _prune_sums(state: Sums, keep: int) -> None:
    edge = state.times[-1] - state.span
    if state.times[0] <= edge:
        gone = bisect_right(state.times, edge)
        del state.times[:gone]
        del state.amounts[:gone]
    if len(state.times) > keep:
        _bound_times(state, keep)


def _merge_sums(one: Sums, other: Sums, keep: int) -> Sums:
    pairs = sorted([*zip(one.times, one.amounts, strict=True), *zip(other.times, other.amounts, strict=True)])
    times, amounts = [time for time, _ in pairs], [amount for _, amount in pairs]
    merged = Sums(max(one.span, other.span), times, amounts, _newer(one.dropped, other.dropped))
    _prune_sums(merged, keep)
    return merged


def _prune_entries(state: Last, keep: int) -> None:
    """Drop values that can be the last at no instant from `span` before the newest on."""
    entries = state.entries
    edge = entries[-1][0] - state.span
    if len(entries) <= keep and (len(entries) == 1 or entries[1][0] > edge):
        return
    gone = max(bisect_right(entries, edge, key=_entry_time) - 1, len(entries) - keep)
    if gone > 0:
        del entries[:gone]
