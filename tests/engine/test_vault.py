"""The vault: one key an identifier, whatever the cache holds, and nothing opens that was destroyed."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bespeak.engine.cache import Cache
from bespeak.engine.vault import EVENT, PROFILE, Erased, Vault
from bespeak.errors import StoreError
from bespeak.privacy.envelope import KeyMissing, SealBroken
from bespeak.privacy.masters import KeyHeld
from bespeak.privacy.sealing import key_number
from bespeak.stores import Commit, Forget, MemoryStore


def vault_of(store: MemoryStore, bound: int = 100) -> Vault:
    vault = Vault(store, KeyHeld(store.beside), bound=bound)
    vault.load()
    return vault


@settings.get_profile("few")
@given(st.integers(2, 20), st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=300))
def test_a_cache_answers_what_was_put_last_or_nothing_and_keeps_its_bound(
    bound: int, steps: list[tuple[bool, int]]
) -> None:
    cache = Cache[int, int](bound)
    put: dict[int, int] = {}
    for place, (puts, key) in enumerate(steps):
        if puts:
            cache.put(key, place)
            put[key] = place
            assert cache.get(key) == place
        else:
            assert cache.get(key) in {put.get(key), None}
        assert len(cache) <= bound + 1
    for key in put:
        cache.drop(key)
        assert cache.get(key) is None


def test_what_was_used_lately_stays_in_a_cache() -> None:
    cache = Cache[int, int](10)
    cache.put(0, 0)
    for key in range(1, 100):
        cache.put(key, key)
        assert cache.get(0) == 0


@pytest.mark.parametrize("seed", range(5))
def test_an_identifier_has_one_key_whatever_the_cache_holds(seed: int) -> None:
    rng, store = Random(seed), MemoryStore()
    vault = vault_of(store, bound=4)
    numbers: dict[str, int] = {}
    sealed: list[tuple[bytes, bytes]] = []
    for place in range(200):
        subject, data = f"u:{rng.randrange(20)}", b"%d" % place
        envelope = vault.seal(subject, EVENT, data)
        assert key_number(envelope) == numbers.setdefault(subject, key_number(envelope))
        sealed.append((envelope, data))
        if rng.random() < 0.3:
            keys = vault.made()
            store.commit(Commit(keys=keys))
            vault.written(keys)
        assert all(vault.open(one, EVENT) == held for one, held in rng.sample(sealed, min(3, len(sealed))))
    store.commit(Commit(keys=vault.made()))
    assert len(numbers) == store.last_key() == len(set(numbers.values()))
    again = vault_of(store)
    assert [again.open(one, EVENT) for one, _ in sealed] == [data for _, data in sealed]


def test_a_destroyed_key_opens_nothing_before_and_after_the_commit_and_a_new_one_is_another() -> None:
    store = MemoryStore()
    vault = vault_of(store)
    old, other = vault.seal("u:zoe", EVENT, b"old"), vault.seal("u:ann", EVENT, b"hers")
    store.commit(Commit(keys=vault.made()))
    numbers, documents = vault.destroy(["u:zoe", "a:never seen"], Erased(5, 1))
    assert (vault.open(old, EVENT), vault.open(other, EVENT)) == (None, b"hers")
    new = vault.seal("u:zoe", EVENT, b"new")
    store.commit(Commit(keys=vault.made(), documents=documents, forget=Forget(keys=numbers)))
    vault.destroyed(numbers)
    for one in (vault, vault_of(store)):
        assert [one.open(each, EVENT) for each in (old, new, other)] == [None, b"new", b"hers"]
        assert (one.newest, one.erased("u:zoe"), one.erased("u:ann")) == (5, Erased(5, 1), None)


def test_what_does_not_belong_is_an_error_and_never_an_answer() -> None:
    store = MemoryStore()
    vault = vault_of(store)
    sealed = vault.seal("u:zoe", EVENT, b"private")
    with pytest.raises(SealBroken):
        vault.open(sealed, PROFILE)
    with pytest.raises(SealBroken):
        vault.open(b"\x00private", EVENT)
    with pytest.raises(KeyMissing, match="no key 77"):
        vault.open(b"\x01" + (77).to_bytes(16, "big") + sealed[17:], EVENT)


def test_the_key_file_of_another_store_opens_nothing() -> None:
    store, other = MemoryStore(), MemoryStore()
    vault = vault_of(store)
    sealed = vault.seal("u:zoe", EVENT, b"private")
    store.commit(Commit(keys=vault.made()))
    vault_of(other)
    with pytest.raises(SealBroken, match="another store"):
        Vault(store, KeyHeld(other.beside), bound=10).open(sealed, EVENT)
    store.beside.clear()
    with pytest.raises(StoreError, match="restore it"):
        Vault(store, KeyHeld(store.beside), bound=10)
