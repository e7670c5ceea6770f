"""Bodies, read with a bound on bytes and on time, whatever the client says about them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import Message, Receive

from bespeak.errors import TooLarge
from bespeak.events import inflate
from bespeak.server.answers import RequestTimeout

_DISCARD_BYTES = 8_000_000
"""How much of an oversize body is read and thrown away, so that an honest client gets to read its 400."""


class Disconnected(Exception):
    """The client went away before its body was there; nobody waits for an answer."""


class BodyLimits:
    """The bounds of one kind of body: `bytes_max` on the wire and again when inflated, `seconds` to arrive."""

    __slots__ = ("bytes_max", "seconds")

    def __init__(self, bytes_max: int, seconds: float) -> None:
        self.bytes_max = bytes_max
        self.seconds = seconds


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limits: BodyLimits) -> bytes:
    """Return the whole body, inflated when it is gzip by header or by its first bytes.

    The content type is ignored: SDKs send JSON as `text/plain` and as a form.

    Raises
    ------
    TooLarge
        More than `bytes_max`, on the wire or inflated. At most 8 MB more are read, and none of it is kept.
    RequestTimeout
        The body did not arrive in time.
    Disconnected
        The client went away.
    """
    try:
        async with asyncio.timeout(limits.seconds):
            body = await _collect(receive, limits.bytes_max)
    except TimeoutError:
        raise RequestTimeout(f"the body did not arrive within {limits.seconds:g} seconds; send it again") from None
    encoding = headers.get(b"content-encoding")
    return inflate(body, encoding.decode("latin-1") if encoding else None, limits.bytes_max)


async def _collect(receive: Receive, bytes_max: int) -> bytes:
    message = await _next(receive)
    first: bytes = message.get("body", b"")
    if not message.get("more_body", False) and len(first) <= bytes_max:
        return first
    kept, size = [first], len(first)
    while message.get("more_body", False) and size <= bytes_max + _DISCARD_BYTES:
        message = await _next(receive)
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size <= bytes_max:
            kept.append(chunk)
        else:
            kept.clear()
    if size > bytes_max:
        raise TooLarge(f"the body has more than {bytes_max:,} bytes; send smaller batches")
    return b"".join(kept)


async def _next(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    return message
