"""What a store must do with changes of memberships: each is kept once, in order, until it is dropped or forgotten."""

from __future__ import annotations

import msgspec

from bespeak.clock import NEVER
from bespeak.stores import ChangeRow, Checkpoint, Commit, Forget, Store
from bespeak.testing.checks.expect import equal, true
from bespeak.testing.checks.store_makers import DurableStoreMaker, StoreMaker, denied, made


def _row(place: int, name: str = "ann", written: int = 0) -> ChangeRow:
    return ChangeRow(name, 100 + place, f"event {place}", written or place, b"row %d" % place)


def _places(rows: tuple[ChangeRow, ...]) -> list[int]:
    return [row.at - 100 for row in rows]


def _all(store: Store) -> list[int]:
    return _places(store.changes(0, limit=1_000))


def check_changes_are_kept_once_and_in_order(make: StoreMaker) -> None:
    """A row of the same name, instant and cause stays as it was; whatever differs in one of them is another row."""
    first = _row(1)
    again = msgspec.structs.replace(first, written=99, data=b"worked out anew")
    others = (
        msgspec.structs.replace(first, name="bob"),
        msgspec.structs.replace(first, at=7),
        msgspec.structs.replace(first, cause="time"),
    )
    with made(make) as store:
        equal("none yet", (store.changes(0, limit=9), store.newest_change(), store.dropped_changes()), ((), None, 0))
        equal("no number yet", store.last_change(), 0)
        store.commit(Commit(changes=(first, again)))
        store.commit(Commit(changes=(again, *others)))
        kept = store.changes(0, limit=9)
        equal("rows", [msgspec.structs.replace(row, number=0) for row in kept], [first, *others])
        numbers = [row.number for row in kept]
        equal("numbers rise from 1 on", (numbers[0] >= 1, numbers == sorted(set(numbers))), (True, True))
        equal("the newest", store.newest_change(), kept[-1])
        equal("behind the second", store.changes(numbers[1], limit=9), kept[2:])
        equal("one behind the first", store.changes(numbers[0], limit=1), kept[1:2])
        true("a number that was given", store.last_change() >= numbers[-1], store.last_change())
        equal("none asked for", store.changes(0, limit=0), ())
        equal("of one name", store.changes(0, limit=9, names=["bob"]), kept[1:2])
        equal("of two names, behind the first", store.changes(numbers[0], limit=9, names=("ann", "bob")), kept[1:])
        equal("of no name", store.changes(0, limit=9, names=()), ())


def check_changes_are_dropped_from_the_oldest_on(make: StoreMaker) -> None:
    """As many as asked for, none that is too young or too high; what is dropped may come again, behind the others."""
    with made(make) as store:
        store.commit(Commit(changes=tuple(_row(place) for place in range(1, 7))))
        numbers = [row.number for row in store.changes(0, limit=9)]
        more = [store.drop_changes(numbers[4], NEVER, rows=2)]
        true("more to drop", all(more), more)
        equal("left", (_all(store), store.dropped_changes()), ([3, 4, 5, 6], numbers[1]))
        more = [store.drop_changes(numbers[4], 3, rows=2)]  # none is so old
        more.append(store.drop_changes(numbers[4], 4, rows=2))  # one is old enough
        more.append(store.drop_changes(numbers[4], NEVER, rows=9))  # one is left up to there
        equal("no more to drop", more, [False] * 3)
        equal("the last one", (_all(store), store.dropped_changes()), ([6], numbers[4]))
        store.commit(Commit(changes=(_row(2),)))
        equal("one comes again", _all(store), [6, 2])


def check_changes_of_who_is_forgotten_are_gone(make: StoreMaker) -> None:
    """Also those of the same commit; a number that was given is not given again."""
    with made(make) as store:
        store.commit(Commit(changes=(_row(1), _row(2, "bob"), _row(3))))
        last = store.changes(0, limit=9)[-1].number
        store.commit(Commit(changes=(_row(4),), forget=Forget(names=("ann", "a-device"))))
        equal("left", _all(store), [2])
        given = store.last_change()
        true("a number that was given to who is gone", given > last, given)
        store.commit(Commit(changes=(_row(5, "bob"),)))
        equal("behind what was the last", (_places(store.changes(last, limit=9)), _all(store)), ([5], [2, 5]))
        equal("behind every number that was given", _places(store.changes(given, limit=9)), [5])


def check_changes_are_of_their_commit(make: StoreMaker) -> None:
    """A commit that fails keeps none of them."""
    with made(make) as store:
        store.commit(Commit(changes=(_row(1),)))
        wrong = Commit(changes=(_row(2),), checkpoint=Checkpoint(offset=9))
        denied("a commit with one wrong part", store.commit, wrong)
        equal("left", _all(store), [1])
        store.commit(Commit(changes=(_row(2),)))
        equal("the next one", _all(store), [1, 2])


def check_changes_outlive_closing(make: DurableStoreMaker) -> None:
    """With their numbers, those that were dropped, and those that were given to rows that are gone."""
    with made(make) as first:
        first.commit(Commit(changes=tuple(_row(place) for place in range(1, 5))))
        first.drop_changes(first.changes(0, limit=1)[0].number, NEVER, rows=9)
        first.commit(Commit(changes=(_row(9, "bob"),)))
        last = first.changes(0, limit=9)[-1].number
        first.commit(Commit(forget=Forget(names=("bob",))))
        kept, dropped, given = first.changes(0, limit=9), first.dropped_changes(), first.last_change()
        true("a number that was given to who is gone", given >= last, given)
        store = make.reopen(first)
        equal("kept", (store.changes(0, limit=9), store.dropped_changes()), (kept, dropped))
        equal("the highest number that was given", store.last_change(), given)
        store.commit(Commit(changes=(_row(1), _row(2))))
        equal("one is new, one is known", _places(store.changes(0, limit=9)), [2, 3, 4, 1])
        equal("behind what was the last", _places(store.changes(last, limit=9)), [1])
        store.close()
