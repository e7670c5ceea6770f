"""A real server on a bad disk: bytes that changed under it are refused at the start, a stall is waited for."""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
import subprocess
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.server

STALL = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_while_stalled(void) {
    const char *place = getenv("STALL_WHILE_THERE");
    while (place && access(place, F_OK) == 0) usleep(10000);
}
int fsync(int file) {
    int (*real)(int) = (int (*)(int)) dlsym(RTLD_NEXT, "fsync");
    wait_while_stalled();
    return real(file);
}
int fdatasync(int file) {
    int (*real)(int) = (int (*)(int)) dlsym(RTLD_NEXT, "fdatasync");
    wait_while_stalled();
    return real(file);
}
"""


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


class Sender(threading.Thread):
    """Sends one body, and keeps what was answered."""

    def __init__(self, address: str, token: str, path: str, body: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        credentials = b64encode(f"{token}:".encode()).decode()
        self.request = urllib.request.Request(
            address + path, data=json.dumps(body).encode(), headers={"Authorization": f"Basic {credentials}"}
        )
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = b""

    def run(self) -> None:
        try:
            with urllib.request.urlopen(self.request, timeout=60) as answer:
                self.body, self.headers, self.status = answer.read(), dict(answer.headers), answer.status
        except urllib.error.HTTPError as error:
            self.body, self.headers, self.status = error.read(), dict(error.headers), error.code

    def answered(self) -> Sender:
        self.run()
        return self


def view(place: int) -> dict[str, Any]:
    return {"event": "Product Viewed", "anonymousId": "ada", "messageId": f"m{place}"}


@pytest.fixture
def shim(tmp_path: Path) -> Path:
    """A library before the C library whose fsync waits as long as a file is there."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("the stalled disk is made by a small C library, and there is no cc")
    source, library = tmp_path / "stall.c", tmp_path / "stall.so"
    source.write_text(STALL)
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def test_while_the_disk_stalls_acknowledgements_wait_pages_are_answered_and_senders_are_held_back(
    folder: Any, shim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = folder.json("keys", "create", "--kind", "write")["token"]
    stalled = tmp_path / "stalled"
    preload = {
        "LD_PRELOAD": str(shim), "STALL_WHILE_THERE": str(stalled), "BESPEAK__SERVER__REQUESTS_MAX": "8",
        "BESPEAK__ENGINE__CHECKPOINT_SECONDS": "3600",
    }  # fmt: skip
    plain = folder.environment()
    monkeypatch.setattr(folder, "environment", lambda: {**plain, **preload})
    folder.serve()
    assert Sender(folder.address, token, "/v1/track", view(0)).answered().status == 200

    stalled.touch()
    senders = [Sender(folder.address, token, "/v1/track", view(place)) for place in range(1, 21)]
    for sender in senders:
        sender.start()
    wait_until(lambda: sum(sender.status is not None for sender in senders) == 14)
    refused = [sender for sender in senders if sender.status is not None]
    waiting = [sender for sender in senders if sender.status is None]
    assert {sender.status for sender in refused} == {503}
    assert all(int(sender.headers["retry-after"]) >= 1 for sender in refused)
    assert len(waiting) == 6, "three quarters of requests_max may wait for the disk"
    page = {"anonymousId": "ada", "slots": [{"id": "home", "n": 1}]}
    for _ in range(20):
        assert Sender(folder.address, token, "/v1/decide", page).answered().status == 200
    assert all(sender.status is None for sender in waiting), "nothing is acknowledged before it is on disk"

    stalled.unlink()
    for sender in waiting:
        sender.join(30)
    assert [sender.status for sender in waiting] == [200] * 6
    assert folder.stop()[0] == 0
    assert folder.json("profile", "ada")["counts"]["Product Viewed"] == 7
    assert folder.json("replay")["equal"] is True


@pytest.mark.parametrize("harm", ["a flipped byte", "a torn page"])
def test_bytes_that_changed_on_disk_are_named_and_refused_at_the_start_with_the_remedy(
    folder: Any, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = folder.environment()
    monkeypatch.setattr(folder, "environment", lambda: {**plain, "BESPEAK__ENGINE__CHECKPOINT_SECONDS": "3600"})
    token = folder.json("keys", "create", "--kind", "write")["token"]
    folder.run("backup", "before.db")
    server = folder.serve()
    for place in range(3):
        body = {**view(place), "properties": {"text": secrets.token_hex(9_000)}}
        assert Sender(folder.address, token, "/v1/track", body).answered().status == 200
    server.kill()  # so that the log since the checkpoint is replayed at the next start
    server.communicate(timeout=20)
    folder.server = None
    path = Path(folder.path) / ".bespeak" / "bespeak.db"
    copy_wal_into(path)
    whole = bytearray(path.read_bytes())
    at = place_of_row(path, whole, 3)
    if harm == "a flipped byte":
        whole[at + 100] ^= 0x10
    else:
        end = (at // 8192 + 1) * 8192
        whole[at : min(end, at + 4_096)] = bytes(min(end, at + 4_096) - at)
    path.write_bytes(whole)

    (bad,) = json.loads(folder.run("verify", "--json", code=1).stdout)["bad"]
    assert (bad["first"], bad["last"]) == (3, 3)
    refused = folder.run_process("serve", "--port", "0", code=1).stderr
    assert "offset 3" in refused
    assert "bespeak verify" in refused
    folder.run("verify", "--repair")
    assert folder.json("profile", "ada")["counts"]["Product Viewed"] == 2
    folder.run("restore", "before.db", "--force")
    assert folder.json("verify")["sound"] is True


def place_of_row(path: Path, whole: bytes, first: int) -> int:
    """Return where in the file a part of a log row's payload is that lies on one page."""
    with closing(sqlite3.connect(path)) as connection:
        payload = connection.execute("SELECT payload FROM log WHERE first = ?", (first,)).fetchone()[0]
    at = next(at for at in range(4_000, len(payload), 50) if payload[at : at + 300] in whole)
    return whole.index(payload[at : at + 300])


def copy_wal_into(path: Path) -> None:
    """Let SQLite bring its write-ahead log into the file, as it does when it is opened and closed."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert not path.with_name(path.name + "-wal").exists()
