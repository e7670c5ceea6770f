"""What only the SQLite store can get wrong: the disk, the file, its damage and its upkeep."""

from __future__ import annotations

import itertools
import logging
import os
import random
import resource
import sqlite3
import stat
import threading
import time

import pytest

from bespeak.errors import CorruptLog, StoreError
from bespeak.stores import (
    Checkpoint,
    Commit,
    Document,
    Forget,
    LogRow,
    ProfileRow,
    Rejected,
    SqliteSettings,
    SqliteStore,
    WrappedKey,
    sqlite_format,
    sqlite_seen,
)
from bespeak.testing.checks.store_model import digest, everything, full_commit


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "bespeak.db"


@pytest.fixture
def store(path):
    store = SqliteStore(path)
    yield store
    store.close()


def row(first, payload=b"x", count=1):
    return LogRow(first, count, 0, payload)


def wait_until(holds, seconds=10.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


# Durability


def test_every_connection_that_writes_syncs_every_commit(store):
    for connection in (store._writer, store._upkeep._connection):
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
        assert connection.execute("PRAGMA page_size").fetchone() == (8192,)


def test_commit_returns_only_after_commit_has_run(store, path):
    """Another connection sees nothing while COMMIT is about to run, and everything when the call has returned."""
    other = sqlite3.connect(path)
    statements = []

    def note(statement):
        statements.append((statement, other.execute("SELECT count(*) FROM log").fetchone()[0]))

    store._writer.set_trace_callback(note)
    store.commit(Commit(rows=(row(1),)))
    store._writer.set_trace_callback(None)
    assert other.execute("SELECT count(*) FROM log").fetchone() == (1,)
    other.close()
    assert statements[0] == ("BEGIN IMMEDIATE", 0)
    assert statements[-1] == ("COMMIT", 0)


def test_a_store_is_for_its_owner_alone(path):
    path.parent.mkdir()
    path.touch(mode=0o644)
    with_gaps = os.umask(0)
    try:
        store = SqliteStore(path)
        store.commit(Commit(rows=(row(1),)))
        files = sorted(path.parent.iterdir())
        modes = [stat.S_IMODE(each.stat().st_mode) for each in files]
        store.close()
    finally:
        os.umask(with_gaps)
    assert [each.name for each in files] == ["bespeak.db", "bespeak.db-shm", "bespeak.db-wal"]
    assert modes == [0o600] * 3


def test_a_new_directory_is_for_its_owner_alone(store, path):
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_closed_store_is_one_file(store, path):
    store.commit(Commit(rows=(row(1),)))
    store.close()
    assert [each.name for each in path.parent.iterdir()] == ["bespeak.db"]


# Failures


def test_a_full_store_rolls_back_and_goes_on_when_there_is_room(store, path):
    probes = (digest(10), digest(20))
    store.commit(full_commit(1, 1))
    kept = everything(store, probes)
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count={pages + 3}")
    commit = full_commit(6, 2)
    too_big = Commit(
        rows=(*commit.rows, row(11, random.Random(1).randbytes(200_000))),
        seen=commit.seen,
        documents=commit.documents,
        rejected=commit.rejected,
        checkpoint=commit.checkpoint,
    )
    for _ in range(2):
        with pytest.raises(StoreError, match="full"):
            store.commit(too_big)
        assert everything(store, probes) == kept
        assert (store.last_offset(), store.checkpoint_offset()) == (5, 5)
    store._writer.execute("PRAGMA max_page_count=1000000")
    store.commit(too_big)
    store.close()
    again = SqliteStore(path)
    assert [each.first for each in again.read(0)] == [1, 3, 6, 8, 11]
    again.close()


def test_a_write_that_the_system_refuses_fails_the_commit_and_nothing_else(store, path):
    """A file size limit stands for the full disk: the write itself fails, in the middle of the commit."""
    store.commit(full_commit(1, 1))
    kept = everything(store, (digest(10),))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        for _ in range(3):
            with pytest.raises(StoreError, match="could not write"):
                store.commit(Commit(rows=(row(6, bytes(3_000_000)),)))
            assert everything(store, (digest(10),)) == kept
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    store.commit(full_commit(6, 2))
    store.close()
    again = SqliteStore(path)
    assert [each.first for each in again.read(0)] == [1, 3, 6, 8]
    again.close()


def test_a_connection_that_cannot_roll_back_is_replaced(store, caplog):
    store.commit(full_commit(1, 1))
    store._writer.close()
    with caplog.at_level(logging.WARNING), pytest.raises(StoreError, match="closed"):
        store.commit(full_commit(6, 2))
    assert "could not roll back" in caplog.text
    store.commit(full_commit(6, 2))
    assert store.last_offset() == 10


def test_a_number_too_big_for_a_store_is_refused_like_any_failure(store):
    store.commit(Commit(rows=(row(1),)))
    with pytest.raises(StoreError, match="too large"):
        store.commit(Commit(rows=(row(2),), rejected=(Rejected("key", "0", "why", 2**70, b""),)))
    with pytest.raises(StoreError, match="surrogates"):
        store.commit(Commit(rows=(row(2),), rejected=(Rejected("key", "\ud800", "why", 1, b""),)))
    store.commit(Commit(rows=(row(2),)))
    assert store.last_offset() == 2


def test_another_program_that_writes_too_long_fails_the_commit(path):
    store = SqliteStore(path, SqliteSettings(busy_ms=20))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        store.commit(Commit(rows=(row(1),)))
    other.execute("ROLLBACK")
    other.close()
    store.commit(Commit(rows=(row(1),)))
    store.close()


# Damage


DAMAGE = {
    "a flipped bit": "UPDATE log SET payload = x'61616163' WHERE first = 5",
    "a torn payload": "UPDATE log SET payload = x'6161' WHERE first = 5",
    "a changed count": "UPDATE log SET count = 3 WHERE first = 5",
    "a changed time": "UPDATE log SET received = 1 WHERE first = 5",
    "a changed CRC": "UPDATE log SET crc = crc + 1 WHERE first = 5",
    "a missing row": "DELETE FROM log WHERE first = 5",
    "a copy of an older row": (
        "UPDATE log SET (payload, crc) = (SELECT payload, crc FROM log WHERE first = 3) WHERE first = 5"
    ),
}


@pytest.mark.parametrize("statement", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_row_is_named_and_the_rows_before_it_are_given(store, path, statement):
    for first in (1, 3, 5, 7):
        store.commit(Commit(rows=(row(first, b"aaa%d" % first, count=2),)))
    other = sqlite3.connect(path)
    other.execute(statement)
    other.commit()
    other.close()
    rows = store.read(0)
    assert [next(rows).first, next(rows).first] == [1, 3]
    with pytest.raises(CorruptLog, match="offset 5"):
        next(rows)


def test_swapped_rows_are_found(store, path):
    for first in (1, 2, 3, 4):
        store.commit(Commit(rows=(row(first, b"%d" % first),)))
    other = sqlite3.connect(path)
    for old, new in ((2, 99), (3, 2), (99, 3)):
        other.execute("UPDATE log SET first = ? WHERE first = ?", (new, old))
    other.commit()
    other.close()
    with pytest.raises(CorruptLog, match="offset 2"):
        list(store.read(0))


def test_a_log_shorter_than_its_checkpoint_is_refused_at_the_start(store, path):
    store.commit(Commit(rows=(row(1), row(2)), checkpoint=Checkpoint(offset=2)))
    store.close()
    other = sqlite3.connect(path)
    other.execute("DELETE FROM log WHERE first = 2")
    other.commit()
    other.close()
    with pytest.raises(CorruptLog, match=r"ends at offset 1.*includes 2"):
        SqliteStore(path)


FLIPS = 100


def test_a_byte_changed_anywhere_in_the_file_never_changes_what_is_read(store, path):
    rng = random.Random(5)
    rows = [row(first, rng.randbytes(2_000)) for first in range(1, 201)]
    for each in rows:
        store.commit(Commit(rows=(each,)))
    store.commit(Commit(checkpoint=Checkpoint(offset=200)))
    store.close()
    whole = path.read_bytes()
    found = 0
    for _ in range(FLIPS):
        at = rng.randrange(len(whole))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :])
        try:
            damaged = SqliteStore(path)
        except (StoreError, CorruptLog):
            found += 1
            continue
        try:
            assert list(damaged.read(0)) == rows, f"byte {at}"
        except (StoreError, CorruptLog):
            found += 1
        finally:
            damaged.close()
    assert found > FLIPS / 2


