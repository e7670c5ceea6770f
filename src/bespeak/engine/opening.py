"""Where a ledger's store and its master keys are, as the settings say."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from bespeak.errors import BespeakError
from bespeak.privacy.masters import KEY_FILE, KeyFile, KeyHeld, KeyPlace, decode_masters
from bespeak.settings import Settings
from bespeak.stores import MemorySettings, MemoryStore, SqliteSettings, SqliteStore, Store, StoreLock

KEY_AWAITING = f"{KEY_FILE}.restored"
"""The key file of a store that is being restored, until the store is in its place."""


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
                store = SqliteStore(directory / settings.store.path, settings.store)
                finish_restore(directory, store)
                return store, lock
            except BaseException:
                lock.release()
                raise
        case _:
            assert_never(settings.store)


def opens(store: Store, key_file: bytes | None) -> bool:
    """Say whether what a store holds can be opened: a store without data keys always can, without a key file none can.

    Raises
    ------
    StoreError
        The key file is damaged.
    KeyMissing, SealBroken
        It is that of another store, or of this one before or after a rotation.
    """
    masters = None if key_file is None else decode_masters(key_file)
    held = next(iter(store.each_key()), None)
    if held is None or masters is None:
        return held is None
    masters.unwrap(held.wrapped, number=held.number, subject=held.subject)
    return True


def finish_restore(directory: Path, store: Store) -> None:
    """Put the key file that a restore brought in force, if it is the store's; under the lock of the directory.

    A restore writes the key file aside, replaces the store, then puts the key in force. Cut off in between, whoever
    opens the store next comes to this.

    Raises
    ------
    StoreError
        A key file cannot be read or written.
    """
    brought = KeyFile(directory / KEY_AWAITING).read()
    if brought is None:
        return
    there = KeyFile(directory / KEY_FILE).read()
    if there is not None and _fits(store, there):
        put_key_in_force(directory, there)
    elif _fits(store, brought):
        put_key_in_force(directory, brought)
    # else neither is of use, and either may be what somebody looks for: both stay


def put_key_in_force(directory: Path, key_file: bytes) -> None:
    """Make this the key file of a directory, and forget what a restore has put aside. Raises `StoreError`."""
    place = KeyFile(directory / KEY_FILE)
    if place.read() != key_file:
        place.write(key_file)
    KeyFile(directory / KEY_AWAITING).remove()


def _fits(store: Store, key_file: bytes | None) -> bool:
    try:
        return opens(store, key_file)
    except BespeakError:
        return False
