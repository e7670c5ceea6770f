"""Whatever read or write of the store fails, and whenever it is killed: what is known afterwards is what the log says.

A busy little shop runs on one thread: the writer, the other threads and the time of the loop are played by hand, so a
seed is the same run each time (but for the order of sets, which PYTHONHASHSEED fixes).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from random import Random
from typing import Any, TypeVar

import msgspec
import pytest

from bespeak.clock import DAY, HOUR, MINUTE, SECOND, ManualClock, format_time
from bespeak.decide import DecideRequest, DecideSettings, SlotRequest
from bespeak.engine import (
    Definition,
    asking,
    backfill,
    committing,
    counted,
    dedupe,
    ledger,
    live,
    preparing,
    rebuild,
    rebuilding,
    replay,
    timers,
)
from bespeak.engine import engine as serving
from bespeak.engine import models as learning
from bespeak.engine.records import EventRecord, SealedRecord, decode, open_event
from bespeak.engine.wishes import PREPARING
from bespeak.engine.writer import Writer
from bespeak.errors import BespeakError, StoreError
from bespeak.events import Event
from bespeak.ids import anonymous_profile, user_profile
from bespeak.privacy.masters import KEY_FILE, encode_masters, make_masters
from bespeak.profiles import ProfileSettings
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import MemorySettings
from bespeak.testing.world_fragile import FragileMemory, MortalEngine
from bespeak.testing.world_promises import everything, same

START = 1_780_000_000 * SECOND
CONDITIONS = (
    'count("Product Viewed", last 20 minutes) >= 1',
    'count("Product Viewed", last 2 hours) >= 2',
    'count("Order Completed") >= 1',
    'count("Product Viewed") >= 3',
    'performed("Product Viewed", last 1 day)',
    'not performed("Product Viewed", last 1 hour)',
    'count("Decision Made", last 1 hour) >= 1',
)
DENIED = {"consent": {"categoryPreferences": {"personalization": False}}}
SMALL = {
    committing: {"CUT_AT_ONCE": 2},
    asking: {"ASKED_AT_ONCE": 2},
    counted: {"IN_RAM": 3, "PUT_ASIDE_AT_ONCE": 2},
    preparing: {"READ_AT_ONCE": 3, "READ_AT_ONCE_MAX": 9, "NEAR": 12, "FEW": 3, "BESIDE_MAX": 9},
    backfill: {"ROWS": 2},
    live: {"ASKED_BYTES": 2_000, "READ_AT_ONCE": 3},
    serving: {"TAKEN_AT_ONCE": 3, "FLIPS_AT_ONCE": 2},
    ledger: {"FLIPS_AT_ONCE": 2},
    timers: {"PAGE": 3},
    rebuilding: {"SPILL": 7, "SLICE": 3, "ROWS": 2, "NEAR": 20},
    learning: {"BATCH": 5},
    dedupe: {"PAGE_ROWS": 2},
}
"""So little at once that everything comes between everything."""

ROUNDS = 7

KILLED = 0.2
"""How likely a kill falls into a round."""

TURN_SECONDS = 1e-5

T = TypeVar("T")


class Jumping(selectors.DefaultSelector):
    """Nobody waits: time jumps to when something is to happen, and a turn of the loop takes a little."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += max(timeout or 0.0, TURN_SECONDS)
        return super().select(None if timeout is None else 0)


class Loop(asyncio.SelectorEventLoop):
    """A loop whose time is its own, and whose threads are none."""

    def __init__(self) -> None:
        self.jumping = Jumping()
        super().__init__(self.jumping)
        self.set_default_executor(AtOnce(1))

    def time(self) -> float:
        return self.jumping.now


