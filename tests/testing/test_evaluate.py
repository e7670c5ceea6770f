"""Decisions find what people like: at least twice as well as popularity does, on tastes that the engine never reads."""

from __future__ import annotations

import pytest

from bespeak.errors import InvalidInput
from bespeak.testing import evaluate

pytestmark = pytest.mark.anyio


async def test_decisions_are_twice_as_good_as_popularity() -> None:
    lines: list[str] = []
    answer = await evaluate.run(seed=0, out=lines.append)
    assert (answer["people"], answer["items"]) == (2_000, 500)
    assert answer["ratio"] >= 2.0
    gap = answer["decisions"]["mean"] - answer["popularity"]["mean"]
    assert gap > 10 * (answer["decisions"]["se"] + answer["popularity"]["se"])
    assert any("decisions" in line for line in lines)


async def test_a_seed_gives_the_same_figures_again() -> None:
    one, other = [await evaluate.run(seed=3, people=40, items=60, days=5) for _ in range(2)]
    assert one == other


async def test_without_history_there_is_nothing_to_be_better_by() -> None:
    with pytest.raises(InvalidInput, match="days > 0"):
        await evaluate.run(days=0)
