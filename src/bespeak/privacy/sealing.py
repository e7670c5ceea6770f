"""Sealing many times under one key: what `envelope.seal_under` does, with everything prepared that stays the same.

A nonce is 96 random bits, drawn anew for each seal. Two of one key coincide with a probability under 2^-33 even after
the 2^32 seals that NIST SP 800-38D (section 8.3) allows a key; a person's key sees some thousands. A counter would be
certain, but has to survive a crash, a restored backup and a commit that was undone; chance needs no memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from bespeak.privacy.envelope import (
    AES_256_GCM,
    HEADER_BYTES,
    KEY_ID_BYTES,
    NONCE_BYTES,
    TAG_BYTES,
    Binding,
    SealBroken,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_AT: Final = 1 + KEY_ID_BYTES

_DRAWN: Final = 256
"""Nonces drawn at a time."""

KEY_HEAD_BYTES: Final = _NONCE_AT
"""The first bytes of an envelope, which are the same for all that one key has sealed."""


class Field:
    """Which field is sealed, in the form in which it is authenticated."""

    __slots__ = ("bound", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        raw = name.encode()
        self.bound = len(raw).to_bytes(4, "big") + raw


class Sealer:
    """One data key at work: seals and opens the fields of its subject.

    Parameters
    ----------
    number
        The key's number; it stands in the header of what is sealed, as 16 bytes.
    secret
        32 bytes.
    tenant, subject
        What sealed bytes are bound to, besides their field.
    cipher
        Makes the cipher of a secret. What OpenSSL prepares for one takes 2.5 KB and a microsecond, so a key that is
        held does not hold it: whoever has many keys remembers those of the busiest (`functools.lru_cache`).

    Examples
    --------
    >>> sealer = Sealer(7, bytes(32), tenant="shop", subject="5f0c")
    >>> sealed = sealer.seal(Field("event"), b"private")
    >>> sealer.open(Field("event"), sealed)
    b'private'
    >>> key_number(sealed)
    7
    """

    __slots__ = ("_bound", "_cipher", "_head", "_secret", "number", "subject")

    def __init__(
        self, number: int, secret: bytes, *, tenant: str, subject: str, cipher: Callable[[bytes], AESGCM] | None = None
    ) -> None:
        self.number = number
        self.subject = subject
        self._secret = secret
        self._cipher = cipher or cipher_of
        self._head = head_of(number)
        self._bound = Binding(tenant, subject, "").encode()[:-4]

    def seal(self, field: Field, data: bytes, *, random: Callable[[int], bytes] = os.urandom) -> bytes:
        """Put data into a version 1 envelope."""
        return self.seal_with(random(NONCE_BYTES), field, data)

    def seal_with(self, nonce: bytes, field: Field, data: bytes) -> bytes:
        """Put data into a version 1 envelope, with 12 random bytes that serve nothing else."""
        header = self._head + nonce
        return header + self._cipher(self._secret).encrypt(nonce, data, header + self._bound + field.bound)

    def open(self, field: Field, sealed: bytes) -> bytes:
        """Return what was sealed under this key.

        Raises
        ------
        SealBroken
            The bytes, the field or the subject are not those that it was sealed with.
        """
        header, bound = sealed[:HEADER_BYTES], self._bound + field.bound
        try:
            return self._cipher(self._secret).decrypt(header[_NONCE_AT:], sealed[HEADER_BYTES:], header + bound)
        except _broken():
            raise SealBroken(
                f"envelope of {field.name!r}: its tag does not fit; it was changed, or belongs to another subject",
            ) from None


def head_of(number: int) -> bytes:
    """Return the first `KEY_HEAD_BYTES` of every envelope that the key of this number has sealed."""
    return bytes([AES_256_GCM]) + number.to_bytes(KEY_ID_BYTES, "big")


def nonces(random: Callable[[int], bytes]) -> Iterator[bytes]:
    """Yield nonces without end, drawn many at a time: asking the kernel for each takes as long as encrypting.

    They are for one process and one thread: a process that is forked must not go on with its parent's.
    """
    while True:
        drawn = random(_DRAWN * NONCE_BYTES)
        for at in range(0, len(drawn), NONCE_BYTES):
            yield drawn[at : at + NONCE_BYTES]


def key_number(sealed: bytes) -> int:
    """Return the number of the key that an envelope is sealed under.

    Raises
    ------
    SealBroken
        It is not a version 1 envelope: torn, or put in the place of one.
    """
    if len(sealed) < HEADER_BYTES + TAG_BYTES or sealed[0] != AES_256_GCM:
        version = sealed[0] if sealed else None
        raise SealBroken(f"envelope: expected one of version {AES_256_GCM}, got {len(sealed)} bytes, version {version}")
    return int.from_bytes(sealed[1:_NONCE_AT], "big")


def cipher_of(secret: bytes) -> AESGCM:
    """Return the cipher of a key."""
    # Imported here because it takes 50 to 100 ms, which `import bespeak` need not wait for.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(secret)


def _broken() -> type[Exception]:
    """Return what is raised when a tag does not fit."""
    from cryptography.exceptions import InvalidTag

    return InvalidTag
