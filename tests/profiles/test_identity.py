"""Whose event it is, and who is joined with whom."""

from __future__ import annotations

import msgspec

from bespeak.events import Event
from bespeak.profiles import Apart, IdentitySettings, Join, Profile, Resolved, Unresolved, joins, resolve, within_bounds

MERGE = IdentitySettings()
CLAIM = IdentitySettings(unsigned="claim")


def event(**fields: object) -> Event:
    base = Event(type="identify", name="Identified", message_id="m", time=1, received=1)
    return msgspec.structs.replace(base, **fields)  # type: ignore[arg-type]


def nobody(_profile: str) -> bool:
    return False


def test_a_known_person_beats_the_device() -> None:
    assert resolve(event(user_id="u", anonymous_id="a"), {}, MERGE, signed=False) == Resolved("u:u")


def test_an_old_id_keeps_resolving() -> None:
    assert resolve(event(anonymous_id="a"), {"a:a": "u:u"}, MERGE, signed=False) == Resolved("u:u")


def test_an_unproven_user_id_stays_a_claim_on_the_device_when_settings_say_so() -> None:
    assert resolve(event(user_id="u", anonymous_id="a"), {}, CLAIM, signed=False) == Resolved("a:a", claimed="u")
    assert resolve(event(user_id="u", anonymous_id="a"), {}, CLAIM, signed=True) == Resolved("u:u")
    assert isinstance(resolve(event(user_id="u"), {}, CLAIM, signed=False), Unresolved)
    assert joins(event(user_id="u", anonymous_id="a"), {}, CLAIM, nobody) == Apart()
    assert joins(event(user_id="u", anonymous_id="a", signed=True), {}, CLAIM, nobody) == Join("u:u", "a:a")


def test_a_device_and_a_person_are_joined_once() -> None:
    assert joins(event(user_id="u", anonymous_id="a"), {}, MERGE, nobody) == Join("u:u", "a:a")
    assert joins(event(user_id="u", anonymous_id="a"), {"a:a": "u:u"}, MERGE, nobody) == Apart()


def test_a_shared_device_does_not_join_two_known_people() -> None:
    answer = joins(event(user_id="second", anonymous_id="a"), {"a:a": "u:first"}, MERGE, nobody)
    assert isinstance(answer, Apart)
    assert "another known person" in answer.reason


def test_an_alias_to_oneself_does_nothing() -> None:
    same = event(type="alias", user_id="u1", previous_id="u1", anonymous_id=None)
    assert joins(same, {"a:u1": "u:u1"}, MERGE, lambda profile: profile == "u:u1") == Apart()


def test_an_alias_joins_a_device() -> None:
    assert joins(event(type="alias", user_id="u", previous_id="a"), {}, MERGE, nobody) == Join("u:u", "a:a")


def test_an_alias_of_two_people_needs_proof() -> None:
    unsigned = event(type="alias", user_id="u2", previous_id="u1")
    assert isinstance(joins(unsigned, {}, MERGE, lambda profile: profile == "u:u1"), Apart)
    signed = msgspec.structs.replace(unsigned, signed=True)
    assert joins(signed, {}, MERGE, lambda profile: profile == "u:u1") == Join("u:u2", "u:u1")


def test_a_person_has_a_bounded_number_of_devices() -> None:
    full = Profile(id="u:u", aliases=[f"a:{n}" for n in range(10)])
    assert within_bounds(full, Profile(id="u:v"), MERGE)
    assert not within_bounds(full, Profile(id="a:new"), MERGE)
