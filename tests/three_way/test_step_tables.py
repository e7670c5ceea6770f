"""Tables of steps, with what is expected written by hand: the live engine, plain counting and SQL all say the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bespeak.testing.steps import live_through, read_table

SLOW = {"computed_traits", "items", "refunds", "rfm", "scores"}
"""Tables that take seconds: each step asks SQL for all that is worked out anew."""
FILES = sorted(Path(__file__).parent.glob("*.yaml"))
TABLES = [pytest.param(path, marks=pytest.mark.slow if path.stem in SLOW else (), id=path.stem) for path in FILES]
STEPS = 150
"""How many steps all tables have together at least: with fewer, tables have gone, or are not read."""


@pytest.mark.parametrize("path", TABLES)
def test_after_each_step_of_a_table_all_three_say_what_it_says(path: Path) -> None:
    asyncio.run(live_through(read_table(path)))


def test_the_tables_have_enough_steps_and_each_moves_somebody() -> None:
    tables = {path.stem: read_table(path).steps for path in FILES}
    assert sum(map(len, tables.values())) >= STEPS
    assert [name for name, steps in tables.items() if not any(step.enters or step.leaves for step in steps)] == []
    assert tables.keys() >= SLOW, "what is called slow is there"
