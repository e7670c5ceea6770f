"""The cart in a cookie: what is written is read, and what is not a cart is an empty one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bespeak.demo.cart import LINES_MAX, QUANTITY_MAX, Cart

ids = st.from_regex(r"[a-z]{3,9}-[0-9]{4}", fullmatch=True)
carts = st.dictionaries(ids, st.integers(1, QUANTITY_MAX), max_size=LINES_MAX).map(lambda d: Cart(tuple(d.items())))


@given(carts)
def test_a_cart_that_is_written_is_read_back(cart: Cart) -> None:
    assert Cart.read(cart.write()) == cart


@given(st.text(max_size=300))
def test_whatever_a_cookie_says_gives_a_cart_within_its_bounds(text: str) -> None:
    cart = Cart.read(text)
    assert len(cart.lines) <= LINES_MAX
    assert all(1 <= quantity <= QUANTITY_MAX for _, quantity in cart.lines)


@given(carts, ids, st.integers(1, QUANTITY_MAX))
def test_adding_and_taking_out_again_leaves_the_rest(cart: Cart, item: str, quantity: int) -> None:
    rest = cart.put(item, 0)
    assert rest.add(item, quantity).put(item, 0) == rest


def test_a_line_never_holds_more_than_nine() -> None:
    assert Cart.read("mug-0001:7").add("mug-0001", 8).lines == (("mug-0001", 9),)


def test_a_cart_that_is_full_takes_no_further_line() -> None:
    full = Cart(tuple((f"mug-{number:04d}", 1) for number in range(LINES_MAX)))
    assert full.add("tent-0001", 1) == full
    assert full.add("mug-0003", 1).count == LINES_MAX + 1
