"""What a key was not given, it may not do: every endpoint, tried with every scope but its own, and with that alone."""

from __future__ import annotations

import re
import uuid
from typing import Any

import httpx
import pytest

from bespeak.privacy import SCOPES
from bespeak.server.scopes import scope_for

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def made(site: Any) -> dict[str, str]:
    """Return tokens: for each scope one that has it alone, and one that has all others."""
    tokens: dict[str, str] = {}
    for scope in SCOPES:
        others = [one for one in SCOPES if one != scope]
        for name, scopes in ((scope, [scope]), (f"not {scope}", others)):
            wanted = {"kind": "secret", "name": f"{name} {uuid.uuid4()}", "scopes": scopes}
            tokens[name] = site.secret.post("/v1/keys", json=wanted).json()["token"]
    return tokens


def operations(site: Any) -> list[tuple[str, str, dict[str, Any]]]:
    paths = site.open.get("/openapi.json").json()["paths"]
    found = [(method.upper(), path, one) for path, inner in paths.items() for method, one in inner.items()]
    return [each for each in found if each[1].startswith(("/v1/", "/api/"))]


def ask(site: Any, token: str, method: str, path: str) -> httpx.Response:
    place = re.sub(r"\{\w+\}", "nobody", path)
    return httpx.request(method, site.address + place, auth=(token, ""), content=b"")


def test_every_endpoint_says_its_scope_and_every_scope_has_an_endpoint(site: Any) -> None:
    said = {(method, path): one["security"] for method, path, one in operations(site)}
    assert len(said) > 40
    for (method, path), security in said.items():
        (role,) = security[0]["basic"]
        assert security == [{"basic": [role]}, {"header": [role]}], path
        assert role in SCOPES, f"{method} {path}"
    assert {security[0]["basic"][0] for security in said.values()} == set(SCOPES)


def test_every_endpoint_refuses_a_key_that_lacks_its_scope_and_takes_one_that_has_it_alone(
    site: Any, made: dict[str, str]
) -> None:
    for method, path, operation in operations(site):
        scope = operation["security"][0]["basic"][0]
        refused = ask(site, made[f"not {scope}"], method, path)
        told = refused.json()
        assert (refused.status_code, told["code"]) == (403, "missing_scope"), f"{method} {path}: {told}"
        assert f"lacks the scope {scope}" in told["message"]
        assert f"bespeak keys create --kind secret --scope {scope}" in told["message"]
        assert told["errors"][0]["expected"] == scope
        assert "403" in operation["responses"]
        taken = ask(site, made[scope], method, path)
        assert taken.status_code not in (401, 403), f"{method} {path}: {taken.text}"


@pytest.mark.parametrize("path", ["/v1/t", "/v1/b"])
def test_the_short_paths_ask_for_the_same(site: Any, made: dict[str, str], path: str) -> None:
    assert ask(site, made["not events"], "POST", path).json()["code"] == "missing_scope"
    assert ask(site, made["events"], "POST", path).status_code == 400, "the body is empty"


def test_an_endpoint_of_an_unknown_kind_is_for_keys_without_scopes() -> None:
    assert scope_for("GET", "something-new") is None


def test_a_write_key_can_be_held_to_sending_or_to_asking(site: Any) -> None:
    event = {"type": "track", "anonymousId": "ada", "event": "X"}
    page = {"anonymousId": "ada", "slots": [{"id": "home"}]}
    found = {}
    for scope in ("events", "decide"):
        wanted = {"kind": "write", "name": str(uuid.uuid4()), "scopes": [scope]}
        auth = (site.secret.post("/v1/keys", json=wanted).json()["token"], "")
        sent = site.open.post("/v1/track", json=event, auth=auth).status_code
        asked = site.open.post("/v1/decide", json=page, auth=auth).status_code
        both = site.open.post("/v1/decide", json={**page, "events": [event]}, auth=auth).status_code
        found[scope] = (sent, asked, both)
    assert found == {"events": (200, 403, 403), "decide": (403, 200, 403)}
    refused = site.secret.post("/v1/keys", json={"kind": "write", "name": "x", "scopes": ["profiles:read"]})
    assert refused.status_code == 400
    assert "for a write key" in refused.json()["message"]


def test_the_reasons_of_a_decision_are_for_who_may_read_profiles(site: Any, made: dict[str, str]) -> None:
    page = {"anonymousId": "ada", "slots": [{"id": "home"}], "explain": True}
    refused = site.open.post("/v1/decide", json=page, auth=(made["decide"], ""))
    assert (refused.status_code, refused.json()["errors"][0]["expected"]) == (403, "profiles:read")
    query = "/api/personalized-recommendations?anonymous_id=ada&explain=1"
    assert site.open.get(query, auth=(made["decide"], "")).status_code == 403
    assert "reasons" in site.open.post("/v1/decide", json=page, auth=(made["not events"], "")).json()


