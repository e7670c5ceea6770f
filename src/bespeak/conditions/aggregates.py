"""Aggregates that conditions declare and profiles maintain: which events feed which states.

The hot path is `Feeds.update`: one generated function for each event name, which reads each property once, asks each
filter once, and for a count in windows appends once, however many windows there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from sys import intern
from types import MappingProxyType
from typing import TypeAlias, cast

import msgspec

from bespeak.clock import Duration, Instant
from bespeak.conditions.check import check_aggregate
from bespeak.conditions.printer import format_condition, format_operand
from bespeak.conditions.states import (
    Count,
    Kept,
    Last,
    State,
    Sum,
    Sums,
    Times,
    add_amount,
    add_event,
    add_time,
    add_timed_amount,
    add_value,
    merge_states,
    to_millionths,
)
from bespeak.conditions.tree import Aggregate
from bespeak.conditions.where import EventSource, Happening

__all__ = ["KEEP", "Count", "Feeds", "Happening", "Last", "State", "Sum", "Sums", "Times", "key", "merge"]

KEEP = 1_000
"""Events that one state of windows keeps for one person; beyond it, the newest, and the figure says approximate."""
_TEXT_MAX = 1_000
_LIST_MAX = 100
_PLAIN = (bool, int, float)

Fed: TypeAlias = Mapping[str, State]
"""The states that one event has changed, by their keys."""

NOTHING_FED: Fed = MappingProxyType({})

_Feed: TypeAlias = Callable[[dict[str, State], Happening, bool, Duration], Fed]


class Feeds:
    """The declared aggregates, ready to be fed.

    Windows of different length over the same events share one state, which reaches as far back as the longest.

    Parameters
    ----------
    aggregates
        What to maintain; the same aggregate twice is maintained once.
    keep
        Events that one state of windows may keep for one person; 1 or more.

    Raises
    ------
    ConditionError
        An aggregate breaks a bound or names what an event does not have.

    Examples
    --------
    >>> Feeds([Aggregate("count", "Product Viewed")]).keys
    ('count("Product Viewed")',)
    """

    def __init__(self, aggregates: Iterable[Aggregate], *, keep: int = KEEP) -> None:
        self._keep = keep
        self._kept: dict[str, Aggregate] = {}
        for aggregate in map(check_aggregate, aggregates):
            name = key(aggregate)
            held = self._kept.get(name)
            if held is None or (aggregate.within or 0) > (held.within or 0):
                self._kept[name] = aggregate
        self._by_event = _feeders(self._kept, keep)

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the states that are maintained."""
        return tuple(self._kept)

    @property
    def events(self) -> frozenset[str]:
        """Names of the events that feed anything."""
        return frozenset(self._by_event)

    def beyond(self, held: Feeds) -> Feeds:
        """Return the feeds of those states that `held` does not maintain, or not as far back: they need history."""
        missing: list[Aggregate] = []
        for name, aggregate in self._kept.items():
            known = held._kept.get(name)
            if known is None or (aggregate.within or 0) > (known.within or 0):
                missing.append(aggregate)
        return Feeds(missing, keep=self._keep)

    def update(self, states: dict[str, State], event: Happening, *, newest: Instant, delay: Duration) -> Fed:
        """Add an event to every aggregate that it feeds.

        Parameters
        ----------
        states
            States of one profile by key; changed in place.
        newest
            Time of the profile's newest event.
        delay
            How late an event may come, in microseconds; one that is later feeds aggregates without a window only.

        Returns
        -------
        Fed
            The states that changed.
        """
        feed = self._by_event.get(event.name)
        return NOTHING_FED if feed is None else feed(states, event, event.time < newest - delay, delay)


def key(aggregate: Aggregate) -> str:
    """Return the name under which the state of an aggregate is kept: its text, the length of a window left out.

    Examples
    --------
    >>> key(Aggregate("sum", "Order Completed", of="properties.revenue"))
    'sum(properties.revenue of "Order Completed")'
    >>> key(Aggregate("sum", "Order Completed", of="properties.revenue", within=90 * 86_400_000_000))
    'sum(properties.revenue of "Order Completed", rolling)'
    """
    aggregate = check_aggregate(aggregate)
    if aggregate.within is None:
        return intern(format_operand(aggregate))
    return intern(format_operand(msgspec.structs.replace(aggregate, within=None))[:-1] + ", rolling)")


