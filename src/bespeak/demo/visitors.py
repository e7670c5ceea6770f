"""The town's people in the shop, in accelerated time: they send and ask through the public wire, as browsers do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec

from bespeak.clock import SECOND, Clock, Instant, format_time
from bespeak.demo import wire
from bespeak.demo.state import Keys
from bespeak.errors import Unavailable
from bespeak.ids import new_id
from bespeak.privacy import keys as signing
from bespeak.testing.world import Ask, Did, Memory, Message, Person, World, visit

HASTE = 10
"""Within a visit, time passes this much faster than on a real one."""
AT_ONCE = 60
"""Visits that may be under way together; who comes then turns round at the door."""
_DAY_SECONDS = 86_400


class _Item(msgspec.Struct):
    id: str


class _Slot(msgspec.Struct):
    items: tuple[_Item, ...] = ()


class _Answer(msgspec.Struct, rename="camel"):
    decision_id: str
    slots: dict[str, _Slot]


_answers = msgspec.json.Decoder(_Answer)


class Visitors:
    """Lets people come, `speed` times as often as they do in the town, until it is told to stop.

    Parameters
    ----------
    address
        `http://host:port` of the server.
    failures
        Requests that got no answer, or one that says no.
    """

    def __init__(self, world: World, address: str, keys: Keys, clock: Clock, *, speed: float, rng: Random) -> None:
        self._world = world
        self._address = address
        self._keys = keys
        self._clock = clock
        self._rng = rng
        self._people = world.people
        self._rates = [person.visits_per_day for person in world.people]
        self._per_second = speed * sum(self._rates) / _DAY_SECONDS
        self._memories: dict[str, Memory] = {}
        self.messages = 0
        self.failures = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Let people come until `stopping` is set; those who are inside then leave at once."""
        inside: set[asyncio.Task[None]] = set()
        try:
            while not stopping.is_set():
                await _sleep(self._rng.expovariate(self._per_second), stopping)
                if len(inside) < AT_ONCE and not stopping.is_set():
                    person = self._rng.choices(self._people, self._rates)[0]
                    task = asyncio.create_task(self._visit(person, stopping))
                    inside.add(task)
                    task.add_done_callback(inside.discard)
        finally:
            for task in inside:
                task.cancel()
            await asyncio.gather(*inside, return_exceptions=True)

    async def _visit(self, person: Person, stopping: asyncio.Event) -> None:
        try:
            await self._play(person, stopping)
        except Unavailable:
            if not stopping.is_set():
                self.failures += 1

    async def _play(self, person: Person, stopping: asyncio.Event) -> None:
        """Play one visit: what the person does goes out when its time has come, stamped with the real time."""
        device = self._rng.choices(person.devices, (3, 1)[: len(person.devices)])[0]
        memory = self._memories.setdefault(device.anonymous_id, Memory())
        steps = visit(self._world, person, device, memory, self._clock.now(), Random(self._rng.getrandbits(64)))
        answer: Sequence[str] | None = None
        at: Instant | None = None
        while not stopping.is_set():
            try:
                step = steps.send(answer)
            except StopIteration:
                return
            answer = None
            await _sleep((step.at - (step.at if at is None else at)) / SECOND / HASTE, stopping)
            at = step.at
            if isinstance(step, Ask):
                answer = await self._ask(step)
            else:
                await self._send(step)

    async def _send(self, *deeds: Did) -> None:
        now = format_time(self._clock.now())
        batch = [self._stamp(did.message, now) for did in deeds]
        reply = await self._post("/v1/batch", {"batch": batch, "sentAt": now})
        self.messages += len(batch)
        if reply.status != 200:
            self.failures += 1

    def _stamp(self, message: Message, now: str) -> Message:
        """Return the message as of now, its user id proven by the shop's server."""
        stamped = {**message, "timestamp": now}
        user_id = message.get("userId")
        if user_id is not None:
            stamped["userSignature"] = signing.sign(self._keys.write.signing_secret or "", str(user_id))
        return stamped

    async def _ask(self, ask: Ask) -> Sequence[str]:
        """Ask what a slot shows, and tell that it was seen."""
        slot: dict[str, Any] = {"id": ask.slot, "n": ask.n}
        if ask.item is not None:
            slot["item"] = ask.item
        reply = await self._post("/v1/decide", {"anonymousId": ask.device.anonymous_id, "slots": [slot]})
        if reply.status != 200:
            self.failures += 1
            return ()
        answer = _answers.decode(reply.body)
        shown = [item.id for item in answer.slots[ask.slot].items]
        at = self._clock.now()
        impression: Message = {
            "type": "track",
            "event": "Impression",
            "messageId": new_id(at, self._rng),
            "anonymousId": ask.device.anonymous_id,
            "properties": {"decision_id": answer.decision_id, "slot": ask.slot, "items": shown},
        }
        await self._send(Did(at, impression))
        return shown

    async def _post(self, path: str, body: object) -> wire.Reply:
        data = msgspec.json.encode(body)
        key = (("X-Write-Key", self._keys.write_token),)
        return await wire.request("POST", self._address + path, data, headers=key)


async def _sleep(seconds: float, stopping: asyncio.Event) -> None:
    """Wait, but not after `stopping` is set."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await stopping.wait()
    except TimeoutError:
        return
