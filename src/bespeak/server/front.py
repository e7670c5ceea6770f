"""The first thing a request meets: a bound on requests at work, CORS, trailing slashes, and the hot paths by name."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bespeak.server.answers import Answer, ErrorBody, json_answer, send_answer
from bespeak.server.logs import REQUEST_ID, request_id
from bespeak.settings import ServerSettings

access_log = logging.getLogger("bespeak.server.access")

_METHODS = b"GET, POST, PUT, DELETE, OPTIONS"
_HEADERS = (
    b"authorization, content-type, content-encoding, if-match, x-retry-count, x-request-id, x-strict-mode, x-write-key"
)
_EXPOSED = b"retry-after, etag, x-request-id"
_PREFLIGHT_SECONDS = b"7200"


class Front:
    """Pure ASGI in front of the application; the hot endpoints are found by one look into a dict.

    Parameters
    ----------
    app
        The whole application; it has the hot endpoints too, as routes.
    hot
        The hot endpoints by method and path.
    patient
        Paths whose answers wait for the disk; they never take the last quarter of `requests_max`.
    took
        Told the kind of each request (`events`, `decisions`, `other`) and the seconds that it took; those that are
        turned away for want of room do not count.
    """

    def __init__(
        self,
        app: ASGIApp,
        hot: Mapping[tuple[str, str], ASGIApp],
        settings: ServerSettings,
        *,
        patient: frozenset[str] = frozenset(),
        took: Callable[[str, float], None] | None = None,
    ) -> None:
        self._app = app
        self._hot = dict(hot)
        self._settings = settings
        self._origins = frozenset(origin.encode() for origin in settings.cors_origins)
        self._patient = patient
        self._took = took
        self._at_work = 0

    @property
    def at_work(self) -> int:
        """Requests that have begun and are not answered."""
        return self._at_work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request to whom it is for."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = request_id(_header(scope, b"x-request-id"))
        send = _with_headers(send, ((b"x-request-id", said.encode()),))
        token = REQUEST_ID.set(said)
        try:
            await self._admit(scope, receive, send)
        finally:
            REQUEST_ID.reset(token)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = _header(scope, b"origin")
        if origin is not None:
            allowed = self._allowed(origin)
            if scope["method"] == "OPTIONS":
                await send_answer(send, _preflight(scope, allowed))
                return
            send = _with_headers(send, allowed)
        if self._at_work >= self._bound(scope["path"]):
            await send_answer(send, _BUSY)
            return
        self._at_work += 1
        began = time.perf_counter()
        try:
            await (self._logged if self._settings.access_log else self._dispatch)(scope, receive, send)
        finally:
            self._at_work -= 1
            if self._took is not None:
                self._took(self._kind(scope), time.perf_counter() - began)

    def _bound(self, path: str) -> int:
        most = self._settings.requests_max
        return most - most // 4 if path in self._patient or path.rstrip("/") in self._patient else most

    def _kind(self, scope: Scope) -> str:
        path = scope["path"].rstrip("/")
        if path in self._patient:
            return "events"
        return "decisions" if (scope["method"], path) in self._hot else "other"

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if len(path) > 1 and path.endswith("/"):
            path = path.rstrip("/") or "/"
            scope = {**scope, "path": path, "raw_path": path.encode()}
        hot = self._hot.get((scope["method"], path))
        if hot is not None:
            await hot(scope, receive, send)
            return
        with contextlib.suppress(Exception):  # answered and logged already; raised again, its text would be logged too
            await self._app(scope, receive, send)

    async def _logged(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        begun = time.perf_counter()
        await self._dispatch(scope, receive, noted)
        milliseconds = (time.perf_counter() - begun) * 1_000
        access_log.info("%s %s %d %.1f ms", scope["method"], scope["path"], status, milliseconds)

    def _allowed(self, origin: bytes) -> tuple[tuple[bytes, bytes], ...]:
        if b"*" in self._origins:
            return ((b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", _EXPOSED))
        if origin in self._origins:
            return (
                (b"access-control-allow-origin", origin),
                (b"access-control-expose-headers", _EXPOSED),
                (b"vary", b"Origin"),
            )
        return ((b"vary", b"Origin"),)


_BUSY = Answer(
    json_answer(ErrorBody("overloaded", "too many requests at once; please try again")).body,
    status=503,
    headers=((b"retry-after", b"1"),),
)


def _preflight(scope: Scope, allowed: tuple[tuple[bytes, bytes], ...]) -> Answer:
    """Answer a browser's question whether it may; what headers it asks for is echoed, since no cookie is ever read."""
    asked = _header(scope, b"access-control-request-headers")
    extra = (
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", asked if asked is not None else _HEADERS),
        (b"access-control-max-age", _PREFLIGHT_SECONDS),
    )
    return Answer(
        b"", status=200, content_type=b"text/plain", headers=(*allowed, *extra) if len(allowed) > 1 else allowed
    )


def _with_headers(send: Send, extra: tuple[tuple[bytes, bytes], ...]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *extra]}
        await send(message)

    return sending


def _header(scope: Scope, name: bytes) -> bytes | None:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    for key, value in headers:
        if key == name:
            return value
    return None
