"""Changes of memberships in SQLite: a search for one person holds nobody up, and the upkeep counts what they take."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from bespeak.clock import NEVER
from bespeak.stores import ChangeRow, Commit, SqliteSettings, SqliteStore

ROWS = 2_000
BYTES = 1_000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "bespeak.db"


def rows_of(count):
    rng = random.Random(5)
    return tuple(ChangeRow(f"{place:032x}", place, "time", place, rng.randbytes(BYTES)) for place in range(count))


def test_a_search_for_one_person_holds_up_no_other_read(path):
    store = SqliteStore(path)
    store.commit(Commit(changes=rows_of(3)))
    wanted = f"{1:032x}"
    with ThreadPoolExecutor(1) as apart, store._read_lock:  # somebody else is reading
        found = apart.submit(store.changes, 0, limit=9, names=[wanted])
        assert [row.name for row in found.result(timeout=10)] == [wanted]
    store.close()


def test_what_changes_add_to_the_write_ahead_log_counts_and_so_does_what_drops_them(path):
    store = SqliteStore(path, SqliteSettings(wal_kib=1_000_000))
    wal, upkeep = path.with_name(path.name + "-wal"), store._upkeep
    size, counted = wal.stat().st_size, upkeep._wal_bytes
    store.commit(Commit(changes=rows_of(ROWS)))
    assert upkeep._wal_bytes - counted >= wal.stat().st_size - size > ROWS * BYTES
    counted = upkeep._wal_bytes
    assert store.drop_changes(ROWS, NEVER, rows=ROWS // 2)
    assert upkeep._wal_bytes > counted
    store.close()


def test_the_highest_number_outlives_its_row_and_the_process(path):
    store = SqliteStore(path)
    assert store.last_change() == 0
    store.commit(Commit(changes=rows_of(5)))
    store.drop_changes(5, NEVER, rows=9)
    assert (store.changes(0, limit=9), store.last_change()) == ((), 5)
    store.close()
    again = SqliteStore(path)
    assert again.last_change() == 5
    again.close()
