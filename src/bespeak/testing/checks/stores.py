"""What a store must do, whatever it keeps things in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random
from typing import TypeAlias

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bespeak.clock import NEVER
from bespeak.stores import (
    Checkpoint,
    Commit,
    Document,
    LogRow,
    Product,
    ProfileRow,
    Rejected,
)
from bespeak.testing.checks.expect import equal, true
from bespeak.testing.checks.store_changes import (
    check_changes_are_dropped_from_the_oldest_on,
    check_changes_are_kept_once_and_in_order,
    check_changes_are_of_their_commit,
    check_changes_of_who_is_forgotten_are_gone,
    check_changes_outlive_closing,
)
from bespeak.testing.checks.store_keys import (
    check_a_destroyed_key_is_gone_after_reopening_too,
    check_a_destroyed_key_stays_destroyed,
    check_keys_are_found_by_number_and_by_subject,
    check_what_is_forgotten_is_gone,
)
from bespeak.testing.checks.store_makers import DurableStoreMaker, StoreMaker, denied, made
from bespeak.testing.checks.store_model import Everything, Model, digest, everything, full_commit, log_rows, unpacked
from bespeak.testing.checks.store_parts import (
    check_a_part_that_is_missing_is_refused,
    check_a_snapshot_between_parts_is_of_the_checkpoint_before,
    check_parts_count_with_their_checkpoint,
    check_parts_whose_checkpoint_never_came_are_dropped,
    check_reopening_drops_parts,
)
from bespeak.testing.checks.store_snapshots import (
    check_a_snapshot_needs_a_checkpoint,
    check_a_snapshot_stays_as_it_was,
    check_snapshots_and_the_edge_outlive_closing,
    check_the_log_begins_behind_what_was_dropped,
    check_what_is_forgotten_is_in_no_snapshot,
)

StoreCheck: TypeAlias = Callable[[StoreMaker], None]
DurableStoreCheck: TypeAlias = Callable[[DurableStoreMaker], None]

_FEW, _THOROUGH = 15, 500
"""Histories tried, since each makes a store: a few, unless the profile of hypothesis asks for this many or more."""

_REJECTED_MAX = 100_000
"""The most rejected things that a store keeps under its default settings."""


# What every store does


def check_an_empty_store_holds_nothing(make: StoreMaker) -> None:
    """Every question to an empty store has its empty answer, and a commit of nothing is one."""
    with made(make) as store:
        store.commit(Commit())
        equal("last_offset", store.last_offset(), 0)
        equal("checkpoint_offset", store.checkpoint_offset(), 0)
        equal("everything", everything(store, ()), Everything())
        equal("profile", store.profile("u:1"), None)
        equal("product", store.product("counts"), None)
        equal("seen", store.seen([digest(1)]), frozenset[bytes]())
        equal("rejected_count", store.rejected_count(), 0)


def check_the_log_reads_back_from_any_offset(make: StoreMaker) -> None:
    """`read(after)` gives the rows that hold a later record, in order: the row that holds `after + 1` comes first."""
    rows = log_rows(1, (3, 1, 20, 2))
    rows = (*rows, LogRow(first=27, count=1, received=-5, payload=bytes(range(256)) * 4_096))
    with made(make) as store:
        store.commit(Commit(rows=rows[:2]))
        store.commit(Commit(rows=rows[2:]))
        equal("last_offset", store.last_offset(), 27)
        for after in range(29):
            expected = [row for row in rows if row.first + row.count - 1 > after]
            equal(f"read({after})", list(store.read(after)), expected)


def check_a_log_that_does_not_go_on_is_refused(make: StoreMaker) -> None:
    """A gap, an overlap, a repeated or an empty row fails its whole commit, and the log goes on where it was."""
    good, *_ = log_rows(1, (5,))
    wrong = (
        (LogRow(7, 1, 0, b"gap"),),
        (LogRow(5, 1, 0, b"overlap"),),
        (good,),
        (LogRow(6, 0, 0, b"empty"),),
        (*log_rows(6, (2,)), LogRow(9, 1, 0, b"gap behind a good one")),
    )
    with made(make) as store:
        denied("a first row that is not the first", store.commit, Commit(rows=log_rows(2, (1,))))
        store.commit(Commit(rows=(good,)))
        for rows in wrong:
            denied(f"rows {rows}", store.commit, Commit(rows=rows))
            equal("the log", list(store.read(0)), [good])
        store.commit(Commit(rows=log_rows(6, (2,))))
        equal("last_offset", store.last_offset(), 7)


def check_a_commit_that_fails_leaves_nothing_of_itself(make: StoreMaker) -> None:
    """One part that cannot be kept takes the whole commit with it; the next one is kept."""
    before = full_commit(1, 1)
    good = full_commit(6, 2)
    spoilt = (
        msgspec.structs.replace(good, documents=(*good.documents, Document("segment", "s", 1, b"old version"))),
        msgspec.structs.replace(good, seen=(*good.seen, (b"fifteen bytes..", 3))),
        msgspec.structs.replace(good, checkpoint=Checkpoint(offset=11)),
        msgspec.structs.replace(good, rows=(*good.rows, LogRow(99, 1, 0, b""))),
    )
    probes = tuple(digest for commit in (before, good) for digest, _ in commit.seen)
    with made(make) as store:
        store.commit(before)
        kept = everything(store, probes)
        for commit in spoilt:
            denied("a commit with one wrong part", store.commit, commit)
            equal("everything after a failed commit", everything(store, probes), kept)
        store.commit(good)
        equal("last_offset", store.last_offset(), 10)
        equal("seen", store.seen(probes), frozenset(probes))


def check_digests_are_found_whatever_their_age(make: StoreMaker) -> None:
    """`seen` finds digests of every hour and those without an age, and nothing that only looks like one of them."""
    digests = [digest(number) for number in range(1, 3_001)]
    astride = digests[0][8:] + digests[1][:8]
    with made(make) as store:
        store.commit(Commit(seen=tuple((each, 400_000 + place % 3) for place, each in enumerate(digests[:2_000]))))
        store.commit(Commit(seen=tuple((each, -1) for each in digests[2_000:])))
        absent = [digest(number) for number in range(9_000, 9_100)]
        equal("seen", store.seen([*digests, *absent, astride]), frozenset(digests))
        equal("seen of nothing", store.seen([]), frozenset[bytes]())


def check_digests_load_packed_page_by_page(make: StoreMaker) -> None:
    """`seen_since` gives 16 bytes a digest, the hours asked for alone, and never those without an age."""
    with made(make) as store:
        store.commit(Commit(seen=((digest(1), 7), (digest(2), 8), (digest(3), -1))))
        store.commit(Commit(seen=((digest(4), 8), (digest(5), 9))))
        equal("from hour 8", unpacked(store, 8), frozenset({digest(2), digest(4), digest(5)}))
        equal("from hour 10", unpacked(store, 10), frozenset[bytes]())
        equal("from hour -1", unpacked(store, -1), frozenset(digest(number) for number in (1, 2, 4, 5)))
        store.commit(Commit(seen=((digest(6) + digest(7), 9), (digest(8) + digest(9), -1))))
        equal(
            "packed in one", store.seen([digest(each) for each in range(6, 10)]), frozenset(map(digest, range(6, 10)))
        )
        equal("from hour 9", unpacked(store, 9), frozenset(map(digest, (5, 6, 7))))


def check_forgetting_spares_what_has_no_age(make: StoreMaker) -> None:
    """`forget_seen` drops the hours before, keeps the others, and keeps imported digests for ever."""
    with made(make) as store:
        store.commit(Commit(seen=((digest(1), 7), (digest(2), 8), (digest(3), -1))))
        all_three = [digest(1), digest(2), digest(3)]
        store.forget_seen(8)
        equal("seen", store.seen(all_three), frozenset({digest(2), digest(3)}))
        equal("packed", unpacked(store, 0), frozenset({digest(2)}))
        store.forget_seen(1_000_000)
        equal("seen", store.seen(all_three), frozenset({digest(3)}))
        store.commit(Commit(seen=((digest(1), 1_000_001),)))
        equal("seen again", store.seen(all_three), frozenset({digest(1), digest(3)}))


def check_a_checkpoint_replaces_what_it_names(make: StoreMaker) -> None:
    """Profiles, aliases and products change together with the offset; what is not named stays."""
    with made(make) as store:
        store.commit(
            Commit(
                rows=log_rows(1, (4,)),
                checkpoint=Checkpoint(
                    offset=3,
                    profiles=(ProfileRow("u:1", b"one", 50), ProfileRow("a:x", b"x", 40), ProfileRow("a:ÿ\0", b"")),
                    aliases={"a:y": "u:1", "a:z": "a:x"},
                    products=(Product("counts", 2, b"c"), Product("sizes", 3, b"s")),
                ),
            ),
        )
        store.commit(
            Commit(
                checkpoint=Checkpoint(
                    offset=4,
                    profiles=(ProfileRow("u:1", b"both", NEVER),),
                    removed=("a:x", "a:not there"),
                    aliases={"a:x": "u:1", "a:z": "u:1"},
                    products=(Product("sizes", 4, b"S"),),
                ),
            ),
        )
        equal("checkpoint_offset", store.checkpoint_offset(), 4)
        equal("profiles", list(store.profiles()), [ProfileRow("a:ÿ\0", b""), ProfileRow("u:1", b"both", NEVER)])
        equal("profile", store.profile("u:1"), ProfileRow("u:1", b"both", NEVER))
        equal("a removed profile", store.profile("a:x"), None)
        equal("aliases", dict(store.aliases()), {"a:x": "u:1", "a:y": "u:1", "a:z": "u:1"})
        equal("one alias, and none", (store.alias("a:z"), store.alias("a:none")), ("u:1", None))
        equal("counts", store.product("counts"), Product("counts", 2, b"c"))
        equal("sizes", store.product("sizes"), Product("sizes", 4, b"S"))


def check_a_checkpoint_includes_only_the_log(make: StoreMaker) -> None:
    """A cut ahead of the log, or behind the one before, is refused; with the rows that it includes it is kept."""
    with made(make) as store:
        store.commit(Commit(rows=log_rows(1, (4,)), checkpoint=Checkpoint(offset=4)))
        ahead = Checkpoint(offset=4, products=(Product("counts", 5, b""),))
        for wrong in (Checkpoint(offset=5), Checkpoint(offset=3), ahead):
            denied(f"{wrong}", store.commit, Commit(checkpoint=wrong))
        store.commit(Commit(rows=log_rows(5, (2,)), checkpoint=Checkpoint(offset=6)))
        equal("checkpoint_offset", store.checkpoint_offset(), 6)


def check_profiles_come_in_the_order_of_their_ids(make: StoreMaker) -> None:
    """By code point, whatever the order in which they were kept."""
    ids = [f"{prefix}:{number}" for prefix in "ua" for number in (10, 9, 1, "é", "Z", "𝄞", "\uffff")]
    with made(make) as store:
        store.commit(Commit(checkpoint=Checkpoint(offset=0, profiles=tuple(ProfileRow(each, b"") for each in ids))))
        equal("ids", [row.id for row in store.profiles()], sorted(ids))
        for place, each in enumerate(sorted(ids)):
            equal(f"ids behind {each!r}", [row.id for row in store.profiles(each)], sorted(ids)[place + 1 :])


def check_profiles_are_found_by_many_ids_at_once(make: StoreMaker) -> None:
    """Each once, however often it is asked for and however many are; those that there are not are left out."""
    ids = [f"u:{number}" for number in range(300)]
    with made(make) as store:
        equal("of none", store.profiles_named(ids), ())
        store.commit(Commit(checkpoint=Checkpoint(offset=0, profiles=tuple(ProfileRow(each, b"") for each in ids))))
        asked = [*ids[250:], "u:none", *ids[:200], *ids[:5], ids[280]]
        equal("found", sorted(row.id for row in store.profiles_named(asked)), sorted({*ids[250:], *ids[:200]}))
        equal("nobody asked for", store.profiles_named(()), ())


def check_due_profiles_come_earliest_first(make: StoreMaker) -> None:
    """Those due at the instant or before, as many as asked for; a changed or dropped instant counts as it is now."""
    rows = (
        ProfileRow("u:c", b"", 30),
        ProfileRow("u:b", b"", 10),
        ProfileRow("u:a", b"", 10),
        ProfileRow("u:d", b"", None),
        ProfileRow("u:e", b"", -7),
    )
    with made(make) as store:
        store.commit(Commit(checkpoint=Checkpoint(offset=0, profiles=rows)))
        due = (("u:e", -7), ("u:a", 10), ("u:b", 10), ("u:c", 30))
        equal("due(30)", store.due(30, limit=10), due)
        equal("due(29)", store.due(29, limit=10), due[:3])
        equal("due, two of them", store.due(30, limit=2), due[:2])
        equal("due, none of them", store.due(30, limit=0), ())
        equal("due, the next two", store.due(30, limit=2, after=(10, "u:a")), due[2:])
        equal("due, after the last", store.due(30, limit=2, after=(30, "u:c")), ())
        changed = (ProfileRow("u:e", b"", None), ProfileRow("u:a", b"", 99), ProfileRow("u:d", b"", 5))
        store.commit(Commit(checkpoint=Checkpoint(offset=0, profiles=changed, removed=("u:b",))))
        equal("due after a change", store.due(50, limit=10), (("u:d", 5), ("u:c", 30)))


def check_documents_keep_their_versions(make: StoreMaker) -> None:
    """The newest version is the document; a deleted one is gone from the list and kept in its history."""
    history = tuple(Document("rule", "b", version, data) for version, data in ((1, b"1"), (2, None), (7, b"7")))
    with made(make) as store:
        store.commit(Commit(documents=(*history[:1], Document("rule", "a", 3, b""), Document("segment", "b", 1, b"s"))))
        equal("rules", store.documents("rule"), (Document("rule", "a", 3, b""), history[0]))
        store.commit(Commit(documents=history[1:2]))
        equal("rules without b", store.documents("rule"), (Document("rule", "a", 3, b""),))
        store.commit(Commit(documents=history[2:]))
        equal("rules", store.documents("rule"), (Document("rule", "a", 3, b""), history[2]))
        equal("versions of b", store.versions("rule", "b"), history)
        equal("segments", store.documents("segment"), (Document("segment", "b", 1, b"s"),))
        equal("versions of nothing", store.versions("rule", "c"), ())


def check_a_version_is_never_written_twice(make: StoreMaker) -> None:
    """A version that is not higher than the newest one is refused, within one commit too."""
    with made(make) as store:
        store.commit(Commit(documents=(Document("rule", "a", 2, b"2"), Document("rule", "a", 3, b"3"))))
        for wrong in (Document("rule", "a", 3, b"again"), Document("rule", "a", 2, b"older")):
            denied(f"{wrong}", store.commit, Commit(documents=(wrong,)))
        twice = (Document("rule", "b", 1, b""), Document("rule", "b", 1, b""))
        denied("a version twice in one commit", store.commit, Commit(documents=twice))
        equal("rules", store.documents("rule"), (Document("rule", "a", 3, b"3"),))


def check_rejected_things_come_newest_first(make: StoreMaker) -> None:
    """In the reverse of the order in which they were given, of one source when asked, as many as asked for."""
    things = tuple(Rejected(f"key {n % 2}", f"batch[{n}]", "why", n, b"\0" * n) for n in range(6))
    with made(make) as store:
        store.commit(Commit(rejected=things[:4]))
        store.commit(Commit(rejected=things[4:]))
        newest = things[::-1]
        equal("rejected", store.rejected(), newest)
        equal("two of them", store.rejected(limit=2), newest[:2])
        equal("of one source", store.rejected(limit=2, source="key 0"), (things[4], things[2]))
        equal("of no source", store.rejected(source="key"), ())
        equal("rejected_count", store.rejected_count(), 6)


def check_rejected_things_are_bounded(make: StoreMaker) -> None:
    """Beyond its bound (100,000 by default) a store drops the oldest."""
    with made(make) as store:
        for start in range(0, _REJECTED_MAX + 1, 25_000):
            things = (Rejected("key", str(n), "why", n, b"") for n in range(start, start + 25_000))
            store.commit(Commit(rejected=tuple(things)))
        count = store.rejected_count()
        true("a bounded number of rejected things", 1 <= count <= _REJECTED_MAX, count)
        newest = [int(each.place) for each in store.rejected(limit=200_000)]
        equal("the newest ones", newest, list(range(124_999, 124_999 - count, -1)))


def check_an_iterator_sees_its_moment(make: StoreMaker) -> None:
    """What was begun is finished as it was, whatever is committed meanwhile."""
    with made(make) as store:
        store.commit(full_commit(1, 1))
        rows, profiles = store.read(0), store.profiles()
        first_row, first_profile = next(rows), next(profiles)
        expected = (list(store.read(0)), list(store.profiles()))
        store.commit(full_commit(6, 2))
        equal("the log", [first_row, *rows], expected[0])
        equal("the profiles", [first_profile, *profiles], expected[1])
        true("a later look sees more", len(list(store.read(0))) > len(expected[0]), len(expected[0]))


def check_readers_see_whole_commits_only(make: StoreMaker) -> None:
    """While one thread commits, another sees the two profiles of each cut change together, and never waits in vain."""
    with made(make) as store:
        commits = 40
        failures: list[BaseException] = []

        def write() -> None:
            try:
                for number in range(1, commits + 1):
                    pair = tuple(ProfileRow(each, b"%d" % number, number) for each in ("u:1", "u:2"))
                    rows = (LogRow(number, 1, 0, b""),)
                    store.commit(Commit(rows=rows, checkpoint=Checkpoint(offset=number, profiles=pair)))
            except BaseException as error:  # noqa: BLE001  (handed to the thread that checks)
                failures.append(error)

        writer = threading.Thread(target=write)
        writer.start()
        seen: list[bytes] = []
        while True:
            last_look = not writer.is_alive()
            pair = [row.data for row in store.profiles()]
            true("both profiles of one cut", len(set(pair)) <= 1, pair)
            seen += pair[:1]
            row = store.profile("u:2")
            true("no step back", row is None or not seen or int(row.data) >= int(seen[-1]), (row, seen[-1:]))
            if last_look:
                break
        writer.join()
        if failures:
            raise failures[0]
        equal("the last one seen", seen[-1], b"%d" % commits)
        true("only forwards", seen == sorted(seen, key=int), seen)


def check_every_history_reads_as_plain_values(make: StoreMaker) -> None:
    """Whatever is committed, in whatever pieces, the store answers as plain dictionaries and lists would."""
    asked = settings().max_examples
    examples = asked if asked >= _THOROUGH else _FEW

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(0, 2**32), st.integers(1, 8))
    def law(seed: int, commits: int) -> None:
        rng = Random(seed)
        model = Model()
        with made(make) as store:
            for _ in range(commits):
                commit = model.next_commit(rng)
                store.commit(commit)
                model.apply(commit)
            equal("everything", everything(store, model.digests()), model.everything())
            equal("offsets", (store.last_offset(), store.checkpoint_offset()), (model.last, model.offset))

    law()


def check_a_closed_store_refuses(make: StoreMaker) -> None:
    """Closing twice is closing once; afterwards nothing can be kept or read."""
    store = make()
    store.commit(full_commit(1, 1))
    store.close()
    store.close()
    denied("a commit", store.commit, Commit(rows=log_rows(6, (1,))))
    denied("a read", list, store.read(0))
    denied("a profile", store.profile, "u:1")


def check_its_size_grows_with_what_it_holds(make: StoreMaker) -> None:
    """`size` counts at least the bytes given to it."""
    with made(make) as store:
        before = store.size()
        payload = Random(1).randbytes(1_000_000)
        store.commit(Commit(rows=(LogRow(1, 1, 0, payload),)))
        true("a megabyte more", store.size() - before >= len(payload), store.size() - before)


# What a store does that outlives its closing


def check_reopening_changes_nothing(make: DurableStoreMaker) -> None:
    """Everything is there again, byte for byte, and the log goes on behind it; twice over."""
    rng = Random(2)
    model = Model()
    with made(make) as first:
        store = first
        for _ in range(3):
            for _ in range(3):
                commit = model.next_commit(rng)
                store.commit(commit)
                model.apply(commit)
            store = make.reopen(store)
            model.drop_parts()
            equal("everything", everything(store, model.digests()), model.everything())
            equal("offsets", (store.last_offset(), store.checkpoint_offset()), (model.last, model.offset))
        store.close()


def check_a_refused_commit_is_gone_after_reopening_too(make: DurableStoreMaker) -> None:
    """What was refused does not come back with the file."""
    with made(make) as first:
        first.commit(full_commit(1, 1))
        spoilt = msgspec.structs.replace(full_commit(6, 2), checkpoint=Checkpoint(offset=99))
        denied("a commit with one wrong part", first.commit, spoilt)
        kept = everything(first, (digest(10), digest(20)))
        store = make.reopen(first)
        equal("everything", everything(store, (digest(10), digest(20))), kept)
        store.commit(full_commit(6, 2))
        equal("last_offset", store.last_offset(), 10)
        store.close()


def for_stores() -> tuple[StoreCheck, ...]:
    """Return the checks of every `stores.Store`."""
    return (
        check_an_empty_store_holds_nothing,
        check_the_log_reads_back_from_any_offset,
        check_a_log_that_does_not_go_on_is_refused,
        check_a_commit_that_fails_leaves_nothing_of_itself,
        check_digests_are_found_whatever_their_age,
        check_digests_load_packed_page_by_page,
        check_forgetting_spares_what_has_no_age,
        check_a_checkpoint_replaces_what_it_names,
        check_a_checkpoint_includes_only_the_log,
        check_parts_count_with_their_checkpoint,
        check_parts_whose_checkpoint_never_came_are_dropped,
        check_a_part_that_is_missing_is_refused,
        check_a_snapshot_between_parts_is_of_the_checkpoint_before,
        check_profiles_come_in_the_order_of_their_ids,
        check_profiles_are_found_by_many_ids_at_once,
        check_due_profiles_come_earliest_first,
        check_documents_keep_their_versions,
        check_a_version_is_never_written_twice,
        check_rejected_things_come_newest_first,
        check_rejected_things_are_bounded,
        check_keys_are_found_by_number_and_by_subject,
        check_a_destroyed_key_stays_destroyed,
        check_what_is_forgotten_is_gone,
        check_a_snapshot_needs_a_checkpoint,
        check_a_snapshot_stays_as_it_was,
        check_changes_are_kept_once_and_in_order,
        check_changes_are_dropped_from_the_oldest_on,
        check_changes_of_who_is_forgotten_are_gone,
        check_changes_are_of_their_commit,
        check_the_log_begins_behind_what_was_dropped,
        check_what_is_forgotten_is_in_no_snapshot,
        check_an_iterator_sees_its_moment,
        check_readers_see_whole_commits_only,
        check_every_history_reads_as_plain_values,
        check_a_closed_store_refuses,
        check_its_size_grows_with_what_it_holds,
    )


def for_durable_stores() -> tuple[DurableStoreCheck, ...]:
    """Return the checks of those stores, besides, that outlive their closing."""
    return (
        check_reopening_changes_nothing,
        check_reopening_drops_parts,
        check_a_refused_commit_is_gone_after_reopening_too,
        check_a_destroyed_key_is_gone_after_reopening_too,
        check_changes_outlive_closing,
        check_snapshots_and_the_edge_outlive_closing,
    )
