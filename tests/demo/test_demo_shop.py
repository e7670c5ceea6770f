"""The shop over HTTP, with the real engine behind it: pages, cart, order, and what the wire makes of them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

pytestmark = pytest.mark.server

DEVICE = "bespeak_anonymous_id"


def _cookies(reply) -> dict[str, str]:
    return dict(re.findall(r"(\w+)=\"?([^;\"]*)", reply.headers.get("set-cookie", "")))


def _items(html: str, slot: str) -> list[str]:
    found = re.search(rf'<ul[^>]*data-bespeak-slot="{slot}".*?</ul>', html, re.DOTALL)
    return re.findall(r'data-bespeak-item="([^"]+)"', found.group()) if found else []


def _view(device: str, item: str, number: int = 0) -> dict[str, object]:
    return {
        "type": "track",
        "event": "Product Viewed",
        "messageId": f"{device}-{item}-{number}",
        "anonymousId": device,
        "properties": {"product_id": item},
    }


def _in_stock(demo, category: str) -> list[str]:
    reply = demo.fetch(f"/category/{category}")
    cards = re.findall(r'data-bespeak-item="([^"]+)".*?</li>', reply.text)
    return [item for item in dict.fromkeys(cards) if "Sold out" not in demo.fetch(f"/product/{item}").text]


@pytest.mark.parametrize("path", ["/", "/category/home", "/category/mugs", "/cart", "/?why=1", "/category/mugs?why=1"])
def test_a_page_answers_with_its_landmarks(demo, path: str) -> None:
    reply = demo.fetch(path)
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/html")
    for part in ("<header", "<main", "<footer", '<html lang="en">', "<h1"):
        assert part in reply.text
    assert reply.text.count("<h1") == 1
    assert "default-src 'self'" in reply.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/category/nothing", "/product/nothing", "/product/%3Cscript%3E"])
def test_what_the_shop_does_not_have_is_a_page_that_says_so(demo, path: str) -> None:
    reply = demo.fetch(path)
    assert reply.status == 404
    assert "Back to the shop" in reply.text


@pytest.mark.parametrize("name", ["..%2Fshop.py", "shop.py", "nothing.css", "%2e%2e/shop.py"])
def test_only_the_files_of_the_pages_are_given_out(demo, name: str) -> None:
    assert demo.fetch(f"/static/{name}").status == 404


def test_a_picture_is_drawn_for_every_card(demo) -> None:
    html = demo.fetch("/").text
    sources = re.findall(r'src="(/pictures/[^"]+)"', html)
    assert len(sources) >= 20
    for source in sources[:5]:
        picture = demo.fetch(source)
        assert picture.status == 200
        assert picture.headers["content-type"] == "image/svg+xml"
    assert demo.fetch("/pictures/nothing.svg").status == 404


def test_a_category_is_sorted_and_paged_as_asked(demo) -> None:
    def prices(path: str) -> list[float]:
        html = demo.fetch(path).text
        listed = html[html.index('aria-label="All ') :]
        found = re.findall(r'class="price">(?:<s>.*?</s> <strong[^>]*><span[^>]*>[^<]*</span>)?€ ([\d,.]+)', listed)
        return [float(price.replace(",", "")) for price in found]

    low = prices("/category/kitchen?sort=low")
    high = prices("/category/kitchen?sort=high")
    assert low == sorted(low)
    assert high == sorted(high, reverse=True)
    assert len(low) == 24
    everything = low + prices("/category/kitchen?sort=low&page=2")
    assert sorted(everything) == sorted(high + prices("/category/kitchen?sort=high&page=2"))
    assert prices("/category/kitchen?sort=nonsense&page=-9") == prices("/category/kitchen")


def test_a_new_browser_gets_an_id_and_an_old_one_keeps_its_own(demo) -> None:
    made = _cookies(demo.fetch("/"))[DEVICE]
    assert re.fullmatch(r"[0-9a-z]{26}", made)
    assert DEVICE not in _cookies(demo.fetch("/", Cookie=f"{DEVICE}={made}"))
    assert DEVICE in _cookies(demo.fetch("/", Cookie=f"{DEVICE}=<script>"))


def test_what_a_browser_did_changes_its_home_page_and_nobody_elses(demo) -> None:
    cookie, other = f"{DEVICE}=changes-home-1", f"{DEVICE}=changes-home-2"
    before = demo.fetch("/", Cookie=cookie).text
    item = _in_stock(demo, "tents")[0]
    assert demo.send(_view("changes-home-1", item)).status == 200
    after = demo.fetch("/", Cookie=cookie).text
    assert _items(before, "home-picks") != _items(after, "home-picks")
    assert "Because you looked at" in after
    assert "A good place to start" in before
    assert "Picked for you" in after
    others = demo.fetch("/", Cookie=other).text
    assert "A good place to start" in others
    assert _items(others, "home-picks") != _items(after, "home-picks")


def test_the_product_page_shows_others_than_the_product(demo) -> None:
    item = _in_stock(demo, "mugs")[0]
    similar = _items(demo.fetch(f"/product/{item}").text, "product-similar")
    assert len(similar) == 4
    assert item not in similar


def test_three_views_in_ten_minutes_make_a_window_shopper_and_the_panel_says_so(demo) -> None:
    items = _in_stock(demo, "shoes")[:3]
    demo.send(*(_view("window-shopper", item) for item in items))
    html = unescape(demo.fetch("/?why=1", Cookie=f"{DEVICE}=window-shopper").text)
    panel = html[html.index("<aside") : html.index("</aside>")]
    inside = panel[panel.index("Segments") :]
    assert re.search(r"Window shoppers <span class=\"tag in\">in for ", inside)
    assert "“Product Viewed” in the last 10 minutes: 3 (asks for at least 3)" in inside
    assert "You looked at" in panel
    assert "Because you are in “Window shoppers”" in panel
    assert re.search(r"picks-mix <span class=\"tag in\">(close|varied)<", panel)


def test_the_panel_opens_only_when_it_is_asked_for(demo) -> None:
    assert "<aside" not in demo.fetch("/").text
    assert "<aside" not in demo.fetch("/?why=0").text


def test_the_cart_is_filled_changed_and_emptied_without_a_script(demo) -> None:
    one, two = _in_stock(demo, "bottles")[0], _in_stock(demo, "knitwear")[0]
    added = demo.fetch("/cart/add", urlencode({"item": one, "quantity": 2}).encode())
    assert (added.status, added.headers["location"]) == (303, "/cart")
    cart = f"cart={_cookies(added)['cart']}"
    again = demo.fetch("/cart/add", urlencode({"item": two}).encode(), Cookie=cart)
    cart = f"cart={_cookies(again)['cart']}"
    page = demo.fetch("/cart", Cookie=cart).text
    assert one in page
    assert two in page
    changed = demo.fetch("/cart/update", urlencode({one: "5", two: "1"}).encode(), Cookie=cart)
    assert _cookies(changed)["cart"] == f"{one}:5|{two}:1"
    removed = demo.fetch("/cart/update", urlencode({one: "5", "remove": one}).encode(), Cookie=cart)
    assert _cookies(removed)["cart"] == f"{two}:1"


def test_what_the_shop_does_not_sell_is_not_put_into_the_cart(demo) -> None:
    assert demo.fetch("/cart/add", b"item=nothing").status == 404
    assert demo.fetch("/cart/add", b"x" * 20_000).status == 404


def test_the_checkout_keeps_what_was_typed_and_escapes_it(demo) -> None:
    cart = f"cart={_in_stock(demo, 'mugs')[0]}:1"
    fields = urlencode({"name": "<script>alert(1)</script>", "email": '"><b>'}).encode()
    reply = demo.fetch("/checkout", fields, Cookie=cart)
    assert reply.status == 422
    assert "<script>alert" not in reply.text
    assert "&lt;script&gt;alert(1)" in reply.text
    assert 'aria-invalid="true"' in reply.text
    assert "An e-mail address looks like" in reply.text


def test_an_empty_cart_has_no_checkout(demo) -> None:
    assert demo.fetch("/checkout").headers["location"] == "/cart"
    assert demo.fetch("/thanks").headers["location"] == "/"


def _attribute(html: str, name: str) -> str:
    found = re.search(rf'data-bespeak-{name}="([^"]*)"', html)
    assert found, name
    return unescape(found[1])


def test_an_order_makes_a_customer_whose_things_are_not_suggested_again(demo) -> None:
    item = _in_stock(demo, "backpacks")[0]
    device = "buys-a-pack"
    cookie = f"{DEVICE}={device}; cart={item}:2"
    ordered = demo.fetch(
        "/checkout", urlencode({"name": "Ada Linden", "email": "ada@example.com"}).encode(), Cookie=cookie
    )
    assert (ordered.status, ordered.headers["location"]) == (303, "/thanks")
    sealed = re.search(r"order=([^;]+)", ordered.headers["set-cookie"])
    assert sealed
    html = demo.fetch("/thanks", Cookie=f"{DEVICE}={device}; order={sealed[1]}").text
    assert "Thank you, Ada" in html
    assert item not in _items(html, "home-picks")
    user, signature = _attribute(html, "identify"), _attribute(html, "signature")
    order = json.loads(_attribute(html, "properties"))
    assert order["products"][0]["quantity"] == 2
    assert order["revenue"] == 2 * order["products"][0]["price"]
    signed = {"anonymousId": device, "userId": user, "userSignature": signature}
    traits = json.loads(_attribute(html, "traits"))
    sent = demo.send(
        {**signed, "type": "identify", "messageId": "ada-1", "traits": traits},
        {**signed, "type": "track", "event": "Order Completed", "messageId": "ada-2", "properties": order},
    )
    assert sent.status == 200
    profile = demo.profile(user)
    assert profile["userId"] == user
    assert profile["bought"] == [item]
    assert profile["traits"] == {"email": "ada@example.com", "first_name": "Ada", "name": "Ada Linden"}
    assert item not in _items(demo.fetch("/", Cookie=f"{DEVICE}={device}").text, "home-picks")


def test_who_claims_to_be_a_customer_without_the_shops_word_is_not_believed(demo) -> None:
    claim = {"anonymousId": "impostor", "userId": "customer-00003", "type": "identify", "messageId": "impostor-1"}
    demo.send({**claim, "traits": {"first_name": "Mallory"}}, _view("impostor", _in_stock(demo, "lamps")[0]))
    assert demo.profile("impostor")["userId"] is None
    assert demo.profile("impostor")["claimedUserId"] == "customer-00003"


def test_a_cookie_that_names_a_customer_opens_nothing_of_theirs(demo) -> None:
    known = next(
        f"customer-{n:05d}"
        for n in range(150)
        if demo.fetch(f"/v1/profiles/customer-{n:05d}", **_secret(demo)).status == 200
    )
    name = demo.profile(known)["traits"]["first_name"]
    html = demo.fetch("/?why=1", Cookie=f"{DEVICE}={known}").text
    assert "a visitor without a name" in html
    assert name not in html


def _secret(demo) -> dict[str, str]:
    return {"Authorization": f"Bearer {demo.token('secret')}"}


def test_shelves_are_drawn_again_for_the_pages_script(demo) -> None:
    item = _in_stock(demo, "lamps")[0]
    demo.send(_view("asks-shelves", item))
    reply = demo.fetch(
        f"/shelves?slots=product-similar,nonsense&item={item}&why=1&path=//evil", Cookie=f"{DEVICE}=asks-shelves"
    )
    answer = json.loads(reply.text)
    assert set(answer["slots"]) == {"product-similar"}
    assert len(_items(answer["slots"]["product-similar"], "product-similar")) == 4
    assert 'href="/"' in answer["panel"]
    assert "evil" not in answer["panel"]


def test_who_wants_no_personalization_gets_one_page_whatever_they_did(demo) -> None:
    first, second = "no-thank-you", "nor-i"
    for device, shelf in ((first, "teapots"), (second, "tents")):
        demo.send(*(_view(device, item) for item in _in_stock(demo, shelf)[:3]))
    before = [_items(demo.fetch("/", Cookie=f"{DEVICE}={device}").text, "home-picks") for device in (first, second)]
    for device in (first, second):
        demo.send(
            {
                "type": "track",
                "event": "Segment Consent Preference Updated",
                "messageId": f"no-{device}",
                "anonymousId": device,
                "context": {"consent": {"categoryPreferences": {"personalization": False}}},
            }
        )
    assert before[0] != before[1]
    for _ in range(10):  # the town's people may turn what is trending between two pages
        after = [demo.fetch("/", Cookie=f"{DEVICE}={device}").text for device in (first, second)]
        if _items(after[0], "home-picks") == _items(after[1], "home-picks"):
            break
    assert _items(after[0], "home-picks") == _items(after[1], "home-picks")
    assert "Turn personalization on" in after[0]


def test_the_live_figures_are_those_of_metrics(demo) -> None:
    for _ in range(20):  # a checkpoint may fall between the two
        figures, metrics = json.loads(demo.fetch("/live/figures").text), demo.metrics()
        if {name: value for name, value in metrics.items() if name in figures} == figures:
            break
    assert figures["bespeak_events_accepted_total"] == metrics["bespeak_events_accepted_total"]
    assert {name: value for name, value in metrics.items() if name in figures} == figures
    assert figures['bespeak_segment_members{segment="newcomers"}'] > 0


def test_the_live_stream_tells_what_happens_and_ends_with_its_reader(demo) -> None:
    with urllib.request.urlopen(f"{demo.address}/live/stream", timeout=20) as stream:
        demo.send(_view("seen-live", "mugs-0004"))
        lines: Iterator[str] = (line.decode().strip() for line in stream)
        told = (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))
        rows: list[dict[str, Any]] = []
        for _ in range(10):  # a message a second, each of what happened in it
            rows += next(told)
            figures = next(told)
            if any(row["kind"] == "segment" for row in rows):
                break
    seen = [row for row in rows if row["kind"] == "event"]
    assert {"kind": "event", "text": "Product Viewed", "who": "visitor seen-l"}.items() <= seen[0].items()
    assert any(row["kind"] == "segment" and row["text"] == "entered “In the shop now”" for row in rows)
    assert figures["bespeak_events_accepted_total"] >= 1


def test_a_second_start_goes_on_where_the_first_stopped(tmp_path: Path, started) -> None:
    with started(tmp_path) as first:
        first.send(_view("comes-back", "mugs-0004"))
        token, items = first.token("write"), _items(first.fetch("/", Cookie=f"{DEVICE}=comes-back").text, "home-picks")
        offset = first.metrics()["bespeak_log_offset"]
        first.process.send_signal(signal.SIGINT)
        said, _ = first.process.communicate(timeout=20)
        assert first.process.returncode == 0
        assert "Stopped" in said
    with started(tmp_path) as second:
        assert second.token("write") == token
        assert second.profile("comes-back")["counts"] == {"Product Viewed": 1, "Decision Made": 1}
        assert second.metrics()["bespeak_log_offset"] == offset
        assert _items(second.fetch("/", Cookie=f"{DEVICE}=comes-back").text, "home-picks") == items


def test_the_towns_people_come_in_through_the_wire_and_nothing_of_theirs_is_rejected(tmp_path: Path, started) -> None:
    with started(tmp_path, speed=40_000) as busy:
        deadline = time.monotonic() + 30
        while (metrics := busy.metrics())["bespeak_decisions_total"] < 20 and time.monotonic() < deadline:
            time.sleep(0.1)
    assert metrics["bespeak_decisions_total"] >= 20
    assert metrics["bespeak_events_accepted_total"] >= 50
    assert metrics["bespeak_events_rejected_total"] == 0


def test_once_proves_every_address_and_exits_with_0(tmp_path: Path, started) -> None:
    with started(tmp_path, once=True) as demo:
        said, _ = demo.process.communicate(timeout=60)
    assert demo.process.returncode == 0
    assert [line.split()[0] for line in said.strip().splitlines()] == ["ok"] * 4


def test_a_directory_of_another_town_is_refused_with_a_remedy(demo, environment) -> None:
    program = (
        "import asyncio, pathlib, sys; from bespeak.demo import run\n"
        "asyncio.run(run(data_dir=pathlib.Path(sys.argv[1]), out=sys.stdout, seed=8))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(demo.directory)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert done.returncode == 1
    assert "was filled from the town of seed 7" in done.stderr
    assert "choose another directory, or remove it" in done.stderr
