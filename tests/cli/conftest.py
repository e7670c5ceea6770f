"""The command line, run as a person runs it: in a project folder, with and without a server beside it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bespeak.cli import main

SRC = Path(__file__).resolve().parents[2] / "src"


class Said(NamedTuple):
    code: int
    stdout: str
    stderr: str


class Folder:
    """A folder in which commands are run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.server: subprocess.Popen[str] | None = None
        self.address = ""

    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "PYTHONPATH": str(SRC), "HOME": str(self.path), "PYTHONWARNINGS": "error"}

    def run(self, *words: str, code: int = 0, stdin: str = "") -> Said:
        """Run a command in this process: the function of the entry point, without a start of Python."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(self.path),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
            found = main(words)
        said = Said(found, out.getvalue(), err.getvalue())
        assert said.code == code, f"{words}: {said}"
        return said

    def run_process(self, *words: str, code: int = 0, stdin: str = "") -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "bespeak", *words],
            cwd=self.path, env=self.environment(), input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        said = Said(done.returncode, done.stdout, done.stderr)
        assert said.code == code, f"{words}: {said}"
        return said

    def json(self, *words: str, stdin: str = "") -> Any:
        return json.loads(self.run(*words, "--json", stdin=stdin).stdout)

    def serve(self, *words: str) -> subprocess.Popen[str]:
        self.server = subprocess.Popen(
            [sys.executable, "-m", "bespeak", "serve", "--port", "0", "--json", *words],
            cwd=self.path, env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.server.stdout is not None
        ready, _, _ = select.select([self.server.stdout], [], [], 30)
        line = self.server.stdout.readline() if ready else ""
        if not line:
            self.server.kill()
            raise AssertionError(self.server.communicate(timeout=10)[1])
        self.address = json.loads(line)["address"]
        return self.server

    def stop(self) -> tuple[int, str]:
        """Send SIGTERM; returns the exit code and what was said on standard error."""
        assert self.server is not None
        server, self.server = self.server, None
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=20)
        return server.returncode, said

    def close(self) -> None:
        if self.server is not None:
            self.server.kill()
            self.server.communicate(timeout=20)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    found = Folder(tmp_path)
    yield found
    found.close()


@pytest.fixture(scope="module", params=[False, True], ids=["alone", "beside a server"])
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    """A project as `bespeak init` makes it, without a server and with one."""
    found = Folder(tmp_path_factory.mktemp("project"))
    found.run("init", "--json")
    if request.param:
        found.serve()
    yield found
    found.close()
