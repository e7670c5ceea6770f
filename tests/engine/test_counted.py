"""Histories beyond the bound go to a file that has no name, sealed, and come back as they were."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from bespeak.conditions.counting.states import Count, Last, Sum, Times
from bespeak.engine import counted as module
from bespeak.engine.counted import Counted, History
from bespeak.errors import StoreError

PEOPLE = 50


@pytest.fixture(autouse=True)
def _few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PUT_ASIDE_AT_ONCE", 3)


def filled(folder: Path | None, *, bound: int = 5) -> Counted:
    counted = Counted(folder, bound=bound)
    for place in range(PEOPLE):
        states = {"count": Count(place), "times": Times(9, [place, place + 1])}
        counted.put(f"u:secret-{place}", History(states))
    return counted


@pytest.mark.parametrize("on_disk", [True, False])
def test_everybody_comes_back_as_they_were_and_few_are_in_ram(tmp_path: Path, on_disk: bool) -> None:
    counted = filled(tmp_path if on_disk else None)
    assert len(counted._here) <= 5 + 3
    for place in range(PEOPLE):
        held = counted.get(f"u:secret-{place}")
        assert held is not None
        held.states["sum"] = Sum(place, 2)
    for place in range(PEOPLE):
        held = counted.take(f"u:secret-{place}")
        assert held is not None
        assert held.states == {"count": Count(place), "times": Times(9, [place, place + 1]), "sum": Sum(place, 2)}
    assert counted.take("u:somebody") is None
    counted.close()
    counted.close()


def test_whoever_is_dropped_is_gone_and_may_come_again(tmp_path: Path) -> None:
    counted = filled(tmp_path)
    for place in (0, PEOPLE - 1):  # one is on disk, the other in RAM
        counted.drop(f"u:secret-{place}")
        assert counted.get(f"u:secret-{place}") is None
        counted.put(f"u:secret-{place}", History(newest=7))
    filled_up = [counted.put(f"u:{place}", History()) for place in range(9)]
    assert len(filled_up) == 9
    for place in (0, PEOPLE - 1):
        assert counted.take(f"u:secret-{place}") == History(newest=7)
    counted.close()


def test_where_the_disk_fails_nothing_that_is_in_ram_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = filled(tmp_path)
    counted.put("u:ada", History())  # that makes room
    monkeypatch.setattr(counted, "_file", sqlite3.connect(":memory:"))
    here = list(counted._here)
    for place in range(5 + 3 - len(here)):
        here.append(f"u:{place}")
        counted.put(here[-1], History())
    for _ in range(2):
        with pytest.raises(StoreError):
            counted.put("u:one too many", History())
    assert all(name in counted._here for name in here)


def test_the_file_has_no_name_and_holds_nothing_in_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "kept"
    unlink = Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda path: (kept.hardlink_to(path), unlink(path)))
    counted = filled(tmp_path)
    counted.put("u:ada", History({"last": Last(0, [(1, "m", "zuckerhut")])}))
    for place in range(PEOPLE):
        counted.get(f"u:secret-{place}")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    data = kept.read_bytes()
    assert len(data) > 4_096
    assert b"secret" not in data
    assert b"zuckerhut" not in data
    counted.close()


def test_a_disk_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="could not be put aside"):
        filled(tmp_path / "nowhere")
    counted = filled(tmp_path)
    assert counted._file is not None
    monkeypatch.setattr(counted, "_file", sqlite3.connect(":memory:"))
    with pytest.raises(StoreError, match="could not be read"):
        counted.take("u:secret-0")
