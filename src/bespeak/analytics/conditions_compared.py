"""Conditions beside each other, asked of SQL in one go: how many hold each, how many of one hold another, and who.

So a condition can be tried before it is defined, and a change seen before it is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from bespeak.analytics.conditions_sql import (
    NOTHING,
    Events,
    Members,
    Query,
    Rules,
    most_named,
    open_to_conditions,
    refuse_doubtful,
    sql_of_all,
)
from bespeak.analytics.conditions_sql_goods import Goods
from bespeak.analytics.parquet import connect
from bespeak.analytics.query import answerable, limited, view
from bespeak.analytics.settings import ArchiveSettings
from bespeak.clock import Instant
from bespeak.conditions import Condition
from bespeak.ids import ProfileId

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

THREADS = 2


class Overlap(msgspec.Struct, frozen=True):
    """How many hold a condition, and how many of them hold the first one, too."""

    size: int
    both: int


class Beside(msgspec.Struct, frozen=True):
    """A condition beside others, at an instant.

    Parameters
    ----------
    people
        Everybody.
    members
        Those who hold it.
    others
        For each of the others how many hold it, and how many hold both.
    """

    people: int
    members: Members
    others: dict[str, Overlap]


class Difference(msgspec.Struct, frozen=True):
    """Who would hold the new one of two conditions and does not hold the old one, and the other way round."""

    people: int
    old: int
    new: int
    stay: int
    enter: Members
    leave: Members


def beside(
    condition: Condition,
    others: Mapping[str, Condition],
    at: Instant,
    events: Events,
    limits: ArchiveSettings,
    rules: Rules,
    *,
    segments: Mapping[str, Condition] = NOTHING,
    most: int = 20,
) -> Beside:
    """Ask who holds a condition, and how many of them hold each of others.

    Parameters
    ----------
    others
        By any names.
    segments, most
        As `members`.

    Raises
    ------
    NotInSql, InvalidInput
        As `members`, of any of the conditions.
    """
    most = most_named(most)
    query = sql_of_all({"": condition, **{f"o{name}": one for name, one in others.items()}}, at, segments=segments)
    with answerable(limits), closing(connect(threads=THREADS, mib=limits.query_mib)) as connection:
        view(connection, events.files, events.tail, events.aliases)
        with limited(connection, limits):
            _ask(connection, rules, query, events.goods)
            people, counts = _number(connection, "true"), _counts(connection, "true")
            both = _counts(connection, _HOLDS.format(0))
            found = _members(connection, _HOLDS.format(0), most)
    overlaps = {name: Overlap(counts.get(place, 0), both.get(place, 0)) for place, name in enumerate(others, 1)}
    return Beside(people, found, overlaps)


def difference(
    old: Condition,
    new: Condition,
    at: Instant,
    events: Events,
    limits: ArchiveSettings,
    rules: Rules,
    *,
    segments: Mapping[str, Condition] = NOTHING,
    most: int = 20,
) -> Difference:
    """Ask who holds one of two conditions and not the other. Parameters and errors are those of `beside`."""
    most = most_named(most)
    query = sql_of_all({"old": old, "new": new}, at, segments=segments)
    with answerable(limits), closing(connect(threads=THREADS, mib=limits.query_mib)) as connection:
        view(connection, events.files, events.tail, events.aliases)
        with limited(connection, limits):
            _ask(connection, rules, query, events.goods)
            people, counts = _number(connection, "true"), _counts(connection, "true")
            stay = _number(connection, f"{_HOLDS.format(0)} AND {_HOLDS.format(1)}")
            enter = _members(connection, f"{_HOLDS.format(1)} AND NOT {_HOLDS.format(0)}", most)
            leave = _members(connection, f"{_HOLDS.format(0)} AND NOT {_HOLDS.format(1)}", most)
    return Difference(people, counts.get(0, 0), counts.get(1, 0), stay, enter, leave)


_HOLDS = "list_contains(held, {})"


def _ask(connection: DuckDBPyConnection, rules: Rules, query: Query, goods: Goods) -> None:
    open_to_conditions(connection, rules, goods)
    refuse_doubtful(connection, query)
    connection.execute(f"CREATE TEMP TABLE asked AS {query.text}", query.parameters)


def _number(connection: DuckDBPyConnection, where: str) -> int:
    found = connection.execute(f"SELECT count(*) FROM asked WHERE {where}").fetchone()  # noqa: S608  our own words
    return 0 if found is None else int(found[0])


def _counts(connection: DuckDBPyConnection, where: str) -> dict[int, int]:
    """Return how many hold each condition, by its place."""
    query = f"SELECT place, count(*) FROM (SELECT unnest(held) AS place FROM asked WHERE {where}) GROUP BY place"  # noqa: S608
    return {int(place): int(count) for place, count in connection.execute(query).fetchall()}


def _members(connection: DuckDBPyConnection, where: str, most: int) -> Members:
    query = f"SELECT count(*), min(person, {most}) FROM asked WHERE {where}"  # noqa: S608
    size, sample = connection.execute(query).fetchone() or (0, ())
    named: tuple[ProfileId, ...] = tuple(sample or ())
    return Members(int(size), named)
