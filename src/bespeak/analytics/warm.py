"""Events held in memory for questions about conditions: narrow, in a good order, and followed as the log grows.

The views that `conditions_sql_people` makes over files are tables here: whether an event was late is judged once,
people are numbers, and what conditions read of properties has columns of its own. So a question reads only what it asks
about. Nothing is on any disk, and nothing is ever spilled there.

Events come in chunks, in the order of the log. Within a chunk those of one name stand together, so that a question
about that name passes over the rest; and a question about the last days passes over the chunks of before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from bespeak.analytics.conditions_sql import Query, Rules
from bespeak.analytics.conditions_sql_people import DOES_SPEAK, IS_SILENT, OWN_ID, SAID, WORKED_OUT, settle
from bespeak.analytics.conditions_sql_values import Kept
from bespeak.analytics.conditions_sql_words import teach
from bespeak.analytics.lateness import NOBODY, Lateness, Meanings, Seen
from bespeak.analytics.parquet import Table, connect, path_of, quoted
from bespeak.analytics.query import answerable, limited
from bespeak.analytics.rows import Row
from bespeak.analytics.settings import ArchiveSettings
from bespeak.ids import ProfileId

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

KEPT_MAX: Final = 16
"""Paths into properties that have columns of their own; beyond it, those go that were not asked for lately."""

LOOSE_MAX: Final = 200_000
"""Events that may have come before all are pressed together once more."""

_AT_ONCE = 20_000
_FEW = 5
"""Beyond this part of everybody, what is worked out of all that people did is worked out anew for all."""
_RECENT = "recent"

_HEARD: Final = (
    "log_offset",
    "happened",
    "type",
    "name",
    "message_id",
    "source",
    "group_id",
    "time_zone",
    "mentions",
    "properties",
    "context",
    "tells",
    "silent",
)
"""What stands in a chunk and is kept of it, beside whose it is and whether it was late."""
_DID: Final = ", ".join(("person", "late", *_HEARD))

_HEARD_TABLE: Final = """
CREATE TABLE heard (person INTEGER, late BOOLEAN, log_offset BIGINT, happened BIGINT, type VARCHAR, name VARCHAR,
    message_id VARCHAR, source VARCHAR, group_id VARCHAR, time_zone VARCHAR, mentions BIGINT, properties VARCHAR,
    context VARCHAR, tells BOOLEAN, silent BOOLEAN)
