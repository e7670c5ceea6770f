"""What an editor of conditions asks over HTTP: names that were sent are offered, and typing errors are pointed at."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def event(site: Any) -> str:
    name = f"Sofa Sat On {uuid.uuid4().hex[:8]}"
    sent = {"anonymousId": "sitter", "event": name, "properties": {"comfort": 3}}
    assert site.write.post("/v1/track", json=sent).status_code == 200
    return name


def test_an_event_that_was_sent_is_offered(site: Any, event: str) -> None:
    text = f'performed("{event[:14]}'
    found = site.secret.get("/v1/conditions/complete", params={"text": text}).json()
    assert {"text": f'"{event}"', "kind": "event"} in found["options"]
    assert (found["start"], found["end"]) == (10, len(text))


def test_the_cursor_may_stand_before_the_end(site: Any, event: str) -> None:
    text = f'performed("{event}" where prop) and known = true'
    cursor = text.index(")")
    found = site.secret.get("/v1/conditions/complete", params={"text": text, "cursor": cursor}).json()
    assert {"text": "properties.comfort", "kind": "property"} in found["options"]
    assert found["end"] == cursor


def test_a_condition_is_checked_and_an_unknown_name_pointed_at(site: Any, event: str) -> None:
    wrong = event.replace("Sat On", "Sat Onn")
    found = site.secret.get("/v1/conditions/check", params={"text": f'performed( "{wrong}" )'}).json()
    assert found["text"] == f'performed("{wrong}")'
    assert found["json"]["event"] == wrong
    (hint,) = found["unknown"]
    assert (hint["kind"], hint["name"], hint["near"]) == ("event", wrong, event)
    assert "^" in hint["message"]


def test_a_condition_that_is_not_well_formed_is_refused_with_its_place(site: Any) -> None:
    answer = site.secret.get("/v1/conditions/check", params={"text": "traits.age >"})
    assert answer.status_code == 400
    assert "column 13" in answer.json()["message"]


def test_a_condition_of_unomi_becomes_ours(site: Any) -> None:
    raw = {
        "type": "profilePropertyCondition",
        "parameterValues": {
            "propertyName": "properties.city",
            "comparisonOperator": "startsWith",
            "propertyValue": "W",
        },
    }
    found = site.secret.post("/v1/conditions/unomi", json=raw).json()
    assert found["text"] == 'traits.city starts with "W"'
    assert found["json"]["type"] == "text"
    refused = site.secret.post("/v1/conditions/unomi", json={"type": "noSuchCondition", "parameterValues": {}})
    assert refused.status_code == 400
    assert "noSuchCondition" in refused.json()["message"]


def test_applying_tells_which_names_nobody_has_sent(site: Any, event: str) -> None:
    name = f"s{uuid.uuid4().hex[:8]}"
    body = {"id": name, "condition": f'count("{event}x") > 1'}
    (applied,) = site.secret.post("/v1/definitions", json=[{"kind": "segments", "id": name, "body": body}]).json()
    assert applied["unseen"] == [f"unknown event '{event}x': did you mean '{event}'?"]
    (again,) = site.secret.post("/v1/definitions", json=[{"kind": "segments", "id": name, "body": body}]).json()
    assert "unseen" not in again
    assert site.secret.delete(f"/v1/segments/{name}").status_code == 200
