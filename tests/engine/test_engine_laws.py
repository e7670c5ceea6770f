"""Laws of the whole path of an event: however it comes, in whatever pieces, and whatever happens to the process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import pairwise
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bespeak.catalog import Item
from bespeak.clock import HOUR, MINUTE, SECOND, ManualClock, format_time
from bespeak.engine import Definition, Engine, backfill, preparing
from bespeak.engine.dedupe import Dedupe
from bespeak.engine.records import (
    DefinitionRecord,
    ErasureRecord,
    ItemsRecord,
    SealedRecord,
    TimeRecord,
    decode,
    encode,
    open_event,
    seal_event,
)
from bespeak.engine.vault import Vault
from bespeak.events import EVENT_TYPES, Event
from bespeak.ids import digest
from bespeak.privacy import Key
from bespeak.privacy.masters import KeyHeld
from bespeak.profiles import faded
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import Commit, LogRow, MemorySettings, MemoryStore
from bespeak.testing.world_fragile import FragileMemory, MortalEngine
from bespeak.testing.world_promises import Gone, everything, log_is_live, nothing_answers, truth_is_live
from bespeak.testing.world_truth import Truth

START = 1_780_000_000 * SECOND
SETTINGS = Settings(store=MemorySettings(), engine=EngineSettings(checkpoint_seconds=3_600, models_seconds=3_600))
ITEMS = [Item(id=f"i{n}", categories=(f"c{n % 2}",), tags=("new",)) for n in range(3)]
CONDITIONS = (
    'count("Product Viewed", last 3 minutes) >= 2',
    'not performed("Order Completed", last 10 minutes)',
    'sum(properties.price of "Product Viewed", last 20 minutes) >= 4',
    'last(properties.price of "Product Viewed", last 15 minutes) > 2',
    'count("Product Viewed") >= 3',
    'traits.plan = "pro"',
    "known = true and sessions.count >= 2",
    'count("Product*", today) >= 2',
    'not performed("Order Completed", this session)',
    'avg(properties.price of "Product*", last 20 minutes) >= 2 and min(properties.price of "*", this month) < 2',
    'distinct(properties.product_id of "Product*", yesterday) >= 1 or first(properties.price of "Product*") = 1',
    'most_frequent(properties.product_id of "Product*", this week) = "i1"',
    'distinct(properties.product_id of "Product Viewed") > 1 and max(properties.price of "Order Completed") exists',
    'sequence("Product Viewed" then "Product*" within 9 minutes without "Order Completed" for 3 minutes, last 1 hour)',
    'sequence("Product Viewed" where properties.price > 1 then "Order Completed" without "Page Viewed")',
    'traits.plan has been "pro" for 10 minutes or traits.plan has been "free" for less than 20 minutes',
    'last("Product*", today) has (properties.price >= 2)',
    'most_frequent(properties.product_id of "*") in ["i0", "i2"] or count("*", since date "2026-05-28T20:00:00Z") > 4',
)
SEGMENTS = tuple(
    Definition(kind="segments", id=f"s{place}", body={"id": f"s{place}", "condition": text})
    for place, text in enumerate(CONDITIONS)
)


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let history be counted so slowly that much comes between."""
    for name, value in {"READ_AT_ONCE": 1, "READ_AT_ONCE_MAX": 2, "NEAR": 3, "FEW": 2, "BESIDE_MAX": 5}.items():
        monkeypatch.setattr(preparing, name, value)
    monkeypatch.setattr(backfill, "ROWS", 1)


async def opened(clock: ManualClock, store: FragileMemory) -> MortalEngine:
    engine = MortalEngine.open(SETTINGS, clock=clock, rng=Random(1), store=store)
    await engine.start()
    return engine


async def begun(clock: ManualClock) -> tuple[MortalEngine, Key]:
    engine = await opened(clock, FragileMemory())
    key, _ = await engine.create_key("secret", "site")
    await engine.put_items(ITEMS)
    await engine.apply(SEGMENTS)
    return engine, key


async def send(engine: Engine, key: Key, messages: list[dict[str, Any]]) -> list[str]:
    parsed = engine.parse(json.dumps({"batch": messages}).encode(), key=key)
    return [result.status for result in await engine.track(parsed, key)]


# People are told apart by their devices: d0 and d1 are u0's, d2 is u1's, d3 is nobody's.
OWNERS = {"d0": "u0", "d1": "u0", "d2": "u1"}
deeds = st.tuples(
    st.sampled_from(["Product Viewed", "Product Viewed", "Product Added", "Order Completed", "identify", "page"]),
    st.sampled_from(["d0", "d1", "d2", "d3"]),
    st.integers(0, 40).map(lambda n: n * 97 * SECOND),
    st.integers(0, 4),
)
ZONES = ("Europe/Berlin", "America/New_York", "Nowhere")
days = st.lists(deeds, min_size=1, max_size=14)


