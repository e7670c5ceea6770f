"""The envelope around the private part of a record: the first byte says how it was sealed.

    version 0   00 | data                                                sealed under no key yet
    version 1   01 | key id (16) | nonce (12) | ciphertext | tag (16)    AES-256-GCM

Every private field has worn an envelope since the first record, so that turning encryption on rewrites nothing:
old and new records are told apart by their first byte.

Version 1 authenticates, beside the data, the header and the *binding*: the tenant, the subject and the field that
it belongs to. Bytes copied to another person's row do not open. A key serves at most 2^32 seals with random nonces
(NIST SP 800-38D, section 8.3), which a key for each subject makes easy to keep.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from bespeak.errors import OwnError

PLAIN = 0
AES_256_GCM = 1

KEY_ID_BYTES = 16
KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
HEADER_BYTES = 1 + KEY_ID_BYTES + NONCE_BYTES

_PLAIN = bytes([PLAIN])


class SealBroken(OwnError):
    """An envelope does not open: changed bytes, another binding, a wrong key or a form that we do not know."""

    code = "seal_broken"


class KeyMissing(OwnError):
    """The key of an envelope is not there: the person was erased, or the key file is another one."""

    code = "key_missing"


class DataKey(msgspec.Struct, frozen=True):
    """A key to seal with: its id (16 bytes, stands in the header) and its secret (32 bytes)."""

    id: bytes
    secret: bytes

    def __post_init__(self) -> None:
        if len(self.id) != KEY_ID_BYTES or len(self.secret) != KEY_BYTES:
            raise ValueError(
                f"a data key has an id of {KEY_ID_BYTES} and a secret of {KEY_BYTES} bytes,"
                f" got {len(self.id)} and {len(self.secret)}",
            )

    def __repr__(self) -> str:
        return f"DataKey(id={self.id.hex()})"


class Binding(msgspec.Struct, frozen=True):
    """What sealed bytes belong to; they open nowhere else."""

    tenant: str
    subject: str
    field: str

    def encode(self) -> bytes:
        """Return the bytes that are authenticated; each part with its length, so that parts cannot run together."""
        parts = (self.tenant.encode(), self.subject.encode(), self.field.encode())
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


FindKey: TypeAlias = Callable[[bytes], bytes | None]
"""From key id to secret; None when it was destroyed."""


def seal(data: bytes) -> bytes:
    """Put data into a version 0 envelope.

    Examples
    --------
    >>> open_(seal(b"hello"))
    b'hello'
    """
    return _PLAIN + data


def seal_under(key: DataKey, binding: Binding, data: bytes, *, nonce: bytes) -> bytes:
    """Put data into a version 1 envelope.

    Parameters
    ----------
    nonce
        12 random bytes, never used before with this key.

    Raises
    ------
    ValueError
        The nonce does not have 12 bytes.
    """
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce has {NONCE_BYTES} bytes, got {len(nonce)}")
    header = bytes([AES_256_GCM]) + key.id + nonce
    return header + encrypt(key.secret, nonce, data, header + binding.encode())


def open_(
    sealed: bytes,
    *,
    binding: Binding | None = None,
    find_key: FindKey | None = None,
    plain: bool = True,
) -> bytes:
    """Return what an envelope holds, whatever its version.

    Parameters
    ----------
    plain
        Whether version 0 may be opened. Say False where everything is known to be sealed under a key: else whoever
        can write to the disk could put plain bytes in the place of sealed ones.

    Raises
    ------
    SealBroken
        The bytes, the binding or the key are not those that it was sealed with, or it is plain and may not be.
    KeyMissing
        `find_key` knows no such key, or none was given for an envelope that needs one.
    """
    version = sealed[0] if sealed else -1
    if version == PLAIN and plain:
        return sealed[1:]
    if version != AES_256_GCM:
        expected = f"{PLAIN} or {AES_256_GCM}" if plain else f"{AES_256_GCM}"
        raise SealBroken(f"envelope: expected version {expected} in the first byte, got {version}")
    if len(sealed) < HEADER_BYTES + TAG_BYTES:
        raise SealBroken(f"envelope: expected at least {HEADER_BYTES + TAG_BYTES} bytes, got {len(sealed)}")
    key_id = sealed[1 : 1 + KEY_ID_BYTES]
    secret = find_key(key_id) if find_key is not None else None
    if secret is None or binding is None:
        raise KeyMissing(f"envelope: no key {key_id.hex()} to open it with")
    return _decrypt(secret, sealed, binding)


def key_id_of(sealed: bytes) -> bytes | None:
    """Return the id of the key that an envelope is sealed under; None for version 0."""
    return sealed[1 : 1 + KEY_ID_BYTES] if sealed[:1] == bytes([AES_256_GCM]) else None


def encrypt(secret: bytes, nonce: bytes, data: bytes, associated: bytes) -> bytes:
    """AES-256-GCM: return ciphertext and 16-byte tag."""
    # Imported here because it takes 50 to 100 ms, which a start without encryption need not wait for.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(secret).encrypt(nonce, data, associated)


def _decrypt(secret: bytes, sealed: bytes, binding: Binding) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    header = sealed[:HEADER_BYTES]
    nonce = header[-NONCE_BYTES:]
    try:
        return AESGCM(secret).decrypt(nonce, sealed[HEADER_BYTES:], header + binding.encode())
    except InvalidTag:
        raise SealBroken(
            f"envelope of {binding.field!r}: its tag does not fit; it was changed, or belongs to another subject",
        ) from None
