"""A million people under a thousand segments, from the first event to the next start: what each step takes.

Nobody is made up: every profile comes of events that were imported, and every membership of what they say.
"""

from __future__ import annotations

import asyncio
import resource
import shutil
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import msgspec

from bespeak.clock import DAY, MINUTE, SECOND, Instant, ManualClock
from bespeak.engine import Definition, Engine
from bespeak.errors import InvalidInput
from bespeak.events import Event
from bespeak.settings import Settings
from bespeak.sources import import_in_turn
from bespeak.testing.bench_fold import take_all
from bespeak.testing.bench_segments import GROUP, grouped
from bespeak.testing.bench_start import started

SEED = 5
EVENTS_EACH = 3
AT_ONCE = 1_500
LIVE = 20_000
"""Events of people who come back, of all the people there are."""

LATER = 3 * DAY
"""How far the clock is put forward then: windows of three days end for all who came."""

START: Instant = 1_780_000_000 * SECOND
BYTES_A_PERSON = 12_000
"""Disk for one person, their events and keys, the write-ahead log included; measured, and rounded up."""


class Step(msgspec.Struct, frozen=True):
    """One step: how long it took, what that is for each of its things, and what was held at its end.

    Parameters
    ----------
    rate
        Things a second: events, people or memberships, as `what` says.
    peak_mib
        The most memory that this process has had so far.
    disk_mib
        All files of the store.
    """

    what: str
    count: int
    seconds: float
    rate: float
    peak_mib: float
    disk_mib: float


class Plan(msgspec.Struct, frozen=True):
    """How many people, and how many segments."""

    people: int = 1_000_000
    segments: int = 1_000

    @property
    def disk(self) -> int:
        """Bytes of disk that it needs."""
        return self.people * BYTES_A_PERSON + 2_000_000_000


async def run(plan: Plan, folder: Path, tell: Callable[[Step], None]) -> None:
    """Make the store in `folder`, and take every step; `tell` hears of each as it ends.

    Raises
    ------
    InvalidInput
        There is not enough disk.
    """
    free = shutil.disk_usage(folder).free
    if free < plan.disk:
        raise InvalidInput(f"{folder} needs {plan.disk / 1e9:.1f} GB of disk, and has {free / 1e9:.1f} GB free")
    took = _Steps(folder, tell)
    groups = plan.segments // GROUP
    end = START + plan.people * EVENTS_EACH // 1_000 * SECOND + DAY
    clock = ManualClock(end)
    async with _engine(folder, clock) as engine:
        with took(f"{plan.segments:,} segments put in force, nobody there", plan.segments):
            await engine.apply(grouped(plan.segments))
        with took("events imported, counted and classified", plan.people * EVENTS_EACH):
            await import_in_turn(engine, _batches(plan.people, groups))
        with took("a checkpoint of what changed last", 1):
            await engine.checkpoint_now()
        members = sum(engine.segment_sizes().values())
        with took(f"people counted anew in one segment; {members:,} memberships in all", plan.people):
            await engine.segment_count("segment-0", at=end)
        later = _returning(plan.people, groups, end)
        with took("events of people who come back, each read from the disk", LIVE):
            take_all(engine, later)
        changed = grouped(plan.segments)[1]
        body = {"id": changed.id, "condition": str(changed.body["condition"]).replace(">= 10", ">= 2")}
        with took("people asked about a segment that changed", plan.people):
            await engine.apply([Definition(kind="segments", id=changed.id, body=body)])
        due = _due(engine, end + LATER)
        with took("people with a flip due within the next days, worked through by the server's own tick", due):
            clock.advance(LATER)
            while engine.sequencer.timers.is_behind(clock.now()):  # noqa: ASYNC110  the tick is not ours
                await asyncio.sleep(0.05)
    found = started(folder)
    took.note(f"a start, with {found.memory_mib:,.0f} MiB once ready", 1, found.seconds)


class _Steps:
    """Times steps, one after the other."""

    def __init__(self, folder: Path, tell: Callable[[Step], None]) -> None:
        self._folder = folder
        self._tell = tell
        self._what, self._count, self._began = "", 0, 0.0

    def __call__(self, what: str, count: int) -> _Steps:
        self._what, self._count = what, count
        return self

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.note(self._what, self._count, time.perf_counter() - self._began)

    def note(self, what: str, count: int, seconds: float) -> None:
        """Tell of a step that took so long."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        disk = sum(file.stat().st_size for file in self._folder.rglob("*") if file.is_file()) / 2**20
        self._tell(Step(what, count, round(seconds, 2), round(count / seconds, 1), round(peak, 1), round(disk, 1)))


@asynccontextmanager
async def _engine(folder: Path, clock: ManualClock) -> AsyncGenerator[Engine]:
    engine = Engine.open(Settings(data_dir=str(folder)), clock=clock, rng=Random(SEED))
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def _batches(people: int, groups: int) -> Iterator[Sequence[Event]]:
    rng = Random(SEED)
    some: list[Event] = []
    for person in range(people):
        at = START + person * EVENTS_EACH // 1_000 * SECOND
        some += [_event(rng, person, groups, f"m{person}-{place}", at + place * MINUTE) for place in range(EVENTS_EACH)]
        if len(some) >= AT_ONCE:
            yield some
            some = []
    if some:
        yield some


def _returning(people: int, groups: int, at: Instant) -> list[Event]:
    rng = Random(SEED + 1)
    return [_event(rng, rng.randrange(people), groups, f"r{place}", at) for place in range(LIVE)]


def _event(rng: Random, person: int, groups: int, message_id: str, at: Instant) -> Event:
    price = rng.randrange(200)
    return Event(
        type="track",
        name=f"Event {rng.randrange(groups)}",
        message_id=message_id,
        time=at,
        received=at,
        anonymous_id=f"device-{person:x}",
        properties={"price": price, "category": f"category-{price % 40}"},
    )


def _due(engine: Engine, at: Instant) -> int:
    """Return how many people have a flip due until then."""
    return sum(1 for profile in engine.profiles() if profile.next_flip_at <= at)
