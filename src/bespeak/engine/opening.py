"""Where a ledger's store and its master keys are, as the settings say."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from bespeak.privacy.masters import KEY_FILE, KeyFile, KeyHeld, KeyPlace
from bespeak.settings import Settings
from bespeak.stores import MemorySettings, MemoryStore, SqliteSettings, SqliteStore, Store, StoreLock


def place_of_keys(settings: Settings, store: Store) -> KeyPlace:
    """Return where the master keys of a store are kept unless told otherwise."""
    if isinstance(store, MemoryStore):
        return KeyHeld(store.beside)
    return KeyFile(Path(settings.data_dir) / KEY_FILE)


def open_store(settings: Settings, address: str | None) -> tuple[Store, StoreLock | None]:
    """Open the store of these settings, and take the lock of its directory."""
    match settings.store:
        case MemorySettings():
            return MemoryStore(settings.store), None
        case SqliteSettings():
            directory = Path(settings.data_dir)
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = StoreLock.acquire(directory, address)
            try:
                return SqliteStore(directory / settings.store.path, settings.store), lock
            except BaseException:
                lock.release()
                raise
        case _:
            assert_never(settings.store)
