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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random

import msgspec
import pytest

from bespeak.clock import ManualClock
from bespeak.engine import Definition, Engine, MoveTold
from bespeak.engine.moves import Moves, told
from bespeak.engine.records import SealedRecord, decode, open_event
from bespeak.privacy.masters import KEY_FILE, KeyFile
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import MemorySettings, MemoryStore, SqliteStore, Store, read_owner
from bespeak.testing.world_changes import all_changes, changes_are_live

pytestmark = [pytest.mark.crash, pytest.mark.server]

PEOPLE = 40
SENDERS = 4
PROGRAM = """
import sys
from bespeak.cli import main
from bespeak.engine import committing
committing.PART_ROWS = 5
sys.exit(main(sys.argv[1:]))
"""
"""`bespeak`, with checkpoints in many parts."""

KEEN = 'count("Product Viewed") >= 5'


def test_twenty_kills_lose_nothing_and_count_nothing_twice(
    tmp_path: Path, pytestconfig: pytest.Config, tell: Callable[..., None]
) -> None:
    kills = 200 if pytestconfig.getoption("--all") else 20
    rng = Random(20)
    token, secret = asyncio.run(_prepare(tmp_path, {"keen": KEEN}))
    promised: dict[str, str] = {}
    acknowledged: set[str] = set()
    starts: list[float] = []
    unheard: list[list[str]] = [[] for _ in range(SENDERS)]
    sent = again = 0
    for run in range(kills):
        began = time.monotonic()
        process = _serve(tmp_path)
        try:
            senders = [_Sender(tmp_path, token, f"{run}-{place}", unheard[place]) for place in range(SENDERS)]
            again += sum(map(len, unheard))
            for sender in senders:
                sender.start()
            if run % 4:  # every fourth is killed whenever, also while it starts
                _wait_for_answers(senders)
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
        unheard = [sender.unheard for sender in senders]
        starts += (
            [min(sender.heard for sender in senders) - began] if any(each.acknowledged for each in senders) else []
        )
    in_force = asyncio.run(_in_force(tmp_path))
    assert {name: in_force.get(name) for name in promised} == promised, "what was to come into force is"
    found = _compared(tmp_path, acknowledged)
    figures = {"kills": kills, "sent": sent, "sent again": again, **found}
    tell(
        "killed under load",
        *(f"  {name:<34}{count:>9,}" for name, count in figures.items()),
        f"  {'start to first answer, p50 and max':<34}{statistics.median(starts):>7.2f} s{max(starts):>7.2f} s",
    )
    wrong = {name: found[name] for name in ("doubled", "missing", "differences to a replay")}
    assert wrong == {"doubled": 0, "missing": 0, "differences to a replay": 0}
    assert found["acknowledged"] > kills, "the load was real"
    assert again > kills, "what was on its way at a kill was sent again"
    assert found["stored, but unheard of"] <= sum(map(len, unheard)), "all but the last were heard of later"
    assert promised, "history was counted meanwhile"


def _wait_for_answers(senders: Sequence[_Sender]) -> None:
    deadline = time.monotonic() + 60
    while not any(sender.acknowledged for sender in senders):
        assert time.monotonic() < deadline, "nothing was taken within a minute"
        time.sleep(0.005)


async def _prepare(folder: Path, conditions: Mapping[str, str]) -> tuple[str, str]:
    engine = Engine.open(Settings(data_dir=str(folder)))
    await engine.start()
    _, token = await engine.create_key("write", "load")
    _, secret = await engine.create_key("secret", "owner")
    bodies = [(name, {"id": name, "condition": text}) for name, text in conditions.items()]
    await engine.apply([Definition(kind="segments", id=name, body=body) for name, body in bodies])
    await engine.close()
    return token, secret


def _define(folder: Path, secret: str, run: int, promised: dict[str, str], *, least: int = 3) -> None:
    """Ask for a segment that needs history, and remember the answer; the kill comes while it is counted, or so."""
    name, condition = f"new-{run % 3}", f'count("Product Viewed" where properties.n != {run}) >= {least}'
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
        [sys.executable, "-c", PROGRAM, "serve", "--data", str(folder), "--port", "0"],
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
    """Sends batches one after the other, and remembers the ids of those that were answered 200.

    A batch that is not answered 200 is sent again: `unheard` is the one that nothing was heard of when the server was
    killed, and is the first one of the next sender.
    """

    def __init__(self, folder: Path, token: str, name: str, unheard: list[str]) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.label = name
        self.unheard = unheard
        self.headers = {"Authorization": "Basic " + b64encode(f"{token}:".encode()).decode()}
        self.acknowledged: set[str] = set()
        self.sent = 0
        self.heard = math.inf

    def run(self) -> None:
        owner = (read_owner(self.folder) or "http://127.0.0.1:1").removeprefix("http://")
        connection = http.client.HTTPConnection(owner, timeout=20)
        try:
            for place in range(10_000):
                ids = self.unheard = self.unheard or [f"{self.label}-{place}-{one}" for one in range(5)]
                self.sent += len(ids)
                connection.request(
                    "POST", "/v1/batch", json.dumps({"batch": [_view(one) for one in ids]}), self.headers
                )
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    self.heard = min(self.heard, time.monotonic())
                    self.acknowledged |= set(ids)
                    self.unheard = []
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


