"""Events held beside a server: files and log once, then what is committed; always as if all had been read anew."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bespeak.analytics import ArchiveSettings, Damaged
from bespeak.analytics.conditions_sql import sql_of_counts
from bespeak.clock import DAY, HOUR, SECOND, ManualClock, format_time
from bespeak.conditions import parse
from bespeak.engine import Definition, Engine, members_in_archive, preview_reading
from bespeak.engine.archive import folder_of, listed
from bespeak.engine.preview_reading import DoesNotFit, Following
from bespeak.errors import InvalidInput
from bespeak.privacy import Key
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import MemorySettings

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
SEGMENTS = {
    "busy": 'count("Product*", last 1 day) >= 3',
    "spenders": 'sum(properties.price of "Product*") > 200',
    "idle": 'not performed("Product Viewed", last 12 hours)',
    "visits": "known = true and sessions.count >= 2",
    "pros": 'traits.plan = "pro"',
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def running(folder: Path, clock: ManualClock, **archive: Any) -> AsyncIterator[tuple[Engine, Key]]:
    given = {"minutes": 0, "rows": 100, "cpu_share": 1.0, "apart": False, "query_mib": 256, "preview_mib": 256}
    quiet = EngineSettings(checkpoint_seconds=3_600, models_seconds=3_600)
    settings = Settings(data_dir=str(folder), archive=ArchiveSettings(**{**given, **archive}), engine=quiet)
    engine = Engine.open(settings, clock=clock, rng=Random(1))
    await engine.start()
    try:
        key, _ = await engine.create_key("secret", f"site at {clock.now()}")
        yield engine, key
    finally:
        await engine.close()


@contextmanager
def following(engine: Engine) -> Iterator[Following]:
    held = Following(engine.settings, engine.vault.masters)
    try:
        yield held
    finally:
        held.close()


async def come(engine: Engine, key: Key, people: int, mark: str, *, first: int = 0) -> None:
    """Let people look at things on a device, sign in, and send what is older than a day."""
    at = engine.clock.now()
    for person in range(first, first + people):
        device = {"anonymousId": f"device-{person:02}"}
        views = [
            {
                **device,
                "type": "track",
                "event": "Product Viewed" if one % 2 else "Product Added",
                "messageId": f"{person}-{mark}{one}",
                "timestamp": format_time(at - ago * HOUR),
                "properties": {"price": 10 * one},
            }
            for one, ago in enumerate((3, 1, 0, 36, 2, 25, 1, 0, 40)[: 3 + person % 4 * 2])
        ]
        said = {"userId": f"p{person:02}", "traits": {"plan": "pro" if person % 2 else "free"}}
        signs_in = {**device, **said, "type": "identify", "messageId": f"{person}-{mark}"}
        body = json.dumps({"batch": [*views[:2], signs_in, *views[2:]]}).encode()
        assert {one.status for one in await engine.track(engine.parse(body, key=key), key)} == {"ok"}


def same(engine: Engine, held: Following) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Ask what is held, after it has followed, and hold it against everything read anew; returns what both say."""
    held.follow(lambda _done, _total: None)
    assert held.upto == engine.store.last_offset()
    found: dict[str, tuple[int, tuple[str, ...]]] = {}
    for name, text in SEGMENTS.items():
        at = engine.clock.now()
        _, cold = members_in_archive(engine.settings, parse(text), at, most=100)
        people, size, sample = held.ask(sql_of_counts(parse(text), {}, at, most=100, keeps=4))
        assert (size, tuple(sample or ())) == (cold.size, cold.sample), name
        assert people == sum(1 for _ in engine.profiles())
        found[name] = (size, cold.sample)
    return found


