"""An hour of the same load: whether memory, descriptors and latencies stay where they are.

People come, look and click about for three minutes, an event every three seconds, and do not come back, so that what is
known grows on disk alone.
Requests are sent at the instants that the rate says, whether the ones before were answered or not, and their latency
counts from those instants: a server that stalls is charged for all who waited.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from base64 import b64encode
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import msgspec
import numpy as np

from bespeak.engine import Definition, Engine
from bespeak.errors import InvalidInput, Unavailable
from bespeak.settings import Settings
from bespeak.testing.bench import definitions, item
from bespeak.testing.bench_http import address

BATCH = 20
VISIT_EVENTS = 60
VISIT_SECONDS = 180.0
CONNECTIONS = {"ingest": 256, "decide": 16}
"""Kept open for each kind: who sends waits for the disk, and who asks must not wait behind them for a connection."""
DECISIONS_A_SECOND = 20
BYTES_AN_EVENT = 900
"""Disk for one event, its profile's share, digest and write-ahead log included; measured, and rounded up."""
SPARE_BYTES = 4_000_000_000
ITEMS = 500
SETTINGS = {
    "BESPEAK__PROFILES__LIVE_MAX": "20000",
    "BESPEAK__ENGINE__KEYS_MAX": "30000",
    "BESPEAK__ENGINE__IDS_MAX": "30000",
    "BESPEAK__ENGINE__DEDUPE_MAX": "200000",
    "BESPEAK__STORE__LOOSE_MAX": "100000",
}
"""Caches that hold twice as many as are about at 3,000 events a second, who are 9,000, and that are full four to seven
minutes after the beginning (those of messages after one); by default they fill for longer than the warm-up.

At 5,000 events a second 15,000 are about, and with room for less than 40,000 whoever has changed is written every four
seconds, and whoever leaves RAM is soon read again, which costs twice the CPU.

What Python asks of the system goes on rising by some percent for some minutes behind that, since what is let go of
leaves holes.
"""
ANSWER_SECONDS = 30.0
WAITING_MAX = 20_000
"""Requests that may wait for an answer; one more counts as failed."""


class Plan(msgspec.Struct, frozen=True):
    """What is to be run: events a second, minutes that are measured, and those before them that are not."""

    rate: int
    minutes: float = 60.0
    warm_up: float = 10.0
    seed: int = 0

    @property
    def events(self) -> int:
        """How many events that is."""
        return round(self.rate * (self.minutes + self.warm_up) * 60)

    @property
    def disk(self) -> int:
        """Bytes of disk that it needs."""
        return self.events * BYTES_AN_EVENT + SPARE_BYTES


class Minute(msgspec.Struct, frozen=True):
    """One minute: what the server held at its end, and what it did in it."""

    minute: int
    events: int
    rss_mib: float
    descriptors: int
    cpu_percent: float
    disk_mib: float
    ingest_p50_ms: float
    ingest_p99_ms: float
    decide_p50_ms: float
    decide_p99_ms: float
    failed: int


class Slope(msgspec.Struct, frozen=True):
    """A straight line through the measured minutes: its mean, and its rise over the whole time in percent of that.

    `error` is the standard error of the rise, in percent points as well.
    """

    name: str
    mean: float
    rise: float
    error: float


def slope(name: str, values: Sequence[float]) -> Slope:
    """Fit a line by least squares.

    Examples
    --------
    >>> slope("memory", [100.0, 101.0, 102.0, 103.0]).rise
    2.96
    """
    n = len(values)
    y = np.array(values, np.float64)
    mean = float(y.mean())
    if n < 3 or not mean:
        return Slope(name, round(mean, 3), 0.0, 0.0)
    x = np.arange(n) - (n - 1) / 2
    per_minute = float((x * y).sum() / (x * x).sum())
    left = y - mean - per_minute * x
    error = float(np.sqrt((left**2).sum() / (n - 2) / (x * x).sum()))
    percent = 100 * (n - 1) / mean
    return Slope(name, round(mean, 3), round(per_minute * percent, 2), round(error * percent, 2))


def slopes(minutes: Sequence[Minute]) -> tuple[Slope, ...]:
    """Fit a line to everything that must stay flat."""
    named: dict[str, Callable[[Minute], float]] = {
        "memory (MiB)": lambda one: one.rss_mib,
        "descriptors": lambda one: one.descriptors,
        "ingest p99 (ms)": lambda one: one.ingest_p99_ms,
        "decide p99 (ms)": lambda one: one.decide_p99_ms,
    }
    return tuple(slope(name, [value(one) for one in minutes]) for name, value in named.items())


