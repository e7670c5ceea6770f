"""Timers read page by page: whatever is in RAM, on its way to the disk or at rest, comes up when it is due."""

from __future__ import annotations

from random import Random

import pytest

from bespeak.clock import HOUR, MINUTE
from bespeak.engine import timers as timing
from bespeak.engine.timers import Timers
from bespeak.profiles import Profile
from bespeak.stores import Checkpoint, Commit, MemoryStore, ProfileRow

START = 500_000 * HOUR


@pytest.mark.parametrize("seed", range(30))
def test_every_flip_comes_up_when_it_is_due_however_small_the_pages(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "PAGE", 3)
    rng, store, now = Random(seed), MemoryStore(), START
    flips = {f"u:{number}": START + rng.randrange(-2, 6) * HOUR // 2 + rng.randrange(99) for number in range(40)}
    store.commit(Commit(checkpoint=Checkpoint(offset=0, profiles=tuple(row(*flip) for flip in flips.items()))))
    timers, awake = Timers(store), dict[str, Profile]()
    for _ in range(200):
        match rng.randrange(6):
            case 0:  # an event changed a profile
                name = rng.choice(sorted(flips))
                flips[name] = now + rng.randrange(3 * HOUR)
                awake[name] = Profile(id=name, next_flip_at=flips[name])
                timers.note(name, flips[name])
            case 1:  # a checkpoint
                rows = tuple(row(name, profile.next_flip_at) for name, profile in awake.items())
                store.commit(Commit(checkpoint=Checkpoint(offset=0, profiles=rows)))
                awake.clear()
            case 2:
                now += rng.randrange(20 * MINUTE)
            case 3:
                timers.refill(now, awake.values)
            case _:
                while not timers.refill(now, awake.values):
                    pass
                came = set(timers.due(now))
                due = {name for name, at in flips.items() if at <= now}
                assert due <= came
                for name in came:
                    timers.note(name, flips[name])
                for name in due:  # worked through, and nothing comes after
                    flips[name] = 2**62
                    awake[name] = Profile(id=name, next_flip_at=2**62)


def test_an_hour_is_read_in_pages_and_then_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "PAGE", 10)
    store = MemoryStore()
    rows = tuple(row(f"u:{number}", START + number * MINUTE) for number in range(90))
    store.commit(Commit(checkpoint=Checkpoint(offset=0, profiles=rows)))
    timers = Timers(store)
    covered = [timers.refill(START, lambda: ()) for _ in range(8)]
    assert covered.index(True) == 3, "half an hour and a page"
    assert len(timers) == 40
    assert not timers.refill(START + 20 * MINUTE, lambda: ())


def row(name: str, at: int) -> ProfileRow:
    return ProfileRow(name, b"", at)
