"""Files of the archive written by a process of its own: what comes of it, and when it fails, is killed or given up."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bespeak.analytics import ArchiveSettings
from bespeak.clock import SECOND, ManualClock
from bespeak.engine import Engine, archive_apart, archiving, ask_archive
from bespeak.engine.archive import folder_of, listed
from bespeak.engine.archive_apart import WORKER, Job, failed, receive, send
from bespeak.errors import CorruptLog, StoreError
from bespeak.privacy.envelope import SealBroken
from bespeak.privacy.masters import encode_masters
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import MemorySettings

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
EVENTS = 3_000
"""At a hundredth of a core the process has many seconds of work with them."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def always_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process find out itself what is due, however little it is."""
    monkeypatch.setattr(archiving, "FEW", 0)


@asynccontextmanager
async def filled(folder: Path, *, share: float = 1.0, events: int = 200) -> AsyncIterator[Engine]:
    """Give an engine whose log holds so many events, half of them Zoe's."""
    archive = ArchiveSettings(minutes=0, rows=100_000, cpu_share=share, query_mib=256)
    settings = Settings(data_dir=str(folder), archive=archive, engine=EngineSettings(models_seconds=3600))
    engine = Engine.open(settings, clock=ManualClock(START), rng=Random(1))
    await engine.start()
    try:
        key, _ = await engine.create_key("write", f"site of {events}")
        for first in range(0, events, 500):
            batch = [view(place) for place in range(first, min(first + 500, events))]
            await engine.track(engine.parse(json.dumps({"batch": batch}).encode(), key=key), key)
        yield engine
    finally:
        await engine.close()


def view(place: int) -> dict[str, Any]:
    who = "zoe" if place % 2 else "ann"
    properties = {"product_id": f"i{place}", "note": f"note of {who}"}
    return {
        "type": "track", "event": "Product Viewed", "anonymousId": who, "messageId": f"m{place}",
        "properties": properties,
    }  # fmt: skip


def counts(engine: Engine) -> dict[str, int]:
    _, answer = ask_archive(engine.settings, "SELECT person, count(*) FROM events GROUP BY person ORDER BY person")
    return dict(answer.rows)


def on_disk(engine: Engine) -> list[str]:
    folder = folder_of(engine.settings)
    assert folder is not None
    return sorted(path.name for path in folder.glob("*"))


async def started(engine: Engine) -> int:
    """Wait until the process is there, and return its number."""
    while (apart := engine._archive_apart) is None or apart.pid is None:  # noqa: ASYNC110  it tells nobody
        await asyncio.sleep(0.01)
    return apart.pid


async def at_work(pid: int) -> int:
    """Wait until a process has opened the store, and return its number."""
    while not any(path.name == "bespeak.db" for path in opened(pid)):  # noqa: ASYNC110  it tells nobody
        await asyncio.sleep(0.01)
    return pid


def opened(pid: int) -> list[Path]:
    found: list[Path] = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            found.append(each.readlink())
    return found


def having(folder: Path, text: str) -> list[str]:
    """Return the files that hold a text, read by another process: our locks on the store would go with its file."""
    found = subprocess.run(["grep", "-rlaF", "--", text, str(folder)], capture_output=True, text=True, check=False)
    return found.stdout.splitlines()


def alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def test_a_killed_process_is_an_error_and_the_next_run_goes_on(tmp_path: Path) -> None:
    async with filled(tmp_path, share=0.01, events=EVENTS) as engine:
        run = asyncio.ensure_future(engine.archive(everything=True))
        os.kill(await at_work(await started(engine)), signal.SIGKILL)
        with pytest.raises(StoreError, match=r"ended before it answered \(signal 9, SIGKILL\)"):
            await run
        assert (listed(engine.store), on_disk(engine)) == ((), [])
        assert counts(engine) == {"a:ann": EVENTS // 2, "a:zoe": EVENTS // 2}
    async with filled(tmp_path, events=0) as engine:
        assert (await engine.archive(everything=True)).rows == EVENTS
        assert on_disk(engine) == [file.name for file in listed(engine.store)]
        assert counts(engine) == {"a:ann": EVENTS // 2, "a:zoe": EVENTS // 2}


async def test_a_server_that_stops_ends_the_process_and_leaves_nothing_of_its_file(tmp_path: Path) -> None:
    async with filled(tmp_path, share=0.01, events=EVENTS) as engine:
        run = asyncio.ensure_future(engine.archive(everything=True))
        pid = await at_work(await started(engine))
    assert (await run).made == ()
    assert not alive(pid)
    assert on_disk(engine) == []


async def test_whoever_waits_no_longer_ends_the_process(tmp_path: Path) -> None:
    async with filled(tmp_path, share=0.01, events=EVENTS) as engine:
        run = asyncio.ensure_future(engine.archive(everything=True))
        pid = await at_work(await started(engine))
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert not alive(pid)
        async with engine.archive_lock():
            assert (listed(engine.store), on_disk(engine)) == ((), [])


async def test_the_process_ends_with_the_run_and_is_none_where_nothing_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with filled(tmp_path) as engine:
        started: list[subprocess.Popen[bytes]] = []
        real = archive_apart._start

        def counted() -> subprocess.Popen[bytes]:
            started.append(real())
            return started[-1]

        monkeypatch.setattr(archive_apart, "_start", counted)
        first, second = await asyncio.gather(engine.archive(everything=True), engine.archive(everything=True))
        assert (first.rows, second.rows) == (200, 0)
        await engine.archive(everything=True)
        assert [process.returncode for process in started] == [-signal.SIGKILL]


async def test_an_erasure_waits_for_the_process_and_takes_the_person_out_of_its_file(tmp_path: Path) -> None:
    async with filled(tmp_path, share=0.3, events=EVENTS) as engine:
        run = asyncio.ensure_future(engine.archive(everything=True))
        await started(engine)
        receipt = await engine.erase("zoe")
        assert "1 files written anew without them" in receipt.stores["archive"]
        assert (await run).rows == EVENTS
        assert counts(engine) == {"a:ann": EVENTS // 2}
        assert on_disk(engine) == [file.name for file in listed(engine.store)]


async def test_damage_in_the_log_is_told_as_it_is(tmp_path: Path) -> None:
    async with filled(tmp_path) as engine:
        await engine.checkpoint_now()
        with closing(sqlite3.connect(tmp_path / "bespeak.db")) as other, other:
            other.execute("UPDATE log SET payload = zeroblob(length(payload)) WHERE first = 1")
        with pytest.raises(CorruptLog, match="from offset 1 to 200 has CRC"):
            await engine.archive(everything=True)
        assert (listed(engine.store), on_disk(engine)) == ((), [])


async def test_a_key_that_does_not_open_is_told_as_it_is(tmp_path: Path) -> None:
    async with filled(tmp_path) as engine:
        await engine.checkpoint_now()
        with closing(sqlite3.connect(tmp_path / "bespeak.db")) as other, other:
            other.execute("UPDATE keys SET wrapped = CAST(substr(wrapped, 1, 63) || x'00' AS BLOB)")
        with pytest.raises(SealBroken, match="does not open"):
            await engine.archive(everything=True)
        assert (listed(engine.store), on_disk(engine)) == ((), [])


async def test_what_nobody_thought_of_is_told_with_its_place(tmp_path: Path) -> None:
    async with filled(tmp_path) as engine:
        (tmp_path / "archive").write_bytes(b"in the way")
        with pytest.raises(StoreError, match=r"process failed: FileExistsError \(text withheld\), at .*\.py:\d+$"):
            await engine.archive(everything=True)
        (tmp_path / "archive").unlink()
        assert (await engine.archive(everything=True)).rows == 200


def test_what_nobody_thought_of_may_quote_somebody_and_is_told_without_its_words() -> None:
    with pytest.raises(ValueError, match="ada") as raised:
        raise ValueError("ada@example.com is no number")
    found = failed(raised.value)
    assert found.code == ""
    assert re.fullmatch(r"ValueError \(text withheld\), at .*test_archive_apart\.py:\d+", found.message)


def test_our_own_errors_are_told_in_their_words() -> None:
    found = failed(StoreError("cannot write /there: No space left on device"))
    assert (found.code, found.message) == ("store_failed", "cannot write /there: No space left on device")


def test_a_process_that_crashes_leaves_no_core() -> None:
    with archive_apart._start() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        settings = Settings(store=MemorySettings())
        send(process.stdin, Job(settings=settings, masters=b"", now=START, everything=True))
        assert b"nothing on disk to archive" in (receive(process.stdout) or b"")
        assert resource.prlimit(process.pid, resource.RLIMIT_CORE) == (0, 0)


@pytest.fixture
def small_archive(tmp_path: Path) -> Iterator[Path]:
    """A file system of one page, where the archive's files go."""
    place = tmp_path / "archive"
    place.mkdir(mode=0o700)
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    done = mount("size=4k", place)
    if done.returncode != 0:
        pytest.skip(f"this machine lets nobody mount a tmpfs: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def mount(options: str, place: Path) -> subprocess.CompletedProcess[bytes]:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    return subprocess.run(command, capture_output=True, check=False)


async def test_a_disk_without_room_for_the_file_is_told_and_tried_again(tmp_path: Path, small_archive: Path) -> None:
    async with filled(tmp_path) as engine:
        with pytest.raises(StoreError, match="No space left"):
            await engine.archive(everything=True)
        assert (listed(engine.store), on_disk(engine)) == ((), [])
        assert mount("remount,size=4m", small_archive).returncode == 0
        assert (await engine.archive(everything=True)).rows == 200


async def test_a_python_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with filled(tmp_path) as engine:
        monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
        with pytest.raises(StoreError, match="cannot start the process that writes the archive: No such file"):
            await engine.archive(everything=True)


async def test_master_keys_are_in_the_pipe_and_nowhere_else(tmp_path: Path) -> None:
    async with filled(tmp_path, share=0.01, events=EVENTS) as engine:
        run = asyncio.ensure_future(engine.archive(everything=True))
        process = Path(f"/proc/{await at_work(await started(engine))}")
        told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        masters = engine.vault.masters
        assert WORKER.encode() in told
        assert b"PYTHONPATH=" in told
        for secret in (masters.index, *masters.secrets.values()):
            assert secret.encode() not in told
            assert having(tmp_path, secret) == [str(tmp_path / "master.key")]
        assert masters.index not in repr(
            Job(settings=engine.settings, masters=encode_masters(masters), now=0, everything=True)
        )
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


async def test_the_process_yields_to_the_server_where_that_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with filled(tmp_path, share=0.01, events=EVENTS) as engine:
        run = asyncio.ensure_future(engine.archive(everything=True))
        pid = await at_work(await started(engine))
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, own + archive_apart.NICE)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)

        def refused(*_: int) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "setpriority", refused)
        run = asyncio.ensure_future(engine.archive(everything=True))
        assert os.getpriority(os.PRIO_PROCESS, await at_work(await started(engine))) == own


async def test_the_process_goes_with_whoever_started_it_in_the_middle_of_a_file(tmp_path: Path) -> None:
    async with filled(tmp_path, share=0.01, events=EVENTS) as engine:
        await engine.checkpoint_now()
        with archive_apart._start() as process:
            assert process.stdin is not None
            masters = encode_masters(engine.vault.masters)
            send(process.stdin, Job(settings=engine.settings, masters=masters, now=START, everything=True))
            await at_work(process.pid)
            process.stdin.close()
            assert process.stdout is not None
            assert receive(process.stdout) is None
            assert process.wait() == 0
        assert on_disk(engine) == []
