"""What lives long is put aside from the garbage collector, and goes all the same."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from bespeak.server import collecting
from bespeak.server.collecting import YOUNG, keep_aside, put_aside


class Thing:
    """Something that can be watched as it goes."""

    other: Thing | None = None


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_is_put_aside_goes_when_nothing_refers_to_it() -> None:
    thing = Thing()
    watched = weakref.ref(thing)
    put_aside(everything=False)
    assert gc.get_freeze_count() > 0
    assert not any(each is thing for each in gc.get_objects())
    del thing
    assert watched() is None


def test_circles_that_were_put_aside_go_when_everything_is_looked_at() -> None:
    thing = Thing()
    thing.other = Thing()
    thing.other.other = thing
    watched = weakref.ref(thing)
    put_aside(everything=False)
    del thing
    put_aside(everything=False)
    assert watched() is not None
    put_aside(everything=True)
    assert watched() is None


@pytest.mark.anyio
async def test_nothing_is_aside_any_more_when_the_server_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries complain on standard error about what is still there when the process ends."""
    monkeypatch.setattr(collecting, "PUT_ASIDE_SECONDS", 0.001)
    task = asyncio.create_task(keep_aside())
    while not gc.get_freeze_count():  # noqa: ASYNC110  the collector offers no event for it
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert gc.get_freeze_count() == 0


def test_young_objects_are_looked_at_more_rarely_only_while_a_server_runs() -> None:
    before = gc.get_threshold()

    async def run() -> int:
        keeping = asyncio.create_task(keep_aside())
        await asyncio.sleep(0)
        meanwhile = gc.get_threshold()[0]
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping
        return meanwhile

    assert asyncio.run(run()) == YOUNG
    assert gc.get_threshold() == before
