"""A demo of one's own for these tests: a small town in a process of its own, quiet unless a test says otherwise."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

import bespeak

SIZE = (150, 120)
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(bespeak.__file__).parents[1])}
"""A demo runs the code that is tested, wherever it was imported from."""
_PROGRAM = """
import asyncio, sys
from pathlib import Path
from bespeak.demo import run
directory, speed, once, port = sys.argv[1:]
sys.exit(asyncio.run(run(
    data_dir=Path(directory), out=sys.stdout, speed=float(speed), once=once == "once", port=int(port) or None,
    size=({people}, {items}),
)))
"""


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str


class Demo(NamedTuple):
    process: subprocess.Popen[str]
    address: str
    directory: Path

    def fetch(self, path: str, data: bytes | None = None, *, method: str | None = None, **headers: str) -> Reply:
        """Ask without following redirects; headers are given as `Content_Type="..."`."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        asked = urllib.request.Request(self.address + path, data, names, method=method)
        opener = urllib.request.build_opener(_Stay)
        try:
            with opener.open(asked, timeout=20) as answer:
                return Reply(answer.status, _headers(answer.headers), answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, _headers(error.headers), error.read().decode())

    def token(self, kind: str) -> str:
        return str(msgspec.json.decode((self.directory / "demo.json").read_bytes())[f"{kind}_token"])

    def send(self, *messages: dict[str, object]) -> Reply:
        body = msgspec.json.encode({"batch": messages, "writeKey": self.token("write")})
        return self.fetch("/v1/batch", body)

    def profile(self, any_id: str) -> dict[str, object]:
        reply = self.fetch(f"/v1/profiles/{any_id}", Authorization=f"Bearer {self.token('secret')}")
        assert reply.status == 200, reply.text
        return msgspec.json.decode(reply.text)

    def metrics(self) -> dict[str, float]:
        rows = (line.rsplit(" ", 1) for line in self.fetch("/metrics").text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in rows}


def _headers(message: Message) -> dict[str, str]:
    return {name.lower(): "; ".join(message.get_all(name, [])) for name in message}


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:
        return None


@contextlib.contextmanager
def _started(directory: Path, *, speed: float = 0.0, once: bool = False, port: int = 0) -> Iterator[Demo]:
    """Start a demo and wait until it says where it is; stop it with Ctrl-C."""
    program = _PROGRAM.format(people=SIZE[0], items=SIZE[1])
    arguments = [str(directory), str(speed), "once" if once else "on", str(port)]
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        assert process.stdout is not None
        said: list[str] = []
        try:
            for line in process.stdout:
                said.append(line)
                if "The API docs" in line:
                    break
            assert any("The API docs" in line for line in said), "".join(said)
            address = next(line for line in said if "The shop" in line).split()[-1].rstrip("/")
            yield Demo(process, address, directory)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=20)
            if process.poll() is None:
                process.kill()


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Return the environment in which a process finds the code that is tested."""
    return ENVIRONMENT


@pytest.fixture
def started():
    """Start another demo: `with started(directory, speed=..., once=...) as demo`."""
    return _started


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with _started(tmp_path_factory.mktemp("demo")) as running:
        yield running
