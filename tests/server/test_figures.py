"""/health, /ready and /metrics."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from bespeak.engine import COUNTERS
from bespeak.server.health import exposition

_SAMPLE = re.compile(r'^[a-z_]+(\{[a-z_]+="[^"]*"\})? -?[0-9.e+-]+$')


def test_families_have_their_type_once_and_every_line_is_prometheus_text() -> None:
    figures = {
        "bespeak_decisions_total": 3.0,
        'bespeak_segment_members{segment="a"}': 1.0,
        'bespeak_segment_members{segment="b"}': 2.5,
        "bespeak_profiles": 1e9,
    }
    lines = exposition(figures).splitlines()
    assert [line for line in lines if not line.startswith("#") and not _SAMPLE.match(line)] == []
    types = [line for line in lines if line.startswith("# TYPE")]
    assert types == [
        "# TYPE bespeak_decisions_total counter",
        "# TYPE bespeak_profiles gauge",
        "# TYPE bespeak_segment_members gauge",
    ]
    assert 'bespeak_segment_members{segment="b"} 2.5' in lines
    assert "bespeak_profiles 1000000000" in lines


@pytest.mark.server
def test_the_counters_count_what_was_sent(site: Any) -> None:
    def figures() -> dict[str, float]:
        text = site.open.get("/metrics").text
        return {name: float(value) for name, value in (line.split() for line in text.splitlines() if line[0] != "#")}

    before = figures()
    assert set(COUNTERS) <= set(before)
    event = {"type": "track", "anonymousId": str(uuid.uuid4()), "event": "X", "messageId": str(uuid.uuid4())}
    site.write.post("/v1/batch", json={"batch": [event, event, {"type": "track"}]})
    after = figures()
    grown = {name: after[name] - before[name] for name in COUNTERS if name.startswith("bespeak_events")}
    assert grown == {
        "bespeak_events_accepted_total": 1,
        "bespeak_events_duplicate_total": 1,
        "bespeak_events_refused_total": 0,
        "bespeak_events_rejected_total": 1,
    }


@pytest.mark.server
def test_it_is_alive_and_ready(site: Any) -> None:
    assert site.open.get("/health").json()["service"] == "bespeak"
    assert site.open.get("/ready").json() == {"status": "ready"}
