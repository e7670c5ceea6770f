"""The text form: what it reads, how it is written back, and how it points at what is wrong."""

# ruff: noqa: E501 - a message stands on one line beside the text that it is about

from __future__ import annotations

import pytest

from bespeak.clock import DAY, HOUR, MILLISECOND, SECOND
from bespeak.conditions import (
    Aggregate,
    And,
    Compare,
    Exists,
    In,
    InSegment,
    Not,
    Or,
    Path,
    Performed,
    format_condition,
    load,
    parse,
)
from bespeak.errors import ConditionError

READ = {
    'traits.country in ["DE", "FR"] and count("Product Viewed" where properties.discount > 0, last 30 days) >= 5': And(
        (
            In(Path("traits.country"), ("DE", "FR")),
            Compare(
                Aggregate("count", "Product Viewed", None, Compare(Path("properties.discount"), ">", 0), 30 * DAY),
                ">=",
                5,
            ),
        )
    ),
    'performed("Product Added") and not performed("Order Completed", last 24 hours)': And(
        (Performed("Product Added"), Not(Performed("Order Completed", None, 24 * HOUR)))
    ),
    'sum(properties.revenue of "Order Completed" where properties.currency = "EUR", last 90 days) > 100': Compare(
        Aggregate(
            "sum", "Order Completed", "properties.revenue", Compare(Path("properties.currency"), "=", "EUR"), 90 * DAY
        ),
        ">",
        100,
    ),
    'last(properties.category of "Product Viewed") = "shoes"': Compare(
        Aggregate("last", "Product Viewed", "properties.category"), "=", "shoes"
    ),
    "traits.email exists": Exists(Path("traits.email")),
    "traits.email is missing": Not(Exists(Path("traits.email"))),
    'traits.country not in ["DE"]': Not(In(Path("traits.country"), ("DE",))),
    "not (traits.vip = true or traits.age < -1.5e2)": Not(
        Or((Compare(Path("traits.vip"), "=", True), Compare(Path("traits.age"), "<", -150.0)))
    ),
    'in_segment("loyal")': InSegment("loyal"),
    "true": And(()),
    "false": Or(()),
    'context.device = "phone"': Compare(Path("context.device"), "=", "phone"),
    'item.price < 20 and item.tags in ["sale"]': And(
        (Compare(Path("item.price"), "<", 20), In(Path("item.tags"), ("sale",)))
    ),
    "a.x exists or b.x exists and c.x exists": Or(
        (Exists(Path("a.x")), And((Exists(Path("b.x")), Exists(Path("c.x")))))
    ),
    "not a.x exists and b.x exists": And((Not(Exists(Path("a.x"))), Exists(Path("b.x")))),
    "((a.x exists))": Exists(Path("a.x")),
    "not not a.x = 1": Not(Not(Compare(Path("a.x"), "=", 1))),
    'properties."Product Category".last = "a \\"b\\" \\u00e9\\n"': Compare(
        Path("properties.Product Category.last"), "=", 'a "b" \u00e9\n'
    ),
    "traits.\u00e9t\u00e9-2.0 != 1": Compare(Path("traits.\u00e9t\u00e9-2.0"), "!=", 1),
    'count("E",last 1 second)>=1': Compare(Aggregate("count", "E", within=SECOND), ">=", 1),
    'count("E", last 2 weeks) >= 1': Compare(Aggregate("count", "E", within=14 * DAY), ">=", 1),
    'performed("E",\n  last 1500 milliseconds\n)': Performed("E", None, 1500 * MILLISECOND),
    'performed("E" where properties.a = 1 or properties.b = 2 and type = "track")': Performed(
        "E",
        Or(
            (
                Compare(Path("properties.a"), "=", 1),
                And((Compare(Path("properties.b"), "=", 2), Compare(Path("type"), "=", "track"))),
            )
        ),
    ),
}


@pytest.mark.parametrize("text", READ)
def test_a_text_is_read_as_what_it_says(text):
    assert repr(parse(text)) == repr(READ[text])
    assert repr(parse(format_condition(READ[text]))) == repr(READ[text])
    assert load(text) == READ[text]


