"""What is worked out of events and has a name, in SQL: computed traits, orders less refunds, scores, bands and grades.

A figure that others read often is a query by person of its own, `person` and `v`, which reads the queries before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, assert_never, cast

from bespeak.analytics.conditions_sql_counts import ENDS, faded, found_by, inside, meant, reader
from bespeak.analytics.conditions_sql_goods import items_of
from bespeak.analytics.conditions_sql_values import Bound
from bespeak.clock import DAY
from bespeak.conditions.asking.grades import CELLS
from bespeak.conditions.counting.aggregates import KEEP
from bespeak.conditions.counting.waning import DECIMALS
from bespeak.conditions.derived import (
    Band,
    Derived,
    Difference,
    Elapsed,
    Grade,
    Orders,
    Pairs,
    Ratio,
    Rfm,
    Same,
    Score,
    Term,
)
from bespeak.conditions.text.printer import format_operand
from bespeak.conditions.tree import Asked, Condition, HalfLife, Path

_MILLIONTH_DIGITS = 6


class Statement(Protocol):
    """The statement that is being written, for whatever is worked out of its parts."""

    bound: Bound

    def read(self, operand: Asked, /) -> str:
        """Return SQL of what an operand is, as JSON."""
        ...

    def holds(self, condition: Condition, /) -> str:
        """Return SQL that is true for whoever holds a condition."""
        ...

    def part(self, key: str, write: Callable[[], str], /) -> str:
        """Return the name of a query by person; it is written once for each key."""
        ...

    def over(self, columns: str, /) -> str:
        """Return the query of columns of everybody, `p`, and of the parts that the columns name."""
        ...


def worked(derived: Derived, said: Statement, at: str) -> str:
    """Return SQL of something that is worked out, as JSON.

    Parameters
    ----------
    at
        SQL of the instant that is asked about.
    """
    key, bound = f"worked {id(derived)}", said.bound
    match derived:
        case Same(operand):
            return said.read(operand)
        case Ratio(of, to):
            return f"to_json(ratio_of({said.read(of)}, {said.read(to)}))"
        case Difference(of, less):
            left = f"number_of({said.read(of)}) - number_of({said.read(less)})"
            return f"to_json(rounded({left}, {_MILLIONTH_DIGITS}))"
        case Elapsed():
            name = said.part(key, lambda: _moment(derived, bound, at))
            passed = f"greatest({at} - {name}.v, 0) / CAST({DAY} AS DOUBLE)"
            return f"to_json(CASE WHEN {name}.v IS NOT NULL THEN {passed} END)"
        case Orders():
            name = said.part(key, lambda: _orders(derived, bound, at))
            return f"to_json({name}.v)" if derived.read == "avg" else f"to_json(coalesce({name}.v, 0))"
        case Score():
            return f"to_json({_score(derived, said, at)}.v)"
        case Band(score, bands):
            name = _score(score, said, at)
            ways = [f"WHEN {name}.v >= {_number(least, bound)} THEN {bound(band)}" for least, band in reversed(bands)]
            return f"to_json(CASE {' '.join(ways)} END)" if ways else "CAST(NULL AS JSON)"
        case Grade():
            return f"to_json({_grade(derived, said)})"
        case Rfm():
            return f"to_json({said.part(key, lambda: _rfm(derived, said))}.v)"
        case _:
            assert_never(derived)


def _number(value: float, bound: Bound) -> str:
    return f"CAST({bound(float(value))} AS DOUBLE)"


def _moment(elapsed: Elapsed, bound: Bound, at: str) -> str:
    """Return the query of the time of the first or of the last event."""
    which = "max" if elapsed.moment.kind == "last" else "min"
    return f"SELECT e.person, {which}(e.happened) AS v {found_by(elapsed.moment, bound, at)} GROUP BY e.person"


# Scores.


def _score(score: Score, said: Statement, at: str) -> str:
    """Return the name of the query of a score."""

    def write() -> str:
        total = " + ".join(_worth(term, said, at) for term in score.terms) or "0"
        value = f"rounded(CAST({total} AS DOUBLE), {DECIMALS})"
        if score.cap is not None:
            value = f"least({value}, {_number(score.cap, said.bound)})"
        if score.floor is not None:
            value = f"greatest({value}, {_number(score.floor, said.bound)})"
        return said.over(f"p.person, {value} AS v")

    return said.part(f"worked {id(score)}", write)


def _worth(term: Term, said: Statement, at: str) -> str:
    """Return SQL of what a term of a score gives."""
    bound = said.bound
    points = _number(term.points, bound)
    if term.counted is None:
        holds = "false" if term.condition is None else said.holds(term.condition)
        return f"CASE WHEN {holds} THEN {points} ELSE 0 END"
    counted = term.counted
    if isinstance(counted.within, HalfLife):
        name = said.part(f"faded {format_operand(counted)}", lambda: faded(counted, bound, at))
        count = f"coalesce({name}.v, 0)"
    else:
        count = f"coalesce(number_of({said.read(counted)}), 0)"
    if term.most is None:
        return f"{points} * {count}"
    return f"least(greatest({points} * {count}, {_number(-term.most, bound)}), {_number(term.most, bound)})"


# Grades.


def _grade(grade: Grade, said: Statement) -> str:
    """Return SQL of a grade, a whole number: one more for each border that lies below."""
    if not grade.borders:
        return "CAST(NULL AS BIGINT)"
    figure = f"number_of({said.read(grade.operand)})"
    borders = f"CAST({said.bound(list(map(float, grade.borders)))} AS DOUBLE[])"
    one = said.bound.name()
    below = f"len(list_filter({borders}, lambda {one}: {one} < {figure}))"
    ranked = f"{len(grade.borders) + 1} - {below}" if grade.falling else f"1 + {below}"
    return f"CASE WHEN {figure} IS NOT NULL THEN {ranked} END"


def _rfm(rfm: Rfm, said: Statement) -> str:
    """Return the query of the code, or of the cell, of three grades; whoever lacks one is not in its answer."""
    names = ("recency", "frequency", "monetary")
    grades = [f"{_grade(cast('Grade', getattr(rfm, name)), said)} AS {name}" for name in names]
    if rfm.read == "code":
        value = " || ".join(f"CAST({name} AS VARCHAR)" for name in names)
    else:
        cells = said.bound([cell for row in CELLS for cell in row])
        value = f"list_extract(CAST({cells} AS VARCHAR[]), (recency - 1) * 5 + (frequency + monetary + 1) // 2)"
    graded = said.over(", ".join(["p.person", *grades]))
    passed = " AND ".join(f"{name} IS NOT NULL" for name in names)
    return f"SELECT person, {value} AS v FROM ({graded}) WHERE {passed}"  # noqa: S608 - values are bound


# Orders less their refunds.

_READS = {
    "count": "count(*)",
    "sum": "CAST(sum(amount) AS DOUBLE) / 1e6",
    "avg": "CAST(sum(amount) AS DOUBLE) / (count(*) * 1e6)",
}


def _orders(asked: Orders, bound: Bound, at: str) -> str:
    """Return the query of what orders come to, without those of which nothing is left."""
    joined, timely = inside(asked.orders.within, bound, at)
    where = " AND ".join(["e.amount IS NOT NULL", *timely])
    paid = f"SELECT e.* FROM ({_pairs(asked.orders, bound)}) e{joined} WHERE {where}"  # noqa: S608 - values are bound
    newest = (  # an order that is told again counts as it was told last; without an id it stands for itself
        f"SELECT person, any_value(k) AS k, first(amount ORDER BY {ENDS['last']}) AS amount FROM ({paid})"  # noqa: S608
        " GROUP BY person, coalesce(k, '#' || CAST(log_offset AS VARCHAR))"
    )
    taken = (
        "SELECT e.person, e.k, sum(e.amount) AS amount, bool_or(e.amount IS NULL) AS all_of_it"  # noqa: S608
        f" FROM ({_pairs(asked.refunds, bound)}) e WHERE e.happened <= {at} AND e.k IS NOT NULL GROUP BY e.person, e.k"
    )
    left = (
        f"SELECT n.person, n.amount - coalesce(t.amount, 0) AS amount FROM ({newest}) n"  # noqa: S608
        f" LEFT JOIN ({taken}) t ON t.person = n.person AND t.k = n.k WHERE NOT coalesce(t.all_of_it, false)"
    )
    return f"SELECT person, {_READS[asked.read]} AS v FROM ({left}) WHERE amount > 0 GROUP BY person"  # noqa: S608


def _pairs(pairs: Pairs, bound: Bound) -> str:
    """Return the query of the ids, `k`, and the amounts that orders or refunds name: of each person the newest."""
    read = reader(bound)
    name = f"name_of({read(Path(cast('str', pairs.of)))})"
    amount = "CAST(NULL AS HUGEINT)" if pairs.amount is None else f"amount_of({read(Path(pairs.amount))})"
    named = meant(pairs.event, bound)
    told = (
        f"SELECT e.person, e.happened, e.message_id, e.log_offset, e.late, {name} AS k, {amount} AS amount"  # noqa: S608
        f" FROM heard e{items_of(named, bound, name, amount)} WHERE {named} AND NOT e.late"
    )
    return (
        f"SELECT * FROM ({told}) WHERE k IS NOT NULL OR amount IS NOT NULL"  # noqa: S608
        f" QUALIFY row_number() OVER (PARTITION BY person ORDER BY {ENDS['last']}) <= {KEEP}"
    )
