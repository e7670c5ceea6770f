from __future__ import annotations

import msgspec
import pytest

from bespeak.errors import SettingsError
from bespeak.stores import Commit, Document, MemorySettings, MemoryStore, Rejected, SqliteSettings, StoreSettings


@pytest.mark.parametrize(
    "raw, expected",
    [
        ({"type": "sqlite"}, SqliteSettings()),
        ({"type": "sqlite", "path": "/srv/shop.db", "wal_kib": 64}, SqliteSettings(path="/srv/shop.db", wal_kib=64)),
        ({"type": "memory", "rejected_max": 5}, MemorySettings(rejected_max=5)),
    ],
)
def test_the_type_picks_the_store(raw, expected):
    assert msgspec.convert(raw, StoreSettings) == expected


@pytest.mark.parametrize(
    "raw, words",
    [
        ({"type": "redis"}, "redis"),
        ({"type": "memory", "path": "x"}, "path"),
        ({"type": "sqlite", "path": ""}, r"store\.path"),
        ({"type": "sqlite", "rejected_max": 0}, r"store\.rejected_max: expected 1 or more, got 0"),
        ({"type": "memory", "versions_max": -1}, r"store\.versions_max"),
    ],
)
def test_a_wrong_setting_is_named(raw, words):
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert(raw, StoreSettings)


def test_the_constructor_refuses_the_same():
    with pytest.raises(SettingsError, match=r"store\.busy_ms"):
        SqliteSettings(busy_ms=0)


def test_the_memory_store_keeps_to_its_bounds():
    store = MemoryStore(MemorySettings(rejected_max=2, versions_max=2))
    for number in range(1, 5):
        thing = Rejected("key", str(number), "why", 0, b"")
        store.commit(Commit(rejected=(thing,), documents=(Document("rule", "a", number, b""),)))
    assert [each.place for each in store.rejected()] == ["4", "3"]
    assert [each.version for each in store.versions("rule", "a")] == [3, 4]
    store.close()
