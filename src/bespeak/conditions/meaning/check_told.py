"""Whether a figure can be told from a number: of a window that moves, and of different values, so many are kept."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bespeak.conditions.counting.windows import fades, is_fixed
from bespeak.conditions.derived import Same, Worked
from bespeak.conditions.meaning.misfit import Misfit
from bespeak.conditions.tree import MAX_TOLD, Aggregate, Between, Compare, In, Operand, Right

_REMEDIES = {
    "count": f"a window that moves keeps the newest {MAX_TOLD:,} events of a person; count ever, or since a date",
    "distinct": f"beyond {MAX_TOLD:,} different values their number is an estimate",
}


def check_told(test: Compare | Between | In) -> None:
    """Refuse a test that would have to tell more events, or more different values, than are kept of one person.

    Raises
    ------
    Misfit
        Says which number there may be.

    Examples
    --------
    >>> count = Aggregate("count", "Page Viewed", within=86_400_000_000)
    >>> check_told(Compare(count, ">=", 1_000))
    >>> check_told(Compare(count, ">", 1_000))
    Traceback (most recent call last):
        ...
    bespeak.conditions.meaning.misfit.Misfit: condition, count: expected a number up to 999, found 1000; a window ...
    """
    kind = _kept_in_part(test.operand)
    if kind is None:
        return
    for value, is_passed in _borders(test):
        most = MAX_TOLD - 1 if is_passed else MAX_TOLD
        if isinstance(value, int | float) and not isinstance(value, bool) and _whole(value, is_passed) > most:
            raise Misfit(kind, f"a number up to {most:,}", str(value)[:40], _REMEDIES[kind])


def _kept_in_part(operand: Operand) -> str | None:
    """Return the kind of an aggregate of which not all is kept; None for everything else."""
    if isinstance(operand, Worked) and isinstance(operand.derived, Same):
        return _kept_in_part(operand.derived.operand)
    if not isinstance(operand, Aggregate) or operand.kind not in _REMEDIES:
        return None
    within = operand.within
    is_whole = operand.kind == "count" and (is_fixed(within) or fades(within))
    return None if is_whole else operand.kind


def _borders(test: Compare | Between | In) -> Iterator[tuple[Right, bool]]:
    """Yield what a figure is compared with, and whether the next figure above that number is told from it, too."""
    match test:
        case Compare(_, op, value):
            yield value, op not in {">=", "<"}
        case Between(_, low, high):
            yield low, False
            yield high, True
        case In(_, values):
            yield from ((value, True) for value in values)


def _whole(value: float, is_passed: bool) -> int:  # noqa: FBT001
    return math.floor(value) if is_passed else math.ceil(value)
