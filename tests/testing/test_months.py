"""Simulated months against the real engine: every promise, at random moments and at the end of each month."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bespeak.cli import main
from bespeak.engine import Engine
from bespeak.engine.archiving import Archiving, Rewritten
from bespeak.engine.dedupe import Dedupe
from bespeak.engine.feed import Feed
from bespeak.engine.live import LiveTable
from bespeak.engine.sequencer import Sequencer
from bespeak.engine.timers import Timers
from bespeak.engine.vault import Vault
from bespeak.stores import Commit
from bespeak.testing.world_fragile import FragileMemory
from bespeak.testing.world_months import Months
from bespeak.testing.world_run import archives
from bespeak.testing.world_traces import found_in

SEEDS, SEEDS_OF_ALL = 8, 200
ON_DISK = 4
"""Every fourth seed keeps its store in a file: backups are copied and restored there, and every byte is searched."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed_of_months" in metafunc.fixturenames:
        one, everything = metafunc.config.getoption("--seed"), metafunc.config.getoption("--all")
        seeds = range(SEEDS_OF_ALL if everything else SEEDS) if one is None else [one]
        metafunc.parametrize("seed_of_months", seeds, ids="seed {}".format)


@pytest.fixture(scope="module")
def tally(tell: Callable[..., None]) -> Iterator[Counter[str]]:
    total: Counter[str] = Counter()
    yield total
    if total["runs"]:
        told = {name: count for name, count in total.items() if name not in {"runs", "cpu"}}
        tell(
            "simulated months",
            f"{total['runs']} seeds, {total['cpu'] / 1000:.1f} s of CPU",
            *(f"  {name:<14}{count:>9,}" for name, count in told.items()),
        )


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="bespeak.engine")  # commits fail all the time here


@pytest.mark.world
def test_months_of_a_town_break_no_promise(seed_of_months: int, tmp_path: Path, tally: Counter[str]) -> None:
    began = time.process_time()
    folder = tmp_path if seed_of_months % ON_DISK == 0 else None
    counts = asyncio.run(Months(seed_of_months, folder).live())
    tally.update(msgspec.structs.asdict(counts), runs=1, cpu=round(1000 * (time.process_time() - began)))
    assert counts.checks >= 2
    assert counts.acknowledged > 50
    assert counts.archived >= 2 * archives(seed_of_months, folder), "at the end of each month"


def test_a_seed_is_the_same_run_every_time(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    one, two = (asyncio.run(Months(12, folder, months=1, people=6).live()) for folder in folders)
    assert one == two
    assert asyncio.run(Months(13, months=1, people=6).live()) != one


# A witness is worth as much as what it notices: each of these is a fault that was, or could have been, in the engine.


def forgets_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dedupe, "known", lambda self, digests, ever=False: set[bytes]())


def acknowledges_what_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, calls = FragileMemory.commit, Counter[str]()

    def commit(self: FragileMemory, one: Commit) -> None:
        calls["events"] += bool(one.rows) and one.checkpoint is None
        if calls["events"] != 60:
            kept(self, one)

    monkeypatch.setattr(FragileMemory, "commit", commit)


def looks_at_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Timers, "due", lambda self, now: iter(()))


def forgets_flips_beyond_the_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveTable, "awake", lambda self: ())


def counts_no_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sequencer, "_count", lambda self, changes: None)


def keeps_what_watchers_have_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Feed, "forget", lambda self, profiles: None)


def destroys_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    destroy = Vault.destroy

    def pretend(self: Vault, *arguments: Any) -> Any:
        _, documents = destroy(self, *arguments)
        return (), documents

    monkeypatch.setattr(Vault, "destroy", pretend)


FAULTS = (
    (forgets_messages, "expected duplicate, was told"),
    (acknowledges_what_is_not_kept, ""),
    (looks_at_no_timer, ""),
    (forgets_flips_beyond_the_hour, ""),
    (counts_no_size, "sizes"),
    (keeps_what_watchers_have_not_read, "the live feed"),
    (destroys_no_key, ""),
)


@pytest.mark.parametrize("fault, words", FAULTS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_fault_in_the_engine_is_noticed_and_its_seed_is_named(
    fault: Callable[[pytest.MonkeyPatch], None], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    noticed: list[AssertionError] = []
    for seed in range(20, 40):
        try:
            asyncio.run(Months(seed).live())
        except AssertionError as error:
            noticed.append(error)
            break
    assert noticed, "nobody noticed"
    assert f"see it again: ./test world --seed {seed}" in str(noticed[0])
    assert words in str(noticed[0])


def test_somebody_who_stays_in_a_file_of_the_archive_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def leave_them(_self: Archiving, _ids: object) -> Rewritten:
        return Rewritten()

    monkeypatch.setattr(Archiving, "archive_without", leave_them)
    noticed: list[str] = []
    for seed in (0, 8, 12, 20, 24, 32):
        try:
            asyncio.run(Months(seed, tmp_path / str(seed), months=1).live())
        except AssertionError as error:
            noticed.append(str(error))
            break
    assert noticed, "nobody noticed"
    assert "BrokenPromise: the archive: " in noticed[0]


# `bespeak erase` at the end of any month


def verb(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = main([*words, "--json"])
    said = capsys.readouterr().out
    return code, json.loads(said) if said else None


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "seed, months",
    [(2, 1), *(pytest.param(seed, 1 + seed % 4, marks=SLOW) for seed in (4, 10, 12, 16, 22, 24, 30, 32, 36, 40))],
)
def test_bespeak_erase_at_the_end_of_any_month_leaves_no_answer_and_replay_equals_live(
    seed: int, months: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Those erased in the simulation were so long ago: whichever verb runs for long enough would build the models anew.
    monkeypatch.setenv("BESPEAK__ENGINE__MODELS_REBUILD_HOURS", "0")
    run = Months(seed, tmp_path, months=months)
    asyncio.run(run.live())
    data = Path(run.settings.data_dir)
    engine = Engine.open(run.settings)
    users = sorted(profile.id for profile in engine.profiles() if profile.user_id is not None)
    others = {one.id: msgspec.to_builtins(one) for one in engine.profiles()}
    asyncio.run(engine.close())
    user = users[seed % len(users)]
    names = [user, *others.pop(user).get("aliases", [])]
    where = ("--data", str(data))

    code, receipt = verb(capsys, "erase", user, "--yes", *where)

    assert (code, receipt["identifiers"]) == (0, len(names))
    assert "until they are built anew" in receipt["stores"]["models"]
    for name in names:
        assert verb(capsys, "profile", name, *where)[0] == 1
    asked = tmp_path / "page.json"
    asked.write_text(json.dumps({"userId": user[2:], "slots": [{"id": "home"}]}))
    _, decision = verb(capsys, "decide", str(asked), *where)
    assert decision["personalized"] is False
    assert found_in(data, [name[2:] for name in names]) == []
    code, replayed = verb(capsys, "replay", *where)
    assert (code, replayed["equal"], replayed["erased"]) == (0, True, True)
    assert replayed["profiles"] == len(others)
