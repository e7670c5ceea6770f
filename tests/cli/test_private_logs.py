"""What people sent, and what opens doors, is in no line of the log, whatever happens to it."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.server

USER, DEVICE, MAIL, PLACE = "user-7391-ada", "device-5520-lovelace", "ada@lovelace.example", "Marylebone-4711"
TRAITS = {"email": MAIL, "city": PLACE}


def post(address: str, path: str, body: bytes, *, method: str = "POST", **headers: str) -> int:
    request = urllib.request.Request(address + path, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (urllib.error.URLError, ConnectionError):
        return 413  # it was too large, and the connection closed before all of it was sent


def bodies() -> list[bytes]:
    """Return what is well formed, and what is wrong in every way that quotes what it finds."""
    who = {"userId": USER, "anonymousId": DEVICE, "context": {"ip": PLACE}}
    identify = {"type": "identify", "traits": TRAITS, **who}
    found: list[object] = [
        identify,
        {"type": "track", "event": f"Bought by {MAIL}", "properties": TRAITS, **who},
        {"type": MAIL, **who},
        {"type": "track", "event": 7, "properties": MAIL, **who},
        {"type": "track", "event": "X", "timestamp": MAIL, **who},
        {"batch": [identify, MAIL, {"type": "alias", "previousId": USER}]},
        {"slots": MAIL, **who},
        {"slots": [{"id": "home"}], "events": [identify], "userSignature": MAIL, "explain": True, **who},
    ]
    return [json.dumps(one).encode() for one in found] + [f'{{"userId": "{USER}'.encode(), MAIL.encode() * 50_000]


@pytest.mark.parametrize("access_log", [False, True])
def test_a_run_with_known_values_leaves_none_of_them_in_the_log(folder: Any, *, access_log: bool) -> None:
    (folder.path / "bespeak.toml").write_text(
        f'[server]\nlog_format = "json"\naccess_log = {str(access_log).lower()}\n'
    )
    keys = {kind: folder.json("keys", "create", "--kind", kind) for kind in ("write", "secret")}
    folder.serve()
    statuses: set[int] = set()
    for path in ("/v1/track", "/v1/batch", "/v1/events", "/v1/decide", "/v1/history", "/v1/items"):
        for body in bodies():
            for key in (keys["write"]["token"], keys["secret"]["token"], "bsw_" + DEVICE):
                statuses.add(post(folder.address, path, body, **{"X-Write-Key": key, "X-Request-Id": MAIL}))
    secret = {"X-Write-Key": keys["secret"]["token"]}
    statuses.add(post(folder.address, f"/api/personalized-recommendations?user_id={USER}&x={MAIL}", b"", method="GET"))
    if not access_log:  # under it paths are told, as its setting says
        for method, path in (
            ("GET", f"/v1/profiles/{USER}"),
            ("GET", f"/v1/items/{MAIL}"),
            ("DELETE", f"/v1/x/{MAIL}"),
        ):
            statuses.add(post(folder.address, path, b"", method=method, **secret))
        folder.run("erase", USER, "--yes")
    turned = folder.json("keys", "rotate", keys["write"]["id"])
    with socket.create_connection(
        (urlsplit(folder.address).hostname, urlsplit(folder.address).port), timeout=10
    ) as raw:
        raw.sendall(f"{MAIL} {USER} HTTP/1.1\r\n\r\n".encode())
        assert b"400" in raw.recv(1_000)
    code, said = folder.stop()
    assert code == 0
    assert {200, 400, 401, 403} <= statuses
    assert 500 not in statuses
    lines = [json.loads(line) for line in said.splitlines()]
    assert lines, "the request that is none is told"
    assert all(line.get("request_id") for line in lines if line["logger"] == "bespeak.server.access")
    assert bool([line for line in lines if line["logger"] == "bespeak.server.access"]) is access_log
    private = [USER, DEVICE, MAIL, PLACE, *(keys[kind]["token"] for kind in keys), turned["token"]]
    private += [keys["write"]["signingSecret"], turned["signingSecret"]]
    assert [value for value in private if value in said] == []
