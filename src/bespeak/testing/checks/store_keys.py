"""What a store must do with keys, and with what is to be forgotten."""

from __future__ import annotations

from bespeak.stores import Checkpoint, Commit, Forget, Rejected, WrappedKey
from bespeak.testing.checks.expect import equal, true
from bespeak.testing.checks.store_makers import DurableStoreMaker, StoreMaker, denied, made
from bespeak.testing.checks.store_model import digest


def check_keys_are_found_by_number_and_by_subject(make: StoreMaker) -> None:
    """Every key is there under both, in the order of the numbers; a key wrapped anew stays the same key."""
    keys = tuple(WrappedKey(number, digest(number), bytes([number]) * 64) for number in (1, 2, 5))
    with made(make) as store:
        equal("last_key of an empty store", store.last_key(), 0)
        store.commit(Commit(keys=keys[:2]))
        store.commit(Commit(keys=keys[2:]))
        anew = WrappedKey(2, digest(2), b"w" * 64)
        store.commit(Commit(keys=(anew,)))
        equal("keys", list(store.each_key()), [keys[0], anew, keys[2]])
        equal("key 2", store.key(2), anew)
        equal("key 3", store.key(3), None)
        several = sorted(store.keys_numbered((5, 3, 2, 5)), key=lambda key: key.number)
        equal("keys of some numbers", several, [anew, keys[2]])
        equal("keys of many numbers", len(store.keys_numbered(range(300))), 3)
        equal("key of a subject", store.key_of(digest(2)), anew)
        equal("keys of many subjects", store.keys_of((digest(3), digest(2), digest(2))), (anew,))
        equal("key of no subject", store.key_of(digest(3)), None)
        equal("last_key", store.last_key(), 5)
        for wrong in (WrappedKey(0, digest(1), b"w"), WrappedKey(6, b"short", b"w"), WrappedKey(6, digest(1), b"")):
            denied(f"{wrong}", store.commit, Commit(keys=(wrong,)))


def check_a_destroyed_key_stays_destroyed(make: StoreMaker) -> None:
    """Nothing of it is answered any more, whoever wraps it anew; its number is not given again, its subject may be."""
    keys = tuple(WrappedKey(number, digest(number), bytes([number]) * 64) for number in (1, 2, 3))
    with made(make) as store:
        store.commit(Commit(keys=keys[:2]))
        store.commit(Commit(keys=keys[2:], forget=Forget(keys=(2, 3, 7))))
        true("wiped", store.wipe(), None)
        store.commit(Commit(keys=(WrappedKey(2, digest(2), b"w" * 64),)))
        gone = WrappedKey(2, bytes(16), b"")
        equal("key 2", store.key(2), gone)
        equal("a key made and destroyed in one commit", store.key(3), WrappedKey(3, bytes(16), b""))
        equal("among others", sorted(store.keys_numbered((1, 2)), key=lambda key: key.number), [keys[0], gone])
        equal("key of its subject", store.key_of(digest(2)), None)
        equal("and among others", store.keys_of((digest(2),)), ())
        equal("keys", list(store.each_key()), [keys[0]])
        equal("last_key", store.last_key(), 3)
        store.commit(Commit(keys=(WrappedKey(4, digest(2), b"n" * 64),)))
        equal("a new key of its subject", store.key_of(digest(2)), WrappedKey(4, digest(2), b"n" * 64))


def check_what_is_forgotten_is_gone(make: StoreMaker) -> None:
    """Of the rejected things those go that are asked for, of the aliases those named, before new ones come."""
    things = tuple(Rejected("key", str(n), "why", n, b"%d" % n) for n in range(6))
    with made(make) as store:
        store.commit(Commit(rejected=things[:5], checkpoint=Checkpoint(offset=0, aliases={"a:x": "u:1", "a:y": "u:1"})))
        cut = Checkpoint(offset=0, unaliased=("a:x", "a:y", "a:none"), aliases={"a:y": "u:2"})
        forget = Forget(rejected=lambda one: one.at % 2 == 0)
        store.commit(Commit(rejected=things[5:], checkpoint=cut, forget=forget))
        equal("rejected", store.rejected(), (things[5], things[3], things[1]))
        equal("rejected_count", store.rejected_count(), 3)
        equal("aliases", dict(store.aliases()), {"a:y": "u:2"})


def check_a_destroyed_key_is_gone_after_reopening_too(make: DurableStoreMaker) -> None:
    """Neither it nor its subject comes back with the file."""
    with made(make) as first:
        first.commit(Commit(keys=tuple(WrappedKey(each, digest(each), b"w" * 64) for each in (1, 2))))
        first.commit(Commit(forget=Forget(keys=(1,))))
        store = make.reopen(first)
        equal("keys", list(store.each_key()), [WrappedKey(2, digest(2), b"w" * 64)])
        equal("key 1", store.key(1), WrappedKey(1, bytes(16), b""))
        store.close()
