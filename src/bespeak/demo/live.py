"""The live view: what arrives, how segments move, how many decisions a second; the figures of `/metrics`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from bespeak.demo.drawing import draw
from bespeak.engine import Engine, Live, Subscription
from bespeak.events.vocabulary import DECISION_MADE
from bespeak.server import Draining

EVERY_SECONDS = 1.0
ROWS_MAX = 12
"""Rows that one second may add to the feed: more cannot be read."""

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_OF_THE_TOWN = re.compile(r"w\d+-(\d+)-\w+")
"""The devices of the simulated people: `w7-00012-mobile`."""
_encode = msgspec.json.Encoder().encode


class LiveView:
    """The page at `/live`, its figures at `/live/figures`, and both as a stream at `/live/stream`."""

    def __init__(self, engine: Engine, draining: Draining) -> None:
        self._engine = engine
        self._draining = draining

    def routes(self) -> list[BaseRoute]:
        """Return the three routes."""
        return [
            Route("/live", self._page, include_in_schema=False),
            Route("/live/figures", self._figures, include_in_schema=False),
            Route("/live/stream", self._stream, include_in_schema=False),
        ]

    async def _page(self, _request: Request) -> Response:
        return HTMLResponse(draw("live", {"segments": self._segments()}), headers=_HEADERS)

    async def _figures(self, _request: Request) -> Response:
        return JSONResponse(self._engine.metrics.snapshot(), headers=_HEADERS)

    async def _stream(self, _request: Request) -> Response:
        return StreamingResponse(self._lines(), media_type="text/event-stream", headers=_HEADERS)

    async def _lines(self) -> AsyncIterator[bytes]:
        """Yield, every second, what happened and the figures; ends when the server drains or the reader leaves."""
        subscription = self._engine.subscribe()
        try:
            while not self._draining.begun:
                happened, open_ = await _gather(subscription)
                if not open_:
                    return
                rows = [self._row(live) for live in happened]
                yield b"event: rows\ndata: " + _encode(rows) + b"\n\n"
                yield b"event: figures\ndata: " + _encode(self._engine.metrics.snapshot()) + b"\n\n"
        finally:
            subscription.close()

    def _row(self, live: Live) -> Mapping[str, object]:
        text = live.text
        if live.kind == "segment":
            name = next((one["name"] for one in self._segments() if one["id"] == text), text)
            text = f"{'entered' if live.detail.get('entered') else 'left'} “{name}”"
        return {"kind": live.kind, "at": live.at // 1_000, "who": _who(live.profile), "text": text}

    def _segments(self) -> list[dict[str, object]]:
        sizes = self._engine.segment_sizes()
        return [
            {
                "id": definition.id,
                "metric": f'bespeak_segment_members{{segment="{definition.id}"}}',
                "name": definition.body.get("name") or definition.id,
                "description": definition.body.get("description", ""),
                "size": sizes.get(definition.id, 0),
            }
            for definition in self._engine.definitions("segments")
        ]


async def _gather(subscription: Subscription) -> tuple[list[Live], bool]:
    """Return what happens within one second, the newest twelve of it, and whether more may come."""
    found: list[Live] = []
    try:
        async with asyncio.timeout(EVERY_SECONDS):
            while True:
                live = await anext(subscription)
                if live.text != DECISION_MADE:  # it comes as a decision, too
                    found.append(live)
                del found[:-ROWS_MAX]
    except TimeoutError:
        return found, True
    except StopAsyncIteration:
        return found, False


def _who(profile: str) -> str:
    """Return who it was, short enough for a row: a customer by id, a device by a part of its id."""
    kind, _, name = profile.partition(":")
    if kind == "u":
        return name[:24]
    town = _OF_THE_TOWN.fullmatch(name)
    return f"visitor {town[1] if town else name[:6]}" if name else "nobody known"
