"""Killed under load, again and again: every acknowledged event is there once, and profiles equal a replay."""

from __future__ import annotations

import asyncio
import http.client
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec
import pytest

from bespeak.clock import ManualClock
from bespeak.engine import Definition, Engine
from bespeak.engine.records import SealedRecord, decode, open_event
from bespeak.privacy.masters import KEY_FILE, KeyFile
from bespeak.settings import Settings
from bespeak.stores import MemorySettings, MemoryStore, SqliteStore, Store, read_owner

pytestmark = [pytest.mark.crash, pytest.mark.server]

PEOPLE = 40
SENDERS = 4
SEGMENT = {"id": "keen", "condition": 'count("Product Viewed") >= 5'}


def test_twenty_kills_lose_nothing_and_count_nothing_twice(
    tmp_path: Path, pytestconfig: pytest.Config, tell: Callable[..., None]
) -> None:
    kills = 200 if pytestconfig.getoption("--all") else 20
    rng = Random(20)
    token, secret = asyncio.run(_prepare(tmp_path))
    promised: dict[str, str] = {}
    acknowledged: set[str] = set()
    starts: list[float] = []
    sent = 0
    for run in range(kills):
        began = time.monotonic()
        process = _serve(tmp_path)
        try:
            senders = [_Sender(tmp_path, token, f"{run}-{place}") for place in range(SENDERS)]
            for sender in senders:
                sender.start()
            time.sleep(rng.uniform(0.05, 0.6))
            _define(tmp_path, secret, run, promised)
            time.sleep(rng.uniform(0.0, 0.2))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        for sender in senders:
            sender.join()
            acknowledged |= sender.acknowledged
            sent += sender.sent
        starts += (
            [min(sender.heard for sender in senders) - began] if any(each.acknowledged for each in senders) else []
        )
    in_force = asyncio.run(_in_force(tmp_path))
    assert {name: in_force.get(name) for name in promised} == promised, "what was to come into force is"
    found = _compared(tmp_path, acknowledged)
    tell(
        "killed under load",
        *(f"  {name:<34}{count:>9,}" for name, count in {"kills": kills, "sent": sent, **found}.items()),
        f"  {'start to first answer, p50 and max':<34}{statistics.median(starts):>7.2f} s{max(starts):>7.2f} s",
    )
    wrong = {name: found[name] for name in ("doubled", "missing", "differences to a replay")}
    assert wrong == {"doubled": 0, "missing": 0, "differences to a replay": 0}
    assert found["acknowledged"] > kills, "the load was real"
    assert promised, "history was counted meanwhile"


async def _prepare(folder: Path) -> tuple[str, str]:
    engine = Engine.open(Settings(data_dir=str(folder)))
    await engine.start()
    _, token = await engine.create_key("write", "load")
    _, secret = await engine.create_key("secret", "owner")
    await engine.apply([Definition(kind="segments", id="keen", body=SEGMENT)])
    await engine.close()
    return token, secret


def _define(folder: Path, secret: str, run: int, promised: dict[str, str]) -> None:
    """Ask for a segment that needs history, and remember the answer; the kill comes while it is counted, or so."""
    name, condition = f"new-{run % 3}", f'count("Product Viewed" where properties.n != {run}) >= 3'
    promised.pop(name, None)
    connection = http.client.HTTPConnection((read_owner(folder) or "").removeprefix("http://"), timeout=20)
    headers = {"Authorization": "Basic " + b64encode(f"{secret}:".encode()).decode()}
    try:
        connection.request("PUT", f"/v1/segments/{name}?wait=0", json.dumps({"condition": condition}), headers)
        if connection.getresponse().status == 200:
            promised[name] = condition
    finally:
        connection.close()


async def _in_force(folder: Path) -> dict[str, str]:
    """Let everything that is prepared come into force, and return the conditions."""
    engine = Engine.open(Settings(data_dir=str(folder)))
    await engine.start()
    left = await engine.prepared(60)
    assert (left.preparing, left.failed) == ((), ())
    found = {one.id: one.body["condition"] for one in engine.definitions("segments")}
    await engine.close()
    return found


