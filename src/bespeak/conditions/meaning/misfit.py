"""What is said of a part of a condition that has no meaning."""

from __future__ import annotations

from bespeak.errors import ConditionError, Problem


class Misfit(ConditionError):
    """A part of a condition that has no meaning; `remedy` says what would do."""

    def __init__(self, where: str, expected: str, found: str, remedy: str = "") -> None:
        advice = f"; {remedy}" if remedy else ""
        problem = Problem(where, expected, found)
        super().__init__(f"condition, {where}: expected {expected}, found {found}{advice}", problems=(problem,))
        self.expected = expected
        self.found = found
        self.remedy = remedy
