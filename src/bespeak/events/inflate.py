"""Bodies that were compressed on their way."""

from __future__ import annotations

import zlib

from bespeak.errors import InvalidInput, TooLarge

_GZIP = b"\x1f\x8b"
_ANY_HEADER = 32 + zlib.MAX_WBITS
_PLAIN = frozenset({"", "identity"})
_COMPRESSED = frozenset({"gzip", "x-gzip", "deflate"})


def inflate(body: bytes, encoding: str | None, limit: int) -> bytes:
    """Return the body as it was before `Content-Encoding`, at most `limit` bytes of it.

    A gzip body is known by its first two bytes too: some SDKs compress without saying so.

    Parameters
    ----------
    encoding
        The `Content-Encoding` header, or None: `gzip`, `deflate`, `identity`, in any case.
    limit
        Most bytes that the body may have once decompressed.

    Raises
    ------
    TooLarge
        More than `limit` bytes come out; nothing more than that is ever held.
    InvalidInput
        The encoding is not one of these, or the body is not what it says, or is cut short.
    """
    named = (encoding or "").strip().lower()
    if named not in _PLAIN and named not in _COMPRESSED:
        raise InvalidInput(f"Content-Encoding must be gzip, deflate or identity, got {named[:40]!r}")
    if named in _PLAIN and not body.startswith(_GZIP):
        if len(body) > limit:
            raise too_large(limit)
        return body
    return _decompress(body, limit)


def too_large(limit: int) -> TooLarge:
    """Return the error for a body over its bound."""
    return TooLarge(f"the body must have at most {limit:,} bytes; send smaller batches")


def _decompress(body: bytes, limit: int) -> bytes:
    out = bytearray()
    rest = body
    while rest:
        stream = zlib.decompressobj(_ANY_HEADER)
        try:
            out += stream.decompress(rest, limit + 1 - len(out))
        except zlib.error as error:
            raise InvalidInput(f"the body is not gzip or deflate: {error}") from None
        if len(out) > limit or stream.unconsumed_tail:
            raise too_large(limit)
        if not stream.eof:
            raise InvalidInput("the compressed body is cut short")
        rest = stream.unused_data
    return bytes(out)
