"""The demo starts beside whatever listens already."""

from __future__ import annotations

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
        held = True
        try:
            taken.bind(("127.0.0.1", 8000))
            taken.listen()
        except OSError:  # somebody else has it, and may let it go at any time
            held = False
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
    assert not held or ports != {"8000"}
    assert ran.stdout.count("ok  ") == 4
