"""The keys of senders, by the digest of their tokens, and when each token was last used."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

import msgspec

from bespeak.clock import HOUR, Duration, Instant
from bespeak.privacy import (
    Key,
    KeyKind,
    decode_key,
    digest_token,
    encode_key,
    make_key,
    rotate_key,
    verify,
    why_refused,
)
from bespeak.stores import Document, Store

__all__ = ["Keyring", "new_key", "turned_key", "verifier"]

KEY = "key"
"""The kind of document that holds a key, under its id."""

USED = "key_used"
"""The kind of the one document that says in which hour each token was last used."""

_used = msgspec.msgpack.Decoder(dict[bytes, int])


class Keyring:
    """Every key that was issued.

    The hour of a token's last use is kept in RAM, and goes to disk with the next checkpoint in which it is another one:
    a request never waits for it, and after a crash it may be an hour that is past.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, Key] = {}
        self._by_digest: dict[bytes, Key] = {}
        self._versions: dict[str, int] = {}
        self._used: dict[bytes, int] = {}
        self._used_version = 0
        self._used_changed = False

    def load(self, store: Store) -> None:
        """Read the keys from the store; what was noted of their use and is not there yet is kept."""
        self._by_id.clear()
        self._by_digest.clear()
        self._versions.clear()
        for document in store.documents(KEY):
            if document.data is not None:
                self.put(decode_key(document.data), document.version)
        held = next((one for one in store.documents(USED) if one.data is not None), None)
        self._used_version = 0 if held is None else held.version
        kept = {} if held is None or held.data is None else _used.decode(held.data)
        for digest, hour in kept.items():
            self._used[digest] = max(hour, self._used.get(digest, hour))
        self._used_changed = self._used != kept

    def put(self, key: Key, version: int) -> None:
        """Take a key in, new or changed, as of a version of its document."""
        held = self._by_id.get(key.id)
        for digest in () if held is None else _digests(held):
            del self._by_digest[digest]
        self._by_id[key.id] = key
        self._versions[key.id] = version
        self._by_digest.update(dict.fromkeys(_digests(key), key))

    def document(self, key: Key) -> Document:
        """Return what keeps a key that was made or changed: the version after the one that is held."""
        return Document(KEY, key.id, self._versions.get(key.id, 0) + 1, encode_key(key))

    def get(self, key_id: str) -> Key | None:
        """Return a key by its id."""
        return self._by_id.get(key_id)

    def find(self, token: str, at: Instant) -> Key | None:
        """Return the key of a token that works at `at`, and note that it was used."""
        digest = digest_token(token)
        key = self._by_digest.get(digest)
        if key is None or why_refused(key, digest, at) is not None:
            return None
        hour = at // HOUR
        if self._used.get(digest, -1) < hour:
            self._used[digest] = hour
            self._used_changed = True
        return key

    def is_issued(self, token: str) -> bool:
        """Say whether a token is one of ours, whatever became of it."""
        return digest_token(token) in self._by_digest

    def why_refused(self, token: str, at: Instant) -> str | None:
        """Say why a token that was issued opens nothing; None when nobody issued it, or it works."""
        digest = digest_token(token)
        key = self._by_digest.get(digest)
        return None if key is None else why_refused(key, digest, at)

    def last_used(self, digest: bytes) -> Instant | None:
        """Return the beginning of the hour in which a token was last used; None when it never was."""
        hour = self._used.get(digest)
        return None if hour is None else hour * HOUR

    def unwritten(self) -> tuple[Document, ...]:
        """Return the document of last uses when it has changed since the last call; a checkpoint writes it."""
        if not self._used_changed:
            return ()
        self._used_changed = False
        self._used_version += 1
        known = {digest: hour for digest, hour in self._used.items() if digest in self._by_digest}
        return (Document(USED, "hours", self._used_version, msgspec.msgpack.encode(known)),)

    def all(self) -> tuple[Key, ...]:
        """Return every key, the oldest first."""
        return tuple(sorted(self._by_id.values(), key=lambda key: (key.created, key.id)))


def _digests(key: Key) -> tuple[bytes, ...]:
    return (key.digest, *(former.digest for former in key.former))


def new_key(
    kind: KeyKind, name: str, at: Instant, *, scopes: Sequence[str] | None = None, expires: Instant | None = None
) -> tuple[Key, str]:
    """Make a key from the machine's source of randomness."""
    return make_key(kind, name, at=at, token_bytes=secrets.token_bytes, scopes=scopes, expires=expires)


def turned_key(key: Key, at: Instant, *, overlap: Duration, expires: Instant | None = None) -> tuple[Key, str]:
    """Give a key a new token from the machine's source of randomness."""
    return rotate_key(key, at=at, overlap=overlap, token_bytes=secrets.token_bytes, expires=expires)


def verifier(key: Key, at: Instant) -> Callable[[str, str], bool]:
    """Return what checks a `userSignature` that comes with this key at `at`."""
    accepted = key.signing_secrets(at)
    return lambda user_id, signature: any(verify(secret, user_id, signature) for secret in accepted)
