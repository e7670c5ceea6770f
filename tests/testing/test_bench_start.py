"""A start with many profiles is measured on a store that truly holds them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bespeak.engine import Engine
from bespeak.settings import Settings
from bespeak.testing import bench
from bespeak.testing.bench_start import start_cost


@pytest.mark.server
def test_a_start_is_measured_with_as_many_profiles_as_asked_for(tmp_path: Path) -> None:
    body = b'{"batch":[{"type":"track","event":"Product Viewed","anonymousId":"a","properties":{"price":30}}]}'
    took, least = start_cost(tmp_path, bench.definitions(shortest="days"), [body], 300)
    assert min(took.seconds, least.seconds, took.memory_mib, least.memory_mib) > 0
    people = asyncio.run(known(tmp_path / "full"))
    assert people == {"segment-0": 301, "profiles": 302}


async def known(folder: Path) -> dict[str, int]:
    engine = Engine.open(Settings(data_dir=str(folder)))
    await engine.start()
    profile = engine.profile("visitor-0000012b")
    assert profile is not None
    assert profile["id"] == "u:user-0000012b"
    members = sum("segment-0" in one.segments for one in engine.sequencer.live.all())
    found = {"segment-0": members, "profiles": engine.sequencer.profiles}
    await engine.close()
    return found
