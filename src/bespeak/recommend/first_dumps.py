"""Dumps of version 1, as stores of before the batches hold them: read, and written no more."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from bespeak.clock import Instant
from bespeak.errors import InvalidInput
from bespeak.recommend.pairs import Pairs


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    settled: tuple[bytes, bytes, bytes]
    loose: tuple[bytes, bytes, bytes]


class _SeqKNN(msgspec.Struct, frozen=True, array_like=True):
    version: int
    ids: list[str]
    counts: bytes
    touched: bytes
    pairs: _Packed


class _Trending(msgspec.Struct, frozen=True, array_like=True):
    version: int
    halflife: float
    landmark: Instant | None
    latest: Instant
    ids: list[str]
    counts: bytes


class SeqKNNState(msgspec.Struct, frozen=True, eq=False):
    """What a first dump of SeqKNN holds."""

    ids: list[str]
    counts: NDArray[np.float64]
    touched: NDArray[np.int64]
    pairs: Pairs


class TrendingState(msgspec.Struct, frozen=True, eq=False):
    """What a first dump of Trending holds."""

    halflife: float
    landmark: Instant | None
    latest: Instant
    ids: list[str]
    counts: NDArray[np.float64]


def seqknn_state(data: bytes, keep: int) -> SeqKNNState:
    """Read a first dump of SeqKNN; rows will be cut back to `keep`.

    Raises
    ------
    InvalidInput
        The bytes are not such a dump.
    """
    try:
        state = msgspec.msgpack.decode(data, type=_SeqKNN)
        counts, touched = np.frombuffer(state.counts, np.float64).copy(), np.frombuffer(state.touched, np.int64).copy()
        pairs = Pairs(keep)
        pairs.grow(len(state.ids))
        for (lengths, targets, weights), dtype in ((state.pairs.settled, np.float32), (state.pairs.loose, np.float64)):
            rows = np.repeat(np.arange(len(state.ids)), np.frombuffer(lengths, np.int32))
            numbers = np.frombuffer(targets, np.int32).astype(np.int64)
            pairs.add(rows, numbers, np.frombuffer(weights, dtype).astype(np.float64))
    except (msgspec.DecodeError, ValueError, IndexError) as error:
        raise InvalidInput(f"not a dump of seqknn, version 1: {error}") from error
    if state.version != 1 or not len(counts) == len(touched) == len(state.ids):
        raise InvalidInput(f"not a dump of seqknn, version 1: version {state.version}, {len(state.ids)} items")
    return SeqKNNState(state.ids, counts, touched, pairs)


def trending_state(data: bytes) -> TrendingState:
    """Read a first dump of Trending.

    Raises
    ------
    InvalidInput
        The bytes are not such a dump.
    """
    try:
        state = msgspec.msgpack.decode(data, type=_Trending)
        counts = np.frombuffer(state.counts, np.float64).copy()
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidInput(f"not a dump of trending, version 1: {error}") from error
    if state.version != 1 or len(counts) != len(state.ids):
        raise InvalidInput(f"not a dump of trending, version 1: version {state.version}, {len(state.ids)} items")
    return TrendingState(state.halflife, state.landmark, state.latest, state.ids, counts)
