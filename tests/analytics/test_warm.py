"""Events that are held in memory: what is asked of them, what columns of their own they get, and what does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from bespeak.analytics import ArchiveSettings, Row, row_of
from bespeak.analytics.conditions_sql import Query, Rules, sql_of_counts
from bespeak.analytics.warm import KEPT_MAX, WarmEvents
from bespeak.clock import DAY, SECOND
from bespeak.conditions import parse
from bespeak.errors import InvalidInput
from bespeak.events import Event

START = 1_780_000_000 * SECOND
LIMITS = ArchiveSettings()


@pytest.fixture
def held() -> Iterator[WarmEvents]:
    events = WarmEvents(Rules(), mib=256, threads=1)
    yield events
    events.close()


def row(offset: int, name: str = "Viewed", person: str = "u:ann", joined: str | None = None, **more: Any) -> Row:
    kind, said = person.split(":")
    who = {"user_id": said} if kind == "u" else {"anonymous_id": said}
    fields = {"type": "track", "name": name, "message_id": f"m{offset}", "time": START + offset, "received": START}
    event = Event(**{**fields, **who, **more})
    return row_of(event, offset=offset, data_key=1, imported=False, person=person, joined=joined)


def found(held: WarmEvents, condition: str, *others: str, keeps: int = KEPT_MAX) -> tuple[Any, ...]:
    named = {f"o{place}": parse(one) for place, one in enumerate(others)}
    query = sql_of_counts(parse(condition), named, START + DAY, keeps=keeps)
    people, size, sample, *rest = held.ask(query, LIMITS)
    return (people, size, sample or [], *rest)


def columns(held: WarmEvents) -> set[str]:
    rows = held._connection.execute("SELECT column_name FROM duckdb_columns() WHERE table_name = 'heard'").fetchall()
    return {name for (name,) in rows if name.startswith("said_")}


def test_nobody_is_nobody(held: WarmEvents) -> None:
    assert found(held, "true") == (0, 0, [])


def test_people_are_counted_named_and_counted_beside_others(held: WarmEvents) -> None:
    bought = [row(4, "Bought", "u:bob"), row(5, "Bought", "u:cleo")]
    held.add_rows([row(1), row(2), row(3, person="u:bob"), *bought], merged=0)
    asked = found(held, 'performed("Viewed")', 'performed("Bought")', 'count("Viewed") = 2', "false")
    assert asked == (3, 2, ["u:ann", "u:bob"], 2, 1, 1, 1, 0, 0)


def test_what_comes_later_counts_with_what_was_there(held: WarmEvents) -> None:
    held.add_rows([row(1), row(2, person="a:phone")], merged=0)
    assert found(held, 'count("Viewed") >= 2') == (2, 0, [])
    held.add_rows([row(3), row(4, person="a:phone")], merged=0)
    assert found(held, 'count("Viewed") >= 2') == (2, 2, ["a:phone", "u:ann"])


def test_a_device_that_is_joined_later_was_its_person_all_along(held: WarmEvents) -> None:
    held.add_rows([row(1, person="a:phone"), row(2, "Bought", "a:laptop")], merged=0)
    joining = {"type": "identify", "user_id": "ann", "anonymous_id": "phone", "signed": True}
    held.add_rows([row(3, "Identified", person="u:ann", joined="a:phone", **joining)], merged=0)
    assert found(held, 'performed("Viewed")', "known = true") == (2, 1, ["u:ann"], 1, 1)


def test_an_alias_that_is_known_from_the_start_needs_no_event(held: WarmEvents) -> None:
    held.mean({"a:phone": "u:ann"})
    held.add_rows([row(1, person="a:phone"), row(2)], merged=9)
    assert found(held, 'count("Viewed") = 2') == (1, 1, ["u:ann"])


@pytest.mark.parametrize("keeps", [0, 1, KEPT_MAX])
def test_properties_say_the_same_with_and_without_columns_of_their_own(held: WarmEvents, keeps: int) -> None:
    said: list[object] = [7, 7.0, "7", [1, 7], [], None, True, {"a": 7}, "ab", ["AB", 3], 'a"b', "Straße", ["é"]]
    held.add_rows([row(n, person=f"u:{n:02}", properties={"p": one}) for n, one in enumerate(said, 10)], merged=0)
    tests = {
        "= 7": [10, 11, 13],
        "> 3": [10, 11, 13],
        '= "7"': [12],
        "= true": [16],
        "exists": [10, 11, 12, 13, 16, 17, 18, 19, 20, 21, 22],
        'in ["Ab", 7]': [10, 11, 13, 18, 19],
        'contains "b"': [18, 19, 20],
        '= "strasse"': [21],
        '= "E"': [22],
        '= exactly "ab"': [18],
    }
    for test, expected in tests.items():
        asked = found(held, f'performed("Viewed" where properties.p {test})', keeps=keeps)
        assert asked == (13, len(expected), [f"u:{n}" for n in expected]), test
    assert len(columns(held)) == min(keeps, 1)


def test_columns_go_when_others_are_asked_for_and_what_comes_fills_those_that_stay(held: WarmEvents) -> None:
    held.add_rows([row(1, properties={f"p{n}": n for n in range(KEPT_MAX + 3)})], merged=0)
    for n in (*range(KEPT_MAX), 0, KEPT_MAX):
        assert found(held, f'performed("Viewed" where properties.p{n} = {n})')[1] == 1
    assert len(columns(held)) == KEPT_MAX
    held.add_rows([row(2, person="u:bob", properties={"p0": 0, "p1": 1})], merged=0)
    for n, expected in ((0, 2), (1, 2), (KEPT_MAX, 1)):
        assert found(held, f'performed("Viewed" where properties.p{n} = {n})')[1] == expected


@pytest.mark.parametrize("others", [0, 20], ids=["all anew", "those of whom something came"])
def test_visits_and_places_follow_what_comes(held: WarmEvents, others: int) -> None:
    asked = ("sessions.count >= 2", 'zone = "Asia/Tokyo"', 'place.country = "JP"', 'device.type = "tv"')
    context = {"timezone": "Asia/Tokyo", "location": {"country": "JP"}, "device": {"type": "tv"}}
    held.add_rows([row(1), *(row(n, person=f"a:{n}") for n in range(100, 100 + others))], merged=0)
    assert [found(held, one)[1] for one in asked] == [0, 0, 0, 0]
    held.add_rows([row(200, time=START + DAY // 2, context=context)], merged=0)
    assert [found(held, one)[1] for one in asked] == [1, 1, 1, 1]
    assert found(held, "sessions.count = 1")[1] == others


def test_a_question_that_takes_too_long_is_given_up_and_the_next_is_answered(held: WarmEvents) -> None:
    held.add_rows([row(n, person=f"u:{n}") for n in range(1, 3_000)], merged=0)
    asked = sql_of_counts(parse('performed("Viewed")'), {}, START + DAY)
    slow = Query(asked.text.replace("FROM heard e", "FROM range(10_000_000), heard e"), asked.parameters)
    with pytest.raises(InvalidInput, match=r"longer than archive.query_seconds \(0.1 s\)"):
        held.ask(slow, ArchiveSettings(query_seconds=0.1))
    assert found(held, "true")[1] == 2_999


def test_a_question_that_sql_fails_at_is_told_without_its_words_and_the_next_is_answered(held: WarmEvents) -> None:
    held.add_rows([row(77)], merged=0)
    with pytest.raises(InvalidInput, match=r"SQL fails at the question \(ConversionException") as refused:
        held.ask(Query("SELECT CAST(message_id AS INTEGER) FROM heard", {}), LIMITS)
    assert "m77" not in refused.value.message
    assert found(held, 'performed("Viewed")') == (1, 1, ["u:ann"])


def test_what_leaves_duckdb_of_no_use_is_no_answer(held: WarmEvents, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> None:
        raise duckdb.FatalException("database has been invalidated")

    monkeypatch.setattr(held, "keep", lost)
    with pytest.raises(duckdb.FatalException):
        found(held, "true")


def test_what_does_not_fit_is_an_error_and_nothing_is_spilled() -> None:
    held = WarmEvents(Rules(), mib=16, threads=1)
    rows = [row(n, properties={"p": [f"{n} {m}" for m in range(900)]}) for n in range(1, 2_000)]
    with pytest.raises(duckdb.OutOfMemoryException):
        held.add_rows(rows, merged=0)
    held.close()
