"""What events add up to, as a query by person: `person`, and `v`, a number where the aggregate is one, else JSON."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, assert_never, cast

from bespeak.analytics.conditions_sql_goods import items_of, read_items
from bespeak.analytics.conditions_sql_values import Bound, Scope, of_event
from bespeak.clock import NEVER
from bespeak.conditions.counting.waning import DECIMALS
from bespeak.conditions.counting.windows import fixed_ends, is_fixed
from bespeak.conditions.names import name_of, prefix_of
from bespeak.conditions.text.printer import format_deed
from bespeak.conditions.tree import (
    Aggregate,
    Asked,
    Calendar,
    Compare,
    Condition,
    Deed,
    FromTo,
    HalfLife,
    HasBeen,
    Kind,
    LastPerformed,
    Path,
    Since,
    Step,
    ThisSession,
    Window,
)
from bespeak.conditions.tree import Sequence as Steps

_FIGURES: Final[dict[Kind, str]] = {
    "sum": "CAST(sum(amount) AS DOUBLE) / 1e6",
    "avg": "CAST(sum(amount) AS DOUBLE) / (count(*) * 1e6)",
    "min": "CAST(min(amount) AS DOUBLE) / 1e6",
    "max": "CAST(max(amount) AS DOUBLE) / 1e6",
}
_PLACE = "happened {0}, message_id {0}, log_offset {0}"
ENDS: Final[dict[Kind, str]] = {"first": _PLACE.format("ASC"), "last": _PLACE.format("DESC")}
"""In which order the first, and the last, of several events comes first."""


def counted(aggregate: Aggregate, bound: Bound, at: str) -> str:
    """Return the query of an aggregate; whoever has done nothing that counts is not in its answer.

    Parameters
    ----------
    at
        SQL of the instant that is asked about.
    """
    if isinstance(aggregate.within, HalfLife):
        return f"SELECT person, rounded(v, {DECIMALS}) AS v FROM ({faded(aggregate, bound, at)})"  # noqa: S608 - values are bound
    kind = aggregate.kind
    if kind == "count":
        return f"SELECT e.person, count(*) AS v {found_by(aggregate, bound, at)} GROUP BY e.person"
    value = reader(bound)(Path(cast("str", aggregate.of)))
    found = found_by(aggregate, bound, at, value)
    match kind:
        case "sum" | "avg" | "min" | "max":
            amounts = f"SELECT e.person, amount_of({value}) AS amount {found}"
            return (
                f"SELECT person, {_FIGURES[kind]} AS v FROM ({amounts})"  # noqa: S608 - values are bound
                " WHERE amount IS NOT NULL GROUP BY person"
            )
        case "first" | "last":
            kept = f"SELECT e.person, e.happened, e.message_id, e.log_offset, kept_of({value}) AS said {found}"
            return (
                f"SELECT person, first(said ORDER BY {ENDS[kind]}) AS v FROM ({kept})"  # noqa: S608
                " WHERE said IS NOT NULL GROUP BY person"
            )
        case "distinct":
            keys = f"SELECT e.person, unnest(keys_of(kept_of({value}))) AS k {found}"
            return f"SELECT person, count(DISTINCT k) AS v FROM ({keys}) GROUP BY person"  # noqa: S608
        case "most_frequent":
            ones = f"SELECT e.person, e.log_offset, e.happened, unnest(parts_of(kept_of({value}))) AS said {found}"
            return _MOST_FREQUENT.format(ones=ones)
        case _:
            assert_never(kind)


def faded(aggregate: Aggregate, bound: Bound, at: str) -> str:
    """Return the query of a count or a sum that fades, not rounded: of the newest that counts as of now, or of then.

    Parameters as `counted`.
    """
    amount, value = "1.0", ""
    if aggregate.kind != "count":
        value = reader(bound)(Path(cast("str", aggregate.of)))
        amount = f"CAST(amount_of({value}) AS DOUBLE) / 1e6"
    halflife = bound(cast("HalfLife", aggregate.within).halflife)
    told = f"SELECT e.person, e.happened, {amount} AS amount {found_by(aggregate, bound, at, value)}"
    aged = (
        f"SELECT person, amount, happened - greatest({at}, max(happened) OVER (PARTITION BY person)) AS age"  # noqa: S608
        f" FROM ({told}) WHERE amount IS NOT NULL"
    )
    worth = f"amount * pow(2.0, age / CAST({halflife} AS DOUBLE))"
    return f"SELECT person, fsum({worth}) AS v FROM ({aged}) GROUP BY person"  # noqa: S608


# Of a list each different element counts once an event; of equals the latest wins, then the one of the least text.
_MOST_FREQUENT: Final = (
    "SELECT person, first(said ORDER BY n DESC, newest DESC, k) AS v FROM ("
    "SELECT person, k, count(*) AS n, max(happened) AS newest, any_value(said) AS said FROM ("
    "SELECT person, log_offset, key_of(said) AS k, any_value(happened) AS happened, any_value(said) AS said"
    " FROM ({ones}) WHERE said IS NOT NULL GROUP BY person, log_offset, key_of(said)"
    ") GROUP BY person, k) GROUP BY person"
)


def last_performed(leaf: LastPerformed, bound: Bound, at: str) -> str:
    """Return the query of what the newest event has: `v` is a flag. Parameters as `counted`."""
    has = _asked(leaf.has, bound)
    found = found_by(leaf, bound, at, has)
    newest = f"SELECT e.person, {has} AS has, e.happened, e.message_id, e.log_offset {found}"
    return (
        f"SELECT person, first(has ORDER BY {ENDS['last']}) AS v FROM ({newest})"  # noqa: S608 - values are bound
        " GROUP BY person"
    )


def has_been(leaf: HasBeen, bound: Bound, at: str) -> str:
    """Return the query of whether a trait has been so for long enough: `v` is a flag. Parameters as `counted`.

    Since when it has been so is the first of those messages behind which none says something else.
    """
    said, equal = _said(leaf.path, bound), Compare(Path(leaf.path), "=", leaf.value, leaf.exact)
    so = of_event(equal, Scope(bound, lambda _: "told.said", "told.happened", "'UTC'"))
    told = (
        f"SELECT e.person, e.happened, e.message_id, e.log_offset, {said[0]} AS said FROM heard e"  # noqa: S608
        f" WHERE NOT e.late AND e.happened <= {at} AND ({said[1]})"
    )
    behind = (
        f"SELECT told.*, count(CASE WHEN NOT {so} THEN 1 END) OVER"  # noqa: S608
        f" (PARTITION BY person ORDER BY {ENDS['last']} ROWS UNBOUNDED PRECEDING) AS others FROM ({told}) told"
    )
    lasts = f"{at} - min(happened) {'<' if leaf.less else '>='} {bound(leaf.lasting)}"
    return f"SELECT person, {lasts} AS v FROM ({behind}) WHERE others = 0 GROUP BY person"  # noqa: S608


def _said(path: str, bound: Bound) -> tuple[str, str]:
    """Return SQL of what an event `e` says of a trait, and of whether it says anything."""
    _, *parts = path.split(".")
    own, beside = bound.path(parts[:1]), bound.path(["traits", *parts[:1]])
    ways = [
        (
            f"e.type = 'identify' AND json_exists(e.properties, {own})",
            f"json_extract(e.properties, {bound.path(parts)})",
        ),
        (
            f"e.tells AND json_exists(e.context, {beside})",
            f"json_extract(e.context, {bound.path(['traits', *parts])})",
        ),
    ]
    if parts[0] == "group_id":
        ways.insert(1, ("e.type = 'group'", "to_json(e.group_id)" if len(parts) == 1 else "CAST(NULL AS JSON)"))
    value = " ".join(f"WHEN {when} THEN {said}" for when, said in ways)
    return f"CASE {value} END", " OR ".join(f"({when})" for when, _ in ways)


def sequence(leaf: Steps, bound: Bound, at: str) -> str:
    """Return the query of whether steps were taken one after the other: `v` is a flag. Parameters as `counted`.

    Of the events that a step may follow the latest is enough: the time up to it is the shortest, and the fewest events
    come between. So each step is one look at what came before, in the order of the person's events.
    """
    flags: dict[str, tuple[str, Deed]] = {}

    def flag(deed: Deed) -> str:
        return flags.setdefault(format_deed(deed), (f"d{len(flags)}", deed))[0]

    steps = [flag(Deed(step.event, step.where)) for step in leaf.steps]
    reached = f"SELECT *, {steps[0]} AS reached FROM line"  # noqa: S608 - our own names
    for step, taken in zip(leaf.steps[1:], steps[1:], strict=True):
        reached = _followed(step, taken, " OR ".join(map(flag, step.without)), reached, bound)
    joined, passed = inside(leaf.within, bound, at)
    if leaf.after is not None:
        lasting = bound(leaf.after.lasting)
        intruders = " OR ".join(map(flag, leaf.after.without))
        reached = (  # and when the first came that may not follow
            f"SELECT *, min(CASE WHEN {intruders} THEN happened END) OVER"  # noqa: S608
            " (PARTITION BY person ORDER BY place ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS spoiled"
            f" FROM ({reached})"
        )
        passed = [*passed, f"{at} >= e.happened + {lasting}", f"coalesce(e.spoiled > e.happened + {lasting}, true)"]
    line, where = _line(flags.values(), bound, timely=not is_fixed(leaf.within)), " AND ".join(["e.reached", *passed])
    return f"WITH line AS ({line}) SELECT DISTINCT e.person, true AS v FROM ({reached}) e{joined} WHERE {where}"  # noqa: S608


def _followed(step: Step, taken: str, intruders: str, before: str, bound: Bound) -> str:
    """Return the query of which events may be a step, given the query of which may be the one before it."""
    passed = [taken, "last_time IS NOT NULL"]
    if step.within is not None:
        passed.append(f"happened - last_time <= {bound(step.within)}")
    if step.without:
        passed.append("coalesce(intruder, 0) <= last_place")
    seen = (
        "SELECT *, max(CASE WHEN reached THEN happened END) OVER earlier AS last_time,"  # noqa: S608 - values are bound
        " max(CASE WHEN reached THEN place END) OVER earlier AS last_place,"
        f" max(CASE WHEN {intruders or 'false'} THEN place END) OVER earlier AS intruder FROM ({before})"
        " WINDOW earlier AS (PARTITION BY person ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    )
    reached = f"REPLACE ({' AND '.join(passed)} AS reached)"
    return f"SELECT * EXCLUDE (last_time, last_place, intruder) {reached} FROM ({seen})"  # noqa: S608


def _line(flags: Collection[tuple[str, Deed]], bound: Bound, *, timely: bool) -> str:
    """Return the query of the events that are any of these deeds, in order, with a flag for each."""
    said: list[str] = []
    for name, deed in flags:
        where = "" if deed.where is None else f" AND {_asked(deed.where, bound)}"
        said.append(f"{meant(deed.event, bound)}{where} AS {name}")
    columns = ", ".join(said)
    items = items_of(" OR ".join(meant(deed.event, bound) for _, deed in flags), bound, columns)
    heard = f"SELECT e.person, e.happened, e.message_id, e.log_offset, e.late, {columns} FROM heard e{items}"  # noqa: S608
    counts = f"({' OR '.join(name for name, _ in flags)}){' AND NOT late' if timely else ''}"
    order = f"(PARTITION BY person ORDER BY {ENDS['first']})"
    return f"SELECT *, row_number() OVER {order} AS place FROM ({heard}) WHERE {counts}"  # noqa: S608


def _asked(condition: Condition, bound: Bound) -> str:
    """Return SQL that is true where the event `e` passes a filter."""
    return of_event(condition, Scope(bound, reader(bound), "e.happened", "'UTC'"))


def meant(event: str, bound: Bound) -> str:
    """Return SQL that is true where the event `e` has a name."""
    prefix = prefix_of(event)
    return f"e.name = {bound(name_of(event))}" if prefix is None else f"starts_with(e.name, {bound(prefix)})"


def found_by(aggregate: Aggregate | LastPerformed, bound: Bound, at: str, *read: str) -> str:
    """Return SQL, from FROM on, of the events that count, as `e`.

    Parameters
    ----------
    read
        What else is read of them.
    """
    named = meant(aggregate.event, bound)
    joined, timely = inside(aggregate.within, bound, at)
    where = " AND ".join([named, *timely, *([] if aggregate.where is None else [_asked(aggregate.where, bound)])])
    return f"FROM heard e{items_of(named, bound, where, *read)}{joined} WHERE {where}"


def inside(window: Window | None, bound: Bound, at: str) -> tuple[str, list[str]]:
    """Return what is joined to know a window, and what has to be so of an event in it."""
    match window:
        case None | HalfLife():
            return "", []
        case Since() | FromTo():
            start, end = fixed_ends(window)
            ends = [] if end == NEVER else [f"e.happened < {bound(end)}"]
            return "", [f"e.happened >= {bound(start)}", *ends]
        case Calendar(unit, back):
            asked = f"zone, {bound(unit)}, {bound(back)}, {at}"
            frames = (
                f"SELECT zone, period_after({asked}) AS after, period_until({asked}) AS until"  # noqa: S608
                " FROM (SELECT DISTINCT zone FROM places AS known)"
            )
            joined = f" JOIN places z ON z.person = e.person JOIN ({frames}) f ON f.zone = z.zone"
            return joined, ["NOT e.late", "e.happened > f.after", "e.happened <= f.until"]
        case ThisSession():
            joined = " JOIN visits v ON v.person = e.person"
            return joined, ["NOT e.late", "e.happened >= v.started", f"e.happened <= {at}"]
        case int():
            return "", ["NOT e.late", f"e.happened > {at} - {bound(window)}", f"e.happened <= {at}"]
        case _:
            assert_never(window)


def reader(bound: Bound) -> Callable[[Asked], str]:
    """Return what writes how a path of the event `e` is read, as JSON."""

    def read(operand: Asked) -> str:
        root, *parts = cast("Path", operand).path.split(".")
        if root == "item":
            return read_items(parts, bound)
        if root == "local":
            zone = "coalesce(e.time_zone, (SELECT zone FROM setting))"
            return f"CAST(clock_of({bound(parts[0])}, e.happened, {zone}) AS JSON)"
        if root == "type":
            return "to_json(e.type)"
        column = bound.column(root, parts)
        return f"json_extract(e.{root}, {bound.path(parts)})" if column is None else f"e.{column}"

    return read
