"""What follows what: items weighted by how often, and how soon, people went on to them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from bespeak.catalog import Catalog
from bespeak.clock import Instant
from bespeak.errors import InvalidInput
from bespeak.profiles.profile import Recent
from bespeak.recommend.known import KnownItems
from bespeak.recommend.pairs import LOOSE_MAX, Packed, Pairs
from bespeak.recommend.scored import Because, Interaction, Scores
from bespeak.recommend.settings import RecommendSettings

WHY_MAX = 3
"""Reasons given for one item."""

WAITING_MAX = 32
"""Interactions that wait to be added up: a decision that has to do it first loses about .2 milliseconds."""


class _State(msgspec.Struct, frozen=True, array_like=True):
    version: int
    ids: list[str]
    counts: bytes
    touched: bytes
    pairs: Packed


def pair_weights(settings: RecommendSettings) -> tuple[float, ...]:
    """Return c(1), ..., c(window): the weight of a pair of items by their distance in a person's history.

    c(g) = sum for k = 0 ... min(future, g) - 1 of exp(-(g - 1 - k) / past_decay) * exp(-k / future_decay).

    References
    ----------
    Ludewig, Jannach, 2018. Evaluation of session-based recommendation algorithms, section 3.1.3.
    """
    past, later = settings.past_decay, settings.future_decay
    return tuple(
        sum(math.exp(-(g - 1 - k) / past - k / later) for k in range(min(settings.future, g)))
        for g in range(1, settings.window + 1)
    )


class SeqKNN:
    """Directional co-occurrence that fades with distance, learned one event at a time.

    When a person with history h deals with item y by an event of weight v, then for each x at distance g among the
    last `window` of h: C[x, y] += v c(g), C[y, x] += v reverse c(g); and n[y] += v (n starts at 1).
    Score of y: sum over the last `window` events x of h, `age` events old, of
    weight(x) exp(-age / recency) n[x]^-source_power C[x, y] n[y]^-target_power.

    Each item keeps `neighbours` to twice as many others; at most `items_max` items are known: one more, and the
    quarter that was dealt with longest ago is forgotten.

    Parameters
    ----------
    weights
        Weight by event name; a name that is not there says nothing, neither when it is learned nor in a history.
        Default: those of `settings`.

    References
    ----------
    Ludewig, Jannach, 2018. Evaluation of session-based recommendation algorithms, section 3.1.3 (sequential rules).
    Deshpande, Karypis, 2004. Item-based top-N recommendation algorithms, section 4.2 (dividing frequency out).
    """

    name = "seqknn"

    def __init__(
        self, settings: RecommendSettings | None = None, *, weights: Mapping[str, float] | None = None
    ) -> None:
        settings = settings or RecommendSettings()
        self._settings = settings
        self._weights = dict(settings.weights() if weights is None else weights)
        self._steps = pair_weights(settings)
        self._recency = tuple(math.exp(-age / settings.recency) for age in range(settings.window))
        self._waiting: list[Interaction] = []
        self._known = KnownItems()
        self._pairs = Pairs(settings.neighbours)
        self._counts: list[float] = []
        self._touched: list[Instant] = []
        self._discount: NDArray[np.float64] = np.ones(64)

    def learn(self, interaction: Interaction, /) -> None:
        """Take one event in; it is added up with the next ones, at the latest when somebody asks.

        About 5 microseconds with a full window: one after the other in a row they find the tables in the processor's
        cache.
        """
        self._waiting.append(interaction)
        if len(self._waiting) >= WAITING_MAX:
            self._catch_up()

    def _catch_up(self) -> None:
        """Add up what waits, in the order in which it came."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for interaction in waiting:
                self._add(interaction)

    def _add(self, interaction: Interaction) -> None:
        weight = self._weights.get(interaction.name, 0.0)
        if weight <= 0:
            return
        item = self._number(interaction.item)
        self._count(item, weight, interaction.time)
        loose = self._pairs.loose
        own = loose[item]
        back = self._settings.reverse
        numbers = self._known.numbers
        for step, before in zip(self._steps, reversed(interaction.history), strict=False):
            past = numbers.get(before, -1)
            if past < 0:
                past = self._number(before)
            if past == item:
                continue
            added = weight * step
            own[past] = own.get(past, 0.0) + back * added
            led = loose[past]
            if item in led:
                led[item] += added
                continue
            led[item] = added
            if len(led) > LOOSE_MAX:
                self._pairs.settle(past, self._discount)
        if len(own) > LOOSE_MAX:
            self._pairs.settle(item, self._discount)
        if len(self._known) > self._settings.items_max:
            self._forget()

    def fit(self, sequences: Iterable[Sequence[Interaction]]) -> None:
        """Learn whole histories at once, as if each of their events had been learned alone, and forget all else.

        Each sequence holds one person's interactions, oldest first; their own `history` is not read: it is
        what comes before them in the sequence. Equal to learning online as long as no row has been cut back.
        """
        self._waiting = []
        self._clear(KnownItems(), Pairs(self._settings.neighbours), [], [])
        items: list[int] = []
        owners: list[int] = []
        weights: list[float] = []
        for owner, sequence in enumerate(sequences):
            for interaction in sequence:
                weight = self._weights.get(interaction.name, 0.0)
                if weight > 0:
                    number = self._number(interaction.item)
                    self._count(number, weight, interaction.time)
                    items.append(number)
                    owners.append(owner)
                    weights.append(weight)
        self._add_up(np.array(items, np.int64), np.array(owners, np.int64), np.array(weights))

    def scores(self, history: tuple[Recent, ...], catalog: Catalog, /, *, at: Instant) -> Scores | None:
        """Return the scores by row; None when nothing in the history is known to lead anywhere."""
        self._catch_up()
        factors: dict[int, float] = {}
        for number, factor, _ in self._led(history):
            factors[number] = factors.get(number, 0.0) + factor
        targets, weights = self._pairs.gather(list(factors), list(factors.values())) if factors else _NOTHING
        if not len(targets):
            return None
        weights *= self._discount[targets]
        places = self._known.places(catalog)[targets]
        return np.bincount(places, weights, minlength=catalog.rows + 1)[1:].astype(np.float64, copy=False)

    def why(
        self, history: tuple[Recent, ...], catalog: Catalog, items: Sequence[str], /, *, at: Instant
    ) -> tuple[tuple[Because, ...], ...]:
        """Return what led to each item: items of the history, each with its newest event and its share."""
        self._catch_up()
        led = self._led(history)
        known = [number for item in items if (number := self._known.get(item)) is not None]
        if not led or not known:
            return ((),) * len(items)
        weights = self._pairs.block([number for number, _, _ in led], known)
        weights *= np.array([factor for _, factor, _ in led])[:, None] * self._discount[known]
        entries = [entry for _, _, entry in led]
        shares: Iterator[list[float]] = iter(weights.T.tolist())
        return tuple(() if self._known.get(item) is None else _strongest(entries, next(shares)) for item in items)

    def dump(self) -> bytes:
        """Return the whole state."""
        self._catch_up()
        counts = np.array(self._counts, np.float64).tobytes()
        touched = np.array(self._touched, np.int64).tobytes()
        return msgspec.msgpack.encode(_State(1, list(self._known.ids), counts, touched, self._pairs.pack()))

    def load(self, data: bytes, /) -> None:
        """Replace the whole state by what `dump` gave.

        Raises
        ------
        InvalidInput
            The bytes are not a dump of this version.
        """
        pairs = Pairs(self._settings.neighbours)
        try:
            state = msgspec.msgpack.decode(data, type=_State)
            counts: list[float] = np.frombuffer(state.counts, np.float64).tolist()
            touched: list[int] = np.frombuffer(state.touched, np.int64).tolist()
            pairs.unpack(state.pairs)
        except (msgspec.DecodeError, ValueError) as error:
            raise InvalidInput(f"not a dump of seqknn: {error}") from error
        if state.version != 1 or not len(counts) == len(touched) == len(state.ids) == len(pairs):
            raise InvalidInput(f"not a dump of seqknn, version 1: version {state.version}, {len(state.ids)} items")
        self._waiting = []
        self._clear(KnownItems(state.ids), pairs, counts, touched)

    def count(self, item: str, /) -> float:
        """Return n of an item: 1 + the weights of its events."""
        self._catch_up()
        number = self._known.get(item)
        return 1.0 if number is None else self._counts[number]

    def neighbours(self, item: str, /) -> dict[str, float]:
        """Return the raw weights C[item, .] by item id."""
        self._catch_up()
        number = self._known.get(item)
        row = {} if number is None else self._pairs.row(number)
        return {self._known.ids[target]: weight for target, weight in row.items()}

    def _led(self, history: tuple[Recent, ...]) -> list[tuple[int, float, Recent]]:
        """Return number and factor of each entry that counts, newest first."""
        led: list[tuple[int, float, Recent]] = []
        counted = 0
        for entry in reversed(history):
            weight = self._weights.get(entry.name, 0.0)
            if entry.item is None or weight <= 0:
                continue
            number = self._known.get(entry.item)
            if number is not None:
                factor = weight * self._recency[counted] * self._counts[number] ** -self._settings.source_power
                led.append((number, factor, entry))
            counted += 1
            if counted == self._settings.window:
                break
        return led

    def _number(self, item_id: str) -> int:
        number = self._known.get(item_id)
        if number is None:
            number = self._known.add(item_id)
            self._counts.append(1.0)
            self._touched.append(0)
            self._pairs.grow(number + 1)
            if number >= len(self._discount):
                self._discount = np.concatenate([self._discount, np.ones(len(self._discount))])
        return number

    def _count(self, number: int, weight: float, time: Instant) -> None:
        count = self._counts[number] = self._counts[number] + weight
        self._discount[number] = count**-self._settings.target_power
        self._touched[number] = max(self._touched[number], time)

    def _add_up(self, items: NDArray[np.int64], owners: NDArray[np.int64], weights: NDArray[np.float64]) -> None:
        from scipy.sparse import coo_array

        size = len(self._known)
        rows, columns, values = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
        for gap, step in enumerate(self._steps, 1):
            both = (owners[:-gap] == owners[gap:]) & (items[:-gap] != items[gap:])
            past, item, added = items[:-gap][both], items[gap:][both], step * weights[gap:][both]
            rows += [past, item]
            columns += [item, past]
            values += [added, self._settings.reverse * added]
        total = coo_array(
            (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(size, size)
        ).tocsr()
        total.sum_duplicates()
        for row in range(size):
            part = slice(int(total.indptr[row]), int(total.indptr[row + 1]))
            targets, added = total.indices[part].astype(np.int32), total.data[part].astype(np.float32)
            self._pairs.replace(row, targets, added, self._discount)

    def _forget(self) -> None:
        """Keep the three quarters of the items that were dealt with last."""
        size = len(self._known)
        order = np.argsort(np.array(self._touched), kind="stable")
        keep = np.sort(order[size // 4 :])
        ids, counts, touched = self._known.ids, self._counts, self._touched
        kept: list[int] = keep.tolist()
        self._clear(
            KnownItems(ids[number] for number in kept),
            self._pairs.select(keep, size),
            [counts[number] for number in kept],
            [touched[number] for number in kept],
        )

    def _clear(self, known: KnownItems, pairs: Pairs, counts: list[float], touched: list[Instant]) -> None:
        self._known, self._pairs, self._counts, self._touched = known, pairs, counts, touched
        self._discount = np.ones(max(64, len(counts)))
        self._discount[: len(counts)] = np.array(counts) ** -self._settings.target_power


_NOTHING = (np.zeros(0, np.int32), np.zeros(0))


def _strongest(entries: list[Recent], weights: list[float]) -> tuple[Because, ...]:
    """Return the items of a history by their share, each with its newest event; entries come newest first."""
    brought: dict[str, tuple[float, Recent]] = {}
    for entry, weight in zip(entries, weights, strict=True):
        if weight > 0 and entry.item is not None:
            before, newest = brought.get(entry.item, (0.0, entry))
            brought[entry.item] = (before + weight, newest)
    best = sorted(brought.values(), key=lambda share: -share[0])[:WHY_MAX]
    return tuple(Because(event=entry.name, weight=weight, item=entry.item, time=entry.time) for weight, entry in best)