async def test_what_is_held_follows_files_log_merges_and_late_events(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with running(tmp_path, clock) as (engine, key):
        with following(engine) as held:
            await come(engine, key, 4, "a")
            first = same(engine, held)
            assert all(first[name][0] for name in ("busy", "spenders", "visits", "pros")), "else this shows little"
            await come(engine, key, 4, "b", first=2)
            second = same(engine, held)
            assert second != first
            clock.advance(DAY)
            await engine.archive()
            assert listed(engine.store)
            assert same(engine, held) != second, "time has passed, and nothing was read anew"
            body = json.dumps({"type": "alias", "userId": "p00", "previousId": "p01", "messageId": "joined"}).encode()
            await engine.track(engine.parse(body, key=key, kind="alias"), key)
            await come(engine, key, 2, "c", first=1)
            third = same(engine, held)
            assert not any("u:p01" in sample for _, sample in third.values())
        with following(engine) as anew:
            assert same(engine, anew) == third, "as when everything is taken in at once"


@pytest.mark.slow
async def test_files_come_before_the_log_and_what_is_between_them_in_its_place(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with running(tmp_path, clock) as (engine, key):
        for mark in "abcde":
            await come(engine, key, 12, mark)
            clock.advance(HOUR)
        await engine.archive()
        names = listed(engine.store)
        assert len(names) > 2, "or there is no file between two others"
        folder = folder_of(engine.settings)
        assert folder is not None
        told: list[tuple[int, int]] = []
        with following(engine) as held:
            held.follow(lambda done, total: told.append((done, total)))
            assert told[0] == (0, sum(file.rows for file in names))
            assert held.events == engine.store.last_offset() - sum(1 for _ in engine.definitions("segments"))
        async with engine.archive_lock():
            await engine._unlist([names[1]], ())
        with following(engine) as held:
            same(engine, held)


@pytest.mark.slow
async def test_a_person_who_was_erased_is_in_nothing_that_is_read_after(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with running(tmp_path, clock) as (engine, key):
        await come(engine, key, 12, "a")
        clock.advance(DAY)
        await engine.archive()
        await come(engine, key, 12, "b")
        with following(engine) as held:
            before = same(engine, held)
        await engine.erase("u:p03")
        with following(engine) as held:
            after = same(engine, held)
        assert "u:p03" in before["pros"][1]
        for name, (size, sample) in before.items():
            left = tuple(one for one in sample if one != "u:p03")
            assert after[name] == (size - ("u:p03" in sample), left)


@pytest.mark.slow
async def test_files_that_are_dropped_are_let_go_of(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with running(tmp_path, clock, keep_days=2) as (engine, key):
        await come(engine, key, 12, "a")
        clock.advance(DAY)
        await engine.archive()
        with following(engine) as held:
            held.follow(lambda _done, _total: None)
            events = held.events
            clock.advance(3 * DAY)
            await come(engine, key, 1, "b", first=20)
            await engine.archive()
            held.follow(lambda _done, _total: None)
            assert 0 < held.events < events


@pytest.mark.slow
async def test_a_file_that_is_not_what_was_written_is_named(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with running(tmp_path, clock) as (engine, key):
        await come(engine, key, 12, "a")
        clock.advance(DAY)
        await engine.archive()
        folder = folder_of(engine.settings)
        assert folder is not None
        path = folder / listed(engine.store)[0].name
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        with following(engine) as held, pytest.raises(Damaged, match="does not open"):
            held.follow(lambda _done, _total: None)


@pytest.mark.slow
async def test_events_that_do_not_fit_are_refused_with_the_setting_and_the_way_without(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with running(tmp_path, clock, preview_mib=16) as (engine, key):
        for part in range(50):
            batch = [
                {
                    "type": "track", "event": "Read", "userId": f"u{n}", "messageId": f"m{part}-{n}",
                    "properties": {"text": [f"{part} {n} {m}" for m in range(1_200)]},
                }
                for n in range(20)
            ]  # fmt: skip
            body = json.dumps({"batch": batch}).encode()
            await engine.track(engine.parse(body, key=key), key)
        with following(engine) as held, pytest.raises(DoesNotFit, match=r"archive\.preview_mib \(16 MiB;.*--cold"):
            held.follow(lambda _done, _total: None)


async def test_a_store_in_ram_has_nothing_to_be_read_beside_it() -> None:
    engine = Engine.open(Settings(store=MemorySettings()), clock=ManualClock(START))
    with pytest.raises(InvalidInput, match="no archive"):
        Following(engine.settings, engine.vault.masters)
    await engine.close()


@pytest.mark.slow
async def test_what_cannot_be_followed_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock(START)
    async with running(tmp_path, clock) as (engine, key):
        await come(engine, key, 2, "a")
        await engine.apply([Definition(kind="segments", id="busy", body={"id": "busy", "condition": SEGMENTS["busy"]})])
        with following(engine) as held:
            same(engine, held)
            monkeypatch.setattr(preview_reading, "floor_of", lambda _store: 1)
            held._floor = 7
            told: list[int] = []
            held.follow(lambda done, _total: told.append(done))
            assert told[0] == 0
            same(engine, held)
