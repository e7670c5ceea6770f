"""A storm of flips: windows of very many people end within one second, while events go on coming in by HTTP.

Half of the people leave a segment (they came lately, and no more), the other half enter one (they have not come for
some time): one flip each. Each has three events, and stands under the other segments as well. As many of them are in
RAM as `profiles.live_max` lets there be, and all others rest on the disk. Beside them ten thousand people send events
as fast as they are acknowledged, over sixteen connections, from a process of its own.

The clock is the system's, put to the hour of the storm when everything is ready for it.
"""

from __future__ import annotations

import asyncio
import heapq
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import msgspec

from bespeak.analytics import ArchiveSettings
from bespeak.clock import HOUR, MINUTE, SECOND, Instant
from bespeak.engine import Definition, Engine
from bespeak.errors import Unavailable
from bespeak.events import Event
from bespeak.profiles import ProfileSettings
from bespeak.server import listen, serve_engine
from bespeak.settings import EngineSettings, ServerSettings, Settings
from bespeak.sources import import_in_turn
from bespeak.testing.bench_http import send
from bespeak.testing.bench_parts import server_loop

SEED = 17
AT: Instant = 1_790_000_000 * SECOND
"""When the first window ends; the last one does within a second."""

WINDOW = 20 * MINUTE
AT_ONCE = 1_500
SHOPPERS = 10_000
BODIES = 500
BATCH = 20
LOOK_SECONDS = 0.01
LIMIT_SECONDS = 600.0
KEYS = EngineSettings().keys_max

STORM = ("storm", "storm-flips", "storm-ingest", "storm-acks")
"""The figures that one run tells: until the last flip is done, how many a second, events a second, acknowledgements."""

LEAVERS = Definition(
    kind="segments",
    id="storm-left",
    body={"id": "storm-left", "condition": 'performed("Door Opened", last 20 minutes)'},
    source="bench",
)
ENTERERS = Definition(
    kind="segments",
    id="storm-entered",
    body={
        "id": "storm-entered",
        "condition": 'count("Bell Rung") >= 1 and not performed("Bell Rung", last 20 minutes)',
    },
    source="bench",
)


class Plan(msgspec.Struct, frozen=True):
    """How many people flip, and beside what.

    Parameters
    ----------
    people
        An even number.
    live_max
        How many people may be in RAM, as in the settings.
    warm_seconds, calm_seconds
        How long events come in before the storm: unmeasured, and measured.
    """

    people: int = 100_000
    live_max: int = 50_000
    warm_seconds: float = 5.0
    calm_seconds: float = 10.0


class Storm(msgspec.Struct, frozen=True):
    """What was measured.

    Parameters
    ----------
    seconds
        From the first window's end to the last flip done.
    floor_seconds
        CPU to empty a heap of as many instants, and to take as many people out of a set.
    before, during
        Events a second that are acknowledged.
    before_p99_ms, during_p99_ms, longest_ms
        How long the slowest hundredth of the batches waited for that, and the slowest of the storm.
    peak_mib
        The most memory of this process, server and preparation.
    """

    flips: int
    seconds: float
    floor_seconds: float
    before: float
    during: float
    before_p99_ms: float
    during_p99_ms: float
    longest_ms: float
    peak_mib: float

    def told(self) -> dict[str, tuple[float, str, float, float]]:
        """Return the figures of `STORM` by name: what was measured, its unit, its floor, and how many times that it is.

        The floor of what is taken in, and of acknowledgements, is what they were before the storm.
        """
        rate, most = self.flips / self.seconds, self.flips / self.floor_seconds
        slower, later = self.before / self.during, self.during_p99_ms / self.before_p99_ms
        found = (
            (round(self.seconds, 2), "s", round(self.floor_seconds, 3), round(self.seconds / self.floor_seconds, 1)),
            (round(rate), "flips/s", round(most), round(most / rate, 1)),
            (round(self.during), "events/s", round(self.before), round(slower, 2)),
            (round(self.during_p99_ms, 1), "ms", round(self.before_p99_ms, 1), round(later, 2)),
        )
        return dict(zip(STORM, found, strict=True))


class Put:
    """The system's clock, put to another hour."""

    def __init__(self, at: Instant) -> None:
        self._ahead = 0
        self.put(at)

    def now(self) -> Instant:
        """Return the present instant there."""
        return time.time_ns() // 1_000 + self._ahead

    def put(self, at: Instant) -> None:
        """Let it be that instant now; time goes on from there."""
        self._ahead = at - time.time_ns() // 1_000


def weather(plan: Plan, folder: Path, definitions: Sequence[Definition]) -> Storm:
    """Make a store in `folder` with all these people, serve it, and let the storm come.

    Raises
    ------
    Unavailable
        It was not over within ten minutes, or a batch was not acknowledged.
    """
    with server_loop() as runner:
        return runner.run(_weather(plan, folder, definitions))


async def _weather(plan: Plan, folder: Path, definitions: Sequence[Definition]) -> Storm:
    clock = Put(AT - WINDOW + 2 * SECOND)
    settings = Settings(
        data_dir=str(folder),
        server=ServerSettings(port=0),
        profiles=ProfileSettings(live_max=plan.live_max),
        engine=EngineSettings(keys_max=max(KEYS, 2 * plan.live_max)),
        archive=ArchiveSettings(minutes=0),
    )
    engine = Engine.open(settings, clock=clock, rng=Random(SEED))
    stop = asyncio.Event()
    found: list[Storm] = []

    async def started(engine: Engine, address: str) -> None:
        try:
            _, token = await engine.create_key("write", "bench")
            await engine.apply((*definitions, LEAVERS, ENTERERS))
            await _fill(engine, clock, plan)
            found.append(await _storm(engine, clock, plan, (address, token)))
        finally:
            stop.set()

    with listen(settings.server) as listening:
        await serve_engine(engine, listening, started=started, stop=stop)
    return found[0]


