"""The benchmarks run, and print what they promise: a figure, its unit, its floor and the ratio of the two."""

from __future__ import annotations

import pytest

from bespeak.errors import InvalidInput
from bespeak.testing import bench


@pytest.mark.parametrize("name", [name for name in bench.BENCHMARKS if name not in {"ingest", *bench.LONG}])
def test_a_benchmark_measures_its_path_beside_its_floor(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "EVENTS", 400)
    monkeypatch.setattr(bench, "CATALOG", 500)
    (result,) = bench.run([name])
    assert set(result) == {"name", "value", "unit", "floor", "ratio"}
    assert result["name"] == name
    assert result["value"] > 0
    assert result["floor"] > 0
    assert result["ratio"] > 0


def test_an_unknown_benchmark_names_those_there_are() -> None:
    with pytest.raises(InvalidInput, match="ingest, fold"):
        bench.run(["fast"])


@pytest.mark.slow
def test_the_parts_of_an_events_way_add_up_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "EVENTS", 1_000)
    parts = {part.name: part.us for part in bench.ingest_parts()}
    whole = parts.pop("whole")
    assert list(parts) == [
        "http", "decode", "dedupe", "whose", "seal", "encode", "fold", "write", "checkpoint", "rest",
    ]  # fmt: skip
    assert whole == pytest.approx(sum(parts.values()), abs=0.1)
    assert {name for name in ("http", "decode", "seal", "fold", "write") if parts[name] <= 0} == set()


def test_the_steps_of_an_event_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "EVENTS", 400)
    costs = bench.fold_steps("fold-days")
    assert set(costs) == {"fold", "flips", "learn", "classify", "rest"}
    assert costs["fold"] > 0
    assert costs["classify"] > 0
    with pytest.raises(InvalidInput, match="fold-town, got 'decide'"):
        bench.fold_steps("decide")
