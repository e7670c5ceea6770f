"""The columns of an archived event: what they are called, of which type, and what they say."""

from __future__ import annotations

from typing import Final

import msgspec

MONEY: Final = "DECIMAL(18,4)"
"""Amounts: exact, four places, 14 digits before them."""


class Column(msgspec.Struct, frozen=True):
    """One column.

    Parameters
    ----------
    kind
        Its type in SQL.
    about
        What it says.
    wire
        Its type on the way from Python, where that is another: an instant travels as microseconds, a day as days.
    """

    name: str
    kind: str
    about: str
    wire: str = ""


COLUMNS: Final[tuple[Column, ...]] = (
    Column("log_offset", "BIGINT", "place in the log; the order in which events were folded"),
    Column("data_key", "BIGINT", "number of the data key that seals it in the log; 0 in logs older than keys"),
    Column("imported", "BOOLEAN", "brought in by `bespeak import`"),
    Column("type", "VARCHAR", "which of Segment's six calls"),
    Column("name", "VARCHAR", "event name, as conditions call it"),
    Column("name_folded", "VARCHAR", "the same, case-folded"),
    Column("message_id", "VARCHAR", "the sender's id of the message"),
    Column("source", "VARCHAR", "name of the key that it came with"),
    Column("signed", "BOOLEAN", "whether the identity was proven"),
    Column("time", "TIMESTAMP", "when it happened, UTC", "BIGINT"),
    Column("received", "TIMESTAMP", "when it arrived, UTC", "BIGINT"),
    Column("original_time", "TIMESTAMP", "what the sender said, where the time was clamped", "BIGINT"),
    Column("time_zone", "VARCHAR", "`context.timezone`, where it names one"),
    Column("local_day", "DATE", "day there (UTC where there is none)", "INTEGER"),
    Column("local_hour", "TINYINT", "hour there, 0 to 23"),
    Column("person", "VARCHAR", "profile id of whom it is about, after every merge known at the cut"),
    Column("user_id", "VARCHAR", "as sent"),
    Column("anonymous_id", "VARCHAR", "as sent"),
    Column("previous_id", "VARCHAR", "as sent (`alias`)"),
    Column("group_id", "VARCHAR", "as sent (`group`)"),
    Column("joined", "VARCHAR", "profile id that this event took into its person's"),
    Column("consent", "VARCHAR", "choices that came with it, JSON; what was refused is not in the log at all"),
    Column("path", "VARCHAR", "`properties.path`, else `context.page.path`"),
    Column("url", "VARCHAR", "`properties.url`, else `context.page.url`"),
    Column("referrer", "VARCHAR", "`properties.referrer`, else `context.page.referrer`"),
    Column("title", "VARCHAR", "`properties.title`, else `context.page.title`"),
    Column("utm_source", "VARCHAR", "`context.campaign.source`"),
    Column("utm_medium", "VARCHAR", "`context.campaign.medium`"),
    Column("utm_campaign", "VARCHAR", "`context.campaign.name`"),
    Column("utm_term", "VARCHAR", "`context.campaign.term`"),
    Column("utm_content", "VARCHAR", "`context.campaign.content`"),
    Column("device_type", "VARCHAR", "`context.device.type`"),
    Column("os", "VARCHAR", "`context.os.name`"),
    Column("user_agent", "VARCHAR", "`context.userAgent`"),
    Column("locale", "VARCHAR", "`context.locale`"),
    Column("country", "VARCHAR", "`context.location.country`"),
    Column("city", "VARCHAR", "`context.location.city`"),
    Column("items", "VARCHAR[]", "ids of the items that it speaks of, each once"),
    Column("category", "VARCHAR", "`properties.category`"),
    Column("category_folded", "VARCHAR", "the same, case-folded"),
    Column("brand", "VARCHAR", "`properties.brand`"),
    Column("search", "VARCHAR", "`properties.query`"),
    Column("search_folded", "VARCHAR", "the same, case-folded"),
    Column("order_id", "VARCHAR", "`properties.order_id`"),
    Column("coupon", "VARCHAR", "`properties.coupon`"),
    Column("currency", "VARCHAR", "`properties.currency`"),
    Column("price", MONEY, "`properties.price`"),
    Column("quantity", MONEY, "`properties.quantity`"),
    Column("revenue", MONEY, "`properties.revenue`"),
    Column("total", MONEY, "`properties.total`"),
    Column("discount", MONEY, "`properties.discount`"),
    Column("value", MONEY, "`properties.value`"),
    Column(
        "lines",
        f"STRUCT(item VARCHAR, category VARCHAR, price {MONEY}, quantity {MONEY})[]",
        "members of `properties.products` that name an item, with their amounts",
    ),
    Column("decision_id", "VARCHAR", "`properties.decision_id`, of `Decision Made` and `Impression`"),
    Column("slots", "VARCHAR[]", "slots that a `Decision Made` filled, or the slot of an `Impression`"),
    Column("properties", "VARCHAR", "all properties (the traits of an `identify` or `group`), JSON"),
    Column("context", "VARCHAR", "the whole context, JSON"),
)
"""Every column, in order. What SQL compares is written here and in `rows`, so that no two readers fold it otherwise."""