def message(place: int, deed: tuple[str, str, int, int]) -> dict[str, Any]:
    name, device, ago, number = deed
    context = {"timezone": ZONES[number]} if number < len(ZONES) else {}
    sent = {"anonymousId": device, "timestamp": format_time(START - ago)}
    base = {"messageId": f"m{place:02}", **sent, "context": context}
    if name == "identify" and device in OWNERS:
        traits = {"plan": "pro" if number % 2 else "free"}
        return {**base, "type": "identify", "userId": OWNERS[device], "traits": traits}
    if name in {"identify", "page"}:
        return {**base, "type": "page", "name": "Home"}
    return {**base, "type": "track", "event": name, "properties": {"product_id": f"i{number}", "price": number}}


def cut(messages: list[Any], places: set[int]) -> list[list[Any]]:
    edges = [0, *sorted(place for place in places if 0 < place < len(messages)), len(messages)]
    return [messages[start:end] for start, end in pairwise(edges)]


async def known_after(batches: list[list[dict[str, Any]]], *, together: bool = False) -> dict[str, Any]:
    """Return all that is known after batches; `together`: none waits for the one before, so that commits are shared."""
    engine, key = await begun(ManualClock(START))
    if together:
        bodies = [engine.parse(json.dumps({"batch": batch}).encode(), key=key) for batch in batches]
        for receipt in [engine.accept(body, key) for body in bodies]:
            await receipt.durable
    else:
        for batch in batches:
            await send(engine, key, batch)
    found = everything(engine, START)
    await engine.close()
    return found


@settings.get_profile("fewest")
@given(days, st.sets(st.integers(1, 13)), st.booleans())
def test_folding_in_batches_is_folding_one_by_one(
    day: list[tuple[str, str, int, int]], edges: set[int], together: bool
) -> None:
    messages = [message(place, deed) for place, deed in enumerate(day)]
    one_by_one = asyncio.run(known_after([[each] for each in messages]))
    assert asyncio.run(known_after(cut(messages, edges), together=together)) == one_by_one


@settings.get_profile("fewest")
@given(days, st.data())
def test_any_order_of_arrival_and_any_duplication_gives_the_same_profiles(
    day: list[tuple[str, str, int, int]], data: st.DataObject
) -> None:
    messages = [message(place, deed) for place, deed in enumerate(day)]
    again = data.draw(st.lists(st.sampled_from(messages), max_size=5))
    arrived = data.draw(st.permutations(messages + again))
    in_order = sorted(messages, key=lambda each: (each["timestamp"], each["messageId"]))
    assert whatever_the_order(arrived) == whatever_the_order(in_order)


def whatever_the_order(messages: list[dict[str, Any]]) -> object:
    """Return what is known but for when somebody was found to be in a segment, and faded sums to nine digits."""

    async def live() -> object:
        engine, key = await begun(ManualClock(START))
        for each in messages:
            await send(engine, key, [each])
        engine.sequencer.advance(START + HOUR)
        halflife = SETTINGS.profiles.interest_halflife
        found = {}
        for profile in engine.profiles():
            plain = msgspec.to_builtins(profile)
            for name in ("as_of", "flips", "next_flip_at", "segments"):
                plain.pop(name, None)
            plain["interests"] = {
                key: round(faded(value, START, halflife), 9) for key, value in sorted(profile.interests.items())
            }
            found[profile.id] = (plain, sorted(profile.segments))
        await engine.close()
        return found, engine.segment_sizes()

    return asyncio.run(live())


@settings.get_profile("fewest")
@given(days, st.integers(0, 14), st.integers(0, 14))
def test_history_that_is_counted_later_is_what_would_have_been_counted_from_the_beginning(
    day: list[tuple[str, str, int, int]], asked: int, joined: int
) -> None:
    messages = [message(place, deed) for place, deed in enumerate(day)]
    messages.insert(joined, {"type": "alias", "messageId": "m-alias", "userId": "u0", "previousId": "u1"})

    async def counted(place: int | None) -> dict[str, Any]:
        engine = await opened(ManualClock(START), FragileMemory())
        key, _ = await engine.create_key("secret", "site")
        for number, each in enumerate([*messages, None]):
            if number == (0 if place is None else min(place, len(messages))):
                await engine.apply(SEGMENTS, wait=place is None)
            if each is not None:
                await send(engine, key, [each])
        await engine.prepared(60)
        await engine._all_asked()
        found = {profile.id: profile.aggregates for profile in engine.profiles()}
        await engine.close()
        return found

    assert asyncio.run(counted(asked)) == asyncio.run(counted(None))


