"""Aggregates that conditions declare and profiles maintain: which events feed which states.

The hot path is `Feeds.update`: one generated function for each event name, which reads each property once, asks each
filter once, and for a count in windows appends once, however many windows there are.

Aggregates that the same state answers share it: windows of any length and kind over the same events; the sum, the
average, the least and the most of the same numbers; the first, the most frequent and the different ones of the same
values. Only what lies between fixed ends has a state of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from sys import intern
from types import MappingProxyType
from typing import Literal, TypeAlias, assert_never, cast

import msgspec

from bespeak.clock import NEVER, Duration, Instant, format_time
from bespeak.conditions.asking.marked import events_of, key_of, span_of, takes_timely_only
from bespeak.conditions.counting.has_been import SAYS_TRAITS, said_of
from bespeak.conditions.counting.sequences import distinct_deeds
from bespeak.conditions.counting.states import State, merge_states
from bespeak.conditions.counting.states_figures import (
    MILLIONTHS,
    Count,
    Sum,
    Sums,
    Times,
    add_amount,
    add_event,
    add_time,
    add_timed_amount,
    add_total,
    to_millionths,
)
from bespeak.conditions.counting.states_marks import add_mark, add_said
from bespeak.conditions.counting.states_values import (
    Kept,
    Last,
    add_entry,
    add_first,
    add_seen,
    add_tally,
    add_value,
)
from bespeak.conditions.counting.waning import add_waning
from bespeak.conditions.counting.where import EventSource, Happening, ReadItems, no_items
from bespeak.conditions.counting.windows import ends_now, fades, fixed_ends, frame, is_fixed
from bespeak.conditions.derived import Pairs
from bespeak.conditions.meaning.check import check_aggregate
from bespeak.conditions.names import is_meant, name_of, prefix_of
from bespeak.conditions.text.printer import format_condition, format_operand, format_window
from bespeak.conditions.tree import (
    MAX_TOLD,
    Condition,
    Counted,
    Declared,
    FromTo,
    HasBeen,
    LastPerformed,
    Marked,
    Sequence,
    Since,
)

__all__ = ["KEEP", "Count", "Feeds", "Happening", "Last", "State", "Sum", "Sums", "Times", "key", "merge"]

KEEP = MAX_TOLD
"""Events that one state of windows keeps for one person; beyond it, the newest, and the figure says approximate.

