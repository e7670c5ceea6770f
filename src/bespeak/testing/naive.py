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

from collections.abc import Callable, Sequence
from typing import Protocol, cast

from bespeak.clock import Instant
from bespeak.conditions import (
    And,
    Compare,
    Condition,
    HasBeen,
    InList,
    InSegment,
    LastPerformed,
    Not,
    Or,
    Path,
    Performed,
)
from bespeak.conditions.tree import Asked, FromTo, HalfLife, Since, Window
from bespeak.conditions.tree import Sequence as Steps
from bespeak.events import Event
from bespeak.testing.naive_counts import figure, halved, is_inside, is_meant, is_zone
from bespeak.testing.naive_goods import of_items
from bespeak.testing.naive_orders import has_been, is_complete
from bespeak.testing.naive_places import clock_shows
from bespeak.testing.naive_values import passes

SITE = "zone of the site"
"""The path of the time zone of events that name none; UTC where nothing is known there."""


class Known(Protocol):
    """What is known of somebody, by dotted path; a plain dictionary will do."""

    def get(self, path: str, /) -> object:
        """Return the value at a path; None where there is none."""
        ...


class _Read:
    """An element of a list, read by path, in the time zone of whom it is about."""

    def __init__(self, get: Callable[[str], object], zone: object) -> None:
        self._get = get
        self._zone = zone

    def get(self, path: str, /) -> object:
        return self._zone if path == "zone" else self._get(path)


class _Fields:
    """One event, as a filter sees it: dates in it are meant in UTC, but its clock goes by the zone that it names."""

    def __init__(self, event: Event, site: object) -> None:
        self._event = event
        self._site = site

    def get(self, path: str, /) -> object:
        if path.startswith("local."):
            named = self._event.context.get("timezone")
            zone = named if is_zone(named) else self._site
            return clock_shows(path.removeprefix("local."), self._event.time, zone)
        return None if path == "zone" else of_event(self._event, path)


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

    def read(operand: Asked) -> object:
        return worth(operand, person, events, at, timely=timely)

    def of_element(one: Condition, get: Callable[[str], object]) -> bool:
        return holds(one, _Read(get, person.get("zone")), (), at)

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
        case InList(name):
            return person.get("lists." + name) is True
        case LastPerformed() | Steps() | HasBeen():
            return worth(condition, person, events, at, timely=timely) is True
        case _:
            return passes(condition, read, at, person.get("zone"), of_element)


def worth(
    operand: Asked,
    person: Known,
    events: Sequence[Event],
    at: Instant,
    *,
    timely: Sequence[Event] | None = None,
) -> object:
    """Return what an operand is at an instant; arguments as `holds`."""
    if isinstance(operand, Path) and operand.path.startswith("local.") and not isinstance(person, _Fields):
        return clock_shows(operand.path.removeprefix("local."), at, person.get("zone"))
    if isinstance(operand, Path):
        return person.get(operand.path)
    if isinstance(operand, HasBeen):
        asked = Compare(Path(operand.path), "=", operand.value, operand.exact)
        said = events if timely is None else timely
        return has_been(operand, said, at, lambda value: holds(asked, {operand.path: value}, (), at))
    if isinstance(operand, Steps):
        seen = _seen(operand.within, events, timely)
        return is_complete(operand, seen, at, person.get, lambda one, event: _filtered(one, event, person))
    within = operand.within
    found = _chosen(operand.event, operand.where, within, _seen(within, events, timely), at, person)
    if isinstance(operand, LastPerformed):
        newest = max(found, key=lambda event: (event.time, event.message_id), default=None)
        return None if newest is None else _filtered(operand.has, newest, person)
    read = operand.of or "type"
    valued = [(event.time, event.message_id, _Fields(event, person.get(SITE)).get(read)) for event in found]
    return halved(operand.kind, valued, within, at) if isinstance(within, HalfLife) else figure(operand.kind, valued)


def of_event(event: Event, path: str) -> object:
    """Return what stands at a path of an event, such as `properties.price`."""
    root, *parts = path.split(".")
    if root == "item":
        return of_items(event, parts)
    value: object = getattr(event, root)
    for part in parts:
        value = cast("dict[str, object]", value).get(part) if isinstance(value, dict) else None
    return value


def _filtered(condition: Condition, event: Event, person: Known) -> bool:
    """Say whether an event of somebody passes a filter."""
    return holds(condition, _Fields(event, person.get(SITE)), (), event.time)


def _seen(within: Window | None, events: Sequence[Event], timely: Sequence[Event] | None) -> Sequence[Event]:
    return events if timely is None or within is None or isinstance(within, Since | FromTo | HalfLife) else timely


def _chosen(
    name: str, where: Condition | None, within: Window | None, events: Sequence[Event], at: Instant, person: Known
) -> list[Event]:
    return [
        event
        for event in events
        if is_meant(name, event.name)
        and is_inside(within, event.time, at, person.get)
        and (where is None or _filtered(where, event, person))
    ]