class Life:
    """What one example lives through, by steps that hypothesis chose."""

    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.engine: MortalEngine
        self.key: Key
        self.count = 0

    async def step(self, step: tuple[str, int]) -> None:
        kind, number = step
        steps: dict[str, Callable[[int], Awaitable[None]]] = {
            "send": self.send,
            "late": self.late,
            "alias": self.alias,
            "wait": self.wait,
            "define": self.define,
            "stock": self.stock,
            "checkpoint": self.checkpoint,
            "restart": self.restart,
            "crash": self.crash,
            "erase": self.erase,
        }
        await steps[kind](number)

    async def send(self, number: int) -> None:
        await self.told(number, 0)

    async def late(self, number: int) -> None:
        await self.told(number, (number % 7) * 5 * HOUR)

    async def told(self, number: int, ago: int) -> None:
        names = ("Product Viewed", "Product Viewed", "Product Added", "Order Completed", "identify", "page")
        said = message(self.count, (names[number % 6], f"d{number % 4}", START - self.clock.now() + ago, number % 5))
        self.count += 1
        await send(self.engine, self.key, [said] * (1 + number % 2))

    async def alias(self, number: int) -> None:
        self.count += 1
        who = {"userId": f"u{number % 2}", "previousId": ("u0", "u1", "d3")[number % 3]}
        await send(self.engine, self.key, [{"type": "alias", "messageId": f"m{self.count:02}-alias", **who}])

    async def wait(self, number: int) -> None:
        self.clock.advance((1 + number) * 3 * MINUTE)
        if number % 3:
            await self.engine.tick()

    async def define(self, number: int) -> None:
        held = self.engine.definitions("segments")
        if held and number % 2:
            await self.engine.delete("segments", held[number % len(held)].id)
        else:
            await self.engine.apply([SEGMENTS[number % len(SEGMENTS)]], wait=number % 3 == 0)

    async def stock(self, number: int) -> None:
        if number % 2:
            await self.engine.remove_items([f"i{number % 3}"])
        else:
            await self.engine.put_items([Item(id=f"i{number % 3}", categories=(f"c{number}",))])

    async def checkpoint(self, number: int) -> None:
        written = self.engine.checkpoint(models=number % 2 == 0)
        if written is not None:
            await written

    async def restart(self, _: int) -> None:
        await self.engine.close()
        await self.again()

    async def crash(self, _: int) -> None:
        await self.engine.settle()
        await self.engine.die()
        await self.again()

    async def again(self) -> None:
        store = self.engine.store
        assert isinstance(store, FragileMemory)
        self.engine = await opened(self.clock, store)

    async def erase(self, number: int) -> None:
        await self.forgotten(number)

    async def forgotten(self, number: int) -> None:
        profiles = sorted(profile.id for profile in self.engine.profiles())
        if not profiles:
            return
        self.clock.advance(1)
        whose = profiles[number % len(profiles)]
        being = Truth(SETTINGS, self.engine.store, self.engine.vault).beings[whose]
        ids = tuple(event.message_id for event in being.events)
        watching = self.engine.subscribe()
        receipt = await self.engine.erase(whose)
        assert receipt.identifiers == len(being.names)
        watching.close()
        shown = [each async for each in watching]
        nothing_answers(self.engine, Gone(tuple(being.names), ids, (), self.clock.now()), self.key, shown, None)

    async def at_rest(self) -> None:
        """Let definitions that are prepared come into force."""
        found = await self.engine.prepared(60)
        assert (found.preparing, found.failed) == ((), ())

    def holds(self) -> None:
        at = self.clock.now()
        truth_is_live(self.engine, Truth(SETTINGS, self.engine.store, self.engine.vault), SETTINGS, at)
        log_is_live(self.engine, SETTINGS, self.clock, at)


def lived(steps: list[tuple[str, int]], *, erased: int | None = None) -> None:
    async def live() -> None:
        life = Life()
        life.engine, life.key = await begun(life.clock)
        for step in steps:
            await life.step(step)
        if erased is not None:
            await life.forgotten(erased)
        life.holds()
        await life.at_rest()
        life.holds()
        await life.engine.close()

    asyncio.run(live())


numbers = st.integers(0, 29)
quiet = st.sampled_from(["send", "send", "send", "late", "alias", "wait", "define", "stock", "checkpoint"])
rough = st.one_of(quiet, quiet, st.sampled_from(["restart", "crash", "erase"]))


