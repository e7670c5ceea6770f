"""Answers of counts and sums that turn at one number: at once, without a walk through what slides."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import TYPE_CHECKING

from bespeak.clock import NEVER, Duration, Instant
from bespeak.conditions.counting.states_figures import MILLIONTHS, Sums, Times
from bespeak.conditions.counting.windows import Frame

if TYPE_CHECKING:
    from bespeak.conditions.asking.answers import Answer, Answers, Visitor


def counted(name: str, within: Duration, least: int, reached: bool, *, otherwise: Answers) -> Answers:  # noqa: FBT001
    """Answer a count that turns at one number: it stands until the `least` newest event leaves the window."""
    stays = (not reached, NEVER)

    def answer(visitor: Visitor, at: Instant) -> Answer:
        state = visitor.state(name)
        if not isinstance(state, Times):
            return stays
        times = state.times
        if times[-1] > at:
            return otherwise(visitor, at)
        if len(times) >= least:
            leaves = times[-least] + within
            if leaves > at:
                return reached, leaves
        return stays

    return answer


def reached_up_to_now(window: Frame, otherwise: Answers, name: str, turns: tuple[int, bool]) -> Answers:
    """Answer a count that turns at one number, in a window that reaches up to now: as `counted`."""
    least, reached = turns

    def answer(visitor: Visitor, at: Instant) -> Answer:
        state = visitor.state(name)
        if not isinstance(state, Times):
            return not reached, NEVER
        times = state.times
        if times[-1] > at:
            return otherwise(visitor, at)
        if len(times) < least or times[-least] <= window.bounds(visitor.get, at)[0]:
            return not reached, NEVER
        return reached, window.leaves(times[-least], visitor.get)

    return answer


def summed(name: str, within: Duration, passes: Callable[[object], bool], *, otherwise: Answers) -> Answers:
    """Answer a sum of amounts that are 0 or more against a bound: it stands while the newest that reach it are in."""

    def answer(visitor: Visitor, at: Instant) -> Answer:
        state = visitor.state(name)
        if not isinstance(state, Sums):
            return passes(0), NEVER
        times = state.times
        inside = state.amounts[bisect_right(times, at - within) :]
        if times[-1] > at or (inside and min(inside) < 0):
            return otherwise(visitor, at)
        holds = passes(sum(inside) / MILLIONTHS)
        if passes(0) == holds:  # what is left only falls, towards 0
            return holds, NEVER
        newest = 0
        for place in range(1, len(inside) + 1):
            newest += inside[-place]
            if passes(newest / MILLIONTHS) == holds:
                return holds, times[-place] + within
        return holds, NEVER

    return answer
