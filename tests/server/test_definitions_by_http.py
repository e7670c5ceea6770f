"""Items and definitions over HTTP: what is put can be read, changed with its version, and taken away."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest

from bespeak.clock import HOUR, MINUTE, SECOND, format_time

pytestmark = pytest.mark.server


@pytest.fixture
def name() -> str:
    return f"x{uuid.uuid4().hex[:12]}"


def test_an_item_is_put_read_changed_and_removed(site: Any, name: str) -> None:
    path = f"/v1/items/{name}/with/slashes"
    assert site.secret.put(path, json={"title": "A", "price": 3}).status_code == 200
    assert site.secret.put(path, json={"title": "B", "price": 4}).status_code == 200
    found = site.secret.get(path).json()
    assert (found["id"], found["title"], found["price"]) == (f"{name}/with/slashes", "B", 4)
    assert site.secret.delete(path).status_code == 200
    assert site.secret.get(path).status_code == 404
    assert site.secret.delete(path).status_code == 404


def test_many_items_are_an_array_or_one_a_line(site: Any, name: str) -> None:
    items = [{"id": f"{name}-{number}", "title": str(number)} for number in range(3)]
    assert site.secret.post("/v1/items", json=items[:1]).json() == {"count": 1}
    lines = "\n".join(json.dumps(item) for item in items[1:]) + "\n\n"
    assert site.secret.put("/v1/items", content=lines).json() == {"count": 2}
    assert [site.secret.get(f"/v1/items/{item['id']}").json()["title"] for item in items] == ["0", "1", "2"]


@pytest.mark.parametrize(
    "body,words",
    [
        ('{"id": "a"}\n{"id": "b", "price": "dear"}', ["line 2", "price"]),
        ('[{"id": "a"}, {"title": "nameless"}]', ["[1].id"]),
        ('[{"id": "a", "prize": 1}]', ["prize"]),
        ('[{"id": "a", "price": -1}]', ["price must be 0 or more"]),
    ],
)
def test_one_bad_item_is_named_and_none_is_taken(site: Any, name: str, body: str, words: list[str]) -> None:
    answer = site.secret.post("/v1/items", content=body.replace('"a"', f'"{name}"'))
    assert answer.status_code == 400
    assert [word for word in words if word not in answer.json()["message"]] == []
    assert site.secret.get(f"/v1/items/{name}").status_code == 404


def test_an_item_whose_id_is_not_that_of_its_path_is_refused(site: Any, name: str) -> None:
    answer = site.secret.put(f"/v1/items/{name}", json={"id": "other"})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, "id")


@pytest.mark.parametrize(
    "kind,first,second",
    [
        ("segments", {"condition": 'performed("X")'}, {"condition": 'performed("Y")'}),
        ("traits", {"value": 'count("X")'}, {"days_since": {"last": "X"}}),
        (
            "scores",
            {"elements": [{"event": "X", "points": 2}]},
            {"elements": [{"event": "X", "points": 2}], "halflife": "7 days"},
        ),
        (
            "rules",
            {"kind": "filter", "action": "drop", "items": "item.price > 5"},
            {"kind": "filter", "action": "keep", "items": "item.price > 5"},
        ),
        ("experiments", {"variants": [{"key": "a"}, {"key": "b"}]}, {"variants": [{"key": "a"}, {"key": "c"}]}),
        (
            "content",
            {"slot": "s", "always": True, "template": "<p>1</p>", "fallback": ""},
            {"slot": "s", "always": True, "template": "<p>2</p>", "fallback": ""},
        ),
    ],
)  # fmt: skip
def test_a_definition_has_versions_and_changes_only_as_seen(
    site: Any, name: str, kind: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    path = f"/v1/{kind}/{name}"
    assert site.secret.put(path, json=first).json()["change"] == "created"
    assert site.secret.put(path, json=first).json()["change"] == "unchanged"
    seen = site.secret.get(path)
    assert seen.json()["body"] == {"id": name, **first}
    tag = seen.headers["etag"]
    changed = site.secret.put(path, json=second, headers={"If-Match": tag})
    assert (changed.status_code, changed.json()["change"], changed.json()["version"]) == (200, "updated", 2)
    late = site.secret.put(path, json=first, headers={"If-Match": tag})
    assert (late.status_code, late.json()["code"]) == (409, "conflict")
    assert name in [one["id"] for one in site.secret.get(f"/v1/{kind}").json()]
    assert site.secret.delete(path, headers={"If-Match": tag}).status_code == 409
    assert site.secret.delete(path).json()["change"] == "deleted"
    assert site.secret.get(path).status_code == 404


def test_of_many_definitions_all_come_into_force_or_none(site: Any, name: str) -> None:
    good = {"kind": "segments", "id": name, "body": {"id": name, "condition": 'performed("X")'}, "source": "a.yaml"}
    bad = {"kind": "segments", "id": "b", "body": {"id": "b", "condition": "performed("}, "source": "b.yaml"}
    answer = site.secret.post("/v1/definitions", json=[good, bad])
    assert answer.status_code == 400
    assert "b.yaml" in answer.json()["message"]
    assert site.secret.get(f"/v1/segments/{name}").status_code == 404
    assert site.secret.post("/v1/definitions", json=[good]).json()[0]["change"] == "created"


def test_what_is_worked_out_of_somebody_is_told_with_its_reasons(site: Any, name: str) -> None:
    event = f"Event {name}"
    site.secret.put(f"/v1/traits/{name}", json={"value": f'count("{event}")'}).raise_for_status()
    score = {"elements": [{"event": event, "points": 2}], "halflife": "7 days", "bands": {"keen": 3}}
    site.secret.put(f"/v1/scores/{name}", json=score).raise_for_status()
    site.write.post("/v1/batch", json={"batch": [{"type": "track", "anonymousId": name, "event": event}] * 2})
    known = site.secret.get(f"/v1/profiles/{name}").json()
    assert known["computed"][name] == 2
    assert known["scores"][name]["band"] == "keen"
    short = site.secret.get(f"/v1/profiles/{name}/scores").json()[name]
    assert 3.9 < short.pop("value") <= 4
    assert short == {"band": "keen"}
    (path, told) = (f"/v1/profiles/{name}/scores", site.secret.get(f"/v1/profiles/{name}/scores?explain=1").json())
    assert told[name]["contributions"][0]["element"] == f'count("{event}")'
    after = site.secret.get(path, params={"at": told[name]["next_change"]}).json()
    assert after[name]["band"] is None
    assert site.write.get(path).status_code in {401, 403}
    assert site.secret.get(f"/v1/profiles/{uuid.uuid4().hex}/scores").status_code == 404
    refused = site.secret.put(f"/v1/scores/{name}", json={"elements": []})
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (400, "elements")


def test_borders_are_drawn_read_and_deleted(site: Any, name: str) -> None:
    event, path = f"Event {name}", f"/v1/traits/{name}"
    site.secret.put(f"{path}d", json={"days_since": {"last": event}}).raise_for_status()
    figures = {"recency": f"computed.{name}d", "frequency": f'count("{event}")', "monetary": f'count("{event}")'}
    figures["every"] = "never"  # by hand, in this test
    site.secret.put(path, json={"rfm": figures}).raise_for_status()
    assert site.secret.post(f"{path}/borders").status_code == 400, "nobody has figures"
    site.write.post("/v1/batch", json={"batch": [{"type": "track", "anonymousId": name, "event": event}] * 2})
    drawn = site.secret.post(f"{path}/borders").json()
    assert (drawn["people"], drawn["borders"]["frequency"]) == (1, [2.0] * 4)
    told = {**drawn["borders"], **{field: drawn[field] for field in ("drawn", "people", "rank_error")}}
    held = site.secret.get(f"/v1/borders/{name}").json()["body"]
    assert held == {"id": name, "trait_version": 1, **told}
    status = site.secret.get(path).json()["borders"]
    assert (status["people"], status["drawn"], status["next"]) == (1, drawn["drawn"], None)
    assert (status["version"], status["drawing"], status["failed"]) == (1, None, "")
    assert "borders" not in site.secret.get(f"{path}d").json()
    assert site.secret.get(f"/v1/profiles/{name}").json()["computed"][name]["frequency"] == 1
    assert site.secret.delete(f"{path}d").status_code == 409
    for one in (path, f"{path}d"):
        assert site.secret.delete(one).status_code == 200
    assert site.secret.get(f"/v1/borders/{name}").status_code == 404, "they went with it"
    assert site.secret.post(f"{path}/borders").status_code == 404


def test_a_segment_tells_its_size_its_members_and_why(site: Any, name: str) -> None:
    event = f"Event {name}"
    site.secret.put(f"/v1/segments/{name}", json={"condition": f'count("{event}", last 1 hour) >= 2'})
    site.write.post("/v1/batch", json={"batch": [{"type": "track", "anonymousId": name, "event": event}] * 2})
    assert site.secret.get(f"/v1/segments/{name}").json()["size"] == 1
    assert site.secret.get(f"/v1/segments/{name}/count").json() == {"count": 1}
    assert site.secret.get(f"/v1/segments/{name}/count?at=2000-01-01").json() == {"count": 0}
    assert name in site.secret.get(f"/v1/profiles/{name}/segments").json()
    told = site.secret.get(f"/v1/profiles/{name}/segments?explain=1").json()[name]
    assert told["member"] is True
    assert told["explanation"]["value"] == 2
    assert told["since"].endswith("Z")
    assert told["explanation"]["next_change"] > told["since"]


def test_each_part_of_a_reason_says_whether_it_decides_and_which_events_are_behind_it(site: Any, name: str) -> None:
    event, now = f"Event {name}", int(time.time()) * SECOND
    condition = f'count("{event}", last 1 hour) >= 2 or traits.plan = "pro"'
    site.secret.put(f"/v1/segments/{name}", json={"condition": condition}).raise_for_status()
    times = [format_time(now - ago * MINUTE) for ago in (10, 20)]
    did = {"type": "track", "anonymousId": name, "event": event}
    site.write.post("/v1/batch", json={"batch": [{**did, "timestamp": at} for at in times]}).raise_for_status()
    told = site.secret.get(f"/v1/profiles/{name}/segments?explain=1").json()[name]["explanation"]
    counted, said = told["children"]
    assert (told["holds"], told["decides"], told["events"]) == (True, True, [])
    assert (counted["holds"], counted["decides"], counted["events"]) == (True, True, times)
    assert counted["next_change"] == told["next_change"] == format_time(now - 20 * MINUTE + HOUR)
    assert (said["holds"], said["decides"], said["events"]) == (False, False, [])


def test_a_segment_that_needs_history_is_prepared_and_says_so_until_it_is_in_force(site: Any, name: str) -> None:
    event, path = f"Event {name}", f"/v1/segments/{name}"
    site.write.post("/v1/batch", json={"batch": [{"type": "track", "anonymousId": name, "event": event}] * 2})
    asked = site.secret.put(f"{path}?wait=0", json={"condition": f'count("{event}") >= 2'})
    assert (asked.json()["change"], asked.json()["version"], asked.json()["preparing"]) == ("created", 1, True)
    listed = next(one for one in site.secret.get("/v1/segments").json() if one["id"] == name)
    assert listed["version"] == (0 if "preparing" in listed else 1)
    coming = site.secret.get("/v1/definitions/preparing?wait=30").json()
    assert coming == {"preparing": [], "failed": []}
    found = site.secret.get(path)
    assert (found.json()["version"], found.json()["size"], found.headers["etag"]) == (1, 1, '"1"')
    assert "preparing" not in found.json()
    body = {"id": name, "condition": f'count("{event}", last 1 hour) >= 1'}
    changed = site.secret.post("/v1/definitions", json=[{"kind": "segments", "id": name, "body": body}])
    assert changed.json() == [{"kind": "segments", "id": name, "version": 2, "change": "updated"}]
    assert "bespeak_definitions_preparing 0" in site.open.get("/metrics").text
    assert site.secret.delete(path).json()["change"] == "deleted"


def test_history_is_taken_once_and_at_its_own_time(site: Any, name: str) -> None:
    at = 1_577_836_800_000_000  # 2020-01-01T00:00:00Z
    events = [
        {
            "type": "track", "name": "Old", "message_id": f"{name}-{number}", "time": at + number,
            "received": at + 10**15, "anonymous_id": name, "source": "history",
        }
        for number in range(3)
    ]  # fmt: skip
    assert site.secret.post("/v1/history", json=events).json() == {"accepted": 3, "duplicate": 0, "refused": 0}
    assert site.secret.post("/v1/history", json=events).json() == {"accepted": 0, "duplicate": 3, "refused": 0}
    assert site.profile(name)["firstSeen"] == "2020-01-01T00:00:00Z"
