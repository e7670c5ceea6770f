"""The archive and the tail are the log: every event once, after crashes, erasures, rotations and retention alike."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bespeak.analytics import ArchiveSettings, Damaged, open_file
from bespeak.analytics.parquet import memory_file
from bespeak.clock import DAY, HOUR, SECOND, ManualClock, format_time
from bespeak.decide import DecideRequest, SlotRequest
from bespeak.engine import (
    Engine,
    archive,
    archive_reading,
    archive_writing,
    ask_archive,
    export_archive,
    replay,
)
from bespeak.engine.archive import faults, folder_of, gaps_in, key_held, key_of, listed
from bespeak.engine.records import SealedRecord, decode
from bespeak.engine.vault import EVENT
from bespeak.errors import InvalidInput, StoreError
from bespeak.privacy import Key
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import Commit, MemorySettings, SqliteSnapshot, SqliteStore
from bespeak.testing.world import World
from bespeak.testing.world_faults import Delivery, Faults

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def on_disk(folder: Path, **more: Any) -> Settings:
    settings = ArchiveSettings(
        **{"minutes": 0, "rows": 100, "cpu_share": 1.0, "apart": False, "query_mib": 256, **more}
    )
    return Settings(data_dir=str(folder), archive=settings, engine=EngineSettings(models_seconds=3600))


@asynccontextmanager
async def running(settings: Settings, clock: ManualClock) -> AsyncIterator[Engine]:
    engine = Engine.open(settings, clock=clock, rng=Random(1))
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


async def send(engine: Engine, key: Key, *messages: dict[str, Any]) -> list[str]:
    body = json.dumps({"batch": list(messages)}).encode()
    return [result.status for result in await engine.track(engine.parse(body, key=key), key)]


def view(name: str, place: object, **more: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "Product Viewed",
        "anonymousId": f"device-of-{name}",
        "messageId": f"{name}-{place}",
        "properties": {"product_id": f"i{place}", "note": f"note of {name}", "price": 9.99},
        **more,
    }


async def come(engine: Engine, key: Key, names: Iterable[str], count: int, mark: str = "") -> None:
    """Let people look at things, and sign in in the middle of it."""
    for name in names:
        events = [view(name, f"{mark}{place}") for place in range(count)]
        half = count // 2
        signs_in = {"type": "identify", "userId": name, "traits": {"email": f"{name}@example.com"}}
        who = {"anonymousId": f"device-of-{name}", "messageId": f"{name}-{mark}id"}
        statuses = await send(engine, key, *events[:half], {**signs_in, **who}, *events[half:])
        assert set(statuses) == {"ok"}


def rows(settings: Settings) -> list[dict[str, Any]]:
    """Return everything that SQL sees."""
    wide = Settings(data_dir=settings.data_dir, archive=ArchiveSettings(query_mib=512, query_rows=1_000_000))
    _, answer = ask_archive(wide, "SELECT * FROM events ORDER BY log_offset")
    return [dict(zip(answer.columns, one, strict=True)) for one in answer.rows]


def in_log(engine: Engine) -> list[int]:
    """Return the offsets of the events in the log that open, read without the archive."""
    found = []
    for row in engine.store.read(0):
        for offset, record in decode(row, after=0):
            if isinstance(record, SealedRecord) and engine.vault.open(record.private, EVENT) is not None:
                found.append(offset)
    return found


def holds(engine: Engine) -> list[dict[str, Any]]:
    """Check the law, and return the rows: every event of the log is seen once, in files or behind them."""
    found = rows(engine.settings)
    assert [one["log_offset"] for one in found] == in_log(engine)
    files = listed(engine.store)
    folder = folder_of(engine.settings)
    assert folder is not None
    assert sorted(path.name for path in folder.glob("*")) == sorted(file.name for file in files)
    assert sum(file.rows for file in files) == sum(
        1 for one in found if any(file.first <= one["log_offset"] <= file.last for file in files)
    )
    assert faults(engine.store, folder, lambda _done, _total: None) == ()
    return found


def found_in(folder: Path, words: Iterable[str]) -> list[str]:
    files = [(file.name, file.read_bytes()) for file in sorted(folder.rglob("*")) if file.is_file()]
    forms = [(word, form) for word in words for form in (word.encode(), word.encode("utf-16-le"))]
    return [f"{name}: {word}" for name, data in files for word, form in forms if form in data]


def bytes_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.mark.parametrize("apart", [False, True], ids=["thread", "process"])
async def test_files_and_tail_are_the_log_at_every_moment(tmp_path: Path, apart: bool) -> None:
    settings, clock = on_disk(tmp_path, apart=apart), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await come(engine, key, ("ann", "bob"), 60)
        before = holds(engine)
        assert len(before) == 122
        assert (await engine.archive()).waiting < 122
        assert holds(engine) == before, "a row in a file is the row that the tail was"
        await come(engine, key, ("eve",), 75, "x")
        some = holds(engine)
        assert some[:122] == before
        clock.advance(DAY)
        done = await engine.archive()
        assert (done.waiting, done.upto) == (0, engine.store.last_offset())
        assert holds(engine) == some
        assert (await engine.archive()).made == ()
        files = listed(engine.store)
        assert gaps_in(files, 1, engine.store.last_offset()) is not None
        assert list(gaps_in(files, 1, engine.store.last_offset())) == []
        assert [file.last + 1 for file in files[:-1]] == [file.first for file in files[1:]]
    async with running(settings, clock) as engine:
        assert holds(engine) == some


async def test_what_was_sent_is_what_sql_sees(tmp_path: Path) -> None:
    """Against what the sender wrote, read by nothing of ours."""
    settings, clock = on_disk(tmp_path), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        sent: dict[str, dict[str, Any]] = {}
        for name in ("ann", "bob", "eve"):
            for place in range(50):
                message = view(name, place, context={"page": {"path": f"/{name}/{place}"}})
                sent[message["messageId"]] = message
                await send(engine, key, message)
        request = DecideRequest(anonymous_id="device-of-ann", slots=(SlotRequest(id="home", n=3),))
        made = engine.decide(request, key=key)
        await engine.archive()
        found = {one["message_id"]: one for one in holds(engine)}
        assert found.keys() == {*sent, made.decision_id}
        assert (found[made.decision_id]["decision_id"], found[made.decision_id]["slots"]) == (
            made.decision_id,
            ["home"],
        )
        for name, message in sent.items():
            one = found[name]
            assert one["anonymous_id"] == message["anonymousId"]
            assert one["person"] == f"a:{message['anonymousId']}"
            assert one["name"] == message["event"]
            assert one["items"] == [message["properties"]["product_id"]]
            assert str(one["price"]) == "9.9900"
            assert json.loads(one["properties"]) == message["properties"]
            assert one["path"] == message["context"]["page"]["path"]
            assert (one["source"], one["received"].timestamp()) == ("site", one["time"].timestamp())


async def test_whoever_signs_in_later_is_one_person_in_all_files(tmp_path: Path) -> None:
    settings, clock = on_disk(tmp_path), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await send(engine, key, *(view("ann", place) for place in range(120)))
        await engine.archive()
        who = {"anonymousId": "device-of-ann", "userId": "ann"}
        await send(engine, key, {"type": "identify", "messageId": "in", **who})
        assert {one["person"] for one in holds(engine)} == {"u:ann"}, "the checkpoint does not know it yet"
        await engine.checkpoint_now()
        secret, _ = await engine.create_key("secret", "own")
        await send(engine, secret, {"type": "identify", "messageId": "o", "userId": "old"})
        await send(engine, secret, {"type": "alias", "messageId": "al", "previousId": "ann", "userId": "old"})
        assert {one["person"] for one in holds(engine)} == {"u:old"}
        await engine.archive(everything=True)
        assert {one["person"] for one in holds(engine)} == {"u:old"}


async def test_a_file_ends_with_its_day_and_with_its_number_of_records(tmp_path: Path) -> None:
    settings, clock = on_disk(tmp_path), ManualClock(START // DAY * DAY + 23 * HOUR)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        for place in range(30):
            await send(engine, key, view("ann", place))
        assert (await engine.archive()).made == (), "nothing fills a file, and the day is not over"
        clock.advance(HOUR)
        for place in range(230):
            await send(engine, key, view("bob", place))
        await engine.archive()
        assert [file.rows for file in listed(engine.store)] == [30, 100, 100]
        done = await engine.archive(everything=True)
        assert (len(done.made), done.waiting) == (1, 0)
        holds(engine)


async def test_a_clock_that_was_set_back_makes_no_difference(tmp_path: Path) -> None:
    settings, clock = on_disk(tmp_path), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        for place in range(40):
            await send(engine, key, view("ann", place))
            clock.advance(-DAY if place % 7 == 3 else HOUR)
        await engine.archive(everything=True)
        assert len(holds(engine)) == 40


def dies(patch: pytest.MonkeyPatch, owner: Any, name: str, *, after: bool, copy: Callable[[], object]) -> None:
    """Let a call be the last thing that the process does: before anything of it, or when all of it is done."""
    real: Callable[..., Any] = getattr(owner, name)

    def last(*arguments: Any, **named: Any) -> Any:
        if after:
            real(*arguments, **named)
        copy()
        patch.setattr(owner, name, real)
        raise StoreError("killed here")

    patch.setattr(owner, name, last)


STEPS = [
    (archive_writing, "seal_file", False),
    (archive_writing, "seal_file", True),
    (SqliteStore, "commit", False),
    (SqliteStore, "commit", True),
]


@pytest.mark.parametrize("owner,name,after", STEPS, ids=lambda one: getattr(one, "__name__", str(one)))
@pytest.mark.parametrize("what", ["archiving", "erasing"])
async def test_whatever_step_a_process_dies_at_every_event_is_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, after: bool, what: str
) -> None:
    """The folder is copied as it stands at that step, which is what a killed process leaves behind; the one that lives
    on takes the step for a failed one."""
    settings, clock = on_disk(tmp_path / "live"), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await come(engine, key, ("ann", "zoe"), 60)
        await engine.archive(everything=what == "erasing")
        await come(engine, key, ("bob",), 120)
        await engine.checkpoint_now()
        before = holds(engine)
        with monkeypatch.context() as patch:
            dies(patch, owner, name, after=after, copy=lambda: shutil.copytree(tmp_path / "live", tmp_path / "copy"))
            work = engine.archive(everything=True) if what == "archiving" else engine.erase("zoe")
            with pytest.raises(StoreError):
                await work
        erased = what == "erasing" and after and name == "commit"
        left = [one for one in before if not erased or one["person"] != "u:zoe"]
        assert holds(engine) == left
        copy = on_disk(tmp_path / "copy")
        async with running(copy, clock) as again:
            assert holds(again) == left
            assert (again.profile("zoe") is None) == erased
            await again.archive(everything=True)
            assert holds(again) == left
            assert replay(copy, again.store, clock=clock).equal


async def test_a_disk_without_room_leaves_the_archive_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, clock = on_disk(tmp_path), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await come(engine, key, ("ann", "zoe", "bob"), 60)
        await engine.archive()
        before = holds(engine)
        with monkeypatch.context() as patch:
            patch.setattr("bespeak.analytics.sealed_file.os.fsync", full)
            with pytest.raises(StoreError, match="No space left"):
                await engine.archive(everything=True)
            with pytest.raises(StoreError, match="No space left"):
                await engine.erase("zoe")
        assert holds(engine) == before
        assert engine.profile("zoe") is not None
        await engine.archive(everything=True)
        assert holds(engine) == before


def full(_descriptor: int) -> None:
    raise OSError(28, "No space left on device")


ZOE = ("zoe@example.com", "device-of-zoe", "note of zoe", "zoe-1")


async def test_an_erased_person_is_in_no_file_and_everybody_else_is_as_before(tmp_path: Path) -> None:
    settings, clock = on_disk(tmp_path), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await come(engine, key, ("ann",), 100, "early")
        await engine.archive(everything=True)
        await come(engine, key, ("bob", "zoe", "eve"), 50)
        await engine.archive(everything=True)
        await come(engine, key, ("zoe", "ann"), 20, "again")
        before, old = holds(engine), listed(engine.store)
        held = {file.name: key_held(engine.store, engine.vault.masters, file.name) for file in old}
        copies = {file.name: (tmp_path / "archive" / file.name).read_bytes() for file in old}
        assert found_in(tmp_path, ZOE) == []
        receipt = await engine.erase("device-of-zoe")

        after = holds(engine)
        assert after == [one for one in before if one["user_id"] != "zoe" and one["person"] != "u:zoe"]
        assert len(after) < len(before) - 60
        assert found_in(tmp_path, ZOE) == []
        new = listed(engine.store)
        changed = [file for file in old if file not in new]
        assert changed, "some were written anew"
        assert old[0] in new, "a file in which she is not stays as it is"
        assert (tmp_path / "archive" / old[0].name).read_bytes() == copies[old[0].name]
        assert f"{len(changed)} files written anew" in receipt.stores["archive"]
        everything = bytes_of(tmp_path)
        for file in changed:
            wrapped = held[file.name]
            assert wrapped is not None
            assert wrapped.wrapped not in everything, "whoever finds the old blocks finds no key to them"
            assert not (tmp_path / "archive" / file.name).exists()
            (tmp_path / file.name).write_bytes(copies[file.name])
            with pytest.raises(Damaged, match="has no key"):
                key_of(engine.store, engine.vault.masters, file)
        assert replay(settings, engine.store, clock=clock).equal
        with pytest.raises(Exception, match="nobody is known"):
            await engine.erase("zoe")
        assert holds(engine) == after
        await engine.archive(everything=True)
        assert holds(engine) == after


async def test_all_devices_of_a_merged_person_go(tmp_path: Path) -> None:
    settings, clock = on_disk(tmp_path), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        for device in ("one", "two"):
            await send(engine, key, *(view(device, place) for place in range(60)))
        await send(engine, key, *(view("bob", place) for place in range(60)))
        await engine.archive(everything=True)
        for device in ("one", "two"):
            who = {"anonymousId": f"device-of-{device}", "userId": "zoe", "messageId": f"in-{device}"}
            await send(engine, key, {"type": "identify", **who})
        await engine.erase("zoe")
        assert {one["anonymous_id"] for one in holds(engine)} == {"device-of-bob"}


async def test_somebody_who_signs_in_while_being_erased_goes_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device whose events are archived joins the person while the files are being written anew without them."""
    settings, clock = on_disk(tmp_path), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await come(engine, key, ("zoe",), 60)
        await send(engine, key, *(view("late", place) for place in range(60)))
        await send(engine, key, *(view("bob", place) for place in range(60)))
        await engine.archive(everything=True)
        real, calls = engine.archive_without, 0

        async def joined_meanwhile(ids: Any) -> Any:
            nonlocal calls
            calls += 1
            done = await real(ids)
            if calls == 1:
                who = {"anonymousId": "device-of-late", "userId": "zoe", "messageId": "join"}
                assert await send(engine, key, {"type": "identify", **who}) == ["ok"]
            return done

        monkeypatch.setattr(engine, "archive_without", joined_meanwhile)
        await engine.erase("zoe")
        assert calls == 2
        assert {one["anonymous_id"] for one in holds(engine)} == {"device-of-bob"}


