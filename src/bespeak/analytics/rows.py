"""An event as one row: what analytics compares is worked out here, once, and not in SQL."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias, cast

import msgspec

from bespeak.clock import DAY, HOUR, Instant, zone_named
from bespeak.events import Event
from bespeak.events.vocabulary import DECISION_MADE, item_ids
from bespeak.ids import ProfileId

Row: TypeAlias = tuple[Any, ...]
"""The values of `COLUMNS`, in their order, in the form in which they travel."""

_PLACES = Decimal("0.0001")
_MOST = Decimal(10) ** 14
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.toordinal()
_PAGE = ("path", "url", "referrer", "title")
_CAMPAIGN = ("source", "medium", "name", "term", "content")
_AGENT = ("userAgent", "locale")
_PLACE = ("country", "city")
_ORDER = ("order_id", "coupon", "currency")
_AMOUNTS = ("price", "quantity", "revenue", "total", "discount", "value")
_ITEM = ("product_id", "item_id", "sku", "productId", "id")
_NOTHING: Mapping[str, Any] = {}
_encode = msgspec.json.Encoder().encode


def row_of(
    event: Event, *, offset: int, data_key: int, imported: bool, person: ProfileId, joined: ProfileId | None
) -> Row:
    """Return the row of an event.

    Parameters
    ----------
    offset
        Its place in the log.
    data_key
        Number of the key that seals it there; 0 when none does.
    person
        The profile that it is about, as far as is known when the row is written.
    joined
        The profile that it took into its person's; empty or None when none.
    """
    zone = zone_of(event.context.get("timezone"))
    return (
        offset,
        data_key,
        imported,
        event.type,
        event.name,
        folded(event.name),
        event.message_id,
        event.source,
        event.signed,
        event.time,
        event.received,
        event.original_time,
        zone,
        *local(event.time, zone),
        person,
        event.user_id,
        event.anonymous_id,
        event.previous_id,
        event.group_id,
        joined or None,
        *_surroundings(event.properties, event.context),
        *_dealings(event),
        _encode(event.properties).decode(),
        _encode(event.context).decode(),
    )


def _surroundings(properties: Mapping[str, Any], context: Mapping[str, Any]) -> Row:
    """Return consent, page, campaign, device and place."""
    page = _part(context, "page")
    return (
        _consent(context),
        *[_text(properties.get(name, page.get(name))) for name in _PAGE],
        *_texts(_part(context, "campaign"), _CAMPAIGN),
        _text(_part(context, "device").get("type")),
        _text(_part(context, "os").get("name")),
        *_texts(context, _AGENT),
        *_texts(_part(context, "location"), _PLACE),
    )


def _dealings(event: Event) -> Row:
    """Return items, what was looked for, order, amounts, and the decision that it is about."""
    properties = event.properties
    category, search = _text(properties.get("category")), _text(properties.get("query"))
    return (
        item_ids(event),
        category,
        folded(category),
        _text(properties.get("brand")),
        search,
        folded(search),
        *_texts(properties, _ORDER),
        *[money(value) if (value := properties.get(name)) is not None else None for name in _AMOUNTS],
        _lines(properties.get("products")),
        _text(properties.get("decision_id")),
        _slots(event),
    )


def folded(text: str | None) -> str | None:
    """Return text as it is compared: NFC and case-folded, which SQL's `lower` is not.

    Examples
    --------
    >>> folded("Straße") == folded("STRASSE")
    True
    """
    if text is None or (text.isascii() and text.islower()):
        return text
    return unicodedata.normalize("NFC", text.casefold())


def money(value: object) -> str | None:
    """Return an amount as decimal text with four places; None when it is none, or has more than 14 digits before them.

    Examples
    --------
    >>> money(19.99), money("1e3"), money(True), money("free")
    ('19.9900', '1000.0000', None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, int) and -_MOST < value < _MOST:
        return f"{value}.0000"
    try:
        amount = Decimal(str(value))
        if not amount.is_finite() or abs(amount) >= _MOST:
            return None
        return format(amount.quantize(_PLACES), "f")
    except InvalidOperation:
        return None


def local(at: Instant, zone: str | None) -> tuple[int, int]:
    """Return the day (days since 1970-01-01) and the hour of an instant in a time zone; in UTC where there is none.

    Examples
    --------
    >>> local(0, "Asia/Tokyo"), local(-1, None)
    ((0, 9), (-1, 23))
    """
    info = None if zone is None else zone_named(zone)
    if info is None:
        return at // DAY, at % DAY // HOUR
    try:
        moment = (_EPOCH + timedelta(microseconds=at)).astimezone(info)
    except OverflowError:
        return at // DAY, at % DAY // HOUR
    return moment.toordinal() - _EPOCH_DAY, moment.hour


def zone_of(name: object) -> str | None:
    """Return the name of a time zone; None when it names none."""
    return name if isinstance(name, str) and zone_named(name) is not None else None


def _part(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part: object = values.get(name)
    return cast("Mapping[str, Any]", part) if isinstance(part, dict) else _NOTHING


def _texts(values: Mapping[str, Any], names: tuple[str, ...]) -> Iterable[str | None]:
    return [_text(values.get(name)) for name in names] if values else (None,) * len(names)


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None


def _consent(context: Mapping[str, Any]) -> str | None:
    choices = _part(context, "consent").get("categoryPreferences")
    return None if choices is None else _encode(choices).decode()


def _lines(products: object) -> Sequence[dict[str, str | None]]:
    if not isinstance(products, list):
        return ()
    lines: list[dict[str, str | None]] = []
    for product in cast("list[object]", products):
        if not isinstance(product, dict):
            continue
        fields = cast("dict[str, Any]", product)
        item = next((text for name in _ITEM if (text := _text(fields.get(name)))), None)
        if item is not None:
            amounts = {"price": money(fields.get("price")), "quantity": money(fields.get("quantity"))}
            lines.append({"item": item, "category": _text(fields.get("category")), **amounts})
    return lines


def _slots(event: Event) -> tuple[str, ...]:
    slots: object = event.properties.get("slots")
    if event.name == DECISION_MADE and isinstance(slots, dict):
        return tuple(cast("dict[str, object]", slots))
    slot = _text(event.properties.get("slot"))
    return () if slot is None else (slot,)
