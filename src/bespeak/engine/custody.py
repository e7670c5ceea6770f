"""Keeping what is personal: erasing a person, and changing the master key."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from bespeak.clock import format_time
from bespeak.engine.archiving import Archiving, Rewritten, to_its_end, told
from bespeak.engine.quarantine import about
from bespeak.engine.records import ErasureRecord, without
from bespeak.engine.vault import Erased
from bespeak.engine.writer import Entry
from bespeak.errors import NotFound, StoreError
from bespeak.events import Event
from bespeak.ids import ProfileId, anonymous_profile, user_profile
from bespeak.privacy.masters import retired, version_of, with_next
from bespeak.profiles import Profile, canonical
from bespeak.stores import Forget, WrappedKey

REWRAPPED_AT_ONCE = 1_000
"""Data keys wrapped anew in one commit."""

LATE = "this person was erased after it happened"
"""Why an event from before an erasure is refused."""

Place: TypeAlias = Literal["log", "archive", "profile", "aliases", "timers", "quarantine", "dedupe", "models", "disk"]


class ErasureReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure did; it names nobody, so that it may be kept.

    Parameters
    ----------
    erasure
        Number of the record in the log.
    at
        Events of this person from up to then are refused; later ones begin a new profile.
    identifiers
        How many the person had: user ids, anonymous ids, merged ones included.
    keys
        How many data keys were destroyed.
    names
        The pseudonyms of the identifiers, by which the log knows them.
    stores
        By place, what was done, or what follows.
    """

    erasure: int
    at: str
    identifiers: int
    keys: int
    names: tuple[str, ...]
    stores: Mapping[Place, str]


class Rotation(msgspec.Struct, frozen=True):
    """What a rotation of the master key did: the version in force, keys wrapped anew, versions retired."""

    version: int
    rewrapped: int
    retired: tuple[int, ...]


