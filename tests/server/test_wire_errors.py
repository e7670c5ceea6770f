"""Bad input: each kind gets its clear answer, and the server goes on."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import time
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.server


@pytest.fixture
def device() -> str:
    return f"device-{uuid.uuid4()}"


def track(device: str, **more: Any) -> dict[str, Any]:
    return {"type": "track", "anonymousId": device, "event": "X", **more}


@contextlib.contextmanager
def connection(site: Any) -> Iterator[socket.socket]:
    place = urlsplit(site.address)
    with socket.create_connection((place.hostname, place.port), timeout=10) as open_socket:
        yield open_socket


def read_all(open_socket: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := open_socket.recv(65_536):
            parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize(
    "body,code",
    [
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b"\xff\xfe{}", "malformed_json"),
        (b'"hello"', "invalid_input"),
        (b'{"batch": 7}', "invalid_input"),
        (b"[" * 100_000, "too_large"),
        (b'{"batch":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_large"),
        (b'{"batch": [' + b"{}," * 2_500 + b"{}]}", "too_large"),
        (b'{"batch": ["' + b"x" * 600_000 + b'"]}', "too_large"),
        (gzip.compress(b" " * 50_000_000), "too_large"),
        (b"\x1f\x8bnot gzip at all", "invalid_input"),
    ],
    ids=[
        "nothing",
        "cut",
        "not UTF-8",
        "a string",
        "no list",
        "deep",
        "deep batch",
        "many",
        "large",
        "bomb",
        "no gzip",
    ],
)
def test_a_body_that_cannot_be_read_is_400_with_its_code(site: Any, body: bytes, code: str) -> None:
    answer = site.write.post("/v1/batch", content=body)
    assert answer.status_code == 400
    told = answer.json()
    assert set(told) == {"code", "message", "errors"}
    assert told["message"]
    assert told["code"] == code
    assert site.open.get("/health").status_code == 200


@pytest.mark.parametrize(
    "bad,reason",
    [
        ({"type": "track", "event": "X"}, "no_user_anon_id"),
        ({"type": "track", "anonymousId": "a"}, "event"),
        ({"type": "dance", "anonymousId": "a"}, "type"),
        ({"type": "track", "anonymousId": ["a"], "event": "X"}, "anonymousId"),
        ({"type": "track", "anonymousId": "a", "event": {"x": 1}}, "event"),
        ({"type": "track", "anonymousId": "a", "event": "X", "properties": [1]}, "properties"),
        ({"type": "track", "anonymousId": "a", "event": "X", "timestamp": "yesterday"}, "timestamp"),
        ("not an object", "object"),
        (None, "object"),
    ],
    ids=str,
)
def test_one_bad_event_goes_to_quarantine_and_the_others_stay(site: Any, device: str, bad: Any, reason: str) -> None:
    before = site.engine.metrics.snapshot()["bespeak_quarantine"]
    answer = site.write.post("/v1/batch", json={"batch": [track(device), bad, track(device)]})
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert site.counts(device) == {"X": 2}
    assert site.engine.metrics.snapshot()["bespeak_quarantine"] == before + 1
    newest = site.secret.get("/v1/rejected?limit=1").json()[0]
    assert newest["place"] == "1"
    assert reason in newest["reason"]
    assert json.loads(newest["data"]) == bad


def test_under_strict_mode_one_bad_event_refuses_the_request_and_nothing_is_kept(site: Any, device: str) -> None:
    body = {"batch": [track(device), {"type": "track", "anonymousId": device}]}
    answer = site.write.post("/v1/batch", json=body, headers={"X-Strict-Mode": "1"})
    assert answer.status_code == 400
    assert [problem["path"] for problem in answer.json()["errors"]] == ["[1].event"]
    assert site.counts(device) == {}


def test_each_event_hears_what_became_of_it(site: Any, device: str) -> None:
    known = str(uuid.uuid4())
    body = {
        "batch": [
            track(device, messageId=known),
            {"type": "track", "event": "X"},
            track(device, messageId=known),
            track(device, timestamp="2099-01-01T00:00:00Z"),
        ]
    }
    results = site.write.post("/v1/events", json=body).json()["results"]
    assert {name: result["status"] for name, result in results.items()} == {
        known: "ok",
        "1": "drop",
        "2": "ok",
        "3": "warning",
    }
    assert "no_user_anon_id" in results["1"]["reason"]
    assert "duplicate" in results["2"]["reason"]
    assert "future" in results["3"]["reason"]


def test_a_clock_that_runs_ahead_is_set_back_to_ours(site: Any, device: str) -> None:
    site.write.post("/v1/track", json=track(device, timestamp="2099-01-01T00:00:00Z"))
    assert site.profile(device)["lastSeen"] < "2099"


def test_an_unknown_path_and_a_wrong_method_are_told_so(site: Any) -> None:
    assert site.open.get("/v1/nowhere").json()["code"] == "not_found"
    wrong = site.open.get("/v1/track")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    "kind,body,words",
    [
        ("segments", {"condition": "not (" * 1_000 + "known" + ")" * 1_000}, "levels of brackets"),
        ("segments", {"condition": 'count("X" >= 1'}, "column 11"),
        ("segments", {"conditon": "known"}, "conditon"),
        ("rules", {"kind": "boots", "items": "item.price > 1"}, "boots"),
        ("experiments", {"variants": [{"key": "only"}]}, "variants"),
        ("content", {"slot": "hero", "always": True, "template": "{{ unknown", "fallback": ""}, "template"),
    ],
)
def test_a_bad_definition_is_refused_with_its_field_and_changes_nothing(
    site: Any, kind: str, body: dict[str, Any], words: str
) -> None:
    before = site.secret.get(f"/v1/{kind}").json()
    answer = site.secret.put(f"/v1/{kind}/bad", json=body)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["message"]
    assert site.secret.get(f"/v1/{kind}").json() == before


def test_a_template_that_would_loop_forever_ends_in_its_fallback(site: Any, device: str) -> None:
    endless = {
        "slot": "endless",
        "always": True,
        "template": "{% for i in (1..1000000000) %}{% for j in (1..1000000000) %}x{% endfor %}{% endfor %}",
        "fallback": "<p>calm</p>",
    }
    put = site.secret.put("/v1/content/endless", json=endless)
    if put.status_code == 400:
        assert put.json()["code"] == "invalid_definition"
        return
    slots = site.write.post("/v1/decide", json={"anonymousId": device, "slots": [{"id": "endless"}]}).json()["slots"]
    assert slots["endless"]["content"]["html"] == "<p>calm</p>"


def test_a_body_without_end_is_answered_and_the_connection_closed(site: Any) -> None:
    with connection(site) as open_socket:
        head = (
            f"POST /v1/batch HTTP/1.1\r\nHost: x\r\nX-Write-Key: {site.write_key}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        open_socket.sendall(head.encode())
        chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
        with contextlib.suppress(ConnectionError):
            for _ in range(400):
                open_socket.sendall(chunk)
        answer = read_all(open_socket)
    assert answer == b"" or b"400 Bad Request" in answer
    assert site.open.get("/health").status_code == 200


def test_a_client_that_dawdles_over_its_body_is_told_408(impatient: Any) -> None:
    with connection(impatient) as open_socket:
        open_socket.sendall(b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        answer = read_all(open_socket)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"request_timeout"' in answer


@pytest.mark.parametrize("head", [b"", b"POST /v1/track HTTP/1.1\r\nHos"], ids=["silent", "half a head"])
def test_a_client_that_dawdles_over_its_head_is_hung_up_on(impatient: Any, head: bytes) -> None:
    with connection(impatient) as open_socket:
        open_socket.sendall(head)
        began = time.monotonic()
        assert read_all(open_socket) == b""
    assert time.monotonic() - began < 5


def test_a_head_without_end_is_refused(site: Any) -> None:
    with connection(site) as open_socket:
        open_socket.sendall(b"GET /health HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            for number in range(2_000):
                open_socket.sendall(f"X-{number}: {'y' * 1_000}\r\n".encode())
        answer = read_all(open_socket)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


def test_a_client_that_leaves_in_the_middle_harms_nobody(site: Any) -> None:
    with connection(site) as open_socket:
        open_socket.sendall(b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert site.open.get("/health").status_code == 200
