"""When the disk fails, and when the clock does: what senders hear, what is undone, and what goes on."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from bespeak.clock import HOUR, MINUTE, SECOND, ManualClock, format_time
from bespeak.decide import DecideRequest, SlotRequest
from bespeak.engine import Definition, Engine, replay
from bespeak.errors import Overloaded
from bespeak.server import create_app
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import Commit, MemorySettings, MemoryStore, SqliteSnapshot, SqliteStore

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
FANS = Definition(
    kind="segments", id="fans", body={"id": "fans", "condition": 'count("Product Viewed", last 10 minutes) >= 2'}
)


def view(message_id: str, *, size: int = 0, **more: Any) -> dict[str, Any]:
    properties = {"product_id": "i1", "text": "x" * size}
    return {
        "type": "track", "event": "Product Viewed", "anonymousId": "ada", "messageId": message_id,
        "properties": properties, **more,
    }  # fmt: skip


class Served:
    """An engine on a SQLite file, asked over HTTP."""

    def __init__(self, engine: Engine, client: httpx.AsyncClient) -> None:
        self.engine = engine
        self.client = client

    async def send(self, message_id: str, *, size: int = 0) -> httpx.Response:
        return await self.client.post("/v1/batch", json={"batch": [view(message_id, size=size)]})

    async def counts(self) -> dict[str, int]:
        known = self.engine.profile("ada")
        return {} if known is None else dict(known["counts"])


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Served]:
    engine = Engine.open(Settings(data_dir=str(folder), engine=EngineSettings(checkpoint_seconds=3_600)))
    await engine.start()
    _, token = await engine.create_key("write", "site")
    transport = httpx.ASGITransport(create_app(engine))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://bespeak", auth=(token, "")) as client:
            yield Served(engine, client)
    finally:
        await engine.close()


async def refused_and_undone(site: Served, before: dict[str, int]) -> None:
    """Send what is too large for the disk until it is full; the sender hears 503, and nothing of it is there."""
    for place in range(200):
        answer = await site.send(f"big-{place}", size=20_000)
        if answer.status_code != 200:
            break
        before = await site.counts()
    assert (answer.status_code, answer.json()["code"]) == (503, "store_failed")
    assert int(answer.headers["retry-after"]) >= 1
    assert "disk" not in answer.text
    assert await site.counts() == before
    ready = await site.client.get("/ready")
    assert ready.status_code == 503
    assert "retry-after" in ready.headers
    page = await site.client.post("/v1/decide", json={"anonymousId": "ada", "slots": [{"id": "home", "n": 1}]})
    assert page.status_code == 200


async def works_again(site: Served) -> None:
    """See that it finds by itself that there is room, and that all goes on."""
    for _ in range(600):
        if (await site.client.get("/ready")).status_code == 200:
            break
        await asyncio.sleep(0.05)
    assert (await site.client.get("/ready")).status_code == 200
    before = (await site.counts())["Product Viewed"]
    for _ in range(100):  # the commit of the page's own record may be failing just now: a sender tries again
        answer = await site.send("after")
        if answer.status_code == 200:
            break
        await asyncio.sleep(0.05)
    assert answer.status_code == 200
    assert (await site.counts())["Product Viewed"] == before + 1
    assert (await site.client.get("/ready")).status_code == 200
    assert (await site.send("after")).status_code == 200, "sent again, it is a duplicate"
    assert (await site.counts())["Product Viewed"] == before + 1


def replays(folder: Path) -> bool:
    snapshot = SqliteSnapshot(folder / "bespeak.db")
    found = replay(Settings(data_dir=str(folder)), snapshot)
    snapshot.close()
    return found.equal


async def test_a_full_store_refuses_undoes_and_recovers_without_a_restart(tmp_path: Path) -> None:
    async with served(tmp_path) as site:
        assert (await site.send("first")).status_code == 200
        store = site.engine.store
        assert isinstance(store, SqliteStore)
        assert store._writer is not None
        pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
        store._writer.execute(f"PRAGMA max_page_count={pages + 20}")
        await refused_and_undone(site, await site.counts())
        store._writer.execute("PRAGMA max_page_count=1000000")
        await works_again(site)
    assert replays(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"this machine lets nobody mount a tmpfs: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


async def test_a_full_disk_refuses_undoes_and_recovers_without_a_restart(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    async with served(small_disk / "data") as site:
        assert (await site.send("first")).status_code == 200
        ballast.write_bytes(bytes(2_500_000))
        await refused_and_undone(site, await site.counts())
        ballast.unlink()
        await works_again(site)
    assert replays(small_disk / "data")


class Stalled(MemoryStore):
    """A store whose disk takes its time: a commit waits until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.goes = threading.Event()
        self.goes.set()

    def commit(self, commit: Commit) -> None:
        self.goes.wait()
        super().commit(commit)


