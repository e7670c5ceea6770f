"""Borders of quintiles: where the figures of everybody are cut into five parts, as of when that was last worked out.

They are definitions like others: worked out of everybody by `quintiles`, put in force by a record in the log, and so
the same at a replay. They may be written by hand as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from bespeak.computed.written import check_name, refusal
from bespeak.definitions import read

PARTS = 5
"""Into how many parts everybody is cut."""


class Borders(msgspec.Struct, frozen=True, kw_only=True):
    """The borders of one computed trait.

    Parameters
    ----------
    id
        That of the computed trait.
    recency, frequency, monetary
        Four numbers each, in ascending order: up to the first lies the least fifth of all figures.
    version
        Counts up with each change.
    """

    id: str
    recency: tuple[float, ...]
    frequency: tuple[float, ...]
    monetary: tuple[float, ...]
    version: int = 1


class _Written(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    recency: tuple[float, ...]
    frequency: tuple[float, ...]
    monetary: tuple[float, ...]
    version: int = 1


def load(raw: Mapping[str, object], *, source: str, version: int = 1) -> Borders:
    """Read a definition, as YAML or JSON gave it.

    Raises
    ------
    DefinitionError
        A field is unknown, missing or wrong; the message names `source`, the field, the value and what would do.
    """
    written = read(raw, _Written, what="borders", source=source, extra={"version": version})
    for field in ("recency", "frequency", "monetary"):
        _check(getattr(written, field), field, source)
    return Borders(
        id=check_name(written.id, source),
        recency=written.recency,
        frequency=written.frequency,
        monetary=written.monetary,
        version=written.version,
    )


def _check(borders: tuple[float, ...], field: str, source: str) -> None:
    expected = f"{PARTS - 1} numbers in ascending order"
    if len(borders) != PARTS - 1 or list(borders) != sorted(borders) or not all(map(math.isfinite, borders)):
        raise refusal(source, field, expected, list(borders))


def quintiles(figures: Iterable[float] | NDArray[np.float64]) -> tuple[float, ...]:
    """Return the four borders of at least one figure: of n in ascending order those at the places n/5, 2n/5, ...

    Places are rounded up. What is equal lies on one side of a border.

    Examples
    --------
    >>> quintiles(range(1, 11)), quintiles([7.0]), quintiles([1, 1, 1, 1, 1, 1, 1, 1, 2, 3])
    ((2.0, 4.0, 6.0, 8.0), (7.0, 7.0, 7.0, 7.0), (1.0, 1.0, 1.0, 1.0))
    """
    ordered = np.sort(np.fromiter(figures, np.float64))
    places = [-(-part * len(ordered) // PARTS) - 1 for part in range(1, PARTS)]
    return tuple(ordered[places].tolist())