@pytest.mark.parametrize(
    "text, normal",
    [
        ('performed( "E" ,last 48 hours )', 'performed("E", last 2 days)'),
        ('performed("E", last 1 days)', 'performed("E", last 1 day)'),
        ('performed("E", last 90 minutes)', 'performed("E", last 90 minutes)'),
        ("(a.x exists and (b.x exists))", "a.x exists and b.x exists"),
        ("a.x exists and (b.x exists and c.x exists)", "a.x exists and (b.x exists and c.x exists)"),
        ("(a.x exists and b.x exists) or c.x exists", "(a.x exists and b.x exists) or c.x exists"),
        ("not a.x exists", "a.x is missing"),
        ("not a.x in [1]", "a.x not in [1]"),
        ("not a.x = 1", "not (a.x = 1)"),
        ("a.x = 1.50", "a.x = 1.5"),
        ("a.x = 1e3", "a.x = 1000.0"),
        ('a."x" = "\\u00e9"', 'a.x = "\u00e9"'),
        ("not true", "not true"),
    ],
)
def test_a_condition_is_written_in_one_way(text, normal):
    assert format_condition(parse(text)) == normal
    assert format_condition(parse(normal)) == normal


def test_a_group_of_one_is_its_part():
    leaf = Exists(Path("a.x"))
    assert format_condition(And((Or((leaf,)),))) == "a.x exists"
    assert format_condition(Not(And((leaf,)))) == "a.x is missing"


WRONG = {
    "traits.a == 1": "column 10: expected a condition, found `==`; write `=` for equality",
    "traits.a = 1 AND traits.b = 2": "column 14: expected `and`, `or` or the end, found `AND`; write `and` in lower case",
    "NOT traits.a = 1": "column 1: expected a condition, found `NOT`; write `not` in lower case",
    "traits.a = 1 && traits.b = 2": "column 14: expected a condition, found `&&`; write `and`",
    "traits.a = 1 || traits.b = 2": "found `||`; write `or`",
    '!performed("E")': "column 1: expected a condition, found `!`; write `not` or `!=`",
    "traits.a <> 1": "found `<>`; write `!=`",
    "traits.a = 'x'": "column 12: expected a condition, found `'`; write strings in double quotes",
    "traits.a = DE": 'column 12: expected a value such as "DE", 5 or true, found `DE`; write strings in double quotes: "DE"',
    'traits.a = "x': 'column 12: expected a condition, found `"`; close the string with a double quote',
    'traits.a = "\\x"': "column 12: expected a string with JSON's escapes",
    'traits.a = "\\ud800"': "column 12: expected a string with JSON's escapes",
    "traits.a": "column 9: expected =, !=, <, <=, >, >=, in, exists or is missing, found the end; "
    "to test a flag, write traits.a = true",
    "traits.a = null": "column 12: expected a string, a number, true or false, found `null`; write `is missing` or `exists`",
    "traits.a is null": "column 13: expected `missing`, found `null`; write `is missing` or `exists`",
    '"sale" in item.tags': 'column 1: expected a condition such as traits.country = "DE", found `"sale"`; the path comes first',
    "5 < traits.a": "column 1: expected a condition such as",
    "traits.a in []": "column 14: expected at least one value, found `]`",
    'traits.a in "DE"': 'column 13: expected a list such as ["DE", "FR"]',
    'traits.a in ["DE" "FR"]': "column 19: expected `,` or `]`",
    "traits.a > true": "column 1: expected a number or a string, found true; true and false have no order",
    "traits.a = 1e999": "column 1: expected a finite number, found inf",
    "traits.a = 99999999999999999999": "column 1: expected a whole number of at most 64 bits",
    f"traits.a = {'9' * 5000}": "column 12: expected a number of at most 400 digits",
    "traits.a + 1 > 2": "column 10: expected a condition, found `+`; there is no arithmetic in conditions",
    "and = 1": "column 1: expected a condition such as",
    'traits."" = 1': "expected names without dots in a path",
    'traits."a.b" = 1': "expected names without dots in a path",
    'performd("E")': "column 1: expected a condition, found `performd`; did you mean `performed`?",
    "performed(E)": 'column 11: expected the name of an event in double quotes, found `E`; write strings in double quotes: "E"',
    'performed("")': "column 1: expected 1 to 500 characters, found 0",
    'performed("E"': "column 14: expected `)`, found the end",
    'count("E") >= "5"': "column 1: expected a number to compare with, found '5'",
    'count("E" last 3 days) > 1': "column 11: expected `,` before the window, found `last`; write a comma before `last`",
    'count("E", 3 days) > 1': "column 12: expected `last` and a duration such as 30 days, found `3`",
    'count("E", last 3 fortnights) > 1': "column 19: expected days, hours, minutes, seconds or milliseconds",
    'count("E", last 0 days) > 1': "column 17: expected a whole number above zero, found `0`",
    'count("E", last 1.5 days) > 1': "column 17: expected a whole number above zero, found `1.5`",
    'count("E", last 9999 days) > 1': "column 1: expected whole milliseconds, from 1 millisecond to 3,660 days",
    'count("E" where traits.a = 1) > 1': "column 17: expected properties.NAME, context.NAME or type, found 'traits.a'",
    'count("E" where performed("F")) > 1': "column 17: expected properties.NAME, context.NAME or type, found performed(...)",
    'sum("E") > 1': 'column 5: expected a property such as properties.revenue, found `"E"`; write sum(properties.NAME of "EVENT")',
    "sum(properties.a) > 1": "column 17: expected `of` and the name of an event, found `)`",
    'sum(traits.a of "E") > 1': "column 1: expected properties.NAME, context.NAME or type, found 'traits.a'",
    "(traits.a = 1": "column 14: expected `and`, `or` or `)`, found the end",
    "traits.a = 1)": "column 13: expected `and`, `or` or the end, found `)`",
    "": 'column 1: expected a condition such as traits.country = "DE", found the end',
    "traits.a = 1\nand traits.b === 2": "line 2, column 14: expected a condition, found `==`",
}


