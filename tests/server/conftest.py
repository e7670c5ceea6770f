"""One real server for all of these tests: uvicorn on a free port of the loopback interface, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from bespeak.engine import Engine
from bespeak.privacy import Key
from bespeak.server import address_of, listen, serve_engine
from bespeak.settings import ServerSettings, Settings
from bespeak.stores import MemorySettings

T = TypeVar("T")


class Site:
    """A running server, its engine, a write and a secret key."""

    def __init__(self, data_dir: Path, server: ServerSettings) -> None:
        self.settings = Settings(data_dir=str(data_dir), store=MemorySettings(), server=server)
        self.write_key, self.secret_key = "", ""
        self.key: Key
        self.engine: Engine
        self._answering = threading.Event()
        self._failure: BaseException | None = None
        self._stop: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        listening = listen(server)
        self.address = address_of(listening)
        self._thread = threading.Thread(target=self._serve, args=(listening,), daemon=True)
        self._thread.start()
        assert self._answering.wait(20), "the server did not start"
        if self._failure is not None:
            raise self._failure
        self.open = httpx.Client(base_url=self.address)
        self.write = httpx.Client(base_url=self.address, auth=(self.write_key, ""))
        self.secret = httpx.Client(base_url=self.address, auth=(self.secret_key, ""))

    def _serve(self, listening: Any) -> None:
        async def run() -> None:
            self._loop = asyncio.get_running_loop()
            self._stop = asyncio.Event()
            self.engine = Engine.open(self.settings, address=self.address)

            async def started(engine: Engine, _address: str) -> None:
                self.key, self.write_key = await engine.create_key("write", "site")
                _, self.secret_key = await engine.create_key("secret", "backend")
                self._answering.set()

            with listening:
                await serve_engine(self.engine, listening, started=started, stop=self._stop)

        try:
            asyncio.run(run())
        except BaseException as error:  # noqa: BLE001  told to the thread that waits
            self._failure = error
        finally:
            self._answering.set()

    def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the server's own loop, where the engine lives."""
        return asyncio.run_coroutine_threadsafe(make(), self._loop).result(20)

    def profile(self, any_id: str) -> dict[str, Any]:
        answer = self.secret.get(f"/v1/profiles/{any_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def counts(self, any_id: str) -> dict[str, int]:
        answer = self.secret.get(f"/v1/profiles/{any_id}")
        return {} if answer.status_code == 404 else answer.json()["counts"]

    def close(self) -> None:
        for client in (self.open, self.write, self.secret):
            client.close()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive(), "the server did not stop"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("site"), ServerSettings(port=0))
    yield found
    found.close()


@pytest.fixture(scope="session")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that gives its clients a third of a second."""
    server = ServerSettings(port=0, header_seconds=0.3, body_seconds=0.3, cors_origins=("https://shop.example",))
    found = Site(tmp_path_factory.mktemp("impatient"), server)
    yield found
    found.close()