Of values that differ as many are kept, and beyond it their number is an estimate."""
NAMES_KEPT = 10_000
"""Names of events of which is remembered what they feed, where names that begin alike are counted."""
_TEXT_MAX = 1_000
_LIST_MAX = 100
_PLAIN = (bool, int, float)

Fed: TypeAlias = Mapping[str, State]
"""The states that one event has changed, by their keys."""

NOTHING_FED: Fed = MappingProxyType({})

_Feed: TypeAlias = Callable[[dict[str, State], Happening, bool, Duration], Fed]

Form: TypeAlias = Literal[
    "count", "times", "sum", "sums", "figures", "last", "newest", "first", "values", "distinct", "most_frequent",
    "waning", "waning_sum", "pairs",
]  # fmt: skip
"""What is kept for an aggregate."""
_ROLLING: frozenset[Form] = frozenset({"times", "sums", "newest", "values", "pairs"})


def form(aggregate: Counted) -> Form:
    """Return what is kept for an aggregate."""
    fixed, kind = is_fixed(aggregate.within), aggregate.kind
    if isinstance(aggregate, Pairs):
        return "pairs"
    if fades(aggregate.within):
        return "waning" if kind == "count" else "waning_sum"
    match kind:
        case "count":
            return "count" if fixed else "times"
        case "sum":
            return "sum" if fixed else "sums"
        case "avg" | "min" | "max":
            return "figures" if fixed else "sums"
        case "last":
            return "last" if fixed else "newest" if ends_now(aggregate.within) else "values"
        case "first" | "distinct" | "most_frequent":
            return kind if fixed else "values"
        case _:
            assert_never(kind)


class Feeds:
    """The declared aggregates, ready to be fed.

    Windows of different length over the same events share one state, which reaches as far back as the longest.

    Parameters
    ----------
    aggregates
        What to maintain; the same aggregate twice is maintained once.
    keep
        Events that one state of windows may keep for one person; 1 or more.
    items
        Reads what filters ask of the items of an event.
    zone
        The time zone of events that name none, for filters that ask for the local time.

    Raises
    ------
    ConditionError
        An aggregate breaks a bound or names what an event does not have.

    Examples
    --------
    >>> from bespeak.conditions.tree import Aggregate
    >>> Feeds([Aggregate("count", "Product Viewed")]).keys
    ('count("Product Viewed")',)
    """

    def __init__(
        self, aggregates: Iterable[Declared], *, keep: int = KEEP, items: ReadItems = no_items, zone: str = "UTC"
    ) -> None:
        self._keep = keep
        self._items = items
        self._zone = zone
        self._kept: dict[str, Declared] = {}
        for aggregate in map(check_aggregate, aggregates):
            name = key(aggregate)
            held = self._kept.get(name)
            if held is None or _span(aggregate) > _span(held):
                self._kept[name] = aggregate
        self._meant = tuple(dict.fromkeys(event for aggregate in self._kept.values() for event in events_of(aggregate)))
        self._prefixes = any(prefix_of(event) is not None for event in self._meant)
        self._of_several: dict[tuple[str, ...], _Feed | None] = {}
        self._by_event: dict[str, _Feed | None] = {}
        for event in self._meant:
            if prefix_of(event) is None:
                self._by_event[name_of(event)] = self._feed_of(name_of(event))

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the states that are maintained."""
        return tuple(self._kept)

    @property
    def events(self) -> frozenset[str]:
        """The events that feed anything, as they were declared: names, and what names begin with."""
        return frozenset(self._meant)

    def beyond(self, held: Feeds) -> Feeds:
        """Return the feeds of those states that `held` does not maintain, or not as far back: they need history."""
        missing: list[Declared] = []
        for name, aggregate in self._kept.items():
            known = held._kept.get(name)
            if known is None or _span(aggregate) > _span(known):
                missing.append(aggregate)
        return Feeds(missing, keep=self._keep, items=self._items, zone=self._zone)

    def reading(self, items: ReadItems) -> Feeds:
        """Return the same feeds, for which items are looked up elsewhere."""
        return Feeds(self._kept.values(), keep=self._keep, items=items, zone=self._zone)

    def in_zone(self, zone: str) -> Feeds:
        """Return the same feeds, for events that name no time zone and come from now on in another one."""
        same = zone == self._zone
        return self if same else Feeds(self._kept.values(), keep=self._keep, items=self._items, zone=zone)

    def covers(self, other: Feeds) -> bool:
        """Say whether all states that `other` maintains are maintained here, too, just as far back."""
        held = self._kept
        return all(name in held and _span(held[name]) == _span(one) for name, one in other._kept.items())

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
        if feed is None and self._prefixes and event.name not in self._by_event:
            feed = self._resolved(event.name)
        return NOTHING_FED if feed is None else feed(states, event, event.time < newest - delay, delay)

    def _resolved(self, name: str) -> _Feed | None:
        """Find what an event of a name feeds that was not seen before, and remember it, while there is room."""
        feed = self._feed_of(name)
        if len(self._by_event) < NAMES_KEPT:
            self._by_event[name] = feed
        return feed

    def _feed_of(self, name: str) -> _Feed | None:
        """Return the function for the events of a name; names that are meant by the same aggregates share one."""
        meant = tuple(event for event in self._meant if is_meant(event, name))
        if meant not in self._of_several:
            self._of_several[meant] = self._written(frozenset(meant)) if meant else None
        return self._of_several[meant]

    def _written(self, meant: frozenset[str]) -> _Feed:
        return _feeder(self._kept, meant, self._keep, EventSource(self._items, self._zone))


def key(aggregate: Declared) -> str:
    """Return the name under which the state of an aggregate is kept: its text, the length of a window left out.

    Of a sequence it is what it notes of events, of a trait what is asked of it.

    Examples
    --------
    >>> from bespeak.conditions.tree import Aggregate
    >>> key(Aggregate("sum", "Order Completed", of="properties.revenue"))
    'sum(properties.revenue of "Order Completed")'
    >>> key(Aggregate("max", "Order Completed", of="properties.revenue", within=90 * 86_400_000_000))
    'sum(properties.revenue of "Order Completed", rolling)'
    >>> key(Aggregate("count", "Order Completed", within=Since("2026-01-01")))
    'count("Order Completed", since 2026-01-01T00:00:00Z)'
    """
    aggregate = check_aggregate(aggregate)
    if isinstance(aggregate, Sequence | HasBeen):
        return intern(key_of(aggregate))
    whole = format_operand(msgspec.structs.replace(aggregate, within=None))
    shared = _SHARED.get(form(aggregate), aggregate.kind) + whole[len(aggregate.kind) : -1]
    if aggregate.within is None:
        return intern(shared + ")")
    if fades(aggregate.within):
        return intern(f"{shared}, {format_window(aggregate.within)})")
    if not isinstance(aggregate.within, Since | FromTo):
        return intern(shared + ", rolling)")
    start, end = fixed_ends(aggregate.within)
    return intern(f"{shared}, since {format_time(start)}{'' if end == NEVER else f' to {format_time(end)}'})")


