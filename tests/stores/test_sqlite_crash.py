"""A process that commits is killed at random moments; nothing that it was told is durable may be missing."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import pytest

from bespeak.ids import digest
from bespeak.stores import SqliteStore

COMMITTING = """
import sys
from random import Random
from bespeak.ids import digest
from bespeak.stores import Checkpoint, Commit, LogRow, Product, ProfileRow, SqliteSettings, SqliteStore

store = SqliteStore(sys.argv[1], SqliteSettings(wal_kib=64, loose_max=2_000))
print("open", flush=True)
while True:
    first = store.last_offset() + 1
    rng = Random(first)
    count = rng.randint(1, 30)
    last = first + count - 1
    cut = Checkpoint(
        offset=last,
        profiles=tuple(ProfileRow(f"u:{n}", b"%d" % last, last) for n in range(3)),
        aliases={"a:1": f"u:{last}"},
        products=(Product("counts", last, b"%d" % last),),
    )
    seen = tuple((digest(str(offset)), first // 500 if offset % 2 else -1) for offset in range(first, last + 1))
    row = LogRow(first, count, 0, rng.randbytes(rng.randint(0, 30_000)))
    store.commit(Commit(rows=(row,), seen=seen, checkpoint=cut if rng.random() < 0.3 else None))
    print(last, flush=True)
"""

KILLS = 5
SEED = 20


@pytest.mark.crash
def test_what_was_committed_survives_a_kill(tmp_path):
    path = tmp_path / "bespeak.db"
    rng = random.Random(SEED)
    for kill in range(1, KILLS + 1):
        seconds = rng.uniform(0.05, 0.5)
        acknowledged = run_and_kill(path, seconds)
        verify_all_of(path, acknowledged, f"seed {SEED}, kill {kill}, after {seconds:.3f} s")


def run_and_kill(path, seconds):
    """Let a process commit for a while, kill it, and return the last offset that it was told is durable."""
    process = subprocess.Popen([sys.executable, "-c", COMMITTING, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    time.sleep(seconds)
    process.kill()
    printed = process.stdout.read().split("\n")[:-1]  # a line without its end was not said
    process.wait()
    process.stdout.close()
    return int(printed[-1]) if printed else 0


def verify_all_of(path, acknowledged, when):
    store = SqliteStore(path)
    try:
        last = store.last_offset()
        assert last >= acknowledged, when
        expected = 1
        for row in store.read(0):
            check = random.Random(row.first)
            assert (row.first, row.count) == (expected, check.randint(1, 30)), when
            assert row.payload == check.randbytes(check.randint(0, 30_000)), when
            expected += row.count
        assert expected == last + 1, when
        every = [digest(str(offset)) for offset in range(1, last + 1)]
        assert store.seen(every) == frozenset(every), when
        assert not store.seen([digest(str(last + 1))]), when
        verify_the_cut(store, when)
    finally:
        store.close()


def verify_the_cut(store, when):
    """Every part of the checkpoint is of one moment."""
    offset = store.checkpoint_offset()
    profiles = list(store.profiles())
    assert {(row.data, row.next_flip_at) for row in profiles} <= {(b"%d" % offset, offset)}, when
    if offset:
        assert len(profiles) == 3, when
        assert store.aliases() == {"a:1": f"u:{offset}"}, when
        product = store.product("counts")
        assert product is not None, when
        assert (product.offset, product.data) == (offset, b"%d" % offset), when
