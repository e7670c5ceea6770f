"""Who may do what: ways to show a key, which of two counts, and what a write key may not."""

from __future__ import annotations

import base64
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from bespeak.privacy import sign
from bespeak.server.local import FILE_NAME, read_local

pytestmark = pytest.mark.server

EVENT = {"type": "track", "anonymousId": "somebody", "event": "X"}


def basic(text: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def status(site: Any, headers: dict[str, str], body: dict[str, Any] | None = None) -> int:
    return int(site.open.post("/v1/batch", json={"batch": [EVENT], **(body or {})}, headers=headers).status_code)


def test_a_key_is_taken_in_each_of_its_places(site: Any) -> None:
    key = site.write_key
    ways: list[tuple[dict[str, str], dict[str, Any]]] = [
        (basic(f"{key}:"), {}),
        (basic(key), {}),
        ({"X-Write-Key": key}, {}),
        ({"X-Write-Key": f"{key}:secret"}, {}),
        ({"Authorization": f"Bearer {key}"}, {}),
        ({"Authorization": "Bearer of-an-oauth-server"}, {"writeKey": key}),
        ({}, {"writeKey": key}),
    ]
    assert [status(site, headers, body) for headers, body in ways] == [200] * len(ways)


def test_no_key_and_an_unknown_key_are_401_with_the_remedy(site: Any) -> None:
    ways: list[tuple[dict[str, str], dict[str, Any]]] = [
        ({}, {}),
        (basic("bsw_unknown:"), {}),
        ({"Authorization": "Basic !"}, {}),
        ({"Authorization": "Basic"}, {}),
        ({"X-Write-Key": "bsw_unknown"}, {}),
        ({"Authorization": "Bearer unknown"}, {}),
        ({}, {"writeKey": "bsw_unknown"}),
        ({}, {"writeKey": None}),
    ]
    assert [status(site, headers, body) for headers, body in ways] == [401] * len(ways)
    answer = site.open.post("/v1/batch", json={"batch": [EVENT]})
    assert answer.json()["code"] == "unauthorized"
    assert "bespeak keys create" in answer.json()["message"]
    assert answer.headers["www-authenticate"].startswith("Basic")


def test_basic_wins_over_the_header_and_the_header_over_the_body(site: Any) -> None:
    good, bad = site.write_key, "bsw_unknown"
    assert status(site, {**basic(f"{good}:"), "X-Write-Key": bad}, {"writeKey": bad}) == 200
    assert status(site, {**basic(f"{bad}:"), "X-Write-Key": good}, {"writeKey": good}) == 401
    assert status(site, {"X-Write-Key": good}, {"writeKey": "*******"}) == 200
    assert status(site, {"X-Write-Key": bad}, {"writeKey": good}) == 401


def test_a_revoked_key_opens_nothing_from_that_moment(site: Any) -> None:
    made = site.secret.post("/v1/keys", json={"kind": "write", "name": str(uuid.uuid4())}).json()
    assert status(site, {"X-Write-Key": made["token"]}) == 200
    assert site.secret.delete(f"/v1/keys/{made['id']}").status_code == 200
    assert status(site, {"X-Write-Key": made["token"]}) == 401


def test_a_token_is_told_once_and_never_listed(site: Any) -> None:
    made = site.secret.post("/v1/keys", json={"kind": "write", "name": str(uuid.uuid4())}).json()
    listed = site.secret.get("/v1/keys")
    assert made["id"] in listed.text
    assert made["token"] not in listed.text
    assert made["signingSecret"] not in listed.text


OWNERS = [
    ("GET", "/v1/profiles/somebody"),
    ("GET", "/v1/profiles/somebody/segments"),
    ("GET", "/v1/profiles/somebody/scores"),
    ("DELETE", "/v1/profiles/somebody"),
    ("GET", "/v1/items/x"),
    ("PUT", "/v1/items/x"),
    ("POST", "/v1/items"),
    ("PUT", "/v1/items"),
    ("DELETE", "/v1/items/x"),
    ("GET", "/v1/segments"),
    ("GET", "/v1/segments/x"),
    ("PUT", "/v1/segments/x"),
    ("DELETE", "/v1/segments/x"),
    ("GET", "/v1/segments/x/count"),
    *[(method, f"/v1/{kind}/x") for kind in ("traits", "scores", "borders") for method in ("GET", "PUT", "DELETE")],
    *[("GET", f"/v1/{kind}") for kind in ("traits", "scores", "borders")],
    ("POST", "/v1/traits/x/borders"),
    ("GET", "/v1/rules"),
    ("PUT", "/v1/rules/x"),
    ("DELETE", "/v1/rules/x"),
    ("GET", "/v1/experiments"),
    ("GET", "/v1/experiments/x"),
    ("GET", "/v1/content"),
    ("GET", "/v1/content/x"),
    ("POST", "/v1/definitions"),
    ("GET", "/v1/definitions/preparing"),
    ("GET", "/v1/conditions/complete"),
    ("GET", "/v1/conditions/check"),
    ("POST", "/v1/segments/preview"),
    ("GET", "/v1/segments/preview/progress"),
    ("POST", "/v1/conditions/unomi"),
    ("GET", "/v1/changes"),
    ("GET", "/v1/lists"),
    ("GET", "/v1/lists/x"),
    ("POST", "/v1/lists/x/members"),
    ("DELETE", "/v1/lists/x/members"),
    ("GET", "/v1/keys"),
    ("POST", "/v1/keys"),
    ("DELETE", "/v1/keys/x"),
    ("POST", "/v1/keys/x/rotate"),
    ("POST", "/v1/keys/rotate-master"),
    ("POST", "/v1/history"),
    ("GET", "/v1/rejected"),
    ("POST", "/v1/checkpoint"),
]


@pytest.mark.parametrize("method,path", OWNERS, ids=str)
def test_what_is_the_owners_needs_a_secret_key(site: Any, method: str, path: str) -> None:
    assert site.open.request(method, path).status_code == 401
    refused = site.write.request(method, path)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert site.secret.request(method, path).status_code not in (401, 403)


def test_every_path_that_is_the_owners_was_tried_above(site: Any) -> None:
    paths = site.open.get("/openapi.json").json()["paths"]
    owned = {
        re.sub(r"\{\w+\}", "x", path.replace("{any_id}", "somebody"))
        for path, operations in paths.items()
        for operation in operations.values()
        if operation["tags"][0] not in ("events", "decisions", "server") or path in ("/v1/history", "/v1/rejected")
    }
    assert owned - {path for _, path in OWNERS} == set()


def test_a_write_key_asks_only_about_its_own_device_or_a_proven_user(site: Any) -> None:
    slots = [{"id": "home", "n": 1}]
    signature = sign(site.key.signing_secret, "grace")
    asked = [
        ({"anonymousId": "device"}, 200),
        ({"userId": "grace"}, 403),
        ({"userId": "grace", "userSignature": "0" * 64}, 403),
        ({"userId": "grace", "userSignature": signature}, 200),
        ({"userId": "ada", "userSignature": signature}, 403),
    ]
    found = [site.write.post("/v1/decide", json={**who, "slots": slots}).status_code for who, _ in asked]
    assert found == [expected for _, expected in asked]
    assert site.write.get("/api/personalized-recommendations?user_id=grace").status_code == 403
    signed = site.write.get(f"/api/personalized-recommendations?user_id=grace&signature={signature}")
    assert signed.status_code == 200
    assert site.secret.get("/api/personalized-recommendations?user_id=grace").status_code == 200


def test_another_moment_and_the_reasons_are_for_the_secret_key(site: Any) -> None:
    device = str(uuid.uuid4())
    site.write.post("/v1/track", json={"anonymousId": device, "event": "X"})
    past = {"anonymousId": device, "slots": [{"id": "home"}], "context": {"at": "2026-01-01T00:00:00Z"}}
    assert site.write.post("/v1/decide", json=past).status_code == 403
    answer = site.secret.post("/v1/decide", json=past)
    assert (answer.status_code, answer.json()["at"]) == (200, "2026-01-01T00:00:00Z")
    asked = {"anonymousId": device, "slots": [{"id": "home"}], "explain": True}
    assert "reasons" not in site.write.post("/v1/decide", json=asked).json()
    assert site.secret.post("/v1/decide", json=asked).json()["reasons"]["profile"]["counts"]["X"] == 1


def test_the_local_token_is_the_owners_and_another_is_401(site: Any) -> None:
    path = Path(site.settings.data_dir) / FILE_NAME
    local = read_local(Path(site.settings.data_dir))
    assert local is not None
    assert path.stat().st_mode & 0o777 == 0o600
    assert local.address == site.address
    assert site.open.get("/v1/keys", headers={"X-Bespeak-Local": local.token}).status_code == 200
    assert site.open.get("/v1/keys", headers={"X-Bespeak-Local": "guessed"}).status_code == 401
    assert site.secret.get("/v1/keys", headers={"X-Bespeak-Local": ""}).status_code == 401
