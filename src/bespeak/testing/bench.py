"""The hot paths, each measured beside its floor: the least that any program could do, in the same run.

A ratio of two figures of one run holds on any machine; the figures themselves only on this one.
`ratio` says how many times the floor's cost the path takes.
"""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np

from bespeak.catalog import Item
from bespeak.clock import DAY, SECOND, ManualClock, SystemClock
from bespeak.decide import DecideRequest, SlotRequest
from bespeak.engine import Definition, Engine
from bespeak.errors import InvalidInput
from bespeak.privacy import Key
from bespeak.settings import Settings
from bespeak.sources import import_in_turn
from bespeak.stores import MemorySettings, SqliteSettings
from bespeak.testing.bench_archive import archive_rates, rewrite_cost
from bespeak.testing.bench_backfill import backfill_rates
from bespeak.testing.bench_erase import erase_cost, seal_cost
from bespeak.testing.bench_fold import parsed, step_costs, take_all, town, town_bodies, town_segments
from bespeak.testing.bench_http import ingest_by_http
from bespeak.testing.bench_parts import Part, parts
from bespeak.testing.bench_replay import replay_rates
from bespeak.testing.bench_segments import Cost, segment_cost
from bespeak.testing.bench_start import start_cost
from bespeak.testing.bench_storm import STORM, Plan, Storm, weather

START = 1_780_000_000 * SECOND
EVENTS = 20_000
PEOPLE = 1_000
CATALOG = 20_000
SEGMENTS = 100
BATCH = 20
PROFILES = 1_000_000
FLIPS = 100_000


class Result(msgspec.Struct, frozen=True):
    """One figure.

    Parameters
    ----------
    floor
        The same unit for the least that any program could do.
    ratio
        The path's cost over the floor's.
    """

    name: str
    value: float
    unit: str
    floor: float
    ratio: float


