"""A condition as one question of SQL over the events: who holds it at an instant.

A visitor beside the one that compiles: it shares the tree with it and the words for folding, dates and versions, but no
state and no order of arrival. It reads the archive and the log behind it as `query.view` offers them, and answers for
definitions that nobody has counted yet.

What it counts, it counts exactly, however much there is; live, beyond 1,000 events in one window, a figure says that it
is approximate. (Of orders less their refunds it takes the newest 1,000 of either, too.)

What events do not say themselves is handed in beside them: what the catalog had of items when they came (`Goods`), and,
in the tree, the borders by which figures are graded.

Examples
--------
>>> from bespeak.conditions import parse
>>> asked = sql_of(parse('count("Product Viewed", last 7 days) >= 3'), at=0)
>>> sorted(asked.parameters.items())
[('at', 0), ('p1', 'Product Viewed'), ('p2', 604800000000), ('p3', 3.0)]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as Several
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, assert_never, cast

import msgspec

from bespeak.analytics.conditions_sql_counts import counted, has_been, last_performed, sequence
from bespeak.analytics.conditions_sql_goods import GOODS, UNKNOWN, Goods, doubts, interest, stock
from bespeak.analytics.conditions_sql_people import PEOPLE, prepare, trait_of
from bespeak.analytics.conditions_sql_places import agreed, listed, read_head
from bespeak.analytics.conditions_sql_values import Bound, Kept, NotInSql, Scope, holds, passes
from bespeak.analytics.conditions_sql_words import teach
from bespeak.analytics.conditions_sql_worked import worked
from bespeak.analytics.parquet import connect
from bespeak.analytics.query import answerable, limited, view
from bespeak.analytics.rows import Row
from bespeak.analytics.settings import ArchiveSettings
from bespeak.clock import Instant, format_time
from bespeak.conditions import check
from bespeak.conditions.asking.source import as_test
from bespeak.conditions.counting.reads import FIGURES, NEVER_MISSING
from bespeak.conditions.derived import Worked
from bespeak.conditions.text.printer import format_condition, format_operand
from bespeak.conditions.tree import (
    Aggregate,
    AnyOf,
    Asked,
    Between,
    Compare,
    Condition,
    Exists,
    HasAll,
    HasBeen,
    In,
    InList,
    InSegment,
    LastPerformed,
    Matches,
    Near,
    Path,
    Performed,
    Plain,
    Sequence,
    Text,
    Within,
)
from bespeak.conditions.values.zones import FIRST, LAST
from bespeak.errors import InvalidInput
from bespeak.ids import ProfileId
from bespeak.profiles import IdentitySettings, ProfileSettings

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_PARAMETER = re.compile(r"\$(\w+)")
NOTHING: Final[Mapping[str, Condition]] = {}

NAMED_MAX: Final = 1_000
"""People that a question may name."""


class Query(msgspec.Struct, frozen=True):
    """One statement over the views of `prepare`, and the values that it stands on, by name.

    Parameters
    ----------
    doubts
        Where it reads the items of events, what `refuse_doubtful` asks before.
    kept
        The columns of `heard` that it reads beside those of the view.
    """

    text: str
    parameters: dict[str, Any]
    doubts: Query | None = None
    kept: tuple[Kept, ...] = ()

    @property
    def reads_items(self) -> bool:
        """Whether it reads the items of events, so that it needs to know what the catalog had."""
        return self.doubts is not None


class Events(msgspec.Struct, frozen=True):
    """What is asked over, as `query.ask` takes it; all of it, since what is left out was never done.

    Parameters
    ----------
    goods
        What the catalog had of items; what reads items is refused where nobody knows it.
    """

    files: Several[int]
    tail: Iterable[Row]
    aliases: Mapping[ProfileId, ProfileId]
    goods: Goods = UNKNOWN


class Rules(msgspec.Struct, frozen=True):
    """By which settings events were folded: delay, sessions, time zone, and whose word is taken."""

    profiles: ProfileSettings = ProfileSettings()
    identity: IdentitySettings = IdentitySettings()


class Members(msgspec.Struct, frozen=True):
    """How many people hold a condition, and the first of them, by id."""

    size: int
    sample: tuple[ProfileId, ...]


def sql_of(condition: Condition, at: Instant, *, segments: Mapping[str, Condition] = NOTHING) -> Query:
    """Return the question for all who hold a condition at an instant: one column, `person`.

    Parameters
    ----------
    segments
        What `in_segment` means, by the segment's id, segments within segments written out.

    Raises
    ------
    NotInSql
        Events alone do not answer it; the message names the part.
    ConditionError
        It has no meaning.
    InvalidInput
        The instant is one at which no wall clock is known.
    """
    return sql_of_all({"": condition}, at, segments=segments, only=True)


def sql_of_all(
    conditions: Mapping[str, Condition],
    at: Instant,
    *,
    segments: Mapping[str, Condition] = NOTHING,
    only: bool = False,
) -> Query:
    """Return the question for everybody, `person`, and which of the conditions they hold, a list of places: `held`.

    Parameters
    ----------
    only
        Whether to leave out who holds none of them, and `held`. Others as `sql_of`; raises as `sql_of`.
    """
    asked = _Asked(at, segments)
    written = [asked.holds(check(condition)) for condition in conditions.values()]
    columns = "p.id AS person"
    if not only:
        said = ", ".join(f"CASE WHEN {one} THEN {place} END" for place, one in enumerate(written))
        columns += f", known_of(CAST([{said}] AS INTEGER[])) AS held"
    where = " OR ".join(written) or "false" if only else "true"
    return asked.question(asked.statement(columns, where))


def refuse_doubtful(connection: DuckDBPyConnection, query: Query) -> None:
    """Refuse a question that reads items of which nothing tells what the catalog had of them.

    Raises
    ------
    NotInSql
        Names one of them, and the event that speaks of it.
    """
    if query.doubts is None or connection.execute("SELECT 1 FROM doubtful LIMIT 1").fetchone() is None:
        return
    found = connection.execute(query.doubts.text, query.doubts.parameters).fetchone()
    if found is not None:
        item, offset = found
        raise NotInSql(
            f"`item.*` of {item!r} at offset {offset}",
            "a place of the log of which nothing tells any more what the catalog had then; ask for later events",
        )


def sql_of_counts(
    condition: Condition,
    others: Mapping[str, Condition],
    at: Instant,
    *,
    segments: Mapping[str, Condition] = NOTHING,
    most: int = 20,
    keeps: int = 0,
) -> Query:
    """Return the question for figures alone, which has one row.

    It says how many people there are, how many hold a condition, and the first of them by id; then, for each of the
    others, how many hold it, and how many both.

    Parameters
    ----------
    most
        People named, 1 to `NAMED_MAX`.
    keeps
        Paths into what events say that are asked of columns of their own: `kept` of the answer.

    Others are those of `sql_of`, and so are the errors; `InvalidInput` also where more people are to be named.
    """
    asked = _Asked(at, segments, keeps=keeps)
    written = [asked.holds(check(one)) for one in (condition, *others.values())]
    flags = ", ".join(f"{one} AS h{place}" for place, one in enumerate(written))
    counts = [f"count(*) FILTER (h{place}), count(*) FILTER (h{place} AND h0)" for place in range(1, len(written))]
    figures = ", ".join(["count(*)", "count(*) FILTER (h0)", f"min(id, {most_named(most)}) FILTER (h0)", *counts])
    everybody = asked.statement(f"p.id, {flags}", "true")
    return asked.question(f"SELECT {figures} FROM ({everybody})")  # noqa: S608 - numbers, and names of ours


def most_named(most: int) -> int:
    """Return how many people a question names; raises `InvalidInput` unless they are 1 to `NAMED_MAX`."""
    if not 1 <= most <= NAMED_MAX:
        raise InvalidInput(f"people to name: expected 1 to {NAMED_MAX:,}, got {most:,}")
    return most


def members(
    condition: Condition,
    at: Instant,
    events: Events,
    limits: ArchiveSettings,
    rules: Rules,
    *,
    segments: Mapping[str, Condition] = NOTHING,
    most: int = 20,
    threads: int = 2,
) -> Members:
    """Ask who holds a condition at an instant.

    Parameters
    ----------
    limits
        What the question may take: `query_mib` and `query_seconds`.
    most
        People named, 1 to `NAMED_MAX`.

    Raises
    ------
    NotInSql
        Events alone do not answer it.
    InvalidInput
        It needs more than the limits allow, names more people than may be named, or has no answer.
    """
    query = sql_of(condition, at, segments=segments)
    sized = Query(f"SELECT count(*), min(person, {most_named(most)}) FROM ({query.text})", query.parameters)  # noqa: S608 - a number
    with answerable(limits), closing(connect(threads=threads, mib=limits.query_mib)) as connection:
        view(connection, events.files, events.tail, events.aliases)
        with limited(connection, limits):
            open_to_conditions(connection, rules, events.goods)
            refuse_doubtful(connection, query)
            size, sample = connection.execute(sized.text, sized.parameters).fetchone() or (0, ())
    return Members(int(size), tuple(sample or ()))


def open_to_conditions(connection: DuckDBPyConnection, rules: Rules, goods: Goods = UNKNOWN) -> None:
    """Make a connection that has the view `events` ready for the questions of `sql_of`; close it in the end.

    Parameters
    ----------
    goods
        What the catalog had of items; what reads them is refused by `refuse_doubtful` where nobody knows it.
    """
    teach(connection)
    prepare(connection, rules.profiles, rules.identity)
    stock(connection, goods)


def _known(at: Instant) -> Instant:
    """Return an instant; raises `InvalidInput` where no wall clock is known then."""
    if not FIRST <= at <= LAST:
        where = "an earlier one" if at < FIRST else "a later one"
        raise InvalidInput(f"at: expected a time from {format_time(FIRST)} to {format_time(LAST)}, got {where}")
    return at


class _Asked:
    """A statement that is being written: a query by person for each thing that is read, each once."""

    def __init__(self, at: Instant, segments: Mapping[str, Condition], *, keeps: int = 0) -> None:
        self.bound = Bound(keeps=keeps)
        self.bound.values["at"] = _known(at)
        self._segments = segments
        self._parts: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._scope = Scope(self.bound, self.read, "$at", "places.zone", self._figure)

    def holds(self, condition: Condition) -> str:
        """Return SQL that is true for whoever holds a condition."""
        return holds(condition, self._scope, self._leaf)

    def statement(self, columns: str, where: str) -> str:
        """Return the whole statement; what it does not read is not joined, and what it reads often is read once."""
        asked = self.over(columns, where)
        written = " ".join([*self._parts.values(), asked])
        shared = [
            f"{name} AS MATERIALIZED (SELECT * FROM {view})"  # noqa: S608 - our own names
            for name, view in (PEOPLE | GOODS).items()
            if f" {name} " in written
        ]
        parts = [f"{name} AS ({text})" for name, text in self._parts.items()]
        return f"WITH {', '.join([*shared, *parts])} {asked}"

    def over(self, columns: str, where: str = "true") -> str:
        """Return the query of columns of everybody, `p`, and of the parts that are named."""
        read = [name for name in (*_HEADS, *self._parts) if f"{name}." in f"{columns} {where}"]
        joined = "".join(f" LEFT JOIN {name} ON {name}.person = p.person" for name in read)
        return f"SELECT {columns} FROM people p{joined} WHERE {where}"  # noqa: S608 - every value is bound

    def question(self, text: str) -> Query:
        """Return a statement with its values, and what has to be asked before it."""
        of_items = self.bound.of_items
        doubted = self.query(doubts(of_items)) if of_items else None
        return msgspec.structs.replace(self.query(text), doubts=doubted)

    def query(self, text: str) -> Query:
        """Return a statement with its values: what was written and then not needed has no place beside it."""
        named = set(_PARAMETER.findall(text))
        values = {name: value for name, value in self.bound.values.items() if name in named}
        return Query(text, values, kept=tuple(one for name, one in self.bound.kept.items() if f".{name}" in text))

    def _leaf(self, leaf: Condition) -> str:
        if isinstance(leaf, LastPerformed | Sequence | HasBeen):
            return f"coalesce({self._order(leaf)}.v, false)"
        if not isinstance(leaf, InSegment):
            if not isinstance(leaf, _ANSWERED):
                raise NotInSql(f"`{format_condition(leaf)}`", "what SQL does not count")
            return passes(cast("Plain", as_test(leaf)), self._scope)
        if leaf.segment not in self._segments:
            raise NotInSql(f"`{format_condition(leaf)}`", "a segment that is not there")
        return self.holds(check(self._segments[leaf.segment]))

    def _order(self, leaf: LastPerformed | Sequence | HasBeen) -> str:
        """Return the name of the query of what stands on the order of events."""
        match leaf:
            case LastPerformed():
                return self._asked(leaf, lambda: last_performed(leaf, self.bound, "$at"))
            case Sequence():
                return self._asked(leaf, lambda: sequence(leaf, self.bound, "$at"))
            case HasBeen():
                return self._asked(leaf, lambda: has_been(leaf, self.bound, "$at"))
            case _:
                assert_never(leaf)

    def read(self, operand: Asked) -> str:
        """Return SQL of what an operand is, as JSON."""
        if isinstance(operand, Worked):
            return worked(operand.derived, self, "$at")
        if isinstance(operand, Path):
            return self._path(operand)
        if isinstance(operand, LastPerformed | Sequence | HasBeen):
            return f"to_json({self._order(operand)}.v)"
        name = self._asked(operand, lambda: counted(operand, self.bound, "$at"))
        if operand.kind in NEVER_MISSING:
            return f"to_json(coalesce({name}.v, 0))"
        return f"to_json({name}.v)" if operand.kind in FIGURES else f"{name}.v"

    def _figure(self, operand: Asked) -> str | None:
        """Return SQL of what an operand is, as a number; None where it may be something else."""
        if not isinstance(operand, Aggregate) or operand.kind not in FIGURES:
            return None
        name = self._asked(operand, lambda: counted(operand, self.bound, "$at"))
        return f"coalesce({name}.v, 0)" if operand.kind in NEVER_MISSING else f"{name}.v"

    def _asked(self, operand: Asked, write: Callable[[], str]) -> str:
        """Return the name of the query of an operand."""
        return self.part(format_operand(operand), write)  # 1 and true are equal in Python, and another filter

    def part(self, key: str, write: Callable[[], str]) -> str:
        """Return the name of a query by person; it is written once for each key, behind those that it reads."""
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = f"q{len(self._names)}_"
            self._parts[name] = write()
        return name

    def _path(self, path: Path) -> str:
        head, _, rest = path.path.partition(".")
        if head == "traits" and rest:
            return self._trait(rest)
        if head == "lists":
            return f"to_json(coalesce({self._asked(path, lambda: listed(rest, self.bound))}.v, false))"
        if head == "consent":
            return f"to_json({self._asked(path, lambda: agreed(rest, self.bound))}.v)"
        if head == "interests":
            return self._interest(path)
        placed = read_head(path.path, self.bound)
        if placed is not None:
            return placed
        found = _OF_A_PERSON.get(head if head in {"user_id", "known", "zone"} else path.path)
        if found is None:
            raise NotInSql(f"`{path.path}`", "what is not in the events, or not as it is kept")
        return found

    def _interest(self, path: Path) -> str:
        _, kind, name = [*path.path.split(".", 2), "", ""][:3]
        if kind not in {"category", "tag"} or not name:
            return "CAST(NULL AS JSON)"
        return f"to_json({self._asked(path, lambda: interest(kind, name, self.bound))}.v)"

    def _trait(self, name: str) -> str:
        """Return SQL of a trait: of that very name, dots and all, or else inside the trait of its first part."""
        first, *deeper = name.split(".")
        whole = self._said(name)
        if not deeper:
            return f"{whole}.said"
        inside = f"json_extract({self._said(first)}.said, {self.bound.path(deeper)})"
        return f"CASE WHEN {whole}.said IS NOT NULL THEN {whole}.said ELSE {inside} END"

    def _said(self, name: str) -> str:
        def write() -> str:
            paths = self.bound.path([name]), self.bound.path(["traits", name])
            return trait_of(self.bound(name), *paths)

        # Under a name of its own: `traits.a.b` may be the trait "a.b", and the part "b" of the trait "a".
        return self._asked(Path(f"traits.{name}"), write)


_ANSWERED = (Compare, In, InList, HasAll, Text, Matches, Between, Within, Near, AnyOf, Exists, Performed)
"""The leaves that SQL answers, beside membership in a segment."""
_HEADS = ("places", "visits", "whereabouts", "devices")
"""What is known of everybody, beside the parts that a statement writes."""
_OF_A_PERSON: Final[Mapping[str, str]] = {
    "user_id": "CASE WHEN starts_with(p.id, 'u:') THEN to_json(substr(p.id, 3)) END",
    "known": "to_json(starts_with(p.id, 'u:'))",
    "zone": "to_json(places.zone)",
    "sessions.count": "to_json(coalesce(visits.visits, 0))",
    "sessions.started": "to_json(iso_time(visits.started))",
    "sessions.minutes": "to_json((visits.ended - visits.started) / 60e6)",
    "sessions.events": "to_json(visits.mentions)",
}
"""What SQL knows of a person beside traits and events."""
