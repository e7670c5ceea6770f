"""uvicorn's HTTP protocol with two bounds it lacks: how long and how large the head of a request may be."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64 * 1024
"""Request line and headers together."""


def bounded_protocol(header_seconds: float) -> type[asyncio.Protocol]:  # noqa: C901  one class, six short methods
    """Return the protocol for a server whose clients have `header_seconds` for the head of each request.

    The clock runs from the connection, and again from the first byte of each further request; between requests
    uvicorn's own keep-alive timeout rules. A body has its own time (`bodies.read_body`).
    """

    class Bounded(HttpToolsProtocol):
        """One connection."""

        _head_timer: asyncio.TimerHandle | None = None
        _head_bytes = 0
        _in_head = True

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._start_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_head()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._in_head:
                self._head_bytes += len(data)
                if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
                    self.send_400_response("The head of the request is too large.")

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._start_head()

        def on_headers_complete(self) -> None:
            self._stop_head()
            super().on_headers_complete()

        def _start_head(self) -> None:
            self._in_head = True
            self._head_bytes = 0
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(header_seconds, self._late)

        def _stop_head(self) -> None:
            self._in_head = False
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def _late(self) -> None:
            self._head_timer = None
            if not self.transport.is_closing():
                self.transport.close()

    return Bounded