"""
_TABLES: Final = (
    "CREATE TABLE ids (id VARCHAR, number INTEGER)",
    "CREATE TABLE persons (person INTEGER, id VARCHAR)",
    _HEARD_TABLE,
    "CREATE TABLE touched (person INTEGER)",
    "CREATE TEMP VIEW everybody AS SELECT person, id FROM persons",
    "CREATE TEMP VIEW everybody_touched AS SELECT person, id FROM persons SEMI JOIN touched USING (person)",
    f"CREATE TEMP VIEW did AS SELECT {_DID} FROM heard WHERE NOT late AND NOT silent",  # noqa: S608 - our own names
    f"CREATE TEMP VIEW did_touched AS SELECT {_DID} FROM did SEMI JOIN touched USING (person)",  # noqa: S608
)


class WarmEvents:
    """Events in a DuckDB in memory; close it in the end.

    What it was given may be half taken in after an error: then it is of no use any more.

    Parameters
    ----------
    mib
        RAM that DuckDB may take for events and questions together. Ids and what lateness needs come on top: some 300
        bytes for each.
    """

    def __init__(self, rules: Rules, *, mib: int, threads: int = 2) -> None:
        self._connection = connect(threads=threads, mib=mib)
        self._mib = mib
        self._lateness = Lateness(rules.profiles.delay)
        self._who = Meanings()
        self._numbers = 0
        self._loose = 0
        self._worked_out: set[str] = set()
        self._kept: dict[str, Kept] = {}
        self.events = 0
        teach(self._connection)
        settle(self._connection, rules.profiles, rules.identity)
        for statement in _TABLES:
            self._connection.execute(statement)

    def close(self) -> None:
        """Let go of everything."""
        self._connection.close()

    @property
    def held_mib(self) -> float:
        """RAM that DuckDB holds, MiB."""
        return self._number("SELECT sum(memory_usage_bytes) FROM duckdb_memory()") / 2**20

    # -- taking in

    def mean(self, aliases: Mapping[ProfileId, ProfileId]) -> None:
        """Take in which profile ids mean another; each of those means itself."""
        self._connection.execute("CREATE OR REPLACE TEMP TABLE pairs (alias VARCHAR, person VARCHAR)")
        _put(self._connection, "pairs", "VARCHAR", list(aliases.items()))
        self._number_all("SELECT alias AS id FROM pairs UNION ALL SELECT person FROM pairs")
        found = self._connection.execute(
            "SELECT a.number, p.number FROM pairs JOIN ids a ON a.id = pairs.alias JOIN ids p ON p.id = pairs.person"
        )
        for alias, person in found.fetchall():
            if alias != person:
                self._who.join(alias, person)
        self._connection.execute("DROP TABLE pairs")

    def add_files(self, files: Sequence[int], *, merged: int) -> None:
        """Take in the events of Parquet files in memory, which come behind those before. Parameters as `add_rows`."""
        paths = ", ".join(quoted(path_of(one)) for one in files)
        self._add(f"read_parquet([{paths}])", merged)

    def add_rows(self, rows: Iterable[Row], *, merged: int) -> None:
        """Take in events that come behind those before.

        Parameters
        ----------
        merged
            The offset up to which merges are in the aliases that were given; those of later events are taken in.
        """
        recent = Table(connection=self._connection, name=_RECENT)
        for row in rows:
            recent.add(row)
        recent.flush()
        try:
            if recent.rows:
                self._add(_RECENT, merged)
        finally:
            self._connection.execute(f"DROP TABLE {_RECENT}")

    def _add(self, source: str, merged: int) -> None:
        self._connection.execute(_CHUNK.format(source=source))
        self._number_all(_IDS_OF_CHUNK)
        self._connection.execute(
            "CREATE OR REPLACE TEMP TABLE met AS SELECT id, number FROM ids SEMI JOIN fresh USING (id)"
        )
        self._judge(merged)
        self._move()
        self._connection.execute(_SETTLED)
        kept = "".join(f", {_extract('c', one)} AS {name}" for name, one in self._kept.items())
        self._connection.execute(_TAKEN.format(kept=kept))
        self._connection.execute(_PERSONS)
        self._connection.execute("DROP TABLE chunk")
        added = self._number("SELECT count(*) FROM settled")
        self.events += added
        self._loose += added
        if self._loose >= LOOSE_MAX:
            self._press()
        if self._worked_out:
            self._connection.execute(_TOUCH)

    def _number_all(self, query: str) -> None:
        """Give a number to each id of the column `id` of a query that has none yet."""
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE fresh AS SELECT DISTINCT id FROM ({query})")  # noqa: S608
        self._connection.execute(
            f"INSERT INTO ids SELECT id, {self._numbers - 1} + row_number() OVER ()"  # noqa: S608 - a number
            " FROM (SELECT id FROM fresh WHERE id IS NOT NULL) ANTI JOIN ids USING (id)"
        )
        self._numbers = self._number("SELECT count(*) FROM ids")
        self._lateness.grow(self._numbers)
        self._who.grow(self._numbers)

    def _judge(self, merged: int) -> None:
        """Judge the events of the chunk, take in its merges, and say whose its events are by now."""
        found = cast("dict[str, Any]", self._connection.execute(_ASKED).fetchnumpy())
        columns: dict[str, list[int]] = {name: values.tolist() for name, values in found.items()}
        names = ("log_offset", "happened", "own", "joined", "taker", "silent", "speaks")
        seen = cast("Iterator[Seen]", zip(*(columns[name] for name in names), strict=True))
        judged = list(self._lateness.judge(seen))
        moved: set[int] = set()
        for offset, joined, person in zip(columns["log_offset"], columns["joined"], columns["person"], strict=True):
            if joined != NOBODY and offset > merged:
                one, into = self._who.of(joined), self._who.of(person)
                if one != into:
                    self._who.join(one, into)
                    moved.add(one)
        people = {number: self._who.of(number) for number in dict.fromkeys(columns["person"])}
        self._replace("judged", "log_offset BIGINT, late BOOLEAN, unheard BOOLEAN", judged)
        self._replace("moves", "number INTEGER, person INTEGER", [(one, self._who.of(one)) for one in sorted(moved)])
        others = [pair for pair in people.items() if pair[0] != pair[1]]
        self._replace("means", "number INTEGER, person INTEGER", others)

    def _move(self) -> None:
        """Let what was taken in before be of whoever its people are by now."""
        if not self._number("SELECT count(*) FROM moves"):
            return
        self._connection.execute("UPDATE heard SET person = m.person FROM moves m WHERE heard.person = m.number")
        self._connection.execute(
            "INSERT INTO persons SELECT DISTINCT m.person, i.id FROM moves m JOIN persons p ON p.person = m.number"
            " JOIN ids i ON i.number = m.person WHERE m.person NOT IN (SELECT person FROM persons)"
        )
        self._connection.execute("DELETE FROM persons WHERE person IN (SELECT number FROM moves)")

    # -- asking

    def ask(self, query: Query, limits: ArchiveSettings) -> tuple[Any, ...]:
        """Return the one row that a question has for an answer.

        Raises
        ------
        InvalidInput
            It takes longer than `archive.query_seconds`, needs more memory than is left beside the events, or has no
            answer. The next question is answered as ever.
        """
        memory = f"archive.preview_mib ({self._mib:,} MiB) leaves beside the events"
        with answerable(limits, memory=memory), limited(self._connection, limits, memory=memory):
            self.keep(query.kept)
            self._work_out([name for name in WORKED_OUT if name in query.text])
            return self._connection.execute(query.text, query.parameters).fetchone() or ()

    def keep(self, wanted: Iterable[Kept]) -> None:
        """Give columns of their own to paths that have none; the first time this reads what all events say."""
        held = len(self._kept)
        for one in wanted:
            name = one.column
            if name in self._kept:
                self._kept[name] = self._kept.pop(name)  # it was asked for last
                continue
            said = f"json_extract({one.root}, {quoted(one.path)})"
            self._connection.execute(f"ALTER TABLE heard ADD COLUMN {name} JSON")
            try:
                self._connection.execute(f"ALTER TABLE heard ALTER COLUMN {name} SET DATA TYPE JSON USING {said}")
            except BaseException:
                self._connection.execute(f"ALTER TABLE heard DROP COLUMN {name}")
                raise
            self._kept[name] = one
        if len(self._kept) > held:
            self._press()
        for name in list(self._kept)[: max(0, len(self._kept) - KEPT_MAX)]:
            del self._kept[name]
            self._connection.execute(f"ALTER TABLE heard DROP COLUMN {name}")

    def _work_out(self, names: Sequence[str]) -> None:
        """Make tables of what is worked out of everything that people did, or bring those there are up to what came."""
        try:
            if touched := self._number("SELECT count(DISTINCT person) FROM touched"):
                if touched * _FEW > self._number("SELECT count(*) FROM persons"):
                    self._worked_out.clear()
                for name in self._worked_out:
                    self._connection.execute(f"DELETE FROM {name} WHERE person IN (SELECT person FROM touched)")  # noqa: S608
                    self._connection.execute(f"INSERT INTO {name} {_OF_TOUCHED[name]}")
                self._connection.execute("DELETE FROM touched")
            for name in names:
                if name not in self._worked_out:
                    self._connection.execute(f"CREATE OR REPLACE TABLE {name} AS {WORKED_OUT[name]}")
                    self._worked_out.add(name)
        except BaseException:
            self._worked_out.clear()  # what was given up half-way is made anew
            raise

    def _press(self) -> None:
        """Let what is held take less RAM: a fraction of it, where events resemble each other."""
        self._connection.execute("CHECKPOINT")
        self._loose = 0

    def _number(self, query: str) -> int:
        found = self._connection.execute(query).fetchone()
        return int(found[0] or 0) if found else 0

    def _replace(self, name: str, columns: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Make a small table anew, of whole numbers and flags."""
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} ({columns})")
        _put(self._connection, name, "BIGINT", [tuple(map(int, row)) for row in rows])


