"""The visitor of a shop's page: which device, which cart, and whether it wants to know why."""

from __future__ import annotations

import re
from random import Random

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bespeak.clock import Instant
from bespeak.demo.cart import Cart
from bespeak.ids import new_id

DEVICE_COOKIE = "bespeak_anonymous_id"
"""The tracker's cookie: it reads it, and makes it where the server did not."""
CART_COOKIE = "cart"
_YEAR = 365 * 24 * 3600
_DEVICE = re.compile(r"[A-Za-z0-9-]{8,100}")


class Visitor(msgspec.Struct, frozen=True):
    """Who asks for a page.

    Parameters
    ----------
    device
        Anonymous id, from the tracker's cookie; made here at the first page, so that it can be decided for at once.
    why
        Whether the page opens the panel that explains it.
    """

    device: str
    is_new: bool
    cart: Cart
    why: bool

    @property
    def query(self) -> str:
        """What links carry on: `?why=1`, or nothing."""
        return "?why=1" if self.why else ""


def visitor_of(request: Request, at: Instant, entropy: bytes) -> Visitor:
    """Read the visitor from cookies and query; `entropy` (16 bytes) makes the id of a new device."""
    held = request.cookies.get(DEVICE_COOKIE, "")
    known = _DEVICE.fullmatch(held) is not None
    return Visitor(
        device=held if known else new_id(at, Random(entropy)),
        is_new=not known,
        cart=Cart.read(request.cookies.get(CART_COOKIE, "")),
        why=request.query_params.get("why") == "1",
    )


def remember(response: Response, visitor: Visitor, cart: Cart | None = None) -> Response:
    """Put into the answer's cookies what the browser does not hold yet."""
    if visitor.is_new:
        response.set_cookie(DEVICE_COOKIE, visitor.device, max_age=_YEAR, samesite="lax")
    if cart is not None:
        response.set_cookie(CART_COOKIE, cart.write(), max_age=_YEAR, samesite="lax", httponly=True)
    return response
