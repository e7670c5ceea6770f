"""A kill takes no change of a membership away and tells none twice: the list is that of an undisturbed run."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random

import pytest

from bespeak.clock import MINUTE, SECOND
from bespeak.engine import asking
from bespeak.errors import StoreError
from bespeak.stores import Commit
from bespeak.testing.by_hand import ByHand, said
from bespeak.testing.world_changes import changes_are_live
from bespeak.testing.world_fragile import FragileMemory

pytestmark = pytest.mark.anyio

PEOPLE = 12
KILLS = 8
KEEN = 'count("Product Viewed", last 1 minute) >= 2'

Work = Callable[[], Awaitable[object]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ASKED_AT_ONCE", 4)
    monkeypatch.setattr("bespeak.engine.ledger.FLIPS_AT_ONCE", 4)


class Killing(FragileMemory):
    """A store whose process is killed with one of its commits: before it, or when it is in and nobody has heard so."""

    def __init__(self) -> None:
        super().__init__()
        self.commits = 0
        self.kill_at: int | None = None
        self.keeps = False
        self.killed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def commit(self, commit: Commit) -> None:
        self.commits += 1
        if self.kill_at is not None and self.commits >= self.kill_at:
            if self.keeps and self.commits == self.kill_at:
                super().commit(commit)
            self._loop.call_soon_threadsafe(self.killed.set)
            raise StoreError("killed")
        super().commit(commit)


class Story:
    """What happens, each step until it was acknowledged; the process may be killed once."""

    def __init__(self) -> None:
        self.store = Killing()
        self.shop = ByHand(self.store)

    async def do(self, work: Work) -> None:
        """Do a step, and where the process is killed in it, start it again and do the step once more."""
        task = asyncio.ensure_future(work())
        killed = asyncio.ensure_future(self.store.killed.wait())
        await asyncio.wait({task, killed}, return_when=asyncio.FIRST_COMPLETED)
        if not self.store.killed.is_set():
            killed.cancel()
            await task
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self.shop.engine.die()
        self.store.kill_at = None
        self.store.killed.clear()
        await self.shop.open()
        await self.do(work)

    async def tell(self) -> None:
        """Let flips by time, a storm of them, merges, late events and new definitions happen."""
        shop = self.shop
        first = {"keen": KEEN, "new": 'not performed("Order")', "idle": 'not performed("*", last 3 minutes)'}
        await self.do(lambda: shop.define(**first))
        for place in range(2):
            for who in range(PEOPLE):
                await self.do(partial(shop.send, f"d{who}", "Product Viewed", f"{who} {place}"))
        await self.do(lambda: shop.send("user-1", "Order", "order"))
        for who in range(3):
            shop.clock.advance(SECOND)
            await self.do(partial(shop.signs_in, f"d{who}", f"user-{who % 2}"))
        shop.clock.advance(30 * SECOND)
        late = shop.clock.now() - 20 * SECOND
        await self.do(lambda: shop.send("d7", "Order", "late", at=late))
        await self.do(lambda: shop.define(often='sum(properties.n of "Product Viewed") >= 0 and known = false'))
        shop.clock.advance(MINUTE)
        await self.do(lambda: shop.let_pass(0))  # whoever was keen leaves in one second
        await self.do(lambda: shop.define(often='count("Product Viewed") >= 2', keen='count("*", last 4 minutes) >= 2'))
        await self.do(lambda: shop.send("d5", "Product Viewed", "more"))
        shop.clock.advance(5 * MINUTE)
        await self.do(lambda: shop.let_pass(0))
        await self.do(shop.rest)


async def list_of(kill_at: int | None, *, keeps: bool = False) -> tuple[dict[str, list[str]], int]:
    """Return what is told of each person, and how many commits it took, with a kill at one of them."""
    story = Story()
    await story.shop.open()
    begun = story.store.commits
    if kill_at is not None:
        story.shop.engine.doom()
        story.store.kill_at, story.store.keeps = begun + kill_at, keeps
    await story.tell()
    changes_are_live(story.shop.engine)
    told: defaultdict[str, list[str]] = defaultdict(list)
    for one in await story.shop.changes():
        told[one.profile].append(f"{said(one)} {one.cause.offset}")
    commits = story.store.commits - begun
    await story.shop.engine.close()
    return dict(told), commits


async def test_a_kill_at_any_commit_changes_nothing_of_the_list() -> None:
    undisturbed, commits = await list_of(None)
    assert commits > 40
    kinds = {line.split(", ")[1].split()[0] for lines in undisturbed.values() for line in lines}
    assert kinds == {"event", "time", "join", "definition"}
    for kill_at in Random(3).sample(range(1, commits - 2), KILLS):
        told, _ = await list_of(kill_at, keeps=kill_at % 2 == 0)
        assert told == undisturbed, f"killed at commit {kill_at} of {commits}"


@pytest.mark.slow
async def test_a_kill_at_every_commit_changes_nothing_of_the_list() -> None:
    undisturbed, commits = await list_of(None)
    for kill_at in range(1, commits):
        for keeps in (False, True):
            told, _ = await list_of(kill_at, keeps=keeps)
            assert told == undisturbed, f"killed at commit {kill_at} of {commits}, kept: {keeps}"


async def test_a_clock_that_is_set_back_after_a_kill_undoes_no_flip_that_was_told() -> None:
    shop = await ByHand().open(keen=KEEN)
    for view in range(2):
        await shop.send("ann", "Product Viewed", f"ann {view}")
    await shop.let_pass(2 * MINUTE)
    before = await shop.changes()
    assert [one.entered for one in before] == [True, False]
    await shop.engine.die()
    shop.clock.advance(-90 * SECOND)
    await shop.open()
    await shop.send("ann", "Product Viewed", "ann after")
    await shop.let_pass(3 * MINUTE)
    after = await shop.changes()
    assert after[:2] == before
    changes_are_live(shop.engine)
    await shop.engine.close()
