"""Where it is kept: the protocol of every store, the values that pass through it, and two stores.

A store keeps bytes; it knows nothing of events or profiles.
"""

from __future__ import annotations

from bespeak.stores.lock import Owner, StoreLock, read_owner
from bespeak.stores.memory import MemoryStore
from bespeak.stores.settings import MemorySettings, SqliteSettings, StoreSettings
from bespeak.stores.sqlite import SqliteStore
from bespeak.stores.store import (
    Checkpoint,
    Commit,
    Document,
    Forget,
    LogRow,
    Product,
    ProfileRow,
    Rejected,
    Store,
    WrappedKey,
)

__all__ = [
    "Checkpoint",
    "Commit",
    "Document",
    "Forget",
    "LogRow",
    "MemorySettings",
    "MemoryStore",
    "Owner",
    "Product",
    "ProfileRow",
    "Rejected",
    "SqliteSettings",
    "SqliteStore",
    "Store",
    "StoreLock",
    "StoreSettings",
    "WrappedKey",
    "read_owner",
]
