"""The three witnesses say where they differ, and a table of steps says which step is not as it is written."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from bespeak.clock import MINUTE, format_time, parse_time
from bespeak.testing import three_way
from bespeak.testing.steps import Missed, Step, Table, live_through, read_table
from bespeak.testing.three_way import Disagreement, ThreeWays, check_three_ways

NOW = parse_time("2026-03-10T12:00:00Z")
SEGMENTS = {"keen": 'count("View", last 10 minutes) >= 2', "starry": 'traits."*" = 1', "all": "true"}
VIEWS = [
    {"type": "track", "event": "View", "userId": who, "messageId": f"m{n}", "timestamp": format_time(NOW - n * MINUTE)}
    for n, who in enumerate(("ann", "ann", "bob"))
]


def test_they_agree_on_who_is_in_what() -> None:
    found = check_three_ways(VIEWS, SEGMENTS, NOW)
    assert found == {"u:ann": frozenset({"keen", "all"}), "u:bob": frozenset({"all"})}


@pytest.mark.parametrize(
    "liar, told",
    [("sql", "live in naive in SQL out"), ("live", "live out naive in SQL in"), ("naive", "live in naive out SQL in")],
)
def test_whoever_says_something_else_is_named(liar: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, living, counted = ThreeWays.sql, ThreeWays.live, three_way.members

    def without(found: three_way.Memberships) -> three_way.Memberships:
        return {name: held - {"keen"} for name, held in found.items()}

    if liar == "sql":
        monkeypatch.setattr(ThreeWays, "sql", lambda ways, at: without(asked(ways, at)))
    elif liar == "live":
        monkeypatch.setattr(ThreeWays, "live", lambda ways, at: (without(living(ways, at)[0]), living(ways, at)[1]))
    else:
        monkeypatch.setattr(three_way, "members", lambda *arguments: counted(*arguments) - {"keen"})
    with pytest.raises(Disagreement, match=f"u:ann, keen: {told}"):
        check_three_ways(VIEWS, SEGMENTS, NOW)


def test_somebody_whom_not_all_know_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ThreeWays.sql
    monkeypatch.setattr(ThreeWays, "sql", lambda ways, at: {k: v for k, v in asked(ways, at).items() if k != "u:bob"})
    with pytest.raises(Disagreement, match="u:bob is not known to all: True, True, False"):
        check_three_ways(VIEWS, SEGMENTS, NOW)


def test_what_sql_does_not_answer_is_asked_of_the_others_only() -> None:
    async def lived() -> None:
        ways = await ThreeWays.begun(SEGMENTS, NOW)
        await ways.send([{**VIEWS[0], "context": {"traits": {"*": 1}}}])
        assert ways.unanswered == {"starry"}
        assert ways.agreed() == {"u:ann": frozenset({"all", "starry"})}
        await ways.close()

    asyncio.run(lived())


def table(*steps: Step, not_in_sql: frozenset[str] = frozenset()) -> Table:
    segments = SEGMENTS if not_in_sql else {"keen": SEGMENTS["keen"]}
    return Table(about="", begins="2026-03-10T12:00:00Z", segments=segments, not_in_sql=not_in_sql, steps=steps)


VIEW = Step(who="ann", does="View")


@pytest.mark.parametrize(
    "wrong, words",
    [
        (table(VIEW, VIEW), r"step 2 .*u:ann: expected in nothing, found in keen"),
        (table(VIEW, msgspec.structs.replace(VIEW, enters={"ann": ["keen"]}), Step(wait="11 minutes")), "step 3"),
        (table(msgspec.structs.replace(VIEW, leaves={"ann": ["keen"]})), "step 1 of the table: ann is not in all of"),
        (table(msgspec.structs.replace(VIEW, enters={"ann": ["new"]})), "step 1 of the table: .* no such segment"),
        (table(VIEW, not_in_sql=frozenset({"starry", "keen"})), r"not_in_sql: expected .*, found \['starry'\]"),
        (table(Step(device="d", does="")), "step 1: expected the message to be ok"),
    ],
)
def test_a_table_that_is_not_so_is_missed_at_its_step(wrong: Table, words: str) -> None:
    with pytest.raises(Missed, match=words):
        asyncio.run(live_through(wrong))


def test_a_table_that_is_so_passes() -> None:
    steps = (
        VIEW,
        Step(again=1),
        Step(who="ann", does="View", ago="1 minute", enters={"ann": ["keen"]}),
        Step(until="2026-03-10T12:09:00Z", leaves={"ann": ["keen"]}),
    )
    asyncio.run(live_through(table(*steps)))


def test_what_a_table_does_not_have_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("{about: a, begins: b, segments: {}, steps: [{who: ann, dose: View}]}")
    with pytest.raises(msgspec.ValidationError, match=r"unknown field `dose` - at `\$.steps\[0\]`"):
        read_table(path)
