"""What follows what: items weighted by how often, and how soon, people went on to them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bespeak.catalog import Catalog
from bespeak.clock import Instant
from bespeak.errors import InvalidInput
from bespeak.profiles.profile import Recent
from bespeak.recommend.dumps import PIECE_NUMBERS, decode_piece, encode_piece
from bespeak.recommend.first_dumps import seqknn_state
from bespeak.recommend.interactions import Interaction, Interactions
from bespeak.recommend.known import KnownItems
from bespeak.recommend.pairs import Pairs
from bespeak.recommend.scored import Because, Scores
from bespeak.recommend.settings import RecommendSettings

WHY_MAX = 3
"""Reasons given for one item."""

CUT_EVERY = 1_024
"""After every so many interactions, rows that are too long are cut back: at places that the log alone determines."""

_UNIT = 2.0**30
"""Weights are whole multiples of one part in 2^30, so that their sums are exact: the same in whatever batches."""

_VERSION = 2

Places = NDArray[np.int64]


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
    """Directional co-occurrence that fades with distance, learned in batches.

    When a person with history h deals with item y by an event of weight v, then for each x at distance g among the
    last `window` of h: C[x, y] += v c(g), C[y, x] += v reverse c(g); and n[y] += v (n starts at 1).
    Score of y: sum over the last `window` events x of h, `age` events old, of
    weight(x) exp(-age / recency) n[x]^-source_power C[x, y] n[y]^-target_power.

    Each item keeps `neighbours` to twice as many others, and what `CUT_EVERY` interactions add; at most `items_max`
    items are known: one more, and the quarter that was dealt with longest ago is forgotten. What is learned is the
    same however it is cut into batches.

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
        self._steps = np.array(pair_weights(settings))
        self._recency = tuple(math.exp(-age / settings.recency) for age in range(settings.window))
        self._counts: NDArray[np.float64]
        self._discount: NDArray[np.float64]
        self._touched: NDArray[np.int64]
        self._clear()

    def learn(self, batch: Interactions, /) -> None:
        """Take interactions in; about 1.5 microseconds each, with a full window, in a batch of hundreds."""
        worth = np.array([self._weights.get(name, 0.0) for name in batch.names])
        says = worth[batch.kinds] > 0
        if not says.all():
            batch = batch.where(says)
        ends = np.cumsum(batch.lengths, dtype=np.int64)
        start = 0
        while start < len(batch):
            stop = min(len(batch), start + CUT_EVERY - self._learned % CUT_EVERY)
            stop, numbers = self._numbered(batch, ends, start, stop)
            self._add(batch, ends, numbers, worth, start, stop)
            self._learned += stop - start
            start = stop
            if len(self._known) > self._settings.items_max:
                self._forget()
            if self._learned % CUT_EVERY == 0:
                self._pairs.cut(self._discount)

    def _numbered(self, batch: Interactions, ends: Places, start: int, stop: int) -> tuple[int, Places]:
        """Number the items of interactions `start` to `stop`, new ones in the order in which they come.

        Returns
        -------
        Where to stop: after the interaction with which there are too many items, at the latest at `stop`. And the
        numbers, by place in `batch.ids`; -1 where an item was not met before.
        """
        held = self._known.numbers
        numbers = np.array([held.get(item_id, -1) for item_id in batch.ids], np.int64)
        if (numbers >= 0).all():
            return stop, numbers
        first = int(ends[start - 1]) if start else 0
        past = batch.past[first : ends[stop - 1]]
        # Each interaction's own item comes before those of its history.
        firsts = np.concatenate([[first], ends[start : stop - 1]]) - first
        order = np.insert(past, firsts, batch.items[start:stop])
        owners = np.insert(np.repeat(np.arange(start, stop), batch.lengths[start:stop]), firsts, np.arange(start, stop))
        unknown = np.flatnonzero(numbers[order] < 0)
        new, met = np.unique(order[unknown], return_index=True)
        room = self._settings.items_max - len(self._known)
        by_time = np.argsort(met)
        new, owner = new[by_time], owners[unknown[met[by_time]]]
        if len(new) > room:
            stop = int(owner[room]) + 1
            new = new[owner < stop]
        fresh: list[int] = new.tolist()
        for place in fresh:
            numbers[place] = self._known.add(batch.ids[place])
        self._grow(len(self._known))
        return stop, numbers

    def _add(
        self, batch: Interactions, ends: Places, numbers: Places, worth: NDArray[np.float64], start: int, stop: int
    ) -> None:
        """Add interactions `start` to `stop` up."""
        items, kinds = numbers[batch.items[start:stop]], batch.kinds[start:stop]
        np.add.at(self._counts, items, _whole(worth)[kinds])
        np.maximum.at(self._touched, items, batch.times[start:stop])
        self._discount[items] = self._counts[items] ** -self._settings.target_power
        lengths = batch.lengths[start:stop]
        total = int(lengths.sum())
        last = int(ends[stop - 1])
        past = numbers[batch.past[last - total : last]]
        distance = np.repeat(ends[start:stop] - (last - total), lengths) - np.arange(total)
        item, kind = np.repeat(items, lengths), np.repeat(kinds, lengths)
        led = past != item
        if total and int(lengths.max()) > self._settings.window:
            led &= distance <= self._settings.window
        if not led.all():
            past, item, kind, distance = past[led], item[led], kind[led], distance[led]
        place = kind * self._settings.window + distance - 1
        forward = worth[:, None] * self._steps
        self._pairs.add(
            np.concatenate([past, item]),
            np.concatenate([item, past]),
            np.concatenate([_whole(forward).ravel()[place], _whole(self._settings.reverse * forward).ravel()[place]]),
        )

    def fit(self, sequences: Iterable[Sequence[Interaction]]) -> None:
        """Learn whole histories at once, as if each of their events had been learned alone, and forget all else.

        Each sequence holds one person's interactions, oldest first; their own `history` is not read: it is
        what comes before them in the sequence. Equal to learning online as long as no row has been cut back.
        """
        self._clear()
        window = self._settings.window
        for sequence in sequences:
            told = [one for one in sequence if self._weights.get(one.name, 0.0) > 0]
            items = tuple(one.item for one in told)
            self.learn(
                Interactions.of(
                    Interaction(one.item, one.name, one.time, items[max(0, place - window) : place])
                    for place, one in enumerate(told)
                )
            )

    def scores(self, history: tuple[Recent, ...], catalog: Catalog, /, *, at: Instant) -> Scores | None:
        """Return the scores by row; None when nothing in the history is known to lead anywhere."""
        factors: dict[int, float] = {}
        for number, factor, _ in self._led(history):
            factors[number] = factors.get(number, 0.0) + factor
        targets, weights = self._pairs.gather(list(factors), list(factors.values()))
        if not len(targets):
            return None
        weights *= self._discount[targets]
        places = self._known.places(catalog)[targets]
        return np.bincount(places, weights, minlength=catalog.rows + 1)[1:].astype(np.float64, copy=False)

    def why(
        self, history: tuple[Recent, ...], catalog: Catalog, items: Sequence[str], /, *, at: Instant
    ) -> tuple[tuple[Because, ...], ...]:
        """Return what led to each item: items of the history, each with its newest event and its share."""
        led = self._led(history)
        known = [number for item in items if (number := self._known.get(item)) is not None]
        if not led or not known:
            return ((),) * len(items)
        weights = self._pairs.block([number for number, _, _ in led], known)
        weights *= np.array([factor for _, factor, _ in led])[:, None] * self._discount[known]
        entries = [entry for _, _, entry in led]
        shares: Iterator[list[float]] = iter(weights.T.tolist())
        return tuple(() if self._known.get(item) is None else _strongest(entries, next(shares)) for item in items)

    def dump(self) -> tuple[bytes, ...]:
        """Return the whole state: the items, then some rows of pairs in each piece."""
        size = len(self._known)
        columns = {"counts": self._counts[:size], "touched": self._touched[:size]}
        head = encode_piece(self.name, _VERSION, columns, values={"learned": self._learned}, texts=self._known.ids)
        pairs = (
            encode_piece(self.name, _VERSION, {"lengths": lengths, "targets": targets, "weights": weights})
            for lengths, targets, weights in self._pairs.pieces(PIECE_NUMBERS)
        )
        return (head, *pairs)

    def load(self, pieces: Sequence[bytes], /) -> None:
        """Replace the whole state by what `dump` gave.

        Raises
        ------
        InvalidInput
            The bytes are not a dump of this version.
        """
        head, *rest = [decode_piece(piece, self.name, _VERSION) for piece in pieces or (b"",)]
        counts, touched = head.column("counts", np.float64), head.column("touched", np.int64)
        pairs = Pairs(self._settings.neighbours)
        try:
            for piece in rest:
                lengths, targets = piece.column("lengths", np.int32), piece.column("targets", np.int32)
                pairs.restore(lengths, targets, piece.column("weights", np.float64))
        except ValueError as error:
            raise InvalidInput(f"not a dump of seqknn: {error}") from error
        if not len(counts) == len(touched) == len(head.texts) == len(pairs):
            raise InvalidInput(f"not a dump of seqknn: {len(head.texts)} items, {len(counts)} counts")
        self._clear(KnownItems(head.texts), pairs, counts, touched, int(head.values.get("learned") or 0))

    def load_first(self, data: bytes, /) -> None:
        """Replace the whole state by a dump of version 1, which was one piece.

        Raises
        ------
        InvalidInput
            The bytes are not a dump of that version.
        """
        state = seqknn_state(data, self._settings.neighbours)
        self._clear(KnownItems(state.ids), state.pairs, state.counts, state.touched)

    def count(self, item: str, /) -> float:
        """Return n of an item: 1 + the weights of its events."""
        number = self._known.get(item)
        return 1.0 if number is None else float(self._counts[number])

    def neighbours(self, item: str, /) -> dict[str, float]:
        """Return the raw weights C[item, .] by item id."""
        number = self._known.get(item)
        if number is None:
            return {}
        row, weights = self._pairs.row(number)
        targets: list[int] = row.tolist()
        return {self._known.ids[target]: weight for target, weight in zip(targets, weights.tolist(), strict=True)}

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
                factor = weight * self._recency[counted] * float(self._counts[number]) ** -self._settings.source_power
                led.append((number, factor, entry))
            counted += 1
            if counted == self._settings.window:
                break
        return led

    def _grow(self, size: int) -> None:
        """Have room for `size` items."""
        if size > len(self._counts):
            more = max(size - len(self._counts), len(self._counts), 64)
            self._counts = np.concatenate([self._counts, np.ones(more)])
            self._discount = np.concatenate([self._discount, np.ones(more)])
            self._touched = np.concatenate([self._touched, np.zeros(more, np.int64)])
        self._pairs.grow(size)

    def _forget(self) -> None:
        """Keep the three quarters of the items that were dealt with last."""
        size = len(self._known)
        order = np.argsort(self._touched[:size], kind="stable")
        keep = np.sort(order[size // 4 :])
        kept: list[int] = keep.tolist()
        known = KnownItems(self._known.ids[number] for number in kept)
        pairs = self._pairs.select(keep, size)
        self._clear(known, pairs, self._counts[keep], self._touched[keep], self._learned)

    def _clear(
        self,
        known: KnownItems | None = None,
        pairs: Pairs | None = None,
        counts: NDArray[np.float64] | None = None,
        touched: NDArray[np.int64] | None = None,
        learned: int = 0,
    ) -> None:
        """Begin anew, with what is given."""
        self._known = KnownItems() if known is None else known
        self._pairs = Pairs(self._settings.neighbours) if pairs is None else pairs
        self._counts = np.ones(0) if counts is None else counts
        self._touched = np.zeros(0, np.int64) if touched is None else touched
        self._discount = self._counts**-self._settings.target_power
        self._learned = learned
        self._pairs.grow(len(self._known))


def _whole(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to whole multiples of the unit."""
    return np.round(weights * _UNIT) / _UNIT


def _strongest(entries: list[Recent], weights: list[float]) -> tuple[Because, ...]:
    """Return the items of a history by their share, each with its newest event; entries come newest first."""
    brought: dict[str, tuple[float, Recent]] = {}
    for entry, weight in zip(entries, weights, strict=True):
        if weight > 0 and entry.item is not None:
            before, newest = brought.get(entry.item, (0.0, entry))
            brought[entry.item] = (before + weight, newest)
    best = sorted(brought.values(), key=lambda share: -share[0])[:WHY_MAX]
    return tuple(Because(event=entry.name, weight=weight, item=entry.item, time=entry.time) for weight, entry in best)
