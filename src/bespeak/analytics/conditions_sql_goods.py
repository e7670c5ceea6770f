"""What the catalog had of items at each place of the log, as relations: for filters on items, and for interests.

`goods`: each version of an item, as JSON, from one offset on; NULL where it was taken out of the catalog. `mentioned`
(view `goods_mentioned`): each item that an event speaks of, as the catalog had it then. `spoken` (view `goods_spoken`):
all that the catalog knew of the items of an event. `doubtful`: up to which offset nothing tells what an item was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from bespeak.clock import NEVER
from bespeak.events.vocabulary import ITEM_WEIGHTS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from bespeak.analytics.conditions_sql_values import Bound

_AT_ONCE = 2_000

ALL_OTHERS: Final = ""
"""Stands for every item that is not named; no item has this id."""

GOODS: Final = {"mentioned": "goods_mentioned", "spoken": "goods_spoken"}
"""The views of items, by the names under which a question reads each once."""


class Goods(msgspec.Struct, frozen=True):
    """The catalog at every place of the log.

    Parameters
    ----------
    versions
        Of an item, from which offset on, and what filters can read of it, as JSON; None where it was taken out.
    doubtful
        Of an item (`ALL_OTHERS`: of all that are not named here) up to which offset nothing tells what it was.
    """

    versions: Sequence[tuple[str, int, str | None]] = ()
    doubtful: Sequence[tuple[str, int]] = ()


UNKNOWN: Final = Goods(doubtful=((ALL_OTHERS, NEVER),))
"""Where nobody has looked what the catalog had."""


def stock(connection: DuckDBPyConnection, goods: Goods) -> None:
    """Make the relations of items; the connection has the view `events`."""
    connection.execute("CREATE TEMP TABLE goods (item VARCHAR, since BIGINT, said JSON)")
    _insert(connection, "goods", "g[1], CAST(g[2] AS BIGINT), CAST(g[3] AS JSON)", goods.versions)
    connection.execute("CREATE TEMP TABLE doubtful (item VARCHAR, until BIGINT)")
    _insert(connection, "doubtful", "g[1], CAST(g[2] AS BIGINT)", goods.doubtful)
    connection.execute(_MENTIONED)
    connection.execute(_SPOKEN)


def _insert(connection: DuckDBPyConnection, table: str, columns: str, rows: Sequence[object]) -> None:
    for start in range(0, len(rows), _AT_ONCE):
        body = msgspec.json.encode(rows[start : start + _AT_ONCE]).decode()
        connection.execute(
            f"INSERT INTO {table} SELECT {columns} FROM (SELECT unnest(from_json(?, '[[\"VARCHAR\"]]')) AS g)",  # noqa: S608 - our own names
            [body],
        )


_MENTIONED: Final = """
CREATE TEMP VIEW goods_mentioned AS
SELECT m.log_offset, m.item, m.several, g.said
FROM (SELECT log_offset, len(items) AS several, unnest(items) AS item FROM events WHERE len(items) > 0) m
ASOF LEFT JOIN goods g ON m.item = g.item AND m.log_offset >= g.since
"""
_SPOKEN: Final = """
CREATE TEMP VIEW goods_spoken AS
SELECT log_offset, list(said) AS goods FROM goods_mentioned WHERE said IS NOT NULL GROUP BY log_offset
"""

_ASKED = "g.goods"


def read_items(parts: Sequence[str], bound: Bound) -> str:
    """Return SQL of what stands at a path of the items of the event `e`, as JSON; `items_of` joins them."""
    return f"said_by_items({_ASKED}, {bound.path(parts)})"


def items_of(meant: str, bound: Bound, *written: str) -> str:
    """Return what is joined to the event `e` so that its items are known; nothing where nobody asks for them.

    Parameters
    ----------
    meant
        SQL that is true of the events whose items are asked for.
    written
        What was written with `read_items`, or without.
    """
    if not any(_ASKED in one for one in written):
        return ""
    bound.of_items.append(meant)
    return " LEFT JOIN spoken g ON g.log_offset = e.log_offset"


def doubts(of_items: Sequence[str]) -> str:
    """Return the question for an item, and an event that speaks of it, of which nothing tells what it was then."""
    return (
        "SELECT m.item, m.log_offset FROM goods_mentioned m JOIN heard e ON e.log_offset = m.log_offset"  # noqa: S608 - values are bound
        " LEFT JOIN doubtful d ON d.item = m.item"
        f" LEFT JOIN (SELECT until FROM doubtful WHERE item = '{ALL_OTHERS}') o ON true"
        f" WHERE ({' OR '.join(dict.fromkeys(of_items))}) AND m.log_offset <= coalesce(d.until, o.until, 0)"
        " ORDER BY m.log_offset DESC, m.item LIMIT 1"
    )


def interest(kind: str, name: str, bound: Bound) -> str:
    """Return the query of how strong people's interest in a category or a tag is now: `v`, a number.

    An event speaks for the categories and the tags of its items; where the catalog does not know its one item, for the
    category that it names itself.

    Parameters
    ----------
    kind
        `category` or `tag`.
    """
    weights = " ".join(
        f"WHEN {bound(event)} THEN CAST({bound(weight)} AS DOUBLE)" for event, weight in ITEM_WEIGHTS.items()
    )
    named, field = bound(name), {"category": "$.categories", "tag": "$.tags"}[kind]
    known = f"len(list_filter(from_json(json_extract(m.said, '{field}'), '[\"VARCHAR\"]'), lambda one: one = {named}))"
    said = f"m.several = 1 AND left(text_of(json_extract(d.properties, '$.category')), 100) = {named}"
    else_said = f"CASE WHEN {said} THEN 1 ELSE 0 END" if kind == "category" else "0"
    meant = f"list_contains({bound(list(ITEM_WEIGHTS))}, {{}}.name)"
    bound.of_items.append(meant.format("e"))
    spoke = (
        f"SELECT d.person, d.happened - $at AS age, CAST(s.halflife AS DOUBLE) AS halflife, CASE d.name {weights} END"  # noqa: S608 - values are bound
        f" * CASE WHEN m.said IS NOT NULL THEN {known} ELSE {else_said} END AS weight"
        f" FROM did d JOIN mentioned m ON m.log_offset = d.log_offset CROSS JOIN setting s WHERE {meant.format('d')}"
    )
    worth = "fsum(weight * pow(2.0, age / halflife))"
    return f"SELECT person, {worth} AS v FROM ({spoke}) WHERE weight > 0 GROUP BY person"  # noqa: S608
