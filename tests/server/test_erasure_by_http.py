"""Erasing a person and changing the master key over HTTP: a receipt by place, and then nobody of that name."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

pytestmark = pytest.mark.server


def test_a_person_is_erased_with_a_receipt_and_is_then_unknown(site: Any) -> None:
    name = f"x{uuid.uuid4().hex[:12]}"
    who = {"userId": name, "anonymousId": f"{name}-device"}
    sent = [{"type": "identify", **who, "messageId": f"{name}-1"}, {"type": "track", **who, "event": 7}]
    assert site.write.post("/v1/batch", json={"batch": sent}).status_code == 200
    assert site.secret.get(f"/v1/profiles/{name}-device").json()["userId"] == name
    receipt = site.secret.delete(f"/v1/profiles/u:{name}")
    assert receipt.status_code == 200
    told = receipt.json()
    assert (told["identifiers"], told["keys"], len(told["names"])) == (2, 1, 2)
    assert set(told["stores"]) == {
        "log", "archive", "profile", "aliases", "timers", "quarantine", "dedupe", "models", "disk",
    }  # fmt: skip
    assert told["stores"]["quarantine"] == "1 rejected messages removed"
    assert name not in receipt.text
    for known in (name, f"{name}-device"):
        assert site.secret.get(f"/v1/profiles/{known}").status_code == 404
        assert site.secret.delete(f"/v1/profiles/{known}").status_code == 404
    assert name not in site.secret.get("/v1/rejected").text
    assert "bespeak_erasures_total" in site.open.get("/metrics").text


def test_the_models_are_built_anew_in_the_background(site: Any) -> None:
    name = f"x{uuid.uuid4().hex[:12]}"
    sent = {"anonymousId": name, "event": "Product Viewed", "properties": {"product_id": "i1"}}
    assert site.write.post("/v1/track", json=sent).status_code == 200
    assert site.secret.delete(f"/v1/profiles/{name}").status_code == 200
    assert site.secret.get("/v1/models").json()["erased"] is not None
    assert site.secret.post("/v1/models/rebuild?share=2").status_code == 400
    assert site.write.post("/v1/models/rebuild").status_code == 403
    assert site.secret.post("/v1/models/rebuild?share=1").json()["rebuilding"] is True
    status = site.secret.get("/v1/models?wait=30").json()
    assert (status["rebuilding"], status["erased"], status["failed"]) == (False, None, "")
    assert status["built"] > 0
    assert "bespeak_models_rebuilt_total" in site.open.get("/metrics").text


def test_the_master_key_changes_and_everybody_stays(site: Any) -> None:
    name = f"x{uuid.uuid4().hex[:12]}"
    sent = {"type": "identify", "userId": name, "messageId": f"{name}-1"}
    assert site.write.post("/v1/identify", json=sent).status_code == 200
    first = site.secret.post("/v1/keys/rotate-master").json()
    second = site.secret.post("/v1/keys/rotate-master").json()
    assert second["version"] == first["version"] + 1
    assert second["retired"] == [first["version"]]
    assert second["rewrapped"] >= 1
    assert site.secret.get(f"/v1/profiles/{name}").json()["userId"] == name
