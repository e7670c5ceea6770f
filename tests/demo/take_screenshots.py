"""Take the pictures of the documentation: `python tests/demo/take_screenshots.py docs/images`.

It starts a demo of its own with the whole town, lets people come in, walks through the shop as a visitor does, and
writes what the pages look like at 360 and 1280 px. Takes about two minutes.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import threading
from io import StringIO
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from bespeak.demo import run

WALK = ("/category/outdoors", "/product/backpacks-0010", "/product/tents-0011", "/product/bottles-0012")
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]


class _Said(StringIO):
    """What the demo says; `address` once it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = threading.Event()
        self.address = ""

    def write(self, text: str) -> int:
        if "The shop " in text:
            self.address = next(word for word in text.split() if word.startswith("http")).rstrip("/")
            self.opened.set()
        return super().write(text)


def main(folder: Path) -> None:
    """Write the pictures into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    said = _Said()
    with tempfile.TemporaryDirectory() as directory:
        work = threading.Thread(
            target=lambda: asyncio.run(run(data_dir=Path(directory) / "demo", out=said)), daemon=True
        )
        work.start()
        if not said.opened.wait(60):
            raise SystemExit(f"the demo did not open:\n{said.getvalue()}")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_FLAGS)
            take(browser, said.address, folder)
            browser.close()


def take(browser: Browser, address: str, folder: Path) -> None:
    """Take every picture."""
    live = browser.new_page(viewport={"width": 1280, "height": 1010})
    live.goto(f"{address}/live")
    narrow = browser.new_page(viewport={"width": 360, "height": 780})
    narrow.goto(f"{address}/live")
    for width, height, scheme in ((1280, 1100, "light"), (360, 780, "light"), (1280, 1100, "dark")):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        page = context.new_page()
        suffix = f"{width}-dark" if scheme == "dark" else str(width)
        walk(page, address)
        for name, path in (("shop-home", "/"), ("shop-product", "/product/tents-0023"), ("shop-why", "/?why=1")):
            page.goto(address + path)
            page.wait_for_timeout(1_500)
            page.screenshot(path=folder / f"{name}-{suffix}.png")
        context.close()
    live.wait_for_timeout(100_000)
    live.screenshot(path=folder / "live-1280.png")
    narrow.screenshot(path=folder / "live-360.png")


def walk(page: Page, address: str) -> None:
    """Look at a few things, as a visitor does."""
    for path in WALK:
        page.goto(address + path)
        page.wait_for_timeout(700)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
