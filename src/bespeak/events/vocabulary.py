"""The names that events go by, and the items that they speak of.

Names are those of Segment's e-commerce specification, version 2, so that what follows from them
(recommendations, interests, purchases) needs no set-up; the last group is our own.

References
----------
segmentio/segment-docs, src/connections/spec/ecommerce/v2.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, cast

from bespeak.events.event import Event

PRODUCTS_SEARCHED: Final = "Products Searched"
PRODUCT_LIST_VIEWED: Final = "Product List Viewed"
PRODUCT_LIST_FILTERED: Final = "Product List Filtered"
PROMOTION_VIEWED: Final = "Promotion Viewed"
PROMOTION_CLICKED: Final = "Promotion Clicked"
PRODUCT_CLICKED: Final = "Product Clicked"
PRODUCT_VIEWED: Final = "Product Viewed"
PRODUCT_ADDED: Final = "Product Added"
PRODUCT_REMOVED: Final = "Product Removed"
CART_VIEWED: Final = "Cart Viewed"
CHECKOUT_STARTED: Final = "Checkout Started"
CHECKOUT_STEP_VIEWED: Final = "Checkout Step Viewed"
CHECKOUT_STEP_COMPLETED: Final = "Checkout Step Completed"
PAYMENT_INFO_ENTERED: Final = "Payment Info Entered"
ORDER_COMPLETED: Final = "Order Completed"
ORDER_UPDATED: Final = "Order Updated"
ORDER_REFUNDED: Final = "Order Refunded"
ORDER_CANCELLED: Final = "Order Cancelled"
COUPON_ENTERED: Final = "Coupon Entered"
COUPON_APPLIED: Final = "Coupon Applied"
COUPON_DENIED: Final = "Coupon Denied"
COUPON_REMOVED: Final = "Coupon Removed"
PRODUCT_ADDED_TO_WISHLIST: Final = "Product Added to Wishlist"
PRODUCT_REMOVED_FROM_WISHLIST: Final = "Product Removed from Wishlist"
WISHLIST_PRODUCT_ADDED_TO_CART: Final = "Wishlist Product Added to Cart"
PRODUCT_SHARED: Final = "Product Shared"
CART_SHARED: Final = "Cart Shared"
PRODUCT_REVIEWED: Final = "Product Reviewed"

PRODUCT_RATED: Final = "Product Rated"
"""`product_id` and `rating`; what rating data is imported as."""
ITEM_HIDDEN: Final = "Item Hidden"
"""The person asked not to see `product_id` again."""
IMPRESSION: Final = "Impression"
"""What was truly seen, sent by the client: `decision_id` and `items`."""
DECISION_MADE: Final = "Decision Made"
"""What was offered: written to the log by the engine."""
LIST_JOINED: Final = "List Joined"
"""The person was put on the list of `list`: written to the log by the engine, for lists that the owner keeps."""
LIST_LEFT: Final = "List Left"
"""The person was taken off it."""
CONSENT_UPDATED: Final = "Segment Consent Preference Updated"
"""The choices are in `context.consent.categoryPreferences`."""

OUR_SOURCE: Final = "bespeak"
"""The `source` of events that the engine writes itself; no key may have this name."""

ITEM_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        PRODUCT_CLICKED: 0.5,
        PRODUCT_VIEWED: 1.0,
        PRODUCT_RATED: 1.0,
        PRODUCT_SHARED: 1.0,
        PRODUCT_REVIEWED: 1.0,
        PRODUCT_ADDED_TO_WISHLIST: 2.0,
        PRODUCT_ADDED: 3.0,
        WISHLIST_PRODUCT_ADDED_TO_CART: 3.0,
        ORDER_COMPLETED: 5.0,
    }
)
"""How much one event says for liking its items; an event that is not here says nothing for it."""

_ID_KEYS = ("product_id", "item_id", "sku", "productId", "id")
_LIST_KEYS = ("products", "items")


def item_ids(event: Event) -> tuple[str, ...]:
    """Return the ids of the items that an event speaks of, each once, in its order; () when of none.

    An item is named by the first of `product_id`, `item_id`, `sku`, `productId`, `id` that is text or a whole
    number, in `properties` or in each member of `properties.products` or `properties.items` (a member may be
    the bare id).

    Examples
    --------
    >>> event = Event(type="track", name="Product Viewed", message_id="m", time=0, received=0, user_id="u",
    ...     properties={"product_id": 17})
    >>> item_ids(event)
    ('17',)
    """
    if event.type in {"identify", "group"}:
        return ()
    properties = event.properties
    for key in _LIST_KEYS:
        if key in properties and (listed := _listed(properties[key])) is not None:
            return listed
    first: object = properties.get("product_id")
    found = first if isinstance(first, str) and first else _item_id(properties)
    return (found,) if found else ()


def _listed(members: object) -> tuple[str, ...] | None:
    if not isinstance(members, list) or not members:
        return None
    members = cast("list[object]", members)
    return tuple(dict.fromkeys(found for member in members if (found := _member_id(member))))


def _member_id(member: object) -> str:
    return _item_id(cast("dict[str, object]", member)) if isinstance(member, dict) else _text(member)


def _item_id(properties: Mapping[str, object]) -> str:
    for key in _ID_KEYS:
        if key in properties and (found := _text(properties[key])):
            return found
    return ""


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return ""
