"""History counted in what definitions newly declare, a few events at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from bespeak.clock import Duration, Instant
from bespeak.conditions.aggregates import Feeds
from bespeak.conditions.states import State
from bespeak.engine.live import LiveTable
from bespeak.engine.records import EventRecord, SealedRecord, decode, open_event
from bespeak.engine.vault import Vault
from bespeak.events import Event
from bespeak.ids import ProfileId
from bespeak.profiles import SILENT, Profile, Resolved, Unresolved, canonical, names_of
from bespeak.stores import Store


class Newest:
    """The newest event time of everybody, at each place of the log: two ids are one from the event that names both."""

    def __init__(self) -> None:
        self._parent: dict[ProfileId, ProfileId] = {}
        self._time: dict[ProfileId, Instant] = {}

    def of(self, names: Sequence[ProfileId]) -> Instant:
        """Return the newest time of whom the names mean; from now on they mean one."""
        roots = {self._root(name) for name in names}
        root = min(roots)
        time = max(self._time.pop(one, 0) for one in roots)
        for one in roots - {root}:
            self._parent[one] = root
        self._time[root] = time
        return time

    def note(self, names: Sequence[ProfileId], time: Instant) -> None:
        """Take in the time of an event about them."""
        root = self._root(names[0])
        self._time[root] = max(time, self._time.get(root, 0))

    def _root(self, name: ProfileId) -> ProfileId:
        root = name
        while (above := self._parent.get(root)) is not None:
            root = above
        while name != root:
            self._parent[name], name = root, self._parent[name]
        return root


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
    """

    def __init__(self, store: Store, vault: Vault, known: Known, feeds: Feeds, *, upto: int, delay: Duration) -> None:
        self._store = store
        self._vault = vault
        self._known = known
        self._feeds = feeds
        self.upto = upto
        self._delay = delay
        self._states: dict[ProfileId, dict[str, State]] = {}
        self._reading = self._read()
        self.has_work = bool(feeds.keys) and upto > 0

    def read(self, most: int | None = None) -> bool:
        """Read at most `most` records (None: all that are left), and say whether more are left."""
        if not self.has_work:
            return False
        done = sum(1 for _ in itertools.islice(self._reading, most))
        return most is not None and done == most

    def give(self, profile: Profile) -> None:
        """Put what history has counted into a profile, in the place of what a deleted definition may have left."""
        for name in self._feeds.keys:
            profile.aggregates.pop(name, None)
        profile.aggregates.update(self._states.pop(profile.id, {}))

    def _read(self) -> Iterator[None]:
        newest = Newest()
        for event in self._events():
            if event is not None:
                self._count(event, newest)
            yield

    def _count(self, event: Event, newest: Newest) -> None:
        resolved = self._known.whose(event)
        held = self._known.live.get(resolved.profile) if isinstance(resolved, Resolved) else None
        if held is None:
            return
        names = [name for name in names_of(event) if canonical(name, self._known.aliases) == held.id]
        states = self._states.setdefault(held.id, {})
        self._feeds.update(states, event, newest=newest.of(names), delay=self._delay)
        if event.name not in SILENT:
            newest.note(names, event.time)

    def _events(self) -> Iterator[Event | None]:
        for row in self._store.read(0):
            for offset, record in decode(row, after=0):
                if offset > self.upto:
                    return
                opened = None
                if isinstance(record, SealedRecord | EventRecord):
                    opened = open_event(self._vault, record, offset)
                yield opened[0] if opened is not None else None