class AtOnce(ThreadPoolExecutor):
    """Does what another thread would do when it is asked to."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  whoever waits for it is told
            done.set_exception(error)
        return done


class Turns(Writer):
    """A writer that writes in a turn of the loop, some time after it was asked to."""

    rng = Random(0)

    def _run(self) -> None:
        """Leave it to the loop."""

    def _wake_writer(self) -> None:
        self._waking = False
        self._loop.call_later(self.rng.choice((0, 0, 0.001, 0.02, 0.2)), self._turn)

    def _turn(self) -> None:
        if self._entries and not self._broken:
            entries, self._entries = self._entries, []
            self._write(entries)

    def resume(self) -> None:
        super().resume()
        self._loop.call_soon(self._turn)

    def close(self) -> None:
        self._closing = True
        self._turn()

    def dies(self) -> None:
        """Write nothing more."""
        self._broken = True


class Deaf(FragileMemory):
    """A store that does not answer some of its questions, nor the middle of a long answer."""

    deaf = 0.0
    rng = Random(0)

    def hear(self) -> None:
        if self.deaf and self.rng.random() < self.deaf:
            raise StoreError("the store does not answer")


def _deaf(name: str) -> Callable[..., Any]:
    answer = getattr(FragileMemory, name)

    def asked(self: Deaf, *args: Any, **kwargs: Any) -> Any:
        self.hear()
        return answer(self, *args, **kwargs)

    return asked


def _deaf_midway(name: str) -> Callable[..., Any]:
    answer = getattr(FragileMemory, name)

    def asked(self: Deaf, *args: Any, **kwargs: Any) -> Iterator[Any]:
        self.hear()
        for one in answer(self, *args, **kwargs):
            yield one
            self.hear()

    return asked


for _name in (
    *("last_offset", "dropped", "snapshots", "checkpoint_offset", "profile", "due", "alias", "aliases", "product"),
    *("seen", "seen_since", "documents", "versions", "rejected", "rejected_count", "key", "key_of", "last_key"),
):
    setattr(Deaf, _name, _deaf(_name))
for _name in ("read", "profiles", "each_key"):
    setattr(Deaf, _name, _deaf_midway(_name))


class Shop:
    """An engine, those who come to it, and what they were told."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        tight = rng.random() < 0.7
        engine = EngineSettings(checkpoint_seconds=600, models_seconds=1_200)
        profiles = ProfileSettings()
        if tight:  # below what a user may ask for
            msgspec.structs.force_setattr(profiles, "live_max", rng.choice([2, 5]))
            for name, bound in {"dedupe_max": 16, "keys_max": 4, "ids_max": 4}.items():
                msgspec.structs.force_setattr(engine, name, bound)
        decide = DecideSettings(deadline_ms=10_000)
        self.settings = Settings(store=MemorySettings(), profiles=profiles, engine=engine, decide=decide)
        self.clock = ManualClock(START)
        self.store = Deaf()
        self.store.rng, Turns.rng = Random(rng.random()), Random(rng.random())
        self.store.beside[KEY_FILE] = encode_masters(make_masters(Random(seed).randbytes))
        self.sent = self.wishes = 0
        self.newest: dict[str, int] = {}
        self.promised: dict[str, str | None] = {}
        self.told: dict[tuple[str, str], tuple[str, ...]] = {}
        self.unsure: list[Callable[[], Coroutine[Any, Any, None]]] = []
        weights = (
            *((self.track, 12), (self.burst, 4), (self.again, 4), (self.history, 2), (self.decide, 4), (self.look, 2)),
            *(
                (self.apply, 6),
                (self.leave, 1),
                (self.delete, 1.5),
                (self.items, 1),
                (self.erase, 2),
                (self.rotate, 0.6),
            ),
            *((self.checkpoint, 4), (self.models, 2), (self.rebuild, 1.5), (self.tick, 8), (self.jump, 6)),
            *((self.write_badly, 1.2), (self.read_badly, 4)),
        )
        self.steps: dict[Callable[[], Coroutine[Any, Any, Any]], float] = dict(weights)

    async def opened(self) -> None:
        rng = Random(self.rng.random())
        self.engine = MortalEngine.open(self.settings, clock=self.clock, rng=rng, store=self.store)
        await self.engine.start()
        if not self.engine.keys():
            await self.engine.create_key("secret", "site")
        self.key = self.engine.keys()[0]

    # -- those who come

    def message(self) -> dict[str, Any]:
        rng, self.sent = self.rng, self.sent + 1
        device = rng.randrange(12)
        time = self.clock.now() - rng.choice([0, 0, 0, MINUTE, 3 * HOUR, 5 * DAY])
        head = {"anonymousId": f"d{device}", "messageId": f"m{self.sent}", "timestamp": format_time(time)}
        kind, item = rng.random(), f"i{rng.randrange(9)}"
        if kind < 0.12:
            return {**head, "type": "identify", "userId": f"u{device // 2}"}
        if kind < 0.15:
            previous = rng.choice([f"u{rng.randrange(6)}", f"d{device}"])
            return {**head, "type": "alias", "userId": f"u{rng.randrange(6)}", "previousId": previous}
        if kind < 0.18:
            return {"type": "track", "messageId": f"m{self.sent}", "anonymousId": f"n{self.sent}"}
        if kind < 0.2:
            return {**head, "type": "track", "event": "Product Viewed", "context": DENIED}
        if kind < 0.25:
            bought = {"products": [{"product_id": item}]}
            return {**head, "type": "track", "event": "Order Completed", "properties": bought}
        return {**head, "type": "track", "event": "Product Viewed", "properties": {"product_id": item}}

    async def track(self) -> None:
        await self._track(json.dumps({"batch": [self.message() for _ in range(self.rng.randrange(1, 9))]}).encode())

    async def _track(self, body: bytes) -> None:
        parsed = self.engine.parse(body, key=self.key)
        try:
            results = await self.engine.track(parsed, self.key)
        except BaseException:
            self.unsure.append(lambda: self._track(body))
            raise
        taken = {result.message_id for result in results if result.status in ("ok", "duplicate")}
        self.tell(event for event in parsed.events if event.message_id in taken)

    async def burst(self) -> None:
        for _ in range(6):
            await self.track()

    async def again(self) -> None:
        """Send once more what nobody said was kept."""
        if self.unsure:
            await self.unsure.pop(0)()

    async def history(self) -> None:
        events: list[Event] = []
        for _ in range(self.rng.randrange(1, 10)):
            self.sent += 1
            events.append(
                Event(
                    type="track",
                    name="Product Viewed",
                    message_id=f"m{self.sent}",
                    time=self.clock.now() - self.rng.randrange(6 * DAY),
                    received=self.clock.now(),
                    anonymous_id=f"d{self.rng.randrange(12)}",
                    source="f.csv",
                    signed=True,
                    properties={"product_id": f"i{self.rng.randrange(9)}"},
                )
            )
        await self._history(events)

    async def _history(self, events: Sequence[Event]) -> None:
        try:
            _, _, refused = await self.engine.import_events(events)
        except BaseException:
            self.unsure.append(lambda: self._history(events))
            raise
        if not refused:
            self.tell(events)

    def tell(self, events: Any) -> None:
        for event in events:
            names = [user_profile(event.user_id)] if event.user_id is not None else []
            names += [anonymous_profile(event.anonymous_id)] if event.anonymous_id is not None else []
            self.told[event.message_id, event.name] = tuple(names)

    async def decide(self) -> None:
        request = DecideRequest(anonymous_id=f"d{self.rng.randrange(12)}", slots=(SlotRequest(id="home"),))
        self.engine.decide(request, key=self.key)

    async def look(self) -> None:
        self.engine.profile(f"d{self.rng.randrange(12)}")
        for one in self.engine.definitions("segments")[:1]:
            await self.engine.segment_count(one.id, at=self.clock.now())

    # -- those who run it

    async def apply(self) -> None:
        rng = self.rng
        some = {f"s{place}": self.condition() for place in rng.sample(range(4), rng.choice([1, 1, 2]))}
        with self.wished(some):
            await self.engine.apply(
                [Definition(kind="segments", id=one, body={"id": one, "condition": some[one]}) for one in some],
                wait=rng.random() < 0.5,
            )

    def condition(self) -> str:
        """Return one of a few, or one that nobody has asked for, so that history is to be counted."""
        rng = self.rng
        if rng.random() < 0.5:
            return rng.choice(CONDITIONS)
        number = rng.randrange(1, 2_000)
        return rng.choice(
            (
                f'count("Product Viewed" where properties.product_id = "i{number % 3}", last {number} minutes) >= 1',
                f'count("Product Viewed" where properties.n != {number}) >= 2',
            )
        )

    @contextlib.contextmanager
    def wished(self, some: Mapping[str, str | None]) -> Iterator[None]:
        """Remember what was said to come into force (None: to go), where nothing else was wished for meanwhile."""
        self.wishes += 1
        mine = self.wishes
        for one in some:
            self.newest[one] = mine
            self.promised.pop(one, None)
        yield
        self.promised |= {one: condition for one, condition in some.items() if self.newest[one] == mine}

    async def leave(self) -> None:
        """Ask for definitions, and go away before they are in force."""
        asked = asyncio.ensure_future(self.apply())
        for _ in range(self.rng.randrange(1, 12)):
            await asyncio.sleep(0)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)

    async def delete(self) -> None:
        held = sorted({*(one.id for one in (*self.engine.definitions("segments"), *self.engine.preparing()))})
        if held:
            gone = self.rng.choice(held)
            with self.wished({gone: None}):
                await self.engine.delete("segments", gone)

    async def items(self) -> None:
        await self.engine.remove_items([f"i{self.rng.randrange(9)}"])

    async def erase(self) -> None:
        await self.engine.erase(f"d{self.rng.randrange(12)}")

    async def rotate(self) -> None:
        await self.engine.rotate_master_key()

    async def checkpoint(self) -> None:
        await self.engine.checkpoint_now()

    async def models(self) -> None:
        written = self.engine.checkpoint(models=True)
        if written is not None:
            await written

    async def rebuild(self) -> None:
        self.engine.begin_rebuild(share=1.0)

    async def tick(self) -> None:
        await self.engine.tick()

    async def jump(self) -> None:
        by = (SECOND, MINUTE, 20 * MINUTE, HOUR, 2 * HOUR, -MINUTE, -30 * MINUTE, -2 * HOUR)
        self.clock.advance(self.rng.choice(by))
        if self.rng.random() < 0.6:
            await self.engine.tick()

    # -- what goes wrong

    async def write_badly(self) -> None:
        self.store.trouble = self.rng.choice(["lost", "unheard"])
        await asyncio.sleep(self.rng.choice([0.002, 0.05, 0.5]))
        self.store.trouble = "none"

    async def read_badly(self) -> None:
        self.store.deaf = self.rng.choice([0.02, 0.1, 0.5])
        for _ in range(self.rng.randrange(1, 30)):
            await asyncio.sleep(self.rng.choice([0, 0, 0.002, 0.3]))
        self.store.deaf = 0.0

    async def killed(self, going: Sequence[asyncio.Future[None]]) -> None:
        """Kill the engine at any turn, with whatever it was about to write, and start another."""
        for _ in range(self.rng.choice([0, 3, 10, 30, 100])):
            await asyncio.sleep(self.rng.choice([0, 0, 0, 0.002]))
        engine, writer = self.engine, self.engine._writer
        assert isinstance(writer, Turns)
        writer.dies()
        await engine.die()
        for one in (*going, engine._asking, engine._rebuild, engine._preparing):
            if one is not None:
                one.cancel()
        await asyncio.gather(*going, return_exceptions=True)
        self.store.trouble, self.store.deaf = "none", 0.0
        await self.opened()

    # -- a day in the shop

    async def lives(self) -> None:
        await self.opened()
        for round_ in range(ROUNDS):
            some = self.rng.choices([*self.steps], [*self.steps.values()], k=self.rng.randrange(2, 14))
            going = [asyncio.ensure_future(self.goes(step)) for step in some]
            if self.rng.random() < KILLED:
                await self.killed(going)
            else:
                await asyncio.gather(*going)
            if self.rng.random() < 0.3 or round_ == ROUNDS - 1:
                await self.rests()
                await self.is_as_the_log_says()
        await self.engine.close()
        assert replay(self.settings, self.store, clock=self.clock).difference is None

    async def goes(self, step: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        for _ in range(self.rng.randrange(4)):
            await asyncio.sleep(0)
        with contextlib.suppress(BespeakError):  # they were told
            await step()

    async def rests(self) -> None:
        """Let nothing fail any more, and wait until nothing is left to do."""
        self.store.trouble, self.store.deaf = "none", 0.0
        engine = self.engine
        for _ in range(200):
            await asyncio.sleep(0.5)
            await engine.tick()
            ready = engine._writer is not None and engine._writer.is_well and engine._writer.ready
            busy = engine._undoing or engine.preparing() or engine._cutting or engine._rebuild
            if ready and not busy and not engine.sequencer.live.owing and not engine._pending:
                await engine._on_disk()
                return
        raise AssertionError("the engine does not come to rest")

    async def is_as_the_log_says(self) -> None:
        engine, clock = self.engine, self.clock
        anew = rebuild(self.settings, self.store, clock=clock)
        known = [*engine.profiles(), *anew.sequencer.live.all()]
        at = max([clock.now(), *(profile.as_of for profile in known)])
        live = everything(engine, at)
        same("live, as the log says it", live, everything(anew, at))
        same("aliases", dict(engine.sequencer.aliases), dict(anew.sequencer.aliases))
        members = Counter(one for profile in live["profiles"].values() for one in profile.get("segments", ()))
        same("sizes", live["sizes"], {one: members[one] for one in live["sizes"]})
        found = replay(self.settings, self.store, clock=clock)
        assert found.difference is None, found.difference
        self.has_what_was_told()
        in_force = {one.id: one.body["condition"] for one in engine.definitions("segments")}
        same("promises", {one: in_force.get(one) for one in self.promised}, self.promised)
        assert not self.store.documents(PREPARING)
        if self.rng.random() < 0.5:
            await (engine.die() if self.rng.random() < 0.5 else engine.close())
            await self.opened()
            same("after a start", everything(self.engine, at), live)

    def has_what_was_told(self) -> None:
        """Every message is in the log once at most, and each that was acknowledged is, unless it was erased."""
        vault, logged = self.engine.vault, Counter[tuple[str, str]]()
        for row in self.store.read(0):
            for offset, record in decode(row, after=0):
                if isinstance(record, SealedRecord | EventRecord):
                    opened = open_event(vault, record, offset)
                    logged.update([] if opened is None else [(opened[0].message_id, opened[0].name)])
        assert not [one for one, times in logged.items() if times > 1]
        kept = [one for one, names in self.told.items() if all(vault.erased(name) is None for name in names)]
        assert not [one for one in kept if one not in logged]


def live_through(seed: int) -> None:
    """Live through one run; raises where anything is not as it must be."""
    wrong: list[BaseException] = []

    def noted(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, BespeakError | asyncio.CancelledError | None):  # cancelled is what was killed
            wrong.append(error)

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.get_loop().set_exception_handler(noted)
        runner.run(Shop(seed).lives())
    if wrong:
        raise wrong[0]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")
    monkeypatch.setattr(ledger, "Writer", Turns)
    for module, names in SMALL.items():
        for name, value in names.items():
            monkeypatch.setattr(module, name, value)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_does_not_answer_the_log_says_what_is_known(seed: int) -> None:
    live_through(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [range(start, start + 20) for start in range(20, 320, 20)], ids=str)
def test_whatever_does_not_answer_in_many_runs(seeds: range) -> None:
    for seed in seeds:
        live_through(seed)
