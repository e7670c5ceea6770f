"""What the order of events makes of them, looked for anew each time: the third part of the second evaluator.

It shares nothing with the one at work but the tree: a sequence is complete where, of all the events that each step may
be, some follow one another; since when a trait is so is found by going back from the newest message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import cast

from bespeak.clock import Instant
from bespeak.conditions.tree import Condition, Deed, HasBeen, Step
from bespeak.conditions.tree import Sequence as Steps
from bespeak.events import Event
from bespeak.testing.naive_counts import Get, is_inside, is_meant

Passes = Callable[[Condition, Event], bool]
"""Whether an event passes a filter."""

UNSAID = object()
"""What an event says of a trait of which it says nothing."""


def is_complete(sequence: Steps, events: Iterable[Event], at: Instant, get: Get, passes: Passes) -> bool:
    """Say whether a sequence is complete at an instant, given the events that count and what is known of the person."""
    line = sorted(events, key=_place)

    def is_deed(deed: Deed | Step, event: Event) -> bool:
        return is_meant(deed.event, event.name) and (deed.where is None or passes(deed.where, event))

    def none_of(deeds: tuple[Deed, ...], between: Sequence[Event]) -> bool:
        return not any(is_deed(deed, event) for deed in deeds for event in between)

    @cache
    def is_reached(step: int, place: int) -> bool:
        """Say whether the event of a place may be a step, with all steps before it."""
        asked, event = sequence.steps[step], line[place]
        if not is_deed(asked, event):
            return False
        return step == 0 or any(
            is_reached(step - 1, earlier)
            and (asked.within is None or event.time - line[earlier].time <= asked.within)
            and none_of(asked.without, line[earlier + 1 : place])
            for earlier in range(place)
        )

    def is_quiet(place: int) -> bool:
        if sequence.after is None:
            return True
        until = line[place].time + sequence.after.lasting
        following = [event for event in line[place + 1 :] if event.time <= until]
        return at >= until and none_of(sequence.after.without, following)

    last = len(sequence.steps) - 1
    return any(
        is_inside(sequence.within, event.time, at, get) and is_reached(last, place) and is_quiet(place)
        for place, event in enumerate(line)
    )


def has_been(leaf: HasBeen, events: Iterable[Event], at: Instant, equals: Callable[[object], bool]) -> bool:
    """Say whether a trait has been so at an instant; `equals` says whether a value is the one asked for."""
    said = [(event.time, _said(leaf.path, event)) for event in sorted(events, key=_place) if event.time <= at]
    since: Instant | None = None
    for time, value in reversed([one for one in said if one[1] is not UNSAID]):
        if not equals(value):
            break
        since = time
    return since is not None and (at - since < leaf.lasting) is leaf.less


def _place(event: Event) -> tuple[Instant, str]:
    return event.time, event.message_id


def _said(path: str, event: Event) -> object:
    """Return what an event says of a trait, or of what is inside it."""
    _, name, *deeper = path.split(".")
    said: dict[str, object] = {}
    said.update(_mapping(event.context.get("traits")))
    said.update(event.properties if event.type == "identify" else {})
    said.update({"group_id": event.group_id} if event.type == "group" else {})
    value = said.get(name, UNSAID)
    if value is not UNSAID:
        for inner in deeper:
            value = _mapping(value).get(inner)
    return value


def _mapping(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}