async def test_events_come_in_while_files_are_written_and_people_are_erased(tmp_path: Path) -> None:
    settings, clock = on_disk(tmp_path), ManualClock(START)
    names = [f"person{place}" for place in range(12)]
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await come(engine, key, names, 20)

        async def more() -> None:
            for place in range(30):
                await come(engine, key, (f"new{place}",), 6)

        async def erase() -> None:
            for name in names[:6]:
                await engine.erase(name)

        await asyncio.gather(more(), erase(), engine.archive(), engine.archive(everything=True))
        found = holds(engine)
        assert {one["user_id"] for one in found if one["type"] == "identify"} == {
            *names[6:],
            *(f"new{place}" for place in range(30)),
        }
        await engine.archive(everything=True)
        assert holds(engine) == found
        assert found_in(tmp_path, [f"{name}@example.com" for name in names]) == []


async def test_changing_the_master_key_leaves_the_files_as_they_are(tmp_path: Path) -> None:
    settings, clock = on_disk(tmp_path), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await come(engine, key, ("ann", "bob"), 120)
        await engine.archive()
        before, files = holds(engine), listed(engine.store)
        digests = {file.name: (tmp_path / "archive" / file.name).read_bytes() for file in files}
        for _ in range(2):
            await engine.rotate_master_key()
        assert {file.name: (tmp_path / "archive" / file.name).read_bytes() for file in files} == digests
        assert holds(engine) == before
        await engine.archive(everything=True)
        await engine.erase("bob")
        assert {one["person"] for one in holds(engine)} == {"u:ann"}


