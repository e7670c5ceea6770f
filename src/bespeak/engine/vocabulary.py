"""The names that an editor offers: of events, properties, traits and lists seen lately, and of what is defined.

Nothing is noted while events are folded: the newest part of the log is read when names are asked for. So a name is
known while it is among the newest events, or was when they were asked for before, since the start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, cast

from bespeak.computed import RfmPlan
from bespeak.conditions import Unknown, Vocabulary, unknown
from bespeak.conditions.asking.grades import CELLS
from bespeak.engine.definitions import Definition
from bespeak.engine.records import EventRecord, SealedRecord, decode, open_event
from bespeak.engine.site import Registry, conditions_in, load
from bespeak.engine.vault import Vault
from bespeak.events import Event
from bespeak.events.vocabulary import LIST_JOINED, OUR_SOURCE
from bespeak.profiles import Profile
from bespeak.stores import Store

NEWEST = 2_000
"""Records of the log that are read for their names: some fifty milliseconds."""

READ_AT_ONCE = 200
"""Records that are read before others have their turn."""

PEOPLE = 500
"""People in RAM whose traits are looked at."""

EVENTS_MAX = 1_000
NAMES_MAX = 300
"""Names that are kept: of events, and of properties of each, or of traits."""

DEPTH = 3
"""How deep into properties that hold others; deeper ones are named by nobody."""

_CELLS = tuple(dict.fromkeys(name for row in reversed(CELLS) for name in reversed(row)))


class Seen:
    """Names seen in events, by event; those of traits and lists. The first ones stay where there are too many.

    Examples
    --------
    >>> seen = Seen()
    >>> seen.note_properties("Product Viewed", {"product_id": "p1", "store": {"city": "Wien"}})
    >>> seen.events
    {'Product Viewed': {'product_id': None, 'store': None, 'store.city': None}}
    """

    def __init__(self) -> None:
        self.events: dict[str, dict[str, None]] = {}
        self.traits: dict[str, None] = {}
        self.lists: dict[str, None] = {}
        self._upto = 0

    async def read(self, store: Store, vault: Vault, upto: int) -> None:
        """Take in the names of the newest events up to an offset; those read before are not read again.

        Raises
        ------
        StoreError
            The store could not be read.
        """
        after = max(self._upto, upto - NEWEST, store.dropped())
        if after >= upto:
            return
        rows = [row for row in store.read(after) if row.first <= upto]
        records = (found for row in rows for found in decode(row, after=after))
        while some := list(islice(records, READ_AT_ONCE)):
            for offset, record in some:
                opened = open_event(vault, record, offset) if isinstance(record, SealedRecord | EventRecord) else None
                if opened is not None:
                    self.note(opened[0])
            await asyncio.sleep(0)
        self._upto = max(self._upto, upto)

    def note(self, event: Event) -> None:
        """Take in the names of one event."""
        if event.type == "identify":
            _note(self.traits, event.properties)
        traits: object = event.context.get("traits")
        if isinstance(traits, Mapping):
            _note(self.traits, cast("Mapping[str, Any]", traits))
        if event.name == LIST_JOINED and event.source == OUR_SOURCE:
            _note(self.lists, {str(event.properties.get("list")): None})
        self.note_properties(event.name, event.properties)

    def note_properties(self, name: str, properties: Mapping[str, Any]) -> None:
        """Take in an event's name, and those of its properties."""
        held = self.events.get(name)
        if held is None:
            if len(self.events) >= EVENTS_MAX:
                return
            held = self.events[name] = {}
        _note(held, properties)

    def note_people(self, profiles: Iterable[Profile]) -> None:
        """Take in the names of traits of some people, and of the lists that they are on."""
        for profile in islice(profiles, PEOPLE):
            for name in profile.traits:
                if len(self.traits) < NAMES_MAX:
                    self.traits[name] = None
            _note(self.lists, profile.lists)

    def vocabulary(self, registry: Registry) -> Vocabulary:
        """Return what was seen, and the segments, computed traits and scores there are."""
        defined = registry.site.segments
        cells = {f"computed.{one.id}.cell": _CELLS for one in defined.traits if isinstance(one.value, RfmPlan)}
        bands = {f"scores.{one.id}.band": tuple(name for _, name in one.bands) for one in defined.scores if one.bands}
        return Vocabulary(
            {name: tuple(held) for name, held in self.events.items()},
            tuple(self.traits),
            tuple(one.id for one in defined.all()),
            tuple(path for path in defined.operands if path.startswith("computed.")),
            tuple(path for path in defined.operands if path.startswith("scores.")),
            tuple(self.lists),
            cells | bands,
        )


def unseen_in(definition: Definition, known: Vocabulary) -> tuple[Unknown, ...]:
    """Return the names of events, properties and traits that a definition asks for and nobody has sent, each once.

    Where no event was seen at all nothing can be said, nor of traits where none was seen.
    """
    if not known.events:
        return ()
    found = dict.fromkeys(one for each in conditions_in(load(definition)) for one in unknown(each, known))
    sent = {"event", "property", "trait"} if known.traits else {"event", "property"}
    return tuple(one for one in found if one.kind in sent)


def _note(held: dict[str, None], properties: Mapping[str, Any]) -> None:
    for name in _paths(properties, "", DEPTH):
        if len(held) >= NAMES_MAX:
            return
        held[name] = None


def _paths(properties: Mapping[str, Any], before: str, deep: int) -> Iterator[str]:
    for name, value in islice(properties.items(), NAMES_MAX):
        yield before + name
        if deep > 1 and isinstance(value, Mapping):
            yield from _paths(cast("Mapping[str, Any]", value), f"{before}{name}.", deep - 1)
