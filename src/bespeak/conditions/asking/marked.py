"""What stands on the order of events, asked: sequences, and traits that have been so for some time.

Each holds from some instants until others, and between them nothing turns it. So the list of these spans is all that
the answer, and the instant at which it turns, are read from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias, assert_never

from bespeak.clock import NEVER, Duration, Instant
from bespeak.conditions.counting import has_been, sequences
from bespeak.conditions.counting.states import State
from bespeak.conditions.counting.states_marks import Mark, Marks
from bespeak.conditions.counting.windows import Get, frame
from bespeak.conditions.text.printer import format_condition, format_deed
from bespeak.conditions.tree import Asked, Declared, HasBeen, Marked, Path, Sequence

Span: TypeAlias = tuple[Instant, Instant]
"""From when until when something holds; none where the first is not before the second."""
Spans: TypeAlias = Callable[["State | None", Get], list[Span]]
Behind: TypeAlias = Callable[["State | None", Get, Instant], tuple[tuple[Instant, ...], bool]]
"""Finds the times of the events behind an answer, newest first, and whether some that matter may be missing."""

EVERY = "*"
"""The name that means every event: each of them may say a trait."""


def events_of(declared: Declared) -> tuple[str, ...]:
    """Return the events that feed a state, as they are meant: names, or what names begin with."""
    match declared:
        case Sequence():
            return tuple(dict.fromkeys(deed.event for deed in sequences.distinct_deeds(declared).values()))
        case HasBeen():
            return (EVERY,)
        case _:
            return (declared.event,)


def paths_of(asked: Asked) -> tuple[str, ...]:
    """Return the paths of the person that what is asked reads, besides the states."""
    match asked:
        case Path(path):
            return (path,)
        case HasBeen():
            return ()
        case _:
            window = frame(asked.within)
            return () if window is None else window.paths


def key_of(marked: Marked) -> str:
    """Return the name of the state: what it notes of events, which many may ask about.

    Examples
    --------
    >>> from bespeak.conditions.text.parser import parse
    >>> key_of(parse('sequence("B" then "A" within 1 hour, last 7 days)'))
    'marks("A", "B", rolling)'
    >>> key_of(parse('traits.plan has been "pro" for 30 days'))
    'marks(traits.plan = "pro", rolling)'
    """
    if isinstance(marked, HasBeen):
        return f"marks({format_condition(has_been.asked(marked))}, rolling)"
    deeds = ", ".join(map(format_deed, sequences.distinct_deeds(marked).values()))
    return f"marks({deeds}{', rolling' if takes_timely_only(marked) else ''})"


def takes_timely_only(marked: Marked) -> bool:
    """Say whether an event that came too late leaves it as it is, as with windows that move."""
    return isinstance(marked, HasBeen) or frame(marked.within) is not None


def span_of(marked: Marked) -> Duration:
    """Return how far back of the newest event what happened matters."""
    return marked.lasting if isinstance(marked, HasBeen) else sequences.span_of(marked)


def is_moving(marked: Marked) -> bool:
    """Say whether time alone turns it."""
    return isinstance(marked, HasBeen) or sequences.is_moving(marked)


def spans_of(marked: Marked) -> Spans:
    """Build what returns from when until when it holds, as things are known, in order."""
    match marked:
        case HasBeen():
            return lambda state, _get: has_been.spans(marked, _entries(state))
        case Sequence():
            return _spans_of_sequence(marked)
        case _:
            assert_never(marked)


def _entries(state: State | None) -> list[Mark]:
    return state.entries if isinstance(state, Marks) else []


def _spans_of_sequence(sequence: Sequence) -> Spans:
    walk, window = sequences.walk_of(sequence), frame(sequence.within)
    later = 0 if sequence.after is None else sequence.after.lasting

    def spans(state: State | None, get: Get) -> list[Span]:
        times = [time for time, _ in walk(_entries(state)).done if sequences.is_in_fixed(sequence, time)]
        if window is not None:
            return [(max(window.enters(time, get), time + later), window.leaves(time, get)) for time in times]
        # As a count without a window counts what is yet to come, too.
        return [(time + later if later else -NEVER, NEVER) for time in times]

    return spans


def holds_of(marked: Marked) -> Callable[[State | None, Get, Instant], bool]:
    """Build what says whether it holds at an instant."""
    spans = spans_of(marked)
    return lambda state, get, at: any(start <= at < end for start, end in spans(state, get))


def standing(spans: Iterable[Span], at: Instant) -> tuple[bool, Instant]:
    """Say whether one of the spans, in order, covers an instant, and until when that stays so.

    Examples
    --------
    >>> standing([(1, 3), (3, 5), (7, 9)], 2), standing([(1, 3), (7, 9)], 4)
    ((True, 5), (False, 7))
    """
    until = at
    for start, end in spans:
        if end <= until or start >= end:
            continue
        if start > until:
            return (True, until) if until > at else (False, start)
        until = end
    return (True, until) if until > at else (False, NEVER)


def behind_of(marked: Marked) -> Behind:
    """Build what finds the events behind an answer.

    Of a sequence that holds they are its steps, of one that does not the steps that came farthest; of a trait it is the
    message since when it has been so.
    """
    match marked:
        case HasBeen():
            return lambda state, _get, at: _behind_has_been(state, at)
        case Sequence():
            return _behind_sequence(marked)
        case _:
            assert_never(marked)


def _behind_has_been(state: State | None, at: Instant) -> tuple[tuple[Instant, ...], bool]:
    entries = _entries(state)
    since = next((since for since, until in has_been.runs(entries) if since <= at < until), None)
    if since is None:
        return (), False
    dropped = state.dropped if isinstance(state, Marks) else None
    return (since,), dropped is not None and dropped < since == entries[0][0]


def _behind_sequence(sequence: Sequence) -> Behind:
    walk, spans, window = sequences.walk_of(sequence), spans_of(sequence), frame(sequence.within)

    def behind(state: State | None, get: Get, at: Instant) -> tuple[tuple[Instant, ...], bool]:
        done, fronts = walk(_entries(state))
        done = [link for link in done if sequences.is_in_fixed(sequence, link[0])]
        complete = [link for link, (start, end) in zip(done, spans(state, get), strict=True) if start <= at < end]
        link = complete[-1] if complete else next((front for front in fronts if front is not None), None)
        times: list[Instant] = []
        while link is not None and link is not sequences.NOWHERE:
            times.append(link[0])
            link = link[1]
        dropped = state.dropped if isinstance(state, Marks) else None
        after = -NEVER if window is None else window.bounds(get, at)[0] - sequences.reach(sequence)
        return tuple(times), dropped is not None and dropped > after

    return behind