_SHARED: dict[Form, str] = {"sums": "sum", "figures": "figures", "values": "values", "pairs": "orders"}
"""What the name of a state begins with that several kinds of aggregates share."""


def _span(aggregate: Declared) -> Duration:
    """Return how far back of the newest event the state of a window reaches; 0 where it has no end."""
    if isinstance(aggregate, Sequence | HasBeen):
        return span_of(aggregate)
    window = frame(aggregate.within)
    return 0 if window is None else window.span


def merge(into: dict[str, State], other: dict[str, State], *, keep: int = KEEP) -> None:
    """Take the states of another profile in; the same states come out whichever of the two is `into`.

    Neither side's lists are shared afterwards, so that `other` may go on living (an undone link).
    """
    for name, state in other.items():
        held = into.get(name)
        into[name] = deepcopy(state) if held is None else merge_states(held, state, keep)


def _feeder(kept: Mapping[str, Declared], meant: frozenset[str], keep: int, source: EventSource) -> _Feed:
    """Write the function that feeds what counts the events meant: each filter is asked once and feeds what passes."""
    groups: dict[str, list[tuple[str, Declared]]] = {}
    for name, aggregate in kept.items():
        if not meant.isdisjoint(events_of(aggregate)):
            where = _where(aggregate)
            filtered = format_condition(where) if where is not None else ""
            groups.setdefault(filtered, []).append((name, aggregate))
    source.namespace.update(
        Times=Times,
        add_event=add_event,
        add_time=add_time,
        add_amount=add_amount,
        add_timed_amount=add_timed_amount,
        add_total=add_total,
        add_value=add_value,
        add_first=add_first,
        add_entry=add_entry,
        add_seen=add_seen,
        add_tally=add_tally,
        add_mark=add_mark,
        add_said=add_said,
        SAYS_TRAITS=SAYS_TRAITS,
        add_waning=add_waning,
        millionths=to_millionths,
        MILLIONTHS=MILLIONTHS,
        kept=_kept,
        paired=_paired,
        keep=keep,
        text_max=_TEXT_MAX,
    )
    lines: list[str] = []
    for group in groups.values():
        where = _where(group[0][1])
        lines.append("if True:" if where is None else f"if {source.filter(where)}:")
        for rolling in (False, True):
            steps = [
                line
                for name, aggregate in group
                if _takes_timely_only(aggregate) is rolling
                for line in _steps(source, source.constant(name), aggregate, meant)
            ]
            if steps:
                lines += [" if not late:" if rolling else " if True:", *("  " + line for line in steps)]
    setup = ["time, get, fed = event.time, states.get, {}", *source.reads]
    return cast("_Feed", source.steps("states, event, late, delay", [*setup, *lines, "return fed"]))


def _where(aggregate: Declared) -> Condition | None:
    """Return the filter that all events pass which feed a state."""
    return None if isinstance(aggregate, Sequence | HasBeen) else aggregate.where


def _takes_timely_only(aggregate: Declared) -> bool:
    """Say whether an event that is later than the allowed delay does not feed a state."""
    if isinstance(aggregate, Sequence | HasBeen):
        return takes_timely_only(aggregate)
    return form(aggregate) in _ROLLING


def _steps(source: EventSource, name: str, aggregate: Declared, meant: frozenset[str]) -> list[str]:
    """Write what feeds one state with the events meant; `name` is an expression of its key."""
    if isinstance(aggregate, Sequence | HasBeen):
        return _marking(source, name, aggregate, meant)
    if not isinstance(aggregate.within, Since | FromTo):
        return _feeding(source, name, aggregate)
    start, end = fixed_ends(aggregate.within)
    before = "" if end == NEVER else f" < {source.constant(end)}"
    return [
        f"if {source.constant(start)} <= time{before}:",
        *(" " + line for line in _feeding(source, name, aggregate)),
    ]


