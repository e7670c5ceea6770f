"""Static lists: people are on them until they are taken off, also after a merge, a restart, a replay, an erasure."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bespeak.clock import DAY, HOUR, MINUTE, SECOND, ManualClock, format_time, parse_time
from bespeak.engine import Definition, Engine, change_list, list_sizes, replay, show_list
from bespeak.engine.lists import MEMBERS_MAX
from bespeak.errors import InvalidInput
from bespeak.privacy import PrivacySettings
from bespeak.profiles import LISTS_MAX
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import MemorySettings, SqliteSettings
from bespeak.testing.world_fragile import FragileMemory, MortalEngine

pytestmark = pytest.mark.anyio

START = parse_time("2026-11-22T10:00:00Z")
QUIET = EngineSettings(checkpoint_seconds=3_600, models_seconds=3_600)
SETTINGS = Settings(store=MemorySettings(), engine=QUIET)
TEXTS = {
    "vip": 'in_list("vip")',
    "fresh": 'performed("List Joined" where properties.list = "vip", last 2 days)',
    "outside": 'not in_list("vip") and performed("Product Viewed")',
}


async def opened(clock: ManualClock, store: Any = None, settings: Settings = SETTINGS) -> MortalEngine:
    engine = MortalEngine.open(settings, clock=clock, rng=Random(1), store=store)
    await engine.start()
    bodies = [
        Definition(kind="segments", id=name, body={"id": name, "condition": text}) for name, text in TEXTS.items()
    ]
    await engine.apply(bodies)
    return engine


async def send(engine: Engine, key: Any, *messages: dict[str, Any]) -> list[str]:
    now = format_time(engine.clock.now())
    batch = [{"type": "track", "timestamp": now, "messageId": f"{now}-{n}", **one} for n, one in enumerate(messages)]
    results = await engine.track(engine.parse(json.dumps({"batch": batch}).encode(), key=key), key)
    return [result.status for result in results]


def segments_of(engine: Engine, who: str) -> set[str]:
    profile = engine.find(who)
    return set() if profile is None else set(profile.segments)


async def test_people_are_on_a_list_until_they_are_taken_off() -> None:
    clock = ManualClock(START)
    engine = await opened(clock, FragileMemory())
    key, _ = await engine.create_key("write", "site")
    await send(engine, key, {"userId": "ada", "event": "Product Viewed"})
    assert segments_of(engine, "ada") == {"outside"}
    changed = await change_list(engine, "vip", ["u:ada", "u:bob", "a:5f0c", "u:ada"], joined=True)
    assert (changed.changed, changed.unchanged, changed.errors) == (3, 0, ())
    assert [segments_of(engine, who) for who in ("ada", "bob", "5f0c")] == [{"vip", "fresh"}] * 3
    again = await change_list(engine, "vip", ["u:ada", "u:cleo"], joined=True)
    assert (again.changed, again.unchanged) == (1, 1), "ada is on it already, and no event says so twice"
    assert engine.find("ada").counts == {"Product Viewed": 1, "List Joined": 1}  # type: ignore[union-attr]
    clock.advance(2 * DAY)
    await engine.tick()
    assert segments_of(engine, "bob") == {"vip"}
    gone = await change_list(engine, "vip", ["u:ada", "u:nobody", "u:null"], joined=False)
    assert (gone.changed, gone.unchanged) == (1, 0)
    assert [(one.id, one.reason) for one in gone.errors] == [
        ("u:nobody", "nobody is known by it"),
        ("u:null", "it names nobody"),
    ]
    assert segments_of(engine, "ada") == {"outside"}
    assert await list_sizes(engine) == {"vip": 3}
    shown = await show_list(engine, "vip", most=2)
    assert (shown.members, [one.id for one in shown.newest]) == (3, ["u:cleo", "u:bob"])
    await engine.close()
    assert replay(SETTINGS, engine.store, clock=clock).difference is None


async def test_on_and_off_within_one_instant_the_last_word_counts() -> None:
    engine = await opened(ManualClock(START))
    for joined in (True, False, True, False):
        assert (await change_list(engine, "vip", ["u:ada"], joined=joined)).changed == 1
        assert ("vip" in segments_of(engine, "ada")) is joined
    await engine.close()


async def test_a_device_takes_its_lists_along_when_it_turns_out_whose_it_is() -> None:
    clock = ManualClock(START)
    engine = await opened(clock, FragileMemory())
    key, _ = await engine.create_key("write", "site")
    await change_list(engine, "vip", ["a:phone"], joined=True)
    await change_list(engine, "staff", ["u:ada"], joined=True)
    clock.advance(MINUTE)
    await send(engine, key, {"type": "identify", "userId": "ada", "anonymousId": "phone"})
    assert "vip" in segments_of(engine, "ada")
    assert await list_sizes(engine) == {"staff": 1, "vip": 1}
    assert (await change_list(engine, "vip", ["a:phone", "u:ada"], joined=False)).changed == 1, "they are one person"
    assert "vip" not in segments_of(engine, "ada")
    await engine.close()
    assert replay(SETTINGS, engine.store, clock=clock).difference is None


async def test_nobody_puts_themselves_on_a_list() -> None:
    clock = ManualClock(START)
    engine = await opened(clock)
    await change_list(engine, "vip", ["u:bob"], joined=True)
    for kind in ("write", "secret"):
        clock.advance(SECOND)
        key, _ = await engine.create_key(kind, kind)
        said = {"event": "List Joined", "userId": "ada", "properties": {"list": "vip"}}
        left = {"event": "List Left", "userId": "bob", "properties": {"list": "vip"}}
        assert await send(engine, key, said, left) == ["ok", "ok"]
    assert await list_sizes(engine) == {"vip": 1}
    assert "vip" in segments_of(engine, "bob")
    await engine.close()


async def test_whoever_denied_is_not_put_on_a_list_and_can_be_taken_off() -> None:
    clock = ManualClock(START)
    engine = await opened(clock)
    key, _ = await engine.create_key("secret", "site")
    await change_list(engine, "vip", ["u:ada"], joined=True)
    clock.advance(SECOND)
    denied = {"consent": {"categoryPreferences": {"personalization": False}}}
    consent = "Segment Consent Preference Updated"
    await send(engine, key, {"event": consent, "userId": "ada", "context": denied})
    refused = await change_list(engine, "staff", ["u:ada"], joined=True)
    assert refused.changed == 0
    assert "has denied consent to 'personalization'" in refused.errors[0].reason
    assert (await change_list(engine, "vip", ["u:ada"], joined=False)).changed == 1
    assert await list_sizes(engine) == {}
    await engine.close()


async def test_where_consent_is_asked_for_first_nobody_new_is_listed() -> None:
    engine = Engine.open(
        Settings(store=MemorySettings(), engine=QUIET, privacy=PrivacySettings(mode="opt_in")),
        clock=ManualClock(START),
        rng=Random(1),
    )
    await engine.start()
    changed = await change_list(engine, "vip", ["u:ada"], joined=True)
    assert (changed.changed, len(changed.errors), engine.find("ada")) == (0, 1, None)
    await engine.close()


async def test_erasing_a_person_takes_them_off_every_list_and_leaves_nothing_on_disk(tmp_path: Path) -> None:
    settings, clock = Settings(data_dir=str(tmp_path), store=SqliteSettings(), engine=QUIET), ManualClock(START)
    engine = await opened(clock, settings=settings)
    await change_list(engine, "zauberstab", ["u:zoe-7f3a", "u:ann"], joined=True)
    await engine.settle()
    assert on_disk(tmp_path, "zoe-7f3a", "zauberstab") == [], "it is sealed"
    clock.advance(SECOND)
    await engine.erase("zoe-7f3a")
    assert await list_sizes(engine) == {"zauberstab": 1}
    await engine.close()
    assert on_disk(tmp_path, "zoe-7f3a") == []
    engine = await opened(clock, settings=settings)
    assert [one.id for one in (await show_list(engine, "zauberstab")).newest] == ["u:ann"]
    await engine.close()


def on_disk(folder: Path, *words: str) -> list[str]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return [word for word in words if any(word.encode() in file.read_bytes() for file in files)]


async def test_a_killed_engine_has_everybody_who_was_said_to_be_on_a_list() -> None:
    clock, store = ManualClock(START), FragileMemory()
    engine = await opened(clock, store)
    people = [f"u:p{n}" for n in range(1_000)]
    assert (await change_list(engine, "vip", people, joined=True)).changed == 1_000
    await engine.die()
    engine = await opened(clock, store)
    assert (await change_list(engine, "vip", people, joined=True)).unchanged == 1_000
    assert engine.segment_sizes()["vip"] == 1_000
    await engine.close()
    assert replay(SETTINGS, store, clock=clock).difference is None


async def test_what_cannot_be_a_list_or_a_person_is_said_one_by_one() -> None:
    engine = await opened(ManualClock(START))
    long = "x" * 201
    found = await change_list(engine, "vip", ["u:undefined", f"u:{long}", "ada", "u:ok"], joined=True)
    assert found.changed == 1
    assert [one.reason for one in found.errors] == [
        "it names nobody",
        "expected at most 200 characters, got 201",
        "it names nobody",
    ]
    for name in ("", "VIP", "a b", "-x", "x" * 101):
        with pytest.raises(InvalidInput, match="list: expected 1 to 100 of a-z, 0-9, - and _"):
            await change_list(engine, name, ["u:a"], joined=True)
    with pytest.raises(InvalidInput, match="at most 10,000 ids in one call, got 10,001"):
        await change_list(engine, "vip", [f"u:{n}" for n in range(MEMBERS_MAX + 1)], joined=True)
    for n in range(LISTS_MAX):
        await change_list(engine, f"l{n}", ["u:busy"], joined=True)
    (full,) = (await change_list(engine, "vip", ["u:busy"], joined=True)).errors
    assert full.reason == f"expected at most {LISTS_MAX} lists of one person; take them off another first"
    await change_list(engine, "l0", ["u:busy"], joined=False)
    assert (await change_list(engine, "vip", ["u:busy"], joined=True)).changed == 1
    await engine.close()


async def test_events_are_taken_while_many_are_put_on_a_list_and_history_counts_them() -> None:
    """A segment that is defined afterwards knows who is on the list, and when they joined it."""
    clock = ManualClock(START)
    engine = await opened(clock, FragileMemory())
    await change_list(engine, "vip", ["u:ada", "u:bob"], joined=True)
    clock.advance(HOUR)
    await change_list(engine, "vip", ["u:bob"], joined=False)
    text = 'in_list("vip") and count("List*") = 1'
    await engine.apply([Definition(kind="segments", id="since", body={"id": "since", "condition": text})])
    assert [("since" in segments_of(engine, who)) for who in ("ada", "bob")] == [True, False]
    await engine.close()
    assert replay(SETTINGS, engine.store, clock=clock).difference is None
