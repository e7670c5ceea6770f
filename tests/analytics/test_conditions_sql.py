"""A condition in SQL: no value is ever its text, and what it sorts and follows is sorted and followed as elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.analytics import ArchiveSettings, row_of
from bespeak.analytics.conditions_sql import Events, Members, Rules, members, sql_of, sql_of_all
from bespeak.analytics.conditions_sql_goods import ALL_OTHERS, Goods
from bespeak.analytics.conditions_sql_people import ways_of
from bespeak.analytics.conditions_sql_values import Bound, NotInSql
from bespeak.analytics.conditions_sql_words import version_order
from bespeak.clock import DAY, NEVER, SECOND, parse_time
from bespeak.conditions import Aggregate, Compare, Path, parse
from bespeak.conditions.derived import Band, Grade, Rfm, Score, Term, Worked
from bespeak.conditions.values.versions import version_key
from bespeak.conditions.values.zones import FIRST, LAST
from bespeak.errors import ConditionError, InvalidInput
from bespeak.events import Event

START = 1_780_000_000 * SECOND
ODD = "o'clock\"; DROP VIEW events; -- $p0 \\ {} ? :x"

BANDED = Band(
    Score((Term("shroud", 6543.5, counted=Aggregate("count", "cloak")),), floor=-7654.5, cap=8765.5),
    ((0.0, "mask"), (7654.25, "veil")),
)


def told(*said: dict[str, Any], at: int = START) -> Events:
    rows = [
        row_of(
            Event(
                type="identify",
                name="Identified",
                message_id=f"m{place}",
                time=at,
                received=at,
                user_id=f"u{place}",
                properties=traits,
            ),
            offset=place + 1,
            data_key=1,
            imported=False,
            person=f"u:u{place}",
            joined=None,
        )
        for place, traits in enumerate(said)
    ]
    return Events((), rows, {})


def found(condition: Any, *said: dict[str, Any]) -> Members:
    asked = parse(condition) if isinstance(condition, str) else condition
    return members(asked, START, told(*said), ArchiveSettings(query_mib=256), Rules(), threads=1)


def test_no_value_is_ever_the_text_of_the_question() -> None:
    conditions = [
        Compare(Path("traits.a"), "=", ODD),
        Compare(Path(f"traits.{ODD.replace('.', '')}"), "=", 8_765),
        parse('count("secret*" where properties.hidden contains "hush", last 9 days) >= 765.4'),
        parse('traits.b in ["whisper", 4321] or any of traits.c where (it.quiet matches "x+y")'),
        parse('sum(properties.mute of "silence", since date "1999-12-31") > 2 and traits.d < date "now-77d"'),
        Compare(Worked("scores.hidden", BANDED), "=", "veil"),
        parse('count("murmur" where item.brand = "mum", half-life 55 days) > 1 and interests.tag.shade > 2'),
        parse("consent.private = true"),
    ]
    text = sql_of_all({str(place): one for place, one in enumerate(conditions)}, START).text
    for word in ("DROP", "8765", "secret", "hush", "765.4", "whisper", "4321", "quiet", "x+y", "mute", "silence", "77d",
                 "shroud", "veil", "6543", "cloak", "murmur", "mum", "4752000000000", "shade", "private"):  # fmt: skip
        assert word not in text
    assert str(START) not in text


def test_values_that_are_equal_in_python_only_stand_for_themselves() -> None:
    bound = Bound()
    given: list[object] = [1, 1.0, True, [1], [1.0], [True], ["1"], [1.0, True], [True, 1.0]]
    names = [bound(value) for value in given]
    assert len(set(names)) == len(given)
    assert [bound(value) for value in given] == names, "the same value has the same name"
    assert [repr(bound.values[name[1:]]) for name in names] == [repr(value) for value in given]


def test_a_number_and_a_flag_in_one_question_are_found_by_what_they_are() -> None:
    said = ({"a": 1}, {"a": True}, {"a": "1"}, {"a": 0}, {"a": False})
    assert found("traits.a in [1] or traits.a in [true]", *said).sample == ("u:u0", "u:u1")
    known = sql_of(parse("traits.a in [1, true]"), START).parameters.values()
    assert sorted(map(repr, (one for one in known if isinstance(one, list)))) == ["[1.0]", "[True]"]


def test_odd_values_are_found_by_what_they_are() -> None:
    assert found(Compare(Path("traits.a"), "=", ODD), {"a": ODD}, {"a": "o'clock"}, {}) == Members(1, ("u:u0",))


@pytest.mark.parametrize("name", ["o'clock", 'a "b"', "a\\b", "$", "?", "a b", "\u00e9t\u00e9", "0", "[0]", "a*"])
def test_odd_names_are_names(name: str) -> None:
    condition = Compare(Path(f"traits.{name}"), "=", 1)
    assert found(condition, {name: 1}, {"a": 1}, {name: 2}) == Members(1, ("u:u0",))


def test_a_name_that_means_every_name_to_sql_is_refused() -> None:
    with pytest.raises(NotInSql, match="every name"):
        sql_of(Compare(Path("traits.*"), "=", 1), START)


def test_a_trait_may_have_dots_in_its_name_or_be_inside_another() -> None:
    said = ({"a.b": 1}, {"a": {"b": 1}}, {"a.b": 2, "a": {"b": 1}}, {"a": 1})
    assert found("traits.a.b = 1", *said).sample == ("u:u0", "u:u1")


def test_the_sample_is_the_first_by_id_and_the_size_is_of_all() -> None:
    asked = members(parse("true"), START, told(*[{}] * 30), ArchiveSettings(query_mib=256), Rules(), most=3, threads=1)
    assert asked == Members(30, ("u:u0", "u:u1", "u:u10"))


def test_nobody_is_nobody() -> None:
    assert found("true") == found("false", {}) == Members(0, ())


def test_a_segment_is_asked_as_what_it_means() -> None:
    known = {"loyal": parse("traits.n > 1")}
    query = sql_of(parse('not in_segment("loyal")'), START, segments=known)
    assert query == sql_of(parse("not traits.n > 1"), START)
    with pytest.raises(NotInSql, match="not there"):
        sql_of(parse('in_segment("loyal")'), START)


def test_what_has_no_meaning_is_refused_as_anywhere() -> None:
    with pytest.raises(ConditionError, match="an end after its start"):
        sql_of(parse('count("A", from date "2026-01-02" to date "2026-01-01") > 1'), START)


@pytest.mark.parametrize(
    "at, got", [(FIRST - 1, "an earlier one"), (LAST + 1, "a later one"), (parse_time("9999-12-31"), "a later one")]
)
def test_an_instant_at_which_no_clock_is_known_is_refused(at: int, got: str) -> None:
    known = "at: expected a time from 0002-01-01T00:00:00Z to 9998-01-01T00:00:00Z"
    with pytest.raises(InvalidInput, match=f"{known}, got {got}"):
        sql_of(parse('performed("Seen", this year)'), at)


@pytest.mark.parametrize("at", [FIRST, LAST])
def test_the_first_and_the_last_instant_of_known_clocks_can_be_asked_about(at: int) -> None:
    asked = parse('performed("Seen", this year)')
    assert members(asked, at, told({}), ArchiveSettings(query_mib=256), Rules(), threads=1) == Members(0, ())


def test_an_event_that_is_late_for_one_device_is_in_time_for_another() -> None:
    """What each did before they were one person's was judged by what it had done itself."""
    deeds = [
        ("phone", 0, None, "in time"),
        ("laptop", -3, None, "in time"),
        ("phone", -3, None, "late by two days"),
        ("laptop", -4, None, "in time: a day before what the laptop has seen"),
        ("phone", -1, "ann", "in time; the phone is Ann's now"),
        ("laptop", -1, "ann", "in time; the laptop is, too"),
        ("laptop", -2, None, "late: the newest that Ann has done is a day newer than the laptop's"),
    ]
    rows = [
        row_of(
            Event(
                type="track",
                name="Seen",
                message_id=f"m{place}",
                time=START + days * DAY,
                received=START,
                anonymous_id=device,
                user_id=user,
            ),
            offset=place + 1,
            data_key=1,
            imported=False,
            person="u:ann",
            joined=f"a:{device}" if user else None,
        )
        for place, (device, days, user, _) in enumerate(deeds)
    ]

    def held(days: int, count: int) -> int:
        asked = parse(f'count("Seen", last {days} days) = {count}')
        return members(asked, START, Events((), rows, {}), ArchiveSettings(query_mib=256), Rules(), threads=1).size

    assert held(9, 5) == 1
    assert held(4, 4) == 1, "without the one at the very edge of the window"


