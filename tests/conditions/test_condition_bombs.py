"""Bombs in every form: too deep, too long, too large, of another type. Each is refused in words, or costs little.

Nothing here is timed: what is not bounded would not end, or would end the stack.
"""

from __future__ import annotations

import json
import math
from collections import Counter

import pytest

from bespeak.clock import DAY, NEVER, SECOND, parse_time
from bespeak.conditions import compile_condition, from_json, load, parse
from bespeak.conditions.counting.aggregates import Feeds, key
from bespeak.conditions.counting.reads import changes
from bespeak.conditions.counting.states_figures import Times
from bespeak.conditions.counting.windows import frame
from bespeak.conditions.text.unomi import from_unomi
from bespeak.conditions.tree import MAX_TOLD, Aggregate, Between, Calendar, Compare, In, Since
from bespeak.errors import ConditionError
from bespeak.events import Event

AT = parse_time("2026-02-01T12:00:00Z")
MANY = 100_000
PATH = '{"type":"path","path":"traits.x"}'


class Person:
    def __init__(self, states=None, **values):
        self.values = {f"traits.{name}": value for name, value in values.items()}
        self.states = states or {}

    def get(self, path):
        return self.values.get(path)

    def state(self, key):
        return self.states.get(key)

    def fading(self, path):
        return None


def unomi(kind, **given):
    return {"type": kind, "parameterValues": given}


def prop(operator, **value):
    return unomi("profilePropertyCondition", propertyName="properties.x", comparisonOperator=operator, **value)


VIEW = unomi("eventTypeCondition", eventTypeId="view")


# Depth


@pytest.mark.parametrize(
    "text",
    [
        "not " * 20_000 + "true",
        "(" * 40_000 + "true" + ")" * 40_000,
        "(not " * 15_000 + "true" + ")" * 15_000,
        "count(" * 10_000,
        "any of traits.x where (it.a = 1 and any of it.b where (" * 1_000,
        "[" * 90_000,
        'count("E" where ' * 5_000 + "true",
        'sequence("E" then ' * 5_000,
    ],
    ids=["nots", "brackets", "both", "calls", "lists", "square brackets", "filters", "sequences"],
)
def test_a_text_nested_too_deep_is_refused(text):
    with pytest.raises(ConditionError, match=r"expected .*, found "):
        parse(text)


@pytest.mark.parametrize(
    "raw",
    [
        '{"type":"not","condition":' * 30_000,
        '{"type":"and","all":[' * 30_000,
        "[" * 900_000,
        '{"type":"compare","operand":' * 30_000,
        '{"type":"exists","operand":{"type":"aggregate","kind":"count","event":"E","where":' * 10_000,
    ],
    ids=["nots", "ands", "lists", "operands", "filters"],
)
def test_json_nested_too_deep_is_refused(raw):
    with pytest.raises(ConditionError, match="at most 16 levels"):
        from_json(raw)


@pytest.mark.parametrize("levels", [17, 60, 5_000])
@pytest.mark.parametrize("around", ["not", "boolean", "past event"])
def test_a_condition_of_unomi_nested_too_deep_is_refused(levels, around):
    held = VIEW
    for _ in range(levels):
        if around == "not":
            held = unomi("notCondition", subCondition=held)
        else:
            held = unomi("booleanCondition", operator="and", subConditions=[held])
    if around == "past event":
        held = unomi("pastEventCondition", eventCondition=held, numberOfDays=3)
    with pytest.raises(ConditionError, match="at most 16 levels"):
        from_unomi(held)
    while "parameterValues" in held:  # taken apart by hand: C frees nested values by recursion
        given = held["parameterValues"]
        held = given.get("subCondition") or given.get("eventCondition") or given.get("subConditions", [{}])[0]


def test_a_condition_of_unomi_that_brings_itself_in_again_and_again_has_an_end():
    again = unomi("booleanCondition", subConditions="parameter::all", all="parameter::all")
    passed = [{f"a{n}": f"parameter::a{n}" for n in range(level, 13)} for level in range(14)]
    levels = [unomi("booleanCondition", subConditions=f"parameter::a{n}", **passed[n + 1]) for n in range(13)]
    lists = {f"a{n}": [levels[n + 1] if n < 12 else unomi("matchAllCondition")] * 10 for n in range(13)}
    for bomb in (
        unomi("booleanCondition", **lists, subConditions=[levels[0]] * 10),
        unomi("booleanCondition", operator="or", all=[again] * 10, subConditions=[again] * 10),
        unomi(
            "pastEventCondition",
            eventCondition=unomi("booleanCondition", all=[again] * 9, subConditions=[again] * 9),
        ),
    ):
        with pytest.raises(ConditionError, match=r"at most (16 levels|500 parts)"):
            from_unomi(bomb)


