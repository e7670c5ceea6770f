"""An order between the checkout and the page that thanks for it: in a signed cookie, so that the shop keeps nothing."""

from __future__ import annotations

import base64
import binascii
import hmac
import re

import msgspec

from bespeak.errors import InvalidInput, Problem
from bespeak.ids import digest
from bespeak.privacy import keys

ORDER_COOKIE = "order"
_EMAIL = re.compile(r"[^@\s]{1,60}@[^@\s]{1,58}\.[^@\s]{2,}")


class Order(msgspec.Struct, frozen=True, array_like=True):
    """What was ordered by whom; `lines` are item ids with how many of each."""

    id: str
    name: str
    email: str
    lines: tuple[tuple[str, int], ...]

    @property
    def user_id(self) -> str:
        """The shop's id for this customer: the same for the same address, and not the address itself."""
        return f"shopper-{digest('shopper', self.email.casefold()).hex()[:16]}"

    @property
    def first_name(self) -> str:
        """The first word of the name."""
        return self.name.split()[0]


def check(name: str, email: str) -> tuple[Problem, ...]:
    """Return what is wrong with the fields of the checkout; nothing when it may go on."""
    problems: list[Problem] = []
    if not name.strip():
        problems.append(Problem("name", "Please tell us your name.", name))
    elif len(name) > 80:
        problems.append(Problem("name", "A name of at most 80 characters, please.", name))
    if not _EMAIL.fullmatch(email.strip()):
        problems.append(Problem("email", "An e-mail address looks like name@example.com.", email))
    return tuple(problems)


def seal(order: Order, secret: str) -> str:
    """Return an order as the text of a cookie that only the shop can have written."""
    body = base64.urlsafe_b64encode(msgspec.json.encode(order)).decode().rstrip("=")
    return f"{body}.{keys.sign(secret, 'order ' + body)}"


def open_(text: str, secret: str) -> Order:
    """Read what `seal` wrote.

    Raises
    ------
    InvalidInput
        It was not written by this shop.
    """
    body, _, signature = text.partition(".")
    if not hmac.compare_digest(keys.sign(secret, "order " + body).encode(), signature.encode()):
        raise InvalidInput("order cookie: expected one that this shop has signed")
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=Order)
    except (binascii.Error, msgspec.DecodeError) as error:
        raise InvalidInput("order cookie: expected an order") from error
