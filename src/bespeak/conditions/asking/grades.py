"""Where figures stand among everybody's: grades by borders, and the cells of recency, frequency and monetary value."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import TypeGuard

from bespeak.clock import Instant
from bespeak.conditions.asking.visitor import Passes, Read, Visitor
from bespeak.conditions.derived import Grade, Rfm
from bespeak.conditions.tree import Operand

CELLS = (
    ("lost", "hibernating", "at risk", "at risk", "cannot lose"),
    ("hibernating", "hibernating", "at risk", "at risk", "cannot lose"),
    ("about to sleep", "about to sleep", "needs attention", "loyal", "loyal"),
    ("promising", "potential loyalist", "potential loyalist", "loyal", "loyal"),
    ("new", "potential loyalist", "potential loyalist", "champions", "champions"),
)
"""Names of cells: by recency, worst first, and by the mean of the other two, half a grade rounded up."""


def grade_of(grade: Grade, figure: object) -> int | None:
    """Return the grade of a figure.

    Examples
    --------
    >>> from bespeak.conditions.tree import Path
    >>> spent, idle = (Grade(Path("traits.x"), (10, 20, 20, 90), falling) for falling in (False, True))
    >>> [grade_of(spent, figure) for figure in (10, 10.5, 20, 21, 91, None)]
    [1, 2, 2, 4, 5, None]
    >>> [grade_of(idle, figure) for figure in (10, 91)]
    [5, 1]
    """
    if not grade.borders or not is_number(figure):
        return None
    below = bisect_left(grade.borders, figure)
    return len(grade.borders) + 1 - below if grade.falling else 1 + below


def cell_of(recency: int, frequency: int, monetary: int) -> str:
    """Return the name of the cell of three grades of 1 to 5; frequency and monetary value count alike.

    Examples
    --------
    >>> cell_of(5, 5, 4), cell_of(1, 5, 5), cell_of(2, 1, 1), cell_of(3, 3, 2)
    ('champions', 'cannot lose', 'hibernating', 'needs attention')
    """
    return CELLS[recency - 1][(frequency + monetary + 1) // 2 - 1]


def rfm_reader(rfm: Rfm, reader: Callable[[Operand], Read]) -> Read:
    """Build what reads the code or the cell of three grades."""
    grades = (rfm.recency, rfm.frequency, rfm.monetary)
    figures = [(grade, reader(grade.operand)) for grade in grades]

    def read(visitor: Visitor, at: Instant) -> str | None:
        found = [grade_of(grade, figure(visitor, at)) for grade, figure in figures]
        recency, frequency, monetary = found
        if recency is None or frequency is None or monetary is None:
            return None
        return f"{recency}{frequency}{monetary}" if rfm.read == "code" else cell_of(recency, frequency, monetary)

    return read


def grades_pass(grades: Iterable[Grade], passing_of: Callable[[Operand], Passes | None]) -> Passes | None:
    """Build what says when one of several grades changes: its figure passes one of its borders."""
    passing = [(passes, grade.borders) for grade in grades if (passes := passing_of(grade.operand)) is not None]
    if not passing:
        return None
    return lambda visitor, at, _bounds: min(passes(visitor, at, borders) for passes, borders in passing)


def is_number(value: object) -> TypeGuard[float]:
    """Say whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