async def test_retention_drops_whole_files_for_good(tmp_path: Path) -> None:
    settings, clock = on_disk(tmp_path, keep_days=2), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        for day in range(5):
            await send(engine, key, *(view("ann", f"{day}-{place}") for place in range(30)))
            await engine.archive()
            clock.advance(DAY)
        dropped = (await engine.archive()).dropped
        files = listed(engine.store)
        kept = rows(settings)
        assert dropped
        assert {one["message_id"].split("-")[1] for one in kept} == {"3", "4"}
        assert min(file.first for file in files) == kept[0]["log_offset"]
        assert names_in(tmp_path / "archive") == [file.name for file in files]
        assert key_held(engine.store, engine.vault.masters, dropped[0]) is None
        assert (await engine.archive(everything=True)).made == (), "what was dropped is not made again"
        profile = engine.profile("device-of-ann")
        assert profile is not None
        assert profile["counts"] == {"Product Viewed": 150}
    async with running(settings, clock) as engine:
        assert rows(settings) == kept
        clock.advance(10 * DAY)
        await engine.archive()
        assert listed(engine.store) == ()
        assert rows(settings) == []


async def test_a_file_that_is_gone_or_cut_is_made_anew_and_one_that_is_changed_is_named(tmp_path: Path) -> None:
    settings, clock = on_disk(tmp_path), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await come(engine, key, ("ann", "bob", "eve"), 110)
        await engine.archive()
        before, files = holds(engine), listed(engine.store)
        folder = tmp_path / "archive"
        (folder / files[0].name).unlink()
        (folder / files[1].name).write_bytes(b"cut")
        changed = bytearray((folder / files[2].name).read_bytes())
        changed[-20] ^= 1
        (folder / files[2].name).write_bytes(changed)
        bad = faults(engine.store, folder, lambda _done, _total: None)
        assert [one.name for one in bad] == [file.name for file in files[:3]]
        with pytest.raises(Damaged):
            rows(settings)
        assert len((await engine.archive()).made) == 2
        with pytest.raises(Damaged, match=files[2].name):
            rows(settings)
        (folder / files[2].name).unlink()
        await engine.archive()
        assert holds(engine) == before


