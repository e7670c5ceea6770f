"""In front of everything: CORS, the bound on requests at work, trailing slashes."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from bespeak.server.answers import SUCCESS, send_answer
from bespeak.server.front import Front
from bespeak.settings import ServerSettings

Answered = tuple[int, dict[str, str]]


class Recorded:
    """An application that notes the paths it is asked for, and may be slow."""

    def __init__(self, gate: asyncio.Event | None = None) -> None:
        self.paths: list[str] = []
        self._gate = gate

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        if self._gate is not None:
            await self._gate.wait()
        await send_answer(send, SUCCESS)


async def call(front: Front, method: str, path: str, headers: dict[str, str] | None = None) -> Answered:
    found: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        found.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    await front({"type": "http", "method": method, "path": path, "headers": raw}, receive, send)
    return found[0]["status"], {name.decode(): value.decode() for name, value in found[0]["headers"]}


def ask(front: Front, method: str, path: str, headers: dict[str, str] | None = None) -> Answered:
    return asyncio.run(call(front, method, path, headers))


PREFLIGHT = {
    "Origin": "https://shop.example",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-retry-count",
}


def test_a_browser_is_told_that_it_may_send_a_key_and_its_retries() -> None:
    app = Recorded()
    status, headers = ask(Front(app, {}, ServerSettings()), "OPTIONS", "/v1/batch", PREFLIGHT)
    assert status == 200
    assert headers["access-control-allow-origin"] == "*"
    assert "POST" in headers["access-control-allow-methods"]
    asked = {"authorization", "content-type", "x-retry-count"}
    assert asked <= set(headers["access-control-allow-headers"].split(","))
    assert "access-control-allow-credentials" not in headers
    assert app.paths == []


def test_an_answer_may_be_read_by_any_page_unless_origins_are_named() -> None:
    open_front = Front(Recorded(), {}, ServerSettings())
    assert ask(open_front, "GET", "/", {"Origin": "https://a.example"})[1]["access-control-allow-origin"] == "*"
    named = Front(Recorded(), {}, ServerSettings(cors_origins=("https://shop.example",)))
    headers = ask(named, "GET", "/", {"Origin": "https://shop.example"})[1]
    assert (headers["access-control-allow-origin"], headers["vary"]) == ("https://shop.example", "Origin")
    assert "access-control-allow-origin" not in ask(named, "GET", "/", {"Origin": "https://evil.example"})[1]
    refused = ask(named, "OPTIONS", "/v1/batch", {**PREFLIGHT, "Origin": "https://evil.example"})[1]
    assert not [name for name in refused if name.startswith("access-control")]


def test_without_an_origin_no_cors_header_is_sent() -> None:
    _, headers = ask(Front(Recorded(), {}, ServerSettings()), "GET", "/")
    assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path,seen", [("/v1/track/", "/v1/track"), ("/v1/track//", "/v1/track"), ("/", "/"), ("//", "/")]
)
def test_a_trailing_slash_means_the_same_without_a_redirect(path: str, seen: str) -> None:
    app = Recorded()
    assert ask(Front(app, {}, ServerSettings()), "POST", path)[0] == 200
    assert app.paths == [seen]


def test_a_hot_path_is_found_by_method_and_path_and_nothing_else() -> None:
    app, hot = Recorded(), Recorded()
    front = Front(app, {("POST", "/v1/track"): hot}, ServerSettings())
    for method, path in (("POST", "/v1/track"), ("GET", "/v1/track"), ("POST", "/v1/tracks")):
        ask(front, method, path)
    assert (hot.paths, app.paths) == (["/v1/track"], ["/v1/track", "/v1/tracks"])


def test_one_request_too_many_is_told_when_to_come_back_and_the_others_finish() -> None:
    async def scene() -> tuple[list[Any], Answered, int]:
        gate = asyncio.Event()
        front = Front(Recorded(gate), {}, ServerSettings(requests_max=2))
        at_work = [asyncio.create_task(call(front, "POST", "/v1/track")) for _ in range(2)]
        await asyncio.sleep(0)
        refused = await call(front, "POST", "/v1/track")
        gate.set()
        finished = await asyncio.gather(*at_work)
        return [status for status, _ in finished], refused, front.at_work

    finished, (status, headers), at_work = asyncio.run(scene())
    assert finished == [200, 200]
    assert (status, headers["retry-after"]) == (503, "1")
    assert at_work == 0


def test_the_access_log_is_off_and_when_on_tells_no_query(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        ask(Front(Recorded(), {}, ServerSettings()), "GET", "/api/x")
        assert caplog.text == ""
        ask(Front(Recorded(), {}, ServerSettings(access_log=True)), "GET", "/api/x")
    assert re.fullmatch(r"GET /api/x 200 \d+\.\d ms", caplog.messages[0])