# The file


@pytest.mark.parametrize(
    "version, words", [(sqlite_format.FORMAT + 1, "newer bespeak.*upgrade"), (0, "knows no way from there")]
)
def test_another_format_is_refused_with_a_reason(store, path, version, words):
    store.close()
    other = sqlite3.connect(path)
    other.execute("UPDATE meta SET value = ? WHERE key = 'format'", (version,))
    other.commit()
    other.close()
    with pytest.raises(StoreError, match=f"store format {version}.*{words}"):
        SqliteStore(path)


def test_the_schema_says_its_own_version(store):
    assert store._reader.execute("SELECT value FROM meta WHERE key = 'format'").fetchone() == (sqlite_format.FORMAT,)


def test_the_database_of_another_program_is_refused_and_left_alone(path):
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE log (first INTEGER)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(path):
    path.parent.mkdir()
    path.write_bytes(b"not a database, but long enough to look at" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a database"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_path_that_cannot_be_made_is_an_error_with_a_reason(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot make the store"):
        SqliteStore(tmp_path / "file" / "bespeak.db")


def test_an_empty_file_left_by_a_start_that_was_cut_short_becomes_a_store(path):
    path.parent.mkdir()
    path.touch()
    store = SqliteStore(path)
    store.commit(Commit(rows=(row(1),)))
    store.close()


