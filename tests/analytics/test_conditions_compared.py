"""Conditions asked of SQL over files and tail: what cannot be asked or answered is told, and nobody is quoted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bespeak.analytics import ArchiveSettings, Row, conditions_compared, conditions_sql, row_of
from bespeak.analytics.conditions_compared import beside, difference
from bespeak.analytics.conditions_sql import Events, Rules, members
from bespeak.analytics.parquet import connect
from bespeak.clock import SECOND
from bespeak.conditions import parse
from bespeak.errors import InvalidInput
from bespeak.events import Event

START = 1_780_000_000 * SECOND
LIMITS = ArchiveSettings(query_mib=256)
YES, NO = parse("true"), parse("false")

Ask = Callable[..., object]
ASKS: dict[str, Ask] = {
    "members": lambda events, **more: members(YES, START, events, LIMITS, Rules(), **more),
    "beside": lambda events, **more: beside(YES, {"no": NO}, START, events, LIMITS, Rules(), **more),
    "difference": lambda events, **more: difference(NO, YES, START, events, LIMITS, Rules(), **more),
}
each_ask = pytest.mark.parametrize("ask", ASKS.values(), ids=list(ASKS))


def row(offset: int, **properties: Any) -> Row:
    fields = {"type": "track", "name": "Viewed", "message_id": f"m{offset}", "time": START, "received": START}
    event = Event(**fields, user_id="ann", properties=properties)
    return row_of(event, offset=offset, data_key=1, imported=False, person="u:ann", joined=None)


@each_ask
def test_a_tail_that_does_not_fit_is_told_with_the_setting(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (conditions_sql, conditions_compared):
        monkeypatch.setattr(module, "connect", lambda **_: connect(threads=1, mib=16))
    tail = (row(n, p=[f"{n} {m}" for m in range(900)]) for n in range(1, 2_000))
    with pytest.raises(InvalidInput, match=r"needs more than archive\.query_mib \(256 MiB\)"):
        ask(Events((), tail, {}))


@each_ask
def test_what_sql_fails_at_is_told_without_its_words(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(connection: Any, *_: object) -> None:
        connection.execute("SELECT CAST(message_id AS INTEGER) FROM events").fetchall()

    for module in (conditions_sql, conditions_compared):
        monkeypatch.setattr(module, "open_to_conditions", fails)
    with pytest.raises(InvalidInput, match=r"SQL fails at the question \(ConversionException") as refused:
        ask(Events((), [row(77)], {}))
    assert "m77" not in refused.value.message


@each_ask
@pytest.mark.parametrize("most", [-1, 0, 1_001, 10**30])
def test_as_many_people_are_named_as_may_be(ask: Ask, most: int) -> None:
    def unread() -> Iterator[Row]:
        raise AssertionError("it is refused before anything is read")
        yield

    with pytest.raises(InvalidInput, match=f"people to name: expected 1 to 1,000, got {most:,}$"):
        ask(Events((), unread(), {}), most=most)


@each_ask
@pytest.mark.parametrize("most", [1, 1_000])
def test_the_least_and_the_most_people_can_be_named(ask: Ask, most: int) -> None:
    assert ask(Events((), [row(1)], {}), most=most) == ask(Events((), [row(1)], {}))
