"""The log for machines: one object a line, each with its request, none with anybody in it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bespeak.clock import parse_time
from bespeak.engine import Engine
from bespeak.errors import StoreError
from bespeak.server import create_app
from bespeak.server.logs import REQUEST_ID, log_to
from bespeak.settings import ServerSettings, Settings
from bespeak.stores import MemorySettings

SECRET = "ada@example.com"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, ours = logging.getLogger(), logging.getLogger("bespeak")
    before = (root.handlers[:], root.level, ours.level)
    found = io.StringIO()
    yield found
    root.handlers[:], root.level, ours.level = before[0], before[1], before[2]


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


async def broken(_request: Request) -> Response:
    raise ValueError(SECRET)


def fail(error: Exception) -> None:
    raise error


def get(path: str, **headers: str) -> httpx.Response:
    settings = Settings(store=MemorySettings(), server=ServerSettings(access_log=True, log_format="json"))
    engine = Engine.open(settings)
    app = create_app(engine, routes=[Route("/broken", broken)])

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bespeak") as client:
            answer = await client.get(path, headers=headers)
        await engine.close()
        return answer

    return asyncio.run(ask())


def test_each_line_is_an_object_with_its_time_level_logger_and_request(stream: io.StringIO) -> None:
    log_to(stream, form="json")
    answer = get("/broken", **{"X-Request-Id": "edge-1"})
    assert answer.headers["x-request-id"] == "edge-1"
    failed, accessed = lines(stream)
    assert (failed["level"], failed["logger"], failed["request_id"]) == ("error", "bespeak.server", "edge-1")
    assert (accessed["level"], accessed["logger"], accessed["request_id"]) == (
        "info",
        "bespeak.server.access",
        "edge-1",
    )
    assert accessed["message"].startswith("GET /broken 500 ")
    assert parse_time(failed["time"]) <= parse_time(accessed["time"])


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_somebody_sent_is_in_no_line(stream: io.StringIO, form: Any) -> None:
    log_to(stream, form=form)
    get("/broken", **{"X-Request-Id": SECRET})
    try:
        fail(ValueError(SECRET))
    except ValueError:
        logging.getLogger("somebody.else").exception("it went wrong")
    said = stream.getvalue()
    assert SECRET not in said
    assert "ValueError" in said
    assert "test_logs.py" in said


def test_our_own_trouble_is_told_with_its_code_and_place(stream: io.StringIO) -> None:
    log_to(stream, form="json")
    try:
        fail(StoreError("the disk is full"))
    except StoreError:
        logging.getLogger("bespeak.engine").exception("commit failed")
    (line,) = lines(stream)
    assert line["message"] == "commit failed"
    assert line["error"] == "StoreError: store_failed: the disk is full"
    assert line["where"][-1].endswith("in fail")
    assert "request_id" not in line


@pytest.mark.parametrize("given", ["ada@example.com", "", "a" * 129, "a b"])
def test_an_id_that_is_none_is_replaced(given: str) -> None:
    first, second = (get("/health", **{"X-Request-Id": given}).headers["x-request-id"] for _ in range(2))
    assert len(first) == len(second) == 16
    assert len({first, second, given}) == 3
    assert REQUEST_ID.get() == ""


def test_every_answer_has_an_id_also_a_refusal() -> None:
    for path in ("/health", "/nothing", "/v1/segments", "/v1/decide"):
        assert get(path).headers["x-request-id"]


def test_the_form_of_the_log_is_a_setting_with_two_values() -> None:
    with pytest.raises(msgspec.ValidationError, match="log_format"):
        msgspec.convert({"log_format": "xml"}, ServerSettings)