async def test_a_damaged_file_does_not_keep_anybody_from_being_erased(tmp_path: Path) -> None:
    settings, clock = on_disk(tmp_path), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await come(engine, key, ("ann", "zoe"), 60)
        await engine.archive(everything=True)
        (tmp_path / "archive" / listed(engine.store)[0].name).write_bytes(b"no file of ours")
        receipt = await engine.erase("zoe")
        assert "given up" in receipt.stores["archive"]
        found = holds(engine)
        assert {one["person"] for one in found} == {"u:ann"}
        await engine.archive(everything=True)
        assert holds(engine) == found


async def test_a_server_archives_by_itself(tmp_path: Path) -> None:
    settings, clock = on_disk(tmp_path, minutes=0.0005), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await come(engine, key, ("ann",), 150)
        while not listed(engine.store):  # noqa: ASYNC110  the archive tells nobody
            await asyncio.sleep(0.01)
        assert len(holds(engine)) == 151
        while engine.metrics.snapshot()["bespeak_archive_offset"] != 151:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert engine.metrics.snapshot()["bespeak_archive_failures_total"] == 0


async def test_an_archive_that_cannot_be_written_is_counted_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, clock = on_disk(tmp_path, minutes=0.0005), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        with monkeypatch.context() as patch:
            patch.setattr("bespeak.analytics.sealed_file.os.fsync", full)
            await come(engine, key, ("ann",), 150)
            while engine.metrics.snapshot()["bespeak_archive_failures_total"] < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert await send(engine, key, view("bob", 1)) == ["ok"], "nobody else is kept from anything"
        while not listed(engine.store):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert len(holds(engine)) == 152


