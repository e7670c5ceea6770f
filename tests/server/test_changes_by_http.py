"""Who entered and left segments, asked by HTTP: page after page, or as soon as there is something."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import httpx
import pytest

from bespeak.clock import parse_time

pytestmark = pytest.mark.server


@pytest.fixture
def segment(site: Any) -> str:
    """A segment of a product that nobody has seen before."""
    name = f"s-{uuid.uuid4().hex}"
    condition = f'count("Product Viewed" where properties.product_id = "{name}") >= 2'
    assert site.secret.put(f"/v1/segments/{name}", json={"condition": condition}).status_code == 200
    return name


def views(site: Any, segment: str, who: str, times: int = 2) -> None:
    message = {"type": "track", "event": "Product Viewed", "anonymousId": who, "properties": {"product_id": segment}}
    assert site.write.post("/v1/batch", json={"batch": [message] * times}).status_code == 200


def asked(site: Any, **query: object) -> dict[str, Any]:
    answer = site.secret.get("/v1/changes", params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def test_a_change_says_who_where_when_why_and_what_did_it(site: Any, segment: str) -> None:
    views(site, segment, f"ann-{segment}")
    page = asked(site, segment=segment)
    (change,) = page["changes"]
    assert (page["more"], page["missed"]) == (False, False)
    assert (change["profile"], change["segment"], change["version"]) == (f"a:ann-{segment}", segment, 1)
    assert (change["entered"], change["cause"]["kind"], change["cause"]["event"]) == (True, "event", "Product Viewed")
    assert change["cause"]["offset"] > 0
    assert change["cause"]["messageId"]
    assert "2" in change["why"]
    assert len(bytes.fromhex(change["id"])) == 16
    since = site.profile(f"ann-{segment}")["segments"][segment]["since"]
    assert parse_time(change["at"]) == parse_time(since)
    assert asked(site, after=change["cursor"], segment=segment)["changes"] == []


def test_pages_follow_each_other_by_next(site: Any, segment: str) -> None:
    for place in range(5):
        views(site, segment, f"p{place}-{segment}")
    found: list[str] = []
    after = ""
    for _ in range(10):
        page = asked(site, after=after, limit=2, segment=segment)
        found += [one["profile"] for one in page["changes"]]
        after = page["next"]
        if not page["more"]:
            break
    assert found == [f"a:p{place}-{segment}" for place in range(5)]
    (only,) = asked(site, profile=f"p3-{segment}", segment=segment)["changes"]
    assert only["profile"] == f"a:p3-{segment}"


def test_whoever_waits_is_answered_when_there_is_something(site: Any, segment: str) -> None:
    after = asked(site, after="latest")["next"]
    answers: list[httpx.Response] = []

    def wait() -> None:
        query: dict[str, Any] = {"after": after, "segment": segment, "wait": 30}
        answers.append(site.secret.get("/v1/changes", params=query, timeout=40))

    waiting = threading.Thread(target=wait)
    waiting.start()
    views(site, segment, f"ann-{segment}")
    waiting.join(35)
    assert [one["profile"] for one in answers[0].json()["changes"]] == [f"a:ann-{segment}"]


@pytest.mark.parametrize(
    "query, status, words",
    [
        ({"after": "yesterday"}, 400, "the `next` of a page"),
        ({"limit": 0}, 400, "limit"),
        ({"limit": 1_001}, 400, "limit"),
        ({"wait": 31}, 400, "wait"),
        ({"profile": "nobody-at-all"}, 404, "no profile"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_reason(
    site: Any, query: dict[str, object], status: int, words: str
) -> None:
    answer = site.secret.get("/v1/changes", params=query)
    assert answer.status_code == status
    assert words in answer.text
