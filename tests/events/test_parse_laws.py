"""Laws of reading: any bytes give events or a caller's error, and the quick way says what the slow way says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bespeak import ids
from bespeak.clock import MINUTE, format_time, parse_time
from bespeak.errors import CallerError
from bespeak.events import Event, EventLimits, Parsed, parse_batch

RECEIVED = parse_time("2026-01-31T12:00:00Z")

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
names = st.sampled_from(
    [
        "type",
        "event",
        "messageId",
        "userId",
        "anonymousId",
        "previousId",
        "groupId",
        "properties",
        "traits",
        "context",
        "integrations",
        "timestamp",
        "originalTimestamp",
        "sentAt",
        "name",
        "category",
        "userSignature",
        "batch",
        "x",
    ]
)
types = st.sampled_from(["track", "identify", "page", "screen", "group", "alias"])
wild = st.dictionaries(names, values, max_size=8)
times = st.datetimes().map(lambda moment: moment.isoformat() + "Z")
good = st.fixed_dictionaries(
    {"type": types, "messageId": st.text(min_size=1, max_size=40), "userId": st.uuids().map(str)},
    optional={
        "event": st.text(max_size=20),
        "anonymousId": st.text(max_size=20),
        "previousId": st.text(max_size=20),
        "groupId": st.text(max_size=20),
        "timestamp": times,
        "sentAt": times,
        "properties": st.dictionaries(st.text(max_size=8), st.integers(-(2**63), 2**63 - 1) | st.text(), max_size=4),
        "context": st.dictionaries(st.text(max_size=8), st.booleans(), max_size=3),
    },
)


def parse(body: bytes, **arguments: Any) -> Parsed:
    return parse_batch(
        body,
        received=RECEIVED,
        source="web",
        trusted=False,
        verify=lambda _user_id, signature: signature == "right",
        limits=arguments.pop("limits", EventLimits()),
        **arguments,
    )


def written(value: object) -> bytes:
    return json.dumps(value).encode()


def check(parsed: Parsed) -> None:
    assert len(parsed.events) == len(parsed.indexes)
    places = [*parsed.indexes, *(rejection.index for rejection in parsed.rejected)]
    assert sorted(places) == list(range(len(places)))
    for event in parsed.events:
        assert event.user_id or event.anonymous_id
        assert not any(ids.is_blocked(found) for found in (event.user_id, event.anonymous_id) if found is not None)
        assert 1 <= len(event.message_id) <= 100
        assert event.time <= RECEIVED + MINUTE
        format_time(event.time)
        ids.digest(event.source, event.message_id)


@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbf")
@example(b'{"batch":[}')
@example(b'"\\ud800')
def test_any_bytes_are_events_or_a_callers_error(body: bytes) -> None:
    try:
        check(parse(body))
    except CallerError as error:
        assert error.message  # noqa: PT017 - either outcome is right


@given(st.lists(wild | values, max_size=5), wild, st.none() | types)
def test_any_json_is_events_or_a_callers_error(batch: list[object], around: dict[str, object], kind: Any) -> None:
    try:
        check(parse(written({**around, "batch": batch}), kind=kind))
    except CallerError as error:
        assert error.message  # noqa: PT017 - either outcome is right


@given(st.lists(wild, min_size=1, max_size=5), st.integers(0, 400), st.binary(max_size=3))
def test_a_damaged_body_is_events_or_a_callers_error(batch: list[object], place: int, damage: bytes) -> None:
    body = written({"batch": batch})
    try:
        check(parse(body[:place] + damage + body[place + 1 :]))
    except CallerError as error:
        assert error.message  # noqa: PT017 - either outcome is right


@given(st.lists(good, min_size=1, max_size=6))
def test_the_quick_and_the_slow_way_read_the_same(batch: list[dict[str, object]]) -> None:
    quick = parse(written({"batch": batch}))
    slow = parse(written({"batch": [*batch, 5]}))  # the last is no object: every item is read by itself
    assert slow.events == quick.events
    assert slow.rejected[: len(quick.rejected)] == quick.rejected
    assert slow.rejected[-1].reason == "not_an_object"


@given(st.lists(good, max_size=6))
def test_a_batch_is_its_messages_one_by_one(batch: list[dict[str, object]]) -> None:
    def alone(message: dict[str, object]) -> tuple[Event, ...]:
        return parse(written(message)).events

    together = parse(written({"batch": batch}))
    assert together.events == tuple(event for message in batch for event in alone(message))


@settings.get_profile("few")
@given(good, st.dictionaries(names, st.none(), max_size=6))
def test_null_is_absent(message: dict[str, object], nulls: dict[str, None]) -> None:
    absent = {name: value for name, value in message.items() if name not in nulls}
    with_null = {**absent, **nulls}
    without, found = parse(written(absent)), parse(written(with_null))
    assert [rejection.reason for rejection in found.rejected] == [rejection.reason for rejection in without.rejected]
    if absent.get("messageId"):
        assert found.events == without.events


@pytest.mark.parametrize("word", ["", "-1", "null", "none", "undefined", "nan", "anonymous", "guest", "unknown"])
@pytest.mark.parametrize("change", [str, str.upper, str.title, lambda word: f"  {word}\t"])
def test_a_blocked_id_is_blocked_however_it_is_written(word: str, change: Any) -> None:
    assert ids.is_blocked(change(word))
