"""Sequences: one event after the other, found in one walk over what happened.

Of the events that a step may follow the latest is enough: the time up to the step is the shortest, and the fewest
events come between. So one event a step is all that the walk remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias, cast

from bespeak.clock import NEVER, Duration, Instant
from bespeak.conditions.asking.source import Source
from bespeak.conditions.counting.states_marks import Mark
from bespeak.conditions.counting.windows import fixed_ends, frame, is_fixed
from bespeak.conditions.meaning.check_marked import deeds
from bespeak.conditions.text.printer import format_deed
from bespeak.conditions.tree import Deed, FromTo, Since
from bespeak.conditions.tree import Sequence as Steps

Link: TypeAlias = "tuple[Instant, Link | None]"
"""When a step was taken, and the one before it."""


class Walked(NamedTuple):
    """What a walk over the events has found.

    Parameters
    ----------
    done
        The last steps of all that is complete, in order; those left out after which something came that may not.
    open
        The latest steps that may still be followed, of the last but one first; None where there is none.
    """

    done: list[Link]
    open: tuple[Link | None, ...]


Walk: TypeAlias = Callable[[Sequence[Mark]], Walked]

NOWHERE: Link = (-NEVER, None)
"""No step: longer ago than any that another may follow."""


def distinct_deeds(sequence: Steps) -> dict[str, Deed]:
    """Return what a (checked) sequence asks of events, by its text, in the order of the texts: each has its bit.

    Examples
    --------
    >>> from bespeak.conditions.text.parser import parse
    >>> list(distinct_deeds(parse('sequence("B" then "A" without "B")')))
    ['"A"', '"B"']
    """
    found = {format_deed(deed): deed for deed in deeds(sequence)}
    return {text: found[text] for text in sorted(found)}


def reach(sequence: Steps) -> Duration:
    """Return how long before its last step a sequence may have begun; `clock.NEVER` where there is no bound."""
    within = [step.within for step in sequence.steps[1:]]
    return NEVER if None in within else sum(one for one in within if one is not None)


def span_of(sequence: Steps) -> Duration:
    """Return how far back of the newest event what happened matters; `clock.NEVER` where all does."""
    window = frame(sequence.within)
    return NEVER if window is None else min(NEVER, window.span + reach(sequence))


def walk_of(sequence: Steps) -> Walk:
    """Write the function that walks over the events of a (checked) sequence.

    Examples
    --------
    >>> from bespeak.conditions.text.parser import parse
    >>> walk = walk_of(parse('sequence("A" then "B" within 1 second)'))
    >>> walk([(1, "m1", 1), (2, "m2", 1), (1_000_002, "m3", 2), (1_000_003, "m4", 2)]).done
    [(1000002, (2, None))]
    """
    bits = {text: 1 << place for place, text in enumerate(distinct_deeds(sequence))}

    def kinds(several: tuple[Deed, ...]) -> int:
        return sum({bits[format_deed(deed)] for deed in several})

    source = Source()
    source.namespace.update(NOWHERE=NOWHERE)
    last = len(sequence.steps)
    lines: list[str] = []
    if sequence.after is not None:
        lasting = source.constant(sequence.after.lasting)
        lines.append(f"if kind & {kinds(sequence.after.without)}:")
        lines.append(f" while done and done[-1][0] >= time - {lasting}: done.pop()")
    for place in range(last, 0, -1):
        step = sequence.steps[place - 1]
        if place < last and sequence.steps[place].without:
            lines.append(f"if kind & {kinds(sequence.steps[place].without)}: s{place} = NOWHERE")
        before = f"s{place - 1}" if place > 1 else "None"
        follows = ""
        if place > 1:
            close = f"time - {before}[0] <= {source.constant(step.within)}" if step.within is not None else ""
            follows = f" and {close or f'{before} is not NOWHERE'}"
        taken = f"s{place} = time, {before}" if place < last else f"done.append((time, {before}))"
        lines.append(f"if kind & {kinds((Deed(step.event, step.where),))}{follows}: {taken}")
    fronts = [f"s{place}" for place in range(last - 1, 0, -1)]
    body = ["done = []", *(f"{front} = NOWHERE" for front in fronts), "for time, _, kind in entries:"]
    found = f"({''.join(f'{front}, ' for front in fronts)})"
    walk = cast(
        "Callable[[Sequence[Mark]], tuple[list[Link], tuple[Link, ...]]]",
        source.steps("entries", [*body, *(" " + line for line in lines), f"return done, {found}"]),
    )

    def walked(entries: Sequence[Mark]) -> Walked:
        done, fronts = walk(entries)
        return Walked(done, tuple(None if front is NOWHERE else front for front in fronts))

    return walked


def is_moving(sequence: Steps) -> bool:
    """Say whether time alone turns it: its last step leaves a window, or it waits for what may not come."""
    return not is_fixed(sequence.within) or sequence.after is not None


def is_in_fixed(sequence: Steps, time: Instant) -> bool:
    """Say whether a last step lies in a window with fixed ends, or there is none."""
    window = sequence.within
    if not isinstance(window, Since | FromTo):
        return True
    start, end = fixed_ends(window)
    return start <= time < end
