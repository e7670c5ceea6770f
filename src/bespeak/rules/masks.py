"""Which rows of the catalog a condition on items holds for, remembered until the catalog changes.

Most rules ask every visitor the same of the items ("in stock in Berlin", "on sale"), so their answer is
worked out once for each version of the catalog, over whole columns.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
from numpy.typing import NDArray

from bespeak.conditions import Condition, mask

Mask = NDArray[np.bool_]
"""One flag a row of the catalog, shape (catalog.rows,); read-only."""

BYTES_MAX = 32 * 1024 * 1024
"""What the masks of one catalog may take: about 1,600 conditions over 20,000 items, 160 over 200,000."""


class Table(Protocol):
    """What rules need of a catalog."""

    version: int

    @property
    def rows(self) -> int:
        """The length of every column."""
        ...

    @property
    def columns(self) -> Mapping[str, Any]:
        """Arrays by path."""
        ...

    def row(self, item_id: str, /) -> int | None:
        """Return the row of an item, or None."""
        ...


class Masks:
    """The masks of one catalog: the least recently used are let go beyond `bytes_max`.

    Parameters
    ----------
    bytes_max
        Bound of what is kept, in bytes; one mask takes one byte a row.
    """

    def __init__(self, *, bytes_max: int = BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        self.bytes = 0
        self._version = -1
        self._kept: OrderedDict[bytes, Mask] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, condition: Condition | bool, catalog: Table) -> Mask:  # noqa: FBT001  # what `bind` gives
        """Return the mask of a condition, worked out if it is not known for this version of the catalog."""
        if catalog.version != self._version:
            self._kept.clear()
            self.bytes = 0
            self._version = catalog.version
        key = msgspec.msgpack.encode(condition)  # equal only for the same tree: as values, 1 == True
        kept = self._kept.get(key)
        if kept is not None and len(kept) == catalog.rows:
            self._kept.move_to_end(key)
            return kept
        made = _make(condition, catalog)
        self._kept[key] = made
        self.bytes += made.nbytes
        while self.bytes > self.bytes_max and len(self._kept) > 1:
            self.bytes -= self._kept.popitem(last=False)[1].nbytes
        return made


def _make(condition: Condition | bool, catalog: Table) -> Mask:  # noqa: FBT001  # what `bind` gives
    if isinstance(condition, bool):
        made = np.full(catalog.rows, condition, np.bool_)
    else:
        made = np.array(mask(condition, catalog.columns, catalog.rows), np.bool_)
    made.flags.writeable = False
    return made


_SHARED: WeakKeyDictionary[Table, Masks] = WeakKeyDictionary()


def masks_of(catalog: Table) -> Masks:
    """Return the masks that belong to a catalog; they go when it goes."""
    found = _SHARED.get(catalog)
    if found is None:
        found = _SHARED[catalog] = Masks()
    return found
