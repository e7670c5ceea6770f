"""Keys at work: rotated without a second source, ended at once, and remembered over a restart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from bespeak.clock import DAY, HOUR, SECOND, ManualClock
from bespeak.engine import Engine, issuing
from bespeak.engine.issuing import LAST
from bespeak.errors import Conflict, NotFound, StoreError
from bespeak.privacy import Key, digest_token, encode_key, make_key, sign
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import Commit, Document, MemorySettings, MemoryStore

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND // HOUR * HOUR
QUIET = Settings(store=MemorySettings(), engine=EngineSettings(checkpoint_seconds=3600, models_seconds=3600))


class Kept(MemoryStore):
    """A memory store that an engine does not close, and that can fail."""

    failing = False

    def close(self) -> None:
        pass

    def commit(self, commit: Commit) -> None:
        if self.failing:
            raise StoreError("the disk is full")
        super().commit(commit)


@asynccontextmanager
async def running(clock: ManualClock, store: MemoryStore | None = None) -> AsyncIterator[Engine]:
    engine = Engine.open(QUIET, clock=clock, rng=Random(1), store=store)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


async def send(engine: Engine, token: str, message_id: str, **more: Any) -> str:
    key = engine.key(token)
    assert key is not None
    message = {"type": "track", "event": "X", "anonymousId": "ada", "messageId": message_id, **more}
    (result,) = await engine.track(engine.parse(json.dumps(message).encode(), key=key), key)
    return result.status


async def test_a_message_resent_under_the_new_token_is_a_duplicate() -> None:
    clock = ManualClock(START)
    async with running(clock) as engine:
        key, old = await engine.create_key("write", "shop")
        assert await send(engine, old, "m1") == "ok"
        turned, new = await engine.rotate_key(key.id, overlap=HOUR)
        assert (turned.id, turned.name) == (key.id, "shop")
        assert [await send(engine, token, "m1") for token in (old, new)] == ["duplicate", "duplicate"]
        assert await send(engine, new, "m2") == "ok"
        assert await send(engine, old, "m2") == "duplicate"


async def test_a_rotation_outlives_a_restart_and_its_overlap_ends_on_time() -> None:
    clock, store = ManualClock(START), Kept()
    async with running(clock, store) as engine:
        key, old = await engine.create_key("write", "shop")
        _, new = await engine.rotate_key(key.id, overlap=DAY)
    async with running(clock, store) as engine:
        assert engine.key(old) == engine.key(new) == engine.key_of(key.id)
        clock.advance(DAY)
        assert engine.key(old) is None
        assert "was replaced" in (engine.why_refused(old) or "")
        assert engine.key(new) is not None
        assert engine.why_refused("bsw_of_nobody") is None


async def test_a_signature_of_before_the_rotation_is_believed_until_the_overlap_is_over() -> None:
    clock = ManualClock(START)
    async with running(clock) as engine:
        key, _ = await engine.create_key("write", "shop")
        assert key.signing_secret is not None
        before = sign(key.signing_secret, "ada")
        turned, _ = await engine.rotate_key(key.id, overlap=HOUR)
        body = json.dumps({"type": "identify", "userId": "ada", "userSignature": before}).encode()
        assert engine.parse(body, key=turned).events[0].signed
        clock.advance(HOUR)
        assert not engine.parse(body, key=turned).events[0].signed
        assert turned.signing_secret is not None
        after = sign(turned.signing_secret, "ada")
        body = json.dumps({"type": "identify", "userId": "ada", "userSignature": after}).encode()
        assert engine.parse(body, key=turned).events[0].signed


async def test_revoking_ends_every_token_of_a_key_at_once() -> None:
    clock = ManualClock(START)
    async with running(clock) as engine:
        key, old = await engine.create_key("write", "shop")
        _, new = await engine.rotate_key(key.id, overlap=DAY)
        await engine.revoke_key(key.id)
        assert engine.key(old) is engine.key(new) is None
        assert "was revoked" in (engine.why_refused(old) or "")
        with pytest.raises(Conflict, match="was revoked"):
            await engine.rotate_key(key.id, overlap=DAY)
        with pytest.raises(NotFound, match="bespeak keys list"):
            await engine.rotate_key("key_none", overlap=DAY)


async def test_whoever_revokes_the_last_secret_key_is_warned() -> None:
    clock = ManualClock(START)
    async with running(clock) as engine:
        write, _ = await engine.create_key("write", "shop")
        first, _ = await engine.create_key("secret", "backend")
        second, _ = await engine.create_key("secret", "reports", expires=START + DAY)
        assert await engine.revoke_key(write.id) is None
        assert await engine.revoke_key(second.id) is None
        assert await engine.revoke_key(first.id) == LAST
        third, _ = await engine.create_key("secret", "another", expires=START + DAY)
        last, _ = await engine.create_key("secret", "yet-another")
        clock.advance(DAY)
        assert await engine.revoke_key(last.id) == LAST, f"{third.name} has expired"


async def test_the_hour_of_the_last_use_is_kept_by_token_and_written_with_a_checkpoint() -> None:
    clock, store = ManualClock(START), Kept()
    async with running(clock, store) as engine:
        key, old = await engine.create_key("secret", "backend")
        turned, new = await engine.rotate_key(key.id, overlap=DAY)
        assert engine.last_used(key.digest) is None
        engine.key(old)
        clock.advance(2 * HOUR + 5)
        engine.key(new)
        engine.key(new)
        assert (engine.last_used(key.digest), engine.last_used(turned.digest)) == (START, START + 2 * HOUR)
        before = len(store.versions("key_used", "hours"))
        await engine.checkpoint_now()
        clock.advance(60 * SECOND)
        engine.key(new)
        await engine.checkpoint_now()
        assert len(store.versions("key_used", "hours")) == before + 1, "no write a request"
    async with running(clock, store) as engine:
        assert engine.last_used(digest_token(new)) == START + 2 * HOUR


async def test_what_was_noted_of_the_use_of_keys_outlives_a_commit_that_failed() -> None:
    clock, store = ManualClock(START), Kept()
    async with running(clock, store) as engine:
        key, token = await engine.create_key("secret", "backend")
        engine.key(token)
        await engine.checkpoint_now()
        clock.advance(HOUR)
        engine.key(token)
        store.failing = True
        with pytest.raises(StoreError):
            await engine.checkpoint_now()
        store.failing = False
        await asyncio.sleep(0)
        assert engine.last_used(key.digest) == START + HOUR
        await engine.checkpoint_now()
    async with running(clock, store) as engine:
        assert engine.last_used(key.digest) == START + HOUR


async def test_a_rotation_that_could_not_be_written_changed_nothing() -> None:
    clock, store = ManualClock(START), Kept()
    async with running(clock, store) as engine:
        key, old = await engine.create_key("write", "shop")
        store.failing = True
        with pytest.raises(StoreError):
            await engine.rotate_key(key.id, overlap=HOUR)
        store.failing = False
        await asyncio.sleep(0)
        assert engine.key(old) == key
        turned, _ = await engine.rotate_key(key.id, overlap=0)
        assert engine.key(old) is None
        assert engine.key_of(key.id) == turned


async def test_a_caller_who_goes_away_leaves_a_rotation_that_is_whole() -> None:
    clock = ManualClock(START)
    async with running(clock) as engine:
        key, old = await engine.create_key("write", "shop")
        asked = asyncio.create_task(engine.revoke_key(key.id))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        with pytest.raises(Conflict, match="was revoked"):  # waits until the one before is done
            await engine.rotate_key(key.id, overlap=0)
        assert engine.key(old) is None


async def test_there_is_a_bound_on_keys_and_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuing, "KEYS_MAX", 2)
    async with running(ManualClock(START)) as engine:
        first, _ = await engine.create_key("write", "one")
        await engine.create_key("write", "two")
        with pytest.raises(Conflict, match="keys rotate"):
            await engine.create_key("write", "three")
        await engine.rotate_key(first.id, overlap=HOUR)


async def test_a_token_whose_memory_has_gone_opens_nothing() -> None:
    clock = ManualClock(START)
    async with running(clock) as engine:
        key, first = await engine.create_key("write", "shop")
        for _ in range(9):
            clock.advance(SECOND)
            await engine.rotate_key(key.id, overlap=0)
        assert engine.key(first) is None
        assert engine.why_refused(first) is None, "forgotten, as if nobody had issued it"


async def test_a_key_of_a_store_from_before_scopes_works_and_can_be_rotated() -> None:
    clock, store = ManualClock(START), Kept()
    key, token = make_key("write", "shop", at=0, token_bytes=lambda size: b"k" * size)
    store.commit(Commit(documents=(Document("key", key.id, 1, encode_key(key)),)))
    revoked, dead = make_key("secret", "gone", at=0, token_bytes=lambda size: b"r" * size)
    ended = Key(id=revoked.id, kind="secret", name="gone", created=0, digest=revoked.digest, revoked=5)
    store.commit(Commit(documents=(Document("key", revoked.id, 2, encode_key(ended)),)))
    async with running(clock, store) as engine:
        assert engine.key(token) == key
        assert engine.key(dead) is None
        turned, new = await engine.rotate_key(key.id, overlap=HOUR)
        assert engine.key(token) == engine.key(new) == turned
