"""Missing values, types and lists: the rules of `docs/conditions.md`, row by row, wherever conditions are answered."""

from __future__ import annotations

import numpy as np
import pytest

from bespeak.conditions import Aggregate, Compare, Exists, Feeds, In, InSegment, Not, Path, compile_condition, mask
from bespeak.events import Event

X = Path("properties.x")
MISSING = None

ROWS = [
    # what is found, the leaf, whether it holds
    (MISSING, Compare(X, "=", "a"), False),
    (MISSING, Compare(X, "!=", "a"), True),
    (MISSING, Compare(X, "<", 1), False),
    (MISSING, Compare(X, ">=", 1), False),
    (MISSING, In(X, ("a", 1, False)), False),
    (MISSING, Not(In(X, ("a",))), True),
    (MISSING, Exists(X), False),
    (MISSING, Not(Exists(X)), True),
    ("", Exists(X), True),
    (0, Exists(X), True),
    (False, Exists(X), True),
    ({}, Exists(X), True),
    ([], Exists(X), False),
    ([None], Exists(X), True),
    ("1", Compare(X, "=", 1), False),
    ("1", Compare(X, "!=", 1), True),
    ("1", Compare(X, "<", 2), False),
    (1, Compare(X, "=", "1"), False),
    (1, Compare(X, "<", "2"), False),
    (1, Compare(X, "=", 1.0), True),
    (1.5, Compare(X, ">", 1), True),
    (True, Compare(X, "=", 1), False),
    (True, Compare(X, ">", 0), False),
    (1, Compare(X, "=", True), False),
    (True, Compare(X, "=", True), True),
    (True, Compare(X, "!=", True), False),
    (False, Compare(X, "=", 0), False),
    (True, In(X, (1,)), False),
    (1, In(X, (True,)), False),
    (1, In(X, (True, 1)), True),
    (False, In(X, ("a", False)), True),
    ("b", Compare(X, ">", "a"), True),
    ("B", Compare(X, "=", "b"), False),
    ({"a": 1}, Compare(X, "=", "a"), False),
    ({"a": 1}, Compare(X, "!=", "a"), True),
    ({"a": 1}, In(X, ("a",)), False),
    (["a", "b"], Compare(X, "=", "b"), True),
    (["a", "b"], Compare(X, "!=", "b"), False),
    (["a", "b"], Compare(X, "!=", "c"), True),
    (["a", "b"], In(X, ("c", "b")), True),
    (["a", "b"], In(X, ("c", "d", "e", "f", "g")), False),
    (["a", "b"], In(X, ("c", "d", "e", "f", "b")), True),
    (["a", 5], Compare(X, ">", 4), True),
    ([1, 2], Compare(X, ">", 4), False),
    ([True], Compare(X, "=", 1), False),
    ([True], Compare(X, "=", True), True),
    ([["a"]], Compare(X, "=", "a"), False),
    ([{"a": 1}], In(X, ("a", "b", "c", "d", "e")), False),
    ([], Compare(X, "=", "a"), False),
    ([], Compare(X, "!=", "a"), True),
    (("a", "b"), Compare(X, "=", "a"), True),
]


def names(row):
    return f"{row!r}"


class Person:
    def __init__(self, value=None, states=None):
        self.value = value
        self.states = states or {}

    def get(self, path):
        return self.value

    def state(self, key):
        return self.states.get(key)


@pytest.mark.parametrize("found, condition, holds", ROWS, ids=names)
def test_of_a_person(found, condition, holds):
    compiled = compile_condition(condition)
    assert compiled.holds(Person(found), 0) is holds
    assert compiled.explain(Person(found), 0).holds is holds


@pytest.mark.parametrize("found, condition, holds", ROWS, ids=names)
def test_of_an_event(found, condition, holds):
    feeds = Feeds([Aggregate("count", "E", None, condition)])
    properties = {} if found is None else {"x": found}
    event = Event(type="track", name="E", message_id="m", time=1, received=1, properties=properties)
    assert bool(feeds.update({}, event, newest=0, delay=0)) is holds


@pytest.mark.parametrize("found, condition, holds", ROWS, ids=names)
def test_of_items(found, condition, holds):
    column = np.empty(2, dtype=object)
    column[1] = found
    assert mask(condition, {"properties.x": column}, 2)[1] == holds
    if found is None or (isinstance(found, int | float) and not isinstance(found, bool)):
        numbers = np.array([7.5, np.nan if found is None else found])
        assert mask(condition, {"properties.x": numbers}, 2)[1] == holds
    if isinstance(found, bool):
        assert mask(condition, {"properties.x": np.array([not found, found])}, 2)[1] == holds
    if found is None:
        assert mask(condition, {}, 2).tolist() == [holds, holds]


def test_a_count_and_a_sum_of_nothing_are_zero_and_the_last_of_nothing_is_missing():
    count, total, last = (
        Aggregate("count", "E"),
        Aggregate("sum", "E", "properties.x"),
        Aggregate("last", "E", "properties.x"),
    )
    for condition, holds in [
        (Compare(count, "=", 0), True),
        (Compare(count, "<", 1), True),
        (Compare(count, "!=", 0), False),
        (In(count, (0, 5)), True),
        (Exists(count), True),
        (Compare(total, "<=", 0), True),
        (Exists(total), True),
        (Exists(last), False),
        (Compare(last, "!=", 0), True),
        (Compare(last, "=", 0), False),
    ]:
        assert compile_condition(condition).holds(Person(), 0) is holds


def test_a_membership_is_true_or_it_is_not():
    member = compile_condition(InSegment("loyal"))
    assert member.holds(Person(True), 0)
    assert not member.holds(Person(False), 0)
    assert not member.holds(Person(None), 0)
