"""Laws of values in SQL: of people and of events, it answers what a second evaluator makes of each of them."""

from __future__ import annotations

from contextlib import closing

from hypothesis import given, settings
from hypothesis import strategies as st

from bespeak.analytics import row_of
from bespeak.analytics.conditions_sql import Rules, open_to_conditions, sql_of_all
from bespeak.analytics.parquet import connect
from bespeak.analytics.query import view
from bespeak.clock import DAY, HOUR, SECOND, parse_time
from bespeak.conditions import Aggregate, Path, Performed, format_condition
from bespeak.conditions.meaning.check import FIGURES
from bespeak.conditions.tree import Compare, Deed, Exists, In, Since
from bespeak.events import Event
from bespeak.testing.condition_trees import (
    TEXTS,
    filters,
    lasting,
    newest,
    numbers,
    sequences,
    trees,
    value_leaves,
)
from bespeak.testing.naive import holds

NOW = parse_time("2026-02-01T03:30:00Z")  # still January in New York
ZONES = ("UTC", "Europe/Vienna", "America/New_York")
DATES = (
    "2026-01-31",
    "2026-02-01",
    "2026-01-31T22:30:00",
    "2026-02-01T03:30:00Z",
    "2026-01-25T03:30:00Z",
    "2026-03-01",
)
WORDS = ("1.2.0", "2.10", "1.0.0-rc.2", "De\u0301", "DESIGN", "\u0430", "xdey", "0.1", "12")
instants = st.sampled_from([NOW, NOW + 1, NOW - 1, NOW + 2 * HOUR, NOW + DAY, NOW + 7 * DAY, NOW + 28 * DAY, NOW - DAY])

plain = st.one_of(st.sampled_from(TEXTS), st.sampled_from(TEXTS), st.sampled_from([*DATES, *WORDS]), numbers)
found = st.one_of(
    plain, plain, st.booleans(), st.none(), st.lists(st.one_of(plain, st.none()), max_size=4), st.just({})
)
objects = st.dictionaries(st.sampled_from(["city", "zip"]), found, max_size=2)
nested = st.one_of(objects, objects, st.fixed_dictionaries({"deep": st.fixed_dictionaries({"er": found})}), found)
listed = st.one_of(st.lists(nested, max_size=3), nested)
people = st.lists(
    st.fixed_dictionaries(
        {
            "zone": st.sampled_from(ZONES),
            "country": found,
            "age": found,
            "c": found,
            "joined": found,
            "addresses": listed,
        }
    ),
    min_size=8,
    max_size=16,
)
of_people = value_leaves("person", ("traits.addresses",)).filter(lambda one: "context.dev" not in format_condition(one))
happened = st.lists(
    st.fixed_dictionaries({"price": found, "er": found, "page": found, "products": listed}), min_size=8, max_size=16
)


def told(place, time=NOW - 9 * DAY, **more):
    fields = {"type": "track", "name": "E", "message_id": f"m{place}", "time": time, "received": time}
    return Event(**{**fields, "user_id": f"u{place:0>2}", **more})


def asked(conditions, events, at):
    """Return whom SQL finds for each of the conditions."""
    rows = [
        row_of(one, offset=place, data_key=1, imported=False, person=f"u:{one.user_id}", joined=None)
        for place, one in enumerate(events, 1)
    ]
    query = sql_of_all({str(place): one for place, one in enumerate(conditions)}, at)
    with closing(connect(threads=1, mib=256)) as connection:
        view(connection, (), rows, {})
        open_to_conditions(connection, Rules())
        answer = connection.execute(query.text, query.parameters).fetchall()
    return [{person[2:] for person, held in answer if place in held} for place in range(len(conditions))]


@settings.get_profile("fewest")
@given(st.lists(trees(of_people, most=2), min_size=4, max_size=8), people, instants)
def test_of_people_sql_answers_as_the_second_evaluator(conditions, persons, at):
    events, known = [], {}
    for place, person in enumerate(persons):
        said = dict(person)
        zone, deep = said.pop("zone"), said.pop("c")
        said |= {"a b.c": deep} if place % 2 else {"a b": {"c": deep}}
        events.append(told(place, type="identify", name="Identified", properties=said, context={"timezone": zone}))
        paths = {f"traits.{name}": value for name, value in said.items()}
        known[f"u{place:02}"] = {**paths, "traits.a b.c": deep, "zone": zone, "user_id": f"u{place:02}"}
    truth = [{name for name, one in known.items() if holds(asks, one, (), at)} for asks in conditions]
    assert asked(conditions, events, at) == truth


