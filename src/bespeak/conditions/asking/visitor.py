"""Whom a condition is asked about, and what an answer is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias

from bespeak.clock import Instant
from bespeak.conditions.counting.states import State
from bespeak.conditions.values.fading import Fading

FADING = "interests."
"""What the paths begin with of values that fade."""


class Visitor(Protocol):
    """What a condition may see of one person, one request, one item."""

    def get(self, path: str, /) -> object:
        """Return the value at a dotted path; None where there is none."""
        ...

    def state(self, key: str, /) -> State | None:
        """Return the state of a declared aggregate; None where no event has fed it."""
        ...

    def fading(self, path: str, /) -> Fading | None:
        """Return what fades at a path; None where nothing does."""
        ...


Holds: TypeAlias = Callable[[Visitor, Instant], bool]
Answer: TypeAlias = tuple[bool, Instant]
Answers: TypeAlias = Callable[[Visitor, Instant], Answer]
"""Whether it holds at an instant, and the earliest later instant at which that may change by itself."""
Read: TypeAlias = Callable[[Visitor, Instant], object]
Passes: TypeAlias = Callable[[Visitor, Instant, Iterable[float]], Instant]
"""The next instant, after the one given, at which a figure may lie otherwise to one of these numbers, or earlier."""


class Later:
    """A visitor as they will be at a later instant, if nothing happens: what fades has faded."""

    def __init__(self, visitor: Visitor, at: Instant) -> None:
        self._visitor = visitor
        self._at = at
        self.state = visitor.state

    def fading(self, path: str, /) -> Fading | None:
        """Return what fades at a path."""
        return self._visitor.fading(path)

    def get(self, path: str, /) -> object:
        """Return the value at a path at that instant."""
        fading = self.fading(path) if path.startswith(FADING) else None
        return self._visitor.get(path) if fading is None else fading.worth(self._at)
