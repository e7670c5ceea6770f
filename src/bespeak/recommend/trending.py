"""What many people deal with now: a count of events for each item that fades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from bespeak.catalog import Catalog
from bespeak.clock import DAY, Instant
from bespeak.errors import InvalidInput
from bespeak.profiles.profile import Recent
from bespeak.recommend.known import KnownItems
from bespeak.recommend.scored import Because, Interaction, Scores
from bespeak.recommend.settings import RecommendSettings

_EXPONENT_MAX = 50
_CHANGED_MAX = 4_096


class _State(msgspec.Struct, frozen=True, array_like=True):
    version: int
    halflife: float
    landmark: Instant | None
    latest: Instant
    ids: list[str]
    counts: bytes


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
        self._changed: list[int] | None = None

    def learn(self, interaction: Interaction, /) -> None:
        """Count one event; about a microsecond."""
        weight = self._weights.get(interaction.name, 0.0)
        if weight <= 0:
            return
        if self._landmark is None:
            self._landmark = self._latest = interaction.time
        self._latest = max(self._latest, interaction.time)
        exponent = (interaction.time - self._landmark) / self._halflife
        if exponent > _EXPONENT_MAX:
            self._counts *= 2.0**-exponent if exponent < 1_000 else 0.0
            self._landmark = interaction.time
            self._changed = None
            exponent = 0.0
        number = self._known.add(interaction.item)
        if number >= len(self._counts):
            self._counts = np.concatenate([self._counts, np.zeros(len(self._counts))])
        self._counts[number] += weight * 2.0**exponent
        self._note(number)
        if len(self._known) > self._items_max:
            self._forget()

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

    def dump(self) -> bytes:
        """Return the whole state."""
        counts = self._counts[: len(self._known)].tobytes()
        state = _State(1, self._halflife, self._landmark, self._latest, list(self._known.ids), counts)
        return msgspec.msgpack.encode(state)

    def load(self, data: bytes, /) -> None:
        """Replace the state by what `dump` gave, also under another half-life: counts then fade by the new one.

        Raises
        ------
        InvalidInput
            The bytes are not a dump of this version.
        """
        try:
            state = msgspec.msgpack.decode(data, type=_State)
            counts = np.frombuffer(state.counts, np.float64).copy()
        except (msgspec.DecodeError, ValueError) as error:
            raise InvalidInput(f"not a dump of trending: {error}") from error
        if state.version != 1 or len(counts) != len(state.ids):
            raise InvalidInput(f"not a dump of trending, version 1: version {state.version}, {len(state.ids)} items")
        self._known = KnownItems(state.ids)
        self._counts = counts if len(counts) else np.zeros(64)
        self._landmark, self._latest = state.landmark, state.latest
        if self._landmark is not None and state.halflife != self._halflife:
            self._counts *= 2.0 ** ((self._landmark - self._latest) / state.halflife)
            self._landmark = self._latest
        self._catalog = None

    def _note(self, number: int) -> None:
        if self._changed is not None:
            self._changed.append(number)
            if len(self._changed) > _CHANGED_MAX:
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
            changed = np.array(self._changed, np.intp)
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
