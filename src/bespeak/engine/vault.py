"""The data keys of a store at work: one for each identifier, made when first needed, gone when its person is erased.

What is personal is sealed under the key of its *subject*: an event under the identifier that it is taken to be about
(the user id where it is proven or `identity.unsigned` is `merge`, else the anonymous id), a profile under its own id,
a rejected message under the identifier that can be read in it. What belongs to nobody alone (aliases, what the models
have learned, messages that name nobody) is sealed under the key of the store itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache

import msgspec

from bespeak.clock import Instant
from bespeak.engine.cache import Cache
from bespeak.errors import StoreError
from bespeak.ids import ProfileId
from bespeak.privacy.envelope import KEY_BYTES, KeyMissing, SealBroken
from bespeak.privacy.masters import (
    KEY_FILE,
    KeyPlace,
    Masters,
    decode_masters,
    encode_masters,
    make_masters,
)
from bespeak.privacy.sealing import KEY_HEAD_BYTES, Field, Sealer, cipher_of, head_of, key_number, nonces
from bespeak.stores import Document, Store, WrappedKey

STORE = "store"
"""The subject of what belongs to nobody alone; no identifier can be it, since each begins with `u:` or `a:`."""

EVENT = Field("event")
PROFILE = Field("profile")
ALIAS = Field("alias")
PRODUCT = Field("product")
REJECTED = Field("rejected")
CHANGE = Field("change")

CIPHERS = 2_000
"""Ciphers kept prepared, 2.5 KB each: those of the keys used last."""

ERASED = "erased"
"""The kind of document that says when an identifier was erased; its id is the identifier's pseudonym."""


class Erased(msgspec.Struct, frozen=True, array_like=True):
    """An identifier was erased at `at`, by the record at `offset`."""

    at: Instant
    offset: int


