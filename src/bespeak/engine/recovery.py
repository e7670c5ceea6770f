"""Checkpoints and what is made of them at start: the state as of an offset, and the log since."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

import msgspec

from bespeak.catalog import Catalog, Item
from bespeak.clock import Instant
from bespeak.engine.aliases import seal_alias
from bespeak.engine.encoded import decode_profile
from bespeak.engine.models import Models
from bespeak.engine.owing import read_owed
from bespeak.engine.records import Record, decode
from bespeak.engine.sequencer import Sequencer
from bespeak.engine.site import Registry
from bespeak.engine.vault import Vault
from bespeak.engine.writer import Writer
from bespeak.ids import ProfileId
from bespeak.stores import Checkpoint, Document, Product, ProfileRow, Store

STATE = "state"

OWED = "owed"
"""The name of the product that says who is left to ask about new definitions; it is empty when nobody is."""


class Totals(msgspec.Struct, frozen=True):
    """Fold products that are small: how many profiles there are, and how many members each segment has.

    `sealed` says that the checkpoint's profiles, aliases and products are; those of older stores are not. `worked` is
    the sequencer's: up to when timers may have changed what the checkpoint holds. `counted` is the offset up to which a
    new definition has counted history last. `zone` and `first_zone` are where people live who name no time zone, as of
    the checkpoint and at the log's beginning; empty in stores that do not say so yet: where the settings say. `changes`
    is the number up to which rows of changes say what the checkpoint holds; 0 in stores that do not say so yet.
    """

    profiles: int = 0
    sizes: dict[str, int] = {}
    sealed: bool = False
    worked: Instant = 0
    counted: int = 0
    zone: str = ""
    first_zone: str = ""
    changes: int = 0


class Cut(msgspec.Struct, frozen=True):
    """One checkpoint but for its profiles' rows, which the live table makes: `with_rows` puts them in.

    Parameters
    ----------
    documents
        Those that are true as of it.
    removed
        Profiles that are not in it any more, as the live table numbers their removals.
    asked
        Rows that it takes from the live table as they are, of people who were asked where they rest.
    changing
        Profiles whose rows it will have.
    changed
        Whether anything has, since the one before.
    aliases
        What the table of aliases is told once it is durable.
    changes
        The number up to which rows of changes say what it holds.
    """

    checkpoint: Checkpoint
    documents: tuple[Document, ...]
    removed: Mapping[ProfileId, int]
    asked: Mapping[str, ProfileRow]
    changing: frozenset[ProfileId]
    changed: bool
    aliases: int
    changes: int

    def with_rows(self, rows: tuple[ProfileRow, ...], *, cut: int = 0, parts: int = 0) -> Checkpoint:
        """Return the checkpoint with its last rows; `parts` of this `cut` are those before them."""
        return msgspec.structs.replace(self.checkpoint, profiles=rows, cut=cut, parts=parts)


class Cutting(msgspec.Struct, eq=False):
    """A checkpoint that is being made, who writes it, and what waits for it.

    Parameters
    ----------
    number
        Tells it from others that this process makes.
    parts
        How many parts of it have been handed to the writer.
    is_made
        Whether all its rows are.
    is_writing
        Whether a part is on its way to the disk.
    is_resting
        Whether nobody more is encoded until it is there.
    """

    writer: Writer
    future: asyncio.Future[None]
    cut: Cut
    number: int
    parts: int = 0
    is_made: bool = False
    is_writing: bool = False
    is_resting: bool = False


def checkpoint(
    sequencer: Sequencer,
    registry: Registry,
    models: Models,
    items: Mapping[str, Item | None],
    offset: int,
    vault: Vault,
    *,
    models_due: bool,
    forgotten: Iterable[ProfileId] = (),
) -> Cut:
    """Gather what changed since the last checkpoint; the rows of profiles are begun, and the live table's to end.

    Parameters
    ----------
    items
        Items put (or removed: None) since the last checkpoint.
    offset
        The offset that everything folded so far includes.
    forgotten
        Ids whose aliases go.
    """
    documents = (*registry.changed(), *(_item_document(item_id, item, offset) for item_id, item in items.items()))
    aliases = sequencer.aliases.changed()
    changing, asked = frozenset(sequencer.live.dirty), sequencer.live.asked
    removed = sequencer.live.begin_cut()
    products = (*models.products(offset, full=models_due), *_owed(sequencer, offset))
    changed = bool(changing or asked or removed or aliases or documents or products)
    totals = Totals(
        sequencer.profiles,
        sequencer.sizes,
        sealed=True,
        worked=sequencer.worked,
        counted=sequencer.counted,
        zone=sequencer.zone,
        first_zone=sequencer.first_zone,
        changes=sequencer.moves.included,
    )
    old, sequencer.plain = sequencer.plain, ()
    cut = Checkpoint(
        offset=offset,
        removed=(*(vault.name(profile_id) for profile_id in removed), *old),
        aliases={vault.name(alias): seal_alias(vault, alias, profile_id) for alias, profile_id in aliases.items()},
        unaliased=(*(vault.name(alias) for alias in forgotten), *old),
        products=(Product(STATE, offset, msgspec.msgpack.encode(totals)), *products),
    )
    return Cut(cut, documents, removed, asked, changing, changed, sequencer.aliases.mark(), totals.changes)


def _owed(sequencer: Sequencer, offset: int) -> tuple[Product, ...]:
    """Return what a checkpoint says of those who are left to ask, and that nobody is, where the one before said so."""
    owed, before = sequencer.owed(), sequencer.is_owed_on_disk
    sequencer.is_owed_on_disk = owed is not None
    return (Product(OWED, offset, owed or b""),) if owed is not None or before else ()


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
    held = store.product(STATE)
    totals = msgspec.msgpack.decode(held.data, type=Totals) if held is not None else Totals()
    sequencer.live.clear()
    sequencer.aliases.clear()
    sequencer.moved()
    sequencer.plain = ()
    sequencer.worked = totals.worked
    sequencer.moves.included = totals.changes
    sequencer.set_zone(totals.zone)
    sequencer.first_zone = totals.first_zone or sequencer.zone
    if not totals.sealed:
        _adopt(store, sequencer)
    catalog.remove(tuple(catalog.ids))
    items = (document.data for document in store.documents("item"))
    catalog.put([msgspec.msgpack.decode(data, type=Item) for data in items if data is not None])
    registry.load(store)
    sequencer.restore(registry.site.segments, registry.site.aggregates, totals.sizes, totals.profiles)
    sequencer.counted = totals.counted
    owed = store.product(OWED)
    sequencer.is_owed_on_disk = owed is not None and bool(owed.data)
    if owed is not None and owed.data:
        sequencer.begin_again(read_owed(owed.data), registry.site.aggregates)
    models.load(store, sealed=totals.sealed)
    for row in store.read(included):
        apply(list(decode(row, after=included)))
    sequencer.moved()  # was published when it was live


def _adopt(store: Store, sequencer: Sequencer) -> None:
    """Take over the checkpoint of a store that is older than keys; the next one replaces all of it."""
    ids: list[ProfileId] = []
    for row in store.profiles():
        sequencer.live.adopt(decode_profile(row.data))
        ids.append(row.id)
    aliases = store.aliases()
    for alias, profile_id in aliases.items():
        sequencer.aliases.put(alias, profile_id)
    sequencer.plain = (*ids, *aliases)


def _item_document(item_id: str, item: Item | None, offset: int) -> Document:
    return Document("item", item_id, offset, None if item is None else msgspec.msgpack.encode(item))
