"""The shop, its panel and the live view in a real browser: they fit, are accessible, and follow the visitor."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, sync_playwright

pytestmark = [pytest.mark.browser, pytest.mark.server]

DEVICE = "bespeak_anonymous_id"
WIDTHS = [360, 1280]
PAGES = ["/", "/?why=1", "/category/kitchen", "/product/ITEM", "/product/ITEM?why=1", "/cart", "/checkout", "/live"]
_FIGURES = "all => all.map(one => [one.dataset.metric, Number(one.textContent.replace(/,/g, ''))])"
_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found[0], args=_FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def items(demo) -> list[str]:
    """Things of one category that can be bought."""
    found = re.findall(r'<li class="card" data-bespeak-item="([^"]+)".*?</li>', demo.fetch("/category/tents").text)
    return [item for item in dict.fromkeys(found) if "Sold out" not in demo.fetch(f"/product/{item}").text]


@pytest.fixture
def visit(browser: Browser, demo) -> Iterator:
    """Open a page as a new visitor, on a screen of a width; what the console says is kept in `page.said`."""
    contexts = []

    def opened(path: str = "/", *, width: int = 1280, cart: str = "", scheme: str = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        cookies = {DEVICE: f"browser-{uuid.uuid4().hex}", **({"cart": cart} if cart else {})}
        context.add_cookies([{"name": name, "value": value, "url": demo.address} for name, value in cookies.items()])
        page = context.new_page()
        page.said = []
        page.on("console", lambda message: page.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: page.said.append(f"thrown: {error}"))
        page.sent = []
        page.on(
            "request", lambda sent: page.sent.extend(_messages(sent.post_data)) if "/v1/batch" in sent.url else None
        )
        page.device = cookies[DEVICE]
        page.goto(demo.address + path)
        return page

    yield opened
    for context in contexts:
        context.close()


def _messages(body: str | None) -> list[dict]:
    return json.loads(body or "{}").get("batch", [])


def _delivered(page: Page) -> None:
    page.evaluate("window.bespeak.flush()")


def _shown(page: Page, slot: str) -> list[str]:
    return page.eval_on_selector_all(
        f'[data-bespeak-slot="{slot}"] [data-bespeak-item]', "all => all.map(one => one.dataset.bespeakItem)"
    )


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_says_nothing_on_the_console_and_is_accessible(visit, items, path: str, width: int) -> None:
    page = visit(path.replace("ITEM", items[0]), width=width, cart=f"{items[0]}:2|{items[1]}:1")
    if path == "/live":
        page.wait_for_selector("[data-state].on")
    else:
        _delivered(page)
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider <= 0
    found = Axe().run(page).response["violations"]
    serious = [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in {"serious", "critical"}
    ]
    assert not serious
    assert not page.said


@pytest.mark.parametrize("path", ["/?why=1", "/product/ITEM", "/cart", "/checkout"])
def test_the_dark_pages_have_contrast_enough(visit, items, path: str) -> None:
    page = visit(path.replace("ITEM", items[0]), cart=f"{items[0]}:2", scheme="dark")
    found = Axe().run(page).response["violations"]
    assert not [one["id"] for one in found if one["impact"] in {"serious", "critical"}]


def test_a_click_changes_the_home_page_and_the_product_page(visit, items, demo) -> None:
    fresh = _shown(visit(f"/product/{items[0]}"), "product-similar")
    page = visit("/")
    before = _shown(page, "home-picks")
    assert page.inner_text("h2 >> nth=0") == "A good place to start"
    with page.expect_navigation():
        page.click('[data-bespeak-slot="home-picks"] [data-bespeak-item] >> nth=0')
    _delivered(page)
    page.goto(f"{demo.address}/")
    after = _shown(page, "home-picks")
    assert page.inner_text("h2 >> nth=0") == "Picked for you"
    assert page.inner_text(".shelf-head p >> nth=0").startswith("Because you ")
    assert after != before
    counts = demo.profile(page.device)["counts"]
    assert counts["Product Clicked"] == counts["Product Viewed"] == 1
    page.goto(f"{demo.address}/product/{items[0]}")
    assert _shown(page, "product-similar") != fresh


def test_what_is_put_into_the_cart_changes_the_page_without_loading_it(visit, items, demo) -> None:
    page = visit(f"/product/{items[0]}?why=1")
    page.evaluate("window.stays = true")
    before = page.get_attribute('[data-slot="product-similar"] [data-bespeak-decision]', "data-bespeak-decision")
    page.select_option("#quantity", "2")
    page.click("text=Add to cart")
    page.wait_for_function("document.querySelector('[data-cart-count]').textContent === '2'")
    page.wait_for_function(
        """old => document.querySelector("[data-slot=product-similar] [data-bespeak-decision]")
               .dataset.bespeakDecision !== old""",
        arg=before,
    )
    assert page.evaluate("window.stays") is True
    assert "is in your cart" in page.inner_text("[role=status]")
    page.wait_for_function(
        """said => document.querySelector(".why [data-why-live] > section:last-child").innerText.includes(said)""",
        arg="Left the cart standing",
    )
    assert demo.profile(page.device)["counts"]["Product Added"] == 1
    assert not page.said


def test_what_was_truly_seen_is_reported_with_its_decision(visit, demo) -> None:
    page = visit("/", width=360)
    page.locator('[data-slot="home-picks"] [data-bespeak-item] >> nth=0').scroll_into_view_if_needed()
    for _ in range(100):
        seen = [one["properties"] for one in page.sent if one.get("event") == "Impression"]
        if any(one["slot"] == "home-picks" for one in seen):
            break
        page.wait_for_timeout(50)
    picks = next(one for one in seen if one["slot"] == "home-picks")
    decision = page.get_attribute('[data-bespeak-slot="home-picks"]', "data-bespeak-decision")
    assert picks["decision_id"] == decision
    assert 1 <= len(picks["items"]) < 8
    assert set(picks["items"]) <= set(_shown(page, "home-picks"))


def test_the_tracker_sends_again_what_failed_and_it_counts_once(visit, demo) -> None:
    page = visit("/")
    _delivered(page)
    failures = [0]

    def fails_after_delivery(route: Route) -> None:
        failures[0] += 1
        if failures[0] == 1:
            route.fetch()
            route.abort()
        else:
            route.continue_()

    page.route("**/v1/batch", fails_after_delivery)
    with page.expect_response("**/v1/batch") as again:
        page.evaluate("window.bespeak.track('Tested', {})")
    assert again.value.json()["success"] is True
    assert failures[0] >= 2
    assert demo.profile(page.device)["counts"]["Tested"] == 1


def test_what_could_not_be_sent_is_sent_by_the_next_page(visit, demo) -> None:
    page = visit("/")
    _delivered(page)
    page.route("**/v1/batch", lambda route: route.abort())
    page.evaluate("window.bespeak.track('Kept', {})")
    page.unroute("**/v1/batch")
    page.goto(f"{demo.address}/cart")
    _delivered(page)
    assert demo.profile(page.device)["counts"]["Kept"] == 1


def test_an_order_makes_the_visitor_a_customer(visit, items, demo) -> None:
    page = visit("/checkout", cart=f"{items[0]}:1")
    page.fill("#name", "Grace Linden")
    page.fill("#email", f"grace-{uuid.uuid4().hex[:8]}@example.com")
    page.click("text=Place the order")
    page.wait_for_url("**/thanks")
    _delivered(page)
    page.reload()
    _delivered(page)
    profile = demo.profile(page.device)
    assert profile["traits"]["first_name"] == "Grace"
    assert profile["userId"].startswith("shopper-")
    assert profile["bought"] == [items[0]]
    assert profile["counts"]["Order Completed"] == 1


def test_personalization_is_turned_off_and_on_by_its_switch(visit, items, demo) -> None:
    page = visit(f"/product/{items[0]}")
    _delivered(page)
    page.goto(f"{demo.address}/")
    mine = _shown(page, "home-picks")
    with page.expect_navigation():
        page.click("text=Turn personalization off")
    assert page.inner_text("h2 >> nth=0") == "A good place to start"
    assert _shown(page, "home-picks") != mine
    with page.expect_navigation():
        page.click("text=Turn personalization on")
    assert page.inner_text("h2 >> nth=0") == "Picked for you"


def test_the_keyboard_reaches_the_content_first(visit) -> None:
    page = visit("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top >= 0")


def test_the_live_view_shows_the_figures_of_metrics(visit, demo) -> None:
    page = visit("/live")
    page.wait_for_selector("[data-state].on")
    message = {
        "type": "track",
        "event": "Live",
        "messageId": uuid.uuid4().hex,
        "anonymousId": f"live-{uuid.uuid4().hex}",
    }
    demo.send(message)
    accepted = int(demo.metrics()["bespeak_events_accepted_total"])
    page.wait_for_function(
        """want => document.querySelector("[data-metric=bespeak_events_accepted_total]")
                .textContent.replace(/,/g, "") >= want""",
        arg=accepted,
    )
    for _ in range(5):  # a segment's window may end between the two readings
        shown = dict(page.eval_on_selector_all("[data-metric]", _FIGURES))
        metrics = {name: value for name, value in demo.metrics().items() if name in shown}
        if shown == metrics:
            break
        page.wait_for_timeout(1_100)
    assert len(shown) > 12
    assert shown == metrics
    page.wait_for_selector(".feed li.event >> text=Live")
