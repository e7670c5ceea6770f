"""What events add up to, as a query by person: `person`, and `v`, a number where the aggregate is one, else JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, assert_never, cast

from bespeak.analytics.conditions_sql_values import Bound, NotInSql, Scope, of_event
from bespeak.clock import NEVER
from bespeak.conditions.names import name_of, prefix_of
from bespeak.conditions.printer import format_window
from bespeak.conditions.tree import (
    Aggregate,
    Calendar,
    FromTo,
    HalfLife,
    Kind,
    Operand,
    Path,
    Since,
    ThisSession,
    Window,
)
from bespeak.conditions.windows import fixed_ends

_FIGURES: Final[dict[Kind, str]] = {
    "sum": "CAST(sum(amount) AS DOUBLE) / 1e6",
    "avg": "CAST(sum(amount) AS DOUBLE) / (count(*) * 1e6)",
    "min": "CAST(min(amount) AS DOUBLE) / 1e6",
    "max": "CAST(max(amount) AS DOUBLE) / 1e6",
}
_PLACE = "happened {0}, message_id {0}, log_offset {0}"
_ENDS: Final[dict[Kind, str]] = {"first": _PLACE.format("ASC"), "last": _PLACE.format("DESC")}


def counted(aggregate: Aggregate, bound: Bound, at: str) -> str:
    """Return the query of an aggregate; whoever has done nothing that counts is not in its answer.

    Parameters
    ----------
    at
        SQL of the instant that is asked about.
    """
    found = _found(aggregate, bound, at)
    kind = aggregate.kind
    if kind == "count":
        return f"SELECT e.person, count(*) AS v {found} GROUP BY e.person"
    value = _read(bound)(Path(cast("str", aggregate.of)))
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
                f"SELECT person, first(said ORDER BY {_ENDS[kind]}) AS v FROM ({kept})"  # noqa: S608
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


# Of a list each different element counts once an event; of equals the latest wins, then the one of the least text.
_MOST_FREQUENT: Final = (
    "SELECT person, first(said ORDER BY n DESC, newest DESC, k) AS v FROM ("
    "SELECT person, k, count(*) AS n, max(happened) AS newest, any_value(said) AS said FROM ("
    "SELECT person, log_offset, key_of(said) AS k, any_value(happened) AS happened, any_value(said) AS said"
    " FROM ({ones}) WHERE said IS NOT NULL GROUP BY person, log_offset, key_of(said)"
    ") GROUP BY person, k) GROUP BY person"
)


def _found(aggregate: Aggregate, bound: Bound, at: str) -> str:
    """Return SQL, from FROM on, of the events that count, as `e`."""
    prefix = prefix_of(aggregate.event)
    if prefix is None:
        passed = [f"e.name = {bound(name_of(aggregate.event))}"]
    else:
        passed = [f"starts_with(e.name, {bound(prefix)})"]
    joined, inside = _inside(aggregate.within, bound, at)
    passed += inside
    if aggregate.where is not None:
        scope = Scope(bound, _read(bound), "e.happened", "'UTC'")
        passed.append(of_event(aggregate.where, scope))
    return f"FROM heard e{joined} WHERE {' AND '.join(passed)}"


def _inside(window: Window | None, bound: Bound, at: str) -> tuple[str, list[str]]:
    """Return what is joined to know a window, and what has to be so of an event in it."""
    match window:
        case None:
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
        case HalfLife():
            raise NotInSql(f"`{format_window(window)}`", "what fades")
        case int():
            return "", ["NOT e.late", f"e.happened > {at} - {bound(window)}", f"e.happened <= {at}"]
        case _:
            assert_never(window)


def _read(bound: Bound) -> Callable[[Operand], str]:
    """Return what writes how a path of the event `e` is read, as JSON."""

    def read(operand: Operand) -> str:
        root, *parts = cast("Path", operand).path.split(".")
        if root == "item":
            raise NotInSql(cast("Path", operand).path, "what the catalog had of its items")
        return "to_json(e.type)" if root == "type" else f"json_extract(e.{root}, {bound.path(parts)})"

    return read
