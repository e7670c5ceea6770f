"""A question reads the events and nothing else, within its bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bespeak.analytics import Answer, ArchiveSettings, Table, ask, row_of
from bespeak.analytics.parquet import memory_file
from bespeak.errors import InvalidInput
from bespeak.events import Event

LIMITS = ArchiveSettings(query_mib=256, query_rows=5)


def rows(first: int = 1, last: int = 10, person: str = "a:d") -> list[tuple[Any, ...]]:
    return [
        row_of(
            Event(type="track", name="Seen", message_id=f"m{place}", time=place, received=place, anonymous_id="d"),
            offset=place,
            data_key=1,
            imported=False,
            person=person,
            joined=None,
        )
        for place in range(first, last + 1)
    ]


def asked(sql: str, limits: ArchiveSettings = LIMITS, aliases: dict[str, str] | None = None) -> Answer:
    return ask(sql, (), rows(), aliases or {}, limits)


def test_the_answer_has_names_types_and_rows() -> None:
    answer = asked("SELECT name, count(*) AS n FROM events GROUP BY name")
    assert (answer.columns, answer.types, answer.rows, answer.more) == (
        ("name", "n"),
        ("VARCHAR", "BIGINT"),
        (("Seen", 10),),
        False,
    )


def test_an_answer_ends_at_its_bound_and_says_so() -> None:
    answer = asked("SELECT log_offset FROM events ORDER BY 1")
    assert ([one[0] for one in answer.rows], answer.more) == ([1, 2, 3, 4, 5], True)
    assert asked("SELECT log_offset FROM events LIMIT 5").more is False


def test_files_and_tail_are_one_view() -> None:
    with Table(mib=256) as table, memory_file("one") as file:
        for one in rows(1, 4):
            table.add(one)
        table.write(file)
        answer = ask("SELECT count(*), sum(log_offset) FROM events", (file,), rows(5, 10), {}, LIMITS)
    assert answer.rows == ((10, 55),)


def test_a_person_is_whom_an_id_means_by_now() -> None:
    aliases = {"a:d": "u:ann", "a:other": "u:bob"}
    assert asked("SELECT DISTINCT person FROM events", aliases=aliases).rows == (("u:ann",),)
    assert asked("SELECT * FROM aliases ORDER BY 1", aliases=aliases).rows == (("a:d", "u:ann"), ("a:other", "u:bob"))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "COPY events TO 'out.csv'",
        "ATTACH 'other.db'",
        "SET memory_limit = '100GB'",
        "PRAGMA version",
        "INSTALL httpfs",
        "DROP VIEW events",
        "CREATE TABLE t AS SELECT 1",
        "DELETE FROM recent",
        "SELECT 1; DROP VIEW events",
        "SELECT 1; SELECT 2",
        "",
        "SELECT FROM WHERE",
        "SELECT * FROM nowhere",
        "SELECT LIMITS",
    ],
)
def test_what_does_more_than_read_the_events_is_refused(
    sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput):
        asked(sql)
    assert list(tmp_path.iterdir()) == []


def test_a_question_that_takes_too_long_is_ended() -> None:
    with pytest.raises(InvalidInput, match=r"longer than archive\.query_seconds"):
        asked(
            "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b",
            ArchiveSettings(query_seconds=0.1),
        )


def test_a_question_that_needs_too_much_memory_fails_and_nothing_is_spilled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match=r"more than archive\.query_mib"):
        asked("SELECT range, random() AS r FROM range(60000000) ORDER BY r", ArchiveSettings(query_mib=64))
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    "name,value",
    [("minutes", -1), ("rows", 99), ("mib", 0), ("cpu_share", 0), ("keep_days", -1), ("query_mib", 63)],
)
def test_a_setting_outside_its_range_is_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"archive\.{name} must be"):
        ArchiveSettings(**{name: value})