# Bounds and upkeep


def test_only_the_newest_rejected_things_are_kept(path):
    store = SqliteStore(path, SqliteSettings(rejected_max=3))
    for number in range(5):
        store.commit(Commit(rejected=(Rejected("key", str(number), "why", 0, b""),)))
    assert [each.place for each in store.rejected()] == ["4", "3", "2"]
    assert store.rejected_count() == 3
    store.close()


def test_only_the_newest_versions_of_a_document_are_kept(path):
    store = SqliteStore(path, SqliteSettings(versions_max=3))
    for version in range(1, 6):
        store.commit(Commit(documents=(Document("rule", "a", 10 * version, b"%d" % version),)))
    store.commit(Commit(documents=(Document("rule", "b", 1, b""),)))
    assert [each.version for each in store.versions("rule", "a")] == [30, 40, 50]
    assert [each.id for each in store.documents("rule")] == ["a", "b"]
    store.close()


def test_the_write_ahead_log_stays_small_while_commits_go_on(path):
    store = SqliteStore(path, SqliteSettings(wal_kib=256))
    wal = path.with_name(path.name + "-wal")
    payload = random.Random(3).randbytes(40_000)
    for first in range(1, 201):
        store.commit(Commit(rows=(row(first, payload),)))
    written = 200 * len(payload)
    assert wal.stat().st_size < written / 4
    assert [each.first for each in store.read(195)] == [196, 197, 198, 199, 200]
    store.close()


def test_a_reader_that_stays_does_not_stop_the_commits(path):
    store = SqliteStore(path, SqliteSettings(wal_kib=64))
    store.commit(Commit(rows=(row(1),)))
    slow = store.read(0)
    assert next(slow).first == 1
    for first in range(2, 60):
        store.commit(Commit(rows=(row(first, bytes(20_000)),)))
    assert list(slow) == []
    assert store.last_offset() == 59
    store.close()


def test_digests_of_an_hour_that_is_over_are_sorted_and_still_found(path):
    store = SqliteStore(path)
    digests = [digest(number) for number in range(sqlite_seen.PART_MIN + 900)]
    for at in range(0, len(digests), 100):
        store.commit(Commit(seen=tuple((each, 7) for each in digests[at : at + 100])))
    assert store.seen(digests) == frozenset(digests)
    store.commit(Commit(seen=((digest(99_999), 8),)))
    wait_until(lambda: store._reader.execute("SELECT count(*) FROM seen WHERE part = 0").fetchone() == (1,))
    absent = [digest(number) for number in range(200_000, 200_200)]
    assert store.seen([*digests, *absent]) == frozenset(digests)
    assert len(store.seen_since(8).packed) == 16
    assert len(store.seen_since(0, rows=1_000).packed) == 16 * len(digests) + 16
    store.close()
    again = SqliteStore(path)
    assert again.seen([*digests, *absent]) == frozenset(digests)
    again.forget_seen(8)
    assert again.seen(digests) == frozenset()
    again.close()


