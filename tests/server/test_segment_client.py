"""Someone else's client, unmodified, delivers: what it sent is known at the next decision."""

from __future__ import annotations

import gzip
import json
import uuid
from typing import Any

import pytest
from segment.analytics.client import Client

pytestmark = pytest.mark.server


@pytest.fixture(params=[False, True], ids=["plain", "gzip"])
def compressed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_all_six_calls_of_the_python_sdk_arrive_and_count_at_the_next_decision(site: Any, compressed: bool) -> None:
    failures: list[Exception] = []
    user, device, message = (f"{name}-{uuid.uuid4()}" for name in ("user", "device", "message"))
    client = Client(
        site.write_key,
        host=site.address,
        gzip=compressed,
        on_error=lambda error, _batch: failures.append(error),
    )
    client.track(anonymous_id=device, event="Product Viewed", properties={"product_id": "p1"}, message_id=message)
    client.page(anonymous_id=device, name="Home")
    client.identify(user_id=user, anonymous_id=device, traits={"country": "DE"})
    client.screen(user_id=user, name="Start")
    client.group(user_id=user, group_id="acme", traits={"plan": "gold"})
    client.alias(previous_id=f"old-{user}", user_id=user)
    client.flush()
    client.join()

    assert failures == []
    asked = {"userId": user, "slots": [{"id": "home", "n": 1}], "explain": True}
    decision = site.secret.post("/v1/decide", json=asked).json()
    known = decision["reasons"]["profile"]
    assert known["userId"] == user
    assert known["traits"]["country"] == "DE"
    named = {"Product Viewed", "Page Viewed", "Identified", "Screen Viewed", "Grouped", "Aliased"}
    assert {name: known["counts"].get(name) for name in named} == dict.fromkeys(named, 1)


def test_what_the_sdk_sends_twice_counts_once(site: Any) -> None:
    device, message = str(uuid.uuid4()), str(uuid.uuid4())
    for _ in range(2):
        client = Client(site.write_key, host=site.address, sync_mode=True)
        client.track(anonymous_id=device, event="Product Viewed", message_id=message)
    assert site.counts(device) == {"Product Viewed": 1}


def test_a_refused_batch_reaches_the_sdk_as_an_error_with_code_and_message(site: Any) -> None:
    client = Client("bsw_nobody", host=site.address, sync_mode=True, max_retries=1)
    with pytest.raises(Exception, match=r"unauthorized: unknown key.*\(401\)"):
        client.track(anonymous_id="x", event="Product Viewed")


@pytest.mark.parametrize(
    "content_type,packed",
    [("text/plain", False), ("application/x-www-form-urlencoded", True), ("application/json", True), ("", False)],
)
def test_bodies_are_read_whatever_they_are_called(site: Any, content_type: str, packed: bool) -> None:
    device = str(uuid.uuid4())
    body = json.dumps({"batch": [{"type": "track", "anonymousId": device, "event": "X"}]}).encode()
    headers = {"Content-Type": content_type} if content_type else {}
    answer = site.write.post("/v1/batch", content=gzip.compress(body) if packed else body, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert site.counts(device) == {"X": 1}


@pytest.mark.parametrize(
    "path,body,name",
    [
        ("/v1/track", {"event": "X"}, "X"),
        ("/v1/t", {"event": "X"}, "X"),
        ("/v1/identify", {"traits": {"a": 1}}, "Identified"),
        ("/v1/i", {"traits": {"a": 1}}, "Identified"),
        ("/v1/page", {"name": "Home"}, "Page Viewed"),
        ("/v1/p", {"name": "Home"}, "Page Viewed"),
        ("/v1/screen", {"name": "Start"}, "Screen Viewed"),
        ("/v1/s", {"name": "Start"}, "Screen Viewed"),
        ("/v1/group", {"groupId": "g"}, "Grouped"),
        ("/v1/g", {"groupId": "g"}, "Grouped"),
        ("/v1/batch", {"batch": [{"type": "track", "event": "X"}]}, "X"),
        ("/v1/b", {"batch": [{"type": "track", "event": "X"}]}, "X"),
        ("/v1/import", {"batch": [{"type": "track", "event": "X"}]}, "X"),
        ("/v1/track/", {"event": "X"}, "X"),
    ],
)
def test_every_path_of_the_wire_takes_its_call(site: Any, path: str, body: dict[str, Any], name: str) -> None:
    device = str(uuid.uuid4())
    for call in body.get("batch", [body]):
        call["anonymousId"] = device
    answer = site.write.post(path, json=body)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert site.counts(device) == {name: 1}
