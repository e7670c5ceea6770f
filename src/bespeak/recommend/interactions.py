"""Many interactions as columns, in the order of the log: what recommenders learn from at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import msgspec
import numpy as np
from numpy.typing import NDArray

from bespeak.clock import Instant
from bespeak.errors import InvalidInput

Places = NDArray[np.int32]
Times = NDArray[np.int64]


class Interaction(msgspec.Struct, frozen=True):
    """One thing that a person did with an item, as a recommender learns it.

    Parameters
    ----------
    history
        The item ids the person dealt with before, oldest first, at most 50; repeated items stay.
    item
        The item of this event.
    name
        Event name (`Product Viewed`, ...).
    """

    item: str
    name: str
    time: Instant
    history: tuple[str, ...]


class _Encoded(msgspec.Struct, frozen=True, array_like=True):
    ids: list[str]
    names: list[str]
    items: bytes
    kinds: bytes
    times: bytes
    lengths: bytes
    past: bytes


_decoder = msgspec.msgpack.Decoder(_Encoded)


class Interactions(msgspec.Struct, frozen=True, eq=False):
    """Interactions in the order of the log, as columns; iterating gives them one by one.

    Parameters
    ----------
    ids
        Item ids, each once.
    names
        Event names, each once.
    items
        Place in `ids` of each interaction's item, shape (n,).
    kinds
        Place in `names` of each interaction's event name, shape (n,).
    times
        Event times, shape (n,).
    lengths
        How many earlier items each interaction has, shape (n,).
    past
        Places in `ids` of the earlier items, oldest first, one interaction after the other, shape (lengths.sum(),).
    """

    ids: list[str]
    names: list[str]
    items: Places
    kinds: Places
    times: Times
    lengths: Places
    past: Places

    @classmethod
    def of(cls, interactions: Iterable[Interaction]) -> Interactions:
        """Put interactions together."""
        noted = Noted()
        codes = noted.codes
        for one in interactions:
            noted.add(codes[one.item], one.name, one.time, b"".join(map(codes.__getitem__, one.history)))
        return noted.take()

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Interaction]:
        items: list[int] = self.items.tolist()
        kinds: list[int] = self.kinds.tolist()
        times: list[int] = self.times.tolist()
        ends: list[int] = np.cumsum(self.lengths).tolist()
        past: list[int] = self.past.tolist()
        start = 0
        for item, kind, time, end in zip(items, kinds, times, ends, strict=True):
            history = tuple(self.ids[place] for place in past[start:end])
            yield Interaction(self.ids[item], self.names[kind], time, history)
            start = end

    def where(self, kept: NDArray[np.bool_]) -> Interactions:
        """Return those interactions for which `kept`, of shape (n,), is true."""
        return msgspec.structs.replace(
            self,
            items=self.items[kept],
            kinds=self.kinds[kept],
            times=self.times[kept],
            lengths=self.lengths[kept],
            past=self.past[np.repeat(kept, self.lengths)],
        )

    def encode(self) -> bytes:
        """Return them as bytes: about 30 an interaction, and 4 for each earlier item."""
        columns = (part.tobytes() for part in (self.items, self.kinds, self.times, self.lengths, self.past))
        return msgspec.msgpack.encode(_Encoded(self.ids, self.names, *columns))

    @classmethod
    def decode(cls, data: bytes) -> Interactions:
        """Return what `encode` was given.

        Raises
        ------
        InvalidInput
            The bytes are something else.
        """
        try:
            found = _decoder.decode(data)
            columns = [np.frombuffer(part, np.int32) for part in (found.items, found.kinds, found.lengths, found.past)]
            times = np.frombuffer(found.times, np.int64)
        except (msgspec.DecodeError, ValueError) as error:
            raise InvalidInput(f"not interactions: {error}") from error
        items, kinds, lengths, past = columns
        fits = len(items) == len(kinds) == len(times) == len(lengths) and int(lengths.sum()) == len(past)
        if not fits or not _within(items, found.ids) or not _within(past, found.ids) or not _within(kinds, found.names):
            raise InvalidInput("not interactions: its columns contradict each other")
        return cls(found.ids, found.names, items, kinds, times, lengths, past)


def _within(places: Places, of: Sequence[str]) -> bool:
    return not len(places) or bool(places.min() >= 0 and places.max() < len(of))


class _Codes(dict[str, bytes]):
    """Numbers texts in the order in which they are first asked for; a number is 4 bytes, as in a column."""

    def __missing__(self, key: str) -> bytes:
        code = self[key] = np.int32(len(self)).tobytes()
        return code


CODE_BYTES = 4
"""Bytes of an item's code."""

CODES_MAX = 400_000
"""Items that have a code, about 100 bytes each; with more, the codes begin anew."""


class Noted:
    """Interactions noted one by one, as cheaply as may be, until somebody takes them all.

    Items are noted by `codes`, which stay the same from one batch to the next, until `forget`.
    """

    def __init__(self) -> None:
        self._codes = _Codes()
        self._ids: list[str] = []
        self.codes: Mapping[str, bytes] = self._codes
        self.clear()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_full(self) -> bool:
        """Whether there are too many codes: time to `forget` them."""
        return len(self._codes) > CODES_MAX

    def add(self, item: bytes, name: str, time: Instant, past: bytes) -> None:
        """Note one interaction, its item and the items before as codes, oldest first."""
        self._items.append(item)
        self._names.append(name)
        self._times.append(time)
        self._past.append(past)

    def take(self) -> Interactions:
        """Return what was noted, and begin anew."""
        for item_id in islice(self._codes, len(self._ids), None):
            self._ids.append(item_id)
        items, past = (np.frombuffer(b"".join(codes), np.int32) for codes in (self._items, self._past))
        lengths = np.fromiter(map(len, self._past), np.int32, len(self._past)) // CODE_BYTES
        # From codes to places in a short list of those that occur.
        occurs = np.zeros(len(self._ids), np.bool_)
        occurs[items] = occurs[past] = True
        places = np.cumsum(occurs, dtype=np.int32) - 1
        codes: list[int] = np.flatnonzero(occurs).tolist()
        ids = [self._ids[code] for code in codes]
        names = {name: place for place, name in enumerate(dict.fromkeys(self._names))}
        kinds = np.fromiter(map(names.__getitem__, self._names), np.int32, len(self._names))
        times = np.array(self._times, np.int64)
        self.clear()
        return Interactions(ids, list(names), places[items], kinds, times, lengths, places[past])

    def clear(self) -> None:
        """Forget what was noted."""
        self._items: list[bytes] = []
        self._names: list[str] = []
        self._times: list[Instant] = []
        self._past: list[bytes] = []

    def forget(self) -> None:
        """Forget what was noted, and all codes."""
        self.clear()
        self._codes.clear()
        self._ids.clear()
