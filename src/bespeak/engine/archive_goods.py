"""What the catalog had at each place of the log, for questions of SQL that read the items of events.

Each change of the catalog is a record of the log. Where the log's beginning was dropped, the oldest snapshot says what
the catalog had then, and since when at most; what was there before nothing tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import msgspec

from bespeak.analytics.conditions_sql_goods import ALL_OTHERS, Goods
from bespeak.catalog import Item
from bespeak.engine.records import ItemsRecord, decode, encode
from bespeak.profiles.item_values import fields_of
from bespeak.stores import Document, Store, is_gap

_ITEMS: Final = encode([ItemsRecord((), (), 0)])[1:4]
"""How a record of items begins: rows without these bytes have none, and need not be decoded."""

_Change: TypeAlias = tuple[str, int, str | None]
"""An item, the offset from which on it is so, and what can be read of it; None where it was taken out."""


def goods_of(store: Store) -> Goods:
    """Return the catalog at every place of a log; it is read from its first row to its end.

    Raises
    ------
    CorruptLog
        The log does not hold what was written to it.
    """
    changes, dropped = list(_changes(store)), store.dropped()
    if not dropped:
        return Goods(changes)
    begins, known = _known(store, dropped)
    first: dict[str, int] = {}
    for item_id, offset, _ in changes:
        first.setdefault(item_id, offset)
    stay = {item_id: held for item_id, held in known.items() if first.get(item_id, begins + 1) > begins}
    return Goods(
        [*((item_id, 0, said) for item_id, (_, said) in stay.items()), *changes],
        [
            (ALL_OTHERS, dropped),
            *((item_id, min(since, dropped)) for item_id, (since, _) in stay.items()),
            # What became of these between the end of what was dropped and the snapshot is all that it says.
            *((item_id, offset - 1) for item_id, offset in first.items() if offset <= begins),
        ],
    )


def _changes(store: Store) -> Iterator[_Change]:
    """Yield each change of an item in the log, in its order."""
    for row in store.read(0):
        if is_gap(row) or _ITEMS not in row.payload:
            continue
        for offset, record in decode(row, after=0):
            if isinstance(record, ItemsRecord):
                changed = {**{item.id: _said(item) for item in record.put}, **dict.fromkeys(record.removed)}
                yield from ((item_id, offset, said) for item_id, said in changed.items())


def _known(store: Store, dropped: int) -> tuple[int, dict[str, tuple[int, str]]]:
    """Return the offset of the oldest snapshot that can be begun with, and by item since when it is, and what."""
    begins, documents = _oldest(store, dropped)
    return begins, {one.id: (one.version, _said(item)) for one in documents if (item := _item(one)) is not None}


def first_items(store: Store) -> dict[str, Item]:
    """Return the catalog as far back as a log without a beginning tells: as the oldest snapshot has it, by id."""
    documents = _oldest(store, store.dropped())[1]
    return {one.id: item for one in documents if (item := _item(one)) is not None}


def _oldest(store: Store, dropped: int) -> tuple[int, Iterable[Document]]:
    """Return the offset of the oldest snapshot that can be begun with, and its items."""
    for snapshot in store.snapshots():
        if snapshot.offset >= dropped:
            return snapshot.offset, store.kept_documents(snapshot.offset, "item")
    return dropped, ()


def _item(document: Document) -> Item | None:
    return None if document.data is None else msgspec.msgpack.decode(document.data, type=Item)


def _said(item: Item) -> str:
    return msgspec.json.encode(fields_of(item)).decode()
