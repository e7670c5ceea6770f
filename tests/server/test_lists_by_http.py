"""Static lists by HTTP: put people on, take them off, ask who is on; every id that cannot be says why."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

pytestmark = pytest.mark.server


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


def test_people_are_put_on_a_list_shown_and_taken_off(site: Any, name: str) -> None:
    path, ada, bob = f"/v1/lists/{name}/members", f"ada-{name}", f"bob-{name}"
    put = site.secret.post(path, json={"userIds": [ada, "null"], "anonymousIds": [bob]})
    assert put.json() == {
        "list": name,
        "changed": 2,
        "unchanged": 0,
        "errors": [{"id": "u:null", "reason": "it names nobody"}],
    }
    assert site.profile(ada)["lists"] == [name]
    shown = site.secret.get(f"/v1/lists/{name}").json()
    assert (shown["members"], {one["id"] for one in shown["newest"]}) == (2, {f"u:{ada}", f"a:{bob}"})
    assert site.secret.get(f"/v1/lists/{name}", params={"limit": 1}).json()["newest"][0]["id"] == f"a:{bob}"
    assert {"list": name, "members": 2} in site.secret.get("/v1/lists").json()
    body = {"userIds": [ada]}
    taken = site.secret.request("DELETE", path, json=body).json()
    assert (taken["changed"], taken["unchanged"]) == (1, 0)
    assert site.profile(ada)["lists"] == []
    assert site.secret.request("DELETE", path, json=body).json()["unchanged"] == 1


@pytest.mark.parametrize(
    "body, words",
    [
        ({"users": ["ada"]}, "expected a field that is known here, found users"),
        ({"userIds": [5]}, "userIds"),
        ({"userIds": "ada"}, "userIds"),
        ([], "object"),
        ({"userIds": ["x"] * 10_001}, "at most 10,000 ids"),
    ],
)
def test_a_body_that_is_none_changes_nothing_and_says_what_is_wrong(
    site: Any, name: str, body: object, words: str
) -> None:
    answer = site.secret.post(f"/v1/lists/{name}/members", json=body)
    assert answer.status_code == 400
    assert words in answer.text
    assert site.secret.get(f"/v1/lists/{name}").json()["members"] == 0


def test_a_name_that_is_none_is_refused(site: Any) -> None:
    answer = site.secret.post("/v1/lists/Very%20Important/members", json={"userIds": ["ada"]})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, "list")


def test_a_write_key_sees_and_changes_no_list(site: Any, name: str) -> None:
    assert site.write.get("/v1/lists").status_code == 403
    assert site.write.post(f"/v1/lists/{name}/members", json={"userIds": ["ada"]}).status_code == 403
    assert site.open.get(f"/v1/lists/{name}").status_code == 401
