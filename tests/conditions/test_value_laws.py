"""Laws of values: what is answered is what a second evaluator makes of it, of people, of events and of items."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bespeak.clock import DAY, HOUR, MINUTE, NEVER, parse_time
from bespeak.conditions import Aggregate, Feeds, bind, check, compile_condition, mask, parse
from bespeak.conditions.asking.source import read_on_the_right
from bespeak.conditions.tree import Aggregate as Figure
from bespeak.conditions.tree import (
    AnyOf,
    Between,
    Compare,
    HasAll,
    In,
    Matches,
    Moment,
    Near,
    Path,
    Text,
    Version,
    Within,
)
from bespeak.conditions.values.dates import asked_in
from bespeak.conditions.values.folding import fold
from bespeak.events import Event
from bespeak.testing.condition_trees import TEXTS, numbers, trees, value_leaves
from bespeak.testing.naive import holds as naive
from bespeak.testing.naive_values import folded

NOW = parse_time("2026-02-01T03:30:00Z")  # still January in New York
ZONES = (None, "UTC", "Europe/Vienna", "America/New_York", "Atlantis")
DATES = (
    "2026-01-31",
    "2026-02-01",
    "2026-01-31T22:30:00",
    "2026-02-01T03:30:00Z",
    "2026-01-25T03:30:00Z",
    "2026-03-01",
)
NEAR = [NOW + step for step in (0, 1, -1, HOUR, 2 * HOUR, 20 * HOUR, DAY, 7 * DAY, 28 * DAY, -DAY)]

plain = st.one_of(
    st.sampled_from(TEXTS),
    st.sampled_from(DATES),
    st.sampled_from(["1.2.0", "2.10", "1.0.0-rc.2", "De\u0301", "DESIGN", "\u0430"]),
    numbers,
    st.booleans(),
)
found = st.one_of(
    plain, plain, st.none(), st.lists(st.one_of(plain, st.none()), max_size=3), st.just({"deep": {"er": 1}})
)
objects = st.dictionaries(
    st.sampled_from(["city", "zip", "deep"]), st.one_of(found, st.fixed_dictionaries({"er": plain})), max_size=3
)
listed = st.one_of(st.lists(st.one_of(objects, plain), max_size=3), objects, st.none(), plain)
people = st.fixed_dictionaries(
    {"zone": st.sampled_from(ZONES)},
    optional={
        **dict.fromkeys(("traits.country", "traits.age", "traits.a b.c", "traits.joined", "user_id"), found),
        "context.device": plain,
        "traits.addresses": listed,
    },
)


def hints(test):
    """Values that may well pass a test."""
    match test:
        case Compare(_, _, Moment()) | Within() | Between(_, Moment()):
            return [*DATES, list(DATES[:2])]
        case Compare(_, _, Version(text)) | Between(_, Version(text)):
            return [text, "2.0.1", ["0.1", text]]
        case Compare(_, _, str() as value):
            return [value, value.upper(), [None, value]]
        case Compare(_, _, value) | Between(_, value):
            return [value, [value, 1]] if isinstance(value, int | float) else ["de", 1, "2026-01-31"]
        case In(_, values):
            return [values[0], list(values)]
        case HasAll(_, values):
            return [list(values), [*values, 7], values[0]]
        case Text(_, how, values):
            text = values[-1]
            return [{"contains": f"x{text}y", "starts": f"{text}y", "ends": f"y{text}"}[how], text.upper(), [text]]
        case Near(_, latitude, longitude):
            place = {"lat": latitude, "lng": longitude}
            return [place, f"{latitude},{longitude}", [None, place], {"lat": latitude - 1, "lng": longitude}]
        case Matches():
            return ["DE", "d", "12", ["", "shoes"]]
        case _:
            return ["x"]


def meets(draw, condition, found):
    """Let some tests of a condition find what they may well ask for."""
    for test in asked_in(condition):
        if draw(st.booleans()):
            continue
        if isinstance(test, AnyOf):
            element = draw(objects)
            meets(draw, test.where, element)
            found[test.path] = [draw(objects), {name.removeprefix("it."): one for name, one in element.items()}]
        elif isinstance(test.operand, Path):
            found[test.operand.path] = draw(st.sampled_from(hints(test)))
        for right in read_on_the_right(test):
            found[right.path] = draw(st.sampled_from([[0, 1, 5], ["de", "x"], ["2026-01-31", 3], 1, "DE", DATES[1]]))


@st.composite
def cases(draw, condition):
    """A condition, and a person of whom it asks."""
    asked, person = draw(condition), dict(draw(people))
    meets(draw, asked, person)
    return asked, person


leaves = value_leaves("person", ("traits.addresses",))
of_people = cases(trees(leaves, most=5))
of_events = trees(value_leaves("event", ("properties.products",)), most=5)


class Person:
    def __init__(self, values):
        self.get = values.get

    def state(self, key):
        return None

    def fading(self, path):
        return None


@given(st.one_of(cases(leaves), cases(leaves), of_people))
def test_of_a_person_the_answer_is_that_of_the_second_evaluator(case):
    condition, person = case
    compiled = compile_condition(condition)
    for at in NEAR:
        truth = naive(condition, person, (), at)
        assert compiled.holds(Person(person), at) is truth
        assert compiled.answer(Person(person), at)[0] is truth
        assert compiled.explain(Person(person), at).holds is truth


@pytest.mark.parametrize("op", ["<", "<=", ">", ">=", "=", "!=", "on"])
@pytest.mark.parametrize("zone", ZONES)
def test_about_dates_every_case_is_that_of_the_second_evaluator(op, zone):
    for expr in ("now", "now/d", "now-1d/d", "now-1M/M", "2026-01-31", "2026-02-01T03:30:00Z", "2026-01-01||+1M/M"):
        leaf = Compare(Path("traits.joined"), op, Moment(expr))
        compiled = compile_condition(leaf)
        for value in [*DATES, list(DATES[:2]), None, "soon"]:
            person = {"zone": zone, "traits.joined": value}
            for at in NEAR:
                assert compiled.holds(Person(person), at) is naive(leaf, person, (), at)


@pytest.mark.parametrize("op", ["<", "<=", ">", ">=", "=", "!="])
@pytest.mark.parametrize("one", [1, 5, "de", [1, 5], [0, "x"], ["de", "y"], None, True])
@pytest.mark.parametrize("other", [1, 5, "DE", [0, 6], [1], ["a", 3], [], None, True])
def test_of_two_that_are_read_every_case_is_that_of_the_second_evaluator(op, one, other):
    for left, right in (("traits.one", "item.other"), ("item.one", "traits.other"), ("traits.one", "traits.other")):
        for leaf in (Compare(Path(left), op, Path(right)), Between(Path(left), Path(right), 4)):
            known = {left: one, right: other}
            truth = naive(leaf, known, (), NOW)
            assert compile_condition(leaf).holds(Person(known), NOW) is truth
            bound = bind(leaf, Person(known), NOW)
            columns = {path: np.empty(2, dtype=object) for path in known if path.startswith("item.")}
            for path, column in columns.items():
                column[1] = known[path]
            assert (bound if isinstance(bound, bool) else mask(bound, columns, 2)[1]) == truth


@given(of_people)
def test_an_answer_stands_until_its_next_flip(case):
    condition, person = case
    compiled = compile_condition(condition)
    holds, until = compiled.answer(Person(person), NOW)
    assert until > NOW
    horizon = min(until, NOW + 40 * DAY)
    for at in [*range(NOW, horizon, 5 * HOUR + 17 * MINUTE), horizon - 1]:
        assert naive(condition, person, (), at) is holds


@given(cases(leaves.filter(lambda leaf: not isinstance(leaf, AnyOf))))
def test_the_next_flip_of_one_leaf_is_a_turn(case):
    leaf, person = case
    lists = [value for value in person.values() if isinstance(value, list) and len(value) > 1]
    holds, until = compile_condition(leaf).answer(Person(person), NOW)
    if until != NEVER and not lists:
        assert naive(leaf, person, (), until) is not holds


@given(
    of_events,
    st.dictionaries(st.sampled_from(["price", "deep", "products"]), st.one_of(found, listed), max_size=3),
    st.sampled_from(["home", "2026-01-31", 5]),
)
def test_of_an_event_the_filter_is_that_of_the_second_evaluator(condition, properties, page):
    feeds = Feeds([Aggregate("count", "E", None, condition)])
    event = Event(
        type="track", name="E", message_id="m", time=NOW, received=NOW, properties=properties, context={"page": page}
    )
    truth = naive(Compare(Figure("count", "E", None, condition), "=", 1), {}, [event], NOW + DAY)
    assert bool(feeds.update({}, event, newest=NOW, delay=0)) is truth


item_paths = {
    "traits.country": "item.brand", "traits.age": "item.price", "traits.joined": "item.properties.launch",
    "traits.addresses": "item.properties.offers",
}  # fmt: skip


def of_items(condition):
    """The same condition, half of what it reads being the item's."""
    match condition:
        case Path(path):
            return Path(item_paths.get(path, path))
        case AnyOf(path, where):
            return AnyOf(item_paths.get(path, path), where)
        case Compare(operand, op, value, exact):
            return Compare(of_items(operand), op, of_items(value), exact)
        case Between(operand, low, high):
            return Between(of_items(operand), of_items(low), of_items(high))
        case _ if hasattr(condition, "operand"):
            return type(condition)(
                **{f: getattr(condition, f) for f in condition.__struct_fields__ if f != "operand"},
                operand=of_items(condition.operand),
            )
        case _ if hasattr(condition, "condition"):
            return type(condition)(of_items(condition.condition))
        case _ if hasattr(condition, "__struct_fields__") and condition.__struct_fields__ in {("all",), ("any",)}:
            (parts,) = (getattr(condition, field) for field in condition.__struct_fields__)
            return type(condition)(tuple(map(of_items, parts)))
        case _:
            return condition