async def test_a_disk_that_stalls_stops_what_comes_in_before_memory_grows_and_pages_are_answered() -> None:
    settings = Settings(store=MemorySettings(), engine=EngineSettings(queue_bytes=100_000, checkpoint_seconds=3_600))
    store = Stalled()
    engine = Engine.open(settings, clock=ManualClock(START), rng=Random(1), store=store)
    await engine.start()
    key, _ = await engine.create_key("write", "site")
    store.goes.clear()
    waiting = []
    refused = False
    for place in range(1_000):
        batch = json.dumps({"batch": [view(f"m{place}", size=5_000)]}).encode()
        try:
            waiting.append(engine.accept(engine.parse(batch, key=key), key).durable)
        except Overloaded:
            refused = True
            break
    assert refused
    assert 100_000 < engine.metrics.snapshot()["bespeak_queue_bytes"] < 110_000
    assert len(waiting) < 25
    asked = DecideRequest(anonymous_id="ada", slots=(SlotRequest(id="home", n=3),))
    for _ in range(500):
        assert engine.decide(asked, key=key).slots
    assert engine.metrics.snapshot()["bespeak_queue_bytes"] < 110_000
    assert engine.metrics.snapshot()["bespeak_decisions_unrecorded_total"] == 500
    assert not any(future.done() for future in waiting), "nothing is acknowledged before it is on disk"
    store.goes.set()
    await asyncio.gather(*waiting)
    assert engine.metrics.snapshot()["bespeak_queue_bytes"] == 0
    engine.decide(asked, key=key)
    assert engine.metrics.snapshot()["bespeak_decisions_unrecorded_total"] == 500
    await engine.close()


async def test_a_clock_set_back_an_hour_forgets_nothing_reopens_nothing_and_loses_nothing() -> None:
    clock = ManualClock(START)
    engine = Engine.open(Settings(store=MemorySettings()), clock=clock, rng=Random(1), store=MemoryStore())
    await engine.start()
    key, _ = await engine.create_key("write", "site")
    await engine.apply([FANS])

    async def send(*messages: dict[str, Any]) -> list[str]:
        parsed = engine.parse(json.dumps({"batch": list(messages)}).encode(), key=key)
        return [result.status for result in await engine.track(parsed, key)]

    def passes(duration: int) -> None:
        clock.advance(duration)
        engine.sequencer.advance(clock.now())

    assert await send(view("m1"), view("m2")) == ["ok", "ok"]
    passes(11 * MINUTE)
    assert engine.segment_sizes() == {"fans": 0}, "the window has closed"
    assert await send(view("m3"), view("m4")) == ["ok", "ok"]
    assert engine.segment_sizes() == {"fans": 1}

    passes(-HOUR)
    assert engine.segment_sizes() == {"fans": 1}, "nothing closes or opens because a clock was moved"
    assert await send(view("m1"), view("m4")) == ["duplicate", "duplicate"], "what was here is known"
    true = START + 12 * MINUTE
    parsed = engine.parse(json.dumps({"batch": [view("m5", timestamp=format_time(true))]}).encode(), key=key)
    (event,) = parsed.events
    assert (event.received, event.time, event.original_time) == (clock.now(), clock.now() + MINUTE, true), "clamped"
    await engine.track(parsed, key)
    known = engine.find("ada")
    assert known is not None
    assert known.last_seen == START + 11 * MINUTE, "the newest stays the newest"
    assert known.counts["Product Viewed"] == 5
    assert engine.segment_sizes() == {"fans": 1}

    passes(HOUR + 9 * MINUTE)
    assert engine.segment_sizes() == {"fans": 1}
    passes(MINUTE)
    assert engine.segment_sizes() == {"fans": 0}, (
        "the window closes at the second of its events, once the clock is there"
    )
    assert replay(engine.settings, engine.store, clock=clock).equal
    await engine.close()
