"""Who is asking: a key from the headers or the body, or whoever can read the data directory."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping

import msgspec

from bespeak.engine import Engine
from bespeak.errors import Forbidden, Unauthorized
from bespeak.privacy import Key, Scope
from bespeak.server.scopes import require

LOCAL_HEADER = b"x-bespeak-local"
"""Carries the token of the data directory's `server.json` (mode 0600): proof that the caller may read the directory."""


class _WriteKey(msgspec.Struct, frozen=True, rename="camel"):
    """The one field of a body that a sender without headers (`sendBeacon`) puts its key in."""

    write_key: str | None = None


_BODY_KEY = msgspec.json.Decoder(_WriteKey)
_REMEDY = "make one with `bespeak keys create --kind write` (to send) or `--kind secret` (for everything)"


class Gate:
    """Turns headers into a key.

    Parameters
    ----------
    local_token
        What `X-Bespeak-Local` must be; None refuses the header altogether.
    """

    def __init__(self, engine: Engine, *, local_token: str | None = None) -> None:
        self._engine = engine
        self._local_token = local_token
        self._local_key = local_key()

    def sender(self, headers: Mapping[bytes, bytes], body: bytes = b"", *, scope: Scope) -> Key:
        """Return the caller's key when it has a scope.

        Raises
        ------
        Unauthorized
            No key, or one that was never issued, was revoked, has expired or was replaced.
        MissingScope
            The key may not do this.
        """
        key = self._shown(headers, body)
        require(key, scope)
        return key

    def _shown(self, headers: Mapping[bytes, bytes], body: bytes = b"") -> Key:
        """Return the caller's key. Basic wins over `X-Write-Key`, that over Bearer, that over `writeKey` in a body."""
        if self.is_local(headers):
            return self._local_key
        authorization = headers.get(b"authorization", b"")
        scheme, _, credentials = authorization.partition(b" ")
        scheme = scheme.lower()
        if scheme == b"basic":
            return self._known(_basic(credentials))
        stated = headers.get(b"x-write-key")
        if stated is not None:
            return self._known(stated.decode("latin-1").partition(":")[0])
        if scheme == b"bearer":
            bearer = credentials.strip().decode("latin-1")
            if self._engine.is_issued(bearer):
                return self._known(bearer)
        return self._known(_in_body(body))

    def admin(self, headers: Mapping[bytes, bytes], scope: Scope | None) -> Key:
        """Return the caller's key when it is a secret one that has a scope; None asks for one without scopes.

        Raises
        ------
        Unauthorized
            No key, or one that opens nothing.
        Forbidden
            A write key.
        MissingScope
            The key may not do this.
        """
        key = self._shown(headers)
        if key.kind != "secret":
            raise Forbidden(
                "a write key may send events and ask for its own device's decisions; this needs a secret key"
            )
        require(key, scope)
        return key

    def is_local(self, headers: Mapping[bytes, bytes]) -> bool:
        """Say whether the caller has proven that it may read the data directory.

        Raises
        ------
        Unauthorized
            It tried, with another token.
        """
        token = headers.get(LOCAL_HEADER)
        if token is None:
            return False
        if self._local_token is None or not hmac.compare_digest(token, self._local_token.encode()):
            raise Unauthorized("the local token is not the one of this server's data directory")
        return True

    def _known(self, token: str) -> Key:
        if not token:
            raise Unauthorized(f"no key: send it as the user of HTTP Basic, as X-Write-Key, or as writeKey; {_REMEDY}")
        key = self._engine.key(token)
        if key is None:
            why = self._engine.why_refused(token)  # told to whoever shows a token that was once issued, to nobody else
            raise Unauthorized(f"unknown key; {_REMEDY}" if why is None else why)
        return key


def local_key() -> Key:
    """Return the key that stands for the owner of the data directory: everything a secret key may."""
    return Key(id="local", kind="secret", name="local", created=0, digest=b"")


def _basic(credentials: bytes) -> str:
    """Return the user of HTTP Basic; SDKs send `key:` and `key`."""
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        raise Unauthorized(
            "the Authorization header is not HTTP Basic: expected base64 of the key and a colon"
        ) from None


def _in_body(body: bytes) -> str:
    if not body:
        return ""
    try:
        return _BODY_KEY.decode(body).write_key or ""
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""  # the body is at fault, if anything; without a key it is refused before anyone reads it