QUESTIONS = {
    "one profile": lambda store: store.profile("u:1"),
    "several profiles": lambda store: store.profiles_named(["u:1", "u:2"]),
    "keys of several": lambda store: store.keys_of([b"1", b"2"]),
    "several keys": lambda store: store.keys_numbered([1, 2]),
    "one product": lambda store: store.product("counts"),
    "what is due": lambda store: store.due(10, limit=5),
    "single digests": lambda store: store.seen([digest(1), digest(2)]),
    "digests since an hour": lambda store: store.seen_since(7),
    "documents of a kind": lambda store: store.documents("rule"),
    "versions of a document": lambda store: store.versions("rule", "a"),
    "rejected things": lambda store: store.rejected(),
    "rejected things of a source": lambda store: store.rejected(source="key"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_that_must_be_quick_walks_no_table(path, question):
    store = SqliteStore(path, SqliteSettings(loose_max=1))
    store.commit(Commit(seen=((digest(1), 7),)))
    wait_until(lambda: store._reader.execute("SELECT count(*) FROM seen WHERE part > 0").fetchone() == (1,))
    asked = []
    store._reader.set_trace_callback(asked.append)
    QUESTIONS[question](store)
    store._reader.set_trace_callback(None)
    selects = [statement for statement in asked if "SELECT" in statement]
    assert selects
    for statement in selects:
        steps = [step for *_, step in store._reader.execute(f"EXPLAIN QUERY PLAN {statement}")]
        walks = [step for step in steps if step.startswith("SCAN") and step != "SCAN parts" and "CONSTANT" not in step]
        # The newest rejected things are the last rows of their table, and the walk stops at the limit.
        assert not walks or statement.endswith("ORDER BY row DESC LIMIT 100"), (statement, steps)
        assert not [step for step in steps if "TEMP B-TREE" in step], (statement, steps)
    store.close()


def test_forgotten_digests_are_forgotten_by_an_index_that_knew_them(store):
    store.commit(Commit(seen=((digest(1), 7), (digest(2), 8))))
    assert store.seen([digest(1), digest(2)]) == {digest(1), digest(2)}
    store.forget_seen(8)
    assert store.seen([digest(1), digest(2)]) == {digest(2)}


def test_packed_digests_hold_whole_ones_only():
    first, second = bytes(range(16)), bytes(range(100, 116))
    packed = first + second
    assert sqlite_seen._holds(packed, first)
    assert sqlite_seen._holds(packed, second)
    assert not sqlite_seen._holds(packed, first[8:] + second[:8])
    assert sqlite_seen._holds(bytes(8) + bytes(8) + packed, bytes(16))


def test_an_upkeep_that_fails_is_told_and_tried_again(store, caplog, monkeypatch):
    calls = []

    def fail_once():
        calls.append(1)
        if len(calls) == 1:
            raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(store._upkeep, "_copy_wal", fail_once)
    big = bytes(20_000_000)
    with caplog.at_level(logging.WARNING):
        store.commit(Commit(rows=(row(1, big),)))
        wait_until(lambda: len(calls) == 1)
        store.commit(Commit(rows=(row(2),)))
        wait_until(lambda: len(calls) >= 2)
    assert "disk I/O error" in caplog.text


def test_many_threads_may_ask_at_once(store):
    rows = tuple(ProfileRow(f"u:{number}", b"%d" % number) for number in range(50))
    store.commit(Commit(checkpoint=Checkpoint(offset=0, profiles=rows)))
    wrong = []

    def ask():
        for number in range(50):
            found = store.profile(f"u:{number}")
            if found is None or found.data != b"%d" % number:
                wrong.append(number)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# Keys


def test_no_byte_of_a_destroyed_key_is_left_in_any_file(store, path):
    """Also when many keys came and went, one commit after another, and while the others stay where they are."""
    rng = random.Random(11)
    secrets = {number: rng.randbytes(64) for number in range(1, 3_001)}
    subjects = {number: rng.randbytes(16) for number in secrets}
    numbers = iter(secrets)
    destroyed = []
    while batch := list(itertools.islice(numbers, rng.randint(1, 200))):
        keys = tuple(WrappedKey(number, subjects[number], secrets[number]) for number in batch)
        gone = rng.sample(range(1, batch[-1] + 1), min(40, batch[-1]))
        store.commit(Commit(keys=keys, forget=Forget(keys=tuple(gone))))
        destroyed += gone
    assert store.wipe()
    everything = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert [number for number in set(destroyed) if secrets[number] in everything] == []
    assert [key.number for key in store.each_key()] == sorted(secrets.keys() - set(destroyed))
    anew = tuple(WrappedKey(number, subjects[number], rng.randbytes(64)) for number in secrets)
    store.commit(Commit(keys=anew))
    assert store.wipe()
    everything = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert [number for number, secret in secrets.items() if secret in everything] == [], "wrapped anew in its place"


def test_the_write_ahead_log_is_cut_as_soon_as_no_reader_needs_it(path):
    store = SqliteStore(path, SqliteSettings(busy_ms=50))
    wal = path.with_name(path.name + "-wal")
    for first in range(1, 4):
        store.commit(Commit(rows=(row(first),)))
    reading = store.read(0)
    next(reading)
    store.commit(Commit(rows=(row(4),)))
    assert not store.wipe()
    assert len(list(reading)) == 2
    assert store.wipe()
    assert wal.stat().st_size == 0
    store.commit(Commit(rows=(row(5),)))
    store.close()


def test_a_file_of_format_1_gets_its_table_of_keys(path):
    store = SqliteStore(path)
    store.commit(full_commit(1, 1))
    kept = everything(store, ())
    store.close()
    other = sqlite3.connect(path)
    for table in ("keys", "snapshots", "kept_profiles", "kept_aliases", "kept_documents", "undone", "changes"):
        other.execute(f"DROP TABLE {table}")
    other.execute("UPDATE meta SET value = 1 WHERE key = 'format'")
    other.commit()
    other.close()
    store = SqliteStore(path)
    assert everything(store, ()) == kept
    store.commit(Commit(keys=(WrappedKey(1, bytes(range(16)), b"w" * 64),)))
    assert store.last_key() == 1
    store.close()
