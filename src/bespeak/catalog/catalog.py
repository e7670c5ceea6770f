"""The catalog: every item that can be shown, by id and by column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from bespeak.catalog.attributes import Attributes
from bespeak.catalog.changes import BEGINNING, Changes, Mark
from bespeak.catalog.columns import Columns
from bespeak.catalog.item import Item
from bespeak.errors import TooLarge

ITEMS_MAX = 1_000_000
"""Rows of one catalog, removed items included (their rows are kept until the catalog is built again)."""

Rows = NDArray[np.intp]
"""Row numbers of a catalog, ascending unless said."""


class Catalog:
    """Items in rows. An item has the same row for as long as the catalog lives.

    `put` and `remove` cost a few microseconds an item; what is derived (columns, `showable`, likeness) is mended
    at its next use, by the rows that changed. A removed item leaves its row behind: it is never showable, `row`
    and `item` do not know it, and it comes back in the same row when it is put again.

    Parameters
    ----------
    items
        The first items.
    limit
        Rows at most, removed items included; 1 or more.

    Examples
    --------
    >>> catalog = Catalog([Item(id="a", price=5.0), Item(id="b", stock=0)])
    >>> len(catalog), catalog.row("b"), catalog.showable().tolist()
    (2, 1, [0])
    >>> catalog.columns["item.price"].tolist()
    [5.0, nan]
    """

    def __init__(self, items: Iterable[Item] = (), *, limit: int = ITEMS_MAX) -> None:
        self.version = 0
        self.limit = limit
        self._ids: list[str] = []
        self._items: list[Item | None] = []
        self._rows: dict[str, int] = {}
        self._living = 0
        self._changes = Changes()
        self._shown: NDArray[np.bool_] = np.zeros(16, np.bool_)
        self._showable: tuple[int, Rows] = (-1, np.zeros(0, np.intp))
        self._newest: tuple[int, NDArray[np.float64]] = (-1, np.zeros(0))
        self._categories = _Categories(self._items, self._changes)
        self.columns = Columns(self._items, self._changes)
        self.attributes = Attributes(self._items, self._changes)
        self.put(items)

    def __len__(self) -> int:
        """Return how many items there are (removed ones are not counted; see `rows`)."""
        return self._living

    def __contains__(self, item_id: object) -> bool:
        return isinstance(item_id, str) and self.row(item_id) is not None

    @property
    def rows(self) -> int:
        """How many rows there are, those of removed items included: the length of every column."""
        return len(self._ids)

    @property
    def ids(self) -> Sequence[str]:
        """Item ids by row, removed items included. Rows are only ever added at the end."""
        return self._ids

    def row(self, item_id: str) -> int | None:
        """Return the row of a living item, or None."""
        row = self._rows.get(item_id)
        return None if row is None or self._items[row] is None else row

    def last_row(self, item_id: str) -> int | None:
        """Return the row that an item has or had, or None when it never was in the catalog."""
        return self._rows.get(item_id)

    def item(self, item_id: str) -> Item | None:
        """Return a living item, or None."""
        row = self._rows.get(item_id)
        return None if row is None else self._items[row]

    def item_at(self, row: int) -> Item | None:
        """Return the item of a row; None when it was removed."""
        return self._items[row]

    def items(self) -> list[Item]:
        """Return the living items in row order."""
        return [item for item in self._items if item is not None]

    def put(self, items: Iterable[Item]) -> int:
        """Add items or replace them by id; return how many are new or differ from what was there.

        Raises
        ------
        TooLarge
            There would be more rows than `limit`; nothing is put.
        """
        items = list(items)
        added = len({item.id for item in items if item.id not in self._rows})
        if self.rows + added > self.limit:
            raise TooLarge(
                f"the catalog holds {self.rows} rows and at most {self.limit}; {added} more do not fit: "
                "remove what is no longer sold and restart, or raise the limit"
            )
        changed = sum(self._put(item) for item in items)
        self.version += changed > 0
        return changed

    def remove(self, ids: Iterable[str]) -> int:
        """Remove items by id; return how many were there."""
        removed = 0
        for item_id in ids:
            row = self.row(item_id)
            if row is not None:
                self._items[row] = None
                self._living -= 1
                self._shown[row] = False
                self._changes.add(row, self.rows)
                removed += 1
        self.version += removed > 0
        return removed

    def showable(self) -> Rows:
        """Return the rows that may be shown: not removed, not hidden, not out of stock."""
        if self._showable[0] != self.version:
            self._showable = (self.version, np.flatnonzero(self._shown[: self.rows]))
        return self._showable[1]

    def is_showable(self, rows: Rows) -> NDArray[np.bool_]:
        """Return, for each of some rows, whether it may be shown."""
        return self._shown[rows]

    def category_rows(self, category: str) -> Rows:
        """Return the showable rows whose item has `category` among its categories."""
        rows = self._categories.rows(category)
        return rows[self._shown[rows]]

    def newest(self) -> NDArray[np.float64]:
        """Return how new each row is, 0 (oldest) to 1, shape (rows,): by `created`, then by row where all are alike."""
        if self._newest[0] != self.version:
            created = np.nan_to_num(np.asarray(self.columns["item.created"], np.float64))
            oldest = created.min(initial=0.0 if not self._living else created.max(initial=0.0))
            span = created.max(initial=0.0) - oldest
            place = np.arange(self.rows) / max(1, self.rows)
            age = (created - oldest) / span if span > 0 else place
            self._newest = (self.version, age * (1 - 1e-6) + place * 1e-6)
        return self._newest[1]

    def _put(self, item: Item) -> bool:
        row = self._rows.get(item.id)
        if row is None:
            row = self._append(item)
        elif self._items[row] == item:
            return False
        else:
            self._living += self._items[row] is None
            self._items[row] = item
        self._shown[row] = not item.hidden and (item.stock is None or item.stock > 0)
        self._changes.add(row, self.rows)
        return True

    def _append(self, item: Item) -> int:
        row = len(self._ids)
        self._rows[item.id] = row
        self._ids.append(item.id)
        self._items.append(item)
        self._living += 1
        if row >= len(self._shown):
            self._shown = np.concatenate([self._shown, np.zeros(len(self._shown), np.bool_)])
        return row


class _Categories:
    """Rows by category, mended by the rows that changed; categories that no row has are let go."""

    def __init__(self, items: Sequence[Item | None], changes: Changes) -> None:
        self._items = items
        self._changes = changes
        self._mark: Mark = BEGINNING
        self._members: dict[str, set[int]] = {}
        self._of: dict[int, tuple[str, ...]] = {}
        self._sorted: dict[str, Rows] = {}

    def rows(self, category: str) -> Rows:
        if self._mark != self._changes.mark:
            self._refresh()
        rows = self._sorted.get(category)
        if rows is None:
            members = self._members.get(category, ())
            rows = np.fromiter(members, np.intp, len(members))
            rows.sort()
            if members:
                self._sorted[category] = rows
        return rows

    def _refresh(self) -> None:
        changed = self._changes.since(self._mark)
        for row in range(len(self._items)) if changed is None else changed:
            item = self._items[row]
            now = () if item is None else item.categories
            before = self._of.get(row, ())
            if now != before:
                self._move(row, before, now)
        self._mark = self._changes.mark

    def _move(self, row: int, before: tuple[str, ...], now: tuple[str, ...]) -> None:
        for name in before:
            members = self._members.get(name, set())
            members.discard(row)
            if not members:
                self._members.pop(name, None)
            self._sorted.pop(name, None)
        for name in now:
            self._members.setdefault(name, set()).add(row)
            self._sorted.pop(name, None)
        self._of[row] = now
