"""Keys: who may send events, and who may do everything.

A *write* key is public (it stands in the page's source): it sends events and asks for decisions about its own
device. A *secret* key stays on servers. We keep only a digest of a token, so a copy of the store opens nothing;
a token is 160 random bits, so a plain SHA-256 is enough (there is nothing to guess).

A write key also has a signing secret, which the site's own server uses to prove who is logged in:
`userSignature = HMAC-SHA256(signing secret, user id)` in hexadecimal.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias, get_args

import msgspec

from bespeak.clock import Instant
from bespeak.errors import InvalidInput

KeyKind: TypeAlias = Literal["write", "secret"]

PREFIXES: dict[KeyKind, str] = {"write": "bsw_", "secret": "bss_"}
"""How a token begins, so that a person and a secret scanner can tell the two apart."""

NAME_LENGTH_MAX = 100
"""Characters of a key's name: it is the `source` of every event that comes with it."""

TOKEN_BYTES = 20
ID_BYTES = 5
SIGNING_BYTES = 32


class Key(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One key, without its token.

    Parameters
    ----------
    id
        Names the key in lists and when it is revoked; not secret.
    name
        The `source` of every event that comes with it; 1 to 100 characters.
    created
        When it was made (microseconds).
    digest
        SHA-256 of the token, 32 bytes.
    signing_secret
        Write keys only: what user ids are signed with.
    revoked
        Since when it no longer opens anything; None while it does.
    """

    id: str
    kind: KeyKind
    name: str
    created: Instant
    digest: bytes
    signing_secret: str | None = None
    revoked: Instant | None = None

    def __repr__(self) -> str:
        return f"Key(id={self.id!r}, kind={self.kind!r}, name={self.name!r})"


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Key)


RESERVED: Mapping[str, str] = {
    "bespeak": "the server writes itself",
    "import": "come from an import",
    "local": "come from whoever can read the data directory",
}
"""Names that no key may have, and whose they are: the name of a key stands in each of its events."""


def make_key(kind: KeyKind, name: str, *, at: Instant, token_bytes: Callable[[int], bytes]) -> tuple[Key, str]:
    """Make a key and its token; the token is shown once and kept nowhere.

    Parameters
    ----------
    token_bytes
        Gives that many unguessable bytes: `secrets.token_bytes`.

    Raises
    ------
    InvalidInput
        The kind is neither `write` nor `secret`, or the name is empty, longer than 100 characters, or reserved.

    Examples
    --------
    >>> key, token = make_key("write", "shop", at=0, token_bytes=bytes)
    >>> key.name, token[:8], key.digest == digest_token(token)
    ('shop', 'bsw_aaaa', True)
    """
    if kind not in get_args(KeyKind):
        raise InvalidInput(f"key kind: expected 'write' or 'secret', got {kind!r}")
    if not 1 <= len(name.strip()) <= NAME_LENGTH_MAX:
        raise InvalidInput(f"key name: expected 1 to {NAME_LENGTH_MAX} characters, got {len(name.strip())}")
    if name.strip().lower() in RESERVED:
        raise InvalidInput(
            f"key name: {name.strip()!r} is what events are marked with that {RESERVED[name.strip().lower()]};"
            " choose another name"
        )
    token = PREFIXES[kind] + _text(token_bytes(TOKEN_BYTES))
    key = Key(
        id="key_" + _text(token_bytes(ID_BYTES)),
        kind=kind,
        name=name.strip(),
        created=at,
        digest=digest_token(token),
        signing_secret=token_bytes(SIGNING_BYTES).hex() if kind == "write" else None,
    )
    return key, token


def digest_token(token: str) -> bytes:
    """Return the 32 bytes that a token is looked up by."""
    return hashlib.sha256(token.encode()).digest()


def sign(signing_secret: str, user_id: str) -> str:
    """Return the `userSignature` of a user id: HMAC-SHA256 in 64 hexadecimal digits.

    Examples
    --------
    >>> sign("key", "The quick brown fox jumps over the lazy dog")
    'f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8'
    """
    return hmac.digest(signing_secret.encode(), user_id.encode(), "sha256").hex()


def verify(signing_secret: str, user_id: str, signature: str) -> bool:
    """Say whether a `userSignature` belongs to the user id; takes as long for a wrong one as for a right one."""
    return hmac.compare_digest(sign(signing_secret, user_id).encode(), signature.strip().lower().encode())


def encode_key(key: Key) -> bytes:
    """Return the bytes under which a key is kept (a document of kind `key`, under its id)."""
    return _encoder.encode(key)


def decode_key(data: bytes) -> Key:
    """Read what `encode_key` wrote.

    Raises
    ------
    InvalidInput
        The bytes are not a key.
    """
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"expected the bytes of a key, got {len(data)} bytes that are none: {error}") from error


def _text(raw: bytes) -> str:
    """Lower-case base32 without padding: it survives URLs, headers and double clicks."""
    return base64.b32encode(raw).decode().rstrip("=").lower()
