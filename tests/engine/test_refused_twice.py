"""A refused message leaves what it says of consent, and that only once, however often it comes."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from bespeak.clock import DAY, SECOND, ManualClock, format_time
from bespeak.engine import Engine
from bespeak.engine.custody import LATE
from bespeak.events import Event
from bespeak.privacy import Key
from bespeak.profiles import IdentitySettings
from bespeak.settings import Settings
from bespeak.stores import MemorySettings
from bespeak.testing.world_fragile import FragileMemory, MortalEngine

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
STATED = "Segment Consent Preference Updated"
DENIED = {"consent": {"categoryPreferences": {"personalization": False}}}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def begun(clock: ManualClock, settings: Settings, store: FragileMemory) -> tuple[Engine, Key]:
    engine = MortalEngine.open(settings, clock=clock, rng=Random(1), store=store)
    await engine.start()
    key = next(iter(engine.keys()), None)
    return engine, key or (await engine.create_key("write", "site"))[0]


async def send(engine: Engine, key: Key, **message: Any) -> list[tuple[str, str | None]]:
    full = {"type": "track", "event": "Product Viewed", "messageId": "m1", **message}
    body = json.dumps({"batch": [full]}).encode()
    return [(result.status, result.reason) for result in await engine.track(engine.parse(body, key=key), key)]


def counts(engine: Engine) -> dict[str, int]:
    profile = engine.find("ada")
    return {} if profile is None else profile.counts


async def test_a_refused_message_that_comes_twice_is_refused_twice_and_states_once() -> None:
    clock, settings, store = ManualClock(START), Settings(store=MemorySettings()), FragileMemory()
    engine, key = await begun(clock, settings, store)
    for _ in range(3):
        ((status, _),) = await send(engine, key, anonymousId="ada", context=DENIED)
        assert status == "refused"
    assert counts(engine) == {STATED: 1}
    await engine.close()
    engine, key = await begun(clock, settings, store)
    await send(engine, key, anonymousId="ada", context=DENIED)
    assert counts(engine) == {STATED: 1}, "after a restart, too"
    await send(
        engine,
        key,
        anonymousId="ada",
        messageId="m2",
        event=STATED,
        context={"consent": {"categoryPreferences": {"personalization": True}}},
    )
    assert await send(engine, key, anonymousId="ada") == [("ok", None)], "what was refused may yet be taken"
    assert counts(engine) == {STATED: 2, "Product Viewed": 1}
    await engine.close()


async def test_a_refused_row_of_a_file_states_once_however_late_the_file_comes_again() -> None:
    clock = ManualClock(START)
    engine, _ = await begun(clock, Settings(store=MemorySettings()), FragileMemory())
    row = Event(
        type="track",
        name="Product Viewed",
        message_id="row-1",
        time=START - DAY,
        received=START,
        anonymous_id="ada",
        context=DENIED,
        source="views.csv",
        signed=True,
    )
    assert await engine.import_events([row, row]) == (0, 0, 2)
    clock.advance(9 * DAY)
    assert await engine.import_events([row]) == (0, 0, 1)
    assert counts(engine) == {STATED: 1}
    await engine.close()


# Answers about somebody who was erased


async def test_what_waits_for_a_slow_watcher_is_forgotten_with_its_person() -> None:
    clock = ManualClock(START)
    engine, key = await begun(clock, Settings(store=MemorySettings()), FragileMemory())
    watching = engine.subscribe()
    for place, device in enumerate(("ada", "bob", "ada")):
        await send(engine, key, anonymousId=device, messageId=f"m{place}")
    await engine.erase("ada")
    watching.close()
    assert [live.profile async for live in watching] == ["a:bob"]
    await engine.close()


async def test_a_late_event_of_an_erased_device_is_not_named_again_in_the_quarantine() -> None:
    """Without the device it is nobody's, since its user id is not proven: it is refused, not kept as a mistake."""
    clock = ManualClock(START)
    settings = Settings(store=MemorySettings(), identity=IdentitySettings(unsigned="claim"))
    engine, key = await begun(clock, settings, FragileMemory())
    await send(engine, key, anonymousId="ada")
    clock.advance(DAY)
    await engine.erase("ada")
    late = {"anonymousId": "ada", "userId": "u1", "messageId": "m2", "timestamp": format_time(START)}
    assert await send(engine, key, **late) == [("refused", LATE)]
    assert engine.rejected() == ()
    ((status, reason),) = await send(engine, key, userId="u1", messageId="m3")
    assert (status, "not proven" in (reason or "")) == ("rejected", True), "a mistake is kept as one"
    await engine.close()
