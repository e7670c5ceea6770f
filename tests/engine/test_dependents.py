"""Nothing is taken out of force while something else asks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from bespeak.clock import SECOND, ManualClock
from bespeak.engine import Definition, Engine
from bespeak.errors import Conflict, DefinitionError
from bespeak.settings import Settings
from bespeak.stores import MemorySettings

pytestmark = pytest.mark.anyio

FANS = Definition(kind="segments", id="fans", body={"id": "fans", "condition": 'count("View") >= 2'})
KEEN = Definition(kind="segments", id="keen", body={"id": "keen", "condition": 'in_segment("fans") and known = true'})
RULE = Definition(
    kind="rules",
    id="first",
    body={"id": "first", "kind": "boost", "add": 2, "when": 'in_segment("fans")', "items": "item.price > 5"},
)


@asynccontextmanager
async def running() -> AsyncIterator[Engine]:
    engine = Engine.open(Settings(store=MemorySettings()), clock=ManualClock(1_780_000_000 * SECOND), rng=Random(1))
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


async def test_a_segment_that_others_ask_for_is_not_deleted_and_they_are_named() -> None:
    async with running() as engine:
        await engine.apply([FANS, KEEN, RULE])
        with pytest.raises(Conflict, match=r"segments/fans is asked for by rules/first, segments/keen"):
            await engine.delete("segments", "fans")
        await engine.delete("rules", "first")
        await engine.delete("segments", "keen")
        assert (await engine.delete("segments", "fans")).change == "deleted"


async def test_a_segment_cannot_ask_for_one_that_is_not_there() -> None:
    async with running() as engine:
        with pytest.raises(DefinitionError, match="there is no segment 'fans'"):
            await engine.apply([KEEN])
        assert engine.definitions("segments") == ()


async def test_two_definitions_of_one_id_are_refused_together() -> None:
    async with running() as engine:
        other = Definition(kind="segments", id="fans", body={"id": "fans", "condition": "true"})
        with pytest.raises(DefinitionError, match="segments/fans stands twice"):
            await engine.apply([FANS, KEEN, other])
        assert engine.definitions("segments") == ()
