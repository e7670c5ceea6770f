"""Where it is kept: the protocol of every store, the values that pass through it, and two stores.

A store keeps bytes; it knows nothing of events or profiles.
"""

from __future__ import annotations

from bespeak.stores.gaps import is_gap
from bespeak.stores.lock import Owner, StoreLock, read_owner
from bespeak.stores.memory import MemoryStore
from bespeak.stores.settings import MemorySettings, SqliteSettings, StoreSettings
from bespeak.stores.sqlite import SqliteStore
from bespeak.stores.sqlite_check import Advance, BadRow, Checked
from bespeak.stores.sqlite_copy import copy_file, put_in_place
from bespeak.stores.sqlite_repair import repair_file, verify_file
from bespeak.stores.sqlite_snapshot import SqliteSnapshot
from bespeak.stores.store import (
    ChangeRow,
    Checkpoint,
    Commit,
    Document,
    Forget,
    LogRow,
    Part,
    Product,
    ProfileRow,
    Rejected,
    SeenPage,
    Snapshot,
    Store,
    WrappedKey,
)
from bespeak.stores.verify import split_digests

__all__ = [
    "Advance",
    "BadRow",
    "ChangeRow",
    "Checked",
    "Checkpoint",
    "Commit",
    "Document",
    "Forget",
    "LogRow",
    "MemorySettings",
    "MemoryStore",
    "Owner",
    "Part",
    "Product",
    "ProfileRow",
    "Rejected",
    "SeenPage",
    "Snapshot",
    "SqliteSettings",
    "SqliteSnapshot",
    "SqliteStore",
    "Store",
    "StoreLock",
    "StoreSettings",
    "WrappedKey",
    "copy_file",
    "is_gap",
    "put_in_place",
    "read_owner",
    "repair_file",
    "split_digests",
    "verify_file",
]