_SPEAKS = DOES_SPEAK.replace("{", "{{").replace("}", "}}")
_CHUNK: Final = (
    "CREATE OR REPLACE TEMP TABLE chunk AS SELECT e.person, e.joined,"  # noqa: S608 - our own text
    " CASE WHEN e.joined IS NOT NULL AND e.user_id IS NOT NULL THEN 'u:' || e.user_id END AS taker,"
    f" CASE WHEN e.data_key = 0 THEN e.person ELSE coalesce({OWN_ID}, e.person) END AS own,"
    f" {IS_SILENT} AS silent, {_SPEAKS} AS speaks, {SAID}"
    " FROM {source} e, setting s WHERE e.person <> ''"
)
_IDS_OF_CHUNK: Final = (
    "SELECT person AS id FROM chunk UNION ALL SELECT own FROM chunk"
    " UNION ALL SELECT joined FROM chunk UNION ALL SELECT taker FROM chunk"
)
_ASKED: Final = f"""
SELECT c.log_offset, c.happened, w.number AS person, o.number AS own,
    coalesce(j.number, {NOBODY}) AS joined, coalesce(t.number, {NOBODY}) AS taker,
    coalesce(c.silent, false) AS silent, coalesce(c.speaks, false) AS speaks
FROM chunk c JOIN met w ON w.id = c.person JOIN met o ON o.id = c.own
    LEFT JOIN met j ON j.id = c.joined LEFT JOIN met t ON t.id = c.taker
ORDER BY c.log_offset
"""  # noqa: S608 - our own text
_SETTLED: Final = """
CREATE OR REPLACE TEMP TABLE settled AS
SELECT c.log_offset, coalesce(m.person, w.number) AS person, coalesce(j.late, false) AS late
FROM chunk c JOIN met w ON w.id = c.person LEFT JOIN means m ON m.number = w.number
    LEFT JOIN judged j ON j.log_offset = c.log_offset
WHERE NOT coalesce(j.unheard, false)
"""
_TAKEN: Final = (
    "INSERT INTO heard BY NAME SELECT s.person, s.late, "  # noqa: S608 - our own names
    f"{', '.join(f'c.{name}' for name in _HEARD)}{{kept}}"
    " FROM chunk c JOIN settled s ON s.log_offset = c.log_offset ORDER BY c.name, s.person, c.happened"
)
_PERSONS: Final = """
INSERT INTO persons SELECT s.person, i.id FROM (SELECT DISTINCT person FROM settled) s
    JOIN ids i ON i.number = s.person WHERE s.person NOT IN (SELECT person FROM persons)
"""

_TOUCH: Final = """
INSERT INTO touched SELECT DISTINCT person FROM settled
    UNION ALL SELECT number FROM moves UNION ALL SELECT person FROM moves
"""
_OF_TOUCHED: Final = {name: re.sub(r"\b(did|everybody)\b", r"\1_touched", text) for name, text in WORKED_OUT.items()}
"""The queries of what is worked out, for those alone of whom something came."""


def _extract(of: str, kept: Kept) -> str:
    """Return SQL of what stands at a path of what an event says."""
    return f"json_extract({of}.{kept.root}, {quoted(kept.path)})"


def _put(connection: DuckDBPyConnection, table: str, kind: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add rows, each of values of one kind, to a table of two or three columns."""
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        parts = ", ".join(f"r[{place}]" for place in range(1, len(some[0]) + 1))
        connection.execute(
            f"INSERT INTO {table} SELECT {parts} FROM (SELECT unnest(from_json(?, '[[\"{kind}\"]]')) AS r)",  # noqa: S608
            [msgspec.json.encode(some).decode()],
        )
