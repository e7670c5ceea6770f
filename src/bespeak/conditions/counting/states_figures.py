"""What is kept of events that are counted, and of numbers that are added up.

Every state is a function of the *set* of events that fed it, never of their order, as long as its bound is
not filled: counts and sums add, lists stay sorted, and what is dropped for age is measured from the state's
own newest event. Sums are whole millionths, so that 0.1 + 0.2 is 0.3 in any order.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import TYPE_CHECKING

import msgspec

from bespeak.clock import Duration, Instant
from bespeak.conditions.tree import MAX_AMOUNT

if TYPE_CHECKING:
    from bespeak.conditions.counting.states import State

MILLIONTHS = 1_000_000
"""Units of a sum in one whole."""

_NUMBERS = (int, float)


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


class Total(msgspec.Struct, array_like=True, tag="a", gc=False):
    """What all numbers there were come to: how many, their sum as in `Sum`, the least and the most in millionths."""

    n: int
    whole: int
    millionths: int
    least: int
    most: int


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
        bound_times(state, keep)
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


def add_total(states: dict[str, State], key: str, amount: int) -> bool:
    """Add millionths to the figures for ever."""
    state = states.get(key)
    if not isinstance(state, Total):
        states[key] = Total(1, *divmod(amount, MILLIONTHS), amount, amount)
        return True
    state.n += 1
    carried, state.millionths = divmod(state.millionths + amount, MILLIONTHS)
    state.whole += carried
    state.least, state.most = min(state.least, amount), max(state.most, amount)
    return True


def merge_totals(one: Total, other: Total) -> Total:
    """Return the figures of the numbers of both."""
    carried, millionths = divmod(one.millionths + other.millionths, MILLIONTHS)
    whole = one.whole + other.whole + carried
    return Total(one.n + other.n, whole, millionths, min(one.least, other.least), max(one.most, other.most))


def newer(one: Instant | None, other: Instant | None) -> Instant | None:
    """Return the newer of two times that may be missing."""
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def bound_times(state: Times | Sums, keep: int) -> None:
    """Of too many times drop the oldest."""
    excess = len(state.times) - keep
    state.dropped = newer(state.dropped, state.times[excess - 1])
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
        bound_times(state, keep)


def merge_sums(one: Sums, other: Sums, keep: int) -> Sums:
    """Return the amounts of both."""
    pairs = sorted([*zip(one.times, one.amounts, strict=True), *zip(other.times, other.amounts, strict=True)])
    times, amounts = [time for time, _ in pairs], [amount for _, amount in pairs]
    merged = Sums(max(one.span, other.span), times, amounts, newer(one.dropped, other.dropped))
    _prune_sums(merged, keep)
    return merged