# Length


@pytest.mark.parametrize("words", ["in", "has all", "contains any", "in exactly"])
def test_lists_have_at_most_a_thousand_values_in_a_text(words):
    values = ", ".join(f'"{n}"' for n in range(10_000))
    with pytest.raises(ConditionError, match=r"1 to 1,000 values, found 10000"):
        parse(f"traits.x {words} [{values}]")
    with pytest.raises(ConditionError, match=r"at most 100,000 characters"):
        parse(f"traits.x {words} [{', '.join([values] * 10)}]")


@pytest.mark.parametrize("kind", ["in", "has_all", "text"])
def test_lists_have_at_most_a_thousand_values_in_json(kind):
    held = {"type": kind, "operand": json.loads(PATH), "values": [str(n) for n in range(MANY)]}
    if kind == "text":
        held["how"] = "contains"
    for given in (held, json.dumps(held)):
        with pytest.raises(ConditionError, match=r"1 to 1,000 values, found 100000|bytes"):
            load(given) if isinstance(given, dict) else from_json(given)


@pytest.mark.parametrize("operator", ["in", "notIn", "all", "inContains", "hasSomeOf"])
def test_lists_have_at_most_a_thousand_values_from_unomi(operator):
    with pytest.raises(ConditionError, match="1 to 1,000 values"):
        from_unomi(prop(operator, propertyValues=[str(n) for n in range(MANY)]))


@pytest.mark.parametrize("group", ["and", "or"])
def test_a_condition_has_at_most_five_hundred_parts_in_every_form(group):
    leaf = {"type": "exists", "operand": json.loads(PATH)}
    parts = {"type": group, {"and": "all", "or": "any"}[group]: [leaf] * MANY}
    sub = [unomi("matchAllCondition")] * MANY
    with pytest.raises(ConditionError, match="at most 500 parts"):
        parse(f" {group} ".join(["traits.x exists"] * 5_000))
    with pytest.raises(ConditionError, match="at most 500 parts"):
        load(parts)
    with pytest.raises(ConditionError, match="at most 500 parts"):
        from_unomi(unomi("booleanCondition", operator=group, subConditions=sub))


# Numbers


@pytest.mark.parametrize(
    "text",
    [
        "traits.x > 1e999",
        "traits.x = -1e999",
        f"traits.x > {'9' * 30}",
        f"traits.x > {'9' * 5_000}",
        f"traits.x between 1 and {'9' * 400}",
        f"traits.x in [1, {'9' * 40}]",
        f'count("E", last {"9" * 30} days) > 1',
        f"traits.x within last {'9' * 100} weeks",
        f"place within {'9' * 400} km of (1, 2)",
        f"place within 20 km of ({'9' * 400}, 2)",
        'traits.x < date "99999-01-01"',
        f'traits.x < date "now+{"9" * 60}y"',
        f'traits.x >= version "{"9." * 3_000}"',
    ],
)
def test_a_number_that_is_none_or_too_large_is_refused_in_a_text(text):
    with pytest.raises(ConditionError, match=r"expected .*, found "):
        parse(text)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 10**30, -(10**400)])
def test_a_number_that_is_none_or_too_large_is_refused_in_what_was_read(number):
    path = json.loads(PATH)
    near = {"type": "near", "operand": path, "latitude": number, "longitude": 2, "within": 5}
    for held in (
        {"type": "compare", "operand": path, "op": "<", "value": number},
        {"type": "in", "operand": path, "values": [1, number]},
        {"type": "between", "operand": path, "low": number, "high": number},
        near,
    ):
        with pytest.raises(ConditionError):
            load(held)


@pytest.mark.parametrize("raw", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 30, "9" * 5_000, "01", "0x1", "1_000"])
def test_a_number_that_is_none_or_too_large_is_refused_in_json(raw):
    with pytest.raises(ConditionError):
        from_json(f'{{"type":"compare","operand":{PATH},"op":"<","value":{raw}}}')


