"""The states of aggregates, one kind for each way of counting, and what becomes of two that are about one person."""

from __future__ import annotations

from bisect import bisect_right
from typing import TypeAlias

from bespeak.clock import Instant
from bespeak.conditions.counting.states_figures import (
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
from bespeak.conditions.counting.states_marks import Marks, merge_marks
from bespeak.conditions.counting.states_values import (
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
from bespeak.conditions.counting.waning import Waning, merge_wanings

State: TypeAlias = Count | Times | Sum | Sums | Total | Last | First | Entries | Seen | Tally | Marks | Waning


def merge_states(one: State, other: State, keep: int) -> State:  # noqa: C901  one case for each kind
    """Return the state of the events of both; the order of the two does not matter."""
    match one, other:
        case Count() as ours, Count() as theirs:
            return Count(ours.n + theirs.n)
        case Sum() as ours, Sum() as theirs:
            carried, millionths = divmod(ours.millionths + theirs.millionths, MILLIONTHS)
            return Sum(ours.whole + theirs.whole + carried, millionths)
        case Total() as ours, Total() as theirs:
            return merge_totals(ours, theirs)
        case Waning() as ours, Waning() as theirs:
            return merge_wanings(ours, theirs)
        case Times() as ours, Times() as theirs:
            return _merge_times(ours, theirs, keep)
        case Sums() as ours, Sums() as theirs:
            return merge_sums(ours, theirs, keep)
        case Tally() as ours, Tally() as theirs:
            return merge_tallies(ours, theirs, keep)
        case Seen() as ours, Seen() as theirs:
            seen = Seen(sorted({*ours.hashes, *theirs.hashes}), ours.more or theirs.more)
            bound_seen(seen, keep)
            return seen
        case Marks() as ours, Marks() as theirs:
            return merge_marks(ours, theirs, keep)
        case First() as ours, First() as theirs:
            return First(min(ours.entry, theirs.entry, key=entry_order))
        case Last() as ours, Last() as theirs:
            last = Last(max(ours.span, theirs.span), sorted(ours.entries + theirs.entries, key=entry_order))
            bound_last(last, keep)
            return last
        case Entries() as ours, Entries() as theirs:
            entries = sorted(ours.entries + theirs.entries, key=entry_order)
            merged = Entries(max(ours.span, theirs.span), entries, newer(ours.dropped, theirs.dropped))
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
