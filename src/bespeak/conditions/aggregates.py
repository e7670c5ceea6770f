"""Aggregates that conditions declare and profiles maintain: which events feed which states.

The hot path is `Feeds.update`: an index by event name, filters on the event compiled once and shared,
and for a plain count in a window one append.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import TypeAlias, cast

from bespeak.clock import Duration, Instant
from bespeak.conditions.check import check_aggregate
from bespeak.conditions.printer import format_condition, format_operand
from bespeak.conditions.states import (
    Count,
    Entry,
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
from bespeak.conditions.where import Happening, compile_where, reader

__all__ = ["KEEP", "Count", "Feeds", "Happening", "Last", "State", "Sum", "Sums", "Times", "key", "merge"]

KEEP = 1_000
"""Events that one windowed aggregate keeps for one person; beyond it, the newest, and the figure says approximate."""
_TEXT_MAX = 1_000
_LIST_MAX = 100
_PLAIN = (bool, int, float)

_Add: TypeAlias = Callable[[dict[str, State], Happening, Duration], bool]


class Feeds:
    """The declared aggregates, ready to be fed.

    Parameters
    ----------
    aggregates
        What to maintain; the same aggregate twice is maintained once.
    keep
        Events that one windowed aggregate may keep for one person; 1 or more.

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
        declared = {key(aggregate): check_aggregate(aggregate) for aggregate in aggregates}
        self.keys: tuple[str, ...] = tuple(declared)
        self._by_event: dict[str, list[_Group]] = {}
        groups: dict[tuple[str, str], _Group] = {}
        for name, aggregate in declared.items():
            where = aggregate.where
            text = format_condition(where) if where is not None else ""
            group = groups.get((aggregate.event, text))
            if group is None:
                group = groups[aggregate.event, text] = _Group(None if where is None else compile_where(where))
                self._by_event.setdefault(aggregate.event, []).append(group)
            group.take(aggregate, name, keep)

    @property
    def events(self) -> frozenset[str]:
        """Names of the events that feed anything."""
        return frozenset(self._by_event)

    def update(self, states: dict[str, State], event: Happening, *, newest: Instant, delay: Duration) -> bool:
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
        bool
            Whether any state changed.
        """
        groups = self._by_event.get(event.name)
        if groups is None:
            return False
        late = event.time < newest - delay
        changed = False
        for group in groups:
            if group.passes is not None and not group.passes(event):
                continue
            for add in group.ever:
                changed |= add(states, event, delay)
            if late:
                continue
            for name, within, keep in group.counts:
                changed |= add_time(states, name, event.time, within + delay, keep)
            for add in group.windowed:
                changed |= add(states, event, delay)
        return changed


class _Group:
    """Aggregates over one event name that share a filter, which is asked once for all of them."""

    __slots__ = ("counts", "ever", "passes", "windowed")

    def __init__(self, passes: Callable[[Happening], bool] | None) -> None:
        self.passes = passes
        self.ever: list[_Add] = []
        self.counts: list[tuple[str, Duration, int]] = []
        self.windowed: list[_Add] = []

    def take(self, aggregate: Aggregate, name: str, keep: int) -> None:
        """Add one aggregate to those that are fed."""
        if aggregate.kind == "count" and aggregate.within is not None:
            self.counts.append((name, aggregate.within, keep))
        else:
            (self.ever if aggregate.within is None else self.windowed).append(_adder(aggregate, name, keep))


def key(aggregate: Aggregate) -> str:
    """Return the name under which the state of an aggregate is kept: its text in normal form.

    Examples
    --------
    >>> key(Aggregate("sum", "Order Completed", of="properties.revenue", within=90 * 86_400_000_000))
    'sum(properties.revenue of "Order Completed", last 90 days)'
    """
    return format_operand(check_aggregate(aggregate))


def merge(into: dict[str, State], other: dict[str, State], *, keep: int = KEEP) -> None:
    """Take the states of another profile in; the same states come out whichever of the two is `into`.

    Neither side's lists are shared afterwards, so that `other` may go on living (an undone link).
    """
    for name, state in other.items():
        held = into.get(name)
        into[name] = deepcopy(state) if held is None else merge_states(held, state, keep)


def _adder(aggregate: Aggregate, name: str, keep: int) -> _Add:
    if aggregate.kind == "count":
        return lambda states, _event, _delay: add_event(states, name)
    read = reader(cast("str", aggregate.of))
    if aggregate.kind == "sum":
        return _adder_of_amounts(read, name, aggregate.within, keep)
    return _adder_of_values(read, name, windowed=aggregate.within is not None, keep=keep)


def _adder_of_amounts(read: Callable[[Happening], object], name: str, within: Duration | None, keep: int) -> _Add:
    def add(states: dict[str, State], event: Happening, delay: Duration) -> bool:
        amount = to_millionths(read(event))
        if amount is None:
            return False
        if within is None:
            return add_amount(states, name, amount)
        return add_timed_amount(states, name, event.time, amount, within + delay, keep)

    return add


def _adder_of_values(read: Callable[[Happening], object], name: str, *, windowed: bool, keep: int) -> _Add:
    def add(states: dict[str, State], event: Happening, delay: Duration) -> bool:
        value = _kept(read(event))
        if value is None:
            return False
        entry: Entry = (event.time, event.message_id, value)
        return add_value(states, name, entry, delay if windowed else 0, keep)

    return add


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