@settings.get_profile("fewest")
@given(st.lists(st.tuples(rough, numbers), max_size=16))
def test_a_replay_of_the_log_is_what_is_live_and_what_plain_counting_makes_of_it(steps: list[tuple[str, int]]) -> None:
    lived(steps)


@settings.get_profile("fewest")
@given(st.lists(st.tuples(quiet, numbers), min_size=1, max_size=12), numbers)
def test_an_erased_person_answers_nowhere_and_nobody_else_has_changed(
    steps: list[tuple[str, int]], erased: int
) -> None:
    lived([("send", 0), *steps], erased=erased)


# Dedupe


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from([0, 0, 0, 1, 5, 20, -3])), max_size=60),
    st.integers(0, 20),
)
def test_what_was_here_within_a_day_is_known_whatever_fits_in_ram(
    bound: int, arrivals: list[tuple[int, int]], reload_every: int
) -> None:
    """Against a list of what came when; hours may go back, and the store may be read anew at any time."""
    store = MemoryStore()
    dedupe = Dedupe(store, bound=bound, sieve_bytes=1_024)
    hour, came, highest = 500_000, {}, {}
    for place, (number, passed) in enumerate(arrivals):
        hour += passed
        highest = {name: max(hour, high) for name, high in highest.items()}
        name = digest("site", str(number))
        known = dedupe.has(name)
        if name not in came:
            assert not known
        elif highest[name] - came[name] <= 24:
            assert known
        if not known:
            dedupe.add((name,), hour)
            store.commit(Commit(seen=((name, hour),)))
            came[name] = highest[name] = hour
        if place % 3 == 0:
            dedupe.shrink(dedupe.mark())
        if reload_every and place % reload_every == reload_every - 1:
            dedupe = Dedupe(store, bound=bound, sieve_bytes=1_024)
            dedupe.load(hour * HOUR)


# What the log holds


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(st.text(max_size=6), values, max_size=4)
names = st.none() | st.text(min_size=1, max_size=9)
events = st.builds(
    Event,
    type=st.sampled_from(sorted(EVENT_TYPES)),
    name=st.text(max_size=9),
    message_id=st.text(min_size=1, max_size=9),
    time=st.integers(-(2**55), 2**55),
    received=st.integers(0, 2**55),
    user_id=names,
    anonymous_id=names,
    previous_id=names,
    group_id=names,
    properties=objects,
    context=objects,
    source=st.text(max_size=5),
    signed=st.booleans(),
    original_time=st.none() | st.integers(0, 2**55),
)


@given(st.lists(st.tuples(events, st.booleans(), st.text(max_size=6)), min_size=1, max_size=4), st.integers(1, 2**40))
def test_an_event_comes_out_of_the_log_as_it_went_in(happened: list[tuple[Event, bool, str]], first: int) -> None:
    vault = Vault(MemoryStore(), KeyHeld({}), bound=100)
    records = [seal_event(vault, event, f"u:{who}", who, imported=old) for event, old, who in happened]
    row = LogRow(first, len(records), START, encode(records))
    read = list(decode(row, after=0))
    assert [offset for offset, _ in read] == list(range(first, first + len(records)))
    for (offset, record), (event, old, who) in zip(read, happened, strict=True):
        assert isinstance(record, SealedRecord)
        assert record.imported == old
        opened = open_event(vault, record, offset)
        assert opened is not None
        told = {name: getattr(opened[0], name) for name in event.__struct_fields__}
        assert (told, opened[1]) == (msgspec.structs.asdict(event), who)


others = st.one_of(
    st.builds(
        DefinitionRecord,
        st.sampled_from(["segments", "rules", "content", "experiments"]),
        st.text(max_size=5),
        st.integers(1, 99),
        st.none() | objects,
        st.integers(0, 2**55),
    ),
    st.builds(
        ItemsRecord,
        st.lists(st.builds(Item, id=st.text(min_size=1, max_size=5)), max_size=3).map(tuple),
        st.lists(st.text(max_size=5), max_size=3).map(tuple),
        st.integers(0, 2**55),
    ),
    st.builds(ErasureRecord, st.lists(st.text(max_size=5), max_size=3).map(tuple), st.integers(0, 2**55)),
    st.builds(TimeRecord, st.integers(0, 2**55)),
)


@given(st.lists(others, min_size=1, max_size=5), st.integers(0, 6))
def test_every_other_record_comes_out_of_the_log_as_it_went_in(records: list[Any], after: int) -> None:
    row = LogRow(1, len(records), START, encode(records))
    assert list(decode(row, after=after)) == list(enumerate(records, 1))[after:]
