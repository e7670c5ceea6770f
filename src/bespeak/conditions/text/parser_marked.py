"""The text of what stands on the order of events: sequences, what the newest event has, what a trait has been."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bespeak.clock import Duration
from bespeak.conditions.text.cursor import Cursor
from bespeak.conditions.tree import (
    Condition,
    Deed,
    HasBeen,
    LastPerformed,
    Operand,
    Path,
    Quiet,
    Sequence,
    Step,
    Value,
    Window,
)


class Parts(NamedTuple):
    """Where the text is read, and what reads the parts that other conditions have too."""

    at: Cursor
    deed: Callable[[], Deed]
    filter: Callable[[], Condition]
    duration: Callable[[], Duration]
    window: Callable[[], Window | None]
    value: Callable[[], Value]


def read_sequence(parts: Parts) -> Sequence:
    """Read what stands in the brackets of `sequence(...)`.

    Raises
    ------
    ConditionError
        Something else stands there.
    """
    at = parts.at
    steps: list[Step] = []
    quiet: Quiet | None = None
    while quiet is None:
        step, quiet = _step(parts)
        steps.append(step)
        if not at.takes("then"):
            break
        if quiet is not None:
            raise at.error("`,` and a window, or `)`", "only after the last step is waited `for` what may not come")
    if at.next.text == "," and at.after(1).kind == "string":
        raise at.error("`then`", "write `then` between two steps")
    within = parts.window()
    if at.next.text != ")" and at.next.kind != "end":
        remedy = "write `without` and an event first" if at.next.text == "for" else "write `then` between two steps"
        raise at.error("`then`, `,` and a window, or `)`", remedy)
    return Sequence(tuple(steps), quiet, within)


def _step(parts: Parts) -> tuple[Step, Quiet | None]:
    """Read a step, and what may not follow it for some time."""
    at, deed = parts.at, parts.deed()
    within = parts.duration() if at.takes("within") else None
    without: tuple[Deed, ...] = ()
    quiet = None
    while quiet is None and at.takes("without"):
        deeds = _deeds(parts)
        if at.takes("for"):
            quiet = Quiet(deeds, parts.duration())
        elif without:
            raise at.error("`for` and how long", "write a comma between the events that may not come")
        else:
            without = deeds
    return Step(deed.event, deed.where, within, without), quiet


def _deeds(parts: Parts) -> tuple[Deed, ...]:
    at, found = parts.at, [parts.deed()]
    while at.next.text == "," and at.after(1).kind == "string":
        at.advance()
        found.append(parts.deed())
    return tuple(found)


def read_last_performed(parts: Parts) -> LastPerformed:
    """Read `last("EVENT" ...) has (...)`.

    Raises
    ------
    ConditionError
        Something else stands there.
    """
    at = parts.at
    at.advance()
    deed, within = at.bracketed(lambda: (parts.deed(), parts.window()))
    at.expect("has", "`has` and what it must be", 'for the value of a property write last(properties.NAME of "EVENT")')
    has = at.bracketed(parts.filter, "`(`")
    return LastPerformed(deed.event, has, deed.where, within)


def read_has_been(parts: Parts, operand: Operand) -> HasBeen:
    """Read what follows `has been`.

    Raises
    ------
    ConditionError
        Something else stands there, or it is not about a trait.
    """
    at = parts.at
    if not isinstance(operand, Path):
        raise at.error("a trait before `has been`", "what events come to has a window instead")
    exact, value = at.takes("exactly"), parts.value()
    at.expect("for", "`for` and how long, as in for 30 days")
    less = at.takes("less")
    if less:
        at.expect("than", "`than` and how long")
    return HasBeen(operand.path, value, parts.duration(), less, exact)
