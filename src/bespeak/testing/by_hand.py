"""An engine over a store that outlives it, with a clock and timers that are moved by hand: for stories in tests."""

from __future__ import annotations

import asyncio
from random import Random

import msgspec

from bespeak.analytics import ArchiveSettings
from bespeak.clock import SECOND, Duration, Instant, ManualClock, format_time
from bespeak.engine import Definition, MoveTold
from bespeak.errors import StoreError
from bespeak.privacy import Key
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import MemorySettings
from bespeak.testing.world_changes import all_changes
from bespeak.testing.world_fragile import FragileMemory, FragileStore, MortalEngine

START: Instant = 1_780_000_000 * SECOND
QUIET = EngineSettings(checkpoint_seconds=3_600, models_seconds=3_600, models_rebuild_hours=0)
SETTINGS = Settings(store=MemorySettings(), engine=QUIET, archive=ArchiveSettings(minutes=0))
"""Nothing happens by itself."""


class ByHand:
    """An engine, its store and its clock; `open` starts the engine, and again after it has died."""

    def __init__(self, store: FragileStore | None = None, settings: Settings = SETTINGS) -> None:
        self.store: FragileStore = FragileMemory() if store is None else store
        self.settings = settings
        self.clock = ManualClock(START)
        self.engine: MortalEngine
        self.key: Key

    async def open(self, **conditions: str) -> ByHand:
        """Start the engine, and put segments in force."""
        self.engine = MortalEngine.open(self.settings, clock=self.clock, rng=Random(1), store=self.store)
        await self.engine.start()
        known = [key for key in self.engine.keys() if key.kind == "secret"]  # noqa: SIM118  no mapping
        self.key = known[0] if known else (await self.engine.create_key("secret", "site"))[0]
        await self.define(**conditions)
        return self

    async def define(self, **conditions: str) -> None:
        """Put segments in force, by their ids."""
        if conditions:
            bodies = [(name, {"id": name, "condition": condition}) for name, condition in conditions.items()]
            await self.engine.apply([Definition(kind="segments", id=name, body=body) for name, body in bodies])

    async def send(
        self, who: str, name: str, message_id: str = "", *, at: Instant | None = None, **more: object
    ) -> int:
        """Send one event, of a user where `who` begins so, wait for the answer, and return the log's last offset."""
        time = self.clock.now() if at is None else at
        field = "userId" if who.startswith("user") else "anonymousId"
        message: dict[str, object] = {"type": "track", field: who, "timestamp": format_time(time)}
        message |= {"event": name} if name else {}
        message |= {"messageId": message_id or f"{who}-{name}-{time}", **more}
        body = msgspec.json.encode({"batch": [message]})
        await self.engine.track(self.engine.parse(body, key=self.key), self.key)
        return self.engine.store.last_offset()

    async def signs_in(self, device: str, user: str) -> int:
        """Let a device turn out to be a user."""
        return await self.send(device, "", f"{device}-is-{user}", type="identify", userId=user)

    async def let_pass(self, duration: Duration) -> None:
        """Let time pass, and the timers work through what is due, until it is on disk.

        Raises
        ------
        StoreError
            The store fails.
        """
        self.clock.advance(duration)
        while self.engine.sequencer.timers.is_behind(self.clock.now()):
            if not self.engine.is_writable:
                raise StoreError("what is due cannot be written")
            await self.engine.tick()
            await asyncio.sleep(0)
        await self.rest()

    async def rest(self) -> None:
        """Wait until everybody is asked, and all that happened is on disk."""
        await asyncio.sleep(0)
        while self.engine.sequencer.live.owing:  # noqa: ASYNC110  the engine asks in its own time
            await asyncio.sleep(0.001)
        await self.engine.settle()

    async def changes(self) -> list[MoveTold]:
        """Return every change that is on disk, once all is."""
        await self.rest()
        return all_changes(self.engine)


def said(one: MoveTold) -> str:
    """Say what changed in a few words; the instant in seconds since `START`."""
    way = "enters" if one.entered else "leaves"
    return f"{one.profile} {way} {one.segment} v{one.version} at {(one.at - START) / SECOND:.6g}, {one.cause.kind}"
