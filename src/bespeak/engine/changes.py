"""Who entered and left which segment, as the store keeps it: read in order, page by page, or waited for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from bespeak.engine.engine import Engine
from bespeak.engine.moves import Moved, MoveTold, opened, tell
from bespeak.errors import InvalidInput, NotFound, Problem
from bespeak.ids import ProfileId
from bespeak.stores import ChangeRow, Store

ROWS_AT_ONCE: Final = 250
"""Rows that are read before others have their turn: with a few changes in each some two milliseconds."""

MOVES_AT_ONCE: Final = 500
"""Changes in rows that are opened before others have their turn; one row has up to as many as there are segments."""

ROWS_MAX: Final = 5_000
"""Rows that are looked at for one page; where a segment is asked for, there may be few changes among them."""

LIMIT_MAX: Final = 1_000
"""Changes of one page."""

WAIT_MAX: Final = 30.0
"""Seconds for which a page is waited for that has nothing yet."""

LATEST: Final = "latest"
"""In the place of a cursor: behind everything that is there now."""

_CURSOR = re.compile(r"(\d{1,18})(?:\.(\d{1,6}))?")
_WHOLE = 10**6
"""The place behind all moves of a row."""


class Cursor(msgspec.Struct, frozen=True, order=True):
    """How far somebody has read: the number of a row, and how many of its moves; as text `12`, or `12.3` amid a row."""

    number: int = 0
    place: int = _WHOLE

    def __str__(self) -> str:
        """Return it as it is handed out."""
        return str(self.number) if self.place == _WHOLE else f"{self.number}.{self.place}"


class ChangesPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some changes, in the order in which they were written.

    Parameters
    ----------
    next
        The cursor behind them, with which to ask for the next page; also where there is none.
    more
        Whether to ask for it at once: there may be more already.
    missed
        Whether changes behind the cursor that was given are gone, since it is too long ago, or is of a later state of
        the store than the one that was restored.
    """

    changes: tuple[MoveTold, ...]
    next: Cursor
    more: bool
    missed: bool


class _Asked(msgspec.Struct, frozen=True):
    limit: int
    segment: str | None
    names: tuple[ProfileId, ...] | None


def cursor_of(text: str) -> Cursor:
    """Read a cursor; an empty one stands before everything.

    Raises
    ------
    InvalidInput
        It is none.
    """
    if not text:
        return Cursor()
    found = _CURSOR.fullmatch(text)
    if found is None:
        problem = Problem("after", f"the `next` of a page, or {LATEST!r}", text[:100])
        raise InvalidInput(f"after: expected {problem.expected}, got {problem.found!r}", problems=(problem,))
    return Cursor(int(found[1]), _WHOLE if found[2] is None else int(found[2]))


async def read_changes(
    engine: Engine,
    after: str = "",
    *,
    limit: int = 100,
    segment: str | None = None,
    profile: str | None = None,
    wait: float = 0.0,
) -> ChangesPage:
    """Return the first changes behind a cursor that are on disk.

    Parameters
    ----------
    after
        The `next` of the page before; empty for the oldest that is kept, `latest` for what comes from now on.
    segment, profile
        Only of this segment; only of this person, by any id (with those they turned out to be).
    wait
        Where there is none, wait for one for so many seconds, at most `WAIT_MAX`.

    Raises
    ------
    InvalidInput
        `after` is no cursor.
    NotFound
        Nobody is known by the id.
    StoreError
        The store could not be read.
    """
    store, loop = engine.store, asyncio.get_running_loop()
    cursor, missed = _begin(store, after)
    asked = _Asked(min(max(1, limit), LIMIT_MAX), segment, None if profile is None else _names(engine, profile))
    end = loop.time() + min(wait, WAIT_MAX)
    while True:
        rung = engine.bell.rung
        page = await _page(engine, cursor, asked)
        missed = missed or page.missed
        if page.changes or page.more or not await engine.bell.wait(end - loop.time(), rung):
            return msgspec.structs.replace(page, missed=missed)
        cursor = page.next


def _begin(store: Store, after: str) -> tuple[Cursor, bool]:
    """Return the cursor to begin with, and whether changes are gone that the one given has not seen.

    A cursor before the oldest change comes to stand right before it, and so does one behind every change that there
    ever was: the store was put back to a state from before it was given.
    """
    last = store.last_change()
    if after == LATEST:
        return Cursor(last), False
    cursor, oldest = cursor_of(after), Cursor(store.dropped_changes())
    if cursor < oldest or cursor.number > last:
        return oldest, bool(after)
    return cursor, False


async def _page(engine: Engine, cursor: Cursor, asked: _Asked) -> ChangesPage:
    """Look through rows until there are changes enough, or no rows; what is not asked for is passed over."""
    store, looked, missed = engine.store, 0, False
    found: list[MoveTold] = []
    for _ in range(ROWS_MAX // ROWS_AT_ONCE):
        first = cursor.number if cursor.place == _WHOLE else cursor.number - 1
        there = cursor if asked.names is None else Cursor(store.last_change())
        rows = await _rows(store, first, asked.names)
        dropped = store.dropped_changes()
        if dropped > first and not (rows and rows[0].number == first + 1):  # they went while this page was read
            missed, cursor = True, cursor if rows else Cursor(dropped)
        for row in rows:
            moved = opened(engine.vault, row)
            for move in _behind(row, moved, cursor, asked.segment):
                found.append(move)
                if len(found) == asked.limit:
                    return ChangesPage(changes=tuple(found), next=place_of(move), more=True, missed=missed)
            cursor = Cursor(row.number)
            looked += 1 if moved is None else len(moved.moves)
            if looked >= MOVES_AT_ONCE:
                looked = 0
                await asyncio.sleep(0)
        if len(rows) < ROWS_AT_ONCE:  # so of those asked for, all are among them that were there before
            return ChangesPage(changes=tuple(found), next=max(cursor, there), more=False, missed=missed)
        await asyncio.sleep(0)
    return ChangesPage(changes=tuple(found), next=cursor, more=True, missed=missed)


async def _rows(store: Store, after: int, names: tuple[ProfileId, ...] | None) -> tuple[ChangeRow, ...]:
    """Return the next rows; those of somebody are looked for in another thread: they may be few among very many."""
    if names is None:
        return store.changes(after, limit=ROWS_AT_ONCE)
    return await asyncio.to_thread(store.changes, after, limit=ROWS_AT_ONCE, names=names)


def _behind(row: ChangeRow, moved: Moved | None, cursor: Cursor, segment: str | None) -> Iterator[MoveTold]:
    """Yield the moves of a row that stand behind a cursor; those of other segments are passed over first."""
    if moved is None:
        return  # its person was erased
    first = cursor.place if row.number == cursor.number else 0
    for place, move in enumerate(moved.moves):
        if place >= first and (segment is None or move.segment == segment):
            yield tell(row, moved, place)


def place_of(move: MoveTold) -> Cursor:
    """Return the cursor right behind a move."""
    return Cursor(move.number) if move.last else Cursor(move.number, move.place + 1)


def _names(engine: Engine, any_id: str) -> tuple[ProfileId, ...]:
    """Return the pseudonyms of somebody, and of those who turned out to be them."""
    profile = engine.find(any_id)
    if profile is None:
        raise NotFound(f"no profile {any_id!r}")
    return tuple(map(engine.vault.name, (profile.id, *profile.aliases)))
