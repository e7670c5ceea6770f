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
from bespeak.conditions.tree import (
    AnyOf,
    Between,
    Calendar,
    FromTo,
    HasAll,
    Matches,
    Moment,
    Since,
    Text,
    ThisSession,
    Version,
    Within,
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
    'traits.sku = exactly "AbC"': Compare(Path("traits.sku"), "=", "AbC", exact=True),
    "traits.a = exactly 5": Compare(Path("traits.a"), "=", 5),
    'traits.a in exactly ["x", 1]': In(Path("traits.a"), ("x", 1), exact=True),
    'traits.a has all ["x", "y"]': HasAll(Path("traits.a"), ("x", "y")),
    'traits.a contains "x"': Text(Path("traits.a"), "contains", ("x",)),
    'traits.a not contains any ["x", "y"]': Not(Text(Path("traits.a"), "contains", ("x", "y"))),
    'traits.a starts with exactly "x"': Text(Path("traits.a"), "starts", ("x",), exact=True),
    'traits.a ends with any ["x"]': Text(Path("traits.a"), "ends", ("x",)),
    'traits.a matches "[A-Z]{2}\\\\d+"': Matches(Path("traits.a"), r"[A-Z]{2}\d+"),
    "traits.a between 5 and 10 and traits.b exists": And((Between(Path("traits.a"), 5, 10), Exists(Path("traits.b")))),
    "traits.joined within last 7 days": Within(Path("traits.joined"), 7 * DAY),
    'traits.joined on date "2026-01-31"': Compare(Path("traits.joined"), "on", Moment("2026-01-31")),
    "traits.joined < 2 months ago": Compare(Path("traits.joined"), "<", Moment("now-2M")),
    'traits.version >= version "2.10"': Compare(Path("traits.version"), ">=", Version("2.10")),
    "traits.a > traits.b": Compare(Path("traits.a"), ">", Path("traits.b")),
    'count("E", this week) > count("E", last week)': Compare(
        Aggregate("count", "E", within=Calendar("week")), ">", Aggregate("count", "E", within=Calendar("week", 1))
    ),
    'performed("Product*", this session)': Performed("Product*", within=ThisSession()),
    'performed("E", since date "2026-01-01")': Performed("E", within=Since("2026-01-01")),
    'performed("E", from date "2026-01-01" to date "2026-02-01")': Performed(
        "E", within=FromTo("2026-01-01", "2026-02-01")
    ),
    'most_frequent(properties.brand of "E", yesterday) = "x"': Compare(
        Aggregate("most_frequent", "E", "properties.brand", within=Calendar("day", 1)), "=", "x"
    ),
    'any of traits.addresses where (it.city = "Wien" or not it.kind exists)': AnyOf(
        "traits.addresses", Or((Compare(Path("it.city"), "=", "Wien"), Not(Exists(Path("it.kind")))))
    ),
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
    "traits.a = stage": 'column 12: expected a value such as "DE", 5 or true, found `stage`; write strings in double quotes',
    "traits.a = DE": 'column 12: expected a value such as "DE", 5 or true, found `DE`; write strings in double quotes: "DE"',
    'traits.a = "x': 'column 12: expected a condition, found `"`; close the string with a double quote',
    'traits.a = "\\x"': "column 12: expected a string with JSON's escapes",
    'traits.a = "\\ud800"': "column 12: expected a string with JSON's escapes",
    "traits.a": "column 9: expected =, !=, <, <=, >, >=, in, contains, between, exists or is missing, found the end; "
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
    'count("E", 3 days) > 1': "column 12: expected a window such as last 30 days, this month or since date, found `3`; "
    "write `last` before the number",
    'count("E", last 3 fortnights) > 1': "column 19: expected weeks, days, hours, minutes, seconds or milliseconds",
    'count("E", last 0 days) > 1': "column 17: expected a whole number above zero, found `0`",
    'count("E", last 1.5 days) > 1': "column 17: expected a whole number above zero, found `1.5`",
    'count("E", last 9999 days) > 1': "column 1: expected whole milliseconds, from 1 millisecond to 3,660 days",
    'count("E" where traits.a = 1) > 1': "column 17: expected properties.NAME, context.NAME, item.NAME or type, found 'traits.a'",
    'count("E" where performed("F")) > 1': "column 17: expected properties.NAME, context.NAME, item.NAME or type, found performed(...)",
    'sum("E") > 1': 'column 5: expected a property such as properties.revenue, found `"E"`; write sum(properties.NAME of "EVENT")',
    "sum(properties.a) > 1": "column 17: expected `of` and the name of an event, found `)`",
    'sum(traits.a of "E") > 1': "column 1: expected properties.NAME, context.NAME, item.NAME or type, found 'traits.a'",
    "(traits.a = 1": "column 14: expected `and`, `or` or `)`, found the end",
    "traits.a = 1)": "column 13: expected `and`, `or` or the end, found `)`",
    "": 'column 1: expected a condition such as traits.country = "DE", found the end',
    'traits.a < date "now-7x"': "column 23: expected a unit: y, M, w, d, h, m or s, found `x`; M are months, m are minutes",
    'traits.a < date "now-7d\\u0058"': "column 17: expected `+`, `-` or `/`, found `X`",
    'traits.a < date "yesterday"': "column 18: expected a date such as 2026-01-31, or date math such as now-7d/d, found `yesterday`",
    'traits.a < date ""': "column 18: expected a date such as 2026-01-31, or date math such as now-7d/d, found nothing",
    "traits.a < date now": "column 17: expected a date in double quotes, found `now`; write strings in double quotes",
    'traits.a on "2026-01-31"': "expected a day such as date \"2026-01-31\", found '2026-01-31'",
    "traits.a < 3 fortnights ago": "column 12: expected a whole number of seconds, minutes, hours, days, weeks, months or years",
    'traits.a matches "a(b"': "column 22: expected a pattern by RE2's syntax, found the end; missing )",
    'traits.a matches "ab**"': "column 21: expected a pattern by RE2's syntax, found `**`; bad repetition operator",
    'traits.a matches "(?=a)"': "column 19: expected a pattern by RE2's syntax, found `(?=a)`; invalid perl operator",
    'traits.a matches "a)b"': "column 20: expected a pattern by RE2's syntax, found `)b`; unexpected )",
    f'traits.a matches "{"a" * 1_001}"': "found 1,001 characters; there may be 1,000",
    'traits.v > version "latest"': "column 21: expected a version such as 2.10.0 or 1.0.0-rc.1, found `latest`",
    "traits.v > version 2.1": "column 20: expected a version in double quotes, found `2.1`",
    'traits.a containz "x"': "column 10: expected =, !=,",
    'traits.a like "x"': "write `contains`, `starts with`, `ends with` or `matches`",
    'traits.a starts "x"': "column 17: expected `with` and a string",
    'traits.a contains ["x", "y"]': "column 19: expected a string, found `[`; write `any` before a list",
    "traits.a contains 5": "column 19: expected a string in double quotes, found `5`",
    'traits.a contains ""': 'expected a string of at least one character, found ""; write `exists`',
    'traits.a has "x"': 'column 14: expected `all` and a list, or `been` and a value, found `"x"`; write `=` or `in`',
    "traits.a between 5": "column 19: expected `and` and the upper end, found the end",
    'traits.a between 5 and "b"': "column 1: expected two ends of one kind, found a number and a string",
    'traits.a between date "now" and traits.b': "expected two ends of one kind, found a date and a path",
    'traits.a < exactly "x"': "column 12: expected a value such as",
    "traits.a within 7 days": "column 17: expected `last` and a duration such as 30 days",
    'count("E") within last 7 days > 1': "windows of events stand after a comma",
    "traits.a = foo.bar": 'column 12: expected a value such as "DE", 5 or true, found `foo.bar`; write strings in double quotes',
    'count("E") = "x"': "column 1: expected a number to compare with, found 'x'",
    'count("E") contains "x"': "column 1: expected a comparison such as >= 5, found `contains`; count is a number",
    'count("E", this day) > 1': "column 17: expected week, month, quarter or year, found `day`; write today",
    'count("E", last day) > 1': "write yesterday, or last 1 day",
    'count("E", last 3 months) > 1': "write this month or last month, or a number of days",
    'count("E", today > 1': "column 18: expected `)`, found `>`",
    'count("E" today) > 1': "column 11: expected `,` before the window, found `today`; write a comma before `today`",
    'count("E", since "2026") > 1': 'column 18: expected a date such as date "2026-01-31"',
    'count("E", since date "now-7d") > 1': "column 24: expected an ISO 8601 date such as 2026-01-31 or 2026-01-31T12:00:00Z, found `now-7d`",
    'count("E", from date "2026-02-01" to date "2026-01-01") > 1': "expected an end after its start, found 2026-02-01 to 2026-01-01",
    'avg("E") > 1': 'column 5: expected a property such as properties.revenue, found `"E"`; write avg(properties.NAME of "EVENT")',
    'average(properties.a of "E") > 1': "column 1: expected a condition, found `average`; write `avg`",
    "any of traits.x where traits.y = 1": "column 23: expected `(`, found `traits.y`",
    "any of traits.x where (traits.y = 1)": "column 24: expected it.NAME, found 'traits.y'; `any of` reads the element only",
    'any of traits.x where (performed("E"))': "column 24: expected it.NAME, found performed(...)",
    "any traits.x": "column 5: expected `of` and a list, found `traits.x`",
    "it.x = 1": "column 1: expected a path such as traits.country, found 'it.x'; `it` has a meaning inside `any of` only",
    'count("E" where properties.at within last 7 days) > 1': "expected properties.NAME, context.NAME, item.NAME or type, found within last ...",
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