async def test_a_server_that_stops_does_not_wait_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, clock = on_disk(tmp_path, cpu_share=0.01), ManualClock(START)
    monkeypatch.setattr(archive_writing, "SLICE_SECONDS", 0.0)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await come(engine, key, ("ann",), 99)
        run = asyncio.ensure_future(engine.archive())
        await asyncio.sleep(0.01)
    assert (await run).made in {(), (archive.name_of(1, 100, 1),)}
    async with running(settings, clock) as engine:
        assert len(holds(engine)) == 100


async def test_a_cut_that_is_taken_stays_as_it_is(tmp_path: Path) -> None:
    """The files are open and the log is read as it was, whatever is erased or archived meanwhile."""
    from bespeak.engine import cut_of

    settings, clock = on_disk(tmp_path), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await come(engine, key, ("ann", "zoe", "eve"), 60)
        await engine.archive()
        with cut_of(settings) as cut:
            await come(engine, key, ("bob",), 60)
            await engine.archive(everything=True)
            tail = list(cut.tail)
            assert tail[-1][0] == cut.offset == 183
            assert len(tail) + sum(file.rows for file in listed(engine.store) if file.last <= 183) == 183
        holds(engine)


async def test_a_question_that_an_erasure_overtakes_is_answered_without_the_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, clock = on_disk(tmp_path), ManualClock(START)
    listed_once, erased = threading.Event(), threading.Event()
    real = archive_reading.opened

    def overtaken(*arguments: Any) -> list[int]:
        listed_once.set()
        assert erased.wait(30)
        return real(*arguments)

    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await come(engine, key, ("ann", "zoe"), 60)
        await engine.archive(everything=True)
        monkeypatch.setattr(archive_reading, "opened", overtaken)
        asked = asyncio.create_task(asyncio.to_thread(ask_archive, settings, "SELECT DISTINCT person FROM events"))
        assert await asyncio.to_thread(listed_once.wait, 30)
        await engine.erase("zoe")
        erased.set()
        assert (await asked)[1].rows == (("u:ann",),)