@settings.get_profile("fewest")
@given(st.lists(filters, min_size=4, max_size=8), happened, instants)
def test_of_events_sql_filters_as_the_second_evaluator(wheres, deeds, at):
    events = [
        told(
            place,
            at,
            properties={"price": one["price"], "deep": {"er": one["er"]}, "products": one["products"]},
            context={"page": one["page"]},
        )
        for place, one in enumerate(deeds)
    ]
    conditions = [Performed("E", where) for where in wheres]
    truth = [{one.user_id for one in events if holds(asks, {}, [one], at)} for asks in conditions]
    assert asked(conditions, events, at + 5 * DAY) == truth


kinds = st.sampled_from(["sum", "avg", "min", "max", "distinct", "first", "last", "most_frequent"])
values = st.one_of(st.sampled_from(["de", "DE", "", "x" * 1_000, "x" * 1_001]), numbers, st.booleans(), st.none())
amounts = st.one_of(values, numbers, numbers, st.lists(values, max_size=3), st.just([None]), st.just(["de"] * 101))
figures = st.sampled_from([-2.5, 0, 0.3, 1, 1.5, 2, 3, 4.5])


@st.composite
def sums(draw):
    aggregate = Aggregate(draw(kinds), "E", "properties.n", None, draw(st.sampled_from([None, 5 * SECOND])))
    if aggregate.kind in FIGURES:
        return Compare(aggregate, draw(st.sampled_from(["=", "<", ">=", "!="])), draw(figures))
    equal = st.builds(
        Compare, st.just(aggregate), st.just("="), st.sampled_from(["de", "", 1, 0.3, True, False, 2**60])
    )
    in_it = st.builds(In, st.just(aggregate), st.lists(figures, min_size=1, max_size=3).map(tuple))
    return draw(st.one_of(equal, in_it, st.just(Exists(aggregate))))


@settings.get_profile("fewest")
@given(
    st.lists(sums(), min_size=6, max_size=12),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8), amounts), min_size=10, max_size=40),
)
def test_of_what_events_add_up_to_sql_says_what_plain_counting_says(conditions, deeds):
    events = [
        told(f"{place:02}", NOW - ago * SECOND, user_id=f"u{who:02}", properties={"n": amount})
        for place, (who, ago, amount) in enumerate(deeds)
    ]
    theirs = {one.user_id: [other for other in events if other.user_id == one.user_id] for one in events}
    truth = [{name for name, did in theirs.items() if holds(asks, {}, did, NOW)} for asks in conditions]
    assert asked(conditions, events, NOW) == truth


words = ("A", "B", "C", "AB")
deeds = st.builds(
    Deed, st.sampled_from([*words, "A*"]), st.sampled_from([None, None, Compare(Path("properties.n"), ">", 1)])
)
seconds = st.integers(1, 6).map(lambda n: n * SECOND)
orders = st.one_of(
    sequences(deeds, seconds, st.one_of(st.none(), seconds, st.just(Since("2026-02-01T03:29:57Z")))),
    newest(
        words,
        st.sampled_from([None, Compare(Path("properties.n"), "<", 3)]),
        st.just(Compare(Path("properties.n"), "=", 1)),
        st.one_of(st.none(), seconds),
    ),
    lasting(("traits.plan", "traits.deep.er", "traits.group_id"), st.sampled_from(["a", "A", 1, True]), seconds),
)
given_traits = st.sampled_from(
    [{}, {"plan": "a"}, {"plan": None}, {"deep": {"er": "\u00c1"}}, {"deep": 1, "plan": [1, "x"]}]
)


@settings.get_profile("fewest")
@given(
    st.lists(orders, min_size=4, max_size=8),
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(-1, 12), st.sampled_from([*words, *words, "identify", "group"]),
                  st.integers(0, 3), given_traits),
        min_size=12, max_size=40,
    ),
)  # fmt: skip
def test_of_the_order_of_events_sql_says_what_plain_counting_says(conditions, happened):
    events = []
    for place, (who, ago, name, n, traits) in enumerate(happened):
        said = {"type": name, "group_id": "A"} if name in {"identify", "group"} else {"name": name}
        said["properties"] = traits if name == "identify" else {"n": n}
        if n == 0:
            said["context"] = {"traits": {"plan": "A", "group_id": 1}}
        events.append(told(f"{place:02}", NOW - ago * SECOND, user_id=f"u{who}", **said))
    theirs = {one.user_id: [other for other in events if other.user_id == one.user_id] for one in events}
    truth = [{name for name, did in theirs.items() if holds(asks, {}, did, NOW)} for asks in conditions]
    assert asked(conditions, events, NOW) == truth