PARTS = st.lists(st.sampled_from(["0", "1", "2", "9", "10", "11", "007"]), min_size=1, max_size=4).map(".".join)
EARLY = st.lists(st.sampled_from(["rc", "alpha", "alpha-", "1", "10", "2", "b9"]), max_size=3).map(".".join)
versions = st.builds(lambda numbers, early: f"{numbers}-{early}" if early else numbers, PARTS, EARLY)


@given(versions, versions)
def test_versions_sort_as_texts_as_they_do_as_versions(one: str, other: str) -> None:
    keys, texts = (version_key(one), version_key(other)), (version_order(one), version_order(other))
    assert None not in (*keys, *texts)
    assert [(keys[0] < keys[1]), keys[0] == keys[1]] == [texts[0] < texts[1], texts[0] == texts[1]]


def test_an_id_means_whom_it_meant_at_each_place_of_the_log() -> None:
    joins = [(3, "a:1", "u:x"), (5, "a:2", "u:y"), (8, "u:y", "u:x"), (9, "a:3", "u:y")]
    assert sorted(ways_of(joins)) == [
        ("a:1", "a:1", 0, 3),
        ("a:1", "u:x", 3, NEVER),
        ("a:2", "a:2", 0, 5),
        ("a:2", "u:x", 8, NEVER),
        ("a:2", "u:y", 5, 8),
        ("a:3", "a:3", 0, 9),
        ("a:3", "u:x", 9, NEVER),
        ("u:y", "u:x", 8, NEVER),
        ("u:y", "u:y", 0, 8),
    ]


