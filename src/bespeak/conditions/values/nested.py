"""When an answer about dates changes by itself, `any of` the elements of a list included."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

from bespeak.clock import NEVER, Instant
from bespeak.conditions.asking.source import dig, of_element, some_object
from bespeak.conditions.tree import AnyOf, Path, Test
from bespeak.conditions.values import dates
from bespeak.conditions.values.dates import asked_in, is_dated, looks
from bespeak.conditions.values.pairs import elements

Turns: TypeAlias = Callable[[object, Instant, str | None], tuple[bool, Instant]]
"""Given a value, an instant and the name of a zone: the answer, and when it turns."""


def turner(test: Test) -> Turns:
    """Build what says whether a value passes a test about dates, and at which later instant that turns by itself.

    As `dates.turns`; of `any of` the instant may come earlier than the turn, never later.
    """
    if not isinstance(test, AnyOf):
        return lambda value, at, zone: dates.turns(test, value, at, zone)
    passes, asked = of_element(test.where), [one for one in asked_in(test.where) if is_dated(one)]

    def turns(value: object, at: Instant, zone: str | None) -> tuple[bool, Instant]:
        objects = [cast("dict[str, object]", element) for element in elements(value) if isinstance(element, dict)]
        found = [(one, dig(element, _parts(one))) for element in objects for one in asked]
        holds, until = some_object(passes, value, at, zone), at
        for _ in range(looks(2 * len(found))):
            until = min((dates.turns(one, read, until, zone)[1] for one, read in found), default=NEVER)
            if until == NEVER or some_object(passes, value, until, zone) is not holds:
                break
        return holds, until

    return turns


def _parts(test: Test) -> tuple[str, ...]:
    operand = test.operand
    return tuple(operand.path.split(".")[1:]) if isinstance(operand, Path) else ()
