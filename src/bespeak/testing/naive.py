"""A second evaluator of conditions, as plain as can be: from the raw events, with no state, no index, no made code.

It is slow, and shares nothing with the one at work but the tree that it reads. That is what makes it a witness.

Examples
--------
>>> from bespeak.conditions import parse
>>> seen = [Event(type="track", name="View", message_id=f"m{at}", time=at, received=0) for at in (1, 5, 6)]
>>> holds(parse('count("View") >= 3'), {}, seen, at=6)
True
>>> holds(parse('count("View", last 1 minute) >= 3'), {}, seen, at=60_000_001)
False
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, cast

from bespeak.clock import Instant
from bespeak.conditions import Aggregate, And, Compare, Condition, Exists, In, InSegment, Not, Or, Path, Performed
from bespeak.conditions.tree import FromTo, Since, Window
from bespeak.events import Event
from bespeak.testing.naive_counts import figure, is_inside, is_meant, type_of

_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Known(Protocol):
    """What is known of somebody, by dotted path; a plain dictionary will do."""

    def get(self, path: str, /) -> object:
        """Return the value at a path; None where there is none."""
        ...


class _Fields:
    """One event, as a filter sees it."""

    def __init__(self, event: Event) -> None:
        self._event = event

    def get(self, path: str, /) -> object:
        return of_event(self._event, path)


def holds(
    condition: Condition,
    person: Known,
    events: Sequence[Event],
    at: Instant,
    *,
    timely: Sequence[Event] | None = None,
) -> bool:
    """Say whether a condition holds at an instant.

    Parameters
    ----------
    events
        Every event of the person, in any order.
    timely
        Those of them that came within the allowed delay: only they are in windows that move. None: all did.
    """

    def asked(one: Condition) -> bool:
        return holds(one, person, events, at, timely=timely)

    def listed(operand: Path | Aggregate) -> list[object]:
        return _listed(worth(operand, person, events, at, timely=timely))

    match condition:
        case And(parts):
            return all(asked(part) for part in parts)
        case Or(parts):
            return any(asked(part) for part in parts)
        case Not(part):
            return not asked(part)
        case Performed(event, where, within):
            return len(_chosen(event, where, within, _seen(within, events, timely), at, person)) > 0
        case InSegment(segment):
            return person.get("segments." + segment) is True
        case Compare(operand, "!=", value):
            return not asked(Compare(operand, "=", value))
        case Compare(operand, op, value):
            return any(_compares(one, op, value) for one in listed(operand))
        case In(operand, values):
            return any(_compares(one, "=", value) for one in listed(operand) for value in values)
        case Exists(operand):
            return worth(operand, person, events, at, timely=timely) not in (None, [], ())


def worth(
    operand: Path | Aggregate,
    person: Known,
    events: Sequence[Event],
    at: Instant,
    *,
    timely: Sequence[Event] | None = None,
) -> object:
    """Return what an operand is at an instant; arguments as `holds`."""
    if isinstance(operand, Path):
        return person.get(operand.path)
    within = operand.within
    found = _chosen(operand.event, operand.where, within, _seen(within, events, timely), at, person)
    read = operand.of or "type"
    return figure(operand.kind, [(event.time, event.message_id, of_event(event, read)) for event in found])


def of_event(event: Event, path: str) -> object:
    """Return what stands at a path of an event, such as `properties.price`."""
    root, *parts = path.split(".")
    value: object = getattr(event, root)
    for part in parts:
        value = cast("dict[str, object]", value).get(part) if isinstance(value, dict) else None
    return value


def _compares(one: object, op: str, value: object) -> bool:
    if one is None or type_of(one) != type_of(value):
        return False
    if op == "=":
        return one == value
    return type_of(one) in {"number", "text"} and _ORDERED[op](one, value)


def _listed(value: object) -> list[object]:
    return list(cast("Iterable[object]", value)) if isinstance(value, list | tuple) else [value]


def _seen(within: Window | None, events: Sequence[Event], timely: Sequence[Event] | None) -> Sequence[Event]:
    return events if timely is None or within is None or isinstance(within, Since | FromTo) else timely


def _chosen(
    name: str, where: Condition | None, within: Window | None, events: Sequence[Event], at: Instant, person: Known
) -> list[Event]:
    return [
        event
        for event in events
        if is_meant(name, event.name)
        and is_inside(within, event.time, at, person.get)
        and (where is None or holds(where, _Fields(event), (), at))
    ]
