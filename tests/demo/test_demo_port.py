"""The demo starts beside whatever listens already."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src"


@pytest.mark.server
def test_the_demo_takes_the_next_free_port_and_proves_every_address(tmp_path: Path) -> None:
    with socket.socket() as taken:
        with contextlib.suppress(OSError):  # somebody else has it: as good
            taken.bind(("127.0.0.1", 8000))
            taken.listen()
        ran = subprocess.run(
            [sys.executable, "-m", "bespeak", "demo", "--once", "--data", str(tmp_path / "demo")],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(SRC)},
        )
    assert ran.returncode == 0, ran.stderr
    ports = set(re.findall(r"http://127\.0\.0\.1:(\d+)/", ran.stdout))
    assert len(ports) == 1
    assert ports != {"8000"}
    assert ran.stdout.count("ok  ") == 4
