"""Orders less their refunds: which order a refund belongs to says the order's id, in whatever order they came."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from bespeak.clock import Instant
from bespeak.conditions.asking.visitor import Read, Visitor
from bespeak.conditions.counting.aggregates import key
from bespeak.conditions.counting.reads import entries_inside
from bespeak.conditions.counting.states_figures import MILLIONTHS
from bespeak.conditions.counting.states_values import Entry, value_key
from bespeak.conditions.counting.windows import Frame, frame
from bespeak.conditions.derived import Orders
from bespeak.conditions.tree import Value

_LONG_AGO: Instant = -(2**62)


def orders_reader(asked: Orders) -> Read:
    """Build what reads what orders come to."""
    orders, refunds, window = key(asked.orders), key(asked.refunds), cast("Frame", frame(asked.orders.within))

    def read(visitor: Visitor, at: Instant) -> object:
        inside = entries_inside(visitor.state(orders), *window.bounds(visitor.get, at))
        if not inside:
            return _read(asked, [])
        return _read(asked, net(inside, entries_inside(visitor.state(refunds), _LONG_AGO, at)))

    return read


def net(orders: Iterable[Entry], refunds: Iterable[Entry]) -> list[int]:
    """Return what is left of each order, in millionths, without those of which nothing is.

    Examples
    --------
    >>> orders = [(1, "m1", ["A", 50]), (2, "m2", ["B", 30]), (3, "m3", ["A", 40]), (4, "m4", [None, 5])]
    >>> net(orders, [(5, "m5", ["A", 15]), (6, "m6", ["B", None])])
    [25, 5]
    """
    taken: dict[str, int | None] = {}
    for name, millionths in map(_pair, refunds):
        if name is not None:
            before = taken.get(name, 0)
            taken[name] = None if before is None or millionths is None else before + millionths
    newest: dict[str, int] = {}
    nameless: list[int] = []
    for name, millionths in map(_pair, orders):
        if millionths is None:
            continue
        if name is None:
            nameless.append(millionths)
        else:
            newest[name] = millionths
    left = [paid - back for name, paid in newest.items() if (back := taken.get(name, 0)) is not None]
    return [one for one in (*left, *nameless) if one > 0]


def _pair(entry: Entry) -> tuple[str | None, int | None]:
    name, millionths = cast("list[Value]", entry[2])
    return None if name is None else value_key(name), cast("int | None", millionths)


def _read(asked: Orders, left: list[int]) -> object:
    if asked.read == "count":
        return len(left)
    if asked.read == "sum":
        return sum(left) / MILLIONTHS
    return sum(left) / (len(left) * MILLIONTHS) if left else None
