"""The items that a recommender knows, as small integers, and where each stands in the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bespeak.catalog import Catalog


class KnownItems:
    """Item ids numbered 0, 1, 2, ... in the order in which they were first learned, in the catalog or not."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._ids = list(ids)
        self._numbers = {item_id: number for number, item_id in enumerate(self._ids)}
        self._catalog: Catalog | None = None
        self._places: NDArray[np.intp] = np.zeros(0, np.intp)
        self._placed = 0
        self._read = 0

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def ids(self) -> Sequence[str]:
        """Ids by number."""
        return self._ids

    @property
    def numbers(self) -> Mapping[str, int]:
        """Numbers by id; live."""
        return self._numbers

    def add(self, item_id: str) -> int:
        """Return the number of an item, giving it the next one when it is new."""
        number = self._numbers.get(item_id)
        if number is None:
            number = self._numbers[item_id] = len(self._ids)
            self._ids.append(item_id)
        return number

    def get(self, item_id: str) -> int | None:
        """Return the number of an item, or None."""
        return self._numbers.get(item_id)

    def places(self, catalog: Catalog) -> NDArray[np.intp]:
        """Return, by number, the catalog's row plus 1; 0 for an item that is not in it. Shape (len(self),).

        Rows of a catalog are never given to another item, so only new items and new rows are looked up.
        """
        if catalog is not self._catalog:
            self._catalog, self._placed, self._read = catalog, 0, 0
        if self._read < catalog.rows:
            self._place_rows(catalog)
        if self._placed < len(self._ids):
            self._place_items(catalog)
        return self._places[: len(self._ids)]

    def _place_rows(self, catalog: Catalog) -> None:
        for row in range(self._read, catalog.rows):
            number = self._numbers.get(catalog.ids[row])
            if number is not None and number < self._placed:
                self._places[number] = row + 1
        self._read = catalog.rows

    def _place_items(self, catalog: Catalog) -> None:
        if len(self._ids) > len(self._places):
            grown = np.zeros(max(64, len(self._ids) * 5 // 4), np.intp)
            grown[: self._placed] = self._places[: self._placed]
            self._places = grown
        for number in range(self._placed, len(self._ids)):
            row = catalog.last_row(self._ids[number])
            self._places[number] = 0 if row is None else row + 1
        self._placed = len(self._ids)
