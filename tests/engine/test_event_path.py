"""What happens once for many events: commits, digests, statements about consent; and where a store lies."""

from __future__ import annotations

import asyncio
import json
import stat
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bespeak.clock import HOUR, MINUTE, SECOND, ManualClock
from bespeak.engine import Engine
from bespeak.engine.dedupe import Dedupe, digests_of
from bespeak.engine.records import Inside, Logged, SealedRecord, inside_of, open_event
from bespeak.engine.vault import EVENT
from bespeak.events import Event
from bespeak.events.vocabulary import CONSENT_UPDATED
from bespeak.ids import digest
from bespeak.privacy import Key
from bespeak.settings import Settings
from bespeak.sources import import_in_turn
from bespeak.stores import Commit, MemorySettings, MemoryStore

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
DENIED = {"consent": {"categoryPreferences": {"personalization": False}}}
GRANTED = {"consent": {"categoryPreferences": {"personalization": True}}}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Counted(MemoryStore):
    """A memory store that counts the rows of each commit, and begins none while it is `open` no more."""

    def __init__(self) -> None:
        super().__init__()
        self.rows_of: list[int] = []
        self.asked, self.open = threading.Event(), threading.Event()
        self.open.set()

    def commit(self, commit: Commit) -> None:
        self.asked.set()
        assert self.open.wait(60)
        super().commit(commit)
        self.rows_of.append(len(commit.rows))


async def opened(store: MemoryStore) -> tuple[Engine, Key, ManualClock]:
    clock = ManualClock(START)
    engine = Engine.open(Settings(store=MemorySettings()), clock=clock, store=store)
    await engine.start()
    key, _ = await engine.create_key("write", "site")
    return engine, key, clock


def viewed(number: int, device: str = "d", **more: Any) -> bytes:
    event = {"type": "track", "event": "Product Viewed", "anonymousId": device, "messageId": f"m{number}", **more}
    return json.dumps({"batch": [event]}).encode()


async def test_requests_that_come_together_share_a_commit_and_each_has_its_row() -> None:
    store = Counted()
    engine, key, _ = await opened(store)
    store.rows_of.clear()
    store.asked.clear()
    store.open.clear()
    bodies = [viewed(number, f"d{number}") for number in range(13)]
    tasks = [asyncio.create_task(engine.track(engine.parse(bodies[0], key=key), key))]
    await asyncio.to_thread(store.asked.wait, 60)
    tasks += [asyncio.create_task(engine.track(engine.parse(body, key=key), key)) for body in bodies[1:]]
    await asyncio.sleep(0)
    store.open.set()
    results = await asyncio.gather(*tasks)
    assert [one.status for each in results for one in each] == ["ok"] * 13
    assert store.rows_of == [1, 12], "whatever came while the disk was at work"
    await engine.close()


async def test_a_message_twice_in_one_body_is_taken_once() -> None:
    engine, key, _ = await opened(MemoryStore())
    message = {"type": "track", "event": "Product Viewed", "anonymousId": "d", "messageId": "m1"}
    body = json.dumps({"batch": [message, message]}).encode()
    results = await engine.track(engine.parse(body, key=key), key)
    assert [one.status for one in results] == ["ok", "duplicate"]
    await engine.close()


def test_a_digest_is_that_of_source_and_message_id() -> None:
    events = [
        Event(type="track", name="x", message_id=name, time=0, received=0, anonymous_id="a", source=source)
        for source, name in (("site", "m1"), ("sitem", "1"), ("site", "ä"), ("", "m1"), ("site", "m1"))
    ]
    assert digests_of(events) == [digest(event.source, event.message_id) for event in events]
    assert len(set(digests_of(events))) == 4


def test_digests_of_before_the_start_are_found_on_disk_and_take_no_room() -> None:
    store, hour = MemoryStore(), START // HOUR
    names = [digest("site", str(number)) for number in range(3_000)]
    for place, name in enumerate(names):
        store.commit(Commit(seen=((name, hour - 2 + place // 1_000),)))
    dedupe = Dedupe(store, bound=1_200, sieve_bytes=4_096)
    dedupe.load(START)
    assert dedupe.is_loaded
    assert len(dedupe) == 0
    assert dedupe.known(names) == set(names)
    assert not dedupe.has(digest("site", "another"))


async def consents(engine: Engine) -> int:
    profile = engine.find("d")
    return 0 if profile is None else profile.counts.get(CONSENT_UPDATED, 0)


async def test_a_denial_that_comes_with_every_event_is_kept_once_a_minute() -> None:
    engine, key, clock = await opened(MemoryStore())
    for number in range(90):
        clock.advance(SECOND)
        (result,) = await engine.track(engine.parse(viewed(number, context=DENIED), key=key), key)
        assert result.status == "refused"
    assert await consents(engine) == 2
    (granted,) = await engine.track(engine.parse(viewed(100, context=GRANTED), key=key), key)
    assert granted.status == "ok"
    clock.advance(SECOND)
    await engine.track(engine.parse(viewed(101, context=DENIED), key=key), key)
    assert await consents(engine) == 3, "another word than the last one is kept at once"
    clock.advance(MINUTE)
    (silent,) = await engine.track(engine.parse(viewed(102), key=key), key)
    assert silent.status == "refused"
    await engine.close()


async def test_an_event_as_it_stood_in_older_logs_is_read() -> None:
    engine, _, _ = await opened(MemoryStore())
    event = Event(
        type="track",
        name="Product Viewed",
        message_id="m1",
        time=5,
        received=7,
        user_id="u",
        anonymous_id="d",
        properties={"price": 2.5},
        context={"page": {"path": "/"}},
        source="site",
        signed=True,
        original_time=9,
    )
    fields = {name: getattr(event, name) for name in Inside.__struct_fields__ if name != "joined"}
    former = msgspec.msgpack.encode(Inside(**fields, joined="a:d"))
    for inside in (former, inside_of(event, "a:d")):
        record = SealedRecord(7, imported=False, private=engine.vault.seal("u:u", EVENT, inside))
        opened_event = open_event(engine.vault, record, 1)
        assert opened_event is not None
        read, joined = opened_event
        assert joined == "a:d"
        assert isinstance(read, Logged)
        assert {name: getattr(read, name) for name in Event.__struct_fields__} == msgspec.structs.asdict(event)
    await engine.close()


async def test_an_import_keeps_the_order_of_its_batches_and_adds_them_up() -> None:
    engine, _, _ = await opened(MemoryStore())
    events = [
        Event(type="track", name="Viewed", message_id=f"m{n}", time=START - 100 + n, received=START, anonymous_id="d")
        for n in range(50)
    ]
    told: list[int] = []
    batches = [events[at : at + 8] for at in range(0, 50, 8)]
    assert await import_in_turn(engine, [*batches, events[:5]], told.append) == (50, 5, 0)
    assert told == [8, 16, 24, 32, 40, 48, 50, 55]
    profile = engine.find("d")
    assert profile is not None
    assert [row.message_id for row in profile.recent] == [event.message_id for event in events]
    await engine.close()


def test_the_data_directory_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    engine = Engine.open(Settings(data_dir=str(folder)))
    asyncio.run(engine.close())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
