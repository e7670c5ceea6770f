"""What is answered while the store is opened: alive, not ready, try again. A long replay must not look like a death."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from typing import Self

import msgspec

from bespeak import __version__
from bespeak.server.answers import ErrorBody

_SECONDS = 2.0
"""How long one client may take; they are answered one after the other."""

_HEAD_BYTES = 64 * 1024
_LEFT_BYTES = 1_000_000
"""How much of a body is read and thrown away, so that the client gets to read its answer."""

_ALIVE = msgspec.json.encode({"status": "ok", "service": "bespeak", "version": __version__})
_LATER = msgspec.json.encode(ErrorBody("unavailable", "not now; please try again"))


class Opening:
    """Answers on a listening socket, from a thread, until the block is left; then the socket is free for the server.

    `/health` is 200, everything else 503 with `Retry-After`.
    """

    def __init__(self, listening: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        self._listening = listening
        self._tls = tls
        self._stopped, self._stop = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="bespeak-opening", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.close()
        self._thread.join()
        self._stopped.close()

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._listening, self._stopped], [], [])
            if self._stopped in ready:
                return
            with contextlib.suppress(OSError):  # the client has gone, or is too slow: nobody waits for an answer
                client, _ = self._listening.accept()
                with client:
                    client.settimeout(_SECONDS)
                    self._answer(client)

    def _answer(self, plain: socket.socket) -> None:
        client = plain if self._tls is None else self._tls.wrap_socket(plain, server_side=True)
        with client:
            client.sendall(_response(_read_head(client)))
            if self._tls is None:
                client.shutdown(socket.SHUT_WR)
            left = _LEFT_BYTES
            while left > 0 and (chunk := client.recv(65_536)):
                left -= len(chunk)


def _read_head(client: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _HEAD_BYTES:
        chunk = client.recv(65_536)
        if not chunk:
            break
        head += chunk
    return head


def _response(head: bytes) -> bytes:
    """Return the whole answer to a request of which the head is known.

    Examples
    --------
    >>> _response(b"GET /health HTTP/1.1").splitlines()[0]
    b'HTTP/1.1 200 OK'
    >>> _response(b"POST /v1/batch HTTP/1.1").splitlines()[0]
    b'HTTP/1.1 503 Service Unavailable'
    """
    words = head.split(b"\r\n", 1)[0].split(b" ")
    alive = len(words) > 1 and words[1].partition(b"?")[0].rstrip(b"/") == b"/health"
    status, body = (b"200 OK", _ALIVE) if alive else (b"503 Service Unavailable", _LATER)
    lines = (
        b"HTTP/1.1 " + status,
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        b"retry-after: 1",
        b"connection: close",
    )
    return b"\r\n".join((*lines, b"", body))
