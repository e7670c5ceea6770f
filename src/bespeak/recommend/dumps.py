"""What a recommender's state looks like as bytes: pieces of a few megabytes, each with named columns.

Two dumps of one kind can be compared number by number, since sums of the same numbers may differ in their last bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bespeak.errors import InvalidInput

PIECE_NUMBERS = 200_000
"""Numbers in one column of a piece, about; a piece is made, sealed and written in one go."""

CLOSE = 1e-9
"""How far apart two floats may be, relative to the larger: sums of the same numbers in another grouping."""

Column = NDArray[Any]


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """One piece of a dump: whose it is, in which version, a few values, texts, and columns as (dtype, bytes)."""

    kind: str
    version: int
    values: dict[str, int | float | None]
    texts: list[str]
    columns: dict[str, tuple[str, bytes]]

    def column(self, name: str, dtype: type[np.generic]) -> Column:
        """Return a copy of one column. Raises InvalidInput when it is missing, or of another type."""
        held = self.columns.get(name)
        if held is None or np.dtype(held[0]) != np.dtype(dtype) or len(held[1]) % np.dtype(dtype).itemsize:
            raise InvalidInput(f"not a dump of {self.kind}: its column {name!r} is missing or of another type")
        return np.frombuffer(held[1], dtype).copy()


_decoder = msgspec.msgpack.Decoder(Piece)


def encode_piece(
    kind: str,
    version: int,
    columns: Mapping[str, Column],
    *,
    values: Mapping[str, int | float | None] | None = None,
    texts: Sequence[str] = (),
) -> bytes:
    """Return one piece as bytes."""
    held = {name: (column.dtype.str, column.tobytes()) for name, column in columns.items()}
    return msgspec.msgpack.encode(Piece(kind, version, dict(values or {}), list(texts), held))


def decode_piece(data: bytes, kind: str, version: int) -> Piece:
    """Return what `encode_piece` was given.

    Raises
    ------
    InvalidInput
        The bytes are not a piece of this kind and version.
    """
    try:
        piece = _decoder.decode(data)
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidInput(f"not a dump of {kind}: {error}") from error
    if (piece.kind, piece.version) != (kind, version):
        raise InvalidInput(f"not a dump of {kind}, version {version}: it is {piece.kind}, version {piece.version}")
    return piece


def difference(one: Sequence[bytes], other: Sequence[bytes]) -> tuple[str, object, object] | None:
    """Return where two dumps differ first, and both values; None when they are equal, floats to 1e-9.

    Dumps that do not consist of pieces are compared byte by byte.
    """
    for place, (first, second) in enumerate(zip_longest(one, other)):
        if first == second:
            continue
        if first is None or second is None:
            return "pieces", len(one), len(other)
        try:
            found = _in_pieces(_decoder.decode(first), _decoder.decode(second))
        except (msgspec.DecodeError, ValueError):
            return f"piece {place}", f"{len(first)} bytes", f"{len(second)} other bytes"
        if found is not None:
            return found
    return None


def _in_pieces(one: Piece, other: Piece) -> tuple[str, object, object] | None:
    if (one.kind, one.version, one.values.keys()) != (other.kind, other.version, other.values.keys()):
        return "version", f"{one.kind} {one.version}", f"{other.kind} {other.version}"
    for name, value in one.values.items():
        against = other.values[name]
        numbers = isinstance(value, float) and isinstance(against, float)
        if value != against and not (numbers and math.isclose(float(value or 0), float(against or 0), rel_tol=CLOSE)):
            return name, value, against
    if one.texts != other.texts:
        pairs = enumerate(zip_longest(one.texts, other.texts))
        return next((f"items[{place}]", mine, theirs) for place, (mine, theirs) in pairs if mine != theirs)
    for name in sorted({*one.columns, *other.columns}):
        if name not in one.columns or name not in other.columns:
            return name, name in one.columns, name in other.columns
        found = _in_columns(one, other, name)
        if found is not None:
            return found
    return None


def _in_columns(one: Piece, other: Piece, name: str) -> tuple[str, object, object] | None:
    columns = [np.frombuffer(piece.columns[name][1], np.dtype(piece.columns[name][0])) for piece in (one, other)]
    first, second = columns
    if first.shape != second.shape or first.dtype != second.dtype:
        return f"{name}, its length", len(first), len(second)
    if first.dtype.kind == "f":
        apart = np.abs(first - second) > CLOSE * np.maximum(np.abs(first), np.abs(second))
    else:
        apart = first != second
    if not apart.any():
        return None
    place = int(np.argmax(apart))
    return f"{name}[{place}]", first[place].item(), second[place].item()