async def _fill(engine: Engine, clock: Put, plan: Plan) -> None:
    """Let everybody come, and whatever is due before the storm be over and on disk."""
    await import_in_turn(engine, people(plan.people))
    await _until(lambda: not engine.sequencer.timers.is_behind(clock.now()))
    await engine.checkpoint_now()


async def _storm(engine: Engine, clock: Put, plan: Plan, server: tuple[str, str]) -> Storm:
    """Let events come in, first alone and then beside the storm."""
    half, sizes = plan.people // 2, engine.sequencer.sizes
    if sizes[LEAVERS.id] != half or sizes[ENTERERS.id]:
        raise Unavailable(f"{half:,} people should wait for the storm, and {sizes[LEAVERS.id]:,} do")
    clock.put(AT - round((plan.warm_seconds + plan.calm_seconds) * SECOND))
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bespeak.testing.bench_storm", *server),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    began = time.monotonic() + (AT - clock.now()) / SECOND
    await _until(lambda: not sizes[LEAVERS.id] and sizes[ENTERERS.id] == half)
    over = time.monotonic()
    said, _ = await client.communicate(b"")  # closes its input, which tells it to end
    if client.returncode:
        raise Unavailable(f"the benchmark's client ended with {client.returncode}")
    answers = msgspec.json.decode(said, type=list[tuple[float, float]])
    calm = [took for ended, took in answers if began - plan.calm_seconds <= ended < began]
    storm = [took for ended, took in answers if began <= ended < over]
    return Storm(
        flips=2 * half,
        seconds=over - began,
        floor_seconds=floor_seconds(2 * half),
        before=len(calm) * BATCH / plan.calm_seconds,
        during=len(storm) * BATCH / (over - began),
        before_p99_ms=slowest_hundredth(calm) * 1e3,
        during_p99_ms=slowest_hundredth(storm) * 1e3,
        longest_ms=max(storm, default=0.0) * 1e3,
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


async def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise Unavailable(f"not over within {LIMIT_SECONDS:.0f} s")
        await asyncio.sleep(LOOK_SECONDS)


def people(many: int) -> Iterator[Sequence[Event]]:
    """Yield the events of so many people, in batches: two about products, and later the one whose window ends."""
    rng, some = Random(SEED), list[Event]()
    for person in range(many):
        came = AT - WINDOW + rng.randrange(SECOND)
        some += [
            _event(f"{person:x}", "Product Viewed", came - 2 * HOUR, rng),
            _event(f"{person:x}", "Product Added", came - 2 * HOUR + MINUTE, rng),
            _event(f"{person:x}", "Door Opened" if person % 2 else "Bell Rung", came, rng),
        ]
        if len(some) >= AT_ONCE:
            yield some
            some = []
    if some:
        yield some


def _event(person: str, name: str, at: Instant, rng: Random) -> Event:
    price = rng.randrange(200)
    return Event(
        type="track",
        name=name,
        message_id=f"{name} {person}",
        time=at,
        received=at,
        anonymous_id=f"storm-{person}",
        properties={"product_id": f"item-{price}", "price": price, "category": f"category-{price % 40}"},
    )


def bodies() -> Iterator[bytes]:
    """Yield requests without end, of events that happen when they are sent; each message has an id of its own."""
    rng = Random(SEED)
    names = ("Product Viewed",) * 7 + ("Page Viewed", "Product Added", "Order Completed")
    drawn: list[bytes] = []
    for body in range(BODIES):
        batch = [
            {
                "type": "track",
                "event": rng.choice(names),
                "anonymousId": f"device-{rng.randrange(SHOPPERS)}",
                "messageId": f"round-body-{body}-{place}",
                "properties": {"product_id": f"item-{rng.randrange(500)}", "price": rng.randrange(200)},
                "context": {"userAgent": "Mozilla/5.0 (X11; Linux x86_64)"},
            }
            for place in range(BATCH)
        ]
        drawn.append(msgspec.json.encode({"batch": batch}))
    for number, one in enumerate(cycle(drawn)):
        yield one.replace(b"round-body", b"%d" % (number // BODIES))


def floor_seconds(many: int) -> float:
    """Return the CPU that emptying a heap of so many instants takes, and taking as many people out of a set."""
    rng = Random(SEED)
    heap = [(rng.randrange(SECOND), f"a:{person}") for person in range(many)]
    heapq.heapify(heap)
    members = {person for _, person in heap}
    began = time.process_time()
    while heap:
        members.discard(heapq.heappop(heap)[1])
    return time.process_time() - began


def slowest_hundredth(values: Sequence[float]) -> float:
    """Return the value that a hundredth of them is above; 0 of none.

    Examples
    --------
    >>> slowest_hundredth(range(1_000)), slowest_hundredth([])
    (990, 0.0)
    """
    return sorted(values)[len(values) * 99 // 100] if values else 0.0


def _main(url: str, token: str) -> None:
    """Send until standard input is closed; then write when each answer came, and how long it took, as JSON."""
    told = threading.Event()

    def listens() -> None:
        sys.stdin.buffer.read()
        told.set()

    threading.Thread(target=listens, daemon=True).start()
    answers: list[tuple[float, float]] = []

    def until_told() -> Iterator[bytes]:
        for body in bodies():
            if told.is_set():
                return
            yield body

    def answered(began: float, ended: float) -> None:
        answers.append((ended, ended - began))

    address = urlsplit(url)
    asyncio.run(send(address.hostname or "", address.port or 0, token, until_told(), answered))
    sys.stdout.buffer.write(msgspec.json.encode(answers))


if __name__ == "__main__":
    _main(*sys.argv[1:])
