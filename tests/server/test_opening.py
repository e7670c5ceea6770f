"""While the log is replayed at the start: alive, not ready, and senders are told to come back."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest

from bespeak.engine import Engine
from bespeak.errors import StoreError
from bespeak.server import Draining, address_of, create_app, listen, serve
from bespeak.server.opening import Opening
from bespeak.settings import ServerSettings, Settings
from bespeak.stores import MemorySettings

pytestmark = pytest.mark.server


def test_a_server_that_still_opens_its_store_is_alive_and_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, httpx.Response] = {}

    def opening(_settings: Settings, *, address: str) -> NoReturn:
        for path in ("/health", "/ready", "/metrics"):
            found[path] = httpx.get(address + path)
        found["/v1/batch"] = httpx.post(f"{address}/v1/batch", content=b"x" * 300_000)
        raise StoreError("seen enough")

    monkeypatch.setattr(Engine, "open", opening)
    with pytest.raises(StoreError, match="seen enough"):
        serve(Settings(data_dir=str(tmp_path), server=ServerSettings(port=0)))
    assert {path: answer.status_code for path, answer in found.items()} == {
        "/health": 200, "/ready": 503, "/metrics": 503, "/v1/batch": 503,
    }  # fmt: skip
    assert found["/health"].json()["service"] == "bespeak"
    assert found["/v1/batch"].json()["code"] == "unavailable"
    assert int(found["/v1/batch"].headers["retry-after"]) >= 1


@pytest.mark.anyio
async def test_a_server_that_was_told_to_stop_is_alive_and_not_ready() -> None:
    engine, draining = Engine.open(Settings(store=MemorySettings())), Draining()
    await engine.start()
    transport = httpx.ASGITransport(create_app(engine, draining=draining))
    async with httpx.AsyncClient(transport=transport, base_url="http://bespeak") as client:
        assert (await client.get("/ready")).json() == {"status": "ready"}
        draining.begun = True
        refused = await client.get("/ready")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert (await client.get("/health")).status_code == 200
    await engine.close()


def test_whoever_comes_when_it_has_opened_is_left_to_the_server() -> None:
    with listen(ServerSettings(port=0)) as listening:
        with Opening(listening):
            assert httpx.get(address_of(listening) + "/ready").status_code == 503
        place: Any = listening.getsockname()[:2]
        with socket.create_connection(place, timeout=5) as client:
            listening.settimeout(5)
            accepted, _ = listening.accept()
            accepted.sendall(b"the server")
            accepted.close()
            assert client.recv(100) == b"the server"


def test_a_client_that_says_nothing_or_goes_away_stops_nobody_else() -> None:
    with listen(ServerSettings(port=0)) as listening, Opening(listening):
        place: Any = listening.getsockname()[:2]
        socket.create_connection(place, timeout=5).close()
        silent = socket.create_connection(place, timeout=5)
        silent.shutdown(socket.SHUT_WR)
        assert httpx.get(address_of(listening) + "/health", timeout=10).status_code == 200
        silent.close()
    assert "bespeak-opening" not in {thread.name for thread in threading.enumerate()}
