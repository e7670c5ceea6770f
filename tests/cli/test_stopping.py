"""SIGTERM: what is at work is finished, what was acknowledged is kept."""

from __future__ import annotations

import json
import signal
import socket
import time
from base64 import b64encode
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


def test_ctrl_c_stops_it_as_calmly(folder: Any) -> None:
    server = folder.serve()
    server.send_signal(signal.SIGINT)
    _, said = server.communicate(timeout=20)
    assert (server.returncode, said) == (0, "")
