"""Load for a real server in a process of its own: bodies over kept connections, each answer awaited."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bespeak.engine import Definition, Engine
from bespeak.errors import Unavailable
from bespeak.settings import Settings
from bespeak.stores import read_owner

CONNECTIONS = 16
START_SECONDS = 30.0


async def ingest_by_http(folder: Path, definitions: tuple[Definition, ...], bodies: list[bytes], batch: int) -> float:
    """Return the events a second that a server takes in, from the first byte sent to the last answer read."""
    token = await _prepare(folder, definitions)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bespeak",
        "serve",
        "--data",
        str(folder),
        "--port",
        "0",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        host, port = await address(folder)
        await _until_ready(host, port)
        began = time.perf_counter()
        await send(host, port, token, bodies)
        took = time.perf_counter() - began
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
    return len(bodies) * batch / took


async def _prepare(folder: Path, definitions: tuple[Definition, ...]) -> str:
    engine = Engine.open(Settings(data_dir=str(folder)))
    await engine.start()
    _, token = await engine.create_key("write", "bench")
    await engine.apply(definitions)
    await engine.close()
    return token


async def address(folder: Path) -> tuple[str, int]:
    """Wait until the server of a data directory has announced where it answers."""
    for _ in range(round(START_SECONDS * 20)):
        owner = read_owner(folder)
        if owner:
            return _parts(owner)
        await asyncio.sleep(0.05)
    raise Unavailable(f"the server did not start within {START_SECONDS:.0f} s")


async def _until_ready(host: str, port: int) -> None:
    """Wait until a server that has announced itself takes requests: before, it says that it is opening its store."""
    for _ in range(round(START_SECONDS * 20)):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"GET /ready HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        status = await reader.readline()
        writer.close()
        if b" 200 " in status:
            return
        await asyncio.sleep(0.05)
    raise Unavailable(f"the server was not ready within {START_SECONDS:.0f} s")


def _parts(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)


Answered = Callable[[float, float], None]
"""Told of each answer when its request was sent and when it was read, by `time.monotonic`."""


async def send(
    host: str, port: int, token: str, bodies: Iterable[bytes], answered: Answered = lambda _began, _ended: None
) -> None:
    """Send every body, over as many connections as a small site has, and wait for every answer."""
    queue = iter(bodies)
    await asyncio.gather(*(_send(host, port, token, queue, answered) for _ in range(CONNECTIONS)))


async def _send(host: str, port: int, token: str, bodies: Iterator[bytes], answered: Answered) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    credentials = b64encode(f"{token}:".encode()).decode()
    for body in bodies:
        lines = (
            "POST /v1/batch HTTP/1.1",
            f"Host: {host}",
            f"Authorization: Basic {credentials}",
            f"Content-Length: {len(body)}",
        )
        began = time.monotonic()
        writer.write("\r\n".join((*lines, "", "")).encode() + body)
        status = await reader.readline()
        if b" 200 " not in status:
            raise Unavailable(f"the server answered {status.decode(errors='replace').strip()}")
        length = 0
        while (line := await reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        await reader.readexactly(length)
        answered(began, time.monotonic())
    writer.close()
    await writer.wait_closed()


def _main(url: str, token: str, path: str) -> None:
    """Send the bodies of a file, one a line: a client in a process of its own."""
    host, port = _parts(url)
    asyncio.run(send(host, port, token, Path(path).read_bytes().split(b"\n")))


if __name__ == "__main__":
    _main(*sys.argv[1:])
