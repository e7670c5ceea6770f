"""The public wire, as a visitor's browser uses it: one small HTTP/1.0 request at a time, no library."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import msgspec

from bespeak.errors import Unavailable

_SECONDS = 10.0
_BYTES_MAX = 20_000_000


class Reply(msgspec.Struct, frozen=True):
    """What the server answered."""

    status: int
    body: bytes


async def request(method: str, url: str, body: bytes = b"", *, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """Send one request to a server of plain HTTP and return its answer.

    Raises
    ------
    Unavailable
        There is no server, it hung up, or it took longer than ten seconds.
    """
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {target or '/'} HTTP/1.0", f"Host: {parts.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    try:
        async with asyncio.timeout(_SECONDS):
            return await _exchange(
                parts.hostname or "", parts.port or 80, "\r\n".join(lines).encode() + b"\r\n\r\n" + body
            )
    except (OSError, TimeoutError, ValueError, IndexError) as error:
        raise Unavailable(f"{method} {url}: {str(error) or type(error).__name__}") from error


async def _exchange(host: str, port: int, data: bytes) -> Reply:
    reader, writer = await asyncio.open_connection(host, port, limit=_BYTES_MAX)
    try:
        writer.write(data)
        await writer.drain()
        answer = await reader.read(-1)
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return Reply(int(head.split(b" ", 2)[1]), body)
