"""What a store must do with a checkpoint that is written in parts."""

from __future__ import annotations

from bespeak.stores import Checkpoint, Commit, Part, ProfileRow, Store
from bespeak.testing.checks.expect import equal
from bespeak.testing.checks.store_makers import DurableStoreMaker, StoreMaker, denied, made
from bespeak.testing.checks.store_model import log_rows

_OLD = (ProfileRow("u:1", b"old one", 10), ProfileRow("u:2", b"old two", 20), ProfileRow("u:3", b"old three"))
_NEW = (ProfileRow("u:1", b"new one", 30), ProfileRow("u:4", b"new four", 5), ProfileRow("u:2", b"new two"))


def _begun(store: Store) -> None:
    """Commit a checkpoint, and two parts of the next one."""
    store.commit(Commit(rows=log_rows(1, (4,)), checkpoint=Checkpoint(offset=2, profiles=_OLD)))
    store.commit(Commit(part=Part(1, 1, _NEW[:2])))
    store.commit(Commit(rows=log_rows(5, (1,)), part=Part(1, 2, _NEW[2:])))


_NAMED = ("u:4", "u:2", "u:1", "u:none", "u:2")


def _profiles(store: Store) -> tuple[object, ...]:
    """Return what is known of profiles, asked in every way that there is."""
    each = tuple(store.profile(f"u:{number}") for number in range(1, 5))
    named = tuple(sorted(store.profiles_named(_NAMED), key=lambda row: row.id))
    return tuple(store.profiles()), tuple(store.profiles("u:1")), each, named, store.due(99, limit=9)


def _with(*rows: ProfileRow) -> tuple[object, ...]:
    """Return what `_profiles` returns when these are all, in the order of their ids."""
    held = {row.id: row for row in rows}
    flips = sorted((row.next_flip_at, row.id) for row in rows if row.next_flip_at is not None)
    each = tuple(held.get(f"u:{number}") for number in range(1, 5))
    named = tuple(row for row in rows if row.id in _NAMED)
    behind = tuple(row for row in rows if row.id > "u:1")
    return rows, behind, each, named, tuple((row_id, at) for at, row_id in flips)


def check_parts_count_with_their_checkpoint(make: StoreMaker) -> None:
    """Until it comes everything is as it was; with it come all rows, and what it removes goes first."""
    with made(make) as store:
        _begun(store)
        equal("before the checkpoint", _profiles(store), _with(*_OLD))
        equal("checkpoint_offset", store.checkpoint_offset(), 2)
        last = Checkpoint(offset=5, cut=1, parts=2, profiles=(), removed=("u:3", "u:1"))
        store.commit(Commit(checkpoint=last))
        equal("after it", _profiles(store), _with(_NEW[0], _NEW[2], _NEW[1]))
        nine = ProfileRow("u:9", b"nine")
        store.commit(Commit(part=Part(2, 1, (nine,)), checkpoint=Checkpoint(offset=5, cut=2, parts=1)))
        equal("a part beside its checkpoint", store.profile("u:9"), nine)


def check_parts_whose_checkpoint_never_came_are_dropped(make: StoreMaker) -> None:
    """By the first part of another, and by a checkpoint that has none."""
    with made(make) as store:
        _begun(store)
        store.commit(Commit(checkpoint=Checkpoint(offset=3, profiles=(ProfileRow("u:3", b"newer"),))))
        equal("a checkpoint without parts", _profiles(store), _with(*_OLD[:2], ProfileRow("u:3", b"newer")))
        store.commit(Commit(part=Part(2, 1, _NEW[:1])))
        store.commit(Commit(part=Part(3, 1, _NEW[1:2])))
        store.commit(Commit(checkpoint=Checkpoint(offset=4, cut=3, parts=1)))
        found = _with(*_OLD[:2], ProfileRow("u:3", b"newer"), _NEW[1])
        equal("a checkpoint of another cut", _profiles(store), found)


def check_a_part_that_is_missing_is_refused(make: StoreMaker) -> None:
    """Parts follow each other, and a checkpoint says how many it has; what is refused changes nothing."""
    with made(make) as store:
        _begun(store)
        for wrong in (Part(1, 2, _NEW[:1]), Part(1, 4, _NEW[:1]), Part(2, 3, _NEW[:1])):
            denied(f"part {wrong.number} of cut {wrong.cut}", store.commit, Commit(part=wrong))
        for cut, parts in ((1, 1), (1, 3), (2, 2)):
            given = Checkpoint(offset=5, cut=cut, parts=parts)
            denied(f"{parts} parts of cut {cut}", store.commit, Commit(checkpoint=given))
        both = Commit(part=Part(1, 3, _NEW[:1]), checkpoint=Checkpoint(offset=5))
        denied("a part beside a checkpoint that says nothing of it", store.commit, both)
        equal("as before", _profiles(store), _with(*_OLD))
        store.commit(Commit(checkpoint=Checkpoint(offset=5, cut=1, parts=2)))
        equal("the right ones", _profiles(store), _with(_NEW[0], _NEW[2], _OLD[2], _NEW[1]))


def check_a_snapshot_between_parts_is_of_the_checkpoint_before(make: StoreMaker) -> None:
    """It does not have the parts that were there already, and keeps what the later ones write over."""
    with made(make) as store:
        store.commit(Commit(rows=log_rows(1, (4,)), checkpoint=Checkpoint(offset=2, profiles=_OLD)))
        store.commit(Commit(part=Part(1, 1, _NEW[:2])))
        store.take_snapshot(7)
        store.commit(Commit(part=Part(1, 2, _NEW[2:])))
        store.commit(Commit(checkpoint=Checkpoint(offset=4, cut=1, parts=2, removed=("u:3",))))
        equal("the snapshot", sorted(store.kept_profiles(2), key=lambda row: row.id), list(_OLD))
        equal("what is in force", _profiles(store), _with(_NEW[0], _NEW[2], _NEW[1]))


def check_reopening_drops_parts(make: DurableStoreMaker) -> None:
    """They are not seen, cannot be gone on with, and leave nothing in what comes after."""
    with made(make) as first:
        _begun(first)
        store = make.reopen(first)
        equal("after reopening", _profiles(store), _with(*_OLD))
        denied("a third part", store.commit, Commit(part=Part(1, 3, ())))
        denied("their checkpoint", store.commit, Commit(checkpoint=Checkpoint(offset=5, cut=1, parts=2)))
        store.commit(Commit(part=Part(1, 1, _NEW[1:2])))
        equal("a part of another cut of that number", _profiles(store), _with(*_OLD))
        store.commit(Commit(checkpoint=Checkpoint(offset=5, cut=1, parts=1)))
        equal("with its checkpoint", _profiles(store), _with(*_OLD, _NEW[1]))
        store.close()