def views(*items: str) -> list[Any]:
    """Return the rows of one view of each item, one after the other, by as many people; the last is sold."""
    return [
        row_of(
            Event(
                type="track",
                name="Sold" if place == len(items) else "Seen",
                message_id=f"m{place}",
                time=START,
                received=START,
                user_id=f"u{place}",
                properties={"product_id": item},
            ),
            offset=place,
            data_key=1,
            imported=False,
            person=f"u:u{place}",
            joined=None,
        )
        for place, item in enumerate(items, 1)
    ]


def seen_brands(brand: str, goods: Goods, *items: str) -> tuple[str, ...]:
    events, asked = Events((), views(*items), {}, goods), parse(f'performed("Seen" where item.brand = "{brand}")')
    return members(asked, START, events, ArchiveSettings(query_mib=256), Rules(), threads=1).sample


BRANDS = Goods((("a", 0, '{"brand":"x"}'), ("a", 3, '{"brand":"y"}'), ("b", 2, '{"brand":"x"}'), ("b", 4, None)))


def test_an_event_speaks_of_items_as_they_were_at_its_place_of_the_log() -> None:
    assert seen_brands("x", BRANDS, "a", "b", "a", "b", "c") == ("u:u1", "u:u2")
    assert seen_brands("y", BRANDS, "a", "b", "a", "b", "c") == ("u:u3",)


def test_what_nothing_tells_of_an_item_is_refused_and_no_more() -> None:
    doubtful = Goods(BRANDS.versions, (("a", 0), ("b", 1), (ALL_OTHERS, 2)))
    assert seen_brands("y", doubtful, "a", "b", "a", "c", "c") == ("u:u3",)
    with pytest.raises(NotInSql, match="of 'b' at offset 1"):
        seen_brands("y", doubtful, "b", "a", "a", "c")
    with pytest.raises(NotInSql, match="of 'c' at offset 2"):
        seen_brands("y", doubtful, "a", "c", "a", "c")
    assert seen_brands("y", doubtful, "a", "c") == (), "of what was sold nobody asks"
    with pytest.raises(NotInSql, match="of 'a' at offset 2"):
        seen_brands("y", Events((), (), {}).goods, "a", "a", "a")


def test_a_grade_is_missing_where_there_are_no_borders_or_no_figure() -> None:
    said = ({"n": 3, "m": 9}, {"n": 3}, {"n": "3", "m": 9})
    grades = [Grade(Path(f"traits.{name}"), (1.0, 2.0, 3.0, 4.0), falling=name == "n") for name in ("n", "m", "m")]
    worked = Worked("computed.x", Rfm(*grades, read="code"))
    assert found(Compare(worked, "=", "355"), *said).sample == ("u:u0",)
    cell = Worked("computed.x.cell", Rfm(*grades, read="cell"))
    assert found(Compare(cell, "=", "loyal"), *said).sample == ("u:u0",)
    assert found(Compare(Worked("computed.x", Grade(Path("traits.n"), ())), "!=", 1), *said).size == 3