def test_a_key_gets_hold_of_none_that_may_more_than_itself(site: Any) -> None:
    def name() -> str:
        return str(uuid.uuid4())

    scopes = ["keys", "catalog:write"]
    keeper = site.secret.post("/v1/keys", json={"kind": "secret", "name": name(), "scopes": scopes}).json()
    with httpx.Client(base_url=site.address, auth=(keeper["token"], "")) as client:
        mine = client.post("/v1/keys", json={"kind": "secret", "name": name(), "scopes": ["catalog:write"]})
        assert mine.status_code == 201
        for more in ({"kind": "secret"}, {"kind": "write"}, {"kind": "secret", "scopes": ["keys", "ops"]}):
            assert client.post("/v1/keys", json={**more, "name": name()}).status_code == 403, more
        above = site.secret.post("/v1/keys", json={"kind": "secret", "name": name()}).json()
        assert client.post(f"/v1/keys/{above['id']}/rotate").status_code == 403
        assert client.delete(f"/v1/keys/{above['id']}").status_code == 403
        assert client.post(f"/v1/keys/{mine.json()['id']}/rotate").status_code == 200
        assert client.delete(f"/v1/keys/{mine.json()['id']}").status_code == 200
    assert site.open.get("/v1/keys", auth=(above["token"], "")).status_code == 200


def test_a_rotated_key_is_told_and_both_tokens_are_listed_while_they_work(site: Any) -> None:
    made = site.secret.post("/v1/keys", json={"kind": "write", "name": str(uuid.uuid4()), "expiresIn": "90d"}).json()
    event = {"type": "track", "anonymousId": "ada", "event": "X"}
    place = f"/v1/keys/{made['id']}/rotate"
    turned = site.secret.post(place, json={"overlap": "2h"}).json()
    assert turned["token"] != made["token"]
    assert turned["signingSecret"] != made["signingSecret"]
    assert (turned["id"], turned["name"], turned["expires"]) == (made["id"], made["name"], made["expires"])
    for token in (made["token"], turned["token"]):
        assert site.open.post("/v1/track", json=event, auth=(token, "")).status_code == 200
    listed = {key["id"]: key for key in site.secret.get("/v1/keys").json()}[made["id"]]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:00:00Z", listed["lastUsed"])
    assert [one["lastUsed"] for one in listed["former"]] == [listed["lastUsed"]]
    again = site.secret.post(place, json={"overlap": "none"}).json()
    for before in (turned["token"],):
        refused = site.open.post("/v1/track", json=event, auth=(before, ""))
        assert refused.status_code == 401
        assert "was replaced, and worked until" in refused.json()["message"]
        bearer = {"Authorization": f"Bearer {before}"}
        assert "was replaced" in site.open.post("/v1/track", json=event, headers=bearer).json()["message"]
    assert site.open.post("/v1/track", json=event, auth=(again["token"], "")).status_code == 200
    assert site.open.post("/v1/track", json=event, auth=(made["token"], "")).status_code == 200, "its two hours go on"


def test_a_token_that_ended_hears_how_and_a_stranger_hears_nothing_of_any_key(site: Any) -> None:
    name = str(uuid.uuid4())
    made = site.secret.post("/v1/keys", json={"kind": "secret", "name": name}).json()
    assert site.secret.delete(f"/v1/keys/{made['id']}").json() == {"revoked": made["id"]}
    told = site.open.get("/v1/keys", auth=(made["token"], ""))
    assert told.status_code == 401
    assert f"{made['id']} was revoked at 20" in told.json()["message"]
    assert name not in told.text
    stranger = site.open.get("/v1/keys", auth=(made["token"][:-1] + "0", ""))
    assert stranger.status_code == 401
    assert stranger.json()["message"].startswith("unknown key; make one")


@pytest.mark.parametrize(
    "body,said",
    [
        ({"overlap": "soon"}, "overlap: expected a duration"),
        ({"overlap": "366d"}, "365 days"),
        ({"expiresIn": "9" * 5_000 + "d"}, "expiresIn: expected a duration"),
        ({"expiresIn": "200000d"}, "expiresIn: expected a duration"),
        ({"lap": "1h"}, "lap"),
    ],
)
def test_a_rotation_that_cannot_be_is_refused_in_words(site: Any, body: dict[str, Any], said: str) -> None:
    made = site.secret.post("/v1/keys", json={"kind": "write", "name": str(uuid.uuid4())}).json()
    refused = site.secret.post(f"/v1/keys/{made['id']}/rotate", json=body)
    assert refused.status_code == 400
    assert said in refused.json()["message"]
