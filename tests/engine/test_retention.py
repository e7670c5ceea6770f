"""Old rows of the log are dropped: nobody changes, a replay begins with a snapshot, and the erased are in none."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from bespeak.analytics import ArchiveSettings
from bespeak.clock import DAY, HOUR, SECOND, ManualClock, format_time
from bespeak.engine import Definition, Engine, replay, retention
from bespeak.engine.aliases import open_alias
from bespeak.engine.retention import SNAPSHOTS_MAX
from bespeak.engine.vault import PROFILE
from bespeak.errors import StoreError
from bespeak.privacy import Key
from bespeak.privacy.masters import KEY_FILE
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import (
    MemorySettings,
    MemoryStore,
    SqliteSettings,
    SqliteStore,
    Store,
    copy_file,
    put_in_place,
    repair_file,
    verify_file,
)
from bespeak.testing.world_traces import found_in

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
QUIET = EngineSettings(checkpoint_seconds=3600, models_seconds=3600, models_rebuild_hours=0)
KEEPS = msgspec.structs.replace(QUIET, log_keep_days=10)
NO_ARCHIVE = ArchiveSettings(minutes=0)
ZOE = ("zoe-7f3a", "device-of-zoe", "zoe@example.com", "zuckerhut")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def on_disk(folder: Path, **more: Any) -> Settings:
    return Settings(**{"data_dir": str(folder), "engine": KEEPS, "archive": NO_ARCHIVE, **more})


@asynccontextmanager
async def running(settings: Settings, clock: ManualClock, store: Store | None = None) -> AsyncIterator[Engine]:
    engine = Engine.open(settings, clock=clock, rng=Random(1), store=store)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def segment(name: str, condition: str) -> Definition:
    return Definition(kind="segments", id=name, body={"id": name, "condition": condition})


def view(name: str, place: object, clock: ManualClock) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "Product Viewed",
        "anonymousId": f"device-of-{name}",
        "messageId": f"{name}-{place}",
        "timestamp": format_time(clock.now()),
        "properties": {"product_id": "zuckerhut" if name == "zoe" else f"i{place}", "price": 9.99},
    }


async def send(engine: Engine, key: Key, *messages: dict[str, Any]) -> list[str]:
    body = json.dumps({"batch": list(messages)}).encode()
    return [result.status for result in await engine.track(engine.parse(body, key=key), key)]


async def days_go_by(engine: Engine, clock: ManualClock, days: int, names: tuple[str, ...] = ("ann", "bob")) -> Key:
    """Let everybody look at two things a day, and sign in on the second day; what is too old goes at night."""
    key, _ = await engine.create_key("write", f"site {clock.now()}")
    for day in range(days):
        for name in names:
            sent = [view(name, f"{clock.now()}-{n}", clock) for n in range(2)]
            if day == 1:
                user = "zoe-7f3a" if name == "zoe" else name
                who = {
                    "type": "identify",
                    "userId": user,
                    "anonymousId": f"device-of-{name}",
                    "messageId": f"{name}-id",
                }
                sent.append({**who, "traits": {"email": f"{name}@example.com"}})
            assert set(await send(engine, key, *sent)) == {"ok"}
        clock.advance(DAY)
        await engine.retain()
    return key


def plain(engine: Engine) -> dict[str, Any]:
    return {profile.id: msgspec.to_builtins(profile) for profile in engine.profiles()}


def received(store: Store) -> list[int]:
    return [row.received for row in store.read(0)]


async def is_live(engine: Engine, clock: ManualClock) -> int:
    """Check that a replay comes to what is live; returns the offset that it began with."""
    await engine.checkpoint_now()
    found = replay(engine.settings, engine.store, clock=clock)
    assert found.difference is None
    return found.start


async def test_rows_that_are_too_old_go_and_nobody_changes(tmp_path: Path) -> None:
    clock, other_clock = ManualClock(START), ManualClock(START)
    async with running(on_disk(tmp_path / "one"), clock) as engine:
        await days_go_by(engine, clock, 40)
        assert min(received(engine.store)) >= clock.now() - 10 * DAY
        assert engine.store.dropped() > 80
        start = await is_live(engine, clock)
        assert engine.store.dropped() <= start < engine.store.last_offset()
        known = plain(engine)
        assert known["u:ann"]["counts"]["Product Viewed"] == 80
        assert engine.metrics.gauges()["bespeak_log_dropped_offset"] == engine.store.dropped()
    async with running(on_disk(tmp_path / "two", engine=QUIET), other_clock) as engine:
        await days_go_by(engine, other_clock, 40)
        assert (engine.store.dropped(), engine.store.snapshots()) == (0, ())
        assert plain(engine) == known
    async with running(on_disk(tmp_path / "one"), clock) as engine:
        assert plain(engine) == known
        assert await is_live(engine, clock) == start


async def test_a_replay_reaches_back_at_least_half_of_what_is_kept(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with running(on_disk(tmp_path), clock) as engine:
        key = await days_go_by(engine, clock, 12)
        for _ in range(30):
            await days_go_by(engine, clock, 1, ("eve",))
            start = await is_live(engine, clock)
            (first,) = [one for one in engine.store.snapshots() if one.offset == start]
            assert clock.now() - first.at >= 4 * DAY
            assert len(engine.store.snapshots()) <= 3
        assert await send(engine, key, view("ann", "again", clock)) == ["ok"]


class _Kept(MemoryStore):
    """A memory store that an engine does not close."""

    def close(self) -> None:
        pass


async def test_a_new_definition_counts_what_there_is_of_the_log_and_a_replay_does_too() -> None:
    store, clock = _Kept(), ManualClock(START)
    async with running(Settings(store=MemorySettings(), engine=KEEPS), clock, store) as engine:
        await engine.apply([segment("first", 'count("Product Viewed") >= 75')])
        await days_go_by(engine, clock, 40)
        assert engine.segment_sizes() == {"first": 2}  # 80 views each, since it counted them when they came
        before = [one.offset for one in store.snapshots()]
        await engine.apply([segment("ten", 'count("Product Viewed" where properties.price > 1) >= 18')])
        await engine.apply([segment("all", 'count("Product Viewed" where properties.price > 2) >= 30')])
        assert engine.segment_sizes() == {"first": 2, "ten": 2, "all": 0}
        assert await is_live(engine, clock) == before[0]  # the rows that were counted are all there
        defined = store.last_offset()
        clock.advance(DAY)
        await engine.retain()
        assert store.dropped() < defined  # some of them are not, now: so it begins with what was counted in it
        assert [one.offset >= defined for one in store.snapshots()] == [True]
        assert await is_live(engine, clock) >= defined
        await days_go_by(engine, clock, 25, ("eve",))
        await is_live(engine, clock)
        assert store.dropped() > defined
        assert engine.segment_sizes() == {"first": 2, "ten": 3, "all": 1}


async def test_the_first_difference_behind_a_snapshot_is_named(tmp_path: Path) -> None:
    clock = ManualClock(START)
    settings = on_disk(tmp_path)
    async with running(settings, clock) as engine:
        await days_go_by(engine, clock, 30)
        profile = engine.find("ann")
        assert profile is not None
        profile.counts["Product Viewed"] += 1
        engine.sequencer.live.touch(profile.id)
        await engine.checkpoint_now()
        found = replay(settings, engine.store, clock=clock)
    assert found.start > 0
    assert found.difference is not None
    assert (found.difference.id, found.difference.field) == ("u:ann", "counts.Product Viewed")
    assert (found.difference.live, found.difference.replayed) == (61, 60)


async def test_a_log_whose_beginning_nothing_knows_is_not_replayed(tmp_path: Path) -> None:
    clock = ManualClock(START)
    settings = on_disk(tmp_path)
    async with running(settings, clock) as engine:
        await days_go_by(engine, clock, 30)
    with closing(sqlite3.connect(tmp_path / "bespeak.db")) as file:
        file.execute("DELETE FROM snapshots")
        file.commit()
    with closing(SqliteStore(tmp_path / "bespeak.db")) as store, pytest.raises(StoreError, match="no snapshot"):
        replay(settings, store, clock=clock)


async def test_nothing_is_dropped_before_it_is_archived_and_snapshots_stay_few(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with running(on_disk(tmp_path, archive=ArchiveSettings(minutes=15, apart=False)), clock) as engine:
        await days_go_by(engine, clock, 30)
        assert engine.store.dropped() == 0
        assert 1 <= len(engine.store.snapshots()) <= SNAPSHOTS_MAX
        archived = await engine.archive()
        await engine.retain()
        assert archived.upto >= engine.store.dropped() > 0
        assert min(received(engine.store)) >= clock.now() - 10 * DAY
        assert await is_live(engine, clock) > 0
        dropped = engine.store.dropped()
        (tmp_path / "archive" / archived.made[0]).unlink()
        again = await engine.archive(everything=True)  # what is gone from both is not looked for again and again
        assert again.upto == engine.store.last_offset()
        assert all(int(name[:12]) > dropped for name in again.made)


async def test_what_was_imported_is_known_again_when_its_rows_are_gone(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with running(on_disk(tmp_path), clock) as engine:
        key, _ = await engine.create_key("write", "site")
        body = json.dumps({"batch": [view("ann", n, clock) for n in range(5)]}).encode()
        events = list(engine.parse(body, key=key).events)
        assert (await engine.import_events(events))[:2] == (5, 0)
        await days_go_by(engine, clock, 30)
        assert engine.store.dropped() > 5
        assert (await engine.import_events(events))[:2] == (0, 5)


async def test_nothing_of_an_erased_person_is_left_in_any_snapshot(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with running(on_disk(tmp_path), clock) as engine:
        await days_go_by(engine, clock, 30, ("ann", "zoe", "bob"))
        store, vault = engine.store, engine.vault
        offsets = [one.offset for one in store.snapshots()]
        assert len(offsets) > 1
        assert any("zoe-7f3a" in str(open_alias(vault, sealed)) for sealed in store.kept_aliases(offsets[0]).values())
        others = {name: one for name, one in plain(engine).items() if "zoe" not in name}

        await engine.erase("zoe-7f3a")

        assert found_in(tmp_path, ZOE) == []
        names = {vault.name("u:zoe-7f3a"), vault.name("a:device-of-zoe")}
        for offset in offsets:
            opened = [vault.open(row.data, PROFILE) or b"" for row in store.kept_profiles(offset)]
            assert len(opened) == 2
            assert all(opened)
            assert not any(word.encode() in data for data in opened for word in ZOE)
            assert "zoe" not in str([open_alias(vault, one) for one in store.kept_aliases(offset).values()])
        assert isinstance(store, SqliteStore)
        with closing(sqlite3.connect(store.path)) as file:
            for table, column in (("kept_profiles", "id"), ("kept_aliases", "alias")):
                assert names.isdisjoint({row[0] for row in file.execute(f"SELECT {column} FROM {table}")})
        found = replay(engine.settings, store, clock=clock)
        assert (found.difference, found.profiles, found.start) == (None, 2, offsets[0])
        assert plain(engine) == others
        clock.advance(SECOND)
        key = await days_go_by(engine, clock, 3, ("zoe",))  # comes back, as somebody new
        assert await send(engine, key, view("ann", "more", clock)) == ["ok"]
        assert await is_live(engine, clock) >= offsets[0]


async def test_a_server_drops_by_itself_and_tries_again_after_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(retention, "EVERY_SECONDS", 0.01)
    real, calls = SqliteStore.drop_log, 0

    def once_in_vain(self: SqliteStore, upto: int, before: int, *, rows: int) -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise StoreError("the disk is full")
        return real(self, upto, before, rows=rows)

    monkeypatch.setattr(SqliteStore, "drop_log", once_in_vain)
    clock = ManualClock(START)
    async with running(on_disk(tmp_path), clock) as engine:
        key, _ = await engine.create_key("write", "site")
        assert await send(engine, key, view("ann", 1, clock)) == ["ok"]
        clock.advance(30 * DAY)
        async with asyncio.timeout(60):
            while not engine.metrics.snapshot()["bespeak_log_dropped_offset"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert engine.metrics.snapshot()["bespeak_retention_failures_total"] == 1
        assert received(engine.store) == []
        assert await send(engine, key, view("ann", 2, clock)) == ["ok"]
        assert await is_live(engine, clock) > 0
    async with running(on_disk(tmp_path), clock) as engine:
        assert plain(engine)["a:device-of-ann"]["counts"] == {"Product Viewed": 2}


@pytest.mark.parametrize("days", [0.001, -1, 200_000])
def test_days_that_make_no_sense_are_refused(days: float) -> None:
    with pytest.raises(ValueError, match=r"engine\.log_keep_days must be 0\.01 to 100,000"):
        EngineSettings(log_keep_days=days)


async def test_a_changed_master_key_opens_the_snapshots(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with running(on_disk(tmp_path), clock) as engine:
        await days_go_by(engine, clock, 30)
        await engine.rotate_master_key()
        assert await is_live(engine, clock) > 0


async def test_models_are_built_anew_from_what_there_is_of_the_log(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with running(on_disk(tmp_path), clock) as engine:
        await days_go_by(engine, clock, 30)
        engine.begin_rebuild(share=1.0)
        status = await engine.rebuilt(60)
        assert (status.rebuilding, status.failed, status.built) == (False, "", status.total)
        assert await is_live(engine, clock) > 0
        assert not replay(engine.settings, engine.store, clock=clock).compared


async def test_a_log_that_begins_later_is_verified_mended_copied_and_restored(tmp_path: Path) -> None:
    clock, path = ManualClock(START), tmp_path / "data" / "bespeak.db"
    settings = on_disk(tmp_path / "data")
    async with running(settings, clock) as engine:
        await days_go_by(engine, clock, 30)
        dropped, start = engine.store.dropped(), await is_live(engine, clock)
        known = plain(engine)
        copy_file(path, tmp_path / "copy.db", SqliteSettings())
    checked = verify_file(path, SqliteSettings())
    assert (checked.sound, checked.dropped, checked.last) == (True, dropped, checked.records + dropped)
    with closing(sqlite3.connect(path)) as file:
        file.execute("UPDATE log SET payload = zeroblob(9) WHERE first = (SELECT min(first) FROM log)")
        file.commit()
    found = repair_file(path, SqliteSettings(), tmp_path / "bad.jsonl")
    assert [(row.first, row.whole) for row in found.bad] == [(dropped + 1, False)]
    assert verify_file(path, SqliteSettings()).sound
    with closing(sqlite3.connect(path)) as file:
        file.execute("DELETE FROM log WHERE first = (SELECT min(first) FROM log)")
        file.commit()
    assert [row.first for row in verify_file(path, SqliteSettings()).bad] == [dropped + 1]
    put_in_place(tmp_path / "copy.db", path, SqliteSettings())
    async with running(settings, clock) as engine:
        assert (engine.store.dropped(), plain(engine)) == (dropped, known)
        assert await is_live(engine, clock) == start


STEPS = ("take_snapshot", "drop_snapshots", "drop_log")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_whatever_step_a_process_dies_at_the_store_opens_and_a_replay_is_live(
    step: str, after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, copies = ManualClock(START), 0
    settings = on_disk(tmp_path / "data")
    real: Callable[..., Any] = getattr(SqliteStore, step)

    def copy() -> None:
        nonlocal copies
        copies += 1
        target = tmp_path / f"copy{copies}"
        target.mkdir()
        for file in (*(tmp_path / "data").glob("bespeak.db*"), tmp_path / "data" / KEY_FILE):
            (target / file.name).write_bytes(file.read_bytes())

    def dies(self: SqliteStore, *arguments: Any, **more: Any) -> Any:
        if not after:
            copy()
        done = real(self, *arguments, **more)
        if after:
            copy()
        return done

    async with running(settings, clock) as engine:
        await days_go_by(engine, clock, 13)
        await engine.apply([segment("fans", 'count("Product Viewed" where properties.price > 1) >= 3')])
        await days_go_by(engine, clock, 1)
        monkeypatch.setattr(SqliteStore, step, dies)
        await days_go_by(engine, clock, 6)
        await engine.apply([segment("keen", 'count("Product Viewed" where properties.price > 2) >= 3')])
        await days_go_by(engine, clock, 6)
        monkeypatch.undo()
    assert copies >= 2
    for number in range(1, copies + 1):
        folder = tmp_path / f"copy{number}"
        assert verify_file(folder / "bespeak.db", SqliteSettings()).sound
        async with running(on_disk(folder), clock) as engine:
            await is_live(engine, clock)
            await engine.retain()
            assert min(received(engine.store), default=clock.now()) >= clock.now() - 10 * DAY - HOUR
            await is_live(engine, clock)
