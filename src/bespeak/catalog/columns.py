"""The catalog by column, for conditions that are evaluated over every item at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from bespeak.catalog.changes import BEGINNING, Changes, Mark
from bespeak.catalog.item import Item

Column: TypeAlias = NDArray[np.float64] | NDArray[np.bool_] | NDArray[np.object_]
"""Numbers (NaN is missing), booleans, or objects: strings, tuples of strings, anything (None is missing)."""

COLUMNS_MAX = 300
"""Columns kept; when one more is asked for, all are let go and made again as they are asked for."""

Read: TypeAlias = Callable[[Item], object]

_PROPERTIES = "item.properties."
_NAN = math.nan
_FIELDS: dict[str, tuple[str, Read]] = {
    "item.id": ("O", lambda item: item.id),
    "item.title": ("O", lambda item: item.title),
    "item.url": ("O", lambda item: item.url),
    "item.image": ("O", lambda item: item.image),
    "item.categories": ("O", lambda item: item.categories),
    "item.tags": ("O", lambda item: item.tags),
    "item.brand": ("O", lambda item: item.brand),
    "item.price": ("d", lambda item: item.price),
    "item.stock": ("d", lambda item: item.stock),
    "item.hidden": ("?", lambda item: item.hidden),
    "item.created": ("d", lambda item: item.created),
}
_GONE: dict[str, object] = {"O": None, "d": _NAN, "?": True}
"""What a row holds whose item was removed: nothing, and hidden."""


class Columns(Mapping[str, Column]):
    """Columns by path (`item.price`, `item.properties.colour`), made when first asked for, mended after changes.

    Every column has one value a row, shape (catalog.rows,). A removed item's row holds None or NaN, and
    True in `item.hidden`. A property's column is float64 when each value is a number or missing, else of objects. Any
    `item.properties.X` is a key, also when no item has it (all missing); another path is a KeyError.
    The arrays are read-only and live: they hold until the catalog next changes.
    """

    def __init__(self, items: Sequence[Item | None], changes: Changes) -> None:
        self._items = items
        self._changes = changes
        self._made: dict[str, _Made] = {}

    def __getitem__(self, path: str, /) -> Column:
        made = self._made.get(path)
        if made is None:
            made = self._make(path)
        if made.mark != self._changes.mark:
            if not made.mend(self._items, self._changes.since(made.mark)):
                made = self._remake(path)
            made.mark = self._changes.mark
        return made.view

    def __iter__(self) -> Iterator[str]:
        yield from _FIELDS
        names: dict[str, None] = {}
        for item in self._items:
            if item is not None:
                names.update(dict.fromkeys(item.properties))
        yield from (_PROPERTIES + name for name in names)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _make(self, path: str) -> _Made:
        if len(self._made) >= COLUMNS_MAX:
            self._made.clear()
        return self._remake(path)

    def _remake(self, path: str) -> _Made:
        if path in _FIELDS:
            kind, read = _FIELDS[path]
        elif path.startswith(_PROPERTIES):
            read = _reader(path.removeprefix(_PROPERTIES))
            kind = _kind(read(item) for item in self._items if item is not None)
        else:
            raise KeyError(path)
        made = _Made(kind, read)
        made.fill(self._items)
        made.mark = self._changes.mark
        self._made[path] = made
        return made


class _Made:
    """One column: an array with room to grow, and the view of it that readers get."""

    def __init__(self, kind: str, read: Read) -> None:
        self.kind = kind
        self.mark: Mark = BEGINNING
        self._read = read
        self._array: NDArray[Any] = np.empty(0, dtype=kind)
        self.view: Column = self._array

    def fill(self, items: Sequence[Item | None]) -> None:
        """Read every row."""
        gone = _GONE[self.kind]
        read = self._read
        values: Iterable[Any] = (gone if item is None else read(item) for item in items)
        if self.kind == "d":
            values = (_NAN if value is None else value for value in values)
        self._array = np.fromiter(values, dtype=self.kind, count=len(items))
        self._show(len(items))

    def mend(self, items: Sequence[Item | None], rows: Sequence[int] | None) -> bool:
        """Read the rows that changed; False when the column has to be made anew."""
        if rows is None:
            return False
        if len(items) > len(self._array):
            grown = np.full(max(16, len(items) * 5 // 4), _GONE[self.kind], dtype=self.kind)
            grown[: len(self._array)] = self._array
            self._array = grown
        for row in rows:
            item = items[row]
            value = _GONE[self.kind] if item is None else self._read(item)
            if self.kind == "d":
                if value is None:
                    value = _NAN
                elif not _is_number(value):
                    return False
            self._array[row] = value
        self._show(len(items))
        return True

    def _show(self, rows: int) -> None:
        self.view = self._array[:rows]
        self.view.flags.writeable = False


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _kind(values: Iterable[Any]) -> str:
    some = False
    for value in values:
        if value is None:
            continue
        if not _is_number(value):
            return "O"
        some = True
    return "d" if some else "O"


def _reader(dotted: str) -> Read:
    """Return what reads a property by its name, or a nested one by its dotted path; the plain name goes first."""
    parts = dotted.split(".")

    def read(item: Item) -> object:
        value: object = item.properties.get(dotted)
        if value is not None or len(parts) == 1:
            return value
        inner: object = item.properties
        for part in parts:
            inner = cast("dict[str, object]", inner).get(part) if isinstance(inner, dict) else None
        return inner

    return read