async def run(
    plan: Plan, folder: Path, tell: Callable[[Minute], None], *, pin: Sequence[int] | None = None
) -> list[Minute]:
    """Serve a new store in `folder`, load it, and return the measured minutes; `tell` hears of each, warm-up included.

    Parameters
    ----------
    pin
        Cores that the server may use; None: any.

    Raises
    ------
    InvalidInput
        There is not enough disk.
    Unavailable
        The server did not start, or ended.
    """
    free = shutil.disk_usage(folder).free
    if free < plan.disk:
        raise InvalidInput(f"{folder} needs {plan.disk / 1e9:.1f} GB of disk, and has {free / 1e9:.1f} GB free")
    token = await _prepare(folder)
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bespeak", "serve", "--data", str(folder), "--port", "0"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **SETTINGS},
    )
    if pin is not None:
        os.sched_setaffinity(server.pid, pin)
    try:
        host, port = await address(folder)
        await _ready(host, port)
        return await _measure(plan, _Load(plan, host, port, token), server.pid, folder, tell)
    finally:
        if server.returncode is None:
            server.send_signal(signal.SIGTERM)
        await server.wait()


def segments() -> tuple[Definition, ...]:
    """Return 100 segments: those of the benchmarks with windows of days, and five of some seconds."""
    quick = tuple(
        Definition(
            kind="segments",
            id=f"segment-{place}",
            body={
                "id": f"segment-{place}",
                "condition": f'count("Product Viewed", last {20 + place} seconds) >= {2 + place % 3}',
            },
            source="bench",
        )
        for place in range(5)
    )
    return (*quick, *definitions(shortest="days")[5:])


