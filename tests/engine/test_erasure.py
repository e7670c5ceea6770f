"""Erasing a person: nothing of them is left in any file, they are unknown again, and nobody else has changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from bespeak.clock import DAY, HOUR, SECOND, ManualClock, format_time
from bespeak.decide import DecideRequest, SlotRequest
from bespeak.engine import Definition, Engine
from bespeak.engine.custody import LATE
from bespeak.engine.quarantine import subject_in
from bespeak.engine.records import ErasureRecord, EventRecord, decode
from bespeak.errors import NotFound, StoreError
from bespeak.privacy import Key, envelope
from bespeak.privacy.masters import KEY_FILE
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import Commit, LogRow, MemorySettings, MemoryStore, SqliteSettings, SqliteStore, Store

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
FANS = Definition(
    kind="segments", id="fans", body={"id": "fans", "condition": 'count("Product Viewed", last 1 hours) >= 2'}
)
EVER = Definition(kind="segments", id="ever", body={"id": "ever", "condition": 'count("Product Viewed") >= 2'})


@asynccontextmanager
async def running(settings: Settings, clock: ManualClock, store: Store | None = None) -> AsyncIterator[Engine]:
    engine = Engine.open(settings, clock=clock, rng=Random(1), store=store)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def in_ram() -> Settings:
    quiet = EngineSettings(checkpoint_seconds=3600, models_seconds=3600)
    return Settings(store=MemorySettings(), engine=quiet)


async def send(engine: Engine, key: Key, *messages: dict[str, Any]) -> list[str]:
    body = json.dumps({"batch": list(messages)}).encode()
    return [result.status for result in await engine.track(engine.parse(body, key=key), key)]


def view(item: str, place: object, **more: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "Product Viewed",
        "anonymousId": "a",
        "messageId": f"m{place}",
        "properties": {"product_id": item},
        **more,
    }


def plain(engine: Engine) -> dict[str, Any]:
    return {profile.id: msgspec.to_builtins(profile) for profile in engine.profiles()}


def found_in(folder: Path, words: Iterable[str]) -> list[str]:
    """Search every byte of every file under a folder, in clear and in the encodings that text is often in."""
    hits: list[str] = []
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            data = file.read_bytes()
            for word in words:
                forms = (word.encode(), word.encode("utf-16-le"), word.encode().hex().encode())
                hits += [f"{file.name}: {word}" for form in forms if form in data]
    return hits


def bytes_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())


def copied(folder: Path) -> Path:
    copy = folder / "copy"
    copy.mkdir()
    for file in (*folder.glob("bespeak.db*"), folder / KEY_FILE):
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


ZOE = ("zoe-7f3a", "zoe@example.com", "device-of-zoe-1", "device-of-zoe-2", "Zuckerhut", "zoe-message", "zauberstab-99")


async def live_through(engine: Engine, key: Key, clock: ManualClock) -> None:
    """Let Zoe come on two devices, sign in on both, and make mistakes; and let others do the same."""
    for name, devices in (("zoe", 2), ("ann", 1), ("bob", 2)):
        user = "zoe-7f3a" if name == "zoe" else name
        for place in range(1, devices + 1):
            device = f"device-of-{name}-{place}"
            mark = "zauberstab-99" if name == "zoe" else "i1"
            extra = {"properties": {"product_id": mark, "note": "Zuckerhut" if name == "zoe" else "plain"}}
            ids = [f"{name}-message-{place}-{n}" for n in range(4)]
            await send(engine, key, *(view(mark, n, anonymousId=device, messageId=n, **extra) for n in ids))
            clock.advance(SECOND)
            traits = {"email": f"{name}@example.com"}
            who = {"userId": user, "anonymousId": device, "messageId": f"{name}-message-i{place}"}
            await send(engine, key, {"type": "identify", **who, "traits": traits})
            bad = {"type": "track", "userId": user, "email": f"{name}@example.com", "messageId": f"{name}-message-b"}
            assert (
                await send(engine, key, {**bad, "event": 7}, {**bad, "userId": [user], "event": 1}) == ["rejected"] * 2
            )
        request = DecideRequest(user_id=user, slots=(SlotRequest(id="home", n=3),))
        secret, _ = await engine.create_key("secret", f"secret-{name}")
        engine.decide(request, key=secret)
        engine.checkpoint(models=name == "zoe")


async def test_nothing_of_an_erased_person_is_left_in_any_file(tmp_path: Path) -> None:
    """The test that matters: every byte of every file, beside a running server, after traffic, and after a restart."""
    settings, clock = Settings(data_dir=str(tmp_path)), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await engine.apply([EVER])
        await live_through(engine, key, clock)
        await engine._on_disk()
        others = {name: one for name, one in plain(engine).items() if "zoe" not in name}
        wrapped = [one.wrapped for one in engine.store.each_key()]
        kept = {engine.vault.masters.name_of(f"u:{name}") for name in ("ann", "bob")}
        assert engine.profile("device-of-zoe-2") == engine.profile("zoe-7f3a") is not None

        receipt = await engine.erase("device-of-zoe-1")

        assert (receipt.identifiers, receipt.keys) == (3, 3)
        assert found_in(tmp_path, ZOE) == []
        assert "overwritten" in receipt.stores["disk"]
        left = [one.wrapped for one in engine.store.each_key()]
        everything = bytes_of(tmp_path)
        assert [each in everything for each in wrapped if each not in left] == [False] * 3, "the wrapped keys are gone"
        assert kept <= {one.subject for one in engine.store.each_key()}
        for name in ("zoe-7f3a", "device-of-zoe-1", "device-of-zoe-2", "u:zoe-7f3a"):
            assert engine.profile(name) is None
            assert engine.explain_segments(name) is None
        assert plain(engine) == others
        assert engine.segment_sizes() == {"ever": 2}
        assert [b"zoe" in one.data for one in engine.rejected()] == [False] * 6
        with pytest.raises(NotFound):
            await engine.erase("zoe-7f3a")
        clock.advance(SECOND)
        await send(engine, key, *(view("i2", n, anonymousId="device-of-ann-1") for n in range(10, 60)))
        engine.checkpoint(models=True)
        await engine._on_disk()
        assert found_in(tmp_path, ZOE) == []
    assert found_in(tmp_path, ZOE) == []
    async with running(settings, clock) as engine:
        assert engine.profile("zoe-7f3a") is None
        assert plain(engine).keys() == others.keys()
        assert engine.segment_sizes() == {"ever": 2}
        answer = engine.decide(
            DecideRequest(user_id="zoe-7f3a", slots=(SlotRequest(id="home", n=3),)),
            key=Key(id="k", kind="secret", name="k", created=0, digest=b""),
        )
        assert (answer.personalized, answer.reason) == (False, "nobody is known yet")
        await send(engine, key, view("i2", 99, anonymousId="device-of-ann-1"))
    assert found_in(tmp_path, ZOE) == []


async def test_nothing_personal_is_in_clear_on_disk_even_before_anybody_is_erased(tmp_path: Path) -> None:
    settings, clock = Settings(data_dir=str(tmp_path)), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await live_through(engine, key, clock)
        await engine._on_disk()
        assert found_in(tmp_path, ZOE) == []
    assert found_in(tmp_path, ZOE) == []


async def test_late_events_are_refused_and_whoever_comes_back_starts_anew() -> None:
    clock = ManualClock(START)
    async with running(in_ram(), clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await send(engine, key, view("i1", 1), {"type": "identify", "userId": "u", "anonymousId": "a"})
        first = engine.vault.masters.name_of("a:a")
        number = engine.store.key_of(first)
        clock.advance(HOUR)
        await engine.erase("u")
        late = {"timestamp": format_time(START + 10 * SECOND), "sentAt": format_time(clock.now())}
        (result,) = await engine.track(engine.parse(json.dumps(view("i2", 2, **late)).encode(), key=key), key)
        assert (result.status, result.reason) == ("refused", LATE)
        assert await send(engine, key, view("i2", 3, userId="u", **late)) == ["refused"]
        assert engine.profile("a") is None
        clock.advance(SECOND)
        assert await send(engine, key, view("i3", 4)) == ["ok"]
        again = engine.profile("a")
        assert again is not None
        assert (again["id"], again["counts"]) == ("a:a", {"Product Viewed": 1})
        assert number is not None
        held = engine.store.key_of(first)
        assert held is not None
        assert held.number > number.number
        assert (await engine.import_events([]))[2] == 0


async def test_an_event_that_names_an_erased_device_beside_somebody_else_is_theirs_without_it() -> None:
    clock = ManualClock(START)
    async with running(in_ram(), clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await send(engine, key, view("i1", 1))
        clock.advance(HOUR)
        await engine.erase("a")
        late = {"timestamp": format_time(START), "sentAt": format_time(clock.now())}
        assert await send(engine, key, view("i1", 2, userId="b", **late)) == ["ok"]
        known = engine.profile("b")
        assert known is not None
        assert (known["aliases"], engine.profile("a")) == ([], None)


async def test_events_that_are_not_on_disk_yet_are_erased_with_the_others(tmp_path: Path) -> None:
    settings, clock = Settings(data_dir=str(tmp_path)), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        bodies = [json.dumps(view("zauberstab-99", n, anonymousId="zoe-7f3a")).encode() for n in range(40)]
        receipts = [engine.accept(engine.parse(body, key=key), key) for body in bodies]
        await engine.erase("zoe-7f3a")
        assert all(one.durable.done() for one in receipts)
        assert engine.profile("zoe-7f3a") is None
        assert list(engine.store.each_key()) == [one for one in engine.store.each_key() if len(one.wrapped) == 64]
        assert engine.vault.has_key("a:zoe-7f3a") is False
    assert found_in(tmp_path, ZOE) == []
    async with running(settings, clock) as engine:
        assert plain(engine) == {}


async def test_an_erasure_cut_off_before_the_disk_was_wiped_is_finished_at_the_next_start(tmp_path: Path) -> None:
    settings, clock = Settings(data_dir=str(tmp_path)), ManualClock(START)
    engine = Engine.open(settings, clock=clock)
    await engine.start()
    key, _ = await engine.create_key("write", "site")
    await send(engine, key, view("i1", 1), view("i1", 2, anonymousId="ann"))
    held = engine.store.key_of(engine.vault.masters.name_of("a:a"))
    assert held is not None
    reading = engine.store.read(0)
    next(reading)
    engine.store._settings = SqliteSettings(busy_ms=1)  # type: ignore[attr-defined]
    receipt = await engine.erase("a")
    assert "when a long read has ended" in receipt.stores["disk"]
    assert held.wrapped in bytes_of(tmp_path), "an older page is still in the write-ahead log"
    copy = copied(tmp_path)  # what a process that is killed now leaves behind
    again = Engine.open(Settings(data_dir=str(copy)), clock=clock)
    assert held.wrapped not in bytes_of(copy)
    assert plain(again).keys() == {"a:ann"}
    await again.close()
    reading.close()  # type: ignore[attr-defined]
    await engine.close()
    assert held.wrapped not in bytes_of(tmp_path)


async def test_an_erasure_that_cannot_be_written_has_not_happened() -> None:
    class Full(MemoryStore):
        full = False

        def commit(self, commit: Commit) -> None:
            if self.full:
                raise StoreError("disk full")
            super().commit(commit)

    store, clock = Full(), ManualClock(START)
    async with running(in_ram(), clock, store) as engine:
        key, _ = await engine.create_key("write", "site")
        await send(engine, key, view("i1", 1), {"type": "identify", "userId": "u", "anonymousId": "a"})
        before = plain(engine)
        store.full = True
        with pytest.raises(StoreError):
            await engine.erase("u")
        store.full = False
        assert plain(engine) == before
        assert await send(engine, key, view("i1", 2)) == ["ok"]
        assert (await engine.erase("u")).keys == 2
        assert plain(engine) == {}


async def test_somebody_who_has_only_made_mistakes_can_be_erased() -> None:
    async with running(in_ram(), ManualClock(START)) as engine:
        key, _ = await engine.create_key("write", "site")
        assert await send(engine, key, {"type": "track", "userId": "zoe", "event": 7}) == ["rejected"]
        assert await send(engine, key, {"type": "track", "userId": ["zoe"], "event": 7}) == ["rejected"]
        assert len(engine.rejected()) == 2
        assert "event" in engine.rejected()[0].reason
        await engine.erase("zoe")
        assert engine.rejected() == ()
        with pytest.raises(NotFound):
            await engine.erase("nobody")


def test_a_message_is_kept_under_the_identifier_that_can_be_read_in_it() -> None:
    assert subject_in(b'{"userId": "u", "anonymousId": "a", "event": 7}') == "u:u"
    assert subject_in(b'{"userId": "null", "anonymousId": "a"}') == "a:a"
    assert subject_in(b'{"userId": true}') == subject_in(b"[1]") == subject_in(b'{"userId": "u"') == "store"


async def test_a_shared_device_is_nobody_elses_after_its_first_person_is_erased() -> None:
    """Whom an event joined was decided when it came; replay does not decide it anew with one person fewer."""
    store, clock = MemoryStore(), ManualClock(START)
    async with running(in_ram(), clock, store) as engine:
        key, _ = await engine.create_key("write", "site")
        await send(engine, key, {"type": "identify", "userId": "first", "anonymousId": "shared"})
        await send(engine, key, {"type": "identify", "userId": "second", "anonymousId": "shared"})
        await engine.erase("first")
        assert engine.sequencer.aliases == {}
        assert plain(engine) == plain(from_the_start(store, clock))


class FromTheStart(MemoryStore):
    """The log and the keys of another store, and nothing that was folded from it."""

    def __init__(self, source: MemoryStore) -> None:
        super().__init__()
        self.source = source
        self.beside = source.beside
        self.last_offset = source.last_offset  # type: ignore[method-assign]
        self.read = source.read  # type: ignore[method-assign]
        self.key = source.key  # type: ignore[method-assign]
        self.key_of = source.key_of  # type: ignore[method-assign]
        self.last_key = source.last_key  # type: ignore[method-assign]

    def documents(self, kind: str) -> Any:
        return self.source.documents(kind) if kind == "erased" else super().documents(kind)


def from_the_start(store: MemoryStore, clock: ManualClock) -> Engine:
    return Engine.open(in_ram(), clock=clock, rng=Random(1), store=FromTheStart(store))


def state(engine: Engine) -> dict[str, Any]:
    return {
        "profiles": plain(engine),
        "aliases": dict(engine.sequencer.aliases),
        "sizes": engine.segment_sizes(),
        "count": engine.sequencer.profiles,
    }


def happening(rng: Random, place: int) -> dict[str, Any]:
    device, user = f"d{rng.randrange(6)}", f"u{rng.randrange(4)}"
    chance = rng.random()
    if chance < 0.15:
        return {"type": "identify", "userId": user, "anonymousId": device, "messageId": f"s{place}"}
    if chance < 0.22:
        previous = rng.choice([device, f"u{rng.randrange(4)}"])
        return {"type": "alias", "userId": user, "previousId": previous, "messageId": f"s{place}"}
    who = {"userId": user} if chance < 0.3 else {}
    return view(f"i{rng.randrange(5)}", place, anonymousId=device, messageId=f"s{place}", **who)


@pytest.mark.parametrize("seed", range(25))
async def test_replaying_a_story_with_erasures_gives_what_is_live(seed: int) -> None:
    """From a checkpoint and from the log's start, whoever was erased when; and nobody else has changed."""
    rng = Random(seed)
    store, clock = MemoryStore(), ManualClock(START)
    engine = Engine.open(in_ram(), clock=clock, rng=Random(1), store=store)
    await engine.start()
    key, _ = await engine.create_key(rng.choice(["write", "secret"]), "site")
    erased = 0
    for place in range(90):
        clock.advance(rng.randrange(600) * SECOND)
        if place in {10, 50}:
            await engine.apply([FANS if place == 10 else EVER])
        message = happening(rng, place)
        if rng.random() < 0.2:
            back = rng.randrange(5) * HOUR
            message |= {"timestamp": format_time(clock.now() - back), "sentAt": format_time(clock.now())}
        await send(engine, key, message)
        if rng.random() < 0.1:
            engine.checkpoint(models=rng.random() < 0.5)
        if rng.random() < 0.08:
            erased += await erase_one(engine, rng)
    await engine._on_disk()
    while engine._pending:  # what reads the store below must not see half of a checkpoint come
        await asyncio.wait(engine._pending)
    engine.sequencer.advance(clock.now())
    for again in (Engine.open(in_ram(), clock=clock, rng=Random(1), store=store), from_the_start(store, clock)):
        again.sequencer.advance(clock.now())
        assert at_one_moment(again, clock) == at_one_moment(engine, clock)
    assert erased == sum(
        isinstance(record, ErasureRecord) for row in store.read(0) for _, record in decode(row, after=0)
    )
    await engine.close()


