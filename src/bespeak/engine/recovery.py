"""Checkpoints and what is made of them at start: the state as of an offset, and the log since."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from bespeak.catalog import Catalog, Item
from bespeak.engine.models import Models
from bespeak.engine.records import Record, decode
from bespeak.engine.sequencer import Sequencer
from bespeak.engine.site import Registry
from bespeak.stores import Checkpoint, Document, Product, Store

STATE = "state"


class Totals(msgspec.Struct, frozen=True):
    """Fold products that are small: how many profiles there are, and how many members each segment has."""

    profiles: int = 0
    sizes: dict[str, int] = {}


class Cut(msgspec.Struct, frozen=True):
    """One checkpoint, with the documents that are true as of it."""

    checkpoint: Checkpoint
    documents: tuple[Document, ...]


def checkpoint(
    sequencer: Sequencer,
    registry: Registry,
    models: Models,
    items: Mapping[str, Item | None],
    offset: int,
    *,
    models_due: bool,
) -> Cut | None:
    """Gather what changed since the last checkpoint; None when nothing did.

    Parameters
    ----------
    items
        Items put (or removed: None) since the last checkpoint.
    offset
        The offset that everything folded so far includes.
    """
    documents = (*registry.changed(), *(_item_document(item_id, item, offset) for item_id, item in items.items()))
    aliases, sequencer.new_aliases = sequencer.new_aliases, {}
    rows, removed = sequencer.live.changed()
    products = models.products(offset, full=models_due)
    if not (rows or removed or aliases or documents or products):
        return None
    totals = Product(STATE, offset, msgspec.msgpack.encode(Totals(sequencer.profiles, sequencer.sizes)))
    return Cut(
        Checkpoint(offset=offset, profiles=rows, removed=removed, aliases=aliases, products=(totals, *products)),
        documents,
    )


def recover(
    store: Store,
    sequencer: Sequencer,
    registry: Registry,
    catalog: Catalog,
    models: Models,
    apply: Callable[[list[tuple[int, Record]]], None],
) -> None:
    """Load the checkpoint, then apply the log since, row by row; forgets whatever was in RAM before."""
    included = store.checkpoint_offset()
    sequencer.live.clear()
    sequencer.aliases = dict(store.aliases())
    sequencer.new_aliases = {}
    catalog.remove(tuple(catalog.ids))
    items = (document.data for document in store.documents("item"))
    catalog.put([msgspec.msgpack.decode(data, type=Item) for data in items if data is not None])
    registry.load(store)
    held = store.product(STATE)
    totals = msgspec.msgpack.decode(held.data, type=Totals) if held is not None else Totals()
    sequencer.restore(registry.site.segments, registry.site.aggregates, totals.sizes, totals.profiles)
    models.load(store)
    for row in store.read(included):
        apply(list(decode(row, after=included)))


def _item_document(item_id: str, item: Item | None, offset: int) -> Document:
    return Document("item", item_id, offset, None if item is None else msgspec.msgpack.encode(item))