async def test_only_files_with_events_of_the_time_asked_for_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, clock = on_disk(tmp_path), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        for day in range(3):
            await send(engine, key, *(view("ann", f"{day}-{place}") for place in range(10)))
            clock.advance(DAY)
        await engine.archive()
        opened: list[str] = []

        def watched(path: Path, key: Any, into: int) -> None:
            opened.append(path.name)
            open_file(path, key, into)

        monkeypatch.setattr(archive, "open_file", watched)
        _, answer = ask_archive(settings, "SELECT count(*) FROM events", since=START + DAY, until=START + DAY + HOUR)
        assert answer.rows == ((10,),)
        assert len(opened) == 1


async def test_an_export_is_one_plain_file_for_other_tools(tmp_path: Path) -> None:
    import duckdb

    settings, clock = on_disk(tmp_path / "data"), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        for day in range(3):
            await send(engine, key, *(view("ann", f"{day}-{place}") for place in range(60)))
            clock.advance(DAY)
        await engine.archive()
        path = tmp_path / "all.parquet"
        assert export_archive(settings, path) == 180
        assert path.stat().st_mode & 0o777 == 0o600
        with closing(duckdb.connect(":memory:")) as other:
            count = "SELECT count(*), count(DISTINCT message_id) FROM read_parquet(?)"
            assert other.execute(count, [str(path)]).fetchone() == (180, 180)
        part = tmp_path / "part.parquet"
        assert export_archive(settings, part, since=START + DAY, until=START + 2 * DAY) == 60
        assert names_in(tmp_path) == ["all.parquet", "data", "part.parquet"]