def _marking(source: EventSource, name: str, marked: Marked, meant: frozenset[str]) -> list[str]:
    """Write what notes which of the things that matter an event is."""
    span = source.constant(_span(marked))
    note = f"(states, {name}, (time, event.message_id, kind), {span} + delay, keep)"
    if isinstance(marked, HasBeen):
        said = f"(kind := {source.constant(said_of(marked))}(event)) is not None"
        return [
            "if event.type in SAYS_TRAITS or 'traits' in event.context:",
            f" if {said} and add_said{note}: fed[{name}] = states[{name}]",
        ]
    kinds = [
        f"{1 << place}" if deed.where is None else f"({1 << place} if {source.filter(deed.where)} else 0)"
        for place, deed in enumerate(distinct_deeds(marked).values())
        if deed.event in meant
    ]
    return [f"if (kind := {' | '.join(kinds)}) and add_mark{note}: fed[{name}] = states[{name}]"]


def _feeding(source: EventSource, name: str, aggregate: Counted) -> list[str]:
    kept, within = form(aggregate), source.constant(_span(aggregate))
    if fades(aggregate.within):
        within = source.constant(aggregate.within.halflife)
    if kept == "waning":
        return [f"fed[{name}] = add_waning(states, {name}, time, 1.0, {within})"]
    if kept == "count":
        return [f"fed[{name}] = add_event(states, {name})"]
    if kept == "times":
        # The common case in place: in order, nothing to forget, room left. Anything else is `add_time`'s.
        return [
            f"state, span = get({name}), {within} + delay",
            "times = state.times if state.__class__ is Times and state.span == span else None",
            "if times and times[-1] <= time < times[0] + span and len(times) < keep:",
            " times.append(time)",
            f" fed[{name}] = state",
            f"elif add_time(states, {name}, time, span, keep): fed[{name}] = states[{name}]",
        ]
    if isinstance(aggregate, LastPerformed):
        add = _VALUES[kept].format(name=name, within=within)
        has = f"value = True if {source.filter(aggregate.has)} else False"
        return [has, f"if {add}: fed[{name}] = states[{name}]"]
    value = source.read(cast("str", aggregate.of))
    if isinstance(aggregate, Pairs):
        amount = "None" if aggregate.amount is None else f"millionths({source.read(aggregate.amount)})"
        add = _VALUES["values"].format(name=name, within=within)
        return [f"if (value := paired({value}, {amount})) is not None and {add}: fed[{name}] = states[{name}]"]
    if kept in _AMOUNTS:
        add = _AMOUNTS[kept].format(name=name, within=within)
        return [f"if (amount := millionths({value})) is not None and {add}: fed[{name}] = states[{name}]"]
    add = _VALUES[kept].format(name=name, within=within)
    checked = f"{value} if {value}.__class__ is TEXT and len({value}) <= text_max else kept({value})"
    return [f"if (value := {checked}) is not None and {add}: fed[{name}] = states[{name}]"]


_AMOUNTS: dict[Form, str] = {
    "sum": "add_amount(states, {name}, amount)",
    "sums": "add_timed_amount(states, {name}, time, amount, {within} + delay, keep)",
    "figures": "add_total(states, {name}, amount)",
    "waning_sum": "add_waning(states, {name}, time, amount / MILLIONTHS, {within})",
}
_VALUES: dict[Form, str] = {
    "last": "add_value(states, {name}, (time, event.message_id, value), 0, keep)",
    "newest": "add_value(states, {name}, (time, event.message_id, value), delay, keep)",
    "first": "add_first(states, {name}, (time, event.message_id, value))",
    "values": "add_entry(states, {name}, (time, event.message_id, value), {within} + delay, keep)",
    "distinct": "add_seen(states, {name}, value, keep)",
    "most_frequent": "add_tally(states, {name}, value, time, keep)",
}


def _paired(order: object, millionths: int | None) -> Kept:
    """Return what is kept of an order or a refund: its id and its amount; None where it has neither."""
    kept = _kept(order)
    named = None if isinstance(kept, list) else kept
    return None if named is None and millionths is None else [named, millionths]


def _kept(value: object) -> Kept:
    """Return what can be kept of a value: a string, number or flag, or a list of them; None for anything else."""
    if isinstance(value, str):
        return value if len(value) <= _TEXT_MAX else None
    if isinstance(value, _PLAIN):
        return value
    if not isinstance(value, list | tuple):
        return None
    elements = cast("list[object]", value)
    kept = [_kept(element) for element in elements] if len(elements) <= _LIST_MAX else []
    return [element for element in kept if element is not None and not isinstance(element, list)] or None