async def _ready(host: str, port: int) -> None:
    """Wait until the server has read its store."""
    status = b""
    while b" 200 " not in status:
        await asyncio.sleep(0.1)
        try:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(f"GET /ready HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            status = await reader.readline()
            writer.close()
        except OSError:
            continue


async def _prepare(folder: Path) -> str:
    engine = Engine.open(Settings(data_dir=str(folder)))
    await engine.start()
    _, token = await engine.create_key("write", "steady")
    await engine.put_items([item(place) for place in range(ITEMS)])
    await engine.apply(segments())
    await engine.close()
    return token


class _Visits:
    """The stream of events: visits that begin one after the other, many at a time."""

    def __init__(self, plan: Plan) -> None:
        self._rng = Random(plan.seed)
        self._open = max(1, round(plan.rate * VISIT_SECONDS / VISIT_EVENTS))
        self._visitors = list(range(self._open))
        self._next = self._open
        self._count = 0

    def batch(self, now: float) -> tuple[bytes, str]:
        """Return a batch of the next events, and one of the devices that they are of."""
        rng, events = self._rng, list[str]()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
        visitor = 0
        for _ in range(BATCH):
            place = self._count % self._open
            if rng.random() < 1 / VISIT_EVENTS:
                self._visitors[place], self._next = self._next, self._next + 1
            visitor = self._visitors[place]
            self._count += 1
            chance = rng.random()
            name = "Product Viewed" if chance < 0.7 else "Page Viewed" if chance < 0.85 else "Product Added"
            thing = min(int(rng.paretovariate(0.6)), ITEMS) - 1
            events.append(
                f'{{"type":"track","event":"{name}","anonymousId":"device-{visitor:010x}","messageId":"m-{self._count}",'
                f'"timestamp":"{stamp}","properties":{{"product_id":"item-{thing}","price":{thing % 200},'
                f'"category":"category-{thing % 40}"}},"context":{{"page":{{"path":"/p/{thing}"}},'
                '"userAgent":"Mozilla/5.0 (X11; Linux x86_64)"}}'
            )
        return f'{{"batch":[{",".join(events)}]}}'.encode(), f"device-{visitor:010x}"


class _Load:
    """Sends at a rate over kept connections, and notes how long each answer took from when it was due."""

    def __init__(self, plan: Plan, host: str, port: int, token: str) -> None:
        self._visits = _Visits(plan)
        self._host, self._port = host, port
        credentials = b64encode(f"{token}:".encode()).decode()
        self._head = f"HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic {credentials}\r\nContent-Length: "
        self._every = BATCH / plan.rate
        self._idle: dict[str, asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = {
            kind: asyncio.Queue(connections) for kind, connections in CONNECTIONS.items()
        }
        self._tasks: set[asyncio.Task[None]] = set()
        self.seconds: dict[str, list[float]] = {"ingest": [], "decide": []}
        self.events = 0
        self.failed = 0

    async def open(self) -> None:
        """Open the connections."""
        for kind, connections in CONNECTIONS.items():
            for _ in range(connections):
                self._idle[kind].put_nowait(await self._connected())

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect; a server that has ended is seen by whoever watches its process."""
        while True:
            try:
                return await asyncio.open_connection(self._host, self._port)
            except OSError:
                await asyncio.sleep(1)

    async def send(self, seconds: float) -> None:
        """Send until the time is over, each request when it is due."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        decided = began
        for due in self._instants(began, seconds):
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            body, device = self._visits.batch(time.time())
            self._start("/v1/batch", body, due, "ingest")
            self.events += BATCH
            if due >= decided:
                decided += 1 / DECISIONS_A_SECOND
                question = f'{{"anonymousId":"{device}","slots":[{{"id":"home","n":10}}]}}'
                self._start("/v1/decide", question.encode(), due, "decide")
        await asyncio.gather(*self._tasks)

    def _instants(self, began: float, seconds: float) -> Iterator[float]:
        for place in range(int(seconds / self._every)):
            yield began + place * self._every

    def take(self, kind: str) -> list[float]:
        """Return how long the answers of a kind took that came since the last call, sorted."""
        taken, self.seconds[kind] = sorted(self.seconds[kind]), []
        return taken

    def _start(self, path: str, body: bytes, due: float, kind: str) -> None:
        if len(self._tasks) >= WAITING_MAX:
            self.failed += 1
            return
        task = asyncio.create_task(self._ask(path, body, due, kind))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, path: str, body: bytes, due: float, kind: str) -> None:
        reader, writer = await self._idle[kind].get()
        try:
            writer.write(f"POST {path} {self._head}{len(body)}\r\n\r\n".encode() + body)
            async with asyncio.timeout(ANSWER_SECONDS):
                status = await reader.readuntil(b"\r\n\r\n")
                length = int(status.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
                await reader.readexactly(length)
            self.failed += b" 200 " not in status[:16]
        except (OSError, TimeoutError, EOFError, IndexError):
            self.failed += 1
            writer.close()
            reader, writer = await self._connected()
        self._idle[kind].put_nowait((reader, writer))
        self.seconds[kind].append(asyncio.get_running_loop().time() - due)


async def _measure(plan: Plan, load: _Load, pid: int, folder: Path, tell: Callable[[Minute], None]) -> list[Minute]:
    await load.open()
    warm_up = round(plan.warm_up)
    sending = asyncio.create_task(load.send((plan.minutes + plan.warm_up) * 60))
    found: list[Minute] = []
    cpu, loop = _cpu_seconds(pid), asyncio.get_running_loop()
    began = loop.time()
    for number in range(1, round(plan.minutes) + warm_up + 1):
        await asyncio.sleep(max(0.0, began + number * 60 - loop.time()))
        used, cpu = _cpu_seconds(pid) - cpu, _cpu_seconds(pid)
        minute = _minute(number - warm_up, load, pid, folder, used)
        tell(minute)
        if number > warm_up:
            found.append(minute)
    await sending
    return found


def _minute(number: int, load: _Load, pid: int, folder: Path, used: float) -> Minute:
    ingest, decide = load.take("ingest"), load.take("decide")
    events, load.events = load.events, 0
    failed, load.failed = load.failed, 0
    return Minute(
        number,
        events,
        round(_rss(pid) / 2**20, 1),
        len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208 - a name for each is all that is asked
        round(used / 60 * 100, 1),
        round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20, 1),
        _percentile(ingest, 0.5),
        _percentile(ingest, 0.99),
        _percentile(decide, 0.5),
        _percentile(decide, 0.99),
        failed,
    )


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Return a percentile in milliseconds, by nearest rank."""
    if not ordered:
        return 0.0
    place = min(len(ordered) - 1, bisect_right(range(len(ordered)), share * len(ordered)) - 1)
    return round(ordered[place] * 1e3, 2)


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError as error:
        raise Unavailable(f"the server has ended: {error}") from error


def _cpu_seconds(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss(pid: int) -> int:
    return int(_stat(pid)[21]) * os.sysconf("SC_PAGE_SIZE")
