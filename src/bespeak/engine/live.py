"""The live table: the profiles in RAM, within a bound; the others rest in the store as bytes."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from bespeak.clock import NEVER
from bespeak.ids import ProfileId
from bespeak.profiles import Profile
from bespeak.stores import ProfileRow, Store

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Profile)


def encode_profile(profile: Profile) -> ProfileRow:
    """Return a profile as its checkpoint row."""
    flip = profile.next_flip_at
    return ProfileRow(profile.id, _encoder.encode(profile), None if flip == NEVER else flip)


def decode_profile(row: ProfileRow) -> Profile:
    """Return the profile of a checkpoint row."""
    return _decoder.decode(row.data)


class LiveTable:
    """Drafts by profile id. Only the sequencer changes them; `dirty` are those changed since the last checkpoint.

    Parameters
    ----------
    bound
        Profiles kept in RAM. Clean ones are let go, the longest unused first; dirty ones stay until they are written.
    """

    def __init__(self, store: Store, *, bound: int) -> None:
        self._store = store
        self._bound = bound
        self._profiles: dict[ProfileId, Profile] = {}
        self.dirty: set[ProfileId] = set()
        self.removed: set[ProfileId] = set()

    def get(self, profile_id: ProfileId) -> Profile | None:
        """Return a profile, from RAM or the store."""
        profile = self._profiles.get(profile_id)
        if profile is not None or profile_id in self.removed:
            return profile
        row = self._store.profile(profile_id)
        if row is None:
            return None
        profile = self._profiles[profile_id] = decode_profile(row)
        return profile

    def find(self, profile_id: ProfileId) -> Profile | None:
        """Return a profile, from RAM or read anew from the store, which does not bring it into RAM."""
        profile = self._profiles.get(profile_id)
        if profile is not None or profile_id in self.removed:
            return profile
        row = self._store.profile(profile_id)
        return None if row is None else decode_profile(row)

    def create(self, profile_id: ProfileId) -> Profile:
        """Put a new, empty profile into the table."""
        profile = self._profiles[profile_id] = Profile(id=profile_id)
        self.removed.discard(profile_id)
        self.dirty.add(profile_id)
        return profile

    def touch(self, profile_id: ProfileId) -> None:
        """Note that a profile was changed."""
        self.dirty.add(profile_id)

    def remove(self, profile_id: ProfileId) -> None:
        """Drop a profile that was merged into another."""
        self._profiles.pop(profile_id, None)
        self.dirty.discard(profile_id)
        self.removed.add(profile_id)

    def changed(self) -> tuple[tuple[ProfileRow, ...], tuple[ProfileId, ...]]:
        """Return the rows changed and the ids removed since the last call, for a checkpoint."""
        rows = tuple(encode_profile(self._profiles[profile_id]) for profile_id in self.dirty)
        removed = tuple(self.removed)
        self.dirty.clear()
        return rows, removed

    def written(self, removed: tuple[ProfileId, ...]) -> None:
        """Forget the removals that a checkpoint has made durable."""
        self.removed.difference_update(removed)

    def shrink(self, pending: frozenset[ProfileId]) -> None:
        """Let clean profiles go until the bound is kept; those in `pending` are on their way to the disk, and stay."""
        excess = len(self._profiles) - self._bound
        if excess <= 0:
            return
        for profile_id in [one for one in self._profiles if one not in self.dirty and one not in pending][:excess]:
            del self._profiles[profile_id]

    def clear(self) -> None:
        """Forget everything: what is durable is in the store."""
        self._profiles.clear()
        self.dirty.clear()
        self.removed.clear()

    def ids(self) -> tuple[ProfileId, ...]:
        """Return the id of every profile, in RAM or in the store."""
        resting = (row.id for row in self._store.profiles() if row.id not in self.removed)
        return tuple(dict.fromkeys([*self._profiles, *resting]))

    def all(self) -> Iterator[Profile]:
        """Yield every profile, live state first and the rest from the store."""
        yield from list(self._profiles.values())
        for row in self._store.profiles():
            if row.id not in self._profiles and row.id not in self.removed:
                yield decode_profile(row)

    def __len__(self) -> int:
        return len(self._profiles)
