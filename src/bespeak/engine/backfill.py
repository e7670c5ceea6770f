"""History counted in what definitions newly declare, a few events at a time, in the order of the log."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Protocol

from bespeak.catalog import Item
from bespeak.conditions.counting.aggregates import Feeds, State, merge
from bespeak.engine.archive_goods import first_items
from bespeak.engine.counted import Counted, History
from bespeak.engine.past import Archived, Past
from bespeak.engine.records import EventRecord, ItemsRecord, Record, SealedRecord, decode, open_event
from bespeak.engine.vault import Vault
from bespeak.events import Event
from bespeak.ids import ProfileId, user_profile
from bespeak.profiles import SILENT, ItemValues, Profile, Resolved, canonical, leaves_unknown, names_of, resolve
from bespeak.settings import Settings
from bespeak.stores import Store

ROWS = 16
"""Rows of the log read at once; no read of the store stays open while others work."""

_NOBODY: Mapping[ProfileId, ProfileId] = {}
_NOTHING: Mapping[str, Item] = {}


class Known(Protocol):
    """Who is who, for logs that do not say whom an event joined."""

    @property
    def aliases(self) -> Mapping[ProfileId, ProfileId]:
        """Ids that resolve to another."""
        ...


class Backfill:
    """The states of aggregates by person, as if they had been declared from the beginning.

    It changes nobody: `give` puts into a profile what belongs there. Who was who at each place of the log is what the
    log says there, and not what is known now: an event keeps whom it joined. So what is counted is a function of the
    log up to `offset` alone, whatever comes in, or is merged, meanwhile; and it is that of the fold, event by event.

    Where something could not be read, `read` goes on with the event that it came to, the next time: an event is counted
    as a whole, or not at all.

    Parameters
    ----------
    feeds
        What is newly declared.
    settings
        Whose events are taken to be, and how late one may be to count in windows.
    wanted
        Says of a person whether they are counted for; None for everybody.
    folder
        Where what does not fit into RAM is put aside; None: nowhere.
    past
        What the log has dropped; None: nothing that is anywhere.
    """

    def __init__(
        self,
        store: Store,
        vault: Vault,
        known: Known,
        feeds: Feeds,
        settings: Settings,
        *,
        wanted: Callable[[ProfileId], bool] | None = None,
        folder: Path | None = None,
        past: Past | None = None,
    ) -> None:
        self._store = store
        self._vault = vault
        self._known = known
        self._items: dict[str, Item | None] = {}
        self._first_items: Mapping[str, Item] | None = None if store.dropped() else _NOTHING
        self._feeds = feeds.reading(ItemValues(self._item))
        self._identity = settings.identity
        self._delay = settings.profiles.delay
        self._wanted = wanted
        self._counted = Counted(folder)
        self._given = feeds.keys
        self._past = past
        self._begins_first = not store.dropped() or (past is not None and past.begins_first)
        self._erased: set[ProfileId] = set()
        self._records: deque[tuple[int, Record | Archived]] = deque()
        self.offset = 0
        self.depends = 0
        """The last offset that what is counted depends on: of an event that was read, or of an erasure."""

    @property
    def has_work(self) -> bool:
        """Whether there is something to count, and a log to count it in."""
        return bool(self._given) and self.offset > 0

    @property
    def counted(self) -> tuple[str, ...]:
        """Names of the aggregates that it counts history in."""
        return self._given

    def covers(self, feeds: Feeds) -> bool:
        """Say whether history is counted in all that these feeds maintain."""
        return self._feeds.covers(feeds)

    def narrow(self, feeds: Feeds) -> None:
        """Give what these feeds maintain and no more: the rest is in force already, or is not asked for any more."""
        self._given = feeds.keys

    def read(self, upto: int, most: int | None = None) -> bool:
        """Read at most `most` records (None: all) of those up to a durable offset, and say whether more are left."""
        if not self._feeds.keys:
            self.offset = max(upto, self.offset)
        left = most
        while self.offset < upto and left != 0:
            if not self._records and not self._fetch(upto):
                break
            offset, record = self._records[0]
            if offset > upto:  # what lies between is not there any more
                self.offset = upto
                break
            if offset > self.offset:
                self._take(record, offset)
                self.offset = offset
            self._records.popleft()
            left = None if left is None else left - 1
        return self.offset < upto

    def follow(self, events: Iterable[tuple[int, Event | ItemsRecord, ProfileId]], upto: int) -> None:
        """Take in what came behind the last record that was read, with its offsets, up to an offset."""
        for offset, event, joined in events:
            if offset > self.offset and self._feeds.keys:
                if isinstance(event, ItemsRecord):
                    self._note_items(event)
                else:
                    self._count(event, joined)
                self.offset = self.depends = offset
        self.offset = max(upto, self.offset)

    def give(self, profile: Profile) -> None:
        """Put what history has counted into a profile, in the place of what a deleted definition may have left."""
        if not self._given:
            return
        states = self._states_of(profile)
        for name in self._given:
            profile.aggregates.pop(name, None)
            if name in states:
                profile.aggregates[name] = states[name]

    def _states_of(self, profile: Profile) -> dict[str, State]:
        """Return what is counted of somebody; whom they took in before the log begins is not said in it."""
        found = [(name, self._counted.get(name)) for name in (profile.id, *profile.aliases)]
        states: dict[str, State] = {}
        for name, history in found:
            self._counted.take(name)
            if history is None or history.into:
                continue
            if states:
                merge(states, history.states)
            else:
                states = history.states
        return states

    def forget(self, ids: Iterable[ProfileId], offset: int) -> None:
        """Drop what is counted of a person who is erased by the record of an offset; their events do not open now."""
        for one in ids:
            self._counted.drop(one)
        if self._past is not None and self.offset < self._past.upto:
            self._erased.update(ids)  # the file that is open has them
        self.depends = max(offset, self.depends)

    def close(self) -> None:
        """Let go of what was counted, also of what is on disk; idempotent."""
        self._counted.close()
        self._records.clear()
        if self._past is not None:
            self._past.close()

    @property
    def is_in_the_past(self) -> bool:
        """Whether what comes next is to be fetched from the archive, which takes long."""
        past = self._past
        return past is not None and bool(self._feeds.keys) and not self._records and self.offset < past.upto

    def fetch_past(self) -> None:
        """Fetch what comes next from the archive; nothing else is done meanwhile, but in any thread.

        Raises
        ------
        StoreError
            It cannot be read now.
        Damaged
            A file of the archive is not what was written.
        """
        if self._past is None:
            return
        if self._first_items is None and any("item." in name for name in self._feeds.keys):
            self._first_items = first_items(self._store)
        found = self._past.fetch(self.offset)
        self._records.extend((one[0], one) for one in found)
        if not found:
            self.offset = max(self.offset, self._past.upto)
            self._past.close()

    def _fetch(self, upto: int) -> bool:
        """Read the next rows; False where no record is left up to an offset: a gap has none."""
        if self.is_in_the_past:
            self.fetch_past()
        while self.offset < upto and not self._records:
            rows = list(islice(self._store.read(self.offset), ROWS))
            self._records.extend(pair for row in rows for pair in decode(row, after=self.offset))
            if not self._records:
                self.offset = min(upto, rows[-1].first + rows[-1].count - 1) if rows else upto
        return bool(self._records)

    def _take(self, record: Record | Archived, offset: int) -> None:
        if isinstance(record, tuple):
            _, event, joined = record
            if self.about(event) not in self._erased:
                self._count(event, joined)
        elif isinstance(record, SealedRecord | EventRecord):
            opened = open_event(self._vault, record, offset)
            if opened is not None:
                self._count(*opened)
        elif isinstance(record, ItemsRecord):
            self._note_items(record)
        self.depends = offset

    def _note_items(self, record: ItemsRecord) -> None:
        """Change the catalog as a record says: what comes behind it speaks of the items as they are then."""
        self._items.update({item.id: item for item in record.put})
        self._items.update(dict.fromkeys(record.removed))

    def _item(self, item_id: str) -> Item | None:
        """Return an item as it was; where the log has dropped that, as the oldest snapshot has it."""
        if item_id in self._items:
            return self._items[item_id]
        if self._first_items is None:
            self._first_items = first_items(self._store)
        return self._first_items.get(item_id)

    def _count(self, event: Event, joined: ProfileId | None) -> None:
        name = self.about(event)
        if not name:
            return
        if self._wanted is not None and not self._wanted(canonical(name, self._known.aliases)):
            return
        if joined:
            self._join(user_profile(event.user_id or ""), joined)
        elif joined is None:
            name = self._as_known(event, name)
        name, history = self._whose(name)
        if history is None:
            if leaves_unknown(event) and self._begins_first:
                return  # nobody is known yet, and nobody is made of it
            history = self._counted.put(name, History())
        self._feeds.update(history.states, event, newest=history.newest, delay=self._delay)
        if event.time > history.newest and event.name not in SILENT:
            history.newest = event.time

    def about(self, event: Event) -> ProfileId:
        """Return the id that an event is taken to be about; empty when it is about nobody."""
        resolved = resolve(event, _NOBODY, self._identity, signed=event.signed)
        return resolved.profile if isinstance(resolved, Resolved) else ""

    def _whose(self, name: ProfileId) -> tuple[ProfileId, History | None]:
        """Return the person whom an id means at this place of the log, and what is counted of them."""
        history = self._counted.get(name)
        while history is not None and history.into:
            name = history.into
            history = self._counted.get(name)
        return name, history

    def _join(self, name: ProfileId, joined: ProfileId) -> None:
        into, history = self._whose(name)
        if into == joined:
            return
        if history is None:
            history = self._counted.put(into, History())
        other = self._counted.get(joined)
        self._counted.put(joined, History(into=into))  # from here on nothing fails
        if other is not None and not other.into:
            merge(history.states, other.states)
            history.newest = max(history.newest, other.newest)

    def _as_known(self, event: Event, name: ProfileId) -> ProfileId:
        """Join whom an event names as they are known now: a log that is older than keys does not say it."""
        aliases = self._known.aliases
        person = canonical(name, aliases)
        for one in names_of(event):
            held = self._counted.get(one)
            if one != person and canonical(one, aliases) == person and (held is None or not held.into):
                self._join(person, one)
        return person
