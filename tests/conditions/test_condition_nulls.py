"""Missing values, types and lists: the rules of `docs/conditions.md`, row by row, wherever conditions are answered."""

from __future__ import annotations

import numpy as np
import pytest

from bespeak.conditions import Aggregate, And, Compare, Exists, Feeds, In, InSegment, Not, Path, compile_condition, mask
from bespeak.conditions.tree import AnyOf, Between, HasAll, Matches, Moment, Text, Version
from bespeak.events import Event

X = Path("properties.x")
Y = Path("properties.y")
WIEN = And((Compare(Path("it.a"), "=", "Wien"), Compare(Path("it.b"), ">", 1)))
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
    ("B", Compare(X, "=", "b"), True),
    ("B", Compare(X, "=", "b", exact=True), False),
    ("b", Compare(X, "=", "B"), True),
    ("b", Compare(X, "=", "B", exact=True), False),
    ("b", Compare(X, "!=", "B"), False),
    ("b", Compare(X, "!=", "B", exact=True), True),
    ("B", Compare(X, "<", "a"), True),  # order never folds
    ("d\u00e9", In(X, ("x", "DE")), True),
    ("d\u00e9", In(X, ("x", "DE"), exact=True), False),
    (["x", "D\u00c9"], Compare(X, "=", "de"), True),
    (["x", "D\u00c9"], Compare(X, "=", "de", exact=True), False),
    (["x", "D\u00c9"], In(X, ("a", "b", "c", "d", "de")), True),
    ("Stra\u00dfe", Compare(X, "=", "STRASSE"), True),
    ("\u0430", Compare(X, "=", "a"), False),  # Cyrillic
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
    # nothing new holds for what is missing
    (MISSING, Compare(X, "on", Moment("2026-01-31")), False),
    (MISSING, Compare(X, "<", Moment("2026-01-31")), False),
    (MISSING, Compare(X, "!=", Moment("2026-01-31")), True),
    (MISSING, Compare(X, ">=", Version("1.0")), False),
    (MISSING, Compare(X, "!=", Version("1.0")), True),
    (MISSING, Compare(X, "=", Y), False),
    (MISSING, Compare(X, "!=", Y), True),
    (MISSING, Compare(Y, "<", X), False),
    (MISSING, HasAll(X, ("a",)), False),
    (MISSING, Text(X, "contains", ("a",)), False),
    (MISSING, Not(Text(X, "contains", ("a",))), True),
    (MISSING, Matches(X, ".*"), False),
    (MISSING, Between(X, 1, 2), False),
    (MISSING, Between(X, Y, Y), False),
    (MISSING, AnyOf("properties.x", Not(Exists(Path("it.a")))), False),
    # an empty list has no element
    ([], HasAll(X, ("a",)), False),
    ([], Text(X, "ends", ("a",)), False),
    ([], Matches(X, ".*"), False),
    ([], Between(X, 1, 2), False),
    ([], Compare(X, "on", Moment("2026-01-31")), False),
    ([], AnyOf("properties.x", Not(Exists(Path("it.a")))), False),
    # nothing holds across types
    (5, Text(X, "contains", ("5",)), False),
    (5, Matches(X, "5"), False),
    ("5", Between(X, 1, 9), False),
    (5, Between(X, "1", "9"), False),
    (True, Between(X, 0, 2), False),
    (20260131, Compare(X, "on", Moment("2026-01-31")), False),
    (2.1, Compare(X, "=", Version("2.1")), False),
    ("latest", Compare(X, "<", Version("2.1")), False),
    ("latest", Compare(X, "!=", Version("2.1")), True),
    ({"a": "x"}, Text(X, "contains", ("x",)), False),
    ({"a": "x"}, HasAll(X, ("x",)), False),
    ("a", AnyOf("properties.x", Not(Exists(Path("it.a")))), False),
    (["a", 5], AnyOf("properties.x", Not(Exists(Path("it.a")))), False),
    # has all: each value equals an element, or the one value
    (["a", "b", "c"], HasAll(X, ("A", "c")), True),
    (["a", "b", "c"], HasAll(X, ("A", "c"), exact=True), False),
    (["a", "b"], HasAll(X, ("a", "c")), False),
    ("a", HasAll(X, ("a", "A")), True),
    ([1, True], HasAll(X, (1.0, True)), True),
    ([1], HasAll(X, (True,)), False),
    # parts of texts
    ("Gro\u00dfe Schuhe", Text(X, "contains", ("GROSSE",)), True),
    ("Gro\u00dfe Schuhe", Text(X, "contains", ("GROSSE",), exact=True), False),
    ("Gro\u00dfe Schuhe", Text(X, "contains", ("hat", "schuh")), True),
    ("Gro\u00dfe Schuhe", Text(X, "starts", ("gro",)), True),
    ("Gro\u00dfe Schuhe", Text(X, "starts", ("gro",), exact=True), False),
    ("Gro\u00dfe Schuhe", Text(X, "ends", ("hats", "SCHUHE")), True),
    ("Gro\u00dfe Schuhe", Text(X, "ends", ("gro",)), False),
    (["hat", "shoes"], Text(X, "starts", ("sh",)), True),
    ("\u0301", Text(X, "contains", ("\u0301",)), True),
    ("abc", Text(X, "contains", ("\u0301",)), False),  # an accent alone is not nothing
    # the whole text, by RE2
    ("AB12", Matches(X, r"[A-Z]{2}\d+"), True),
    ("AB12 ", Matches(X, r"[A-Z]{2}\d+"), False),
    ("ab12", Matches(X, r"[A-Z]{2}\d+"), False),
    ("ab12", Matches(X, r"(?i)[A-Z]{2}\d+"), True),
    (["x", "AB1"], Matches(X, r"[A-Z]{2}\d+"), True),
    # both ends are in; one element has to lie between
    (5, Between(X, 5, 10), True),
    (10.0, Between(X, 5, 10), True),
    (10.1, Between(X, 5, 10), False),
    ("b", Between(X, "a", "b"), True),
    ("B", Between(X, "a", "b"), False),
    ([1, 20], Between(X, 5, 10), False),
    ([1, 20, 7], Between(X, 5, 10), True),
    ("2026-01-31", Between(X, Moment("2026-01-01"), Moment("2026-01-31")), True),
    ("1.9.0", Between(X, Version("1.10"), Version("2")), False),
    ("1.10.5", Between(X, Version("1.10"), Version("2")), True),
    # versions
    ("2.10.0", Compare(X, ">", Version("2.9.3")), True),
    ("2.10", Compare(X, "=", Version("2.10.0")), True),
    ("1.0.0-rc.1", Compare(X, "<", Version("1.0.0")), True),
    (["0.9", "3.0"], Compare(X, ">=", Version("2")), True),
    # two values
    (5, Compare(X, "=", X), True),
    ([3, 5], Compare(X, "<", X), True),
    ([3], Compare(X, "<", X), False),
    ("a", Compare(X, ">=", X), True),
    (True, Compare(X, ">=", X), False),
    ({"a": 1}, Compare(X, "=", X), False),
    (5, Between(X, X, X), True),
    # lists of objects
    ([{"a": "Wien"}, {"a": "Graz", "b": 2}], AnyOf("properties.x", WIEN), False),
    ([{"a": "Wien", "b": 2}, {"a": "Graz"}], AnyOf("properties.x", WIEN), True),
    ({"a": "wien", "b": 2}, AnyOf("properties.x", WIEN), True),
    ([{"a": {"c": 1}}], AnyOf("properties.x", Compare(Path("it.a.c"), "=", 1)), True),
    ([{"a": [{"c": 1}]}], AnyOf("properties.x", AnyOf("it.a", Compare(Path("it.c"), "=", 1))), True),
    ([{"a": 2, "b": 1}], AnyOf("properties.x", Compare(Path("it.a"), ">", Path("it.b"))), True),
]


def names(row):
    return f"{row!r}"


class Person:
    def __init__(self, value=None, states=None):
        self.value = value
        self.states = states or {}

    def get(self, path):
        return self.value if path in {"properties.x", "segments.loyal"} else None

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
