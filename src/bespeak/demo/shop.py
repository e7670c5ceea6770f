"""The shop: pages rendered by the server, whose slots the engine fills."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from bespeak.catalog import Item
from bespeak.demo import orders, shelves, why
from bespeak.demo.cards import card, cards, money, stock
from bespeak.demo.cart import QUANTITY_MAX, Cart
from bespeak.demo.drawing import FOLDER, draw
from bespeak.demo.listing import listing
from bespeak.demo.shelves import ADDONS, CATEGORY, HERO, PICKS, SIMILAR, TRENDING, Shown
from bespeak.demo.state import Keys
from bespeak.demo.visitor import Visitor, remember, visitor_of
from bespeak.engine import Engine
from bespeak.errors import InvalidInput
from bespeak.ids import anonymous_profile, new_id
from bespeak.privacy import keys as signing
from bespeak.testing.world import DEPARTMENTS, KINDS, product
from bespeak.testing.world_pictures import picture

_TITLES = {**DEPARTMENTS, **{kind.key: kind.title for kind in KINDS}}
_PARENTS = {kind.key: kind.department for kind in KINDS}
_MEDIA = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Visit(msgspec.Struct, frozen=True):
    """One request for a page: what came, from whom, and the shop's keys."""

    request: Request
    visitor: Visitor
    keys: Keys


Page = Callable[[Visit], Awaitable[Response]]


