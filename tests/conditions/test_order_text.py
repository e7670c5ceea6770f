"""The text and the JSON of what stands on the order of events, and how they point at what is wrong."""

# ruff: noqa: E501 - a message stands on one line beside the text that it is about

from __future__ import annotations

import json

import pytest

from bespeak.clock import DAY, HOUR
from bespeak.conditions import (
    And,
    Calendar,
    Compare,
    HasBeen,
    LastPerformed,
    Not,
    Path,
    Sequence,
    format_condition,
    from_json,
    load,
    parse,
    to_json,
)
from bespeak.conditions.text.complete import Vocabulary, unknown
from bespeak.conditions.tree import Deed, Quiet, Step
from bespeak.errors import ConditionError

DEAR = Compare(Path("properties.price"), ">", 5)
READ = {
    'sequence("A")': Sequence((Step("A"),)),
    'sequence("A" then "B" within 1 hour without "C" for 24 hours, last 30 days)': Sequence(
        (Step("A"), Step("B", None, HOUR)), Quiet((Deed("C"),), DAY), 30 * DAY
    ),
    'sequence("A" where properties.price > 5 then "B" without "C", "D" where properties.price > 5 then "A*", today)': Sequence(
        (Step("A", DEAR), Step("B", None, None, (Deed("C"), Deed("D", DEAR))), Step("A*")), None, Calendar("day")
    ),
    'sequence("A" then "B" without "C" without "D", "E" for 2 hours)': Sequence(
        (Step("A"), Step("B", None, None, (Deed("C"),))), Quiet((Deed("D"), Deed("E")), 2 * HOUR)
    ),
    'not last("E", last 3 days) has (properties.price > 5 and true)': Not(
        LastPerformed("E", And((DEAR, And(()))), None, 3 * DAY)
    ),
    'last("E" where properties.price > 5) has (properties.price > 5)': LastPerformed("E", DEAR, DEAR),
    'traits.plan has been "pro" for 30 days': HasBeen("traits.plan", "pro", 30 * DAY),
    'traits."a b".c has been exactly "pro" for less than 1 day': HasBeen(
        "traits.a b.c", "pro", DAY, less=True, exact=True
    ),
    "traits.n has been exactly 5 for 2 hours": HasBeen("traits.n", 5, 2 * HOUR),
    'traits.plan not has been "pro" for 1 day': Not(HasBeen("traits.plan", "pro", DAY)),
}


@pytest.mark.parametrize("text", READ)
def test_what_is_about_the_order_of_events_is_read_as_what_it_says(text):
    assert repr(parse(text)) == repr(READ[text])
    assert repr(parse(format_condition(READ[text]))) == repr(READ[text])
    assert repr(from_json(to_json(READ[text]))) == repr(READ[text])


def test_the_json_of_a_sequence_names_each_step():
    text = 'sequence("A" then "B" where type = "track" within 1 second without "C" for 1 second, today)'
    assert json.loads(to_json(parse(text))) == {
        "type": "sequence",
        "steps": [
            {"event": "A"},
            {
                "event": "B",
                "where": {"type": "compare", "operand": {"type": "path", "path": "type"}, "op": "=", "value": "track"},
                "within": 1_000_000,
            },
        ],
        "after": {"without": [{"event": "C"}], "for": 1_000_000},
        "within": {"type": "calendar", "unit": "day"},
    }
    assert json.loads(to_json(HasBeen("traits.plan", "pro", 1_000, less=True))) == {
        "type": "has_been",
        "path": "traits.plan",
        "value": "pro",
        "for": 1_000,
        "less": True,
    }


