"""Keys: who may send events, and who may do everything.

A *write* key is public (it stands in the page's source): it sends events and asks for decisions about its own
device. A *secret* key stays on servers. We keep only a digest of a token, so a copy of the store opens nothing;
a token is 160 random bits, so a plain SHA-256 is enough (there is nothing to guess).

A write key also has a signing secret, which the site's own server uses to prove who is logged in:
`userSignature = HMAC-SHA256(signing secret, user id)` in hexadecimal.

A key may be held to *scopes*, and may expire. *Rotating* it makes a new token (and signing secret) for the same key:
its name, which duplicates are told by, stays; the token before works until the overlap is over.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias, get_args

import msgspec

from bespeak.clock import DAY, Duration, Instant, format_duration, format_time
from bespeak.errors import Conflict, InvalidInput

KeyKind: TypeAlias = Literal["write", "secret"]

Scope: TypeAlias = Literal[
    "events",
    "decide",
    "profiles:read",
    "profiles:erase",
    "definitions:read",
    "definitions:write",
    "catalog:read",
    "catalog:write",
    "keys",
    "ops",
]

SCOPES: Mapping[Scope, str] = {
    "events": "send events; with a secret key also those of the past, and about anybody",
    "decide": "ask for decisions",
    "profiles:read": "read profiles, why somebody is in a segment, the quarantine, and the reasons of a decision",
    "profiles:erase": "erase a person",
    "definitions:read": "read segments, traits, scores, rules, experiments and content, and count members",
    "definitions:write": "change and end them",
    "catalog:read": "read items",
    "catalog:write": "put and remove items",
    "keys": "list, make, rotate and revoke keys that may no more than this one",
    "ops": "write a checkpoint, change the master key",
}
"""What a key can be held to, and what each lets it do."""

WRITE_SCOPES: frozenset[Scope] = frozenset({"events", "decide"})
"""What a write key may at the most."""

_EVERY_SCOPE: frozenset[Scope] = frozenset(SCOPES)

PREFIXES: dict[KeyKind, str] = {"write": "bsw_", "secret": "bss_"}
"""How a token begins, so that a person and a secret scanner can tell the two apart."""

NAME_LENGTH_MAX = 100
"""Characters of a key's name: it is the `source` of every event that comes with it."""

FORMER_MAX = 8
"""Tokens before the present one that are remembered, so that whoever shows one hears that it was replaced."""

OVERLAP_MAX: Duration = 365 * DAY
"""How long a token may go on working beside its successor."""

TOKEN_BYTES = 20
ID_BYTES = 5
SIGNING_BYTES = 32


class Former(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A token that was replaced, without the token.

    Parameters
    ----------
    digest
        SHA-256 of the token, 32 bytes.
    since
        When it was made.
    until
        It works at `at < until`, while its key does.
    signing_secret
        Write keys only: what user ids were signed with; None once it was found to be over.
    """

    digest: bytes
    since: Instant
    until: Instant
    signing_secret: str | None = None

    def __repr__(self) -> str:
        return f"Former(since={self.since}, until={self.until})"


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
    scopes
        What it may, in the order of `SCOPES`; None: everything that its kind may.
    expires
        It works at `at < expires`; None: until it is revoked.
    rotated
        When its present token was made; None: when the key was.
    former
        The tokens before, the newest first; at most 8.
    """

    id: str
    kind: KeyKind
    name: str
    created: Instant
    digest: bytes
    signing_secret: str | None = None
    revoked: Instant | None = None
    scopes: tuple[Scope, ...] | None = None
    expires: Instant | None = None
    rotated: Instant | None = None
    former: tuple[Former, ...] = ()

    def __repr__(self) -> str:
        return f"Key(id={self.id!r}, kind={self.kind!r}, name={self.name!r})"

    @property
    def since(self) -> Instant:
        """When the present token was made."""
        return self.created if self.rotated is None else self.rotated

    @property
    def allowed(self) -> frozenset[Scope]:
        """Everything that it may."""
        if self.scopes is not None:
            return frozenset(self.scopes)
        return WRITE_SCOPES if self.kind == "write" else _EVERY_SCOPE

    def allows(self, scope: Scope) -> bool:
        """Say whether it may do what a scope stands for."""
        return scope in self.allowed

    def in_force(self, at: Instant) -> bool:
        """Say whether its present token opens anything at `at`."""
        return self.revoked is None and (self.expires is None or at < self.expires)

    def signing_secrets(self, at: Instant) -> tuple[str, ...]:
        """Return what a user id may be signed with at `at`: the present secret first, then those in their overlap."""
        before = (one.signing_secret for one in self.former if at < one.until)
        return tuple(secret for secret in (self.signing_secret, *before) if secret is not None)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Key)


RESERVED: Mapping[str, str] = {
    "bespeak": "the server writes itself",
    "import": "come from an import",
    "local": "come from whoever can read the data directory",
}
"""Names that no key may have, and whose they are: the name of a key stands in each of its events."""


