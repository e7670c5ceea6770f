"""What is kept of the values that events had: the newest, the first, those of a window, those that differ.

As all states, functions of the *set* of events that fed them, as long as their bounds are not filled. Values are told
apart letter by letter; 1 and 1.0 are one number, and true is none. Of a list each element counts.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from hashlib import blake2b
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from bespeak.clock import Duration, Instant
from bespeak.conditions.tree import Value

if TYPE_CHECKING:
    from bespeak.conditions.counting.states import State

Kept: TypeAlias = Value | list[Value]
"""What is kept of a value: one, or a list of them."""

Entry: TypeAlias = tuple[Instant, str, Kept]
"""Time, message id, value."""

_ALL_HASHES = 2**64
_WHOLE_MAX = 2**63


class Last(msgspec.Struct, array_like=True, tag="l", gc=False):
    """The newest values, sorted by (time, message id): all within `span` of the newest, and the one before them.

    `span` is the allowed delay for a windowed value, and 0 for ever.
    """

    span: Duration
    entries: list[Entry]


class First(msgspec.Struct, array_like=True, tag="f", gc=False):
    """The value that came first, by (time, message id)."""

    entry: Entry


class Entries(msgspec.Struct, array_like=True, tag="e", gc=False):
    """The values of a window, sorted by (time, message id).

    `span` is the window and the allowed delay, beyond which a value is forgotten; `dropped` the newest time that found
    no room.
    """

    span: Duration
    entries: list[Entry]
    dropped: Instant | None = None


class Seen(msgspec.Struct, array_like=True, tag="d", gc=False):
    """Which values there ever were: their hashes of 64 bits, sorted; of too many the smallest, and then `more` is true.

    From how close together the smallest lie follows how many there are, to about 3 %.
    """

    hashes: list[int]
    more: bool = False


class Tally(msgspec.Struct, array_like=True, tag="y", gc=False):
    """How often each value there ever was, by its `value_key`, with its newest time.

    `more` says that some found no room: those that were there least often.
    """

    values: dict[str, tuple[int, Instant]]
    more: bool = False


entry_time = itemgetter(0)
_entry_place = itemgetter(0, 1)


def value_key(value: Value) -> str:
    """Return a text that stands for a value: the same for equal values, and for no others.

    Examples
    --------
    >>> value_key("1"), value_key(1), value_key(1.0), value_key(True)
    ('t1', 'n1', 'n1', 'ftrue')
    """
    if isinstance(value, str):
        return "t" + value
    if isinstance(value, bool):
        return "ftrue" if value else "ffalse"
    if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE_MAX:
        return f"n{int(value)}"
    return f"n{value!r}"


def value_of(key: str) -> Value:
    """Return the value that a `value_key` stands for.

    Examples
    --------
    >>> value_of("t1"), value_of("n1"), value_of("n1.5"), value_of("ftrue")
    ('1', 1, 1.5, True)
    """
    kind, text = key[0], key[1:]
    if kind == "t":
        return text
    if kind == "f":
        return text == "true"
    try:
        return int(text)
    except ValueError:
        return float(text)


def keys_of(value: Kept) -> Iterable[str]:
    """Return what stands for a value, or for each different element of a list."""
    if isinstance(value, list):
        return {value_key(one) for one in value}
    return (value_key(value),)


def distinct(seen: Seen) -> int:
    """Return how many different values there were; where not all hashes are kept, an estimate, above those kept.

    References
    ----------
    [^1]: Bar-Yossef and others, 2002. Counting distinct elements in a data stream: of k hashes the largest says.
    """
    kept = len(seen.hashes)
    return max(kept + 1, round((kept - 1) * _ALL_HASHES / (seen.hashes[-1] + 1))) if seen.more else kept


def most_frequent(tally: Iterable[tuple[str, tuple[int, Instant]]]) -> str | None:
    """Return the key that is there most often; of equals the one that was there last, then the one of the least text.

    Examples
    --------
    >>> most_frequent({"ta": (2, 5), "tb": (2, 7), "tc": (1, 9)}.items())
    'tb'
    """
    best, top, latest = None, 0, 0
    for key, (times, newest) in tally:
        if (times, newest) > (top, latest) or ((times, newest) == (top, latest) and (best is None or key < best)):
            best, top, latest = key, times, newest
    return best


def entry_order(entry: Entry) -> tuple[Instant, str, str]:
    """Where an entry stands: by (time, message id), and where two senders gave one id to two messages, by value."""
    return entry[0], entry[1], repr(entry[2])


def add_value(states: dict[str, State], key: str, entry: Entry, span: Duration, keep: int) -> bool:
    """Keep a value if it is or may become the last one; `span` is how far back of the newest one may be asked."""
    state = states.get(key)
    if not isinstance(state, Last):
        states[key] = Last(span, [entry])
        return True
    state.span = span
    entries = state.entries
    newest = entries[-1]
    if entry[0] > newest[0] or entry[:2] > newest[:2]:
        if span == 0 and len(entries) == 1:
            entries[0] = entry
            return True
        entries.append(entry)
    else:
        place = bisect_right(entries, entry[:2], key=_entry_place)
        if place == 0 and entries[0][0] <= entries[-1][0] - span:
            return False
        entries.insert(place, entry)
    bound_last(state, keep)
    return True


def add_first(states: dict[str, State], key: str, entry: Entry) -> bool:
    """Keep a value if it came before the first one."""
    state = states.get(key)
    if not isinstance(state, First):
        states[key] = First(entry)
        return True
    if entry_order(entry) >= entry_order(state.entry):
        return False
    state.entry = entry
    return True


def add_entry(states: dict[str, State], key: str, entry: Entry, span: Duration, keep: int) -> bool:
    """Keep a value of a window; `span` is the window and the allowed delay. False when it is too old to matter."""
    state = states.get(key)
    if not isinstance(state, Entries):
        states[key] = Entries(span, [entry])
        return True
    state.span = span
    entries = state.entries
    if entry[:2] > entries[-1][:2]:
        entries.append(entry)
    elif entry[0] <= entries[-1][0] - span:
        return False
    else:
        entries.insert(bisect_right(entries, entry_order(entry), key=entry_order), entry)
    bound_entries(state, keep)
    return True


def add_seen(states: dict[str, State], key: str, value: Kept, keep: int) -> bool:
    """Note a value, or the elements of a list, among those that there ever were. False when nothing is new."""
    state = states.get(key)
    if not isinstance(state, Seen):
        state = states[key] = Seen([])
    new = False
    for one in keys_of(value):
        found = int.from_bytes(blake2b(one.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
        place = bisect_left(state.hashes, found)
        if place == len(state.hashes) or state.hashes[place] != found:
            state.hashes.insert(place, found)
            new = True
    bound_seen(state, keep)
    return new


def add_tally(states: dict[str, State], key: str, value: Kept, time: Instant, keep: int) -> bool:
    """Count a value, or the elements of a list, among those that there ever were."""
    state = states.get(key)
    if not isinstance(state, Tally):
        state = states[key] = Tally({})
    values = state.values
    for one in keys_of(value):
        times, newest = values.get(one, (0, time))
        values[one] = times + 1, max(newest, time)
    bound_tally(state, keep)
    return True


def merge_tallies(one: Tally, other: Tally, keep: int) -> Tally:
    """Return how often each value was there on both sides."""
    values = dict(one.values)
    for key, (times, newest) in other.values.items():
        held, latest = values.get(key, (0, newest))
        values[key] = held + times, max(newest, latest)
    merged = Tally(values, one.more or other.more)
    bound_tally(merged, keep)
    return merged


def bound_entries(state: Entries, keep: int) -> None:
    """Drop what no window can reach, and of too many the oldest."""
    entries = state.entries
    edge = entries[-1][0] - state.span
    if entries[0][0] <= edge:
        del entries[: bisect_right(entries, edge, key=entry_time)]
    if len(entries) > keep:
        newest = entries[len(entries) - keep - 1][0]
        state.dropped = newest if state.dropped is None else max(state.dropped, newest)
        del entries[: len(entries) - keep]


def bound_seen(state: Seen, keep: int) -> None:
    """Of too many hashes keep the smallest."""
    if len(state.hashes) > keep:
        state.more = True
        del state.hashes[keep:]


def bound_tally(state: Tally, keep: int) -> None:
    """Of too many values drop those that were there least often, the oldest of them first."""
    values = state.values
    if len(values) > keep:
        state.more = True
        for key in sorted(values, key=lambda key: (*values[key], key))[: len(values) - keep]:
            del values[key]


def bound_last(state: Last, keep: int) -> None:
    """Drop values that can be the last at no instant from `span` before the newest on."""
    entries = state.entries
    edge = entries[-1][0] - state.span
    if len(entries) <= keep and (len(entries) == 1 or entries[1][0] > edge):
        return
    gone = max(bisect_right(entries, edge, key=entry_time) - 1, len(entries) - keep)
    if gone > 0:
        del entries[:gone]
