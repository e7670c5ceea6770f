"""What is kept of the order of events: when each that matters happened, and what it was.

As all states, a function of the *set* of events that fed it, as long as its bound is not filled.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from bespeak.clock import Duration, Instant
from bespeak.conditions.counting.states_figures import newer

if TYPE_CHECKING:
    from bespeak.conditions.counting.states import State

SAID_KEPT = 100
"""Messages about one trait that are kept for one person: beyond it those between equal ones go, which turn nothing.

Many senders say all traits with every event."""

Mark: TypeAlias = tuple[Instant, str, int]
"""Time, message id, and a bit for each thing that the event was."""

_mark_time = itemgetter(0)


class Marks(msgspec.Struct, array_like=True, tag="m", gc=False):
    """What happened, sorted by (time, message id): all within `span` of the newest, and the one before them.

    `dropped` is the newest time that found no room.
    """

    span: Duration
    entries: list[Mark]
    dropped: Instant | None = None


def add_mark(states: dict[str, State], key: str, mark: Mark, span: Duration, keep: int) -> bool:
    """Note an event; `span` is how far back of the newest one may be asked. False when it is too old to matter."""
    state = states.get(key)
    if not isinstance(state, Marks):
        states[key] = Marks(span, [mark])
        return True
    state.span = span
    entries = state.entries
    if mark > entries[-1]:
        entries.append(mark)
    elif mark < entries[0] and entries[0][0] <= entries[-1][0] - span:
        return False
    else:
        insort(entries, mark)
    bound_marks(state, keep)
    return True


def add_said(states: dict[str, State], key: str, mark: Mark, span: Duration, keep: int) -> bool:
    """Note what a message said. False when it is too old to matter, or says what was said last: it turns nothing.

    It is kept all the same: what comes late may say something else, and before it.
    """
    state = states.get(key)
    repeats = isinstance(state, Marks) and state.entries[-1] < mark and state.entries[-1][2] == mark[2]
    return add_mark(states, key, mark, span, min(keep, SAID_KEPT)) and not repeats


def merge_marks(one: Marks, other: Marks, keep: int) -> Marks:
    """Return what happened on both sides."""
    entries = sorted(one.entries + other.entries)
    merged = Marks(max(one.span, other.span), entries, newer(one.dropped, other.dropped))
    bound_marks(merged, keep)
    return merged


def bound_marks(state: Marks, keep: int) -> None:
    """Drop what is before all that may be asked, and of too many so many that a tenth of the room is free.

    Those go first that stand between two of their own kind, the oldest of them first: what came first and last of a
    run of equal events matters more than what came between. Then the oldest.
    """
    entries = state.entries
    edge = entries[-1][0] - state.span
    if len(entries) > 1 and entries[1][0] <= edge:
        del entries[: bisect_right(entries, edge, key=_mark_time) - 1]
    if len(entries) <= keep:
        return
    excess = len(entries) - keep * 9 // 10
    kinds = [kind for _, _, kind in entries]
    inner = [place for place in range(1, len(kinds) - 1) if kinds[place - 1] == kinds[place] == kinds[place + 1]]
    gone = set(inner[:excess])
    left = [entry for place, entry in enumerate(entries) if place not in gone]
    oldest = left[: excess - len(gone)]
    del left[: len(oldest)]
    state.dropped = newer(state.dropped, max(entries[place][0] for place in gone) if gone else None)
    state.dropped = newer(state.dropped, oldest[-1][0] if oldest else None)
    state.entries = left
