"""Behind a proxy, and from a browser: whose word about the client is believed, and which pages may call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from bespeak.server.answers import SUCCESS, send_answer
from bespeak.server.running import _config
from bespeak.settings import ServerSettings

FORWARDED = [(b"x-forwarded-for", b"203.0.113.9, 10.0.0.7"), (b"x-forwarded-proto", b"https")]


def seen(proxies: tuple[str, ...], peer: str, headers: list[tuple[bytes, bytes]]) -> tuple[str, str]:
    """Return the client's address and the scheme that the application sees behind uvicorn's own middleware."""
    found: list[tuple[str, str]] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        found.append((scope["client"][0], scope["scheme"]))
        await send_answer(send, SUCCESS)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message: Any) -> None:
        pass

    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers, "scheme": "http", "client": (peer, 1)}
    loaded = _config(app, ServerSettings(trusted_proxies=proxies)).loaded_app
    asyncio.run(loaded(scope, receive, send))  # type: ignore[arg-type]
    return found[0]


def test_a_trusted_proxy_says_who_the_client_is() -> None:
    assert seen(("10.0.0.0/8",), "10.0.0.1", FORWARDED) == ("203.0.113.9", "https")
    assert seen(("10.0.0.1", "10.0.0.7"), "10.0.0.1", FORWARDED) == ("203.0.113.9", "https")


def test_of_a_chain_the_last_that_is_not_trusted_counts_whatever_stands_before() -> None:
    claimed = [(b"x-forwarded-for", b"127.0.0.1, 203.0.113.9, 198.51.100.4")]
    assert seen(("10.0.0.0/8",), "10.0.0.1", claimed) == ("198.51.100.4", "http")


@pytest.mark.parametrize("proxies", [(), ("10.0.0.0/8",), ("192.0.2.2",)])
def test_anybody_else_is_who_they_are_whatever_they_say(proxies: tuple[str, ...]) -> None:
    assert seen(proxies, "192.0.2.1", FORWARDED) == ("192.0.2.1", "http")


@pytest.mark.server
@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch", "/v1/events", "/v1/t", "/v1/decide"])
def test_a_page_may_send_and_ask_and_reads_also_a_refusal(site: Any, path: str) -> None:
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    mine = {"Origin": "https://shop.example"}
    allowed = site.open.options(path, headers={**mine, **asks})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "*")
    assert "authorization" in allowed.headers["access-control-allow-headers"]
    for client, status in ((site.write, 200), (site.open, 401)):
        body = {"type": "track", "anonymousId": "ada", "event": "X", "slots": [{"id": "home"}], "batch": []}
        body = body if path not in ("/v1/batch", "/v1/events") else {"batch": [body]}
        fields = {"anonymousId": "ada", "slots": [{"id": "home"}]} if path == "/v1/decide" else body
        answer = client.post(path, json=fields, headers=mine)
        assert answer.status_code == status, answer.text
        assert answer.headers["access-control-allow-origin"] == "*"