class Vault:
    """Seals and opens, and knows who was erased. Used on the engine's thread; opening for the store also elsewhere.

    Parameters
    ----------
    place
        Where the master keys are kept.
    bound
        Keys held unwrapped in RAM, about 600 bytes each.
    random
        Gives that many unguessable bytes.
    """

    def __init__(
        self, store: Store, place: KeyPlace, *, bound: int, random: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._store = store
        self.place = place
        self._random = random
        self._subjects = Cache[str, Sealer](bound)
        self._heads = Cache[bytes, Sealer](bound)
        self._cipher = lru_cache(CIPHERS)(cipher_of)
        self._nonces = nonces(random)
        self._pending: dict[bytes, tuple[Sealer, WrappedKey]] = {}
        self._made: list[WrappedKey] = []
        self._gone: set[int] = set()
        self._last = 0
        self._erased: dict[bytes, Erased] = {}
        self.newest: Instant = -1
        self.masters = self._read()

    # -- sealing

    def seal(self, subject: str, field: Field, data: bytes) -> bytes:
        """Put data into an envelope under the key of a subject, which is made if it has none."""
        return self.seal_with(self.sealer(subject), field, data)

    def sealer(self, subject: str) -> Sealer:
        """Return the key of a subject at work; it is made if there is none."""
        return self._subjects.get(subject) or self._sealer(subject)

    def open(self, sealed: bytes, field: Field) -> bytes | None:
        """Return what an envelope holds; None when its key was destroyed.

        Raises
        ------
        SealBroken
            It was changed, belongs elsewhere, or is not sealed at all.
        KeyMissing
            There never was such a key in this store.
        """
        sealer = self.opener(sealed)
        return None if sealer is None else sealer.open(field, sealed)

    def opener(self, sealed: bytes) -> Sealer | None:
        """Return the key of an envelope at work; None when it was destroyed. Raises as `open`."""
        return self._heads.get(sealed[:KEY_HEAD_BYTES]) or self._opener(key_number(sealed))

    def fetch(self, sealed: Iterable[bytes]) -> None:
        """Read the keys of many envelopes at once, as far as they are not held; what is wrong with one, `open` says."""
        wanted: set[int] = set()
        for one in sealed:
            if self._heads.get(one[:KEY_HEAD_BYTES]) is None:
                with suppress(SealBroken):
                    wanted.add(key_number(one))
        for held in self._store.keys_numbered(sorted(wanted - self._gone)) if wanted else ():
            if held.wrapped:
                with suppress(SealBroken, KeyMissing):
                    self._heads.put(head_of(held.number), self._unwrapped(held))

    def gather(self, subjects: Iterable[str]) -> None:
        """Read the keys of many subjects at once, as far as they are not held; who has none gets one from `sealer`."""
        name_of, held = self.masters.name_of, self._subjects.get
        wanted = {name: one for one in subjects if held(one) is None and (name := name_of(one)) not in self._pending}
        for key in self._store.keys_of(tuple(wanted)) if wanted else ():
            if key.number not in self._gone:
                with suppress(SealBroken, KeyMissing):  # what is wrong with it, `sealer` says
                    self._hold(wanted[key.subject], self._unwrapped(key))

    def note(self, subject: str, sealer: Sealer) -> None:
        """Remember whose key it is: sealing something for them then asks the store for nothing."""
        if self._subjects.get(subject) is None:
            self._subjects.put(subject, sealer)

    def seal_with(self, sealer: Sealer, field: Field, data: bytes) -> bytes:
        """Put data into an envelope under a key that is at hand."""
        return sealer.seal_with(next(self._nonces), field, data)

    def name(self, subject: str) -> str:
        """Return the pseudonym of a subject, 32 hexadecimal digits: what stands on disk in its place."""
        sealer = self._subjects.get(subject)
        return self.masters.name_of(subject).hex() if sealer is None else sealer.subject

    def _sealer(self, subject: str) -> Sealer:
        name = self.masters.name_of(subject)
        pending = self._pending.get(name)
        if pending is not None:
            sealer = pending[0]
        else:
            held = self._store.key_of(name)
            sealer = self._make(name) if held is None or held.number in self._gone else self._unwrapped(held)
        self._hold(subject, sealer)
        return sealer

    def _hold(self, subject: str, sealer: Sealer) -> None:
        self._subjects.put(subject, sealer)
        self._heads.put(head_of(sealer.number), sealer)

    def _make(self, name: bytes) -> Sealer:
        self._last += 1
        number, secret = self._last, self._random(KEY_BYTES)
        key = WrappedKey(number, name, self.masters.wrap(secret, number=number, subject=name, random=self._random))
        sealer = self._at_work(key, secret)
        self._pending[name] = (sealer, key)
        self._made.append(key)
        return sealer

    def _opener(self, number: int) -> Sealer | None:
        if number in self._gone:
            return None
        for sealer, key in self._pending.values():
            if key.number == number:
                return sealer
        held = self._store.key(number)
        if held is None:
            raise KeyMissing(f"envelope: the store has no key {number} to open it with")
        if not held.wrapped:
            return None
        sealer = self._unwrapped(held)
        self._heads.put(head_of(number), sealer)
        return sealer

    def _unwrapped(self, key: WrappedKey) -> Sealer:
        secret = self.masters.unwrap(key.wrapped, number=key.number, subject=key.subject)
        return self._at_work(key, secret)

    def _at_work(self, key: WrappedKey, secret: bytes) -> Sealer:
        tenant, subject = self.masters.tenant, key.subject.hex()
        return Sealer(key.number, secret, tenant=tenant, subject=subject, cipher=self._cipher)

    # -- keys on their way to the store

    @property
    def has_made(self) -> bool:
        """Whether keys were made since `made` was last called."""
        return bool(self._made)

    def made(self) -> tuple[WrappedKey, ...]:
        """Return the keys made since the last call; whoever asks writes them with the rows that use them, or before."""
        if not self._made:
            return ()
        made, self._made = tuple(self._made), []
        return made

    def written(self, keys: Iterable[WrappedKey]) -> None:
        """Note that keys are in the store."""
        for key in keys:
            pending = self._pending.get(key.subject)
            if pending is not None and pending[1].number == key.number:
                del self._pending[key.subject]

    def load(self) -> None:
        """Start anew from what the store holds.

        Raises
        ------
        StoreError
            The key file is damaged, or is not that of this store.
        """
        self.masters = self._read()
        self._subjects.clear()
        self._heads.clear()
        self._cipher.cache_clear()
        self._pending.clear()
        self._made.clear()
        self._gone.clear()
        self._last = self._store.last_key()
        self._erased = {
            bytes.fromhex(one.id): msgspec.msgpack.decode(one.data, type=Erased)
            for one in self._store.documents(ERASED)
            if one.data is not None
        }
        self.newest = max((one.at for one in self._erased.values()), default=-1)

    def _read(self) -> Masters:
        data = self.place.read()
        if data is not None:
            return decode_masters(data)
        if self._store.last_key():
            raise StoreError(
                f"the store holds data keys, but {KEY_FILE} is missing beside it: restore it from where you keep its"
                " copy; without it nothing personal in the store can be read"
            )
        masters = make_masters(self._random)
        self.place.write(encode_masters(masters))
        return masters

    def change_masters(self, masters: Masters) -> None:
        """Put other master keys in force, durably first. Raises `StoreError`."""
        self.place.write(encode_masters(masters))
        self.masters = masters

    def wrapped(self, subject: str, secret: bytes) -> WrappedKey:
        """Return a new key of somebody else's making, wrapped; whoever asks writes it with what it seals."""
        self._last += 1
        number, name = self._last, self.masters.name_of(subject)
        return WrappedKey(number, name, self.masters.wrap(secret, number=number, subject=name, random=self._random))

    # -- erasure

    def numbers(self, subjects: Iterable[ProfileId]) -> tuple[int, ...]:
        """Return the numbers of the keys of subjects that are in the store."""
        held = (self._store.key_of(self.masters.name_of(subject)) for subject in subjects)
        return tuple(key.number for key in held if key is not None and key.number not in self._gone)

    def has_key(self, subject: str) -> bool:
        """Say whether a subject has a key."""
        name = self.masters.name_of(subject)
        held = self._store.key_of(name)
        return name in self._pending or (held is not None and held.number not in self._gone)

    def destroy(self, subjects: Iterable[ProfileId], erased: Erased) -> tuple[tuple[int, ...], tuple[Document, ...]]:
        """Forget the keys of subjects, and remember that they were erased.

        Returns
        -------
        The numbers of the keys that the store must destroy, and the documents that it must keep.
        """
        numbers: list[int] = []
        documents: list[Document] = []
        for subject in subjects:
            name = self.masters.name_of(subject)
            held, pending = self._store.key_of(name), self._pending.pop(name, None)
            found = [key.number for key in (held, pending and pending[1]) if key is not None]
            for number in found:
                self._heads.drop(head_of(number))
            self._subjects.drop(subject)
            numbers += found
            self._erased[name] = erased
            documents.append(Document(ERASED, name.hex(), erased.offset, msgspec.msgpack.encode(erased)))
        self._cipher.cache_clear()
        self._gone.update(numbers)
        self.newest = max(self.newest, erased.at)
        return tuple(numbers), tuple(documents)

    def first_erased_after(self, offset: int) -> Instant | None:
        """Return when the first person was erased by a record after `offset`; None when nobody was."""
        return min((one.at for one in self._erased.values() if one.offset > offset), default=None)

    def destroyed(self, numbers: Iterable[int]) -> None:
        """Note that the store has destroyed keys."""
        self._gone.difference_update(numbers)

    def erased(self, subject: ProfileId) -> Erased | None:
        """Return when a subject was last erased; None when it never was."""
        return self._erased.get(self.masters.name_of(subject)) if self._erased else None
