"""Ids that resolve to another: those asked for lately in RAM, all of them in the store, sealed and under pseudonyms."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import TypeVar, overload

import msgspec

from bespeak.engine.cache import Cache
from bespeak.engine.vault import ALIAS, STORE, Vault
from bespeak.ids import ProfileId
from bespeak.stores import Store

T = TypeVar("T")

_NOBODY = ""
"""What is remembered of an id that resolves to itself: no profile has an empty id."""

_decoder = msgspec.msgpack.Decoder(tuple[ProfileId, ProfileId])


class Aliases(Mapping[ProfileId, ProfileId]):
    """A mapping from alias to profile id that reads the store when asked for what it does not remember.

    That an id is no alias is remembered as well: most ids are none, and each event asks. What a checkpoint has not
    made durable stays in RAM, however much it is.

    Parameters
    ----------
    bound
        Ids remembered besides, about 250 bytes each.
    """

    def __init__(self, store: Store, vault: Vault, *, bound: int) -> None:
        self._store = store
        self._vault = vault
        self._known = Cache[ProfileId, ProfileId](bound)
        self._kept: dict[ProfileId, tuple[ProfileId, int]] = {}
        self._changed: dict[ProfileId, ProfileId] = {}
        self._cut = 0

    @overload
    def get(self, key: ProfileId, default: None = None, /) -> ProfileId | None: ...
    @overload
    def get(self, key: ProfileId, default: ProfileId, /) -> ProfileId: ...
    @overload
    def get(self, key: ProfileId, default: T, /) -> ProfileId | T: ...
    def get(self, key: ProfileId, default: object = None, /) -> object:
        """Return the profile id that an alias resolves to."""
        found = self._known.get(key)
        if found is None:
            kept = self._kept.get(key)
            found = self._read(key) if kept is None else kept[0]
            self._known.put(key, found)
        return found or default

    def __getitem__(self, key: ProfileId) -> ProfileId:
        """Return the profile id that an alias resolves to; raises KeyError."""
        found = self.get(key)
        if found is None:
            raise KeyError(key)
        return found

    def __contains__(self, key: object) -> bool:
        """Say whether an id is an alias."""
        return isinstance(key, str) and self.get(key) is not None

    def __iter__(self) -> Iterator[ProfileId]:
        """Yield every alias; those in RAM first, then the others from the store."""
        kept = dict(self._kept)
        yield from (alias for alias, (profile_id, _) in kept.items() if profile_id)
        for name, sealed in self._store.aliases().items():
            # Those of a store that is older than keys were put, all of them, when it was opened.
            pair = None if ":" in name else open_alias(self._vault, sealed)
            if pair is not None and pair[0] not in kept:
                yield pair[0]

    def __len__(self) -> int:
        """Count every alias; reads all of them."""
        return sum(1 for _ in self)

    def put(self, alias: ProfileId, profile_id: ProfileId) -> None:
        """Let an id resolve to a profile from now on."""
        self._changed[alias] = profile_id
        self._kept[alias] = profile_id, self._cut
        self._known.put(alias, profile_id)

    def drop(self, alias: ProfileId) -> None:
        """Let an id resolve to itself again; whoever drops it tells the checkpoint."""
        self._changed.pop(alias, None)
        self._kept[alias] = _NOBODY, self._cut
        self._known.put(alias, _NOBODY)

    def changed(self) -> dict[ProfileId, ProfileId]:
        """Return what was put since the last call, for a checkpoint."""
        changed, self._changed = self._changed, {}
        self._cut += 1
        return changed

    def mark(self) -> int:
        """Return what `written` is to be told once the checkpoint that was asked for last is durable."""
        return self._cut

    def written(self, mark: int) -> None:
        """Let go of what is durable, and was not changed since."""
        self._kept = {alias: kept for alias, kept in self._kept.items() if kept[1] >= mark}

    @property
    def waiting(self) -> int:
        """How many are in RAM whatever the bound, since they are not durable yet."""
        return len(self._kept)

    def clear(self) -> None:
        """Forget everything: what is durable is in the store."""
        self._known.clear()
        self._kept.clear()
        self._changed.clear()

    def _read(self, alias: ProfileId) -> ProfileId:
        sealed = self._store.alias(self._vault.name(alias))
        pair = None if sealed is None else open_alias(self._vault, sealed)
        return _NOBODY if pair is None else pair[1]


def seal_alias(vault: Vault, alias: ProfileId, profile_id: ProfileId) -> str:
    """Return what the store keeps of an alias."""
    return base64.b64encode(vault.seal(STORE, ALIAS, msgspec.msgpack.encode((alias, profile_id)))).decode()


def open_alias(vault: Vault, sealed: str) -> tuple[ProfileId, ProfileId] | None:
    """Return an alias and the profile id that it resolves to; None when its key was destroyed."""
    data = vault.open(base64.b64decode(sealed), ALIAS)
    return None if data is None else _decoder.decode(data)
