"""What many people deal with now: a count of events for each item that fades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bespeak.catalog import Catalog
from bespeak.clock import DAY, Instant
from bespeak.errors import InvalidInput
from bespeak.profiles.profile import Recent
from bespeak.recommend.dumps import decode_piece, encode_piece
from bespeak.recommend.first_dumps import TrendingState, trending_state
from bespeak.recommend.interactions import Interactions
from bespeak.recommend.known import KnownItems
from bespeak.recommend.scored import Because, Scores
from bespeak.recommend.settings import RecommendSettings

_EXPONENT_MAX = 50
_CHANGED_MAX = 4_096
_VERSION = 2


class Trending:
    """Fading counts: an event of weight w at time t is worth w * 2^-((at - t) / halflife) at `at`.

    Kept as w * 2^((t - landmark) / halflife), so that an event is one addition whatever its age and a late one
    counts as if it had come in time; when the exponent passes 50 all counts are brought to a newer landmark.
    Counts go by item id: items outside the catalog are counted too, and count when they enter it.
    At most `settings.items_max` items; one more, and the quarter with the lowest counts is forgotten.

    Parameters
    ----------
    weights
        Weight by event name; a name that is not there says nothing. Default: those of `settings`.

    References
    ----------
    Cormode, Shkapenyuk, Srivastava, Xu, 2009. Forward decay: a practical time decay model for streaming systems.
    """

    name = "trending"

    def __init__(
        self, settings: RecommendSettings | None = None, *, weights: Mapping[str, float] | None = None
    ) -> None:
        settings = settings or RecommendSettings()
        self._weights = dict(settings.weights() if weights is None else weights)
        self._halflife = settings.halflife_days * DAY
        self._items_max = settings.items_max
        self._landmark: Instant | None = None
        self._latest: Instant = 0
        self._known = KnownItems()
        self._counts: NDArray[np.float64] = np.zeros(64)
        self._catalog: Catalog | None = None
        self._spread: NDArray[np.float64] = np.zeros(1)
        self._by_row: NDArray[np.float64] = self._spread[1:]
        self._changed: list[NDArray[np.int64]] | None = None

    def learn(self, batch: Interactions, /) -> None:
        """Count events; a tenth of a microsecond each, in a batch of hundreds."""
        worth = np.array([self._weights.get(name, 0.0) for name in batch.names])
        weights = worth[batch.kinds]
        says = weights > 0
        places, weights, times = batch.items[says], weights[says], batch.times[says]
        start = 0
        while start < len(places):
            stop, numbers = self._numbered(batch.ids, places, start)
            stop = self._count(numbers[places[start:stop]], weights[start:stop], times[start:stop]) + start
            start = stop
            if len(self._known) > self._items_max:
                self._forget()

    def _numbered(self, ids: Sequence[str], places: NDArray[np.int32], start: int) -> tuple[int, NDArray[np.int64]]:
        """Number the items of the events from `start` on, as far as there is room for them.

        Returns
        -------
        Where to stop: after the event with which there are too many items. And the numbers, by place in `ids`.
        """
        held = self._known.numbers
        numbers = np.array([held.get(item_id, -1) for item_id in ids], np.int64)
        new, met = np.unique(places[start:], return_index=True)
        unknown = numbers[new] < 0
        new, met = new[unknown], met[unknown]
        order = np.argsort(met)
        room = self._items_max - len(self._known)
        stop = start + int(met[order[room]]) + 1 if len(new) > room else len(places)
        fresh: list[int] = new[order][: room + 1].tolist()
        for place in fresh:
            numbers[place] = self._known.add(ids[place])
        return stop, numbers

    def _count(self, numbers: NDArray[np.int64], weights: NDArray[np.float64], times: NDArray[np.int64]) -> int:
        """Count events up to the first that needs another landmark; returns how many were counted, at least one."""
        exponents = (times - self._landmark_for(int(times[0]))) / self._halflife
        beyond = np.flatnonzero(exponents > _EXPONENT_MAX)
        stop = int(beyond[0]) if len(beyond) else len(times)
        numbers = numbers[:stop]
        size = len(self._known)
        if size > len(self._counts):
            self._counts = np.concatenate([self._counts, np.zeros(max(size - len(self._counts), len(self._counts)))])
        np.add.at(self._counts, numbers, weights[:stop] * np.exp2(exponents[:stop]))
        self._latest = max(self._latest, int(times[:stop].max()))
        self._note(numbers)
        return stop

    def _landmark_for(self, time: Instant) -> Instant:
        """Return a landmark that an event at `time` can be counted by; a new one where the old is too long ago."""
        landmark = self._landmark
        if landmark is None:
            self._latest = time
        else:
            exponent = (time - landmark) / self._halflife
            if exponent <= _EXPONENT_MAX:
                return landmark
            self._counts *= 2.0**-exponent if exponent < 1_000 else 0.0
            self._changed = None
        self._landmark = time
        return time

    def scores(self, history: tuple[Recent, ...], catalog: Catalog, /, *, at: Instant) -> Scores | None:
        """Return the counts by row, up to a common factor; None when no item of the catalog has any.

        The array is read-only and live: it holds until the next `learn`. `history` and `at` change nothing:
        everybody sees the same trends, and fading keeps their order.
        """
        by_row = self._rows(catalog)
        return by_row if by_row.any() else None

    def count(self, item: str, /, *, at: Instant) -> float:
        """Return how many events (by weight) the item is worth at `at`."""
        number = self._known.get(item)
        if number is None or self._landmark is None:
            return 0.0
        return float(self._counts[number] * 2.0 ** ((self._landmark - at) / self._halflife))

    def why(
        self, history: tuple[Recent, ...], catalog: Catalog, items: Sequence[str], /, *, at: Instant
    ) -> tuple[tuple[Because, ...], ...]:
        """Return each item's faded count at `at`, as one reason."""
        counts = (self.count(item, at=at) for item in items)
        return tuple((Because(event="Trending", weight=count),) if count > 0 else () for count in counts)

    def dump(self) -> tuple[bytes, ...]:
        """Return the whole state, which is one piece."""
        values = {"halflife": self._halflife, "landmark": self._landmark, "latest": self._latest}
        columns = {"counts": self._counts[: len(self._known)]}
        return (encode_piece(self.name, _VERSION, columns, values=values, texts=self._known.ids),)

    def load(self, pieces: Sequence[bytes], /) -> None:
        """Replace the state by what `dump` gave, also under another half-life: counts then fade by the new one.

        Raises
        ------
        InvalidInput
            The bytes are not a dump of this version.
        """
        piece = decode_piece(pieces[0] if len(pieces) == 1 else b"", self.name, _VERSION)
        counts, values = piece.column("counts", np.float64), piece.values
        landmark, latest, halflife = (values.get(name) for name in ("landmark", "latest", "halflife"))
        if len(counts) != len(piece.texts) or latest is None or not halflife:
            raise InvalidInput(f"not a dump of trending: {len(piece.texts)} items, {len(counts)} counts")
        landmark = None if landmark is None else int(landmark)
        self._restore(TrendingState(float(halflife), landmark, int(latest), piece.texts, counts))

    def load_first(self, data: bytes, /) -> None:
        """Replace the state by a dump of version 1.

        Raises
        ------
        InvalidInput
            The bytes are not a dump of that version.
        """
        self._restore(trending_state(data))

    def _restore(self, state: TrendingState) -> None:
        self._known = KnownItems(state.ids)
        self._counts = state.counts if len(state.counts) else np.zeros(64)
        self._landmark, self._latest = state.landmark, state.latest
        if self._landmark is not None and state.halflife != self._halflife:
            self._counts *= 2.0 ** ((self._landmark - self._latest) / state.halflife)
            self._landmark = self._latest
        self._catalog = None

    def _note(self, numbers: NDArray[np.int64]) -> None:
        if self._changed is not None:
            self._changed.append(numbers)
            if sum(map(len, self._changed)) > _CHANGED_MAX:
                self._changed = None

    def _rows(self, catalog: Catalog) -> NDArray[np.float64]:
        """Return the counts by row, mending those that changed since the last call."""
        places = self._known.places(catalog)
        whole = catalog is not self._catalog or catalog.rows != len(self._by_row)
        if whole or self._changed is None:
            spread = np.zeros(catalog.rows + 1)
            spread[places] = self._counts[: len(places)]
            self._catalog, self._spread, self._by_row = catalog, spread, spread[1:]
            self._by_row.flags.writeable = False
        elif self._changed:
            changed = np.concatenate(self._changed)
            self._spread[places[changed]] = self._counts[changed]
        self._changed = []
        return self._by_row

    def _forget(self) -> None:
        """Keep the three quarters with the highest counts."""
        size = len(self._known)
        keep = np.sort(np.argpartition(self._counts[:size], size // 4)[size // 4 :])
        ids = self._known.ids
        kept: list[int] = keep.tolist()
        self._known = KnownItems(ids[number] for number in kept)
        self._counts = self._counts[keep]
        self._changed = None