async def erase_one(engine: Engine, rng: Random) -> int:
    engine.sequencer.advance(engine.clock.now())  # so that no timer changes anybody while we look away
    profile = rng.choice([*engine.profiles(), None])
    if profile is None:
        return 0
    others = {name: one for name, one in plain(engine).items() if name != profile.id}
    aliases = {name: whose for name, whose in engine.sequencer.aliases.items() if whose != profile.id}
    receipt = await engine.erase(rng.choice([profile.id, *profile.aliases]))
    assert receipt.identifiers == 1 + len(profile.aliases)
    assert plain(engine) == others
    assert engine.sequencer.aliases == aliases
    return 1


def at_one_moment(engine: Engine, clock: ManualClock) -> dict[str, Any]:
    """Bring every profile to one moment, as a replay does: windows close by the clock and not by the log."""
    for profile_id in engine.sequencer.live.ids():
        profile = engine.sequencer.live.get(profile_id)
        assert profile is not None
        engine.sequencer.advance_profile(profile, clock.now() + 2 * DAY)
    found = state(engine)
    for profile in found["profiles"].values():
        profile.pop("as_of", None)
    return found


async def test_an_older_log_stays_readable_and_is_sealed_from_its_next_checkpoint_on(tmp_path: Path) -> None:
    """Version 0: the log as it was written before there were keys, with nothing beside it."""
    private = msgspec.msgpack.encode([None, "zoe-7f3a", None, None, {"product_id": "i1"}, {}])
    old = EventRecord("track", "Product Viewed", "m1", START, START, "site", False, None, False, envelope.seal(private))
    (tmp_path / "data").mkdir()
    store = SqliteStore(tmp_path / "data" / "bespeak.db")
    payload = msgspec.msgpack.encode([old, old])
    store.commit(Commit(rows=(LogRow(1, 2, START, payload),)))
    store.close()
    settings, clock = Settings(data_dir=str(tmp_path / "data")), ManualClock(START + HOUR)
    async with running(settings, clock) as engine:
        known = engine.profile("zoe-7f3a")
        assert known is not None
        assert known["counts"] == {"Product Viewed": 2}
        key, _ = await engine.create_key("write", "site")
        await send(engine, key, view("i1", 2, anonymousId="ann"))
        await engine.erase("zoe-7f3a")
        assert plain(engine).keys() == {"a:ann"}
    async with running(settings, clock) as engine:
        assert plain(engine).keys() == {"a:ann"}
        await engine.apply([EVER])
        assert plain(engine).keys() == {"a:ann"}


