"""Orders: a cookie that only the shop can have written, and a form that says what is missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.demo.orders import Order, check, open_, seal
from bespeak.errors import InvalidInput

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
orders = st.builds(Order, texts, texts, texts, st.lists(st.tuples(texts, st.integers(1, 9)), max_size=5).map(tuple))


@given(orders)
def test_a_sealed_order_is_opened_again(order: Order) -> None:
    assert open_(seal(order, "secret"), "secret") == order


@given(orders, st.data())
def test_a_changed_cookie_is_refused(order: Order, data: st.DataObject) -> None:
    sealed = seal(order, "secret")
    place = data.draw(st.integers(0, len(sealed) - 1))
    other = data.draw(st.sampled_from("abcXYZ019.").filter(lambda letter: letter != sealed[place]))
    with pytest.raises(InvalidInput, match="signed"):
        open_(sealed[:place] + other + sealed[place + 1 :], "secret")


@pytest.mark.parametrize("text", ["", ".", "abc", "äöü.ß", "a.b.c"])
def test_what_the_shop_did_not_write_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        open_(text, "secret")


def test_a_cookie_of_another_shop_is_refused() -> None:
    with pytest.raises(InvalidInput):
        open_(seal(Order("1", "Ada", "ada@example.com", ()), "theirs"), "ours")


def test_one_address_is_one_customer_however_it_is_written() -> None:
    one, two = Order("1", "Ada", "Ada@Example.com", ()), Order("2", "A.", "ada@example.com", ())
    assert one.user_id == two.user_id
    assert "ada" not in one.user_id


@pytest.mark.parametrize(
    "name,email,fields",
    [
        ("Ada", "ada@example.com", []),
        ("", "ada@example.com", ["name"]),
        ("  ", "ada", ["name", "email"]),
        ("A" * 81, "a@b@c.de", ["name", "email"]),
        ("Ada", "ada@example", ["email"]),
    ],
)
def test_the_checkout_says_which_field_is_wrong(name: str, email: str, fields: list[str]) -> None:
    assert [problem.path for problem in check(name, email)] == fields
