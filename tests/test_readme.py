"""The five minutes of the README and the quickstart, run as they are written."""

from __future__ import annotations

import functools
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text().partition("in five minutes")[2].partition("\n## ")[0]
QUICKSTART = (ROOT / "docs" / "quickstart.md").read_text()

DEFINITION = r'^```yaml title="([\w-]+/[\w.-]+)"\n(.*?)^```$'

# What a person does by hand between the commands: copy the two keys, and wait for the line that the server prints.
KEYS = """
import json
made = {key["kind"]: key["token"] for key in json.load(open("made.json"))["keys"]}
print("WRITE_KEY=" + made["write"], "SECRET_KEY=" + made["secret"])
"""
BY_HAND = {
    "bespeak init shop": f"bespeak init shop --json >made.json; python3 -c '{KEYS}' >keys",
    "export WRITE_KEY=bsw_... SECRET_KEY=bss_...": "export $(cat ../keys)",
    "bespeak serve &": "bespeak serve >../serve.log 2>&1 & echo $! >../server\n"
    "for try in $(seq 300); do curl -sf http://127.0.0.1:8000/ready >/dev/null && break; sleep 0.1; done",
}
STOP = "kill $(cat server); for try in $(seq 200); do kill -0 $(cat server) 2>/dev/null || break; sleep 0.05; done"


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Shop:
    """A project folder with a server, made by the README's own commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        (folder / "bin").mkdir()
        (folder / "bin" / "bespeak").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bespeak "$@"\n')
        (folder / "bin" / "bespeak").chmod(0o755)
        self.environment = {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
            "HOME": str(folder),
            "BESPEAK__SERVER__PORT": str(self.port),
        }
        script = "\n".join(blocks(README, "sh"))
        for written, done in BY_HAND.items():
            assert script.count(written) == 1, f"the README no longer says {written!r}"
            script = script.replace(written, done)
        self.said = self.run(script)
        self.keys = dict(word.split("=") for word in (folder / "keys").read_text().split())

    def run(self, script: str) -> str:
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def close(self) -> None:
        self.run(
            "kill $(cat server); for try in $(seq 200); do kill -0 $(cat server) 2>/dev/null || break; sleep 0.05; done"
        )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    if not shutil.which("curl"):
        pytest.skip("no curl on this machine: apt-get install curl")
    shop = Shop(tmp_path_factory.mktemp("readme"))
    yield shop
    shop.close()


def decision_in(said: str) -> dict[str, Any]:
    found = re.search(r'\{"decisionId".*', said)
    assert found, said
    return json.JSONDecoder().raw_decode(found[0])[0]


@pytest.mark.server
def test_the_commands_of_the_readme_give_a_personalized_block_with_reasons(shop: Shop) -> None:
    decision = decision_in(shop.said)
    assert decision.get("personalized", True)
    assert {item["id"] for item in decision["slots"]["for-you"]["items"]} <= {"tent-2", "stove", "lamp", "teapot"}
    assert len(decision["slots"]["for-you"]["items"]) == 3
    assert decision["slots"]["for-you"]["reason"]
    assert decision["reasons"]


@pytest.mark.server
def test_the_quickstart_adds_a_segment_a_rule_an_experiment_and_content(shop: Shop) -> None:
    project = shop.folder / "shop"
    for name, text in re.findall(
        r'^```yaml title="([\w-]+/[\w.-]+)"\n(.*?)^```$', QUICKSTART, re.MULTILINE | re.DOTALL
    ):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(text)
    said = shop.run("export $(cat keys); cd shop\n" + "\n".join(blocks(QUICKSTART, "sh")))
    decision = decision_in(said)
    assert decision["segments"] == ["tent-lookers"]
    assert decision["experiments"]["variety"] in {"control", "varied"}
    assert decision["slots"]["hero"]["content"]["html"] == "<h1>Hello there, it sleeps two.</h1>"
    assert decision["slots"]["hero"]["content"]["block"] == "hello-tents"
    prices = {"tent-2": 189, "stove": 49, "lamp": 35, "teapot": 42}
    assert all(prices[item["id"]] <= 50 for item in decision["slots"]["for-you"]["items"][:2])
    assert said.rindex("tent-lookers") > said.index("decisionId"), "`bespeak profile` and `bespeak segments` name it"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.server
@pytest.mark.browser
def test_the_block_of_the_readme_shows_items_in_a_real_page(shop: Shop, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    (page_source,) = blocks(README, "html")
    page_source = page_source.replace("bsw_...", shop.keys["WRITE_KEY"]).replace(
        "127.0.0.1:8000", f"127.0.0.1:{shop.port}"
    )
    (tmp_path / "index.html").write_text(f"<!doctype html><meta charset=utf-8><title>Shop</title>{page_source}")
    (tmp_path / "favicon.ico").write_bytes(b"")
    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=site.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium") or shutil.which("chromium-browser"),
                args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
                      "--disable-component-update", "--disable-sync", "--no-first-run"],
            )  # fmt: skip
            page = browser.new_page()
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(f"http://127.0.0.1:{site.server_address[1]}/")
            page.wait_for_selector("#for-you li", timeout=20_000)
            shown = page.locator("#for-you li").all_text_contents()
            browser.close()
    finally:
        site.shutdown()
        site.server_close()
    assert errors == []
    assert len(shown) == 3
    assert set(shown) <= {"Tent for two", "Gas stove", "Head lamp", "Teapot"}