async def test_a_checkpoint_in_clear_is_taken_over_and_replaced(tmp_path: Path) -> None:
    from bespeak.engine.recovery import Totals
    from bespeak.profiles import Profile
    from bespeak.stores import Checkpoint, Product, ProfileRow

    store = SqliteStore(tmp_path / "bespeak.db")
    profile = Profile(id="u:zoe-7f3a", user_id="zoe-7f3a", aliases=["a:device-of-zoe-1"], counts={"Product Viewed": 3})
    store.commit(
        Commit(
            rows=(LogRow(1, 1, START, msgspec.msgpack.encode([ErasureRecord((), START)])),),
            checkpoint=Checkpoint(
                offset=1,
                profiles=(ProfileRow(profile.id, msgspec.msgpack.encode(profile)),),
                aliases={"a:device-of-zoe-1": profile.id},
                products=(Product("state", 1, msgspec.msgpack.encode(Totals(profiles=1))),),
            ),
        )
    )
    store.close()
    settings, clock = Settings(data_dir=str(tmp_path)), ManualClock(START)
    for _ in range(2):
        async with running(settings, clock) as engine:
            known = engine.profile("device-of-zoe-1")
            assert known is not None
            assert (known["id"], known["counts"]) == ("u:zoe-7f3a", {"Product Viewed": 3})
            assert plain(engine).keys() == {"u:zoe-7f3a"}, "known once, whatever it is in the store"
            assert dict(engine.sequencer.aliases) == {"a:device-of-zoe-1": "u:zoe-7f3a"}
    async with running(settings, clock) as engine:
        assert [row.id[1:2] != ":" for row in engine.store.profiles()] == [True]
        assert [":" in name for name in engine.store.aliases()] == [False]


