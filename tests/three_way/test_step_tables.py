"""Tables of steps, with what is expected written by hand: the live engine, plain counting and SQL all say the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bespeak.testing.steps import live_through, read_table

SLOW = {"computed_traits", "items", "refunds", "rfm", "scores"}
"""Tables that take seconds: each step asks SQL for all that is worked out anew."""
TABLES = [
    pytest.param(path, marks=pytest.mark.slow if path.stem in SLOW else (), id=path.stem)
    for path in sorted(Path(__file__).parent.glob("*.yaml"))
]


@pytest.mark.parametrize("path", TABLES)
def test_after_each_step_of_a_table_all_three_say_what_it_says(path: Path) -> None:
    asyncio.run(live_through(read_table(path)))
