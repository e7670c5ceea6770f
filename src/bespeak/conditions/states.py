"""The states of aggregates, one kind for each way of counting, and what becomes of two that are about one person."""

from __future__ import annotations

from bisect import bisect_right
from typing import TypeAlias

from bespeak.clock import Instant
from bespeak.conditions.states_figures import (
    MILLIONTHS,
    Count,
    Sum,
    Sums,
    Times,
    Total,
    bound_times,
    merge_sums,
    merge_totals,
    newer,
)
from bespeak.conditions.states_values import (
    Entries,
    First,
    Last,
    Seen,
    Tally,
    bound_entries,
    bound_last,
    bound_seen,
    entry_order,
    merge_tallies,
)

State: TypeAlias = Count | Times | Sum | Sums | Total | Last | First | Entries | Seen | Tally


def merge_states(one: State, other: State, keep: int) -> State:
    """Return the state of the events of both; the order of the two does not matter."""
    match one, other:
        case Count(), Count():
            return Count(one.n + other.n)
        case Sum(), Sum():
            carried, millionths = divmod(one.millionths + other.millionths, MILLIONTHS)
            return Sum(one.whole + other.whole + carried, millionths)
        case Total(), Total():
            return merge_totals(one, other)
        case Times(), Times():
            return _merge_times(one, other, keep)
        case Sums(), Sums():
            return merge_sums(one, other, keep)
        case Tally(), Tally():
            return merge_tallies(one, other, keep)
        case Seen(), Seen():
            seen = Seen(sorted({*one.hashes, *other.hashes}), one.more or other.more)
            bound_seen(seen, keep)
            return seen
        case First(), First():
            return First(min(one.entry, other.entry, key=entry_order))
        case Last(), Last():
            last = Last(max(one.span, other.span), sorted(one.entries + other.entries, key=entry_order))
            bound_last(last, keep)
            return last
        case Entries(), Entries():
            entries = sorted(one.entries + other.entries, key=entry_order)
            merged = Entries(max(one.span, other.span), entries, newer(one.dropped, other.dropped))
            bound_entries(merged, keep)
            return merged
        case _:
            raise TypeError(
                f"states of one key must be of one kind, got {type(one).__name__} and {type(other).__name__}"
            )


def _merge_times(one: Times, other: Times, keep: int) -> Times:
    times = Times(max(one.span, other.span), sorted(one.times + other.times), newer(one.dropped, other.dropped))
    del times.times[: bisect_right(times.times, times.times[-1] - times.span)]
    if len(times.times) > keep:
        bound_times(times, keep)
    return times


def is_approximate(state: State | None, after: Instant | None) -> bool:
    """Say whether what is asked of a state is a bound or an estimate, since not all that belongs to it found room.

    Parameters
    ----------
    after
        Where the window begins; None for ever.
    """
    if isinstance(state, Seen | Tally):
        return state.more
    dropped = state.dropped if isinstance(state, Times | Sums | Entries) else None
    return dropped is not None and after is not None and dropped > after