@pytest.mark.parametrize(
    "condition",
    [
        prop("greaterThan", propertyValueDouble=math.inf),
        prop("greaterThan", propertyValueInteger="9" * 5_000),
        prop("equals", propertyValueInteger=10**30),
        prop("greaterThan", propertyValueDate=10**30),
        prop("greaterThan", propertyValueDate=math.nan),
        prop("distance", center="48,16", distance="9" * 400),
        prop("distance", center={"lat": math.nan, "lon": 1}, distance="1km"),
        unomi("pastEventCondition", eventCondition=VIEW, numberOfDays=math.inf),
        unomi("pastEventCondition", eventCondition=VIEW, numberOfDays=10**40),
        unomi("pastEventCondition", eventCondition=VIEW, fromDate=10**30),
        unomi("pastEventCondition", eventCondition=VIEW, minimumEventCount=math.nan),
        unomi("scoringCondition", scoringPlanId="s", scoreValue=math.nan),
        unomi("sessionDurationCondition", minimumDuration=math.inf),
        unomi(
            "geoLocationByPointSessionCondition",
            type="rectangle",
            rectLatitudeNE=math.nan,
            rectLongitudeNE=1,
            rectLatitudeSW=1,
            rectLongitudeSW=1,
        ),
    ],
    ids=lambda one: one["type"],
)
def test_a_number_that_is_none_or_too_large_is_refused_from_unomi(condition):
    if condition["parameterValues"].get("propertyValueInteger") == "9" * 5_000:
        assert from_unomi(condition).condition.value == "9" * 5_000, "a text, which no number is greater than"
        return
    with pytest.raises(ConditionError, match=r"expected .*, found "):
        from_unomi(condition)


@pytest.mark.parametrize("op, most", [(">=", 1_000), ("<", 1_000), (">", 999), ("<=", 999), ("=", 999), ("!=", 999)])
@pytest.mark.parametrize("what", ['count("E", last 7 days)', 'count("E", this month)', 'distinct(properties.x of "E")'])
def test_a_figure_is_compared_with_what_can_be_told(what, op, most):
    assert parse(f"{what} {op} {most}")
    for more in (most + 1, most + 0.5, 10**15):
        if op in {">", "<=", "=", "!="} and more == most + 0.5:
            continue  # as with 999
        with pytest.raises(ConditionError, match=rf"expected a number up to {most:,}, found {more}"):
            parse(f"{what} {op} {more}")


@pytest.mark.parametrize("within", [None, Since("2026-01-01")])
def test_a_count_that_keeps_all_is_compared_with_any_number(within):
    count = Aggregate("count", "E", within=within)
    for test in (Compare(count, ">=", 10**6), Between(count, 5, 10**6), In(count, (5, 10**6))):
        assert compile_condition(test)


def test_what_is_told_in_part_is_refused_in_lists_and_between_too():
    count = Aggregate("count", "E", within=DAY)
    for test in (Between(count, 5, MAX_TOLD), Between(count, MAX_TOLD + 1, 5), In(count, (5, MAX_TOLD))):
        with pytest.raises(ConditionError, match="a window that moves keeps the newest 1,000 events"):
            compile_condition(test)
    assert compile_condition(Between(count, MAX_TOLD, MAX_TOLD - 1))


def test_a_thousand_different_values_are_told_from_a_thousand_and_one():
    asked = Aggregate("distinct", "E", "properties.x")
    feeds, states = Feeds([asked]), {}
    exactly = compile_condition(Compare(asked, ">=", MAX_TOLD))
    more = compile_condition(Compare(asked, "<=", MAX_TOLD - 1))
    for n in range(1, MAX_TOLD + 300):
        feeds.update(states, event(x=n), newest=AT, delay=0)
        if n > MAX_TOLD - 3:
            assert exactly.holds(Person(states), AT) is (n >= MAX_TOLD)
            assert more.holds(Person(states), AT) is (n < MAX_TOLD)


# Types and texts


def event(**properties):
    return Event(type="track", name="E", message_id="m", time=AT, received=AT, properties=properties)


ODD = [
    None, True, False, 0, -1, 1.5, math.nan, math.inf, -math.inf, 10**30, 5e-324, "", "a", "A\u0301", "\x00", "a\x00b",
    "\ud800", "\udfff\ud800", "2026-01-31", "1.2.3", "48.2,16.3", "9" * 5_000, [], [[]], [None], [1, "a", None, {}],
    {}, {"a": {}}, {"lat": math.nan, "lon": 1}, {"latitude": "1", "longitude": []}, [{"a": 1}, {"a": "\ud800"}], (1, 2),
]  # fmt: skip
TESTS = [
    "= 1", "!= 1", "< 1", ">= 1", '= "a"', '= exactly "a"', '< "a"', "= true", "in [1, 2]", 'in ["a", 1, true]',
    'has all ["a", 1]', 'contains "a"', 'starts with "a"', 'ends with exactly "a"', 'matches "[a-z]*"', "exists",
    "is missing", "between 1 and 5", 'between "a" and "b"', '< date "now"', 'on date "2026-01-31"', '>= version "1.2"',
    "= traits.y", "< traits.y", "between traits.y and traits.x", "within last 7 days", "within 5 km of (48.2, 16.3)",
]  # fmt: skip


