"""Running the demo: one process with the engine, the server, the shop, the live view and the town's people."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TextIO

import msgspec
from starlette.routing import BaseRoute

from bespeak.clock import SystemClock
from bespeak.demo import filling
from bespeak.demo.live import LiveView
from bespeak.demo.proof import prove
from bespeak.demo.shop import Shop
from bespeak.demo.state import Keys, State, ensure_keys, load_state, save_state
from bespeak.demo.visitors import Visitors
from bespeak.engine import Engine
from bespeak.errors import BespeakError
from bespeak.profiles import IdentitySettings
from bespeak.server import Draining, address_of, listen, serve_engine
from bespeak.settings import ServerSettings, Settings
from bespeak.testing.world import World

SEED = 7
"""The town that the demo shows when nothing else is said."""
SPEED = 900.0
"""How much faster than in the town people come: about twenty events a second."""
SIZE = (2_000, 500)
"""People and items."""
_FIRST_PORT = 8_000


async def run(
    *,
    data_dir: Path,
    out: TextIO,
    host: str = "127.0.0.1",
    port: int | None = None,
    once: bool = False,
    seed: int = SEED,
    speed: float = SPEED,
    size: tuple[int, int] = SIZE,
) -> int:
    """Run the demo until it is interrupted; return the exit code.

    Parameters
    ----------
    data_dir
        Where the store and the demo's own file are kept; a second start with the same one goes on where it stopped.
    out
        Where it says what it does.
    port
        None: the first free one from 8000 on.
    once
        Start, prove that every address answers and that an event changes a decision, and stop: 0 when all did, else 1.
    seed, size
        Which town, and how many people and items it has.
    speed
        How much faster than in the town people come; 900 is about twenty events a second, 0 lets nobody in.

    Raises
    ------
    SettingsError
        The port is taken, or the directory was filled from another town.
    StoreLocked
        Another demo uses the directory.
    """
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)  # noqa: ASYNC240 - nothing else runs yet
    settings = _settings(data_dir, host, port)
    start = filling.history_start(SystemClock().now())
    state = load_state(data_dir, State(seed=seed, people=size[0], items=size[1], history_start=start))
    with listen(settings.server, or_next=port is None) as listening:
        engine = Engine.open(settings, address=address_of(listening))
        demo = _Demo(engine, data_dir, state, speed, out, once=once)
        await serve_engine(engine, listening, started=demo.begin, routes=demo.routes, stop=demo.stopping)
        return await demo.end()


def _settings(data_dir: Path, host: str, port: int | None) -> Settings:
    return Settings(
        data_dir=str(data_dir),
        server=ServerSettings(host=host, port=_FIRST_PORT if port is None else port),
        identity=IdentitySettings(unsigned="claim"),
    )


class _Demo:
    """What runs beside the server: filling at the first start, then the visitors, or the proof."""

    def __init__(self, engine: Engine, data_dir: Path, state: State, speed: float, out: TextIO, *, once: bool) -> None:
        self._engine = engine
        self._data_dir = data_dir
        self._state = state
        self._speed = speed
        self._out = out
        self._once = once
        self._shop = Shop(engine)
        self._code = 0
        self._task: asyncio.Task[None] | None = None
        self.stopping = asyncio.Event()

    def routes(self, engine: Engine, draining: Draining) -> Sequence[BaseRoute]:
        """Return the pages of the shop and the live view."""
        return [*self._shop.routes(), *LiveView(engine, draining).routes()]

    async def begin(self, _engine: Engine, address: str) -> None:
        """Begin what runs beside the server."""
        self._task = asyncio.create_task(self._beside(address), name="demo")

    async def end(self) -> int:
        """Wait for what runs beside the server; return the exit code. What failed there is raised here."""
        if self._task is not None:
            await self._task
        if not self._once:
            self._say("\nStopped. Everything that was acknowledged is on disk.")
        return self._code

    async def _beside(self, address: str) -> None:
        try:
            await self._work(address)
        finally:
            self.stopping.set()

    async def _work(self, address: str) -> None:
        state = self._state
        world = await asyncio.to_thread(World, state.seed, people=state.people, items=state.items)
        keys, self._state = await ensure_keys(self._engine, state)
        save_state(self._data_dir, self._state)
        if not await self._fill(world):
            return
        self._shop.keys = keys
        self._say(_welcome(address))
        if self._once:
            await self._prove(address, keys)
            return
        self._say("Ctrl-C stops it; the next start goes on from here.")
        await self._invite(world, address, keys)

    async def _fill(self, world: World) -> bool:
        """Fill the store at the first start; False when it was told to stop meanwhile."""
        if self._state.filled:
            await filling.renew(self._engine)
            known = len(self._engine.catalog)
            self._say(f"Going on with the town of seed {self._state.seed}: {known:,} things in the shop.")
            return True
        self._say(f"Reading the last {filling.HISTORY_DAYS} days of a town of {len(world.people):,} people ...")
        done = await filling.fill(
            self._engine, world, self._state.history_start, progress=self._progress, stopping=self.stopping
        )
        if done:
            self._state = msgspec.structs.replace(self._state, filled=True)
            save_state(self._data_dir, self._state)
        self._say("")
        return done

    def _progress(self, share: float, events: int) -> None:
        self._shop.opening = share
        if self._out.isatty() or share == 1.0:
            bar = "█" * round(24 * share) + "░" * (24 - round(24 * share))
            self._out.write(f"\r  {bar} {share:4.0%}  {events:,} events")
            self._out.flush()

    async def _invite(self, world: World, address: str, keys: Keys) -> None:
        if self._speed <= 0:
            await self.stopping.wait()
            return
        rng = Random(f"visitors {self._state.seed} {self._engine.clock.now()}")
        await Visitors(world, address, keys, self._engine.clock, speed=self._speed, rng=rng).run(self.stopping)

    async def _prove(self, address: str, keys: Keys) -> None:
        try:
            for line in await prove(address, keys, self._engine.clock.now()):
                self._say(line)
        except BespeakError as error:
            self._say(f"FAILED  {error.message}")
            self._code = 1

    def _say(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()


def _welcome(address: str) -> str:
    return (
        "\n"
        f"  The shop       {address}/\n"
        f"                 {address}/?why=1   (and why it looks as it does)\n"
        f"  The live view  {address}/live\n"
        f"  The API docs   {address}/docs\n"
    )
