"""Previews by HTTP: what is asked wrongly is refused with what would be right; how they stand can be asked."""

from __future__ import annotations

from typing import Any

import pytest

from bespeak.analytics.conditions_compared import Beside, Overlap
from bespeak.analytics.conditions_sql import Members
from bespeak.clock import SECOND
from bespeak.engine import Taking, WarmPreview
from bespeak.engine.previewing import Preview
from bespeak.engine.previews import Seconds

pytestmark = pytest.mark.server

PATH = "/v1/segments/preview"
TRIED = {"condition": 'performed("Product Viewed")'}


@pytest.mark.parametrize(
    "body, words",
    [
        ({}, "condition"),
        ({"condition": "performed("}, "performed("),
        ({"condition": {"type": "no such thing"}}, "no such thing"),
        ({**TRIED, "sample": 0}, "expected 1 to 1,000"),
        ({**TRIED, "sample": 1_001}, "expected 1 to 1,000"),
        ({**TRIED, "at": "tomorrow"}, "ISO 8601"),
        ({**TRIED, "at": "9999-12-31"}, "at: expected a time from 0002-01-01T00:00:00Z to 9998-01-01T00:00:00Z"),
        ({**TRIED, "overlap": True}, "overlap"),
        ({"condition": 'context.device = "phone"'}, "context.device"),
        (TRIED, "there is no archive"),
    ],
)
def test_what_cannot_be_previewed_says_why(site: Any, body: dict[str, Any], words: str) -> None:
    answer = site.secret.post(PATH, json=body)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["message"]


def test_how_previews_stand_can_be_asked(site: Any) -> None:
    assert site.secret.get(f"{PATH}/progress").json()["state"] == "off", "its store is in RAM"


def test_a_preview_is_answered_with_what_only_one_of_two_has(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Beside(9, Members(3, ("u:a", "u:b", "u:c")), {"keen": Overlap(5, 2)})
    asked: list[Any] = []

    async def previewed(condition: Any, **more: Any) -> WarmPreview:
        asked.append(more)
        return WarmPreview(1_780_000_000 * SECOND, Preview(17, found, {"odd": "why"}), Seconds(0.1, 0.2))

    monkeypatch.setattr(site.engine, "preview", previewed)
    answer = site.secret.post(PATH, json={**TRIED, "sample": 3, "overlaps": False, "at": "1970-01-01T00:00:01Z"})
    assert asked == [{"at": SECOND, "most": 3, "overlaps": False}]
    assert answer.json() == {
        "at": "2026-05-28T20:26:40Z",
        "offset": 17,
        "found": {
            "people": 9,
            "members": {"size": 3, "sample": ["u:a", "u:b", "u:c"]},
            "others": {"keen": {"size": 5, "both": 2, "only_this": 1, "only_other": 3}},
        },
        "left_out": {"odd": "why"},
        "seconds": {"alone": 0.1, "overlaps": 0.2},
    }


def test_while_events_are_taken_in_the_answer_is_how_far_and_when_to_come_again(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def taking(condition: Any, **more: Any) -> Taking:
        return Taking(3, 10)

    monkeypatch.setattr(site.engine, "preview", taking)
    answer = site.secret.post(PATH, json=TRIED)
    assert (answer.status_code, answer.headers["retry-after"]) == (202, "1")
    assert answer.json() == {"state": "warming", "done": 3, "total": 10}