ELEVEN = " then ".join(['"A"'] * 11)
SIX = ", ".join(['"B"'] * 6)
AN_EVENT = "expected the name of an event in double quotes"
WRONG = {
    "sequence()": f"column 10: {AN_EVENT}",
    'sequence("A" then)': f"column 18: {AN_EVENT}",
    'sequence("A" within 1 hour)': "expected no `within` and no `without`, found `within`; there is no step before it",
    'sequence("A" without "B")': "found `without`; say for how long, if it may not follow",
    'sequence("A" then "B" within last 1 hour)': "column 30: expected a whole number of days, hours",
    'sequence("A" then "B" last 3 days)': "column 23: expected `,` before the window, found `last`",
    'sequence("A" then "B" for 1 day)': "column 23: expected `then`, `,` and a window, or `)`, found `for`; write `without` and an event first",
    'sequence("A" and "B")': "column 14: expected `then`, `,` and a window, or `)`, found `and`; write `then` between two steps",
    'sequence("A", "B")': "column 13: expected `then`, found `,`; write `then` between two steps",
    'sequence("A" the "B")': "found `the`; did you mean `then`?",
    'sequence("A" without "B" for 1 day then "C")': "column 41: expected `,` and a window, or `)`",
    'sequence("A" then "B" without "C" without "D")': "column 46: expected `for` and how long, found `)`; write a comma",
    'sequence("A" without "B" for 1 day, last 1 day)': "expected a window longer than what `for` says, found one as short",
    'sequence("A" without "B" for 0 days)': "column 30: expected a whole number above zero",
    'sequence("A" then "B" within 3661 days)': "expected whole milliseconds, from 1 millisecond to 3,660 days",
    f"sequence({ELEVEN})": "expected 1 to 10 steps, found 11",
    f'sequence("A" without {SIX} for 1 day)': "expected 1 to 5 events, found 6",
    'sequence("A" where traits.a = 1)': "column 20: expected properties.NAME, context.NAME, item.NAME or type, found 'traits.a'",
    'sequence("A") >= 1': "column 15: expected `and`, `or` or the end",
    'count("E" where sequence("A")) > 1': "column 17: expected properties.NAME, context.NAME, item.NAME or type, found sequence(...)",
    'any of traits.x where (last("A") has (true))': "expected it.NAME, found last(...) has (...)",
    'last("A") > 5': "column 11: expected `has` and what it must be, found `>`; for the value of a property write last(",
    'last("A") has all ["x"]': "column 15: expected `(`, found `all`",
    'last("A") has (traits.x = 1)': "column 16: expected properties.NAME, context.NAME, item.NAME or type",
    "traits.a has been 5": "column 20: expected `for` and how long, as in for 30 days, found the end",
    "traits.a has been null for 1 day": "column 19: expected a string, a number, true or false, found `null`",
    "traits.a has been 5 for less 1 day": "column 30: expected `than` and how long",
    "traits.a has ben 5 for 1 day": "found `ben`; did you mean `been`?",
    'user_id has been "x" for 1 day': "expected a trait such as traits.plan, found 'user_id'; only traits are said again",
    'count("A") has been 1 for 1 day': "expected a trait before `has been`",
    'count("E" where properties.x has been 1 for 1 day) > 1': "column 17: expected properties.NAME, context.NAME, item.NAME or type",
    'sequenca("A")': "column 1: expected a condition, found `sequenca`; did you mean `sequence`?",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_pointed_at(text):
    with pytest.raises(ConditionError) as caught:
        parse(text)
    assert WRONG[text] in str(caught.value)
    assert str(caught.value).splitlines()[-1].strip("^ ") == ""


@pytest.mark.parametrize(
    "value, message",
    [
        ({"type": "sequence", "steps": []}, "sequence: expected 1 to 10 steps, found 0"),
        ({"type": "sequence", "steps": [{"event": ""}]}, "event name: expected 1 to 500 characters"),
        ({"type": "sequence", "steps": [{"event": "A", "then": 1}]}, "steps[0]: object contains unknown field `then`"),
        ({"type": "sequence", "steps": [{"event": "A"}], "after": {"without": [], "for": 1000}}, "without: expected 1 to 5"),
        ({"type": "sequence", "steps": [{"event": "A"}, {"event": "B", "within": 1}]}, "window: expected whole milliseconds"),
        ({"type": "sequence", "steps": [{"event": "A"}], "within": {"type": "since", "date": "x"}}, "condition, date"),
        ({"type": "last_performed", "event": "A"}, "object missing required field `has`"),
        ({"type": "has_been", "path": "traits.a", "value": 1, "for": 1}, "window: expected whole milliseconds"),
        ({"type": "has_been", "path": "traits.a", "value": None, "for": 1000}, "value: expected a string, a number"),
        ({"type": "has_been", "path": "traits.", "value": 1, "for": 1000}, "path: expected a dotted path"),
    ],
)  # fmt: skip
def test_json_that_has_no_meaning_is_refused(value, message):
    with pytest.raises(ConditionError) as caught:
        load(value)
    assert message in str(caught.value)


def test_names_that_nobody_knows_are_found_in_every_step():
    known = Vocabulary({"Viewed": ("price",), "Bought": ("total",)}, ("plan",))
    text = (
        'sequence("Viewed" where properties.pric = 1 then "Bough" without "View*", "Vieved") or traits.pla has been 1 for 1 day'
        ' or last("Viewed" where properties.x = 1) has (properties.prize = 2)'
    )
    found = {(one.kind, one.name, one.near) for one in unknown(parse(text), known)}
    assert found == {
        ("property", "properties.pric", "properties.price"),
        ("event", "Bough", "Bought"),
        ("event", "Vieved", "Viewed"),
        ("trait", "traits.pla", "traits.plan"),
        ("property", "properties.x", None),
        ("property", "properties.prize", "properties.price"),
    }
