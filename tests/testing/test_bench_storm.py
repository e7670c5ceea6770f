"""A storm is measured beside a server that truly takes in events, and of people whose windows truly end."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import msgspec
import pytest

from bespeak.testing.bench import definitions
from bespeak.testing.bench_storm import AT, STORM, WINDOW, Plan, bodies, people, weather


def test_every_person_has_one_window_that_ends_within_the_second() -> None:
    events = [event for batch in people(1_000) for event in batch]
    ends = [event.time + WINDOW - AT for event in events if event.name in {"Door Opened", "Bell Rung"}]
    assert len(ends) == len({event.anonymous_id for event in events}) == 1_000
    assert 0 <= min(ends) < max(ends) < 1_000_000
    assert len({event.message_id for event in events}) == len(events) == 3_000


def test_no_message_comes_twice() -> None:
    ids = [event["messageId"] for body in islice(bodies(), 1_200) for event in msgspec.json.decode(body)["batch"]]
    assert len(set(ids)) == len(ids) == 24_000


@pytest.mark.slow
@pytest.mark.parametrize("live_max", [100, 50_000])
def test_a_small_storm_is_over_and_told(tmp_path: Path, live_max: int) -> None:
    found = weather(Plan(400, live_max, warm_seconds=1, calm_seconds=1), tmp_path, definitions())
    assert found.flips == 400
    assert found.before > 0
    assert found.seconds > 0
    assert list(found.told()) == list(STORM)
