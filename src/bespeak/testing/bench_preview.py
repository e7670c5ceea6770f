"""Previews over millions of events: over the files, while they are taken into memory, and from memory.

The events are made by SQL and written to the archive as its own files, sealed and listed; nothing of them was folded.
So ten million are there in minutes. Two in five people stay unknown; the others sign in with their second event.
Whoever comes often comes very often.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from bespeak.analytics import COLUMNS, ArchiveSettings
from bespeak.analytics.parquet import connect, copy_to, memory_file, path_of
from bespeak.clock import DAY, SECOND, Instant, ManualClock
from bespeak.conditions import parse
from bespeak.engine import Definition, Engine, Taking, WarmPreview, members_in_archive
from bespeak.engine.archive import Made, Span, document, subject_of_file
from bespeak.engine.archive_writing import seal_rows
from bespeak.errors import InvalidInput
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import Commit

SEED = 5
END: Instant = 1_780_000_000 * SECOND
DAYS = 90
EVENTS_EACH = 10
BYTES_AN_EVENT = 400
"""Disk for one event, sealed; measured, and rounded up a good deal."""

AGAIN = 3
"""How often a question is asked anew; the middle time counts."""

CONDITIONS: Final[Mapping[str, str]] = {
    "performed in a window": 'performed("Product Added", last 7 days)',
    "count with a filter": 'count("Product Viewed" where properties.price > 150, last 30 days) >= 2',
    "a text in a filter": 'performed("Product Viewed" where properties.category = "shoes", last 14 days)',
    "sum": 'sum(properties.total of "Order Completed") >= 200',
    "trait": 'traits.plan = "pro"',
    "not performed": 'traits.plan exists and not performed("Order Completed", last 60 days)',
    "sequence": 'sequence("Product Added" then "Order Completed" within 7 days, last 60 days)',
    "mixed": 'count("Product Viewed", last 14 days) >= 2 and traits.plan in ["pro", "team"]'
    ' and not performed("Order Completed", last 30 days) or sum(properties.total of "Order Completed") > 400',
    "this week": 'count("Page Viewed", this week) >= 1',
    "visits": "sessions.count >= 8",
}


class Plan(msgspec.Struct, frozen=True):
    """How many events, in files of how many, and how much RAM they and questions may take, MiB."""

    events: int = 10_000_000
    rows: int = 50_000
    mib: int = 10_000

    @property
    def disk(self) -> int:
        """Bytes of disk that it needs."""
        return self.events * BYTES_AN_EVENT + 200_000_000


class Step(msgspec.Struct, frozen=True):
    """One step, and how long it took; people who hold the condition where one was asked."""

    what: str
    people: int | None
    seconds: float
    first: float | None = None


async def run(plan: Plan, folder: Path, tell: Callable[[Step], None], *, cold: bool = True) -> None:
    """Make the archive in `folder`, and take every step; `tell` hears of each as it ends.

    Raises
    ------
    InvalidInput
        There is not enough disk.
    """
    free = shutil.disk_usage(folder).free
    if free < plan.disk:
        raise InvalidInput(f"{folder} needs {plan.disk / 1e9:.1f} GB of disk, and has {free / 1e9:.1f} GB free")
    archive = ArchiveSettings(minutes=0, preview_mib=plan.mib, query_mib=plan.mib, query_seconds=3_600)
    settings = Settings(data_dir=str(folder), archive=archive, engine=EngineSettings(models_seconds=3_600))
    engine = Engine.open(settings, clock=ManualClock(END), rng=Random(SEED))
    try:
        began = time.perf_counter()
        size = fill(engine, plan)
        tell(_step(f"files written, {size / 1e6:,.0f} MB", None, began))
        await engine.start()
        if cold:
            _cold(settings, tell)
        await _warm(engine, tell)
    finally:
        await engine.close()


def _cold(settings: Settings, tell: Callable[[Step], None]) -> None:
    began = time.perf_counter()
    name, text = next(iter(CONDITIONS.items()))
    try:
        _, found = members_in_archive(settings, parse(text), END)
    except InvalidInput:
        tell(Step(f"over the files: {name}: does not fit into that RAM", None, round(time.perf_counter() - began, 3)))
    else:
        tell(_step(f"over the files: {name}", found.size, began))


async def _warm(engine: Engine, tell: Callable[[Step], None]) -> None:
    began = time.perf_counter()
    await _previewed(engine, "true")
    held = engine.previews()
    tell(_step(f"{held.events:,} events taken into memory, {held.mib:,.0f} MiB", None, began))
    for name, text in CONDITIONS.items():
        first = await _previewed(engine, text)
        again = [await _previewed(engine, text) for _ in range(AGAIN)]
        seconds = statistics.median(one.seconds.alone for one in again)
        size = first.preview.found.members.size
        tell(Step(f"from memory: {name}", size, round(seconds, 3), round(first.seconds.alone, 3)))
    ten = list(CONDITIONS.values())[:8]
    bodies = [(f"s{place}", {"id": f"s{place}", "condition": text}) for place, text in enumerate(ten)]
    await engine.apply([Definition(kind="segments", id=name, body=body) for name, body in bodies])
    found = await _previewed(engine, ten[0], overlaps=True)
    tell(Step(f"from memory: beside {len(ten)} segments", None, round(found.seconds.overlaps, 3)))


async def _previewed(engine: Engine, text: str, *, overlaps: bool = False) -> WarmPreview:
    condition = parse(text)
    while True:
        found = await engine.preview(condition, overlaps=overlaps)
        if not isinstance(found, Taking):
            return found
        await asyncio.sleep(0.1)


def _step(what: str, people: int | None, began: float) -> Step:
    return Step(what, people, round(time.perf_counter() - began, 3))


# Making the events.


def fill(engine: Engine, plan: Plan) -> int:
    """Write the files of an archive, and list them in the store; returns their bytes."""
    size = 0
    for made in _files(engine, plan):
        key = engine.vault.wrapped(subject_of_file(made.file.name), made.secret)
        engine.store.commit(Commit(documents=(document(made.file),), keys=(key,)))
        size += made.file.bytes
    return size


def _files(engine: Engine, plan: Plan) -> Iterator[Made]:
    connection = connect(threads=2, mib=2_048)
    for first in range(0, plan.events, plan.rows):
        last = min(first + plan.rows, plan.events)
        times = [_time_of(first, plan), _time_of(last - 1, plan)]
        span = Span(first + 1, last, 1, times[1])
        with memory_file("made") as content:
            copy_to(connection, _query(plan, first, last), path_of(content))
            yield seal_rows(engine.vault.masters, engine.settings, span, content, {1}, last - first, times)
    connection.close()


def _time_of(place: int, plan: Plan) -> Instant:
    """Return when an event happened: they are spread evenly over the days."""
    return END - DAYS * DAY + place * (DAYS * DAY // plan.events)


_MADE: Final = """
WITH numbered AS (
    SELECT i, i // {people} AS turn, CAST(hash(i) % 1000000007 AS BIGINT) AS h,
        CASE WHEN turn < 2 THEN (i * 7919 + turn) % {people}
            ELSE CAST(floor(power((hash(i + 7) % 1000000) / 1e6, 2) * {people}) AS BIGINT) END AS p
    FROM range({first}, {last}) AS made(i)
), known AS (
    SELECT *, p % 5 >= 2 AS signs FROM numbered
), told AS (
    SELECT *, signs AND (turn = 1 OR (turn > 1 AND h % 25 = 0)) AS tells, signs AND turn > 0 AS signed FROM known
), named AS (
    SELECT *, CAST(hash(i + 1) % 1000000007 AS BIGINT) AS g, CASE WHEN tells THEN 'Identified'
        WHEN h % 100 < 50 THEN 'Product Viewed' WHEN h % 100 < 70 THEN 'Page Viewed'
        WHEN h % 100 < 78 THEN 'Products Searched' WHEN h % 100 < 90 THEN 'Product Added'
        WHEN h % 100 < 95 THEN 'Checkout Started' ELSE 'Order Completed' END AS name
    FROM told
), said AS (
    SELECT *, CAST(g % 20000 / 100.0 AS DOUBLE) AS price, 'p' || (g % 5000) AS product,
        ['Shoes', 'Shirts', 'Coats', 'Hats', 'Bags'][g % 5 + 1] AS category
    FROM named
)
SELECT {columns} FROM said
"""
_PROPERTIES: Final = """CASE WHEN tells
    THEN '{"plan":"' || ['free', 'free', 'pro', 'team'][p % 4 + 1]
        || '","country":"' || ['DE', 'AT', 'CH'][p % 3 + 1] || '"}'
    WHEN name = 'Order Completed' THEN '{"order_id":"o' || i || '","total":' || price || ',"currency":"EUR","products":'
        || '[{"product_id":"' || product || '","price":' || price || '}]}'
    WHEN name = 'Page Viewed' THEN '{"path":"/' || category || '"}'
    WHEN name = 'Products Searched' THEN '{"query":"' || category || '"}'
    ELSE '{"product_id":"' || product || '","price":' || price || ',"category":"' || category
        || '","brand":"brand-' || g % 40 || '","quantity":1}' END"""
_CONTEXT: Final = """'{"page":{"path":"/p/' || product || '","url":"https://shop.example/p/' || product
    || '","title":"' || category || '"},"userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Firefox/140.0",'
    || '"locale":"de-DE","timezone":"Europe/Berlin"}'"""
_SAYS: Final[Mapping[str, str]] = {
    "log_offset": "i + 1",
    "data_key": "1",
    "imported": "false",
    "type": "CASE WHEN tells THEN 'identify' WHEN name = 'Page Viewed' THEN 'page' ELSE 'track' END",
    "name": "name",
    "message_id": "'message-' || i || '-' || h % 1000000",
    "source": "'site'",
    "signed": "signed",
    "time": "make_timestamp(CAST({start} + i * {step} AS BIGINT))",
    "received": "make_timestamp(CAST({start} + i * {step} AS BIGINT))",
    "time_zone": "'Europe/Berlin'",
    "person": "CASE WHEN signs THEN 'u:p' || p ELSE 'a:d' || p END",
    "user_id": "CASE WHEN signed THEN 'p' || p END",
    "anonymous_id": "'d' || p",
    "joined": "CASE WHEN tells AND turn = 1 THEN 'a:d' || p END",
    "items": "CASE WHEN name LIKE 'Product %' THEN [product] ELSE [] END",
    "properties": _PROPERTIES,
    "context": _CONTEXT,
}
"""What the events say, by column; the others say nothing."""

_BRACED = re.compile(r"\{(start|step|people|first|last|columns)\}")


def _query(plan: Plan, first: int, last: int) -> str:
    people = max(1, plan.events // EVENTS_EACH)
    columns = ", ".join(f'CAST({_SAYS.get(one.name, "NULL")} AS {one.kind}) AS "{one.name}"' for one in COLUMNS)
    step = DAYS * DAY // plan.events
    given = {"start": END - DAYS * DAY, "step": step, "people": people, "first": first, "last": last}
    text = _BRACED.sub(lambda found: str(columns) if found[1] == "columns" else str(given[found[1]]), _MADE)
    return _BRACED.sub(lambda found: str(given[found[1]]), text)
