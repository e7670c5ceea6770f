from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

from bespeak.errors import StoreError, StoreLocked
from bespeak.stores import StoreLock, read_owner

OWNER = """
import sys, time
from pathlib import Path
from bespeak.stores import StoreLock
lock = StoreLock.acquire(Path(sys.argv[1]), "127.0.0.1:8123")
print("owned", flush=True)
time.sleep(60)
"""


@pytest.fixture
def other_owner(tmp_path):
    """Another process that owns the directory."""
    process = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "owned\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_owner_is_named_with_its_address(tmp_path, other_owner):
    with pytest.raises(StoreLocked, match=rf"in use by process {other_owner.pid}, .* 127\.0\.0\.1:8123") as raised:
        StoreLock.acquire(tmp_path, None)
    assert raised.value.address == "127.0.0.1:8123"
    assert read_owner(tmp_path) == "127.0.0.1:8123"


@pytest.mark.crash
def test_a_killed_owner_leaves_the_directory_free(tmp_path, other_owner):
    os.kill(other_owner.pid, signal.SIGKILL)
    other_owner.wait()
    assert read_owner(tmp_path) is None
    with StoreLock.acquire(tmp_path, "127.0.0.1:9000"):
        assert read_owner(tmp_path) == "127.0.0.1:9000"


def test_one_process_cannot_own_a_directory_twice(tmp_path):
    with StoreLock.acquire(tmp_path, None):
        with pytest.raises(StoreLocked) as raised:
            StoreLock.acquire(tmp_path, "127.0.0.1:8000")
        assert raised.value.address is None
        assert read_owner(tmp_path) is None
    with StoreLock.acquire(tmp_path, None):
        pass


def test_an_address_may_be_announced_later_and_changed(tmp_path):
    lock = StoreLock.acquire(tmp_path, None)
    lock.announce("a-host-with-a-very-long-name.example:65535")
    assert read_owner(tmp_path) == "a-host-with-a-very-long-name.example:65535"
    lock.announce("127.0.0.1:1")
    assert read_owner(tmp_path) == "127.0.0.1:1"
    lock.announce(None)
    assert read_owner(tmp_path) is None
    lock.release()


def test_a_released_lock_is_free_and_announces_nothing(tmp_path):
    lock = StoreLock.acquire(tmp_path, "127.0.0.1:1")
    lock.release()
    lock.release()
    assert read_owner(tmp_path) is None
    with pytest.raises(StoreError, match="released"):
        lock.announce("127.0.0.1:2")


def test_nobody_owns_a_directory_that_is_not_there(tmp_path):
    assert read_owner(tmp_path / "missing") is None


def test_the_directory_and_the_lock_are_for_their_owner_alone(tmp_path):
    with StoreLock.acquire(tmp_path / "a" / "b", None) as lock:
        assert stat.S_IMODE(lock.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(lock.path.parent.stat().st_mode) == 0o700


def test_a_directory_that_cannot_be_made_is_an_error_with_a_reason(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot open the lock file"):
        StoreLock.acquire(tmp_path / "file", None)


def test_those_who_ask_do_not_keep_anybody_from_owning(tmp_path):
    """`read_owner` takes the lock for an instant; an owner-to-be that meets it tries again."""
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            read_owner(tmp_path)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(100):
            StoreLock.acquire(tmp_path, None).release()
    finally:
        stop.set()
        asking.join()


def test_a_lock_file_of_another_making_does_not_confuse(tmp_path, other_owner):
    (tmp_path / "bespeak.lock").write_text("not what we write")
    with pytest.raises(StoreLocked, match="another process"):
        StoreLock.acquire(tmp_path, None)
    assert read_owner(tmp_path) is None