class Custody(Archiving):
    """A ledger that can forget."""

    def find(self, any_id: str) -> Profile | None:
        """Return the profile of a profile id, a user id or an anonymous id, looked up in this order."""
        for candidate in _candidates(any_id):
            profile = self.sequencer.live.get(canonical(candidate, self.sequencer.aliases))
            if profile is not None:
                return profile
        return None

    async def erase(self, any_id: str) -> ErasureReceipt:
        """Erase a person: the keys of all their identifiers, and everything that is known.

        Whom `any_id` names is looked up as by `find`; where there is no profile, whose key there is.

        Raises
        ------
        NotFound
            Nobody is known by this id.
        StoreError
            It could not be made durable; nothing was erased.
        """
        return await to_its_end(self._erase(any_id))

    async def _erase(self, any_id: str) -> ErasureReceipt:
        async with self.archive_lock():
            self._open_writer()
            await self._on_disk()
            try:
                return await self._erase_all(any_id, await self._out_of_archive(any_id))
            finally:
                self.archive_swept()

    async def _out_of_archive(self, any_id: str) -> Rewritten:
        """Write the archive anew without a person, whoever they have become meanwhile."""
        while True:
            _, ids = self._person(any_id)
            rewritten = await self.archive_without(ids)
            await self._at_rest()
            if self._person(any_id)[1] == ids:
                return rewritten

    async def _at_rest(self) -> None:
        """Wait until all that was taken is on disk, and nobody is left to ask."""
        await self._on_disk()
        while self.sequencer.live.owing:
            await self._all_asked()
            await self._on_disk()

    async def _erase_all(self, any_id: str, rewritten: Rewritten) -> ErasureReceipt:
        writer = self._open_writer()
        self._end_cut()
        profile, ids = self._person(any_id)
        self._write_changes()  # while the keys are there that seal them; what is told of the person goes in a moment
        now = self.clock.now()
        with self._all_or_none():
            self._offset += 1
            erased = Erased(now, self._offset)
            numbers, documents = self.vault.destroy(ids, erased)
            if profile is not None:
                self.sequencer.forget(profile)
            self._forget_prepared(ids, self._offset)
            names = tuple(sorted(document.id for document in documents))
            goes = about(self.vault, ids, numbers)
            cutting = self._cut_whole(writer, forgotten=ids)
            files, keys = self.archive_parts(rewritten)
            entry = Entry(
                cutting.future,
                row=self._row(now, [ErasureRecord(names, now)]),
                documents=(*cutting.cut.documents, *documents, *files),
                checkpoint=cutting.cut.with_rows(self.sequencer.live.rows()),
                keys=keys,
                forget=Forget(keys=(*numbers, *rewritten.keys), rejected=goes, names=tuple(map(self.vault.name, ids))),
            )
            self._put_cut(cutting, entry)
        await cutting.future
        self._let_go_of_events()
        self.vault.destroyed(numbers)
        self._feed.forget(frozenset(ids))
        self.metrics.add("bespeak_erasures_total")
        before = self._quarantined
        wiped = False
        with contextlib.suppress(StoreError):  # it is done: what cannot be asked now takes nothing back
            self._quarantined = self.store.rejected_count()
            wiped = await asyncio.to_thread(self.store.wipe)  # else the next start does it
        stores = _told(profile, len(ids), len(numbers), before - self._quarantined, wiped=wiped)
        stores["models"] = _models_told(self.settings.engine.models_rebuild_hours)
        return ErasureReceipt(
            erasure=erased.offset,
            at=format_time(now),
            identifiers=len(ids),
            keys=len(numbers),
            names=names,
            stores={**stores, "archive": told(rewritten)},
        )

    def _let_go_of_events(self) -> None:
        """Let go of events that are held in memory for questions, of whomever, and give up what is being asked."""

    def _forget_prepared(self, ids: Sequence[ProfileId], offset: int) -> None:
        """Take a person who is erased by the record of an offset out of what is being prepared."""

    async def rotate_master_key(self) -> Rotation:
        """Make a new master key, wrap every data key anew under it, then retire the old one.

        What the data keys have sealed stays as it is. Until all are wrapped anew both versions are kept; a rotation
        that was interrupted is taken up where it was.

        Raises
        ------
        StoreError
            A key or the key file could not be written; both versions stay in force.
        """
        return await to_its_end(self._rotate())

    async def _rotate(self) -> Rotation:
        async with self._rotating, self.archive_lock():
            return await self._rewrap_all()

    async def _rewrap_all(self) -> Rotation:
        self._open_writer()
        if len(self.vault.masters.secrets) == 1:
            await asyncio.to_thread(self.vault.change_masters, with_next(self.vault.masters))
            self._let_go_of_events()  # it cannot open what is sealed under keys that the new version wraps
        self._end_cut()
        if self.vault.has_made:  # under the version before, and no row came with them so far
            self._put(self._open_writer(), Entry(asyncio.get_running_loop().create_future()))
        await self._on_disk()
        masters = self.vault.masters
        old = (key for key in self.store.each_key() if version_of(key.wrapped) != masters.current)
        rewrapped = 0
        batch: list[WrappedKey] = []
        for key in old:
            batch.append(self._rewrapped(key))
            if len(batch) == REWRAPPED_AT_ONCE:
                rewrapped += await self._write_keys(batch)
                batch = []
        rewrapped += await self._write_keys(batch)
        gone = tuple(version for version in sorted(masters.secrets) if version != masters.current)
        await asyncio.to_thread(self.store.wipe)
        await asyncio.to_thread(self.vault.change_masters, retired(masters))
        self._let_go_of_events()  # it was given the version that is no more
        return Rotation(masters.current, rewrapped, gone)

    def _rewrapped(self, key: WrappedKey) -> WrappedKey:
        masters = self.vault.masters
        secret = masters.unwrap(key.wrapped, number=key.number, subject=key.subject)
        wrapped = masters.wrap(secret, number=key.number, subject=key.subject)
        return msgspec.structs.replace(key, wrapped=wrapped)

    async def _write_keys(self, keys: list[WrappedKey]) -> int:
        if keys:
            entry = Entry(asyncio.get_running_loop().create_future(), keys=tuple(keys))
            await self._put(self._open_writer(), entry)
        return len(keys)

    def _person(self, any_id: str) -> tuple[Profile | None, tuple[ProfileId, ...]]:
        """Return somebody's profile, if there is one, and all identifiers."""
        profile = self.find(any_id)
        if profile is not None:
            return profile, tuple(sorted({profile.id, *profile.aliases}))
        for candidate in _candidates(any_id):
            if candidate[1:2] == ":" and self.vault.has_key(candidate):
                return None, (candidate,)
        raise NotFound(f"nobody is known by the id {any_id!r}")

    def _spared(self, event: Event) -> Event | None:
        """Return an event without the identifiers erased since it happened; None when it is about somebody erased."""
        vault, time = self.vault, event.time

        def erased(subject: ProfileId) -> bool:
            found = vault.erased(subject)
            return found is not None and time <= found.at

        return without(event, erased)


def _candidates(any_id: str) -> tuple[ProfileId, ...]:
    return any_id, user_profile(any_id), anonymous_profile(any_id)


def _told(profile: Profile | None, ids: int, keys: int, rejected: int, *, wiped: bool) -> dict[Place, str]:
    """Say by place what was done."""
    done = "overwritten, and the write-ahead log cut"
    waiting = "the write-ahead log is cut when a long read has ended, at the latest when the store is closed"
    return {
        "log": f"{keys} keys destroyed: every event sealed under them is unreadable, and replay passes over it",
        "profile": "removed from memory, checkpoint and snapshots" if profile is not None else "there was none",
        "aliases": f"{ids - 1} removed" if profile is not None else "there were none",
        "timers": "removed",
        "quarantine": f"{rejected} rejected messages removed",
        "dedupe": "kept: 16-byte digests of message ids, which name nobody",
        "disk": done if wiped else waiting,
    }


def _models_told(hours: float) -> str:
    when = f"which begins by itself in {hours:g} hours, or at once" if hours else "which is done"
    return (
        "sums over everybody, by item: this person's part stays until they are built anew from the log,"
        f" {when} by `bespeak models rebuild`"
    )
