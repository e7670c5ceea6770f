"""Keys of senders: made, rotated, revoked, and looked up by their tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from bespeak.clock import Duration, Instant
from bespeak.engine import keyring
from bespeak.engine.archiving import to_its_end
from bespeak.engine.retention import Retaining
from bespeak.engine.writer import Entry
from bespeak.errors import Conflict, NotFound
from bespeak.privacy import Key, KeyKind

KEYS_MAX = 10_000
"""Keys that were ever made, those that have ended included: all of them are in RAM."""

LAST = (
    "this was the last secret key in force: only commands on this machine may change anything now;"
    " `bespeak keys create --kind secret` makes another"
)
"""What whoever revokes the last secret key is told."""


class Issuing(Retaining):
    """A ledger that knows who may ask it."""

    async def create_key(
        self,
        kind: KeyKind,
        name: str,
        *,
        scopes: Sequence[str] | None = None,
        expires: Instant | None = None,
    ) -> tuple[Key, str]:
        """Make a key; the token is shown once and kept nowhere.

        Parameters
        ----------
        scopes
            What it may; None for everything that its kind may.
        expires
            When it ends by itself; None for never.

        Raises
        ------
        Conflict
            A key of this name is in use: events and duplicates are told apart by it. Or there are 10,000 keys.
        InvalidInput
            Kind, name or scopes are none that a key can have.
        """
        return await to_its_end(self._create_key(kind, name, scopes, expires))

    async def _create_key(
        self, kind: KeyKind, name: str, scopes: Sequence[str] | None, expires: Instant | None
    ) -> tuple[Key, str]:
        async with self._changing:
            if len(self._keys.all()) >= KEYS_MAX:
                raise Conflict(f"there are {KEYS_MAX:,} keys; give one of them a new token with `bespeak keys rotate`")
            if any(key.name == name and key.revoked is None for key in self._keys.all()):
                raise Conflict(f"a key named {name!r} is in use; choose another --name, or revoke that one first")
            key, token = keyring.new_key(kind, name, self.clock.now(), scopes=scopes, expires=expires)
            await self._write_key(key)
        return key, token

    async def rotate_key(self, key_id: str, *, overlap: Duration, expires: Instant | None = None) -> tuple[Key, str]:
        """Give a key a new token, and a new signing secret if it has one; it stays the same source of events.

        Parameters
        ----------
        overlap
            How long the token and the signing secret before go on working; zero ends them at once.
        expires
            When the key ends by itself; None leaves that as it is.

        Raises
        ------
        NotFound
            There is no such key.
        Conflict
            It was revoked, has expired, or too many of its tokens still work.
        InvalidInput
            The overlap is longer than 365 days.
        """
        return await to_its_end(self._rotate_key(key_id, overlap, expires))

    async def _rotate_key(self, key_id: str, overlap: Duration, expires: Instant | None) -> tuple[Key, str]:
        async with self._changing:
            key = self.key_of(key_id)
            turned, token = keyring.turned_key(key, self.clock.now(), overlap=overlap, expires=expires)
            await self._write_key(turned)
        return turned, token

    async def revoke_key(self, key_id: str) -> str | None:
        """End a key and all its tokens: from now on it opens nothing. One that has ended stays as it is.

        Returns
        -------
        A warning when this was the last secret key in force; else None.

        Raises
        ------
        NotFound
            There is no such key.
        """
        return await to_its_end(self._revoke_key(key_id))

    async def _revoke_key(self, key_id: str) -> str | None:
        async with self._changing:
            key = self.key_of(key_id)
            now = self.clock.now()
            if key.revoked is None:
                await self._write_key(msgspec.structs.replace(key, revoked=now))
        left = any(one.kind == "secret" and one.in_force(now) for one in self._keys.all())
        return LAST if key.kind == "secret" and not left else None

    async def _write_key(self, key: Key) -> None:
        document = self._keys.document(key)
        entry = Entry(asyncio.get_running_loop().create_future(), documents=(document,))
        await self._put(self._open_writer(), entry)
        self._keys.put(key, document.version)

    def keys(self) -> tuple[Key, ...]:
        """Return every key, revoked and expired ones included."""
        return self._keys.all()

    def key_of(self, key_id: str) -> Key:
        """Return a key by its id.

        Raises
        ------
        NotFound
            There is no such key.
        """
        key = self._keys.get(key_id)
        if key is None:
            raise NotFound(f"there is no key {key_id!r}; `bespeak keys list` shows them")
        return key

    def key(self, token: str) -> Key | None:
        """Return the key of a token; None when nobody issued it, or it opens nothing now."""
        return self._keys.find(token, self.clock.now())

    def is_issued(self, token: str) -> bool:
        """Say whether a token is one of ours, whatever became of it."""
        return self._keys.is_issued(token)

    def why_refused(self, token: str) -> str | None:
        """Say why a token that was issued opens nothing now; None when nobody issued it, or it works."""
        return self._keys.why_refused(token, self.clock.now())

    def last_used(self, digest: bytes) -> Instant | None:
        """Return the beginning of the hour in which a token was last used, by its digest; None when it never was."""
        return self._keys.last_used(digest)