async def test_the_master_key_changes_while_events_come_in(tmp_path: Path) -> None:
    settings, clock = Settings(data_dir=str(tmp_path)), ManualClock(START)
    key_file = tmp_path / KEY_FILE
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await send(engine, key, *(view("i1", n, anonymousId=f"d{n}") for n in range(30)))
        assert key_file.stat().st_mode & 0o777 == 0o600
        old, wrapped = engine.vault.masters.secrets[1], [one.wrapped for one in engine.store.each_key()]
        rotation = asyncio.create_task(engine.rotate_master_key())
        for n in range(30, 40):
            await send(engine, key, view("i1", n, anonymousId=f"d{n}"))
        done = await rotation
        assert (done.version, done.retired) == (2, (1,))
        assert done.rewrapped >= 30
        everything = bytes_of(tmp_path)
        assert old.encode() not in everything
        assert [each in everything for each in wrapped] == [False] * len(wrapped)
        before = plain(engine)
    async with running(settings, clock) as engine:
        assert plain(engine) == before
        assert await send(engine, key, view("i1", 50, anonymousId="d1")) == ["ok"]


async def test_a_rotation_that_was_cut_off_is_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    store, clock = MemoryStore(), ManualClock(START)
    engine = Engine.open(in_ram(), clock=clock, rng=Random(1), store=store)
    await engine.start()
    key, _ = await engine.create_key("write", "site")
    await send(engine, key, *(view("i1", n, anonymousId=f"d{n}") for n in range(20)))
    before = plain(engine)
    monkeypatch.setattr("bespeak.engine.custody.REWRAPPED_AT_ONCE", 5)
    commit, commits = store.commit, 0

    def cut_off(one: Commit) -> None:
        nonlocal commits
        commits += 1
        if commits > 2:
            raise StoreError("the plug was pulled")
        commit(one)

    monkeypatch.setattr(store, "commit", cut_off)
    with pytest.raises(StoreError):
        await engine.rotate_master_key()
    monkeypatch.setattr(store, "commit", commit)
    async with running(in_ram(), clock, store) as again:
        assert plain(again) == before
        assert sorted(again.vault.masters.secrets) == [1, 2]
        done = await again.rotate_master_key()
        assert (done.version, done.rewrapped, done.retired) == (2, 10, (1,))
        assert sorted(again.vault.masters.secrets) == [2]
        assert (await again.rotate_master_key()).version == 3
        assert plain(again) == before


async def test_without_its_key_file_a_store_is_not_opened_and_no_new_one_is_made(tmp_path: Path) -> None:
    settings, clock = Settings(data_dir=str(tmp_path)), ManualClock(START)
    async with running(settings, clock) as engine:
        key, _ = await engine.create_key("write", "site")
        await send(engine, key, view("i1", 1))
    kept = (tmp_path / KEY_FILE).rename(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"master\.key is missing"):
        Engine.open(settings, clock=clock)
    assert not (tmp_path / KEY_FILE).exists()
    kept.rename(tmp_path / KEY_FILE)
    async with running(settings, clock) as engine:
        assert engine.profile("a") is not None