async def test_a_store_in_ram_has_no_archive() -> None:
    settings = Settings(store=MemorySettings())
    async with running(settings, ManualClock(START)) as engine:
        with pytest.raises(InvalidInput, match="nothing on disk"):
            await engine.archive()
        key, _ = await engine.create_key("write", "site")
        await send(engine, key, view("ann", 1))
        assert (await engine.erase("device-of-ann")).stores["archive"] == "in none of its files"
    with pytest.raises(InvalidInput, match="there is no archive"):
        ask_archive(settings, "SELECT 1")


async def test_an_event_that_came_late_is_found_by_its_time(tmp_path: Path) -> None:
    settings, clock = on_disk(tmp_path), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        late = {"timestamp": format_time(START - 90 * DAY), "sentAt": format_time(START)}
        await send(engine, key, view("ann", 1, **late), view("ann", 2))
        await engine.archive(everything=True)
        _, answer = ask_archive(settings, "SELECT count(*) FROM events", until=START - 80 * DAY)
        assert answer.rows == ((2,),), "its file holds both; SQL says the time, too"
        assert ask_archive(settings, "SELECT count(*) FROM events", until=START - 91 * DAY)[1].rows == ((0,),)


def test_the_parts_that_no_file_holds() -> None:
    class File:
        def __init__(self, first: int, last: int) -> None:
            self.first, self.last = first, last

    files: Any = (File(5, 9), File(10, 12), File(20, 21))
    assert list(gaps_in(files, 1, 30)) == [(1, 4), (13, 19), (22, 30)]
    assert list(gaps_in(files, 5, 21)) == [(13, 19)]


def test_a_snapshot_without_archive_lists_nothing(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "bespeak.db")) as store:
        store.commit(Commit())
        with closing(SqliteSnapshot(tmp_path / "bespeak.db")) as snapshot:
            assert listed(snapshot) == ()


async def test_content_of_a_file_opens_in_its_own_name_only(tmp_path: Path) -> None:
    settings, clock = on_disk(tmp_path), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await come(engine, key, ("ann", "bob"), 110)
        await engine.archive(everything=True)
        first, second = listed(engine.store)[:2]
        folder = tmp_path / "archive"
        one, other = (folder / first.name).read_bytes(), (folder / second.name).read_bytes()
        (folder / first.name).write_bytes(other)
        (folder / second.name).write_bytes(one)
        with memory_file("test") as into, pytest.raises(Damaged):
            open_file(folder / first.name, key_of(engine.store, engine.vault.masters, first), into)


