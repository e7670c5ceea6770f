"""The keys in force, by the digest of their token."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from bespeak.clock import Instant
from bespeak.privacy import Key, KeyKind, decode_key, digest_token, encode_key, make_key, verify
from bespeak.stores import Store

__all__ = ["Keyring", "encode_key", "new_key", "verifier"]


class Keyring:
    """Every key that was issued."""

    def __init__(self) -> None:
        self._by_id: dict[str, Key] = {}
        self._by_digest: dict[bytes, Key] = {}

    def load(self, store: Store) -> None:
        """Read the keys from the store."""
        self._by_id.clear()
        self._by_digest.clear()
        for document in store.documents("key"):
            if document.data is not None:
                self.put(decode_key(document.data))

    def put(self, key: Key) -> None:
        """Take a key in, new or changed."""
        self._by_id[key.id] = key
        self._by_digest[key.digest] = key

    def get(self, key_id: str) -> Key | None:
        """Return a key by its id."""
        return self._by_id.get(key_id)

    def find(self, token: str) -> Key | None:
        """Return the key of a token, unless it was revoked."""
        key = self._by_digest.get(digest_token(token))
        return None if key is None or key.revoked is not None else key

    def all(self) -> tuple[Key, ...]:
        """Return every key, the oldest first."""
        return tuple(sorted(self._by_id.values(), key=lambda key: (key.created, key.id)))


def new_key(kind: KeyKind, name: str, at: Instant) -> tuple[Key, str]:
    """Make a key from the machine's source of randomness."""
    return make_key(kind, name, at=at, token_bytes=secrets.token_bytes)


def verifier(key: Key) -> Callable[[str, str], bool]:
    """Return what checks a `userSignature` that comes with this key."""
    secret = key.signing_secret
    if secret is None:
        return _never
    return lambda user_id, signature: verify(secret, user_id, signature)


def _never(_user_id: str, _signature: str) -> bool:
    return False
