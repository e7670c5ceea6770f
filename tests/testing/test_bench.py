"""The benchmarks run, and print what they promise: a figure, its unit, its floor and the ratio of the two."""

from __future__ import annotations

import pytest

from bespeak.errors import InvalidInput
from bespeak.testing import bench


@pytest.mark.parametrize("name", [name for name in bench.BENCHMARKS if name != "ingest"])
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


def test_the_steps_of_an_event_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "EVENTS", 400)
    costs = bench.fold_steps("fold-days")
    assert set(costs) == {"fold", "flips", "learn", "classify", "rest"}
    assert costs["fold"] > 0
    assert costs["classify"] > 0
    with pytest.raises(InvalidInput, match="fold-town, got 'decide'"):
        bench.fold_steps("decide")
