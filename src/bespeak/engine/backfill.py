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
    asks_all
        Whether everybody is asked later; else only whom the live table owes it are counted for.
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
    ) -> None:
        self._store = store
        self._vault = vault
        self._known = known
        self._feeds = feeds
        self.upto = upto
        self._delay = delay
        self._asks_all = asks_all
        self._states: dict[ProfileId, dict[str, State]] = {}
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

    def give(self, profile: Profile) -> bool:
        """Put what history has counted into a profile, in the place of what a deleted definition may have left.

        Returns
        -------
        Whether there was either.
        """
        left = [name for name in self._feeds.keys if profile.aggregates.pop(name, None) is not None]
        states = self._states.pop(profile.id, {})
        profile.aggregates.update(states)
        return bool(left or states)

    def _read(self) -> Iterator[None]:
        newest = Newest()
        for event in self._events():
            if event is not None:
                self._count(event, newest)
            yield

    def _count(self, event: Event, newest: Newest) -> None:
        resolved = self._known.whose(event)
        if not isinstance(resolved, Resolved) or not self._is_counted(resolved.profile):
            return
        names = [name for name in names_of(event) if canonical(name, self._known.aliases) == resolved.profile]
        states = self._states.setdefault(resolved.profile, {})
        self._feeds.update(states, event, newest=newest.of(names), delay=self._delay)
        if event.name not in SILENT:
            newest.note(names, event.time)

    def _is_counted(self, profile_id: ProfileId) -> bool:
        """Say whether somebody is there, and waits to be asked; nobody is brought into RAM for it."""
        live = self._known.live
        return profile_id in self._states or ((self._asks_all or live.owes(profile_id)) and live.knows(profile_id))

    def _events(self) -> Iterator[Event | None]:
        for row in self._store.read(0):
            for offset, record in decode(row, after=0):
                if offset > self.upto:
                    return
                opened = None
                if isinstance(record, SealedRecord | EventRecord):
                    opened = open_event(self._vault, record, offset)
                yield opened[0] if opened is not None else None
