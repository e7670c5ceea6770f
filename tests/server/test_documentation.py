"""What the server says of itself: /openapi.json with the hot endpoints in it, and /docs without anybody's help."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytestmark = pytest.mark.server

HOT = [
    "/v1/track",
    "/v1/identify",
    "/v1/page",
    "/v1/screen",
    "/v1/group",
    "/v1/alias",
    "/v1/batch",
    "/v1/import",
    "/v1/events",
    "/v1/decide",
]


@pytest.fixture
def schema(site: Any) -> dict[str, Any]:
    found: dict[str, Any] = site.open.get("/openapi.json").json()
    return found


def operations(schema: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(method, path, one) for path, inner in schema["paths"].items() for method, one in inner.items()]


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(inner) for inner in value.values()))
    if isinstance(value, list):
        return set().union(*(references(inner) for inner in value))
    return set()


def test_the_hot_endpoints_stand_in_openapi_with_body_and_answer(schema: dict[str, Any]) -> None:
    for path in HOT:
        operation = schema["paths"][path]["post"]
        assert operation["requestBody"]["content"]["application/json"]["schema"], path
        assert operation["responses"]["200"]["content"]["application/json"]["schema"], path
    parameters = schema["paths"]["/api/personalized-recommendations"]["get"]["parameters"]
    assert {"user_id", "anonymous_id", "n"} <= {one["name"] for one in parameters}


def test_every_reference_leads_somewhere(schema: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in schema["components"]["schemas"]}
    assert references(schema) - known == set()


def test_every_operation_has_a_name_of_its_own_a_summary_and_a_tag(schema: dict[str, Any]) -> None:
    names = [one["operationId"] for _, _, one in operations(schema)]
    assert len(names) == len(set(names))
    assert [path for _, path, one in operations(schema) if not (one["summary"] and one["tags"])] == []


def test_every_example_in_the_documentation_is_accepted(site: Any, schema: dict[str, Any]) -> None:
    tried = 0
    for method, path, operation in operations(schema):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        if "example" in content:
            answer = site.secret.request(method, path, json=content["example"], headers={"X-Strict-Mode": "1"})
            assert answer.status_code == 200, f"{path}: {answer.text}"
            tried += 1
    assert tried >= len(HOT)


def test_an_answer_of_decide_has_the_members_that_its_schema_names(site: Any, schema: dict[str, Any]) -> None:
    answer = site.secret.post(
        "/v1/decide", json={"anonymousId": "x", "slots": [{"id": "home"}], "explain": True}
    ).json()
    assert set(answer) <= set(schema["components"]["schemas"]["ShownDecision"]["properties"])
    assert set(answer["slots"]["home"]) <= set(schema["components"]["schemas"]["ShownSlot"]["properties"])


def test_the_reference_names_every_path_and_asks_nothing_of_anybody_else(site: Any, schema: dict[str, Any]) -> None:
    answer = site.open.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    page = answer.text
    assert [path for path in schema["paths"] if f"<code>{path}</code>" not in page] == []
    assert [name for name in schema["components"]["schemas"] if f'id="type-{name}"' not in page] == []
    assert "<script" not in page
    assert re.findall(r'(?:src|href)="(?!#|/openapi\.json|data:,)[^"]*"', page) == []
    assert "@import" not in page
    assert "url(" not in page


def test_every_link_within_the_reference_has_its_target(site: Any) -> None:
    page = site.open.get("/docs").text
    targets = set(re.findall(r'id="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) - targets == set()
