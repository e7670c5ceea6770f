"""What a store must do with snapshots, and with a log whose beginning was dropped."""

from __future__ import annotations

from random import Random

import msgspec

from bespeak.ids import ProfileId
from bespeak.stores import Checkpoint, Commit, Document, Forget, Product, ProfileRow, Snapshot, Store
from bespeak.testing.checks.expect import equal, true
from bespeak.testing.checks.store_makers import DurableStoreMaker, StoreMaker, denied, made
from bespeak.testing.checks.store_model import Model, full_commit, log_rows

_HISTORIES = 12
_COMMITS = 25
_KINDS = ("rule", "segment")
_FAR = 2**60


class _AsOf(msgspec.Struct, frozen=True):
    """What a snapshot must go on to say."""

    profiles: dict[ProfileId, ProfileRow]
    aliases: dict[ProfileId, ProfileId]
    documents: dict[str, tuple[Document, ...]]


def _said(store: Store, offset: int) -> _AsOf:
    profiles = list(store.kept_profiles(offset))
    equal("profiles of a snapshot, each once", len({row.id for row in profiles}), len(profiles))
    documents = {kind: store.kept_documents(offset, kind) for kind in _KINDS}
    return _AsOf({row.id: row for row in profiles}, dict(store.kept_aliases(offset)), documents)


def _now(store: Store) -> _AsOf:
    documents = {kind: store.documents(kind) for kind in _KINDS}
    return _AsOf({row.id: row for row in store.profiles()}, dict(store.aliases()), documents)


def check_a_snapshot_stays_as_it_was(make: StoreMaker) -> None:
    """Whatever is committed after it, and whichever other snapshots come and go."""
    for seed in range(_HISTORIES):
        rng, model = Random(f"snapshots {seed}"), Model()
        with made(make) as store:
            expected: dict[int, _AsOf] = {}
            for place in range(_COMMITS):
                commit = model.next_commit(rng)
                store.commit(commit)
                model.apply(commit)
                if model.offset and rng.random() < 0.4:
                    taken = store.take_snapshot(place, ("counts", "none"))
                    equal("offset of a snapshot", taken.offset, model.offset)
                    expected.setdefault(taken.offset, _now(store))
                if len(expected) > 1 and rng.random() < 0.2:
                    oldest = rng.choice(list(expected))
                    while store.drop_snapshots(oldest, rows=2):
                        pass
                    expected = {offset: one for offset, one in expected.items() if offset >= oldest}
                equal("snapshots", [one.offset for one in store.snapshots()], list(expected))
                for offset, one in expected.items():
                    equal(f"seed {seed}, the snapshot of offset {offset}", _said(store, offset), one)


def check_a_snapshot_needs_a_checkpoint(make: StoreMaker) -> None:
    """It keeps the products that it is asked to; one of an offset that has one already makes that one younger."""
    with made(make) as store:
        store.commit(Commit(rows=log_rows(1, (2, 3))))
        denied("a snapshot of no checkpoint", store.take_snapshot, 5)
        equal("snapshots", store.snapshots(), ())
        counts = Product("counts", 5, b"counts")
        store.commit(Commit(checkpoint=Checkpoint(offset=5, products=(counts, Product("sizes", 5, b"sizes")))))
        equal("a snapshot", store.take_snapshot(7, ("counts", "none")), Snapshot(5, 7, (counts,)))
        equal("the same one", store.take_snapshot(9, ("sizes",)), Snapshot(5, 9, (counts,)))
        equal("snapshots", store.snapshots(), (Snapshot(5, 9, (counts,)),))
        denied("the aliases of none", store.kept_aliases, 4)
        denied("the documents of none", store.kept_documents, 6, "rule")
        denied("the profiles of none", list, store.kept_profiles(6))