def merge(into: dict[str, State], other: dict[str, State], *, keep: int = KEEP) -> None:
    """Take the states of another profile in; the same states come out whichever of the two is `into`.

    Neither side's lists are shared afterwards, so that `other` may go on living (an undone link).
    """
    for name, state in other.items():
        held = into.get(name)
        into[name] = deepcopy(state) if held is None else merge_states(held, state, keep)


def _feeders(kept: Mapping[str, Aggregate], keep: int) -> dict[str, _Feed]:
    """Write one function for each event name, which asks each filter once and feeds what passes."""
    groups: dict[str, dict[str, list[tuple[str, Aggregate]]]] = {}
    for name, aggregate in kept.items():
        where = format_condition(aggregate.where) if aggregate.where is not None else ""
        groups.setdefault(aggregate.event, {}).setdefault(where, []).append((name, aggregate))
    return {event: _feeder(tuple(filtered.values()), keep) for event, filtered in groups.items()}


def _feeder(groups: Iterable[list[tuple[str, Aggregate]]], keep: int) -> _Feed:
    source = EventSource()
    source.namespace.update(
        Times=Times,
        add_event=add_event,
        add_time=add_time,
        add_amount=add_amount,
        add_timed_amount=add_timed_amount,
        add_value=add_value,
        millionths=to_millionths,
        kept=_kept,
        keep=keep,
        text_max=_TEXT_MAX,
    )
    lines: list[str] = []
    for group in groups:
        where = group[0][1].where
        lines.append("if True:" if where is None else f"if {source.filter(where)}:")
        for rolling in (False, True):
            steps = [
                line
                for name, aggregate in group
                if (aggregate.within is not None) is rolling
                for line in _steps(source, source.constant(name), aggregate)
            ]
            if steps:
                lines += [" if not late:" if rolling else " if True:", *("  " + line for line in steps)]
    setup = ["time, get, fed = event.time, states.get, {}", *source.reads]
    return cast("_Feed", source.steps("states, event, late, delay", [*setup, *lines, "return fed"]))


def _steps(source: EventSource, name: str, aggregate: Aggregate) -> list[str]:
    """Write what feeds one state; `name` is an expression of its key."""
    within = source.constant(aggregate.within)
    if aggregate.kind == "count":
        if aggregate.within is None:
            return [f"fed[{name}] = add_event(states, {name})"]
        # The common case in place: in order, nothing to forget, room left. Anything else is `add_time`'s.
        return [
            f"state, span = get({name}), {within} + delay",
            "times = state.times if state.__class__ is Times and state.span == span else None",
            "if times and times[-1] <= time < times[0] + span and len(times) < keep:",
            " times.append(time)",
            f" fed[{name}] = state",
            f"elif add_time(states, {name}, time, span, keep): fed[{name}] = states[{name}]",
        ]
    value = source.read(cast("str", aggregate.of))
    if aggregate.kind == "sum":
        add = (
            f"add_amount(states, {name}, amount)"
            if aggregate.within is None
            else f"add_timed_amount(states, {name}, time, amount, {within} + delay, keep)"
        )
        return [f"if (amount := millionths({value})) is not None and {add}: fed[{name}] = states[{name}]"]
    span = "0" if aggregate.within is None else "delay"
    add = f"add_value(states, {name}, (time, event.message_id, value), {span}, keep)"
    kept = f"{value} if {value}.__class__ is TEXT and len({value}) <= text_max else kept({value})"
    return [f"if (value := {kept}) is not None and {add}: fed[{name}] = states[{name}]"]


def _kept(value: object) -> Kept:
    """Return what `last` can keep of a value: a string, number or flag, or a list of them; None for anything else."""
    if isinstance(value, str):
        return value if len(value) <= _TEXT_MAX else None
    if isinstance(value, _PLAIN):
        return value
    if not isinstance(value, list | tuple):
        return None
    elements = cast("list[object]", value)
    kept = [_kept(element) for element in elements] if len(elements) <= _LIST_MAX else []
    return [element for element in kept if element is not None and not isinstance(element, list)] or None
