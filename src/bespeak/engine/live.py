"""The live table: the profiles in RAM, within a bound; the others rest in the store, sealed and under a pseudonym."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from bespeak.clock import NEVER
from bespeak.engine.vault import PROFILE, Vault
from bespeak.ids import ProfileId
from bespeak.profiles import Profile
from bespeak.stores import ProfileRow, Store

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Profile)


def encode_profile(profile: Profile) -> bytes:
    """Return everything known of a profile as bytes; nothing is sealed yet."""
    return _encoder.encode(profile)


def decode_profile(data: bytes) -> Profile:
    """Return the profile that `encode_profile` was given, in the form of today or that of the first versions."""
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError:
        return _decode_first(data)


def _decode_first(data: bytes) -> Profile:
    """Return a profile whose flips stand in a mapping, by segment."""
    plain = msgspec.msgpack.decode(data)
    noted = plain.pop("flips", {})
    profile = msgspec.convert(plain, Profile)
    for segment_id, at in noted.items():
        profile.flips.note(segment_id, at)
    return profile


class LiveTable:
    """Drafts by profile id. Only the sequencer changes them; `dirty` are those changed since the last checkpoint.

    In the store a profile stands under `vault.name` of its id, so that no identifier is on disk in clear.

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
        self.dirty: set[ProfileId] = set()
        self.removed: set[ProfileId] = set()

    def get(self, profile_id: ProfileId) -> Profile | None:
        """Return a profile, from RAM or the store."""
        profile = self._profiles.get(profile_id)
        if profile is None:
            profile = self.find(profile_id)
            if profile is not None:
                self._profiles[profile_id] = profile
        return profile

    def find(self, profile_id: ProfileId) -> Profile | None:
        """Return a profile, from RAM or read anew from the store, which does not bring it into RAM."""
        profile = self._profiles.get(profile_id)
        if profile is not None or profile_id in self.removed:
            return profile
        row = self._store.profile(self._vault.name(profile_id))
        return None if row is None else self._opened(row)

    def named(self, name: str) -> Profile | None:
        """Return a profile by its id, or by the name of its row in the store."""
        if name[1:2] == ":":
            return self.get(name)
        row = self._store.profile(name)
        profile = None if row is None else self._opened(row)
        return None if profile is None else self.get(profile.id)

    def adopt(self, profile: Profile) -> None:
        """Take in a profile that the checkpoint does not hold yet in the form of today."""
        self._profiles[profile.id] = profile
        self.dirty.add(profile.id)

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
        """Return the rows changed since the last call, and the ids removed and not yet `written`, for a checkpoint."""
        rows = tuple(self._sealed(self._profiles[profile_id]) for profile_id in self.dirty)
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
        return (*self._profiles, *(profile.id for profile in self._resting()))

    def all(self) -> Iterator[Profile]:
        """Yield every profile, live state first and the rest from the store."""
        yield from list(self._profiles.values())
        yield from self._resting()

    def _resting(self) -> Iterator[Profile]:
        """Yield the profiles that are in the store only."""
        awake = {self._vault.name(profile_id) for profile_id in (*self._profiles, *self.removed)}
        for row in self._store.profiles():
            profile = None if row.id in awake else self._opened(row)
            if profile is not None:
                yield profile

    def _sealed(self, profile: Profile) -> ProfileRow:
        flip = profile.next_flip_at
        data = self._vault.seal(profile.id, PROFILE, encode_profile(profile))
        return ProfileRow(self._vault.name(profile.id), data, None if flip == NEVER else flip)

    def _opened(self, row: ProfileRow) -> Profile | None:
        data = self._vault.open(row.data, PROFILE)
        return None if data is None else decode_profile(data)

    def __len__(self) -> int:
        return len(self._profiles)
