"""Tests of one score against constants, which is nearly all that is asked of scores: answered by a logarithm.

What a score is made of is read once, whoever asks for it (`Curve`). Until the next bend it is a constant and what
fades, so that it comes to a number when what fades comes to the rest. That instant is told a moment early, without
looking at the score again; who is asked then is so near that the very microsecond can be looked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from bespeak.clock import NEVER, Duration, Instant
from bespeak.conditions.asking.source import matcher
from bespeak.conditions.asking.visitor import Answer, Answers, Visitor
from bespeak.conditions.asking.worth import Part, band_of, held_between, score_at
from bespeak.conditions.counting.aggregates import key
from bespeak.conditions.counting.reads import count_in
from bespeak.conditions.counting.waning import DECIMALS, HALVINGS_MAX, Waning
from bespeak.conditions.derived import Band, Score, Worked
from bespeak.conditions.tree import Between, Compare, Condition, In, Test
from bespeak.conditions.values.crossings import first_turn

_NEAR = 2 * 10.0**-DECIMALS
"""So near to a number what is told of a score may be the number."""
_EARLY = 2
"""Microseconds by which a crossing may be told too late by rounding."""


class Curve(NamedTuple):
    """A score from an instant on, up to its next bend.

    Parameters
    ----------
    value
        What the score is at the instant.
    steady, falls
        What of all points stays, and what of them fades.
    halflife
        By which it does.
    until
        The next bend: an event begins to fade, a term comes down to its most, a condition turns.
    """

    value: float
    steady: float
    falls: float
    halflife: Duration
    until: Instant


CURVES_MAX = 2_000
"""Scores of which what reads their curves is kept; beyond it the oldest go."""

Drawn = Callable[[Visitor, Instant], Curve]
Answering = Callable[[Curve, Visitor, Instant], Answer]
"""Whether a test holds, given the curve of the score at the instant, and until when."""


_curves: dict[int, tuple[Score, Drawn]] = {}


def curve_of(score: Score, answers_of: Callable[[Condition], Answers]) -> Drawn:
    """Return what reads the curve of a score; made once for all who ask."""
    kept = _curves.get(id(score))
    if kept is None:
        # The score is kept with it, so that no other can get the same id.
        kept = _curves[id(score)] = (score, curve_function(score, answers_of))
        if len(_curves) > CURVES_MAX:
            del _curves[next(iter(_curves))]
    return kept[1]


def curve_function(score: Score, answers_of: Callable[[Condition], Answers]) -> Drawn:
    """Build what reads the curve of a score."""
    counted = [(term.points, term.most, key(term.counted)) for term in score.terms if term.counted is not None]
    asked = [(term.points, answers_of(term.condition)) for term in score.terms if term.condition is not None]

    def curve(visitor: Visitor, at: Instant) -> Curve:
        until, halflife, state = NEVER, 0, visitor.state
        steady: list[float] = []
        falls: list[float] = []
        for points, most, name in counted:
            found = state(name)
            if not isinstance(found, Waning):
                worth = points * count_in(found, None, at)
                steady.append(worth if most is None else min(max(worth, -most), most))
                continue
            worth, halflife = points * found.value, found.halflife
            if at < found.time:
                until = min(until, found.time)
                steady.append(worth if most is None else min(max(worth, -most), most))
                continue
            if at > found.time:
                worth *= 2.0 ** ((found.time - at) / halflife)
            if most is None or -most < worth < most:
                falls.append(worth)
            else:
                steady.append(min(max(worth, -most), most))
                until = min(until, at + 1 + int(math.log2(abs(worth) / most) * halflife))
        for points, answers in asked:
            holds, turns = answers(visitor, at)
            until = min(until, turns)
            if holds:
                steady.append(points)
        value = held_between(score, math.fsum((*steady, *falls)))
        return Curve(value, math.fsum(steady), math.fsum(falls), halflife, until)

    return curve


def asked_of_score(test: Test) -> Score | None:
    """Return the score that a test asks for, or whose band, and nothing else; None where it is another test."""
    operand = test.operand
    if not isinstance(operand, Worked) or not isinstance(operand.derived, Score | Band):
        return None
    score = operand.derived if isinstance(operand.derived, Score) else operand.derived.score
    halflives = {term.counted.within for term in score.terms if term.counted is not None}
    return score if len(halflives) <= 1 else None


def answer_function(test: Test, score: Score, parts: Callable[[Visitor, Instant], list[Part]]) -> Answering:
    """Build what answers a test of a score against constants."""
    passes, derived = matcher(test), test.operand.derived if isinstance(test.operand, Worked) else score
    bands = derived.bands if isinstance(derived, Band) else None
    wanted = _numbers(test) if bands is None else [least for least, _ in bands]
    lowest = -math.inf if score.floor is None else score.floor
    highest = math.inf if score.cap is None else score.cap
    bounds = [bound for bound in wanted if lowest <= bound <= highest]

    def answer(curve: Curve, visitor: Visitor, at: Instant) -> Answer:
        holds = passes(curve.value if bands is None else band_of(bands, curve.value))
        until = curve.until
        if curve.falls:
            for bound in bounds:
                then = _comes_to(curve, bound, at)
                if then <= at:
                    last, read = min(curve.until, at + HALVINGS_MAX * curve.halflife), parts(visitor, at)
                    then = first_turn(partial(score_at, score, read), bound, at, last, at + 1)
                until = min(until, then)
        return holds, until

    return answer


def _comes_to(curve: Curve, bound: float, at: Instant) -> Instant:
    """Return when a curve comes to a number, or a moment before; `at` where it is too near to tell without looking."""
    sign = 1.0 if curve.falls > 0 else -1.0
    falls, left = sign * curve.falls, sign * (bound - curve.steady)
    if falls < left - _NEAR or left + _NEAR <= 0:
        return NEVER  # it is past it, or never comes down to it
    share = falls / (left + _NEAR)
    return at if share <= 1 else max(at, at + int(math.log2(share) * curve.halflife) - _EARLY)


def _numbers(test: Test) -> list[float]:
    """Return the numbers that a score is compared with."""
    sides: tuple[object, ...]
    match test:
        case Compare(_, _, value):
            sides = (value,)
        case Between(_, low, high):
            sides = (low, high)
        case In(_, values):
            sides = values
        case _:
            sides = ()
    return [side for side in sides if isinstance(side, int | float) and not isinstance(side, bool)]
