"""When the fault is ours: the caller hears that, the log says where, and nobody's data stands in it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from bespeak.engine import Engine
from bespeak.errors import Overloaded, StoreError
from bespeak.server import create_app
from bespeak.settings import Settings
from bespeak.stores import MemorySettings

SECRET = "ada@example.com"


async def broken(_request: Request) -> Response:
    raise ValueError(SECRET)


async def full(_request: Request) -> Response:
    raise Overloaded("the queue is full", retry_after=7)


async def failed(_request: Request) -> Response:
    raise StoreError("disk I/O error at /srv/secret/place")


@pytest.fixture
def app() -> Iterator[ASGIApp]:
    engine = Engine.open(Settings(store=MemorySettings()))
    routes = [Route("/broken", broken), Route("/full", full), Route("/failed", failed)]
    yield create_app(engine, routes=routes)
    asyncio.run(engine.close())


def get(app: ASGIApp, path: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bespeak") as client:
            return await client.get(path)

    return asyncio.run(ask())


def test_an_unexpected_failure_is_500_and_its_text_is_told_to_nobody(
    app: ASGIApp, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = get(app, "/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert SECRET not in answer.text
    assert SECRET not in caplog.text
    assert "ValueError" in caplog.text
    assert "in broken" in caplog.text


@pytest.mark.parametrize(
    "path,status,code,wait", [("/full", 429, "overloaded", "7"), ("/failed", 503, "store_failed", "1")]
)
def test_our_own_trouble_says_when_to_come_back_and_no_details(
    app: ASGIApp, path: str, status: int, code: str, wait: str
) -> None:
    answer = get(app, path)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (status, code, wait)
    assert "queue" not in answer.text
    assert "disk" not in answer.text