def run(names: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Run the benchmarks of these names, and return `name`, `value`, `unit`, `floor` and `ratio` of each.

    Parameters
    ----------
    names
        None: all but those that run for minutes (`LONG`). `storm` stands for all that its run tells (`STORM`).

    Raises
    ------
    InvalidInput
        There is no benchmark of that name.
    """
    chosen = tuple(names or (name for name in BENCHMARKS if name not in LONG))
    chosen = tuple(dict.fromkeys(one for name in chosen for one in (STORM if name == "storm" else (name,))))
    for name in chosen:
        if name not in BENCHMARKS:
            raise InvalidInput(f"there is no benchmark {name!r}; there are: {', '.join(BENCHMARKS)}")
    return [msgspec.to_builtins(BENCHMARKS[name]()) for name in chosen]


def fold() -> Result:
    """Microseconds an event from parsed to folded and classified in process, with 100 live segments.

    Twenty of the segments have windows of minutes, which is shorter than the pause between two events of a person: an
    event makes four to five moves, in or out, each with its reason. That is the worst case of a site, not its day.
    """
    return asyncio.run(_fold("fold", definitions()))


def fold_days() -> Result:
    """Return the same with windows of days in place of minutes: what sites mostly ask, where few people move."""
    return asyncio.run(_fold("fold-days", definitions(shortest="days")))


def fold_town() -> Result:
    """Return the same for a month of the seeded town: what people of a shop do, with segments as a shop has them."""
    return asyncio.run(_fold_town())


async def _fold_town() -> Result:
    world = town(PEOPLE, 500)
    engine, key = await _engine(Settings(store=MemorySettings()), items=world.items, segments=town_segments(SEGMENTS))
    events = parsed(engine, town_bodies(world, EVENTS, size=BATCH), key)

    def floor() -> None:
        counts: dict[tuple[str | None, str], int] = {}
        for event in events:
            name = (event.anonymous_id, event.name)
            counts[name] = counts.get(name, 0) + 1

    took, least = _cpu(lambda: take_all(engine, events)), _cpu(floor)
    await engine.close()
    each = 1e6 / len(events)
    return Result("fold-town", round(took * each, 3), "us/event", round(least * each, 4), round(took / least, 1))


def fold_steps(name: str = "fold-town") -> dict[str, float]:
    """Return what each step of `fold`, `fold-days` or `fold-town` costs on average, in microseconds of CPU an event.

    `fold`: into the profile and its aggregates; `learn`: the models; `flips`: windows that ended before the event;
    `classify`: what the event itself moves; `rest`: whose it is, and all between.

    Raises
    ------
    InvalidInput
        It is none of these benchmarks.
    """
    if name not in {"fold", "fold-days", "fold-town"}:
        raise InvalidInput(f"steps are measured of fold, fold-days and fold-town, got {name!r}")
    return asyncio.run(_fold_steps(name))


async def _fold_steps(name: str) -> dict[str, float]:
    settings = Settings(store=MemorySettings())
    if name == "fold-town":
        world = town(PEOPLE, 500)
        engine, key = await _engine(settings, items=world.items, segments=town_segments(SEGMENTS))
        bodies = town_bodies(world, EVENTS, size=BATCH)
    else:
        shortest = "minutes" if name == "fold" else "days"
        engine, key = await _engine(settings, items=500, segments=definitions(shortest=shortest))
        bodies = _bodies(EVENTS)
    costs = step_costs(engine, parsed(engine, bodies, key))
    await engine.close()
    return costs


async def _fold(name: str, segments: tuple[Definition, ...]) -> Result:
    engine, key = await _engine(Settings(store=MemorySettings()), items=500, segments=segments)
    parsed = [engine.parse(body, key=key) for body in _bodies(EVENTS)]
    events = [event for one in parsed for event in one.events]
    resolved = [engine.sequencer.whose(event) for event in events]

    def path() -> None:
        for event, whose in zip(events, resolved, strict=True):
            engine.sequencer.take(event, whose, imported=True)  # type: ignore[arg-type]  # every event names somebody

    def floor() -> None:
        counts: dict[tuple[str | None, str], int] = {}
        for event in events:
            name = (event.anonymous_id, event.name)
            counts[name] = counts.get(name, 0) + 1

    took, least = _cpu(path), _cpu(floor)
    await engine.close()
    each = 1e6 / len(events)
    return Result(name, round(took * each, 3), "us/event", round(least * each, 4), round(took / least, 1))


def decide() -> Result:
    """Milliseconds of CPU for a decision: one slot of 10 from 20,000 items, for people with 20 events each."""
    return asyncio.run(_decide())


async def _decide() -> Result:
    engine, key = await _engine(Settings(store=MemorySettings()), items=CATALOG)
    for body in _bodies(EVENTS, items=CATALOG):
        engine.accept(engine.parse(body, key=key), key)
    requests = [
        DecideRequest(anonymous_id=f"device-{person % PEOPLE}", slots=(SlotRequest(id="home", n=10),))
        for person in range(500)
    ]
    for request in requests[:20]:
        engine.decide(request, key=key)

    def path() -> None:
        for request in requests:
            engine.decide(request, key=key)

    matrix = np.random.default_rng(0).random((CATALOG, 64), np.float32)
    vector = matrix[0].copy()

    def floor() -> None:
        for _ in requests:
            scores = matrix @ vector
            np.argpartition(scores, CATALOG - 10)

    took, least = _cpu(path), _cpu(floor)
    await engine.close()
    each = 1e3 / len(requests)
    return Result("decide", round(took * each, 3), "ms/decision", round(least * each, 3), round(took / least, 2))


def imported() -> Result:
    """Events a second that a bulk import takes in, durable, beside decoding the same bytes alone."""
    return asyncio.run(_imported())


async def _imported() -> Result:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=folder, store=SqliteSettings())
        engine, key = await _engine(settings, items=500)
        bodies = list(_bodies(EVENTS * 2, size=1_500))
        parsed = [engine.parse(body, key=key) for body in bodies]
        began = time.perf_counter()
        await import_in_turn(engine, (one.events for one in parsed))
        took = time.perf_counter() - began
        await engine.close()
    events = sum(len(one.events) for one in parsed)
    decoder = msgspec.json.Decoder()

    def floor() -> None:
        for body in bodies:
            decoder.decode(body)

    rate, most = events / took, events / _cpu(floor)
    return Result("import", round(rate), "events/s", round(most), round(most / rate, 1))


def replayed() -> Result:
    """Events a second that are built anew from the log with 100 segments, beside decoding the same log alone."""
    rate, most = replay_rates(definitions(), _bodies(EVENTS), START + DAY)
    return Result("replay", round(rate), "events/s", round(most), round(most / rate, 1))


def backfill() -> Result:
    """Events a second of history, from asking for new segments to everybody in them, beside opening the same events.

    They ask for a tenth of the events; 100 others are in force.
    """
    texts = ('count("Order Completed", last 40 days) >= 2', 'sum(properties.price of "Order Completed") > 500')
    after = [
        Definition(kind="segments", id=f"new-{n}", body={"id": f"new-{n}", "condition": text})
        for n, text in enumerate(texts)
    ]
    with tempfile.TemporaryDirectory() as folder:
        bodies = _bodies(EVENTS * 3, size=500)
        rate, most = backfill_rates(Path(folder), definitions(shortest="days"), tuple(after), bodies, START + DAY)
    return Result("backfill", round(rate), "events/s", round(most), round(most / rate, 1))


def ingest() -> Result:
    """Events a second by HTTP in batches of 20, each acknowledged after it is on disk, with 100 live segments."""
    with tempfile.TemporaryDirectory() as folder:
        bodies = recent_bodies(EVENTS * 2)
        rate = asyncio.run(ingest_by_http(Path(folder), definitions(), bodies, BATCH))
        floor = _append_floor(Path(folder) / "floor", bodies)
    return Result("ingest", round(rate), "events/s", round(floor), round(floor / rate, 1))


def _append_floor(path: Path, bodies: list[bytes]) -> float:
    """Decode, append and fsync the same bytes, as many bodies a sync as a server with 16 connections can gather."""
    decoder = msgspec.json.Decoder()
    began = time.perf_counter()
    with path.open("wb") as file:
        for start in range(0, len(bodies), 16):
            for body in bodies[start : start + 16]:
                decoder.decode(body)
                file.write(body)
            file.flush()
            os.fsync(file.fileno())
    return len(bodies) * BATCH / (time.perf_counter() - began)


def ingest_parts() -> tuple[Part, ...]:
    """Return where the time of an event goes on its way in by HTTP, in CPU microseconds."""
    return parts(definitions(), recent_bodies(EVENTS * 2), BATCH, SystemClock().now())


def seal() -> Result:
    """Microseconds of CPU to seal an event under its subject's key and encode it, beside encoding it unsealed."""
    return asyncio.run(_seal())


async def _seal() -> Result:
    engine, key = await _engine(Settings(store=MemorySettings()), items=0)
    events = [event for body in _bodies(EVENTS) for event in engine.parse(body, key=key).events]
    took, least = seal_cost(engine, events)
    await engine.close()
    each = 1e6 / len(events)
    return Result("seal", round(took * each, 3), "us/event", round(least * each, 3), round(took / least, 2))


def erase() -> Result:
    """Milliseconds to erase a person of a thousand, until nothing is left on disk, beside one page synced."""
    took, least = erase_cost(_bodies(EVENTS, size=500))
    return Result("erase", round(took * 1e3, 2), "ms/person", round(least * 1e3, 2), round(took / least, 1))


def start() -> Result:
    """Seconds from the command to `/ready` with a million profiles on disk, beside the same with none."""
    return _started()[0]


def start_memory() -> Result:
    """MiB of memory once ready with a million profiles on disk, beside the same with none."""
    return _started()[1]


@cache
def _started() -> tuple[Result, Result]:
    with tempfile.TemporaryDirectory() as folder:
        bodies = _bodies(2_000)
        took, least = start_cost(Path(folder), definitions(shortest="days"), bodies, PROFILES)
    seconds, memory = took.seconds / least.seconds, took.memory_mib / least.memory_mib
    return (
        Result("start", took.seconds, "s", least.seconds, round(seconds, 2)),
        Result("start-memory", took.memory_mib, "MiB", least.memory_mib, round(memory, 2)),
    )


def _storm(name: str) -> Result:
    """Return one figure of a storm of flips: 100,000 that are due in one second, while events come in by HTTP."""
    return Result(name, *_weathered().told()[name])


@cache
def _weathered() -> Storm:
    with tempfile.TemporaryDirectory() as folder:
        return weather(Plan(FLIPS), Path(folder), definitions())


def segments() -> Result:
    """How many times as much an event costs with 1,000 segments as with 10, where ten of them depend on it."""
    return _grown("segments", _segments(1_000))


def segments_100() -> Result:
    """Return the same with 100 segments."""
    return _grown("segments-100", _segments(100))


def _grown(name: str, many: Cost) -> Result:
    times = round(many.us_an_event / _segments(10).us_an_event, 2)
    return Result(name, times, "times", 1.0, times)


def segment_bytes() -> Result:
    """Bytes that a segment adds to a person's profile as it is written, beside those of an id of its number."""
    many, few = _segments(1_000), _segments(10)
    each = (many.bytes_a_profile - few.bytes_a_profile) / (many.segments - few.segments)
    return Result("segment-bytes", round(each, 1), "bytes", 2.0, round(each / 2, 1))


def profile_bytes() -> Result:
    """Bytes of a person with twenty events under 1,000 segments as they are written, beside those under 10."""
    many, few = _segments(1_000).bytes_a_profile, _segments(10).bytes_a_profile
    return Result("profile-bytes", round(many), "bytes", round(few), round(many / few, 1))


@cache
def _segments(count: int) -> Cost:
    return asyncio.run(segment_cost(count, EVENTS, START))


def archive() -> Result:
    """Events a second of CPU that the log is written to sealed Parquet files, beside opening the same events alone."""
    rate, most = archive_rates(_bodies(EVENTS, size=500))
    return Result("archive", round(rate), "events/s", round(most), round(most / rate, 2))


def archive_erase() -> Result:
    """Milliseconds of CPU to write a file of 20,000 events anew without a person, beside opening and sealing it."""
    took, least = rewrite_cost(_bodies(EVENTS, size=500))
    return Result("archive-erase", round(took * 1e3, 1), "ms/file", round(least * 1e3, 2), round(took / least, 1))


def definitions(*, shortest: str = "minutes") -> tuple[Definition, ...]:
    """Return 100 segments of the kinds that sites use: counts, sums, last values, not-performed, traits."""
    texts = (
        'count("Product Viewed", last {minutes} {shortest}) >= {n}',
        'count("Product Viewed" where properties.price > {n}0, last {minutes} hours) >= {n}',
        'sum(properties.price of "Product Added", last {minutes} days) > {n}00',
        'performed("Product Added", last {minutes} hours) and not performed("Order Completed", last {minutes} hours)',
        'last(properties.category of "Product Viewed") = "category-{n}" and traits.country in ["DE", "FR"]',
    )
    found: list[Definition] = []
    for place in range(SEGMENTS):
        text = texts[place % len(texts)].format(minutes=10 + place // 5, n=1 + place % 9, shortest=shortest)
        body = {"id": f"segment-{place}", "condition": text}
        found.append(Definition(kind="segments", id=f"segment-{place}", body=body, source="bench"))
    return tuple(found)


async def _engine(
    settings: Settings, *, items: int | Sequence[Item], segments: tuple[Definition, ...] | None = None
) -> tuple[Engine, Key]:
    engine = Engine.open(settings, clock=ManualClock(START + DAY), rng=Random(0))
    await engine.start()
    key, _ = await engine.create_key("secret", "bench")
    await engine.put_items([item(place) for place in range(items)] if isinstance(items, int) else items)
    await engine.apply(definitions() if segments is None else segments)
    return engine, key


def item(place: int) -> Item:
    return Item(
        id=f"item-{place}",
        title=f"Item {place}",
        categories=(f"category-{place % 40}",),
        tags=(f"tag-{place % 97}", f"tag-{place % 31}"),
        price=float(place % 200),
        stock=1 + place % 50,
        created=START,
    )


def recent_bodies(count: int) -> list[bytes]:
    """Return requests whose events end now, one a second: what a server with a clock of its own takes for live."""
    return list(_bodies(count, start=SystemClock().now() - count * SECOND))


def _events(count: int, items: int, start: int) -> Iterator[dict[str, Any]]:
    rng = Random(7)
    names = ("Product Viewed",) * 7 + ("Page Viewed", "Product Added", "Order Completed")
    for place in range(count):
        item = min(int(rng.paretovariate(0.6)), items) - 1
        yield {
            "type": "track",
            "event": names[rng.randrange(len(names))],
            "anonymousId": f"device-{rng.randrange(PEOPLE)}",
            "messageId": f"bench-{place}",
            "timestamp": _stamp(start + place * SECOND),
            "properties": {"product_id": f"item-{item}", "price": item % 200, "category": f"category-{item % 40}"},
            "context": {"page": {"path": f"/p/{item}"}, "userAgent": "Mozilla/5.0 (X11; Linux x86_64)"},
        }


def _stamp(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at // SECOND)) + f".{at // 1_000 % 1_000:03d}Z"


def _bodies(count: int, *, size: int = BATCH, items: int = 500, start: int = START) -> Iterator[bytes]:
    events = _events(count, items, start)
    while batch := list(islice(events, size)):
        yield msgspec.json.encode({"batch": batch})


def _cpu(work: Callable[[], None]) -> float:
    gc.collect()  # so that neither side pays for what the other left
    began = time.process_time()
    work()
    return time.process_time() - began


BENCHMARKS: dict[str, Callable[[], Result]] = {
    "ingest": ingest,
    "fold": fold,
    "fold-days": fold_days,
    "fold-town": fold_town,
    "decide": decide,
    "import": imported,
    "seal": seal,
    "erase": erase,
    "replay": replayed,
    "segments": segments,
    "segments-100": segments_100,
    "segment-bytes": segment_bytes,
    "profile-bytes": profile_bytes,
    "backfill": backfill,
    "start": start,
    "start-memory": start_memory,
    "archive": archive,
    "archive-erase": archive_erase,
    **{name: partial(_storm, name) for name in STORM},
}
"""Every benchmark by its name."""

LONG = frozenset({"start", "start-memory", *STORM})
"""Those that run for minutes: only by name."""

__all__ = ["BENCHMARKS", "Result", "definitions", "fold_steps", "run"]