@given(of_people, st.sampled_from(NEAR))
def test_of_an_item_what_is_bound_and_masked_is_that_of_the_second_evaluator(case, at):
    condition, person = case
    mixed = check(of_items(condition))
    known = {item_paths.get(path, path): value for path, value in person.items()} | {"zone": None}
    left = bind(mixed, Person(known), at)
    truth = naive(mixed, known, (), at)
    if isinstance(left, bool):
        assert left is truth
        return
    columns = {}
    for path, value in known.items():
        columns[path] = np.empty(2, dtype=object)
        columns[path][1] = value
    assert mask(left, {path: column for path, column in columns.items() if path.startswith("item.")}, 2)[1] == truth


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
def test_folding_is_done_letter_by_letter_and_once(text):
    assert fold(text) == folded(text)
    assert fold(fold(text)) == fold(text)
    assert fold(text.upper().lower()) == fold(text.lower())
    assert fold(unicodedata.normalize("NFD", text)) == fold(text)


def test_a_law_has_cases_to_decide():
    """The trees above are not all false: of each test some that hold are found."""
    seen = set()

    @given(cases(leaves))
    @settings.get_profile("many")
    def look(case):
        leaf, person = case
        kind = type(leaf).__name__ + (getattr(leaf, "op", "") or getattr(leaf, "how", ""))
        if naive(leaf, person, (), NOW):
            seen.add(kind)

    look()
    assert {"Compareon", "Compare<", "Compare=", "HasAll", "Textcontains"} <= seen
    assert {kind.__name__ for kind in (AnyOf, Between, Matches, Near, Within)} <= seen


def test_any_of_turns_when_the_element_that_counts_does():
    orders = [{"at": "2026-01-31", "kind": "a"}, {"at": "2026-01-28", "kind": "b"}, {"at": "2026-02-10", "kind": "b"}]
    recent = compile_condition(
        parse('any of traits.orders where (it.at > date "now-7d" and it.at <= date "now" and it.kind = "b")')
    )
    person = Person({"traits.orders": orders})
    turns = []
    at = NOW
    while at != NEVER:
        holds, until = recent.answer(person, at)
        turns.append((holds, until))
        at = until
    days = ("2026-02-04", "2026-02-10", "2026-02-17")
    assert turns == [
        *zip((True, False, True), map(parse_time, days), strict=True),
        (False, NEVER),
    ]