@pytest.mark.parametrize("test", TESTS)
def test_a_value_of_another_type_is_no_error(test):
    asked = compile_condition(parse(f"traits.x {test}"))
    listed = compile_condition(parse("any of traits.x where (it.a = 1 or it.a exists)"))
    for x in ODD:
        for y in (x, 1, "a", [1, "a"]):
            person = Person(x=x, y=y)
            holds, until = asked.answer(person, AT)
            assert holds in {True, False}
            assert AT < until <= NEVER
            assert asked.explain(person, AT).sentence()
        assert listed.holds(Person(x=x), AT) in {True, False}


@pytest.mark.parametrize("kind", ["sum", "avg", "min", "max", "distinct", "first", "last", "most_frequent"])
@pytest.mark.parametrize("within", [None, DAY, Calendar("month")])
def test_what_is_counted_of_values_of_any_type_is_finite(kind, within):
    asked = Aggregate(kind, "E", "properties.x", None, within)
    feeds, states = Feeds([asked]), {}
    for x in ODD:
        feeds.update(states, event(x=x), newest=AT, delay=0)
    explained = compile_condition(parse("true")).explain(Person(states), AT)
    assert explained.holds
    if kind in {"sum", "avg", "min", "max"}:
        found = compile_condition(Compare(asked, "<", 10**12)).explain(Person(states), AT).value
        assert math.isfinite(found)
    else:
        assert states[key(asked)]


def test_a_character_that_cannot_be_seen_is_a_character():
    asked = compile_condition(parse('traits.x = "a\\u0000b"'))
    assert [asked.holds(Person(x=value), AT) for value in ("ab", "a\x00b")] == [False, True]
    composed, apart = "Jos\u00e9", "Jose\u0301"
    assert compile_condition(parse(f'traits.x = "{composed}"')).holds(Person(x=apart), AT)
    assert compile_condition(parse(f'traits.x = "{apart}"')).holds(Person(x=composed), AT)


def test_text_that_utf8_cannot_hold_is_refused_in_every_form():
    lone = "\ud800"
    for text in (f'traits.x = "{lone}"', 'traits.x = "\\ud800"', f'count("{lone}") > 1', f"traits.{lone} = 1"):
        with pytest.raises(ConditionError):
            parse(text)
    for raw in (f'{{"type":"exists","operand":{{"type":"path","path":"traits.{lone}"}}}}', '{"type":"\\ud800"}'):
        with pytest.raises(ConditionError):
            from_json(raw)
    for held in (
        {"type": "compare", "operand": json.loads(PATH), "op": "=", "value": lone},
        {"type": "performed", "event": lone},
    ):
        with pytest.raises(ConditionError):
            load(held)
    for old in (prop("equals", propertyValue=lone), unomi("eventTypeCondition", eventTypeId=lone), unomi(lone)):
        with pytest.raises(ConditionError):
            from_unomi(old)


# Steps


class Watched:
    """A frame that counts how often it is asked when events come and leave."""

    def __init__(self, window):
        self.frame = frame(window)
        self.asked = Counter()

    def bounds(self, get, at):
        return self.frame.bounds(get, at)

    def enters(self, time, get):
        self.asked["enters"] += 1
        return self.frame.enters(time, get)

    def leaves(self, time, get):
        self.asked["leaves"] += 1
        return self.frame.leaves(time, get)


@pytest.mark.parametrize("events", [1, 10, 1_000])
def test_of_a_month_that_ends_few_of_its_events_are_asked(events):
    watched = Watched(Calendar("month"))
    state = Times(62 * DAY, [AT + place * SECOND for place in range(events)])
    found = list(changes("count", state, watched, {"zone": "UTC"}.get, AT + DAY))
    assert found == [(parse_time("2026-03-01"), 0)]
    assert sum(watched.asked.values()) <= 3 + 2 * math.ceil(math.log2(events + 1))


def test_of_a_window_that_rolls_each_event_is_asked_as_it_leaves():
    watched = Watched(DAY)
    state = Times(2 * DAY, [AT + place * SECOND for place in range(1_000)])
    found = list(changes("count", state, watched, {}.get, AT + 2_000 * SECOND))
    assert found == [(AT + place * SECOND + DAY, 999 - place) for place in range(1_000)]
    assert sum(watched.asked.values()) <= 3 * 1_000
