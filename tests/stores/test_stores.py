"""Both stores, held to the checks that ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from bespeak.stores import MemoryStore, SqliteSettings, SqliteStore, Store
from bespeak.testing import checks


class SqliteMaker:
    """Makes each store in a folder of its own."""

    def __init__(self, folder: Path, settings: SqliteSettings | None = None) -> None:
        self.folder = folder
        self.settings = settings
        self.made = 0

    def __call__(self) -> SqliteStore:
        self.made += 1
        return SqliteStore(self.folder / str(self.made) / "bespeak.db", self.settings)

    def reopen(self, store: Store) -> SqliteStore:
        assert isinstance(store, SqliteStore)
        store.close()
        return SqliteStore(store.path, self.settings)


@pytest.fixture(params=["defaults", "everything at once"])
def sqlite_maker(request, tmp_path) -> SqliteMaker:
    """Under the defaults, and with bounds so low that copying and sorting run all the time."""
    busy = SqliteSettings(wal_kib=1, loose_max=5, cache_kib=8)
    return SqliteMaker(tmp_path, None if request.param == "defaults" else busy)


@pytest.mark.parametrize("check", checks.for_stores(), ids=checks.name_of)
def test_the_memory_store_is_a_store(check):
    check(MemoryStore)


@pytest.mark.parametrize("check", [*checks.for_stores(), *checks.for_durable_stores()], ids=checks.name_of)
def test_the_sqlite_store_is_a_durable_store(check, sqlite_maker):
    check(sqlite_maker)
