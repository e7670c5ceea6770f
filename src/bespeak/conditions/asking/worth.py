"""What is worked out, read at an instant, and the instants at which it passes a number by itself.

A score is a constant and one curve: all that fades in it fades by one half-life. So between the instants at which an
event comes, a term comes down to its most, or a condition turns, it only rises or only falls. There its crossing with a
number follows from a logarithm, and the very microsecond is looked for around it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, assert_never

from bespeak.clock import DAY, NEVER, Duration, Instant
from bespeak.conditions.asking.grades import grade_of, grades_pass, is_number, rfm_reader
from bespeak.conditions.asking.visitor import Answers, Holds, Passes, Read, Visitor
from bespeak.conditions.counting.aggregates import key
from bespeak.conditions.counting.orders import orders_reader
from bespeak.conditions.counting.reads import count_in
from bespeak.conditions.counting.states import State
from bespeak.conditions.counting.states_values import First, Last
from bespeak.conditions.counting.waning import DECIMALS, HALVINGS_MAX, Waning, falls_past
from bespeak.conditions.derived import Band, Derived, Difference, Elapsed, Grade, Orders, Ratio, Rfm, Same, Score, Term
from bespeak.conditions.tree import Aggregate, Condition, Operand
from bespeak.conditions.values.crossings import first_turn

MADE_MAX = 2_000
"""Scores and computed traits of which what reads them is kept; beyond it the oldest go."""


class Made(NamedTuple):
    """What reads something that is worked out, and says when it passes a number by itself, if it ever does."""

    derived: Derived
    read: Read
    passes: Passes | None


_made: dict[int, Made] = {}


def made_of(
    derived: Derived,
    reader: Callable[[Operand], Read],
    holds_of: Callable[[Condition], Holds],
    answers_of: Callable[[Condition], Answers],
    passing_of: Callable[[Operand], Passes | None],
) -> Made:
    """Return what reads something that is worked out; made once for all who ask."""
    kept = _made.get(id(derived))
    if kept is None:
        # It is kept with what is made of it, so that no other can get the same id.
        passes = passes_function(derived, holds_of, answers_of, passing_of)
        kept = _made[id(derived)] = Made(derived, read_function(derived, reader, holds_of), passes)
        if len(_made) > MADE_MAX:
            del _made[next(iter(_made))]
    return kept


class Part(NamedTuple):
    """What one term gives: its points for what `value` counts as of `time`, which fades by `halflife` (0: never)."""

    term: Term
    value: float
    time: Instant
    halflife: Duration

    def worth(self, at: Instant) -> float:
        """Return its points at an instant."""
        points = self.term.points * self.value
        if self.halflife and at > self.time:
            points *= 2.0 ** ((self.time - at) / self.halflife)
        most = self.term.most
        return points if most is None else min(max(points, -most), most)

    def eases(self) -> Instant:
        """Return about when it comes down to its most; long ago where it never was above."""
        points, most = abs(self.term.points * self.value), self.term.most
        if most is None or points <= most or not self.halflife:
            return -NEVER
        return self.time + int(math.log2(points / most) * self.halflife) if most > 0 else NEVER


def score_at(score: Score, parts: Iterable[Part], at: Instant) -> float:
    """Return what a score is, given its parts: all together, told to nine decimals, held between floor and cap."""
    return held_between(score, math.fsum(part.worth(at) for part in parts))


def held_between(score: Score, total: float) -> float:
    """Return a total told to nine decimals, between the floor and the cap of a score."""
    total = round(total, DECIMALS) + 0.0  # never -0
    if score.cap is not None:
        total = min(total, score.cap)
    return total if score.floor is None else max(total, score.floor)


def band_of(bands: Iterable[tuple[float, str]], score: float) -> str | None:
    """Return the name of the highest band that a score has reached; bands stand in the order of their least scores.

    Examples
    --------
    >>> [band_of([(0, "cold"), (10, "warm")], score) for score in (-1, 9.5, 10)]
    [None, 'cold', 'warm']
    """
    found = None
    for least, name in bands:
        if score >= least:
            found = name
    return found


def parts_function(score: Score, holds_of: Callable[[Condition], Holds]) -> Callable[[Visitor, Instant], list[Part]]:
    """Build what reads the parts of a score."""
    read = [_part_reader(term, holds_of) for term in score.terms]
    return lambda visitor, at: [one(visitor, at) for one in read]


def _part_reader(term: Term, holds_of: Callable[[Condition], Holds]) -> Callable[[Visitor, Instant], Part]:
    if term.counted is None:
        holds = holds_of(term.condition) if term.condition is not None else None
        return lambda visitor, at: Part(term, 1.0 if holds is not None and holds(visitor, at) else 0.0, at, 0)
    name = key(term.counted)

    def read(visitor: Visitor, at: Instant) -> Part:
        state = visitor.state(name)
        if isinstance(state, Waning):
            return Part(term, state.value, state.time, state.halflife)
        return Part(term, count_in(state, None, at), at, 0)

    return read


def read_function(derived: Derived, reader: Callable[[Operand], Read], holds_of: Callable[[Condition], Holds]) -> Read:
    """Build what reads something that is worked out."""
    match derived:
        case Same(operand):
            return reader(operand)
        case Ratio(of, to):
            above, below = reader(of), reader(to)
            return lambda visitor, at: _ratio(above(visitor, at), below(visitor, at))
        case Difference(of, less):
            whole, part = reader(of), reader(less)
            return lambda visitor, at: _difference(whole(visitor, at), part(visitor, at))
        case Elapsed(moment):
            name = key(moment)
            return lambda visitor, at: _days(_time_of(visitor.state(name)), at)
        case Orders():
            return orders_reader(derived)
        case Score():
            parts = parts_function(derived, holds_of)
            return lambda visitor, at: score_at(derived, parts(visitor, at), at)
        case Band(score, bands):
            read = parts_function(score, holds_of)
            return lambda visitor, at: band_of(bands, score_at(score, read(visitor, at), at))
        case Grade(operand):
            figure = reader(operand)
            return lambda visitor, at: grade_of(derived, figure(visitor, at))
        case Rfm():
            return rfm_reader(derived, reader)
        case _:
            assert_never(derived)


def waning_passes(name: str) -> Passes:
    """Build what says when a figure with a half-life passes a number."""

    def passes(visitor: Visitor, at: Instant, bounds: Iterable[float]) -> Instant:
        state = visitor.state(name)
        return min((falls_past(state, bound, at) for bound in bounds), default=NEVER)

    return passes


def fading_passes(path: str) -> Passes:
    """Build what says when what fades at a path passes a number."""

    def passes(visitor: Visitor, at: Instant, bounds: Iterable[float]) -> Instant:
        fading = visitor.fading(path)
        if fading is None:
            return NEVER
        ends = [until for bound in bounds for until in (fading.falls_to(bound, at), fading.falls_below(bound, at))]
        return min(ends, default=NEVER)

    return passes


def moves_alone(derived: Derived, has_window: Callable[[Condition], bool]) -> bool:
    """Say whether something that is worked out moves by itself, whatever windows it reads."""
    match derived:
        case Elapsed():
            return True
        case Score(terms):
            return any(term.condition is not None and has_window(term.condition) for term in terms)
        case Band(score):
            return moves_alone(score, has_window)
        case _:
            return False


def passes_function(
    derived: Derived,
    holds_of: Callable[[Condition], Holds],
    answers_of: Callable[[Condition], Answers],
    passing_of: Callable[[Operand], Passes | None],
) -> Passes | None:
    """Build what says when something that is worked out passes a number by itself.

    None where it never does, or only as events come into the windows of what it reads, and leave them.
    """
    match derived:
        case Same() | Ratio() | Difference() | Orders():
            return None
        case Elapsed(moment):
            return _elapsed_passes(moment)
        case Score():
            return _score_passes(derived, holds_of, answers_of)
        case Band(score, bands):
            passes, numbers = _score_passes(score, holds_of, answers_of), [least for least, _ in bands]
            return None if passes is None else lambda visitor, at, _bounds: passes(visitor, at, numbers)
        case Grade():
            return grades_pass([derived], passing_of)
        case Rfm(recency, frequency, monetary):
            return grades_pass([recency, frequency, monetary], passing_of)
        case _:
            assert_never(derived)


def _elapsed_passes(moment: Aggregate) -> Passes:
    name = key(moment)

    def passes(visitor: Visitor, at: Instant, bounds: Iterable[float]) -> Instant:
        time = _time_of(visitor.state(name))
        if time is None:
            return NEVER
        found = NEVER
        for bound in bounds:
            if math.isfinite(bound) and abs(bound * DAY) < NEVER - time:
                guess = time + int(bound * DAY)
                found = min(found, first_turn(lambda then: _days_since(time, then), bound, at, guess + 1_000, guess))
        return found

    return passes


def _score_passes(
    score: Score, holds_of: Callable[[Condition], Holds], answers_of: Callable[[Condition], Answers]
) -> Passes | None:
    asked = [answers_of(term.condition) for term in score.terms if term.condition is not None]
    if not asked and not any(term.counted is not None and term.counted.within is not None for term in score.terms):
        return None
    read = parts_function(score, holds_of)

    def passes(visitor: Visitor, at: Instant, bounds: Iterable[float]) -> Instant:
        turned = min((answers(visitor, at)[1] for answers in asked), default=NEVER)
        parts = read(visitor, at)
        until = min(_bend(parts, at), turned)
        fading = [part.halflife for part in parts if part.halflife]
        last = min(until, at + HALVINGS_MAX * max(fading)) if fading else at
        for bound in bounds:
            guess = _guess(parts, bound, at)
            found = first_turn(lambda then: score_at(score, parts, then), bound, at, last, guess)
            until = min(until, found)
        return until

    return passes


def _bend(parts: Sequence[Part], at: Instant) -> Instant:
    """Return up to when all parts only rise or only fall as one: until a term begins to fade, or eases."""
    bends = [part.time for part in parts if part.halflife and part.time > at]
    easing = [eases for part in parts if (eases := part.eases()) != -NEVER]
    bends += [max(eases, at + 1) for eases in easing if eases >= at]
    return min(bends, default=NEVER)


def _guess(parts: Sequence[Part], bound: float, at: Instant) -> Instant:
    """Return about when a score comes to a bound: when what fades, all by one half-life, comes to what is left."""
    fading = [part for part in parts if part.halflife and not part.eases() >= at]
    falls = math.fsum(part.worth(at) for part in fading)
    left = bound - (math.fsum(part.worth(at) for part in parts) - falls)
    if not fading or not left or not falls or not (share := falls / left) > 1 or math.isinf(share):
        return at + 1
    return at + int(math.log2(share) * fading[0].halflife)


def _ratio(of: object, to: object) -> float | None:
    if not is_number(of) or not is_number(to) or not to:
        return None
    try:
        return of / to
    except OverflowError:
        return None


def _difference(of: object, less: object) -> float | None:
    return round(of - less, 6) + 0.0 if is_number(of) and is_number(less) else None


def _days(time: Instant | None, at: Instant) -> float | None:
    return None if time is None else _days_since(time, at)


def _days_since(time: Instant, at: Instant) -> float:
    return max(0, at - time) / DAY


def _time_of(state: State | None) -> Instant | None:
    match state:
        case First(entry):
            return entry[0]
        case Last(_, entries):
            return entries[-1][0]
        case _:
            return None
