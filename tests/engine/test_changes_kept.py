"""Changes are read page by page or waited for, and kept until they are too many, too old, or their person is erased."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from bespeak.clock import DAY, HOUR, MINUTE, SECOND
from bespeak.engine import MoveTold, read_changes, retention
from bespeak.engine.changes import Cursor, cursor_of, place_of
from bespeak.errors import InvalidInput, NotFound, StoreError
from bespeak.stores import SqliteSettings
from bespeak.testing.by_hand import QUIET, SETTINGS, START, ByHand, said
from bespeak.testing.world_fragile import FragileSqlite
from bespeak.testing.world_traces import found_in

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def crowded() -> AsyncIterator[ByHand]:
    """Three people who each enter three segments at once, and leave two of them by time."""
    shop = await ByHand().open(
        one='count("Product Viewed", last 1 minute) >= 1',
        two='count("Product Viewed", last 2 minutes) >= 1',
        ever="true",
    )
    for who in ("ann", "bob", "cleo"):
        await shop.send(who, "Product Viewed")
    await shop.let_pass(HOUR)
    yield shop
    await shop.engine.close()


async def test_pages_of_any_size_come_to_the_same_list(crowded: ByHand) -> None:
    everything = await crowded.changes()
    assert len(everything) == 15
    for limit in (1, 2, 4, 15):
        found: list[MoveTold] = []
        after = ""
        for _ in range(20):
            page = await read_changes(crowded.engine, after, limit=limit)
            assert len(page.changes) <= limit
            found += page.changes
            after = str(page.next)
            if not page.more:
                break
        assert found == everything
        assert (await read_changes(crowded.engine, after)).changes == ()
    for place, one in enumerate(everything):
        assert (await read_changes(crowded.engine, str(place_of(one)))).changes == tuple(everything[place + 1 :])


async def test_a_page_can_be_of_one_segment_or_person(crowded: ByHand) -> None:
    everything = await crowded.changes()

    async def asked(segment: str | None = None, profile: str | None = None) -> list[MoveTold]:
        return list((await read_changes(crowded.engine, segment=segment, profile=profile)).changes)

    assert await asked("two") == [one for one in everything if one.segment == "two"]
    assert await asked(profile="bob") == [one for one in everything if one.profile == "a:bob"]
    assert [one.entered for one in await asked("two", "bob")] == [True, False]
    assert await asked("none such") == []
    with pytest.raises(NotFound, match="no profile 'nobody'"):
        await asked(profile="nobody")


async def test_a_search_that_finds_little_gives_its_place_in_between(
    crowded: ByHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bespeak.engine.changes.ROWS_AT_ONCE", 1)
    monkeypatch.setattr("bespeak.engine.changes.ROWS_MAX", 2)
    page = await read_changes(crowded.engine, segment="none such", wait=30)
    rows = [row.number for row in crowded.store.changes(0, limit=99)]
    assert (page.changes, page.more, page.next) == ((), True, Cursor(rows[1])), "two rows were looked at"
    found: list[MoveTold] = []
    after = ""
    for _ in rows:
        page = await read_changes(crowded.engine, after, segment="one")
        found += page.changes
        after = str(page.next)
    assert found == [one for one in await crowded.changes() if one.segment == "one"]


async def test_whoever_waits_is_woken_by_what_is_on_disk_and_by_the_end(crowded: ByHand) -> None:
    assert (await read_changes(crowded.engine, "latest")).changes == ()
    waiting = asyncio.create_task(read_changes(crowded.engine, "latest", wait=30))
    await asyncio.sleep(0)
    await crowded.send("bob", "Product Viewed")
    page = await waiting
    assert {said(one) for one in page.changes} == {f"a:bob enters {name} v1 at 3600, event" for name in ("one", "two")}
    other = asyncio.create_task(read_changes(crowded.engine, str(page.next), segment="nothing", wait=30))
    await asyncio.sleep(0)
    crowded.engine.ask_nobody_more()
    assert (await other).changes == (), "nobody is held up"


@pytest.mark.parametrize("text", ["x", "-1", "1.2.3", "1.", "99999999999999999999", "latest "])
async def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="after: expected the `next` of a page"):
        cursor_of(text)


@pytest.mark.parametrize("text", ["0", "12", "12.3"])
async def test_a_cursor_is_read_as_it_is_written(text: str) -> None:
    assert str(cursor_of(text)) == text
    assert cursor_of("12.3") < cursor_of("12") < cursor_of("13.1")
    assert cursor_of("") == Cursor(0)


async def test_the_oldest_go_when_they_are_too_many_or_too_old_and_whoever_missed_them_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "CHANGES_AT_ONCE", 3)
    bounds = msgspec.structs.replace(QUIET, changes_max=4, changes_keep_days=2)
    shop = await ByHand(settings=msgspec.structs.replace(SETTINGS, engine=bounds)).open(ever="true")
    for who in range(10):
        await shop.send(f"d{who}", "Product Viewed")
    everything = await shop.changes()
    assert len(everything) == 10

    async def trimmed() -> list[MoveTold]:
        for _ in range(8):
            shop.clock.advance(MINUTE)
            await shop.engine._trim(shop.clock.now())
        return await shop.changes()

    async def checkpoint() -> None:
        await shop.send("d0", "Something")
        await shop.engine.checkpoint_now()

    assert await trimmed() == everything, "no checkpoint has them yet: they would be worked out anew after a kill"
    await checkpoint()
    assert await trimmed() == everything[6:], "at once"
    page = await read_changes(shop.engine, str(place_of(everything[2])))
    assert (page.missed, list(page.changes)) == (True, everything[6:])
    assert not (await read_changes(shop.engine, str(place_of(everything[5])))).missed
    assert not (await read_changes(shop.engine)).missed, "who begins has missed nothing"
    shop.clock.advance(2 * DAY)
    await shop.send("d99", "Product Viewed")
    left = await trimmed()
    assert [one.profile for one in left] == ["a:d99"]
    await shop.engine.close()


def keeping(**bounds: float) -> ByHand:
    """Return an engine that keeps as little, and is not open yet."""
    engine = msgspec.structs.replace(QUIET, **bounds)
    return ByHand(settings=msgspec.structs.replace(SETTINGS, engine=engine))


async def test_what_is_left_to_drop_is_dropped_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "CHANGES_AT_ONCE", 3)
    shop = await keeping(changes_max=4).open(ever="true")
    for who in range(10):
        await shop.send(f"d{who}", "Product Viewed")
    await shop.rest()
    await shop.engine.checkpoint_now()
    shop.clock.advance(MINUTE)
    behind: list[bool] = []
    for _ in range(4):
        await shop.engine._trim(shop.clock.now())
        behind.append(shop.engine._is_behind())
    assert (behind, len(await shop.changes())) == ([True, True, False, False], 4)
    await shop.engine.close()


async def test_what_an_undoing_took_back_stays_until_a_checkpoint_has_it_again() -> None:
    shop = await keeping(changes_max=1).open(keen='count("Product Viewed", last 1 minute) >= 2')
    await shop.engine.tick()
    await shop.rest()
    for who in ("ann", "bob", "cleo"):
        for view in range(2):
            await shop.send(who, "Product Viewed", f"{who} {view}")
    await shop.let_pass(2 * MINUTE)
    before = await shop.changes()
    assert [one.entered for one in before] == [True] * 3 + [False] * 3
    shop.store.trouble = "lost"
    with pytest.raises(StoreError):
        await shop.send("dan", "Something")
    shop.store.trouble = "none"
    assert shop.engine.segment_sizes() == {"keen": 3}, "no checkpoint had their leaves, and no timer was there yet"

    async def checkpoint(name: str) -> None:
        await shop.send("dan", name)
        await shop.engine.checkpoint_now()
        for _ in range(8):
            shop.clock.advance(MINUTE)
            await shop.engine._trim(shop.clock.now())

    for name in ("first", "second"):
        await checkpoint(name)
    assert await shop.changes() == before
    await shop.let_pass(0)
    assert shop.engine.segment_sizes() == {"keen": 0}
    assert await shop.changes() == before, "each is told once"
    await checkpoint("third")
    assert await shop.changes() == before[5:]
    assert (await read_changes(shop.engine, str(place_of(before[5])))).changes == ()
    await shop.engine.close()


async def test_what_is_too_old_goes_after_a_restart_though_nothing_happens() -> None:
    shop = await keeping(changes_keep_days=2).open(ever="true")
    for who in ("ann", "bob", "cleo"):
        await shop.send(who, "Product Viewed")
    assert len(await shop.changes()) == 3
    await shop.engine.close()
    await shop.open()
    shop.clock.advance(3 * DAY)
    await shop.engine._trim(shop.clock.now())
    assert await shop.changes() == []
    await shop.engine.close()


async def test_what_was_on_its_way_when_the_last_checkpoint_began_goes_though_nothing_happens() -> None:
    shop = await keeping(changes_keep_days=2).open(ever="true")
    await shop.send("ann", "Product Viewed")
    sending = asyncio.ensure_future(shop.send("bob", "Product Viewed"))
    await asyncio.sleep(0)
    await shop.engine.checkpoint_now()
    await sending
    assert len(await shop.changes()) == 2
    await shop.engine.tick()
    await shop.rest()
    shop.clock.advance(3 * DAY)
    await shop.engine._trim(shop.clock.now())
    assert await shop.changes() == []
    await shop.engine.close()


async def test_none_are_kept_where_none_are_wanted() -> None:
    none = msgspec.structs.replace(SETTINGS, engine=msgspec.structs.replace(QUIET, changes_max=0))
    shop = await ByHand(settings=none).open(ever="true")
    await shop.send("ann", "Product Viewed")
    assert await shop.changes() == []
    assert shop.engine.segment_sizes() == {"ever": 1}
    await shop.engine.close()


async def test_what_was_told_of_an_erased_person_is_in_no_file(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(SETTINGS, data_dir=str(tmp_path), store=SqliteSettings())
    shop = ByHand(FragileSqlite(tmp_path / "bespeak.db"), settings)
    await shop.open(keen='count("Product Viewed") >= 2', new='not performed("Order Completed")')
    words = ["zoes-phone-77", "user-zoe-99", "zauberwort"]
    for who in ("zoes-phone-77", "anns-phone"):
        for view in range(2):
            await shop.send(who, "Product Viewed", f"{who} zauberwort {view}")
    await shop.signs_in("zoes-phone-77", "user-zoe-99")
    others = [one for one in await shop.changes() if "zoe" not in one.profile]
    assert len(others) == 2
    names = {shop.engine.vault.name(one) for one in ("a:zoes-phone-77", "u:user-zoe-99")}
    assert {row.name for row in shop.store.changes(0, limit=99)} > names
    assert found_in(tmp_path, words) == []
    await shop.engine.erase("user-zoe-99")
    assert await shop.changes() == others
    assert {row.name for row in shop.store.changes(0, limit=99)}.isdisjoint(names)
    assert found_in(tmp_path, words) == []
    shop.clock.advance(SECOND)
    await shop.send("zoes-phone-77", "Something")
    assert [said(one) for one in await shop.changes()][2:] == ["a:zoes-phone-77 enters new v1 at 1, event"]
    assert shop.clock.now() == START + SECOND
    await shop.engine.close()
    shop.store.close()
