"""An import from its files to the engine: items first, then events in the order of time, batch by batch."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from bespeak.catalog.item import Item
from bespeak.clock import Instant
from bespeak.events import Event
from bespeak.sources.import_map import ImportMap, Target
from bespeak.sources.limits import ImportLimits
from bespeak.sources.plan import Reject, plan_import

T = TypeVar("T")


class ImportInto(Protocol):
    """What an import needs of the engine."""

    def import_events(self, events: Sequence[Event]) -> Coroutine[Any, Any, tuple[int, int, int]]:
        """Keep events, behind those of the call before.

        Returns how many were accepted, known already, and refused for lack of consent.
        """
        ...

    async def put_items(self, items: Sequence[Item]) -> int:
        """Put items into the catalog; return how many are new or changed."""
        ...


class Progress(msgspec.Struct, frozen=True):
    """How far an import is: bytes while `reading`, items or events while `putting` and `importing`."""

    stage: Literal["reading", "putting", "importing"]
    done: int
    total: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What became of every record: `read == accepted + duplicate + rejected`.

    Parameters
    ----------
    read
        Records: rows, or groups of rows that are one event.
    accepted
        Events that were new; rows of items that added or changed one.
    duplicate
        Events that an earlier import brought; rows of items that changed nothing.
    rejected
        Records that cannot be used, and events refused for lack of consent (`refused`, the part that were).
    targets
        `read` by target.
    items
        Items that are new or changed, those that events described included.
    """

    read: int
    accepted: int
    duplicate: int
    rejected: int
    refused: int
    targets: dict[Target, int]
    items: int


def _say_nothing(_: Progress) -> None:
    """Take progress and keep it to oneself."""


async def import_files(
    into: ImportInto,
    files: Sequence[str | Path],
    import_map: ImportMap,
    *,
    received: Instant,
    reject: Reject,
    progress: Callable[[Progress], None] = _say_nothing,
    batch: int = 2_000,
    limits: ImportLimits | None = None,
) -> Summary:
    """Import files and return what became of every record.

    An import that was interrupted is run again: what it had brought is known by its ids, at any age.

    Parameters
    ----------
    into
        The engine.
    files, received, reject, limits
        As `plan_import`.
    progress
        Called now and then.
    batch
        Events or items in one call of the engine.

    Raises
    ------
    NotFound, InvalidInput, TooLarge
        The files cannot be imported; nothing was.
    Unavailable
        The engine could not keep a batch; those before it are kept.
    """
    plan = plan_import(files, import_map, received=received, reject=reject, limits=limits)
    for done in plan.load():
        progress(Progress("reading", done, plan.bytes_total))
        await asyncio.sleep(0)
    new_rows = await _put(into, plan.items(), batch, progress)
    new_items = new_rows + await _put(into, plan.described(), batch, progress)
    accepted, duplicate, refused = await import_in_turn(
        into,
        (some for _, some in _batches(plan.events(), batch)),
        lambda done: progress(Progress("importing", done, plan.records)),
    )
    return Summary(
        read=sum(plan.read.values()),
        accepted=accepted + new_rows,
        duplicate=duplicate + plan.item_rows - new_rows,
        rejected=plan.rejected + refused,
        refused=refused,
        targets=dict(plan.read),
        items=new_items,
    )


async def import_in_turn(
    into: ImportInto, batches: Iterable[Sequence[Event]], told: Callable[[int], None] = lambda _: None
) -> tuple[int, int, int]:
    """Import batches in their order: while one is on its way to the disk, the next is taken in.

    Parameters
    ----------
    told
        Called with the events that are durable so far, after each batch.

    Returns
    -------
    How many were accepted, known already, and refused.

    Raises
    ------
    Unavailable
        A batch could not be kept; those before it are kept.
    """
    counted = [0, 0, 0]
    done = 0
    waiting: deque[tuple[int, asyncio.Task[tuple[int, int, int]]]] = deque()

    async def finish_oldest() -> None:
        nonlocal done
        size, task = waiting[0]
        for place, count in enumerate(await task):
            counted[place] += count
        waiting.popleft()
        done += size
        told(done)

    try:
        for batch in batches:
            waiting.append((len(batch), asyncio.create_task(into.import_events(batch))))
            await asyncio.sleep(0)  # it begins at once, so that batches are taken in their order
            if len(waiting) > 1:
                await finish_oldest()
        while waiting:
            await finish_oldest()
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
    return counted[0], counted[1], counted[2]


async def _put(into: ImportInto, items: Sequence[Item], batch: int, progress: Callable[[Progress], None]) -> int:
    changed = 0
    for done, some in _batches(items, batch):
        changed += await into.put_items(some)
        progress(Progress("putting", done, len(items)))
    return changed


def _batches(values: Iterable[T], size: int) -> Iterator[tuple[int, list[T]]]:
    """Yield batches, each with how many values there were to its end."""
    source = iter(values)
    done = 0
    while some := list(islice(source, size)):
        done += len(some)
        yield done, some
