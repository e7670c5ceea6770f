"""An event becomes one row, and every value in it is the one that stands in the event."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.analytics import COLUMNS, ArchiveSettings, Table, ask, row_of
from bespeak.analytics.parquet import memory_file, rewrite
from bespeak.analytics.rows import folded, local, money
from bespeak.clock import DAY, parse_time
from bespeak.events import Event

AT = parse_time("2026-03-29T22:30:00.123456Z")
"""Half past midnight of the 30th in Berlin, an hour after summer time began there."""

LIMITS = ArchiveSettings(query_mib=256)


def event(**more: Any) -> Event:
    return Event(**{"type": "track", "name": "Order Completed", "message_id": "m", "time": AT, "received": AT, **more})


def row(one: Event, offset: int = 1, key: int = 7, person: str = "u:ann") -> tuple[Any, ...]:
    return row_of(one, offset=offset, data_key=key, imported=False, person=person, joined="")


def selected(*events: Event) -> list[dict[str, Any]]:
    """Return rows as SQL gives them back."""
    rows = (row(one, place) for place, one in enumerate(events, 1))
    answer = ask("SELECT * FROM events ORDER BY log_offset", (), rows, {}, LIMITS)
    return [dict(zip(answer.columns, values, strict=True)) for values in answer.rows]


def test_a_purchase_as_sql_sees_it() -> None:
    properties = {
        "order_id": 1007,
        "total": 59.97,
        "revenue": "49.5",
        "discount": 1,
        "price": "free",
        "currency": "EUR",
        "category": "Große Schuhe",
        "products": [
            {"product_id": "p1", "price": 19.99, "quantity": 2, "category": "Schuhe"},
            {"sku": 17, "quantity": 1},
            "p3",
            {"name": "nameless"},
        ],
    }
    context = {
        "page": {"path": "/thanks", "url": "https://shop.example/thanks?a=1", "title": "Thanks"},
        "campaign": {"source": "news", "name": "spring"},
        "timezone": "Europe/Berlin",
        "locale": "de-DE",
        "location": {"country": "DE", "city": "Köln"},
        "device": {"type": "mobile"},
        "os": {"name": "Android"},
        "userAgent": "Mozilla/5.0",
        "consent": {"categoryPreferences": {"C0002": True}},
    }
    (found,) = selected(
        event(user_id="ann", anonymous_id="d1", properties=properties, context=context, source="site", signed=True)
    )
    expected: dict[str, Any] = {
        "log_offset": 1,
        "data_key": 7,
        "imported": False,
        "type": "track",
        "name": "Order Completed",
        "name_folded": "order completed",
        "message_id": "m",
        "source": "site",
        "signed": True,
        "time": datetime(2026, 3, 29, 22, 30, 0, 123456),  # noqa: DTZ001  SQL's TIMESTAMP has no zone; it is UTC here
        "received": datetime(2026, 3, 29, 22, 30, 0, 123456),  # noqa: DTZ001
        "time_zone": "Europe/Berlin",
        "local_day": date(2026, 3, 30),
        "local_hour": 0,
        "person": "u:ann",
        "user_id": "ann",
        "anonymous_id": "d1",
        "consent": '{"C0002":true}',
        "path": "/thanks",
        "url": "https://shop.example/thanks?a=1",
        "title": "Thanks",
        "utm_source": "news",
        "utm_campaign": "spring",
        "device_type": "mobile",
        "os": "Android",
        "user_agent": "Mozilla/5.0",
        "locale": "de-DE",
        "country": "DE",
        "city": "Köln",
        "items": ["p1", "17", "p3"],
        "category": "Große Schuhe",
        "category_folded": "grosse schuhe",
        "order_id": "1007",
        "currency": "EUR",
        "revenue": Decimal("49.5000"),
        "total": Decimal("59.9700"),
        "discount": Decimal("1.0000"),
        "lines": [
            {"item": "p1", "category": "Schuhe", "price": Decimal("19.9900"), "quantity": Decimal("2.0000")},
            {"item": "17", "category": None, "price": None, "quantity": Decimal("1.0000")},
        ],
        "slots": [],
    }
    assert json.loads(found.pop("properties")) == properties
    assert json.loads(found.pop("context")) == context
    assert found == {column.name: None for column in COLUMNS if column.name in found} | expected


def test_a_decision_and_an_impression_say_which_slots() -> None:
    made = event(name="Decision Made", properties={"decision_id": "d-1", "slots": {"home": {}, "cart": {}}})
    seen = event(name="Impression", properties={"decision_id": "d-1", "slot": "home", "items": ["i1", "i2"]})
    first, second = selected(made, seen)
    assert (first["decision_id"], first["slots"], first["items"]) == ("d-1", ["home", "cart"], [])
    assert (second["decision_id"], second["slots"], second["items"]) == ("d-1", ["home"], ["i1", "i2"])


def test_a_property_wins_over_the_page_of_the_context() -> None:
    (found,) = selected(event(type="page", properties={"path": "/a"}, context={"page": {"path": "/b", "title": "B"}}))
    assert (found["path"], found["title"]) == ("/a", "B")


def test_a_time_zone_that_is_none_is_utc() -> None:
    for zone in ("Mars/Olympus", "../../etc/passwd", 7, "", None):
        (found,) = selected(event(context={"timezone": zone}))
        assert (found["time_zone"], found["local_day"], found["local_hour"]) == (None, date(2026, 3, 29), 22)


@given(st.integers(-60_000 * DAY, 60_000 * DAY))
def test_the_local_day_is_that_of_pythons_calendar(at: int) -> None:
    day, hour = local(at, None)
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at)
    assert (date(1970, 1, 1).toordinal() + day, hour) == (moment.toordinal(), moment.hour)


@given(st.decimals(min_value=-(10**13), max_value=10**13, places=4))
def test_an_amount_with_four_places_is_kept_to_the_last(amount: Decimal) -> None:
    assert Decimal(money(str(amount)) or "nothing") == amount


@pytest.mark.parametrize("value", [None, True, "", "12,50", float("nan"), float("inf"), 10**14, -(10**20), [1], {}])
def test_what_is_no_amount_is_null(value: object) -> None:
    assert money(value) is None


def test_folding_goes_further_than_lower_case() -> None:
    assert folded("STRASSE") == folded("straße") == "strasse"
    assert folded("Cafe\u0301") == folded("CAFÉ")


ODD = ["a\x00b", "'; DROP TABLE events; --", "\u2028", "😀", "\\", '"', ""]


def test_odd_text_comes_through_as_it_is() -> None:
    found = selected(*(event(user_id=text, properties={"category": text, text: text}) for text in ODD))
    assert [one["user_id"] for one in found] == ODD
    assert [one["category"] for one in found] == ODD
    assert [json.loads(one["properties"])[text] for one, text in zip(found, ODD, strict=True)] == ODD


def test_times_from_the_first_to_the_last_year_come_through() -> None:
    years = (parse_time("0002-01-01"), parse_time("1969-12-31T23:59:59.999999Z"), parse_time("9990-01-01"))
    found = selected(*(event(time=at, original_time=at) for at in years))
    assert [one["time"].year for one in found] == [2, 1969, 9990]
    assert [one["original_time"] for one in found] == [one["time"] for one in found]


def rewritten(rows: list[tuple[Any, ...]], **forgotten: Any) -> tuple[int, list[tuple[Any, ...]]]:
    with Table(mib=256) as table, memory_file("before") as before, memory_file("after") as after:
        for one in rows:
            table.add(one)
        table.write(before)
        left = rewrite(before, after, mib=256, **forgotten)
        columns = "log_offset, user_id, anonymous_id, previous_id"
        answer = ask(f"SELECT {columns} FROM events ORDER BY 1", (after,), (), {}, LIMITS)
        assert len(answer.rows) == left
        return left, list(answer.rows)


def test_a_rewrite_takes_out_the_rows_under_the_keys_and_no_other() -> None:
    rows = [row(event(user_id=f"u{place}"), place, key=place % 4) for place in range(1, 41) if place % 4]
    left, found = rewritten(rows, keys=[2], ids=["u:u2"])
    assert left == 20
    assert [one[0] for one in found] == [place for place in range(1, 41) if place % 4 in {1, 3}]


def test_a_row_older_than_keys_goes_by_its_ids_and_others_lose_the_id_alone() -> None:
    rows = [
        row(event(user_id="zoe"), 1, key=0),
        row(event(anonymous_id="d-zoe"), 2, key=0),
        row(event(user_id="ann", anonymous_id="d-zoe"), 3, key=0),
        row(event(user_id="ann", previous_id="zoe"), 4, key=0),
        row(event(user_id="ann", anonymous_id="d-zoe"), 5, key=9),
        row(event(anonymous_id="zoe"), 6, key=0),
        row(event(user_id="d-zoe"), 7, key=0),
        row(event(), 8, key=0),
    ]
    _, found = rewritten(rows, keys=[], ids=["u:zoe", "a:d-zoe"])
    assert found == [
        (3, "ann", None, None),
        (4, "ann", None, None),
        (5, "ann", "d-zoe", None),
        (6, None, "zoe", None),
        (7, "d-zoe", None, None),
        (8, None, None, None),
    ]


def test_ids_that_look_like_sql_are_text() -> None:
    rows = [row(event(user_id="it's"), 1, key=0), row(event(user_id="ann"), 2, key=0)]
    assert rewritten(rows, keys=[], ids=["u:it's", "u:') OR true --"])[1] == [(2, "ann", None, None)]
