"""History counted in what definitions newly declare, a few events at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from bespeak.catalog import Item
from bespeak.clock import Duration
from bespeak.conditions.aggregates import Feeds
from bespeak.engine.counted import Counted, History
from bespeak.engine.live import LiveTable
from bespeak.engine.records import EventRecord, ItemsRecord, SealedRecord, decode, open_event, subject_of
from bespeak.engine.vault import Vault
from bespeak.events import Event
from bespeak.ids import ProfileId
from bespeak.profiles import SILENT, ItemValues, Profile, Resolved, Unresolved, canonical, leaves_unknown, names_of
from bespeak.stores import Store


class Known(Protocol):
    """Who is who, while history is read."""

    live: LiveTable

    @property
    def aliases(self) -> Mapping[ProfileId, ProfileId]:
        """Ids that resolve to another."""
        ...

    def whose(self, event: Event) -> Resolved | Unresolved:
        """Look up whose event it is."""
        ...


class Backfill:
    """The states of aggregates by person, as if they had been declared from the beginning.

    It changes nobody: `give` puts into a profile what belongs there. Who is who must stay as it is until the log has
    been read to the end; so no event may be folded meanwhile.

    Parameters
    ----------
    feeds
        What is newly declared.
    upto
        The log's offset up to which history is read.
    delay
        How late an event may be to count in windows.
    asks_all
        Whether everybody is asked later; else only whom the live table owes it are counted for.
    folder
        Where what does not fit into RAM is put aside; None: nowhere.
    """

    def __init__(
        self,
        store: Store,
        vault: Vault,
        known: Known,
        feeds: Feeds,
        *,
        upto: int,
        delay: Duration,
        asks_all: bool = True,
        folder: Path | None = None,
    ) -> None:
        self._store = store
        self._vault = vault
        self._known = known
        self._items: dict[str, Item] = {}
        self._feeds = feeds.reading(ItemValues(self._items.get))
        self.upto = upto
        self._delay = delay
        self._asks_all = asks_all
        self._counted = Counted(folder)
        self._reading = self._read()
        self.has_work = bool(feeds.keys) and upto > 0

    def read(self, most: int | None = None) -> bool:
        """Read at most `most` records (None: all that are left), and say whether more are left."""
        if not self.has_work:
            return False
        done = sum(1 for _ in itertools.islice(self._reading, most))
        return most is not None and done == most

    @property
    def counted(self) -> tuple[str, ...]:
        """Names of the aggregates that it counts history in."""
        return self._feeds.keys

    def give(self, profile: Profile) -> None:
        """Put what history has counted into a profile, in the place of what a deleted definition may have left."""
        history = self._counted.take(profile.id)
        for name in self._feeds.keys:
            profile.aggregates.pop(name, None)
        states = {} if history is None else history.states
        profile.aggregates.update(states)

    def _read(self) -> Iterator[None]:
        for opened in self._events():
            if opened is not None:
                self._count(*opened)
            yield

    def _count(self, event: Event, joined: ProfileId | None) -> None:
        resolved = self._known.whose(event)
        history = self._history(resolved.profile) if isinstance(resolved, Resolved) else None
        if history is None or not isinstance(resolved, Resolved):
            return
        names = self._names(event, resolved, joined)
        newest = history.newest(names)
        if leaves_unknown(event) and not (joined or history.knows(names)):
            return  # what we did to somebody who had done nothing yet is of nobody
        history.meet(names)
        self._feeds.update(history.states, event, newest=newest, delay=self._delay)
        if event.name not in SILENT:
            history.note(names, event.time)

    def _names(self, event: Event, resolved: Resolved, joined: ProfileId | None) -> list[ProfileId]:
        """Return the ids that are one person's from this event on: whose it is, and whom it took in, as the log says.

        In a log that is older than that, every id that it names and that is theirs by now.
        """
        named = names_of(event) if joined is None else (subject_of(event, resolved), *([joined] if joined else []))
        return [name for name in named if canonical(name, self._known.aliases) == resolved.profile]

    def close(self) -> None:
        """Let go of what was counted, also of what is on disk; idempotent."""
        self._counted.close()

    def _history(self, profile_id: ProfileId) -> History | None:
        """Return what is counted of somebody; None for who is not there, or waits for nothing. Nobody is woken."""
        held = self._counted.get(profile_id)
        if held is not None:
            return held
        live = self._known.live
        is_counted = (self._asks_all or live.owes(profile_id)) and live.knows(profile_id)
        return self._counted.put(profile_id, History()) if is_counted else None

    def _events(self) -> Iterator[tuple[Event, ProfileId | None] | None]:
        for row in self._store.read(0):
            for offset, record in decode(row, after=0):
                if offset > self.upto:
                    return
                if isinstance(record, ItemsRecord):  # an event speaks of the items as they were then
                    self._items.update({item.id: item for item in record.put})
                    for item_id in record.removed:
                        self._items.pop(item_id, None)
                is_event = isinstance(record, SealedRecord | EventRecord)
                yield open_event(self._vault, record, offset) if is_event else None