# -- who entered and left segments


MOVING = {
    "hasty": 'count("Product Viewed", last 200 milliseconds) >= 1',
    "storm": 'performed("Storm", last 500 milliseconds)',
    "quiet": 'not performed("Product Viewed")',
}
STORM = 300
BATCH = 100


def test_three_kills_in_storms_of_flips_take_no_change_away_and_tell_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _killed_in_storms(tmp_path, monkeypatch, kills=3)


@pytest.mark.slow
def test_forty_kills_in_storms_of_flips_take_no_change_away_and_tell_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _killed_in_storms(tmp_path, monkeypatch, kills=40)


def _killed_in_storms(folder: Path, monkeypatch: pytest.MonkeyPatch, *, kills: int) -> None:
    """Kill the server while hundreds leave a segment in one second, devices are joined and history is counted."""
    rng = Random(kills)
    token, secret = asyncio.run(_prepare(folder, MOVING))
    promised: dict[str, str] = {}
    for run in range(kills):
        process = _serve(folder)
        try:
            _storm(folder, token, run)
            _define(folder, secret, run, promised, least=1)
            time.sleep(rng.uniform(0.0, 0.7))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    asyncio.run(_in_force(folder))
    clock = ManualClock(2_000_000_000_000_000)
    live = asyncio.run(_told_live(folder, clock))
    says = _told_by_log(folder, clock, monkeypatch)
    wrong = {who: (live.get(who), says.get(who)) for who in {*live, *says} if live.get(who) != says.get(who)}
    assert not wrong, "of each person is told what the log says, in its order, each change once"
    kinds = Counter(line.split()[0] for lines in live.values() for line in lines)
    assert kinds.keys() == {"event", "time", "join", "definition"}
    assert kinds["time"] > kills * STORM // 2, "there were storms"


def _storm(folder: Path, token: str, run: int) -> None:
    """Let hundreds of devices do what they leave a segment for half a second later, and some of them sign in."""
    connection = http.client.HTTPConnection((read_owner(folder) or "").removeprefix("http://"), timeout=20)
    headers = {"Authorization": "Basic " + b64encode(f"{token}:".encode()).decode()}
    did = [("Storm", who) for who in range(STORM)] + [("Product Viewed", who) for who in range(0, STORM, 3)]
    messages: list[dict[str, object]] = [
        {"type": "track", "event": name, "anonymousId": f"d{who}", "messageId": f"{run} {name} {who}"}
        for name, who in did
    ]
    joined = range(run * 10 % STORM, run * 10 % STORM + 10)
    messages += [{"type": "identify", "anonymousId": f"d{who}", "userId": f"u{who % 7}"} for who in joined]
    try:
        for start in range(0, len(messages), BATCH):
            body = json.dumps({"batch": messages[start : start + BATCH]})
            for _ in range(1_000):
                connection.request("POST", "/v1/batch", body, headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    break
                time.sleep(0.005)  # it is starting, and says so
    finally:
        connection.close()


async def _told_live(folder: Path, clock: ManualClock) -> dict[str, list[str]]:
    """Return what the store tells of each person, once all is told that was left when the last server was killed."""
    kept = EngineSettings(changes_keep_days=0)  # the clock is years ahead
    engine = Engine.open(Settings(data_dir=str(folder), engine=kept), clock=clock)
    await engine.start()
    await engine._flipped()
    await asyncio.sleep(0)
    await engine._on_disk()
    changes = all_changes(engine)
    changes_are_live(engine)
    await engine.close()
    return _by_person(changes)


def _told_by_log(folder: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Return what a replay of the log from its start tells of each person."""
    store = SqliteStore(folder / "bespeak.db")
    with monkeypatch.context() as patch:
        patch.setattr(Moves, "stop", lambda moves: moves.begin(0))
        place = KeyFile(folder / KEY_FILE)
        replayed = Engine.open(Settings(store=MemorySettings()), clock=clock, store=_FromTheStart(store), keys=place)
        replayed.sequencer.ask()
        replayed.sequencer.advance(clock.now())
        rows = replayed.sequencer.moves.rows(replayed.vault, 0)
    found = [move for row in rows for move in told(replayed.vault, row)]
    store.close()
    return _by_person(found)


def _by_person(changes: list[MoveTold]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in changes:
        way = "enters" if one.entered else "leaves"
        line = f"{one.cause.kind} {one.cause.offset} {way} {one.segment} v{one.version} at {one.at} {one.id}"
        found.setdefault(one.profile, []).append(line)
    return found
