"""Where the time of an event goes on its way in: CPU microseconds by part, so that the largest is seen first.

The whole is measured at a real server under load, and so are its HTTP and its commits; what lies between is measured
batch by batch in one pass, by the functions that the engine calls. What is left over is the loop, its sockets and the
hand-over between threads.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

import msgspec
import uvicorn

from bespeak.clock import HOUR, ManualClock
from bespeak.engine import Definition, Engine, EventResult
from bespeak.engine.dedupe import Dedupe, digests_of
from bespeak.engine.records import Record, encode, seal_event, subject_of
from bespeak.events import Event, EventType, Parsed
from bespeak.ids import ProfileId
from bespeak.privacy import Key
from bespeak.profiles import Resolved
from bespeak.server import listen, serve_engine
from bespeak.settings import ServerSettings, Settings
from bespeak.stores import Commit, MemorySettings, MemoryStore, SqliteStore


class Part(msgspec.Struct, frozen=True):
    """One part of the path: its name, CPU microseconds an event, and what is in it."""

    name: str
    us: float
    what: str


class _Watch:
    """Adds up the CPU seconds of this thread by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Generator[None]:
        began = time.thread_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.thread_time() - began


class _WatchedStore(SqliteStore):
    """Counts the CPU seconds of its commits, those of checkpoints apart."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.watch = _Watch()

    def commit(self, commit: Commit) -> None:
        """Commit as ever."""
        with self.watch.part("write" if commit.checkpoint is None else "checkpoint"):
            super().commit(commit)


class _Idle(Engine):
    """Reads nothing and takes nothing: what is left is HTTP and the key."""

    def parse(self, body: bytes, *, key: Key, kind: EventType | None = None) -> Parsed:
        """Read nothing."""
        return Parsed((), ())

    async def track(self, parsed: Parsed, key: Key) -> tuple[EventResult, ...]:
        """Take nothing."""
        return ()


def parts(definitions: tuple[Definition, ...], bodies: Sequence[bytes], batch: int, at: int) -> tuple[Part, ...]:
    """Return the parts of an event's way from the socket to the acknowledgement, the whole last.

    Parameters
    ----------
    bodies
        Requests of `batch` events each, in Segment's wire format.
    at
        The present instant, for what is measured beside the server.
    """
    events = len(bodies) * batch
    watch = asyncio.run(_pass(definitions, bodies, at))
    with tempfile.TemporaryDirectory() as folder, server_loop() as runner:
        http, _ = runner.run(_served(Path(folder), _Idle, (), bodies))
    with tempfile.TemporaryDirectory() as folder, server_loop() as runner:
        whole, commits = runner.run(_served(Path(folder), Engine, definitions, bodies))
    seconds = {"http": http, **watch.seconds, **commits.seconds}
    seconds["rest"] = whole - sum(seconds.values())
    seconds["whole"] = whole
    return tuple(Part(name, round(seconds.get(name, 0.0) / events * 1e6, 2), what) for name, what in WHAT.items())


WHAT = {
    "http": "the request, its headers and its key; the answer",
    "decode": "the body: JSON to events, checked",
    "dedupe": "digests of the message ids, looked for and noted",
    "whose": "whose event it is, whom it joins, and whether consent allows it",
    "seal": "encoded and sealed under the key of its subject",
    "encode": "the log's row",
    "fold": "profile, models and segments",
    "write": "SQLite: log, dedupe and commit, on the writer's thread",
    "checkpoint": "SQLite: the commits that hold a checkpoint",
    "rest": "event loop, sockets, hand-over between threads, collecting garbage, making checkpoints",
    "whole": "all of it",
}
"""What each part holds."""


def server_loop() -> asyncio.Runner:
    """Return what runs the event loop that a server runs on."""
    return asyncio.Runner(loop_factory=uvicorn.Config(app="", log_config=None).get_loop_factory())


async def _pass(definitions: tuple[Definition, ...], bodies: Sequence[bytes], at: int) -> _Watch:
    """Take the bodies through the parts that need no server, batch by batch."""
    engine = Engine.open(Settings(store=MemorySettings()), clock=ManualClock(at), rng=Random(0))
    await engine.start()
    key, _ = await engine.create_key("write", "bench")
    await engine.apply(definitions)
    watch, dedupe = _Watch(), Dedupe(MemoryStore(), bound=10_000_000, sieve_bytes=1_048_576)
    gc.collect()
    for body in bodies:
        with watch.part("decode"):
            events = engine.parse(body, key=key).events
        with watch.part("dedupe"):
            digests = digests_of(events)
            dedupe.known(digests)
            dedupe.add(digests, at // HOUR)
        with watch.part("whose"):
            work = [_looked_up(engine, event) for event in events]
        with watch.part("seal"):
            records: list[Record] = [
                seal_event(engine.vault, event, subject_of(event, resolved), joined, imported=False)
                for event, resolved, joined in work
            ]
        with watch.part("encode"):
            encode(records)
        with watch.part("fold"):
            for event, resolved, joined in work:
                engine.sequencer.take(event, resolved, imported=False, joined=joined)
    await engine.close()
    return watch


def _looked_up(engine: Engine, event: Event) -> tuple[Event, Resolved, ProfileId]:
    resolved = engine.sequencer.whose(event)
    assert isinstance(resolved, Resolved)  # noqa: S101  every event of a benchmark names somebody
    joined = engine.sequencer.joined(event, resolved)
    engine.sequencer.admit(event, resolved, joined)
    return event, resolved, joined


async def _served(
    folder: Path, kind: type[Engine], definitions: tuple[Definition, ...], bodies: Sequence[bytes]
) -> tuple[float, _Watch]:
    """Return the CPU seconds that a server takes for the bodies, all its threads together, and those of its commits."""
    store = _WatchedStore(folder / "bespeak.db")
    engine = kind.open(Settings(data_dir=str(folder), server=ServerSettings(port=0)), store=store)
    sent = folder / "bodies"
    await asyncio.to_thread(sent.write_bytes, b"\n".join(bodies))
    stop, took = asyncio.Event(), 0.0

    async def started(engine: Engine, address: str) -> None:
        nonlocal took
        _, token = await engine.create_key("write", "bench")
        await engine.apply(definitions)
        store.watch.seconds.clear()
        began = time.process_time()
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bespeak.testing.bench_http", address, token, str(sent)
        )
        status = await client.wait()
        took = time.process_time() - began
        stop.set()
        if status:
            raise RuntimeError(f"the benchmark's client ended with {status}")

    with listen(engine.settings.server) as listening:
        await serve_engine(engine, listening, started=started, stop=stop)
    return took, store.watch
