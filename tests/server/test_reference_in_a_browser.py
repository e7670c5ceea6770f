"""The API reference in a real browser: it fits a phone, is accessible, and asks nobody else for anything."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright

pytestmark = [pytest.mark.browser, pytest.mark.server]

_FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found[0], args=_FLAGS)
        yield running
        running.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_says_nothing_on_the_console_and_is_accessible(
    site: Any, browser: Browser, width: int, scheme: Any
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{site.address}/docs")
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith((f"{site.address}/docs", "data:"))] == []


def test_a_link_to_a_type_opens_it(site: Any, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{site.address}/docs")
    page.get_by_text("/v1/decide", exact=True).first.click()
    page.get_by_role("link", name="ShownDecision").first.click()
    page.locator("#type-ShownDecision").wait_for(state="visible", timeout=5_000)
    assert page.locator("#type-ShownDecision").get_by_text("personalized").first.is_visible()
    context.close()