SEEDS = [1, 2, 3, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 40))]


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_town_that_is_archived_erased_rotated_killed_and_damaged_is_the_log(tmp_path: Path, seed: int) -> None:
    """Whatever is done to it in whatever order: every event once, nothing of whom is erased, and replay equals live."""
    rng, world = Random(seed), World(seed, people=25, items=30)
    faults = Faults(doubled=0.1, late=0.2, malformed=0.05)
    clock, folder, erased = ManualClock(world.opened), tmp_path / "0", list[str]()
    settings = on_disk(folder, keep_days=0)
    days = list(by_day(world.deliveries(world.opened, days=6, faults=faults), world.opened))
    engine = Engine.open(settings, clock=clock, rng=Random(1))
    await engine.start()
    key, _ = await engine.create_key("secret", "town")
    for place, day in enumerate(days):
        for delivery in day:
            clock.advance(max(0, delivery.at - clock.now()))
            await engine.track(engine.parse(json.dumps({"batch": [delivery.message]}).encode(), key=key), key)
        match rng.choice(["archive", "all of it", "erase", "erase", "rotate", "restart", "kill", "lose a file"]):
            case "archive":
                await engine.archive()
            case "all of it":
                await engine.archive(everything=True)
            case "erase":
                known = sorted(profile.id for profile in engine.profiles())
                if known:
                    erased += [gone := rng.choice(known)]
                    await engine.erase(gone)
            case "rotate":
                await engine.rotate_master_key()
            case "restart":
                await engine.close()
                engine = Engine.open(settings, clock=clock, rng=Random(1))
                await engine.start()
            case "kill":
                await engine.archive()
                settings = on_disk(tmp_path / str(place + 1))
                shutil.copytree(folder, tmp_path / str(place + 1))
                await engine.close()
                folder = tmp_path / str(place + 1)
                engine = Engine.open(settings, clock=clock, rng=Random(1))
                await engine.start()
            case _:
                for file in listed(engine.store)[:1]:
                    (folder / "archive" / file.name).unlink()
                await engine.archive(everything=True)
        holds(engine)
    await engine.archive(everything=True)
    holds(engine)
    assert found_in(folder, [name[2:] for name in erased]) == []
    await engine.checkpoint_now()
    assert replay(settings, engine.store, clock=clock).equal
    await engine.close()


def by_day(deliveries: Iterable[Delivery], start: int) -> Iterator[list[Delivery]]:
    for _, group in itertools.groupby(deliveries, key=lambda one: (one.at - start) // DAY):
        yield list(group)


async def test_who_becomes_somebody_while_a_file_is_written_is_known_by_that_name_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that writes has looked up a device; before it goes on, the device turns out to be somebody's."""
    settings, clock = on_disk(tmp_path), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("secret", "site")
        await send(engine, key, view("ada", 1))
    async with running(settings, clock) as engine:  # nothing is remembered of the device
        asked, go_on, alias = asyncio.Event(), threading.Event(), engine.store.alias
        loop, ours = asyncio.get_running_loop(), threading.current_thread()

        def slow(name: str) -> str | None:
            found = alias(name)
            if threading.current_thread() is not ours:
                loop.call_soon_threadsafe(asked.set)
                go_on.wait(60)
            return found

        monkeypatch.setattr(engine.store, "alias", slow)
        archived = asyncio.create_task(engine.archive(everything=True))
        await asked.wait()
        await send(engine, key, {"type": "identify", "userId": "ada", **device("ada"), "messageId": "in"})
        go_on.set()
        await archived
        assert engine.sequencer.aliases.get("a:device-of-ada") == "u:ada"
        await send(engine, key, view("ada", 2))
        assert [profile.id for profile in engine.profiles()] == ["u:ada"]
        assert [one["person"] for one in holds(engine)] == ["u:ada"] * 3


def device(name: str) -> dict[str, str]:
    return {"anonymousId": f"device-of-{name}"}
