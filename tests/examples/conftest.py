"""The examples, run: published data imported, segments in force, and members read off the live profiles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from zlib import crc32

import msgspec
import pytest

from bespeak.clock import ManualClock, parse_time
from bespeak.engine import definitions_in
from bespeak.settings import load_settings
from bespeak.sources import import_files, load_map
from bespeak.stores import MemorySettings
from bespeak.testing.data import VARIABLE, data_dir
from bespeak.testing.world_fragile import FragileMemory, MortalEngine

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

Members = dict[str, set[str]]
"""The ids of the members of each segment."""
Expected = Callable[[Path, str], Mapping[str, set[str]]]
"""From the folder of the files, and a moment, what a second library makes of the sentences."""
Stage = tuple[Path, str]
"""A folder of files, and the moment at which they are all that happened."""


class Agreement:
    """Holds the live members of an example against those of a second library."""

    def __init__(
        self,
        site: str,
        expected: Expected,
        *,
        drawn: Sequence[str] = (),
        doubtful: Callable[[Path, str], set[str]] = lambda _folder, _moment: set(),
    ) -> None:
        """Take the moments at which borders are drawn, and who is left out, since a border is not exact."""
        self.site = site
        self.expected = expected
        self.drawn = drawn
        self.doubtful = doubtful

    def check(self, stages: Sequence[Stage], *, late: bool = False) -> list[Members]:
        """Compare member by member at each stage.

        Parameters
        ----------
        stages
            Moments, and what is imported by then; a folder that stays is not imported again.
        late
            Whether the segments are defined when history is there already.
        """
        found = asyncio.run(self._live(stages, late=late))
        for (folder, moment), members in zip(stages, found, strict=True):
            expected, doubtful = self.expected(folder, moment), self.doubtful(folder, moment)
            assert members.keys() == expected.keys()
            wrong = {
                name: {"only live": sorted(members[name] - them)[:5], "only expected": sorted(them - members[name])[:5]}
                for name, them in expected.items()
                if (members[name] ^ them) - doubtful
            }
            assert wrong == {}, f"at {moment}"
        return found

    async def _live(self, stages: Sequence[Stage], *, late: bool) -> list[Members]:
        settings = load_settings(EXAMPLES / self.site / "bespeak.toml", {})
        settings = msgspec.structs.replace(settings, store=MemorySettings())
        clock = ManualClock(parse_time(stages[0][1]))
        engine = MortalEngine.open(settings, clock=clock, rng=Random(0), store=FragileMemory())
        await engine.start()
        try:
            definitions = definitions_in(EXAMPLES / self.site)
            if not late:
                await engine.apply(definitions)
            found: list[Members] = []
            here: Path | None = None
            for folder, moment in stages:
                clock.advance(parse_time(moment) - clock.now())
                if folder != here:
                    await self._imported(engine, folder)
                if late and here is None:
                    await engine.apply(definitions)
                here = folder
                if moment in self.drawn:
                    await engine.draw_borders("rfm")
                found.append(await self._members(engine, clock))
            return found
        finally:
            await engine.close()

    async def _imported(self, engine: MortalEngine, folder: Path) -> None:
        rejected: list[object] = []
        now = engine.clock.now()
        summary = await import_files(engine, [folder], load_map(self.site), received=now, reject=rejected.append)
        assert (rejected, summary.accepted + summary.duplicate) == ([], summary.read)

    async def _members(self, engine: MortalEngine, clock: ManualClock) -> Members:
        while engine.sequencer.timers.is_behind(clock.now()):
            await engine.tick()
        found: Members = {segment: set() for segment in engine.segment_sizes()}
        for profile in engine.profiles():
            for segment in profile.segments:
                found[segment].add(profile.id.partition(":")[2])
        assert {segment: len(members) for segment, members in found.items()} == engine.segment_sizes()
        return found


@pytest.fixture
def agreement() -> type[Agreement]:
    return Agreement


@pytest.fixture
def published() -> Callable[[str], Path]:
    """Return the folder of a data set, or skip."""

    def folder(name: str) -> Path:
        found = data_dir()
        if found is None or not (found / name).is_dir():
            pytest.skip(f"no data set {name}: set {VARIABLE} to the folder of the data sets")
        return found / name

    return folder


@pytest.fixture
def is_sampled() -> Callable[[str], bool]:
    """Return what chooses one of 25 people, always the same ones, so that everything of theirs is there."""
    return lambda person: crc32(person.encode()) % 25 == 0
