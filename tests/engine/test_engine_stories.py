"""Random stories: whatever happened, a crash, a restart and a replay from the log's start all know the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from bespeak.catalog import Item
from bespeak.clock import HOUR, MINUTE, SECOND, ManualClock, format_time
from bespeak.decide import DecideRequest, SlotRequest
from bespeak.engine import Definition, Engine
from bespeak.privacy import Key
from bespeak.privacy.masters import KEY_FILE
from bespeak.profiles import View
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import Commit, MemorySettings, MemoryStore, Store

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
CONDITIONS = (
    'count("Product Viewed", last 3 minutes) >= 2',
    'not performed("Order Completed", last 10 minutes)',
    'not performed("Order Completed")',
    'sum(properties.price of "Product Viewed", last 20 minutes) >= 9',
    'last(properties.price of "Product Viewed", last 15 minutes) > 4',
    'performed("Product Viewed") and not performed("Product Added", last 5 minutes)',
    'count("Product Added") >= 3',
    'count("Decision Made", last 4 minutes) >= 1',
    'traits.plan = "pro"',
    "consent.personalization = true",
    "known = true",
    "sessions.count >= 2",
)
LATE = (0, 0, SECOND, 40 * SECOND, 2 * MINUTE, 7 * MINUTE, 30 * HOUR)


class Story:
    """One random story about a handful of people, told to an engine on disk."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.rng = Random(seed)
        self.clock = ManualClock(START)
        seldom = EngineSettings(checkpoint_seconds=3_600, models_seconds=3_600)
        self.folder = folder
        self.settings = Settings(data_dir=str(folder / "live"), engine=seldom)
        self.evict = seed % 2 == 0
        self.said: list[dict[str, Any]] = []
        self.copies = 0
        self.engine = self.open(self.settings)
        self.write: Key
        self.secret: Key

    def open(self, settings: Settings, store: Store | None = None) -> Engine:
        engine = Engine.open(settings, clock=self.clock, rng=Random(1), store=store)
        if self.evict:
            engine.sequencer.live._bound = 0
        return engine

    async def begin(self) -> None:
        await self.engine.start()
        self.write, _ = await self.engine.create_key("write", "site")
        self.secret, _ = await self.engine.create_key("secret", "server")
        await self.engine.put_items([Item(id=f"i{n}", categories=(f"c{n % 3}",)) for n in range(9)])
        for _ in range(4):
            await self.define()

    async def step(self) -> None:
        for _ in range(self.rng.randrange(4)):
            self.clock.advance(self.rng.choice([0, SECOND, 7 * SECOND, MINUTE, 4 * MINUTE]))
            if self.rng.random() < 0.7:
                self.engine.sequencer.advance(self.clock.now())
        steps = {self.send: 80, self.look: 6, self.define: 3, self.stock: 3, self.checkpoint: 5, self.restart: 2}
        (step,) = self.rng.choices([*steps, self.crash], [*steps.values(), 2])
        await step()

    async def send(self) -> None:
        messages = [self.message() for _ in range(self.rng.randrange(1, 4))]
        if self.said and self.rng.random() < 0.3:
            messages.append(self.rng.choice(self.said))
        self.said += messages
        key = self.rng.choice([self.write, self.secret])
        parsed = self.engine.parse(json.dumps({"batch": messages}).encode(), key=key)
        await self.engine.track(parsed, key)

    def message(self) -> dict[str, Any]:
        rng = self.rng
        user = f"u{rng.randrange(2)}"
        message: dict[str, Any] = {
            "messageId": f"m{len(self.said)}-{rng.random()}",
            "anonymousId": f"d{rng.randrange(3)}",
            "timestamp": format_time(self.clock.now() - rng.choice(LATE)),
        }
        chance = rng.random()
        if chance < 0.12:
            return message | {"type": "identify", "userId": user, "traits": {"plan": rng.choice(["free", "pro"])}}
        if chance < 0.16:
            return message | {"type": "alias", "userId": user, "previousId": rng.choice(["u0", "u1", "d0"])}
        if chance < 0.2:
            choices = {"categoryPreferences": {"personalization": rng.random() < 0.9}}
            name = rng.choice(["Segment Consent Preference Updated", "Product Viewed"])
            return message | {"type": "track", "event": name, "context": {"consent": choices}}
        named = {"userId": user} if rng.random() < 0.2 else {}
        name = rng.choice(["Product Viewed", "Product Viewed", "Product Added", "Order Completed"])
        properties = {"product_id": f"i{rng.randrange(12)}", "price": rng.randrange(9)}
        return message | named | {"type": "track", "event": name, "properties": properties}

    async def look(self) -> None:
        request = DecideRequest(anonymous_id=f"d{self.rng.randrange(3)}", slots=(SlotRequest(id="home"),))
        self.engine.decide(request, key=self.secret)
        await self.engine.track(self.engine.parse(b'{"batch": []}', key=self.write), self.write)

    async def define(self) -> None:
        held = self.engine.definitions("segments")
        if held and self.rng.random() < 0.3:
            await self.engine.delete("segments", self.rng.choice(held).id)
            return
        name = f"s{self.rng.randrange(6)}"
        body = {"id": name, "condition": self.rng.choice(CONDITIONS)}
        await self.engine.apply([Definition(kind="segments", id=name, body=body)])

    async def stock(self) -> None:
        if self.rng.random() < 0.5:
            await self.engine.remove_items([f"i{self.rng.randrange(12)}"])
        else:
            await self.engine.put_items([Item(id=f"i{self.rng.randrange(12)}", tags=("new",))])

    async def checkpoint(self) -> None:
        written = self.engine.checkpoint(models=self.rng.random() < 0.5)
        if written is not None and self.rng.random() < 0.7:
            await written

    async def restart(self) -> None:
        await self.engine.close()
        self.engine = self.open(self.settings)
        await self.engine.start()

    async def crash(self) -> None:
        """Open a copy of the files as they are now: what a killed process would find."""
        self.copies += 1
        copy = self.folder / f"copy{self.copies}"
        shutil.copytree(self.folder / "live", copy, ignore=shutil.ignore_patterns("*lock*"))
        found = self.open(msgspec.structs.replace(self.settings, data_dir=str(copy)))
        self.same(found)
        await found.close()

    def same(self, other: Engine) -> None:
        """Both know the same of everybody, once both know what time it is."""
        for engine in (self.engine, other):
            engine.sequencer.advance(self.clock.now())
        assert everything(other) == everything(self.engine)

    def replayed(self) -> Engine:
        """Return an engine that has nothing but the log and its keys."""
        store = MemoryStore()
        store.beside[KEY_FILE] = (self.folder / "live" / KEY_FILE).read_bytes()
        store.commit(Commit(keys=tuple(self.engine.store.each_key())))
        for row in self.engine.store.read(0):
            store.commit(Commit(rows=(row,)))
        return self.open(Settings(store=MemorySettings()), store)

    def coherent(self) -> None:
        """Memberships are what the conditions say, and the sizes count them."""
        segments = self.engine.registry.site.segments
        sizes = dict.fromkeys(self.engine.segment_sizes(), 0)
        for profile in self.engine.profiles():
            at = max(self.clock.now(), profile.as_of)
            view = View(profile, at, self.settings.profiles)
            for segment in segments.all():
                compiled = segments.compiled(segment.id)
                assert compiled is not None
                assert compiled.holds(view, at) == (segment.id in profile.segments)
            for name in profile.segments:
                sizes[name] += 1
        assert sizes == self.engine.segment_sizes()
        assert self.engine.metrics.snapshot()["bespeak_commit_failures_total"] == 0


def everything(engine: Engine) -> dict[str, Any]:
    return {
        "profiles": {profile.id: msgspec.to_builtins(profile) for profile in engine.profiles()},
        "aliases": dict(engine.sequencer.aliases),
        "sizes": engine.segment_sizes(),
        "count": engine.sequencer.profiles,
        "items": {item.id: item for item in engine.catalog.items()},
        "definitions": engine.definitions("segments"),
        "models": {one.name: one.dump() for one in engine.models.recommenders},
    }


@pytest.mark.parametrize("seed", range(16))
async def test_a_crash_a_restart_and_a_replay_know_what_was_live(seed: int, tmp_path: Path) -> None:
    story = Story(seed, tmp_path)
    await story.begin()
    for _ in range(80):
        await story.step()
    await story.engine.track(story.engine.parse(b'{"batch": []}', key=story.write), story.write)
    story.same(story.replayed())
    story.coherent()
    await story.engine.close()
