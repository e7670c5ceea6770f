"""The items that events speak of."""

from __future__ import annotations

from typing import Any

import pytest

from bespeak.events import ITEM_WEIGHTS, Event, EventType, item_ids, vocabulary


def event(properties: dict[str, Any], kind: EventType = "track") -> Event:
    return Event(
        type=kind, name="Product Viewed", message_id="m", time=0, received=0, user_id="u", properties=properties
    )


@pytest.mark.parametrize(
    "properties, found",
    [
        ({"product_id": "p1"}, ("p1",)),
        ({"item_id": 17}, ("17",)),
        ({"sku": "s", "product_id": "p"}, ("p",)),
        ({"product_id": "", "sku": "s"}, ("s",)),
        ({"productId": "p"}, ("p",)),
        ({"id": "p"}, ("p",)),
        ({"product_id": None}, ()),
        ({"product_id": True}, ()),
        ({"product_id": 1.5}, ()),
        ({"product_id": ["p"]}, ()),
        ({}, ()),
        ({"products": [{"product_id": "a"}, {"sku": "b"}, {"product_id": "a"}, {}]}, ("a", "b")),
        ({"items": [{"item_id": "a"}, "b", 3]}, ("a", "b", "3")),
        ({"products": [], "product_id": "p"}, ("p",)),
        ({"products": [], "items": ["b"]}, ("b",)),
        ({"products": "a"}, ()),
    ],
)
def test_items_are_found_where_trackers_put_them(properties: dict[str, Any], found: tuple[str, ...]) -> None:
    assert item_ids(event(properties)) == found


def test_traits_name_no_items() -> None:
    assert item_ids(event({"id": "u1"}, "identify")) == ()
    assert item_ids(event({"id": "g1"}, "group")) == ()


def test_buying_says_more_than_adding_and_adding_more_than_looking() -> None:
    weights = [ITEM_WEIGHTS[name] for name in ("Product Clicked", "Product Viewed", "Product Added", "Order Completed")]
    assert weights == sorted(set(weights)) == [0.5, 1, 3, 5]
    names = {value for value in vars(vocabulary).values() if isinstance(value, str)}
    assert set(ITEM_WEIGHTS) <= names
