"""What is worked out of aggregates and conditions, and has a name: `computed.NAME` and `scores.NAME` in a condition.

In a condition it stands as a path, as it was written; the path carries what it is, so that whoever looks at the
condition sees what it depends on, and the answer turns at its very instant. Pure data; nothing is read here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias, assert_never

import msgspec

from bespeak.conditions.tree import Aggregate, Asked, Condition, Operand, Path


class Same(msgspec.Struct, frozen=True, tag="same"):
    """What something else is, under a name of its own."""

    operand: Operand


class Ratio(msgspec.Struct, frozen=True, tag="ratio"):
    """One number divided by another; missing where either is missing or no number, and where the other is 0."""

    of: Operand
    to: Operand


class Difference(msgspec.Struct, frozen=True, tag="difference"):
    """One number less another, exact to the millionth; missing where either is missing or no number."""

    of: Operand
    less: Operand


class Elapsed(msgspec.Struct, frozen=True, tag="elapsed"):
    """Days, of 24 hours, since an event: `moment` is the `first` or the `last` of its `type`, ever.

    Missing where there was none; 0 before it.
    """

    moment: Aggregate


class Term(msgspec.Struct, frozen=True):
    """A part of a score: so many points for each event that is counted, or as long as a condition holds.

    Parameters
    ----------
    name
        For people.
    points
        For one event, or while the condition holds; below zero takes away.
    counted
        A count, ever or with a half-life; None where `condition` is given.
    most
        The most points, either way, that it gives at a time; None: no limit.
    """

    name: str
    points: float
    counted: Aggregate | None = None
    condition: Condition | None = None
    most: float | None = None


class Pairs(Aggregate, frozen=True, tag="pairs"):
    """What is kept of orders, or of refunds, of a window: of each event its `of`, the order's id, and its amount.

    Either may be missing in an event. It stands in no condition; `Orders` reads it.

    Parameters
    ----------
    amount
        Path of the amount; None: there is none.
    """

    amount: str | None = None


class Orders(msgspec.Struct, frozen=True, tag="orders"):
    """What orders of a window come to, less what was refunded of each.

    An order is known by its id, and the newest event of that id counts; one without an id stands for itself. A refund
    takes from its order, whenever it comes; without an amount all of it. An order of which nothing is left is none.

    Parameters
    ----------
    read
        How many they are, what they sum up to, or their mean, which is missing where there are none.
    """

    orders: Pairs
    refunds: Pairs
    read: Literal["count", "sum", "avg"]


class Score(msgspec.Struct, frozen=True, tag="score"):
    """The points of all terms together, held between `floor` and `cap` where these are given."""

    terms: tuple[Term, ...]
    floor: float | None = None
    cap: float | None = None


class Band(msgspec.Struct, frozen=True, tag="band"):
    """The name of the highest band, by its least score, that a score has reached; missing below all of them."""

    score: Score
    bands: tuple[tuple[float, str], ...]


class Grade(msgspec.Struct, frozen=True, tag="grade"):
    """Where a figure stands among everybody's: 1 and one more for each border that lies below it.

    Missing where the figure is missing or no number, and as long as there are no borders.

    Parameters
    ----------
    borders
        In ascending order; of quintiles four, so that grades go up to 5.
    falling
        Whether less is better, so that what lies above no border has the highest grade.
    """

    operand: Operand
    borders: tuple[float, ...]
    falling: bool = False


class Rfm(msgspec.Struct, frozen=True, tag="rfm_of"):
    """Recency, frequency and monetary value together: their three grades as a text, or the cell that they make.

    Missing where one of the grades is.
    """

    recency: Grade
    frequency: Grade
    monetary: Grade
    read: Literal["code", "cell"]


Derived: TypeAlias = Same | Ratio | Difference | Elapsed | Orders | Score | Band | Grade | Rfm


class Worked(Path, frozen=True, tag="worked"):
    """A path to what is worked out."""

    derived: Derived


def operands_of(derived: Derived) -> tuple[Operand, ...]:
    """Return what is read directly for it, conditions left out."""
    match derived:
        case Same(operand):
            return (operand,)
        case Ratio(of, other) | Difference(of, other):
            return of, other
        case Elapsed(moment):
            return (moment,)
        case Orders(orders, refunds):
            return orders, refunds
        case Score(terms):
            return tuple(term.counted for term in terms if term.counted is not None)
        case Band(score):
            return operands_of(score)
        case Grade(operand):
            return (operand,)
        case Rfm(recency, frequency, monetary):
            return recency.operand, frequency.operand, monetary.operand
        case _:
            assert_never(derived)


def conditions_of(derived: Derived) -> tuple[Condition, ...]:
    """Return the conditions that it asks directly."""
    match derived:
        case Score(terms):
            return tuple(term.condition for term in terms if term.condition is not None)
        case Band(score):
            return conditions_of(score)
        case _:
            return ()


def unfolded(operands: Iterable[Asked]) -> Iterator[Asked]:
    """Yield operands, each one that is worked out followed by what is read for it, at any depth."""
    for operand in operands:
        yield operand
        if isinstance(operand, Worked):
            yield from unfolded(operands_of(operand.derived))


def asked_within(operands: Iterable[Asked]) -> Iterator[Condition]:
    """Yield the conditions that what is worked out asks, at any depth of operands."""
    for operand in unfolded(operands):
        if isinstance(operand, Worked):
            yield from conditions_of(operand.derived)
