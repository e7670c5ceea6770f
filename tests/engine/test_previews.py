"""Previews of a running engine: a process holds the events, answers as live memberships do, and goes when it must."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bespeak.analytics import ArchiveSettings
from bespeak.analytics.conditions_sql import Query
from bespeak.clock import HOUR, SECOND, ManualClock, format_time, parse_time
from bespeak.conditions import parse
from bespeak.engine import Definition, Engine, WarmPreview, preview_apart, previews
from bespeak.engine.archive_apart import Failed, failed, receive, send, start_beside
from bespeak.engine.preview_apart import WORKER, Answered, Asked, Open, Row, Taking, WarmApart, told
from bespeak.engine.preview_reading import DoesNotFit, NotWarm
from bespeak.engine.previews import Questions, preview_of
from bespeak.errors import InvalidInput, Overloaded, Unavailable
from bespeak.privacy import Key
from bespeak.privacy.masters import encode_masters
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import MemorySettings, WrappedKey

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
SEGMENTS = {
    "often": 'count("Product Viewed", last 1 day) >= 3',
    "bought": 'performed("Order Completed")',
    "asked": 'performed("Product Viewed" where item.brand = "Acme")',
}
TRIED = 'count("Product Viewed", last 1 day) >= 5'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def running(folder: Path, **archive: Any) -> AsyncIterator[tuple[Engine, Key]]:
    given = ArchiveSettings(**{"minutes": 0, "preview_mib": 256, **archive})
    quiet = EngineSettings(checkpoint_seconds=3_600, models_seconds=3_600)
    settings = Settings(data_dir=str(folder), archive=given, engine=quiet)
    engine = Engine.open(settings, clock=ManualClock(START), rng=Random(1))
    await engine.start()
    try:
        key, _ = await engine.create_key("secret", "site")
        await view(engine, key, range(8))
        bodies = {name: {"id": name, "condition": text} for name, text in SEGMENTS.items()}
        await engine.apply([Definition(kind="segments", id=name, body=body) for name, body in bodies.items()])
        yield engine, key
    finally:
        await engine.close()


async def view(engine: Engine, key: Key, people: range, mark: str = "") -> None:
    """Let person 0 view nothing, person 1 one thing, and so on; every third one buys."""
    views = [
        {
            "type": "track",
            "userId": f"p{person:02}",
            "event": "Product Viewed",
            "messageId": f"{mark}{person}-{place}",
            "timestamp": format_time(START - place * HOUR),
        }
        for person in people
        for place in range(person)
    ]
    orders = [
        {"type": "track", "userId": f"p{one:02}", "event": "Order Completed", "messageId": f"{mark}{one}-o"}
        for one in people[::3]
    ]
    body = json.dumps({"batch": [*views, *orders]}).encode()
    await engine.track(engine.parse(body, key=key), key)


async def previewed(engine: Engine, text: str = TRIED, **more: Any) -> WarmPreview:
    """Ask until the events are taken in."""
    while isinstance(found := await engine.preview(parse(text), **more), Taking):  # noqa: ASYNC110  it tells nobody
        await asyncio.sleep(0.02)
    return found


def live(engine: Engine, name: str) -> set[str]:
    return {profile.id for profile in engine.profiles() if name in profile.segments}


def alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def gone(warm: WarmApart) -> None:
    while alive(warm.pid):  # noqa: ASYNC110  it tells nobody
        await asyncio.sleep(0.01)


async def test_a_preview_is_what_is_live_once_it_is_defined_and_follows_what_is_committed(tmp_path: Path) -> None:
    async with running(tmp_path) as (engine, key):
        assert engine.previews().state == "cold"
        found = await previewed(engine, most=2)
        assert engine.previews().state == "warm"
        assert (found.at, found.preview.offset) == (START, engine.store.last_offset())
        assert (found.preview.found.people, found.preview.found.members.size) == (8, 3)
        assert found.preview.found.members.sample == ("u:p05", "u:p06")
        assert list(found.preview.left_out) == ["asked"]
        await view(engine, key, range(8, 12), "more")
        found = await previewed(engine)
        await engine.apply([Definition(kind="segments", id="tried", body={"id": "tried", "condition": TRIED})])
        members = live(engine, "tried")
        assert (len(members), set(found.preview.found.members.sample)) == (7, members)
        for name in ("often", "bought"):
            held, overlap = live(engine, name), found.preview.found.others[name]
            assert held & members, "else this shows little"
            assert (overlap.size, overlap.both) == (len(held), len(held & members)), name
        alone = await previewed(engine, 'in_segment("tried") and not in_segment("bought")', overlaps=False)
        assert alone.preview.found.members.size == len(members - live(engine, "bought"))
        assert (alone.preview.found.others, alone.preview.left_out) == ({}, {})


async def test_a_question_that_sql_fails_at_is_told_and_the_process_answers_the_next(tmp_path: Path) -> None:
    async with running(tmp_path) as (engine, _):
        await previewed(engine)
        warm = engine._warm
        assert warm is not None
        fails = Query("SELECT CAST(message_id AS INTEGER) FROM heard", {})
        answered = await asyncio.to_thread(warm.ask, Asked((fails, Query("SELECT 7", {}))))
        assert "SQL fails at the question (ConversionException" in answered.rows[0].failure
        assert (answered.rows[1].values, answered.rows[1].failure) == ((7,), "")
        assert (await previewed(engine)).preview.found.members.size == 3
        assert engine._warm is warm


async def test_an_instant_at_which_no_clock_is_known_is_refused_before_anything_is_begun(tmp_path: Path) -> None:
    async with running(tmp_path) as (engine, _):
        with pytest.raises(InvalidInput, match="at: expected a time from 0002-01-01T00:00:00Z to 9998-01-01T00:00:00Z"):
            await engine.preview(parse('performed("Product Viewed", this year)'), at=parse_time("9999-12-31"))
        assert engine._warm is None


def test_segments_that_sql_fails_at_are_left_out_and_the_condition_is_answered() -> None:
    asked = Query("SELECT 7", {})
    questions = Questions(asked, asked, ("often", "bought"), {"odd": "why"})
    found = preview_of(START, questions, Answered(9, (Row((8, 3, ["u:a"]), 0.1), Row((), 0.2, "SQL fails"))))
    assert (found.preview.found.members.size, found.preview.found.others) == (3, {})
    assert found.preview.left_out == {"odd": "why", "often": "SQL fails", "bought": "SQL fails"}


async def test_the_process_leaves_no_core_when_it_crashes(tmp_path: Path) -> None:
    async with running(tmp_path) as (engine, _):
        await previewed(engine)
        warm = engine._warm
        assert warm is not None
        assert resource.prlimit(warm.pid, resource.RLIMIT_CORE) == (0, 0)


def test_a_process_that_cannot_go_on_says_where_and_ends_without_a_crash() -> None:
    with start_beside(WORKER, "{}") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        send(process.stdin, Asked(()))  # before it was told what to hold
        answer = told.decode(receive(process.stdout) or b"")
        assert isinstance(answer, Failed)
        assert re.fullmatch(r"TypeError \(text withheld\), at .*preview_worker\.py:\d+", answer.message)
        assert process.wait() == 1, "its pipe is open still, and a thread of it waits there"


async def test_whoever_is_erased_is_in_no_preview_from_then_on(tmp_path: Path) -> None:
    async with running(tmp_path) as (engine, _):
        assert "u:p06" in (await previewed(engine)).preview.found.members.sample
        warm = engine._warm
        assert warm is not None
        asked = asyncio.ensure_future(engine.preview(parse("true")))
        await engine.erase("u:p06")
        with suppress(Unavailable):  # it was asked before, and may be answered so
            await asked
        await gone(warm)
        found = await previewed(engine)
        assert found.preview.found.members.sample == ("u:p05", "u:p07")
        assert engine._warm is not warm


@pytest.mark.slow
async def test_a_new_master_key_lets_go_of_who_was_given_the_old_one(tmp_path: Path) -> None:
    async with running(tmp_path) as (engine, key):
        await previewed(engine)
        warm = engine._warm
        assert warm is not None
        await engine.rotate_master_key()
        await gone(warm)
        assert engine.previews().state == "cold"
        await view(engine, key, range(8, 10), "more")
        assert (await previewed(engine)).preview.found.members.size == 5


async def test_previews_go_on_while_the_master_key_changes_and_events_come_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as (engine, key):
        await previewed(engine)
        sizes: list[int] = []
        write = engine._write_keys

        async def meanwhile(keys: list[WrappedKey]) -> int:
            await view(engine, key, range(8, 10), "more")
            sizes.append((await previewed(engine)).preview.found.members.size)
            return await write(keys)

        monkeypatch.setattr(engine, "_write_keys", meanwhile)
        rotated = await engine.rotate_master_key()
        assert (rotated.version, rotated.retired, sizes) == (2, (1,), [5])
        assert engine.previews().state == "cold", "whoever was given both versions has gone, too"


@pytest.mark.slow
async def test_it_goes_when_nobody_has_asked_for_a_while_and_with_the_server(tmp_path: Path) -> None:
    async with running(tmp_path, preview_minutes=0.01) as (engine, _):
        await previewed(engine)
        warm = engine._warm
        assert warm is not None
        await gone(warm)
        assert engine.previews().state == "cold"
        await previewed(engine)
        second = engine._warm
        assert second is not None
        assert second.pid != warm.pid
    assert not alive(second.pid)


@pytest.mark.slow
async def test_a_process_that_was_killed_is_told_once_and_the_next_one_is_begun(tmp_path: Path) -> None:
    async with running(tmp_path) as (engine, _):
        await previewed(engine)
        warm = engine._warm
        assert warm is not None
        os.kill(warm.pid, signal.SIGKILL)
        await gone(warm)
        with pytest.raises(NotWarm, match=r"ended \(signal 9, SIGKILL\).*archive.preview_mib"):
            await previewed(engine)
        assert (await previewed(engine)).preview.found.members.size == 3


async def test_too_little_memory_and_none_are_told_with_the_way_without(tmp_path: Path) -> None:
    async with running(tmp_path, preview_mib=0) as (engine, _):
        assert engine.previews().state == "off"
        with pytest.raises(NotWarm, match=r"archive.preview_mib is 0.*--cold"):
            await engine.preview(parse(TRIED))
    settings = Settings(store=MemorySettings())
    engine = Engine.open(settings, clock=ManualClock(START))
    await engine.start()
    with pytest.raises(InvalidInput, match="no archive"):
        await engine.preview(parse(TRIED))
    await engine.close()


async def test_events_that_do_not_fit_are_taken_in_again_after_an_hour_and_no_sooner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[object] = []

    class Full:
        """In place of the process: it has found already that the events do not fit."""

        ready, taking, failure = None, Taking(3, 10), DoesNotFit("too little")

        def __init__(self, *_: object) -> None:
            begun.append(self)

        def kill(self) -> None:
            pass

        def end(self) -> None:
            pass

    async with running(tmp_path) as (engine, _):
        monkeypatch.setattr(previews, "WarmApart", Full)
        assert await engine.preview(parse(TRIED)) == Taking(3, 10)
        await refused_thrice(engine)
        assert (len(begun), engine.previews().state) == (1, "cold")
        engine.clock.advance(HOUR - 1)
        await refused_thrice(engine)
        assert len(begun) == 1
        engine.clock.advance(1)
        assert await engine.preview(parse(TRIED)) == Taking(3, 10)
        assert len(begun) == 2


async def refused_thrice(engine: Engine) -> None:
    for _ in range(3):
        with pytest.raises(DoesNotFit, match="too little"):
            await engine.preview(parse(TRIED))


@pytest.mark.slow
async def test_a_process_without_room_for_the_events_says_so_and_is_begun_once(tmp_path: Path) -> None:
    async with running(tmp_path, preview_mib=16) as (engine, key):
        for part in range(50):
            texts = [[f"{part} {n} {m}" for m in range(1_200)] for n in range(20)]
            said = {"type": "track", "event": "Read", "userId": "ann"}
            batch = [{**said, "messageId": f"m{part}-{n}", "properties": {"p": one}} for n, one in enumerate(texts)]
            await engine.track(engine.parse(json.dumps({"batch": batch}).encode(), key=key), key)
        for _ in range(2):
            with pytest.raises(DoesNotFit, match=r"archive\.preview_mib \(16 MiB;.*--cold"):
                await previewed(engine)
        assert engine._warm is None


def test_that_events_do_not_fit_is_known_from_what_the_process_says() -> None:
    assert isinstance(preview_apart._error(failed(DoesNotFit("too little"))), DoesNotFit)


async def test_what_the_events_do_not_say_is_refused_before_anything_is_begun(tmp_path: Path) -> None:
    async with running(tmp_path) as (engine, _):
        with pytest.raises(NotWarm, match=r"items or interests.*--cold"):
            await engine.preview(parse(SEGMENTS["asked"]))
        assert engine._warm is None


@pytest.mark.slow
async def test_no_more_than_some_wait_for_their_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as (engine, _):
        await previewed(engine)
        monkeypatch.setattr(previews, "WAITING_MAX", 2)
        answers = await asyncio.gather(*(engine.preview(parse(TRIED)) for _ in range(6)), return_exceptions=True)
        refused = [one for one in answers if isinstance(one, Overloaded)]
        assert len(refused) == 4
        assert {one.preview.found.members.size for one in answers if isinstance(one, WarmPreview)} == {3}


def test_master_keys_are_shown_by_no_message(tmp_path: Path) -> None:
    engine = Engine.open(Settings(store=MemorySettings()), clock=ManualClock(START))
    masters = engine.vault.masters
    assert masters.index not in repr(Open(settings=engine.settings, masters=encode_masters(masters), kept=()))
