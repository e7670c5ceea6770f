"""The live table: the profiles in RAM, within a bound; the others rest in the store, sealed and under a pseudonym."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from operator import itemgetter
from types import MappingProxyType
from typing import NamedTuple

from bespeak.clock import Instant
from bespeak.engine.encoded import Encoded, decode_profile, encode_profile, encoded, packed
from bespeak.engine.packing import pack_all, unpack
from bespeak.engine.vault import PROFILE, Vault
from bespeak.ids import ProfileId
from bespeak.privacy.sealing import Sealer
from bespeak.profiles import Profile, share
from bespeak.stores import ProfileRow, Store

ASKED_BYTES = 16_000_000
"""Rows of people who were asked where they rest, and are in no checkpoint yet; beyond it the next one is due."""

NAMES_A_PROFILE = 2
"""Names of rows remembered for each profile in RAM; beyond it those of who was let go are forgotten."""

READ_AT_ONCE = 500
"""Rows read from the store at once, to ask or to read everybody: some milliseconds."""

ENCODED_MAX = 8_000
"""People of a checkpoint who are encoded and not packed yet, of some 8 KB each; who comes then is packed at once."""


class Sleeper(NamedTuple):
    """Somebody as they rest, opened and not yet read: hundreds who are read together would not fit the caches."""

    data: bytes
    sealer: Sealer

    @property
    def name(self) -> str:
        """The name of their row."""
        return self.sealer.subject

    def read(self) -> Profile:
        """Return who it is; nobody else has what is read here."""
        return decode_profile(self.data)


class LiveTable:
    """Drafts by profile id. Only the sequencer changes them; `dirty` are those changed since the last checkpoint.

    In the store a profile stands under `vault.name` of its id, so that no identifier is on disk in clear.

    Two kinds of work on everybody are done a few at a time, between events, and yet as of one moment: the rows of a
    checkpoint (`begin_cut`), and new definitions (`owe`). Who is asked for before their turn has it then: whatever
    changes a profile has it from `get`, so nobody is changed before the work was done on them.

    Who rests in the store when their turn to be asked comes, or the time of a flip (`called`, `lay_down`), stays there:
    what they have come to is a sealed row, which the next checkpoint writes; who has come to nothing else by being
    asked is not written. So a checkpoint may fall into the asking, and says how far that is (`asked_up_to`).

    Parameters
    ----------
    bound
        Profiles kept in RAM. Clean ones are let go, the longest unused first; dirty ones stay until they are written.
    """

    def __init__(self, store: Store, vault: Vault, *, bound: int) -> None:
        self._store = store
        self._vault = vault
        self._bound = bound
        self._profiles: dict[ProfileId, Profile] = {}
        self._awake: dict[str, ProfileId] = {}
        self.dirty: set[ProfileId] = set()
        self.removed: dict[ProfileId, int] = {}
        self._removals = 0
        self._uncut: set[ProfileId] = set()
        self._encoded: deque[Encoded] = deque()
        self._packing: tuple[Encoded, ...] = ()
        self._rows: deque[ProfileRow | Encoded] = deque()
        self._owed: set[ProfileId] = set()
        self._pay: Callable[[Profile], None] | None = None
        self._waiting: Iterator[None] = iter(())
        self._asked_to = ""
        self._ahead: set[str] = set()
        self._asked: dict[str, ProfileRow] = {}
        self._asked_bytes = 0
        self._leaving: dict[str, ProfileRow] = {}

    def get(self, profile_id: ProfileId) -> Profile | None:
        """Return a profile, from RAM or the store."""
        profile = self._profiles.get(profile_id)
        if profile is None:
            return self._waken(profile_id)
        if self._uncut and profile_id in self._uncut:
            self._cut_one(profile)
        if self._owed and profile_id in self._owed:
            self._settle(profile)
        return profile

    def _waken(self, profile_id: ProfileId) -> Profile | None:
        self._owed.discard(profile_id)
        if profile_id in self.removed:
            return None
        name = self._vault.name(profile_id)
        row = self._row(name)
        sleeper = None if row is None else self._open(row)
        if sleeper is None:
            return None
        profile = sleeper.read()
        self._vault.note(profile_id, sleeper.sealer)
        share(profile)
        self._profiles[profile_id] = profile
        self._awake[name] = profile_id
        if name in self._asked:
            self._asked_bytes -= len(self._asked.pop(name).data)
            self.dirty.add(profile_id)
        if self._pay is not None and name > self._asked_to and name not in self._ahead:
            self._owed.add(profile_id)  # until they have had their turn, should that fail now
            self._settle(profile)
        return profile

    def _row(self, name: str) -> ProfileRow | None:
        """Return the newest row of who rests: in no checkpoint yet, on its way to the disk, or in the store."""
        return self._asked.get(name) or self._leaving.get(name) or self._store.profile(name)

    def find(self, profile_id: ProfileId) -> Profile | None:
        """Return a profile, from RAM or read anew from the store, which does not bring it into RAM."""
        profile = self._profiles.get(profile_id)
        if profile is not None or profile_id in self.removed:
            return profile
        row = self._row(self._vault.name(profile_id))
        return None if row is None else self._opened(row)

    def knows(self, profile_id: ProfileId) -> bool:
        """Say whether there is a profile, without reading it."""
        if profile_id in self._profiles or profile_id in self.removed:
            return profile_id in self._profiles
        return self._row(self._vault.name(profile_id)) is not None

    def called(self, names: Sequence[str]) -> Iterator[Profile | Sleeper | None]:
        """Yield for each name, an id or that of a row, whom it means: who rests stays asleep, and their row is opened.

        All who rest are looked up at once. None where there is nobody any more, or somebody who was yielded before.
        What the store does not answer comes out here, and not when a sleeper is read.
        """
        places = [self._place(name) for name in names]
        rows = self._rows_of([name for awake, name in places if awake is None])
        self._vault.fetch(row.data for row in rows.values())
        for awake, name in places:
            if awake is not None:
                yield self.get(awake)
            else:
                row = rows.pop(name, None)
                yield None if row is None else self._sleeping(row)

    def _place(self, name: str) -> tuple[ProfileId | None, str]:
        """Return the id of whom a name means if they are in RAM, and the name of their row if they are not."""
        if name[1:2] == ":":
            return (name, "") if name in self._profiles else (None, self._vault.name(name))
        awake = self._awake.get(name)
        return (awake, "") if awake is not None and awake in self._profiles else (None, name)

    def _rows_of(self, names: Sequence[str]) -> dict[str, ProfileRow]:
        """Return the newest rows of those who rest, as `_row`, all at once."""
        rows = {name: row for name in names if (row := self._asked.get(name) or self._leaving.get(name)) is not None}
        missing = [name for name in names if name not in rows]
        return rows | {row.id: row for row in self._store.profiles_named(missing)} if missing else rows

    def _sleeping(self, row: ProfileRow) -> Profile | Sleeper | None:
        """Open the row of who rests; who has to be asked something first is woken."""
        sleeper = self._open(row)
        return sleeper if sleeper is None or self._pay is None else self.get(sleeper.read().id)

    def rests(self, profile_id: ProfileId) -> bool:
        """Say whether somebody of whom there is a row is neither in RAM nor removed."""
        return profile_id not in self._profiles and profile_id not in self.removed

    def lay_down(self, sleeper: Sleeper, profile: Profile) -> None:
        """Let somebody rest as they are now; the next checkpoint writes them."""
        self._keep_asleep(self._row_under(sleeper.sealer, packed(encoded(profile))))

    def _keep_asleep(self, row: ProfileRow) -> None:
        before = self._asked.get(row.id)
        self._asked[row.id] = row
        self._asked_bytes += len(row.data) - (0 if before is None else len(before.data))

    def adopt(self, profile: Profile) -> None:
        """Take in a profile that the checkpoint does not hold yet in the form of today."""
        self._profiles[profile.id] = profile
        self.dirty.add(profile.id)

    def create(self, profile_id: ProfileId) -> Profile:
        """Put a new, empty profile into the table."""
        profile = self._profiles[profile_id] = Profile(id=profile_id)
        self.removed.pop(profile_id, None)
        self.dirty.add(profile_id)
        if self._pay is not None:
            self._ahead.add(self._vault.name(profile_id))  # who is new has nothing to be asked
        return profile

    def touch(self, profile_id: ProfileId) -> None:
        """Note that a profile was changed."""
        self.dirty.add(profile_id)

    def remove(self, profile_id: ProfileId) -> None:
        """Drop a profile that was merged into another."""
        self._profiles.pop(profile_id, None)
        self.dirty.discard(profile_id)
        self._removals += 1
        self.removed[profile_id] = self._removals

    # -- a checkpoint's rows, as of one moment

    def begin_cut(self) -> dict[ProfileId, int]:
        """Begin to make the rows of all that changed since the last time; returns what is removed and not `written`."""
        self._uncut, self.dirty = self.dirty, set()
        self._encoded, self._packing, self._rows = deque(), (), deque(self._asked.values())
        self._leaving |= self._asked
        self._asked, self._asked_bytes = {}, 0
        return dict(self.removed)

    def cut(self, most: int | None = None) -> bool:
        """Make at most `most` rows, and say whether more are left. None: all that are left, and sealed, too."""
        for profile_id in list(itertools.islice(self._uncut, most)):
            self._cut_one(self._profiles[profile_id])
        if most is None:
            self._rows = deque(self.rows())
        return bool(self._uncut)

    @property
    def unpacked(self) -> int:
        """How many people of a cut are encoded, and nobody packs them."""
        return len(self._encoded)

    @property
    def ready(self) -> int:
        """How many people of a cut are packed."""
        return len(self._rows)

    @property
    def unwritten(self) -> int:
        """How many people of a cut nobody took the rows of."""
        return len(self._encoded) + len(self._packing) + len(self._rows)

    def to_pack(self, most: int) -> tuple[Encoded, ...]:
        """Return at most so many people to pack, wherever: `packed` takes them back. Nobody while some are packed."""
        if self._packing:
            return ()
        self._packing = tuple(self._encoded.popleft() for _ in range(min(most, len(self._encoded))))
        return self._packing

    def packed(self, taken: tuple[Encoded, ...], blobs: Iterable[bytes]) -> None:
        """Take back whom `to_pack` returned, given what each was packed to."""
        if taken is self._packing:  # else somebody could not wait for it
            self._packing = ()
            self._rows.extend(one._replace(data=data) for one, data in zip(taken, blobs, strict=True))

    def rows(self, most: int | None = None) -> tuple[ProfileRow, ...]:
        """Return so many rows that a cut has made and packed, each once. None: all of them, packed or not."""
        if most is None:
            left, self._packing = (*self._packing, *self._encoded), ()
            self._encoded.clear()
            blobs = pack_all([one.data for one in left])
            self._rows.extend(one._replace(data=data) for one, data in zip(left, blobs, strict=True))
            most = len(self._rows)
        taken = [self._rows.popleft() for _ in range(min(most, len(self._rows)))]
        self._vault.gather(one.id for one in taken if isinstance(one, Encoded))
        return tuple(map(self._sealed, taken))

    def _sealed(self, row: ProfileRow | Encoded) -> ProfileRow:
        if isinstance(row, ProfileRow):
            return row
        sealed = self._row_of(row)
        self._awake[sealed.id] = row.id
        return sealed

    def _cut_one(self, profile: Profile) -> None:
        one = encoded(profile)
        if len(self._encoded) < ENCODED_MAX:
            self._encoded.append(one)
        else:
            self._rows.append(packed(one))
        self._uncut.discard(profile.id)

    # -- new definitions, as of one moment

    def owe(self, pay: Callable[[Profile], None]) -> None:
        """From now on, do `pay` for everybody who is known now: when they are asked for, or `settle` comes to them."""
        self._owe(pay, set(self._profiles), "", set())

    def owe_again(self, pay: Callable[[Profile], None], asked_to: str, ahead: Iterable[str]) -> None:
        """Go on with what a checkpoint has fallen into; nobody is in RAM yet."""
        self._owe(pay, set(), asked_to, set(ahead))

    def _owe(self, pay: Callable[[Profile], None], owed: set[ProfileId], asked_to: str, ahead: set[str]) -> None:
        self._pay, self._owed, self._asked_to, self._ahead = pay, owed, asked_to, ahead
        self._waiting = self._everybody_once()

    @property
    def asked(self) -> Mapping[str, ProfileRow]:
        """The rows of those who were changed where they rest, and are in no checkpoint yet; the next one takes them."""
        return self._asked

    @property
    def owing(self) -> bool:
        """Whether somebody had no turn yet."""
        return self._pay is not None

    @property
    def asked_up_to(self) -> tuple[str, AbstractSet[str]]:
        """The name up to which all who rest have had their turn, and the names behind it that have had it, too."""
        return self._asked_to, self._ahead

    def owes(self, profile_id: ProfileId) -> bool:
        """Say whether somebody who rests had no turn yet."""
        name = self._vault.name(profile_id)
        return self._pay is not None and name > self._asked_to and name not in self._ahead

    @property
    def is_full(self) -> bool:
        """Whether those who were asked where they rest take so much room that a checkpoint is due."""
        return self._asked_bytes > ASKED_BYTES

    @property
    def asleep_bytes(self) -> int:
        """Bytes of the rows of those who were changed where they rest, and are in no checkpoint yet."""
        return self._asked_bytes

    def asked_flips(self) -> Iterator[tuple[str, Instant]]:
        """Yield, by name, the next flips of those who were changed where they rest: the store does not know them."""
        for row in (*self._leaving.values(), *self._asked.values()):
            if row.next_flip_at is not None:
                yield row.id, row.next_flip_at

    def settle(self, most: int | None = None) -> bool:
        """Give at most `most` people their turn (None: all who are left), and say whether more are left.

        Where the store does not answer, whoever had no turn yet is still to have it, the next time.
        """
        try:
            done = sum(1 for _ in itertools.islice(self._waiting, most))
        except BaseException:
            self._waiting = self._everybody_once()  # who had a turn is not owed any more, or is behind them
            raise
        if most is None or done < most:
            self._pay = None
            self._owed, self._ahead = set(), set()
        return self.owing

    def _settle(self, profile: Profile) -> None:
        if self._pay is not None:
            before = None if profile.id in self.dirty else encode_profile(profile)
            self._pay(profile)
            if before is not None and encode_profile(profile) != before:
                self.dirty.add(profile.id)
            self._ahead.add(self._vault.name(profile.id))
        self._owed.discard(profile.id)

    def _everybody_once(self) -> Iterator[None]:
        """Give each their turn, one a step: those in RAM, then those who rest, in the order of their names.

        Those in RAM come first: when it is the turn of who rests, whoever is in RAM has had theirs.
        """
        for profile_id in list(self._owed):
            self.get(profile_id)
            yield
        while rows := list(itertools.islice(self._store.profiles(self._asked_to), READ_AT_ONCE)):
            self._vault.fetch(row.data for row in rows)
            for row in rows:
                if row.id not in self._ahead:
                    self._ask_at_rest(row)
                self._asked_to = row.id
                self._ahead.discard(row.id)
                yield

    def _ask_at_rest(self, row: ProfileRow) -> None:
        """Give their turn to who was not in RAM since there is something to ask.

        Who was asked where they rest about the definitions before may have a newer row than that in the store.
        """
        sleeper = self._open(self._asked.get(row.id) or self._leaving.get(row.id) or row)
        if sleeper is None:
            return
        profile = sleeper.read()
        if profile.id in self.removed or self._pay is None:
            return
        if profile.id in self._profiles:  # they were asked for, and their turn failed
            self.get(profile.id)
            return
        self._pay(profile)
        one = encoded(profile)
        if one.data != sleeper.data:  # whom it does not move stays as they are written
            self._vault.note(profile.id, sleeper.sealer)
            self._keep_asleep(self._row_of(packed(one)))

    def written(self, removed: Mapping[ProfileId, int], asked: Mapping[str, ProfileRow] = MappingProxyType({})) -> None:
        """Forget what a checkpoint has made durable, except of whom was removed, or asked, once more since."""
        for profile_id, removal in removed.items():
            if self.removed.get(profile_id) == removal:
                del self.removed[profile_id]
        for name, row in asked.items():
            if self._leaving.get(name) is row:
                del self._leaving[name]
        if self._pay is not None:
            self._waiting = self._everybody_once()  # rows that were read before may be older

    def shrink(self, pending: frozenset[ProfileId]) -> None:
        """Let clean profiles go until the bound is kept; those in `pending` are on their way to the disk, and stay."""
        if len(self._awake) > NAMES_A_PROFILE * len(self._profiles):
            self._awake = {name: one for name, one in self._awake.items() if one in self._profiles}
        excess = len(self._profiles) - self._bound
        if excess <= 0:
            return
        stay = self.dirty | self._uncut | pending
        for profile_id in [one for one in self._profiles if one not in stay][:excess]:
            del self._profiles[profile_id]

    def clear(self) -> None:
        """Forget everything: what is durable is in the store."""
        self._profiles.clear()
        self._awake.clear()
        self.dirty.clear()
        self.removed.clear()
        self._uncut, self._encoded, self._packing, self._rows = set(), deque(), (), deque()
        self._owed, self._pay, self._waiting = set(), None, iter(())
        self._asked_to, self._ahead = "", set()
        self._asked, self._asked_bytes, self._leaving = {}, 0, {}

    def awake(self) -> Iterable[Profile]:
        """Return the profiles in RAM: all that changed since the last checkpoint was written, and others."""
        return self._profiles.values()

    def ids(self) -> tuple[ProfileId, ...]:
        """Return the id of every profile, in RAM or in the store."""
        return tuple(profile.id for profile in self.all())

    def all(self) -> Iterator[Profile]:
        """Yield every profile, live state first and the rest from the store; others may change meanwhile."""
        awake = {self._vault.name(profile_id) for profile_id in self.removed}
        for profile in list(self._profiles.values()):
            awake.add(self._vault.name(profile.id))
            yield profile
        for row in self._store.profiles():
            newest = self._asked.get(row.id) or self._leaving.get(row.id) or row
            resting = None if row.id in awake else self._opened(newest)
            if resting is not None:
                yield resting

    def in_order(self) -> Iterator[Profile]:
        """Yield everybody by the name of their row, wherever they are; no read of the store stays open between two.

        The order is the same whoever is in RAM. Others may change meanwhile; who comes meanwhile may be left out.
        """
        awake = {self._vault.name(profile_id): profile_id for profile_id in (*self._profiles, *self.removed)}
        here: list[tuple[str, ProfileRow | None]] = [(name, None) for name in sorted(awake)]
        resting = ((row.id, row) for row in self._rows_in_order() if row.id not in awake)
        for name, row in heapq.merge(here, resting, key=itemgetter(0)):
            profile = self.find(awake[name]) if row is None else self._resting(row)
            if profile is not None:
                yield profile

    def _rows_in_order(self) -> Iterator[ProfileRow]:
        after = ""
        while rows := list(itertools.islice(self._store.profiles(after), READ_AT_ONCE)):
            yield from rows
            after = rows[-1].id

    def _resting(self, row: ProfileRow) -> Profile | None:
        """Return whom a row is about, as they are now; None when they are no more."""
        profile = self._opened(self._asked.get(row.id) or self._leaving.get(row.id) or row)
        if profile is None or profile.id in self.removed:
            return None
        return self._profiles.get(profile.id, profile)

    def _row_of(self, packed: Encoded) -> ProfileRow:
        return self._row_under(self._vault.sealer(packed.id), packed)

    def _row_under(self, sealer: Sealer, packed: Encoded) -> ProfileRow:
        sealed = self._vault.seal_with(sealer, PROFILE, packed.data)
        return ProfileRow(sealer.subject, sealed, packed.next_flip_at)

    def _opened(self, row: ProfileRow) -> Profile | None:
        sleeper = self._open(row)
        return None if sleeper is None else sleeper.read()

    def _open(self, row: ProfileRow) -> Sleeper | None:
        """Return what a row holds, and the key that it is sealed under."""
        if row.id[1:2] == ":":
            return None  # of a store that is older than keys: these were adopted, all of them, when it was opened
        sealer = self._vault.opener(row.data)
        if sealer is None:
            return None
        return Sleeper(unpack(sealer.open(PROFILE, row.data)), sealer)

    def __len__(self) -> int:
        return len(self._profiles)
