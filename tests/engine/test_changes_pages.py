"""Pages of changes: each row is looked at once, what was missed is said, and nobody else is held up meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from bespeak.clock import NEVER
from bespeak.engine import changes as reading
from bespeak.engine import read_changes
from bespeak.engine.changes import Cursor, place_of
from bespeak.engine.moves import Moved, MoveTold
from bespeak.ids import ProfileId
from bespeak.stores import ChangeRow
from bespeak.testing.by_hand import ByHand, said

pytestmark = pytest.mark.anyio

PEOPLE = ("ann", "bob", "cleo", "dan", "eve", "fay")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def crowd(people: Sequence[str] = PEOPLE, **conditions: str) -> ByHand:
    """Let people enter segments, one row each."""
    shop = await ByHand().open(**(conditions or {"ever": "true"}))
    for who in people:
        await shop.send(who, "Product Viewed")
    await shop.rest()
    return shop


async def until_waiting(shop: ByHand) -> None:
    while not shop.engine.bell._waiting:  # noqa: ASYNC110  a thread looks, in its own time
        await asyncio.sleep(0.001)


async def test_a_search_for_one_person_looks_at_each_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = await crowd(["ann", "bob", "cleo"])
    asked: list[int] = []
    changes = shop.store.changes

    def noting(after: int, *, limit: int, names: Sequence[ProfileId] | None = None) -> tuple[ChangeRow, ...]:
        asked.append(after)
        return changes(after, limit=limit, names=names)

    monkeypatch.setattr(shop.store, "changes", noting)
    page = await read_changes(shop.engine, profile="ann")
    assert [said(one) for one in page.changes] == ["a:ann enters ever v1 at 0, event"]
    assert page.next == Cursor(3), "behind those of the others, too"
    waiting = asyncio.create_task(read_changes(shop.engine, str(page.next), profile="ann", wait=30))
    for who in ("dan", "eve"):
        await until_waiting(shop)
        await shop.send(who, "Product Viewed")
    await until_waiting(shop)
    shop.engine.ask_nobody_more()
    assert (await waiting).next == Cursor(5)
    assert asked == [0, 3, 3, 4], "each time behind what was there when it was looked for the last time"
    await shop.engine.close()


async def test_what_comes_while_a_thread_looks_wakes_who_waits_after(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = await crowd(["ann"], keen='count("Product Viewed") >= 2')
    loop, looked = asyncio.get_running_loop(), 0
    changes = shop.store.changes

    def slow(after: int, *, limit: int, names: Sequence[ProfileId] | None = None) -> tuple[ChangeRow, ...]:
        nonlocal looked
        rows, looked = changes(after, limit=limit, names=names), looked + 1
        if looked == 1:
            asyncio.run_coroutine_threadsafe(shop.send("ann", "Product Viewed", "second"), loop).result()
        return rows

    monkeypatch.setattr(shop.store, "changes", slow)
    page = await read_changes(shop.engine, "latest", profile="ann", wait=30)
    assert [said(one) for one in page.changes] == ["a:ann enters keen v1 at 0, event"]
    await shop.engine.close()


async def test_others_have_their_turn_between_rows_of_many_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOVES_AT_ONCE", 3)
    shop = await crowd(["ann", "bob", "cleo"], one="true", two="true", three="true")
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    page = await read_changes(shop.engine)
    task.cancel()
    assert (len(page.changes), turns >= 3) == (9, True), "one behind each row"
    await shop.engine.close()


async def test_what_is_not_asked_for_is_passed_over_before_it_is_made_out(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = await crowd(["ann", "bob"], one="true", two="true", three="true")
    everything = await shop.changes()
    places: list[int] = []
    tell = reading.tell

    def noting(row: ChangeRow, moved: Moved, place: int) -> MoveTold:
        places.append(place)
        return tell(row, moved, place)

    monkeypatch.setattr(reading, "tell", noting)
    page = await read_changes(shop.engine, segment="two")
    assert page.changes == tuple(one for one in everything if one.segment == "two")
    assert [one.place for one in page.changes] == places
    (last,) = (await read_changes(shop.engine, str(place_of(everything[4])))).changes
    assert (last, last.last, places[2:]) == (everything[5], True, [2]), "the row was half read"
    await shop.engine.close()


async def test_a_row_that_was_half_read_when_it_was_dropped_was_missed() -> None:
    shop = await crowd(["ann", "bob"], one="true", two="true", three="true")
    everything = await shop.changes()
    half, whole = (str(place_of(everything[place])) for place in (0, 2))
    assert (half, whole) == ("1.1", "1")
    shop.store.drop_changes(1, NEVER, rows=9)
    for after, missed in ((half, True), (whole, False)):
        page = await read_changes(shop.engine, after)
        assert (page.missed, list(page.changes)) == (missed, everything[3:])
    await shop.engine.close()


@pytest.mark.parametrize("after", ["", "latest"])
async def test_who_begins_where_everything_was_dropped_has_missed_nothing(after: str) -> None:
    shop = await crowd()
    shop.store.drop_changes(len(PEOPLE), NEVER, rows=99)
    for _ in range(2):
        page = await read_changes(shop.engine, after)
        assert (page.changes, page.missed) == ((), False)
        after = str(page.next)
    await shop.send("gus", "Product Viewed")
    page = await read_changes(shop.engine, after)
    assert ([one.profile for one in page.changes], page.missed) == (["a:gus"], False)
    await shop.engine.close()


async def test_who_has_missed_all_that_is_gone_is_told_so_once() -> None:
    shop = await crowd()
    shop.store.drop_changes(len(PEOPLE), NEVER, rows=99)
    page = await read_changes(shop.engine, "2")
    assert (page.changes, page.missed) == ((), True)
    assert not (await read_changes(shop.engine, str(page.next))).missed
    await shop.engine.close()


@pytest.mark.parametrize("upto, missed", [(2, False), (4, True)])
async def test_what_is_dropped_while_a_page_is_read_was_missed_unless_it_was_read_before(
    monkeypatch: pytest.MonkeyPatch, upto: int, missed: bool
) -> None:
    monkeypatch.setattr(reading, "ROWS_AT_ONCE", 2)
    shop = await crowd()
    everything = await shop.changes()
    changes = shop.store.changes

    def dropping(after: int, *, limit: int, names: Sequence[ProfileId] | None = None) -> tuple[ChangeRow, ...]:
        rows = changes(after, limit=limit, names=names)
        shop.store.drop_changes(upto, NEVER, rows=99)
        return rows

    monkeypatch.setattr(shop.store, "changes", dropping)
    page = await read_changes(shop.engine)
    assert (page.missed, list(page.changes)) == (missed, everything[:2] + everything[upto:])
    await shop.engine.close()


async def test_a_cursor_from_after_what_was_restored_is_told_and_gets_the_oldest() -> None:
    shop = await crowd()
    everything = await shop.changes()
    last = len(everything)
    page = await read_changes(shop.engine, str(last + 1))
    assert (page.missed, list(page.changes)) == (True, everything)
    page = await read_changes(shop.engine, str(page.next))
    assert (page.missed, page.changes) == (False, ())
    shop.store.drop_changes(2, NEVER, rows=9)
    page = await read_changes(shop.engine, f"{last + 7}.3", segment="ever")
    assert (page.missed, list(page.changes)) == (True, everything[2:])
    await shop.engine.close()