def _serve(folder: Path) -> subprocess.Popen[bytes]:
    before = read_owner(folder)
    assert before is None, "the lock of a killed server is free"
    process = subprocess.Popen(
        [sys.executable, "-m", "bespeak", "serve", "--data", str(folder), "--port", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "BESPEAK__ENGINE__CHECKPOINT_SECONDS": "0.3", "BESPEAK__ENGINE__MODELS_SECONDS": "1"},
    )
    deadline = time.monotonic() + 60
    while read_owner(folder) is None:
        assert process.poll() is None, "the server ended by itself"
        assert time.monotonic() < deadline, "the server did not start within a minute"
        time.sleep(0.02)
    return process


class _Sender(threading.Thread):
    """Sends batches one after the other, and remembers the ids of those that were answered 200."""

    def __init__(self, folder: Path, token: str, name: str) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.label = name
        self.headers = {"Authorization": "Basic " + b64encode(f"{token}:".encode()).decode()}
        self.acknowledged: set[str] = set()
        self.sent = 0
        self.heard = math.inf

    def run(self) -> None:
        owner = (read_owner(self.folder) or "http://127.0.0.1:1").removeprefix("http://")
        connection = http.client.HTTPConnection(owner, timeout=20)
        try:
            for place in range(10_000):
                ids = [f"{self.label}-{place}-{one}" for one in range(5)]
                self.sent += len(ids)
                connection.request(
                    "POST", "/v1/batch", json.dumps({"batch": [_view(one) for one in ids]}), self.headers
                )
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    self.heard = min(self.heard, time.monotonic())
                    self.acknowledged |= set(ids)
                else:
                    time.sleep(0.005)  # it is starting, and says so
        except (TimeoutError, OSError, http.client.HTTPException):
            connection.close()


def _view(message_id: str) -> dict[str, object]:
    person = sum(message_id.encode()) % PEOPLE
    return {
        "type": "track",
        "event": "Product Viewed",
        "anonymousId": f"device-{person}",
        "messageId": message_id,
        "properties": {"product_id": f"i{person % 7}"},
    }


class _FromTheStart(MemoryStore):
    """The log and the keys of another store, and nothing that was folded from it."""

    def __init__(self, source: Store) -> None:
        super().__init__()
        self.last_offset = source.last_offset  # type: ignore[method-assign]
        self.read = source.read  # type: ignore[method-assign]
        self.key = source.key  # type: ignore[method-assign]
        self.key_of = source.key_of  # type: ignore[method-assign]
        self.last_key = source.last_key  # type: ignore[method-assign]


def _compared(folder: Path, acknowledged: set[str]) -> dict[str, int]:
    """Count what is in the log and what is not as it must be; live is compared with all that the log says."""
    store = SqliteStore(folder / "bespeak.db")
    clock = ManualClock(2_000_000_000_000_000)
    place = KeyFile(folder / KEY_FILE)
    replayed = Engine.open(Settings(store=MemorySettings()), clock=clock, store=_FromTheStart(store), keys=place)
    stored = Counter[str]()
    for row in store.read(0):
        for offset, record in decode(row, after=0):
            if isinstance(record, SealedRecord):
                opened = open_event(replayed.vault, record, offset)
                assert opened is not None
                stored[opened[0].message_id] += 1
    says = _plain(replayed)
    store.close()
    live = Engine.open(Settings(data_dir=str(folder)), clock=clock)
    knows = _plain(live)
    counted = sum(profile.counts["Product Viewed"] for profile in live.profiles())
    asyncio.run(live.close())
    differences = sum(knows.get(name) != says.get(name) for name in {*knows, *says})
    return {
        "acknowledged": len(acknowledged),
        "stored": len(stored),
        "stored, but unheard of": len(stored.keys() - acknowledged),
        "doubled": stored.total() - len(stored),
        "missing": len(acknowledged - stored.keys()),
        "profiles": len(knows) - 1,
        "differences to a replay": differences + (counted != len(stored)),
    }


def _plain(engine: Engine) -> dict[str, object]:
    engine.sequencer.ask()
    profiles: dict[str, object] = {profile.id: msgspec.to_builtins(profile) for profile in engine.profiles()}
    return {**profiles, "sizes of segments": engine.segment_sizes()}