def check_the_log_begins_behind_what_was_dropped(make: StoreMaker) -> None:
    """Whole rows go, from the beginning on, no more than is asked for, and nothing that no snapshot includes."""
    rows = log_rows(1, (2, 3, 4, 1))
    with made(make) as store:
        store.commit(Commit(rows=rows, checkpoint=Checkpoint(offset=9)))
        equal("dropped", store.dropped(), 0)
        denied("rows that no snapshot includes", lambda: store.drop_log(5, _FAR, rows=9))
        store.take_snapshot(0)
        denied("rows behind the snapshot", lambda: store.drop_log(10, _FAR, rows=9))
        true("too young", not store.drop_log(9, rows[0].received, rows=9), None)
        equal("nothing dropped", (store.dropped(), list(store.read(0))), (0, list(rows)))
        true("one row, and more to drop", store.drop_log(9, _FAR, rows=1), None)
        true("no part of a row", not store.drop_log(8, _FAR, rows=9), None)
        equal("dropped", store.dropped(), 5)
        for after, expected in ((0, rows[2:]), (4, rows[2:]), (5, rows[2:]), (8, rows[2:]), (9, rows[3:])):
            equal(f"read({after})", list(store.read(after)), list(expected))
        true("no younger row", not store.drop_log(9, rows[2].received, rows=9), None)
        denied("the only snapshot that includes them", lambda: store.drop_snapshots(10, rows=9))
        true("none is older", not store.drop_snapshots(9, rows=9), None)
        equal("last_offset", store.last_offset(), 10)
        store.commit(Commit(rows=log_rows(11, (1,))))
        equal("it goes on", [row.first for row in store.read(0)], [6, 10, 11])


def check_what_is_forgotten_is_in_no_snapshot(make: StoreMaker) -> None:
    """Neither in one that was taken before, nor does the commit that forgets put it aside."""
    rows = tuple(ProfileRow(each, each.encode()) for each in ("u:1", "u:2", "u:3"))
    with made(make) as store:
        first = Checkpoint(offset=1, profiles=rows, aliases={"a:1": "sealed one", "a:2": "sealed two"})
        store.commit(Commit(rows=log_rows(1, (1,)), checkpoint=first))
        store.take_snapshot(0)
        changed = Checkpoint(offset=2, profiles=(ProfileRow("u:1", b"newer"),), aliases={"a:1": "newer"})
        store.commit(Commit(rows=log_rows(2, (1,)), checkpoint=changed))
        store.take_snapshot(1)
        gone = Checkpoint(offset=3, removed=("u:1", "u:2"), unaliased=("a:1",))
        store.commit(Commit(rows=log_rows(3, (1,)), checkpoint=gone, forget=Forget(names=("u:1", "a:1"))))
        for offset in (1, 2):
            expected = ({"u:2": rows[1], "u:3": rows[2]}, {"a:2": "sealed two"})
            found = _said(store, offset)
            equal(f"the snapshot of offset {offset}", (found.profiles, found.aliases), expected)


def check_snapshots_and_the_edge_outlive_closing(make: DurableStoreMaker) -> None:
    """Also where every row was dropped: the log goes on behind the last one."""
    with made(make) as first:
        first.commit(full_commit(1, 1))
        first.take_snapshot(7, ("counts",))
        kept, said = first.snapshots(), _said(first, 5)
        first.commit(full_commit(6, 2))
        first.drop_log(5, _FAR, rows=9)
        again = make.reopen(first)
        equal("after reopening", (again.dropped(), again.snapshots(), _said(again, 5)), (5, kept, said))
        equal("the log", list(again.read(0)), list(full_commit(6, 2).rows))
        again.commit(full_commit(11, 3))
        equal("the snapshot", _said(again, 5), said)
        again.take_snapshot(8)
        again.drop_log(15, _FAR, rows=99)
        last = make.reopen(again)
        equal("an empty log", (last.last_offset(), last.dropped()), (15, 15))
        equal("its rows", len(list(last.read(0))), 0)
        last.commit(Commit(rows=log_rows(16, (2,))))
        equal("it goes on", list(last.read(0)), list(log_rows(16, (2,))))
        last.close()
