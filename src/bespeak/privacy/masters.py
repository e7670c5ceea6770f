"""The master keys of a store: they wrap data keys, and nothing else. Kept apart from what they wrap.

    wrapped key    version (4) | nonce (12) | secret (32), encrypted | tag (16)       AES-256-GCM

Authenticated beside the secret: the version, the tenant, the key's number and its subject, so that a wrapped key opens
in its own row only. Rotation makes a new version and wraps the data keys anew; what they sealed stays as it is.
"""

from __future__ import annotations

import base64
import hmac
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import msgspec

from bespeak.errors import StoreError
from bespeak.privacy.envelope import KEY_BYTES, NONCE_BYTES, TAG_BYTES, KeyMissing, SealBroken, encrypt

KEY_FILE = "master.key"
"""The name of the key file in the data directory."""

SUBJECT_BYTES = 16
_VERSION_BYTES = 4
WRAPPED_BYTES = _VERSION_BYTES + NONCE_BYTES + KEY_BYTES + TAG_BYTES


class Masters(msgspec.Struct, frozen=True):
    """Every master key in use, by version, and what a store's pseudonyms are made with.

    Parameters
    ----------
    tenant
        Names the store; random.
    index
        The secret of `name_of`; it stays when master keys rotate.
    current
        The version that wraps new keys.
    secrets
        Master keys by version, base64; more than one only while a rotation is under way.
    """

    tenant: str
    index: str
    current: int
    secrets: dict[int, str]

    def __repr__(self) -> str:
        return f"Masters(current={self.current}, versions={sorted(self.secrets)})"

    def name_of(self, subject: str) -> bytes:
        """Return the pseudonym of a subject, 16 bytes: HMAC-SHA256, cut. Nobody else can make it, or take it back."""
        return hmac.digest(_secret_of(self.index), subject.encode(), "sha256")[:SUBJECT_BYTES]

    def wrap(self, secret: bytes, *, number: int, subject: bytes, random: Callable[[int], bytes] = os.urandom) -> bytes:
        """Return a data key's secret, wrapped under the current version; 64 bytes."""
        nonce = random(NONCE_BYTES)
        version = self.current.to_bytes(_VERSION_BYTES, "big")
        bound = self._bound(self.current, number, subject)
        return version + nonce + encrypt(self._secret(self.current), nonce, secret, bound)

    def unwrap(self, wrapped: bytes, *, number: int, subject: bytes) -> bytes:
        """Return the secret of a wrapped key.

        Raises
        ------
        SealBroken
            It was changed, stands in another key's row, or the master key is another one.
        KeyMissing
            Its master key is not in the key file.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        version = version_of(wrapped)
        nonce, sealed = wrapped[_VERSION_BYTES : _VERSION_BYTES + NONCE_BYTES], wrapped[_VERSION_BYTES + NONCE_BYTES :]
        try:
            return AESGCM(self._secret(version)).decrypt(nonce, sealed, self._bound(version, number, subject))
        except (InvalidTag, ValueError):
            raise SealBroken(
                f"data key {number} does not open: it was changed, or {KEY_FILE} is that of another store",
            ) from None

    def _secret(self, version: int) -> bytes:
        held = self.secrets.get(version)
        if held is None:
            known = ", ".join(map(str, sorted(self.secrets)))
            raise KeyMissing(f"master key {version} is missing: {KEY_FILE} holds {known}; restore the key file")
        return base64.b64decode(held)

    def _bound(self, version: int, number: int, subject: bytes) -> bytes:
        return f"bespeak data key {version} {number} {self.tenant} ".encode() + subject


class KeyPlace(Protocol):
    """Where master keys are kept: beside the store, never in it. A key management service is one with two methods."""

    def read(self) -> bytes | None:
        """Return what was written last; None when nothing was. Raises `StoreError`."""
        ...

    def write(self, data: bytes) -> None:
        """Keep it, durably and whole, in the place of what was there. Raises `StoreError`."""
        ...


class KeyFile:
    """A file that only its owner may read (mode 0600), replaced as a whole; the bytes of the one before are wiped."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> bytes | None:
        """Return its content; None when there is no file. Raises `StoreError`."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"the key file {self.path} cannot be read: {error.strerror}") from error

    def write(self, data: bytes) -> None:
        """Replace it: written beside, synced, renamed; then what the old file held is overwritten. `StoreError`."""
        beside = self.path.with_name(self.path.name + ".new")
        try:
            old = os.open(self.path, os.O_RDWR | os.O_CLOEXEC) if self.path.exists() else None
            try:
                file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
                _fill(file, data)
                beside.replace(self.path)
                sync_folder(self.path.parent)
                if old is not None:
                    _wipe(old)
            finally:
                if old is not None:
                    os.close(old)
        except OSError as error:
            raise StoreError(f"the key file {self.path} cannot be written: {error.strerror}") from error

    def remove(self) -> None:
        """Take the file away, if it is there, after its bytes were overwritten. Raises `StoreError`."""
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            try:
                self.path.unlink()
                sync_folder(self.path.parent)
                _wipe(file)
            finally:
                os.close(file)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"the key file {self.path} cannot be removed: {error.strerror}") from error


class KeyHeld:
    """Master keys in RAM, for stores that are there; they go with their mapping."""

    def __init__(self, held: dict[str, bytes]) -> None:
        self._held = held

    def read(self) -> bytes | None:
        """Return what was written last; None when nothing was."""
        return self._held.get(KEY_FILE)

    def write(self, data: bytes) -> None:
        """Keep it in the place of what was there."""
        self._held[KEY_FILE] = data


def make_masters(random: Callable[[int], bytes] = os.urandom) -> Masters:
    """Make the first master key of a store."""
    return Masters(random(8).hex(), _text(random(KEY_BYTES)), 1, {1: _text(random(KEY_BYTES))})


def with_next(masters: Masters, random: Callable[[int], bytes] = os.urandom) -> Masters:
    """Add a version, which wraps from now on; those before still open."""
    version = masters.current + 1
    secrets = {**masters.secrets, version: _text(random(KEY_BYTES))}
    return msgspec.structs.replace(masters, current=version, secrets=secrets)


def retired(masters: Masters) -> Masters:
    """Leave out every version but the current one."""
    return msgspec.structs.replace(masters, secrets={masters.current: masters.secrets[masters.current]})


def encode_masters(masters: Masters) -> bytes:
    """Return the content of a key file."""
    return msgspec.json.format(msgspec.json.encode(masters)) + b"\n"


def decode_masters(data: bytes) -> Masters:
    """Read what `encode_masters` wrote.

    Raises
    ------
    StoreError
        It is not the content of a key file.
    """
    try:
        masters = msgspec.json.decode(data, type=Masters)
    except msgspec.DecodeError as error:
        raise StoreError(f"{KEY_FILE} is damaged ({error}); restore it from where you keep its copy") from None
    if masters.current not in masters.secrets:
        raise StoreError(f"{KEY_FILE} lacks its current version {masters.current}; restore it from its copy")
    return masters


def version_of(wrapped: bytes) -> int:
    """Return the version of the master key that wrapped a data key."""
    return int.from_bytes(wrapped[:_VERSION_BYTES], "big")


@lru_cache(maxsize=8)
def _secret_of(text: str) -> bytes:
    return base64.b64decode(text)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _fill(file: int, data: bytes) -> None:
    try:
        os.write(file, data)
        os.fsync(file)
    finally:
        os.close(file)


def _wipe(file: int) -> None:
    os.pwrite(file, bytes(os.fstat(file).st_size), 0)
    os.fsync(file)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
