"""Decisions over HTTP: what a page sends is in its answer, and a page always gets one."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from bespeak.clock import SECOND
from bespeak.decide import DecideRequest
from bespeak.engine.models import LAG
from bespeak.errors import StoreError

pytestmark = pytest.mark.server

ITEMS = [
    {"id": f"lamp-{number}", "title": f"Lamp {number}", "price": 10.0 + number, "categories": ["lamps"]}
    for number in range(5)
]


@pytest.fixture(autouse=True)
def catalog(site: Any) -> None:
    assert site.secret.post("/v1/items", json=ITEMS).status_code == 200


@pytest.fixture
def device() -> str:
    return str(uuid.uuid4())


def viewed(device: str, item: str) -> dict[str, Any]:
    return {"type": "track", "anonymousId": device, "event": "Product Viewed", "properties": {"product_id": item}}


@pytest.mark.parametrize("durable", [False, True])
def test_events_sent_along_are_folded_before_the_decision(site: Any, device: str, durable: bool) -> None:
    asked = {
        "anonymousId": device,
        "events": [viewed(device, "lamp-1"), viewed(device, "lamp-2")],
        "durable": durable,
        "slots": [{"id": "home", "n": 3}],
        "explain": True,
    }
    answer = site.secret.post("/v1/decide", json=asked).json()
    assert answer["personalized"] is True
    assert answer["reasons"]["profile"]["counts"]["Product Viewed"] == 2
    assert site.counts(device)["Product Viewed"] == 2


def test_items_come_with_what_it_takes_to_draw_them_and_reasons_only_when_asked(site: Any, device: str) -> None:
    site.write.post("/v1/track", json=viewed(device, "lamp-1"))
    time.sleep(LAG / SECOND)  # until recommenders may be asked anew: they know the event by then
    asked = {"anonymousId": device, "slots": [{"id": "home", "n": 3, "category": "lamps"}]}
    plain = site.secret.post("/v1/decide", json=asked).json()["slots"]["home"]["items"][0]
    assert plain["title"] == plain["id"].replace("lamp-", "Lamp ")
    assert plain["price"] >= 10
    assert not {"why", "source", "sources", "propensity"} & set(plain)
    told = site.secret.post("/v1/decide", json={**asked, "explain": True}).json()["slots"]["home"]["items"][0]
    assert told["source"] in told["sources"]


def test_the_short_form_gives_the_items_of_a_decision(site: Any, device: str) -> None:
    site.write.post("/v1/track", json=viewed(device, "lamp-1"))
    short = site.write.get(f"/api/personalized-recommendations?anonymous_id={device}&n=3").json()
    asked = {"anonymousId": device, "slots": [{"id": "recommendations", "n": 3}]}
    full = site.write.post("/v1/decide", json=asked).json()["slots"]["recommendations"]
    assert [item["id"] for item in short["items"]] == [item["id"] for item in full["items"]]
    assert len(short["items"]) == 3
    assert short["personalized"] is True
    assert short["reason"] == full["reason"]


@pytest.mark.parametrize(
    "query,path",
    [("n=lots", "n"), ("n=-1", "n"), ("n=201", "n"), ("anonymous=x", "anonymous"), ("user_idd=1", "user_idd")],
)
def test_a_wrong_parameter_is_named(site: Any, query: str, path: str) -> None:
    answer = site.secret.get(f"/api/personalized-recommendations?{query}")
    assert answer.status_code == 400
    assert path in answer.json()["message"]


@pytest.mark.parametrize(
    "body,path",
    [
        ({"slots": [{"id": "home", "n": "x"}]}, "slots[0].n"),
        ({"slots": [{"n": 1}]}, "slots[0].id"),
        ({"slots": [{"id": "a"}, {"id": "a"}]}, "body"),
        ({"slots": [{"id": "a", "n": 500}]}, "slots[0]"),
        ({"slotz": []}, "slotz"),
        ([], "body"),
    ],
)
def test_a_wrong_request_is_told_its_place(site: Any, body: Any, path: str) -> None:
    answer = site.secret.post("/v1/decide", json=body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["path"] == path


def test_a_page_gets_its_default_and_a_reason_when_everything_else_fails(
    site: Any, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(request: DecideRequest, *, key: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(site.engine, "decide", broken)
    for answer in (
        site.write.post("/v1/decide", json={"anonymousId": device, "slots": [{"id": "home"}, {"id": "hero"}]}),
        site.write.get(f"/api/personalized-recommendations?anonymous_id={device}"),
    ):
        assert answer.status_code == 200
        assert answer.json()["personalized"] is False
        assert "default" in answer.json()["reason"]


def test_a_page_is_answered_when_its_events_cannot_be_kept_and_hears_of_it(
    site: Any, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write.post("/v1/track", json=viewed(device, "lamp-1"))

    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(site.engine, "accept", full)
    asked = {"anonymousId": device, "events": [viewed(device, "lamp-2")], "slots": [{"id": "home", "n": 2}]}
    answer = site.write.post("/v1/decide", json=asked)
    assert answer.status_code == 200
    assert len(answer.json()["slots"]["home"]["items"]) == 2
    assert "send them again" in answer.json()["reason"]
    refused = site.write.post("/v1/track", json=viewed(device, "lamp-2"))
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "disk" not in refused.text


def test_a_durable_decision_says_so_when_its_events_did_not_reach_the_disk(
    site: Any, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(commit: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(site.engine.store, "commit", failing)
    asked = {"anonymousId": device, "events": [viewed(device, "lamp-2")], "slots": [{"id": "home", "n": 2}]}
    answer = site.write.post("/v1/decide", json={**asked, "durable": True})
    assert answer.status_code == 200
    assert "send them again" in answer.json()["reason"]
    monkeypatch.undo()
    assert site.counts(device) == {}
    assert "send them" not in site.write.post("/v1/decide", json={**asked, "durable": True}).json()["reason"]
    assert site.counts(device)["Product Viewed"] == 1


def test_the_events_of_a_request_that_is_refused_are_not_taken(site: Any, device: str) -> None:
    asked = {"userId": device, "events": [viewed(device, "lamp-1")], "slots": [{"id": "home"}], "durable": True}
    assert site.write.post("/v1/decide", json=asked).status_code == 403
    assert site.counts(device) == {}
