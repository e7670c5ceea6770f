"""Worked vectors: what a body means, by Segment's specification and by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bespeak.clock import DAY, MINUTE, SECOND, parse_time
from bespeak.errors import InvalidInput, MalformedJSON, TooLarge
from bespeak.events import Event, EventLimits, EventRejected, Parsed, parse_batch, parse_message

RECEIVED = parse_time("2026-01-31T12:00:10Z")
LIMITS = EventLimits()


def never(_user_id: str, _signature: str) -> bool:
    return False


def parse(body: object, **arguments: Any) -> Parsed:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    wanted = {"received": RECEIVED, "source": "web", "trusted": False, "verify": never, "limits": LIMITS, **arguments}
    return parse_batch(raw, **wanted)


def track(**members: object) -> dict[str, object]:
    return {"type": "track", "event": "Product Viewed", "messageId": "m1", "anonymousId": "a1", **members}


def only(parsed: Parsed) -> Event:
    assert not parsed.rejected
    (event,) = parsed.events
    return event


def reason(parsed: Parsed) -> str:
    assert not parsed.events
    (rejection,) = parsed.rejected
    return rejection.reason


def test_a_batch_is_read_in_its_order_with_its_write_key() -> None:
    parsed = parse({"batch": [track(messageId="m1"), track(messageId="m2")], "writeKey": "wk"})
    assert [event.message_id for event in parsed.events] == ["m1", "m2"]
    assert parsed.indexes == (0, 1)
    assert parsed.write_key == "wk"


def test_a_single_call_takes_its_kind_from_the_address() -> None:
    parsed = parse({"userId": "u1", "traits": {"plan": "pro"}, "writeKey": "wk"}, kind="identify")
    event = only(parsed)
    assert (event.type, event.name, event.properties) == ("identify", "Identified", {"plan": "pro"})
    assert parsed.write_key == "wk"


@pytest.mark.parametrize("body", [track(), [track()], {"batch": [track()]}], ids=["bare", "list", "batch"])
def test_a_message_alone_a_list_and_a_batch_say_the_same(body: object) -> None:
    assert only(parse(body)) == only(parse(track()))


def test_what_an_event_keeps_of_its_message() -> None:
    event = only(parse(track(properties={"price": 12.5}, context={"locale": "de-DE"}, userId="u1")))
    assert event == Event(
        type="track",
        name="Product Viewed",
        message_id="m1",
        time=RECEIVED,
        received=RECEIVED,
        user_id="u1",
        anonymous_id="a1",
        properties={"price": 12.5},
        context={"locale": "de-DE"},
        source="web",
    )


def test_one_bad_item_does_not_fail_its_batch() -> None:
    parsed = parse({"batch": [track(messageId="m1"), track(messageId="m2", anonymousId=True), track(messageId="m3")]})
    assert [event.message_id for event in parsed.events] == ["m1", "m3"]
    assert parsed.indexes == (0, 2)
    (rejection,) = parsed.rejected
    assert (rejection.index, rejection.message_id, rejection.reason) == (1, "m2", "invalid_field")
    assert [problem.path for problem in rejection.problems] == ["anonymousId"]
    assert json.loads(rejection.raw)["messageId"] == "m2"


def test_a_refused_item_of_a_well_typed_batch_keeps_its_text() -> None:
    parsed = parse({"batch": [track(messageId="m1"), {"type": "page", "messageId": "m2"}]})
    (rejection,) = parsed.rejected
    assert (rejection.index, rejection.reason) == (1, "no_user_anon_id")
    assert json.loads(rejection.raw) == {"type": "page", "messageId": "m2"}


class TestTime:
    """timestamp = receivedAt - (sentAt - originalTimestamp); reference tracking 1.6."""

    def test_a_clock_that_is_wrong_is_corrected_by_when_it_says_it_sent(self) -> None:
        # The client's clock is a year behind; it sent 2 s after the event.
        event = only(parse({"batch": [track(timestamp="2025-01-31T12:00:00Z")], "sentAt": "2025-01-31T12:00:02Z"}))
        assert event.time == RECEIVED - 2 * SECOND
        assert event.original_time is None

    def test_the_original_timestamp_goes_before_the_timestamp(self) -> None:
        event = only(
            parse(
                track(
                    originalTimestamp="2026-01-31T12:00:00Z",
                    timestamp="2020-01-01T00:00:00Z",
                    sentAt="2026-01-31T12:00:05Z",
                )
            )
        )
        assert event.time == RECEIVED - 5 * SECOND

    def test_its_own_sent_at_goes_before_that_of_the_batch(self) -> None:
        message = track(timestamp="2026-01-31T12:00:00Z", sentAt="2026-01-31T12:00:01Z")
        assert only(parse({"batch": [message], "sentAt": "2026-01-31T12:00:09Z"})).time == RECEIVED - SECOND

    def test_without_sent_at_the_time_stands_as_history_does(self) -> None:
        assert only(parse(track(timestamp="1997-09-20T03:05:10Z"))).time == parse_time("1997-09-20T03:05:10Z")

    def test_without_any_timestamp_it_happened_when_it_came(self) -> None:
        assert only(parse({"batch": [track()], "sentAt": "2020-01-01T00:00:00Z"})).time == RECEIVED

    def test_a_time_a_minute_ahead_is_kept_and_one_beyond_is_clamped_with_the_original(self) -> None:
        ahead = only(parse(track(timestamp="2026-01-31T12:01:10Z")))
        assert (ahead.time, ahead.original_time) == (RECEIVED + MINUTE, None)
        beyond = only(parse(track(timestamp="2027-01-31T12:00:10Z")))
        assert (beyond.time, beyond.original_time) == (RECEIVED + MINUTE, RECEIVED + 365 * DAY)

    @pytest.mark.parametrize(
        "text, instant",
        [
            ("2026-01-31T12:00:00.123Z", "2026-01-31T12:00:00.123Z"),
            ("2026-01-31T12:00:00.123456+00:00", "2026-01-31T12:00:00.123456Z"),
            ("2026-01-31T13:30:00+01:30", "2026-01-31T12:00:00Z"),
            ("2026-01-31T12:00:00", "2026-01-31T12:00:00Z"),
            ("2026-01-31 12:00", "2026-01-31T12:00:00Z"),
            ("2026-01-31", "2026-01-31T00:00:00Z"),
            (1769860800, "2026-01-31T12:00:00Z"),
            (1769860800123, "2026-01-31T12:00:00.123Z"),
        ],
    )
    def test_times_are_read_as_trackers_write_them(self, text: object, instant: str) -> None:
        assert only(parse(track(timestamp=text))).time == parse_time(instant)

    @pytest.mark.parametrize("text", ["yesterday", 1e30, True, {"$date": 1}])
    def test_what_is_no_time_is_rejected_where_it_stands(self, text: object) -> None:
        parsed = parse(track(timestamp=text))
        assert reason(parsed) == "invalid_field"
        assert [problem.path for problem in parsed.rejected[0].problems] == ["timestamp"]

    def test_a_time_before_the_year_one_is_rejected(self) -> None:
        message = track(timestamp="0001-01-01T00:00:00Z", sentAt="9999-12-31T00:00:00Z")
        assert reason(parse(message)) == "invalid_field"


class TestWho:
    def test_neither_id_is_rejected_by_segments_word(self) -> None:
        assert reason(parse({"type": "track", "event": "x"})) == "no_user_anon_id"

    @pytest.mark.parametrize("blocked", ["null", "undefined", "-1", "", "00000000-0000", " NULL ", "0", None])
    def test_ids_that_name_nobody_are_ignored(self, blocked: str | None) -> None:
        assert only(parse(track(userId=blocked))).user_id is None
        assert reason(parse(track(anonymousId=blocked))) == "no_user_anon_id"

    @pytest.mark.parametrize("number, text", [(1234, "1234"), (1234.0, "1234"), (2**70, str(2**70))])
    def test_numbers_are_ids(self, number: float, text: str) -> None:
        assert only(parse(track(userId=number, messageId=number))).user_id == text
        assert only(parse(track(userId=number, messageId=number))).message_id == text

    def test_an_id_of_200_characters_is_the_longest(self) -> None:
        assert only(parse(track(userId="u" * 200))).user_id == "u" * 200
        assert reason(parse(track(userId="u" * 201))) == "invalid_field"

    def test_null_is_absent_as_the_python_sdk_sends_it(self) -> None:
        message = {**track(userId="u1"), "anonymousId": None, "integrations": {}, "timestamp": None, "properties": None}
        event = only(parse(message))
        assert (event.anonymous_id, event.properties, event.context) == (None, {}, {})

    def test_a_self_alias_is_an_event_like_others(self) -> None:
        event = only(parse({"type": "alias", "userId": "u1", "previousId": "u1"}))
        assert (event.user_id, event.previous_id, event.name) == ("u1", "u1", "Aliased")

    @pytest.mark.parametrize(
        "message, word",
        [
            ({"type": "alias", "userId": "u1"}, "alias_without_previous_id"),
            ({"type": "alias", "userId": "u1", "previousId": "null"}, "alias_without_previous_id"),
            ({"type": "alias", "anonymousId": "a1", "previousId": "a2"}, "alias_without_user_id"),
            ({"type": "group", "userId": "u1"}, "group_without_group_id"),
            ({"type": "track", "userId": "u1"}, "track_without_event"),
            ({"type": "track", "userId": "u1", "event": "  "}, "track_without_event"),
            ({"userId": "u1"}, "unknown_type"),
            ({"type": "wave", "userId": "u1"}, "unknown_type"),
            ({"type": "track", "userId": "u1", "event": "e" * 201}, "invalid_field"),
            ({"type": "page", "userId": "u1", "messageId": "m" * 101}, "invalid_field"),
            ({"type": "page", "userId": "u1", "properties": []}, "invalid_field"),
        ],
    )
    def test_what_a_call_needs(self, message: dict[str, object], word: str) -> None:
        assert reason(parse(message)) == word


class TestProof:
    def test_a_secret_key_proves_every_identity(self) -> None:
        assert only(parse(track(userId="u1"), trusted=True)).signed

    @pytest.mark.parametrize(
        "body",
        [
            track(userId="u1", userSignature="right"),
            track(userId="u1", context={"userSignature": "right"}),
            {"batch": [track(userId="u1")], "userSignature": "right"},
            {"batch": [track(userId="u1")], "context": {"userSignature": "right"}},
        ],
        ids=["message", "context", "batch", "batch context"],
    )
    def test_a_signature_proves_one_wherever_it_stands_and_is_not_kept(self, body: object) -> None:
        event = only(parse(body, verify=lambda user_id, signature: (user_id, signature) == ("u1", "right")))
        assert event.signed
        assert event.context == {}

    def test_a_wrong_signature_proves_nothing(self) -> None:
        assert not only(parse(track(userId="u1", userSignature="wrong"))).signed

    def test_a_signature_without_a_user_is_not_asked_for(self) -> None:
        def fail(_user_id: str, _signature: str) -> bool:
            raise AssertionError

        assert not only(parse(track(userSignature="x"), verify=fail)).signed


class TestBatchLevel:
    def test_context_and_integrations_stand_under_those_of_each_message(self) -> None:
        body = {
            "batch": [track(context={"locale": "fr-FR"}), track(messageId="m2", integrations={"A": True})],
            "context": {"locale": "de-DE", "app": {"name": "shop"}},
            "integrations": {"All": False, "A": False},
        }
        first, second = parse(body).events
        assert first.context == {
            "locale": "fr-FR",
            "app": {"name": "shop"},
            "integrations": {"All": False, "A": False},
        }
        assert second.context["locale"] == "de-DE"
        assert second.context["integrations"] == {"All": False, "A": True}

    def test_a_bad_context_of_the_batch_rejects_its_messages_with_the_place(self) -> None:
        parsed = parse({"batch": [track(), track()], "context": "x"})
        assert [rejection.problems[0].path for rejection in parsed.rejected] == ["context", "context"]

    def test_a_context_that_would_swell_the_batch_beyond_its_bound_is_too_large(self) -> None:
        body = {"batch": [track(messageId=str(number)) for number in range(2_000)], "context": {"a": "x" * 20_000}}
        with pytest.raises(TooLarge, match="stand in each of its 2,000 events"):
            parse(body)


class TestBounds:
    def test_2500_events_are_read_and_2501_are_too_many(self) -> None:
        small = {"type": "page", "userId": "u1"}
        assert len(parse({"batch": [small] * 2_500}).events) == 2_500
        with pytest.raises(TooLarge, match="2,501 events, at most 2,500"):
            parse({"batch": [small] * 2_501})
        with pytest.raises(TooLarge, match="2,501 events, at most 2,500"):
            parse({"batch": [{"type": 5}] * 2_501})

    def test_a_body_over_500_kb_is_too_large(self) -> None:
        with pytest.raises(TooLarge, match="512,000 bytes"):
            parse(b" " * 512_001)

    def test_an_event_over_32_kb_is_rejected_alone_in_a_batch_and_too_large_by_itself(self) -> None:
        large = track(messageId="m2", properties={"text": "x" * 32_768})
        parsed = parse({"batch": [track(), large]})
        assert [event.message_id for event in parsed.events] == ["m1"]
        assert [rejection.reason for rejection in parsed.rejected] == ["event_too_large"]
        with pytest.raises(TooLarge, match="32,768 bytes"):
            parse(large)

    def test_255_properties_are_kept_and_256_rejected(self) -> None:
        assert len(only(parse(track(properties={str(number): 1 for number in range(255)}))).properties) == 255
        assert reason(parse(track(properties={str(number): 1 for number in range(256)}))) == "too_many_properties"

    @pytest.mark.parametrize("field", ["properties", "traits", "context"])
    def test_eight_levels_are_kept_and_nine_rejected_with_the_place(self, field: str) -> None:
        def nested(levels: int) -> dict[str, object]:
            return {"a": nested(levels - 1)} if levels > 1 else {"a": 1}

        only(parse(track(**{field: nested(8)})))
        parsed = parse(track(**{field: nested(9)}))
        assert reason(parsed) == "too_deep"
        assert parsed.rejected[0].problems[0].path == field + ".a" * 8

    @pytest.mark.parametrize("opening", [b"[", b'{"a":'])
    @pytest.mark.parametrize("depth", [100, 1_000, 10_000])
    def test_ten_thousand_levels_are_a_clean_refusal(self, opening: bytes, depth: int) -> None:
        closing = b"]" if opening == b"[" else b"}"
        value = opening * depth + b"1" + closing * depth
        for body in (
            value,
            b'{"type":"page","userId":"u","properties":{"a":' + value + b"}}",
            b'{"type":"page","userId":"u","strange":' + value + b"}",
        ):
            try:
                parsed = parse(body)
            except (TooLarge, MalformedJSON, InvalidInput):
                continue
            assert parsed.rejected or b"strange" in body

    @pytest.mark.parametrize("number", ["1" + "0" * 30, "9" * 5_000, "1e999", "-9223372036854775809"])
    def test_numbers_that_no_store_can_keep_are_rejected(self, number: str) -> None:
        body = b'{"type":"page","userId":"u","properties":{"deep":{"n":' + number.encode() + b"}}}"
        assert reason(parse(body)) == "invalid_field"


class TestBadJson:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"nul",
            b'{"a":NaN}',
            b'{"a":Infinity}',
            b'{"batch":[{"type":"page"},]}',
            b'{"a":1} x',
            b"\xff\xfe",
        ],
    )
    def test_what_is_not_json_is_malformed(self, body: bytes) -> None:
        with pytest.raises(MalformedJSON, match="not JSON"):
            parse(body)

    @pytest.mark.parametrize("body", [b"5", b'"x"', b"null", b"true", b'{"batch":{}}', b'{"batch":"x"}'])
    def test_json_of_another_shape_is_invalid(self, body: bytes) -> None:
        with pytest.raises(InvalidInput, match="must be"):
            parse(body)

    def test_items_that_are_no_objects_are_rejected_one_by_one(self) -> None:
        parsed = parse(b'{"batch":[5,null,[],"x"]}')
        assert [rejection.reason for rejection in parsed.rejected] == ["not_an_object"] * 4

    def test_bytes_that_are_no_text_reject_their_item_alone(self) -> None:
        parsed = parse(b'[{"type":"page","userId":"\xff"},{"type":"page","userId":"u"}]')
        assert [rejection.reason for rejection in parsed.rejected] == ["not_unicode"]
        assert parsed.indexes == (1,)

    def test_half_an_emoji_becomes_a_replacement_and_whole_ones_stay(self) -> None:
        body = rb'{"type":"page","userId":"u","properties":{"a":"x\ud83d","b":"\ud83d\ude00","c":"\\ud83d"}}'
        properties = only(parse(body)).properties
        assert properties == {"a": "x�", "b": "😀", "c": "\\ud83d"}

    def test_a_byte_order_mark_is_passed_over(self) -> None:
        assert only(parse(b"\xef\xbb\xbf" + json.dumps(track()).encode())).message_id == "m1"

    def test_an_empty_batch_holds_nothing(self) -> None:
        assert parse({"batch": []}) == Parsed((), ())


class TestMessageId:
    def test_a_made_id_is_the_same_for_the_same_body_and_differs_by_place_time_and_source(self) -> None:
        message = {"type": "page", "userId": "u1"}
        body = {"batch": [message, message]}
        ids = [event.message_id for event in parse(body).events]
        assert ids == [event.message_id for event in parse(body).events]
        others = [
            event.message_id
            for arguments in ({"received": RECEIVED + 1}, {"source": "app"})
            for event in parse(body, **arguments).events
        ]
        assert len({*ids, *others}) == 6
        assert all(found.startswith("srv-") and len(found) <= 100 for found in ids)


def test_page_name_and_category_are_properties_too() -> None:
    event = only(
        parse({"type": "page", "userId": "u1", "name": "Home", "category": "Shop", "properties": {"name": "x"}})
    )
    assert (event.name, event.properties) == ("Page Viewed", {"name": "x", "category": "Shop"})


def test_parse_message_raises_what_parse_batch_rejects() -> None:
    arguments: dict[str, Any] = {
        "received": RECEIVED,
        "source": "web",
        "trusted": False,
        "verify": never,
        "limits": LIMITS,
    }
    assert parse_message(json.dumps(track()).encode(), **arguments) == only(parse(track()))
    with pytest.raises(EventRejected, match="no_user_anon_id: userId: expected") as caught:
        parse_message(b'{"type":"page","messageId":"m7"}', **arguments)
    assert (caught.value.reason, caught.value.message_id) == ("no_user_anon_id", "m7")
    with pytest.raises(MalformedJSON):
        parse_message(b"{", **arguments)
    with pytest.raises(TooLarge):
        parse_message(b" " * 40_000, **arguments)


def test_the_body_of_the_python_sdk_is_read() -> None:
    # As segment-analytics-python 2.x writes it (reference tracking 3).
    message = {
        "integrations": {},
        "anonymousId": None,
        "properties": {"price": 3},
        "timestamp": "2026-01-31T12:00:09.000001+00:00",
        "context": {"library": {"name": "analytics-python", "version": "2.3.4"}},
        "userId": "u1",
        "type": "track",
        "event": "Order Completed",
        "messageId": "c2f0b1de-0001",
    }
    event = only(parse({"batch": [message], "sentAt": "2026-01-31T12:00:09.500001+00:00", "writeKey": "wk"}))
    assert event.time == RECEIVED - SECOND // 2
    assert (event.user_id, event.anonymous_id, event.name) == ("u1", None, "Order Completed")


def test_limits_are_refused_out_of_their_range() -> None:
    with pytest.raises(ValueError, match="batch_events must be 1 to 100,000, got 0"):
        EventLimits(batch_events=0)
