"""SIGTERM: what is at work is finished, what was acknowledged is kept."""

from __future__ import annotations

import http.client
import itertools
import json
import signal
import socket
import threading
import time
from base64 import b64encode
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.server


def test_a_request_on_its_way_is_answered_and_kept_though_the_server_was_told_to_stop(folder: Any) -> None:
    token = folder.json("keys", "create", "--kind", "write")["token"]
    server = folder.serve()
    place = urlsplit(folder.address)
    body = json.dumps({"anonymousId": "ada", "event": "Product Viewed"}).encode()
    credentials = b64encode(f"{token}:".encode()).decode()
    lines = [
        "POST /v1/track HTTP/1.1",
        "Host: x",
        f"Authorization: Basic {credentials}",
        f"Content-Length: {len(body)}",
    ]
    head = "\r\n".join([*lines, "", ""])
    with socket.create_connection((place.hostname, place.port), timeout=10) as slow:
        slow.sendall(head.encode() + body[:10])
        time.sleep(0.2)
        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert server.poll() is None
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((place.hostname, place.port), timeout=10)
        slow.sendall(body[10:])
        answer = slow.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 200")
    server.communicate(timeout=20)
    assert server.returncode == 0
    assert time.monotonic() - began < 10
    folder.server = None
    assert folder.json("profile", "ada")["counts"] == {"Product Viewed": 1}


def test_under_load_it_stops_in_time_and_keeps_exactly_what_it_acknowledged(folder: Any) -> None:
    token = folder.json("keys", "create", "--kind", "write")["token"]
    server = folder.serve()
    place = urlsplit(folder.address)
    acknowledged: list[str] = []
    unsure: list[str] = []

    def send(sender: int) -> None:
        with closing(http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)) as connection:
            for number in itertools.count():
                name = f"{sender}-{number}"
                body = json.dumps({"anonymousId": f"d{sender}", "event": "Product Viewed", "messageId": name})
                try:
                    connection.request("POST", "/v1/track", body, {"X-Write-Key": token})
                    answer = connection.getresponse()
                    answer.read()
                except (OSError, http.client.HTTPException):
                    unsure.append(name)
                    return
                if answer.status == 200:
                    acknowledged.append(name)

    senders = [threading.Thread(target=send, args=(sender,)) for sender in range(4)]
    for thread in senders:
        thread.start()
    while len(acknowledged) < 100:
        time.sleep(0.01)
    server.send_signal(signal.SIGTERM)
    _, said = server.communicate(timeout=10)  # what is promised of SIGTERM
    for thread in senders:
        thread.join(20)
    folder.server = None
    assert (server.returncode, said) == (0, "")
    stored = sum(folder.json("profile", f"d{sender}")["counts"]["Product Viewed"] for sender in range(4))
    assert len(acknowledged) <= stored <= len(acknowledged) + len(unsure)
    assert folder.json("replay")["equal"] is True


def test_a_client_that_never_ends_its_request_is_not_waited_for_beyond_the_drain(folder: Any) -> None:
    (folder.path / "bespeak.toml").write_text("[server]\ndrain_seconds = 1\nbody_seconds = 300\n")
    server = folder.serve()
    place = urlsplit(folder.address)
    with socket.create_connection((place.hostname, place.port), timeout=10) as stuck:
        stuck.sendall(b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        time.sleep(0.2)
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=10)
    folder.server = None
    assert server.returncode == 0
    assert not (folder.path / ".bespeak" / "server.json").exists(), "it closed its store as ever"


def test_ctrl_c_stops_it_as_calmly(folder: Any) -> None:
    server = folder.serve()
    server.send_signal(signal.SIGINT)
    _, said = server.communicate(timeout=20)
    assert (server.returncode, said) == (0, "")