class Shop:
    """The pages of the shop over one engine. Until `keys` is set, when it is filled, it says that it is opening."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.keys: Keys | None = None
        self.opening = 0.0

    def routes(self) -> list[BaseRoute]:
        """Return the routes of every page, of the pictures and of the files that pages load."""
        pages: list[tuple[str, Page, list[str]]] = [
            ("/", self._home, ["GET"]),
            ("/category/{key}", self._category, ["GET"]),
            ("/product/{id}", self._product, ["GET"]),
            ("/cart", self._cart, ["GET"]),
            ("/cart/add", self._add, ["POST"]),
            ("/cart/update", self._update, ["POST"]),
            ("/checkout", self._checkout, ["GET", "POST"]),
            ("/thanks", self._thanks, ["GET"]),
            ("/shelves", self._shelves, ["GET"]),
        ]
        routes: list[BaseRoute] = [
            Route(path, self._open(page), methods=methods, include_in_schema=False) for path, page, methods in pages
        ]
        routes.append(Route("/pictures/{id}.svg", self._picture, include_in_schema=False))
        routes.append(Route("/static/{name}", static_file, include_in_schema=False))
        return routes

    def _open(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            if self.keys is None:
                html = draw("opening", {"share": round(100 * self.opening)})
                return HTMLResponse(html, status_code=503, headers={**_HEADERS, "Retry-After": "1"})
            visitor = visitor_of(request, self._engine.clock.now(), secrets.token_bytes(16))
            response = await page(Visit(request, visitor, self.keys))
            response.headers.update(_HEADERS)
            return remember(response, visitor)

        return answer

    # -- pages

    async def _home(self, visit: Visit) -> Response:
        shown = shelves.ask(self._engine, visit.keys.secret, visit.visitor.device, [HERO, PICKS, TRENDING])
        picks = shelves.shelf(shown, PICKS, self._engine.catalog, eager=8)
        hero = shown.slots[HERO].content
        found = shown.slots[PICKS].items
        values = {
            "hero": Markup(hero.html if hero is not None else ""),  # noqa: S704 - content escapes what it renders
            "decision": shown.decision.decision_id,
            "art": cards(self._engine.catalog, [scored.item for scored in found[-shelves.ART :]], eager=3),
            "picks": picks,
            "trending": shelves.shelf(shown, TRENDING, self._engine.catalog),
            "rooms": self._rooms(),
        }
        return self._page("home", "Good things", visit, shown, values)

    async def _category(self, visit: Visit) -> Response:
        key = str(visit.request.path_params["key"])
        if key not in _TITLES:
            return self._missing(visit, "There is no such department.")
        shown = shelves.ask(self._engine, visit.keys.secret, visit.visitor.device, [CATEGORY], category=key)
        department = _PARENTS.get(key, key)
        parent = {"key": department, "title": _TITLES[department]} if department != key else ""
        values = {
            **listing(self._engine.catalog, key, visit.request.query_params, visit.visitor),
            "key": key,
            "department": department,
            "parent": parent,
            "children": [{"key": one.key, "title": one.title} for one in KINDS if one.department == department],
            "picks": shelves.shelf(shown, CATEGORY, self._engine.catalog, eager=4),
        }
        return self._page("category", _TITLES[key], visit, shown, values)

    async def _product(self, visit: Visit) -> Response:
        item = self._engine.catalog.item(str(visit.request.path_params["id"]))
        if item is None or item.hidden:
            return self._missing(visit, "We do not have that any more.")
        shown = shelves.ask(self._engine, visit.keys.secret, visit.visitor.device, [SIMILAR], item=item.id)
        stock_words, stock_class = stock(item)
        values = {
            "card": card(item, eager=True),
            "department": item.categories[0] if item.categories else "",
            "item_id": item.id,
            "crumbs": [{"key": one, "title": _TITLES.get(one, one)} for one in item.categories],
            "description": item.properties.get("description", ""),
            "stock_words": stock_words,
            "stock_class": stock_class,
            "can_buy": item.stock != 0,
            "quantities": list(range(1, min(QUANTITY_MAX, item.stock or QUANTITY_MAX) + 1)),
            "facts": _facts(item),
            "similar": shelves.shelf(shown, SIMILAR, self._engine.catalog),
        }
        return self._page("product", item.title, visit, shown, values)

    async def _cart(self, visit: Visit) -> Response:
        inside = [item for item, _ in visit.visitor.cart.lines]
        newest = inside[-1] if inside else None
        shown = shelves.ask(
            self._engine, visit.keys.secret, visit.visitor.device, [ADDONS], item=newest, exclude=inside
        )
        values = {
            **self._lines(visit.visitor.cart),
            "quantities": list(range(1, QUANTITY_MAX + 1)),
            "addons": shelves.shelf(shown, ADDONS, self._engine.catalog),
        }
        return self._page("cart", "Your cart", visit, shown, values)

    async def _checkout(self, visit: Visit) -> Response:
        if not visit.visitor.cart.lines:
            return RedirectResponse(f"/cart{visit.visitor.query}", status_code=303)
        fields = await form(visit.request) if visit.request.method == "POST" else {}
        name, email = fields.get("name", ""), fields.get("email", "").strip()
        problems = orders.check(name, email) if visit.request.method == "POST" else ()
        if visit.request.method == "POST" and not problems:
            return self._take_order(visit, name.strip(), email)
        values = {
            **self._lines(visit.visitor.cart),
            "name": name,
            "email": email,
            "problems": [{"field": one.path, "text": one.expected} for one in problems],
            "name_problem": next((one.expected for one in problems if one.path == "name"), ""),
            "email_problem": next((one.expected for one in problems if one.path == "email"), ""),
        }
        status = 422 if problems else 200
        return self._page("checkout", "Checkout", visit, None, values, status)

    def _take_order(self, visit: Visit, name: str, email: str) -> Response:
        at = self._engine.clock.now()
        order_id = new_id(at, secrets.SystemRandom())[-8:].upper()
        order = orders.Order(order_id, name, email, visit.visitor.cart.lines)
        response = RedirectResponse(f"/thanks{visit.visitor.query}", status_code=303)
        sealed = orders.seal(order, visit.keys.write.signing_secret or "")
        response.set_cookie(orders.ORDER_COOKIE, sealed, max_age=3600, samesite="lax", httponly=True)
        return remember(response, visit.visitor, Cart())

    async def _thanks(self, visit: Visit) -> Response:
        secret = visit.keys.write.signing_secret or ""
        try:
            order = orders.open_(visit.request.cookies.get(orders.ORDER_COOKIE, ""), secret)
        except InvalidInput:
            return RedirectResponse(f"/{visit.visitor.query}", status_code=303)
        bought = [item for item, _ in order.lines]
        shown = shelves.ask(self._engine, visit.keys.secret, visit.visitor.device, [PICKS], exclude=bought)
        lines = self._lines(Cart(order.lines))
        values = {
            "user_id": order.user_id,
            "signature": signing.sign(secret, order.user_id),
            "traits": json.dumps({"email": order.email, "first_name": order.first_name, "name": order.name}),
            "first_name": order.first_name,
            "order_id": order.id,
            "order": json.dumps(self._order_properties(order)),
            "total": lines["total"],
            "picks": shelves.shelf(shown, PICKS, self._engine.catalog),
        }
        return self._page("thanks", "Thank you", visit, shown, values)

    # -- what pages send

    async def _add(self, visit: Visit) -> Response:
        fields = await form(visit.request)
        item = self._engine.catalog.item(fields.get("item", ""))
        if item is None or item.stock == 0:
            return self._missing(visit, "That cannot be bought any more.")
        text = fields.get("quantity", "1")
        cart = visit.visitor.cart.add(item.id, int(text) if text.isdecimal() and len(text) < 3 else 1)
        if "application/json" in visit.request.headers.get("accept", ""):
            return remember(JSONResponse({"count": cart.count}), visit.visitor, cart)
        return remember(RedirectResponse(f"/cart{visit.visitor.query}", status_code=303), visit.visitor, cart)

    async def _update(self, visit: Visit) -> Response:
        fields = await form(visit.request)
        cart = visit.visitor.cart
        for item, _ in visit.visitor.cart.lines:
            text = fields.get(item, "")
            if text.isdecimal() and len(text) < 3:
                cart = cart.put(item, int(text))
        if "remove" in fields:
            cart = cart.put(fields["remove"], 0)
        return remember(RedirectResponse(f"/cart{visit.visitor.query}", status_code=303), visit.visitor, cart)

    async def _shelves(self, visit: Visit) -> Response:
        """Answer with shelves as HTML, by slot, and the panel: what the page's script puts in after an event."""
        names = [
            name for name in visit.request.query_params.get("slots", "").split(",") if name in (PICKS, SIMILAR, ADDONS)
        ]
        item = visit.request.query_params.get("item") or None
        answer: dict[str, Any] = {"slots": {}}
        if names:
            inside = [line for line, _ in visit.visitor.cart.lines]
            shown = shelves.ask(self._engine, visit.keys.secret, visit.visitor.device, names, item=item, exclude=inside)
            for name in names:
                shelf = shelves.shelf(shown, name, self._engine.catalog)
                answer["slots"][name] = draw("shelf", {"shelf": shelf, "q": visit.visitor.query})
            if visit.visitor.why:
                path = visit.request.query_params.get("path", "/")
                close = path if path.startswith("/") and not path.startswith("//") else "/"
                answer["panel"] = why.panel(self._engine, visit.visitor.device, shown, close)
        elif visit.visitor.why:
            answer["profile"] = why.live(self._engine, visit.visitor.device)
        return JSONResponse(answer)

    async def _picture(self, request: Request) -> Response:
        item = self._engine.catalog.item(str(request.path_params["id"]))
        if item is None or "shape" not in item.properties:
            return Response(status_code=404)
        headers = {"Cache-Control": "public, max-age=86400", "X-Content-Type-Options": "nosniff"}
        return Response(picture(item), media_type="image/svg+xml", headers=headers)

    # -- parts of pages

    def _page(
        self,
        template: str,
        title: str,
        visit: Visit,
        shown: Shown | None,
        values: Mapping[str, object],
        status: int = 200,
    ) -> Response:
        """Draw a page in the shop's frame; `department` and `item_id` among the values mark where it stands."""
        visitor, path = visit.visitor, visit.request.url.path
        panel = why.panel(self._engine, visitor.device, shown, path) if visitor.why and shown is not None else ""
        chrome = {
            "q": visitor.query,
            "path": path,
            "write_key": visit.keys.write_token,
            "cart_count": visitor.cart.count,
            "departments": [{"key": key, "title": name} for key, name in DEPARTMENTS.items()],
            "personalized": self._allowed(visitor),
            "why": panel,
        }
        place = {name: values.get(name, "") for name in ("department", "item_id")}
        body = draw(template, {"title": title, "q": visitor.query, **values})
        layout = {"chrome": chrome, "body": body, "title": title, "page_name": template.capitalize(), **place}
        return HTMLResponse(draw("layout", layout), status_code=status)

    def _missing(self, visit: Visit, text: str) -> Response:
        return self._page("missing", "Not found", visit, None, {"text": text}, 404)

    def _allowed(self, visitor: Visitor) -> bool:
        profile = self._engine.profile(anonymous_profile(visitor.device))
        return profile is None or profile["consent"].get("personalization", True)

    def _rooms(self) -> list[dict[str, str]]:
        """Return the categories, each with the picture of its newest item."""
        catalog = self._engine.catalog
        newest: dict[str, Item] = {}
        for item in map(catalog.item, catalog.ids):
            if item is None or not item.categories:
                continue
            held = newest.get(item.categories[-1])
            if held is None or (held.created, held.id) < (item.created, item.id):
                newest[item.categories[-1]] = item
        return [
            {"key": kind.key, "title": kind.title, "image": newest[kind.key].image}
            for kind in KINDS
            if kind.key in newest
        ]

    def _lines(self, cart: Cart) -> dict[str, object]:
        found = [
            (item, quantity) for name, quantity in cart.lines if (item := self._engine.catalog.item(name)) is not None
        ]
        return {
            "lines": [
                {"card": card(item), "quantity": quantity, "sum": money((item.price or 0.0) * quantity)}
                for item, quantity in found
            ],
            "total": money(sum((item.price or 0.0) * quantity for item, quantity in found)),
        }

    def _order_properties(self, order: orders.Order) -> dict[str, object]:
        found = [
            (item, quantity) for name, quantity in order.lines if (item := self._engine.catalog.item(name)) is not None
        ]
        revenue = sum((item.price or 0.0) * quantity for item, quantity in found)
        products = [{**product(item), "quantity": quantity} for item, quantity in found]
        return {"order_id": order.id, "revenue": revenue, "total": revenue, "currency": "EUR", "products": products}


def _facts(item: Item) -> list[dict[str, str]]:
    words = {"Colour": "color", "Material": "material", "Style": "style"}
    facts = [{"name": name, "value": str(item.properties.get(key, "")).capitalize()} for name, key in words.items()]
    return [*facts, {"name": "Article", "value": item.id}]


async def static_file(request: Request) -> Response:
    """Answer with one of the files that ship with the demo."""
    name = str(request.path_params["name"])
    path = FOLDER / "static" / name
    if path.suffix not in _MEDIA or path.parent != FOLDER / "static" or not path.is_file():
        return Response(status_code=404)
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(path.read_bytes(), media_type=_MEDIA[path.suffix], headers=headers)


async def form(request: Request) -> dict[str, str]:
    """Read the fields of a form; more than 10,000 bytes are nobody's form, and read as none."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > 10_000:
            return {}
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=100))