def make_key(
    kind: KeyKind,
    name: str,
    *,
    at: Instant,
    token_bytes: Callable[[int], bytes],
    scopes: Sequence[str] | None = None,
    expires: Instant | None = None,
) -> tuple[Key, str]:
    """Make a key and its token; the token is shown once and kept nowhere.

    Parameters
    ----------
    token_bytes
        Gives that many unguessable bytes: `secrets.token_bytes`.
    scopes
        What it may; None for everything that its kind may.
    expires
        When it ends by itself; None for never.

    Raises
    ------
    InvalidInput
        The kind is neither `write` nor `secret`, the name is empty, longer than 100 characters or reserved, or the
        scopes are none that such a key can have.

    Examples
    --------
    >>> key, token = make_key("write", "shop", at=0, token_bytes=bytes)
    >>> key.name, token[:8], key.digest == digest_token(token)
    ('shop', 'bsw_aaaa', True)
    >>> make_key("secret", "reports", at=0, token_bytes=bytes, scopes=["profiles:read"])[0].allows("profiles:erase")
    False
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
    token = _token(kind, token_bytes)
    key = Key(
        id="key_" + _text(token_bytes(ID_BYTES)),
        kind=kind,
        name=name.strip(),
        created=at,
        digest=digest_token(token),
        signing_secret=_signing_secret(kind, token_bytes),
        scopes=None if scopes is None else _scopes(kind, scopes),
        expires=expires,
    )
    return key, token


def rotate_key(
    key: Key,
    *,
    at: Instant,
    overlap: Duration,
    token_bytes: Callable[[int], bytes],
    expires: Instant | None = None,
) -> tuple[Key, str]:
    """Give a key a new token, and a new signing secret if it has one; what was there works until the overlap is over.

    Parameters
    ----------
    overlap
        How long the token before goes on working; zero ends it at once.
    expires
        When the key ends by itself; None leaves that as it is.

    Raises
    ------
    InvalidInput
        The overlap is negative or longer than 365 days.
    Conflict
        The key was revoked, has expired (and `expires` is None), or too many of its tokens still work.

    Examples
    --------
    >>> key, _ = make_key("write", "shop", at=0, token_bytes=bytes)
    >>> turned, _ = rotate_key(key, at=100, overlap=50, token_bytes=lambda size: b"n" * size)
    >>> turned.name, why_refused(turned, key.digest, 149), why_refused(turned, turned.digest, 10**18)
    ('shop', None, None)
    >>> "was replaced" in why_refused(turned, key.digest, 150)
    True
    """
    if not 0 <= overlap <= OVERLAP_MAX:
        raise InvalidInput(f"overlap: expected up to {format_duration(OVERLAP_MAX)}, got {format_duration(overlap)}")
    if key.revoked is not None:
        raise Conflict(f"key {key.id} was revoked; make another with `bespeak keys create`")
    if expires is None and not key.in_force(at):
        raise Conflict(f"key {key.id} has expired; say until when the new token works, such as --expires 90d")
    until = at + overlap if key.expires is None else min(at + overlap, key.expires)
    older = tuple(one if at < one.until else _without_secret(one) for one in key.former)
    if any(at < one.until for one in older[FORMER_MAX - 1 :]):
        raise Conflict(f"{FORMER_MAX} tokens of key {key.id} still work; wait for an overlap to end, or revoke the key")
    former = Former(digest=key.digest, since=key.since, until=until, signing_secret=key.signing_secret)
    token = _token(key.kind, token_bytes)
    turned = msgspec.structs.replace(
        key,
        digest=digest_token(token),
        signing_secret=_signing_secret(key.kind, token_bytes),
        expires=key.expires if expires is None else expires,
        rotated=at,
        former=(former, *older)[:FORMER_MAX],
    )
    return turned, token


def why_refused(key: Key, digest: bytes, at: Instant) -> str | None:
    """Say why a token of this key opens nothing at `at`; None when it does.

    Parameters
    ----------
    digest
        That of the token: of `key`, or of one before it.
    """
    if key.revoked is not None:
        return f"key {key.id} was revoked at {_second(key.revoked)}"
    if key.expires is not None and at >= key.expires:
        return f"key {key.id} expired at {_second(key.expires)}"
    if digest == key.digest:
        return None
    until = next((former.until for former in key.former if former.digest == digest), 0)
    if at < until:
        return None
    return f"this token of key {key.id} was replaced, and worked until {_second(until)}; use the new one"


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


def _token(kind: KeyKind, token_bytes: Callable[[int], bytes]) -> str:
    return PREFIXES[kind] + _text(token_bytes(TOKEN_BYTES))


def _signing_secret(kind: KeyKind, token_bytes: Callable[[int], bytes]) -> str | None:
    return token_bytes(SIGNING_BYTES).hex() if kind == "write" else None


def _scopes(kind: KeyKind, given: Sequence[str]) -> tuple[Scope, ...]:
    """Check scopes and bring them into the order of `SCOPES`, each once."""
    can: dict[str, Scope] = {scope: scope for scope in SCOPES if kind == "secret" or scope in WRITE_SCOPES}
    wrong = next((scope for scope in given if scope not in can), None)
    if wrong is not None or not given:
        found = "none" if wrong is None else repr(wrong)
        raise InvalidInput(f"scope: expected one or more of {', '.join(can)} for a {kind} key, got {found}")
    return tuple(scope for name, scope in can.items() if name in given)


def _without_secret(former: Former) -> Former:
    return msgspec.structs.replace(former, signing_secret=None)


def _second(at: Instant) -> str:
    return format_time(at // 1_000_000 * 1_000_000)


def _text(raw: bytes) -> str:
    """Lower-case base32 without padding: it survives URLs, headers and double clicks."""
    return base64.b32encode(raw).decode().rstrip("=").lower()