@pytest.mark.parametrize("text", WRONG)
def test_an_error_says_where_what_and_what_would_do(text):
    with pytest.raises(ConditionError) as caught:
        parse(text)
    assert WRONG[text] in str(caught.value)
    assert str(caught.value).startswith("condition, ")
    (problem,) = caught.value.problems
    assert problem.expected in str(caught.value)
    assert len(str(caught.value)) < 600


def test_an_error_shows_the_line_with_a_caret_under_the_place():
    with pytest.raises(ConditionError) as caught:
        parse('traits.country = "DE"\n  and traits.age => 18')
    assert str(caught.value).splitlines()[1:] == ["    and traits.age => 18", "                    ^"]


@pytest.mark.parametrize(
    "text",
    [
        "(" * 1_000 + "true" + ")" * 1_000,
        "not " * 1_000 + "true",
        "not (" * 1_000 + "true" + ")" * 1_000,
        "(" * 100_000,
        "not (true and " * 17 + "true" + ")" * 17,
        'performed("E" where ' * 1_000,
    ],
)
def test_a_condition_nested_too_deep_is_refused_without_descending(text):
    with pytest.raises(ConditionError, match=r"levels|characters|expected"):
        parse(text)


def test_brackets_that_change_nothing_do_not_count_as_depth():
    assert parse("(" * 30 + "true" + ")" * 30) == And(())


def test_a_condition_with_too_many_parts_is_refused():
    assert parse(" or ".join(["a.x = 1"] * 499))
    with pytest.raises(ConditionError, match="500 parts"):
        parse(" or ".join(["a.x = 1"] * 501))
    with pytest.raises(ConditionError, match=r"100,000 characters"):
        parse(" or ".join(["a.x = 1"] * 50_000))
    with pytest.raises(ConditionError, match=r"1 to 1,000 values"):
        parse("a.x in [" + ",".join(["1"] * 1_001) + "]")


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b", "and.x", "1a.x", "a" * 501, "a.\ud800"])
def test_a_path_that_no_text_could_name_is_refused(path):
    with pytest.raises(ConditionError, match="path"):
        format_condition(Exists(Path(path)))
