# ruff: noqa: E501 - a case stands on one line

"""What an editor of conditions offers at the cursor, and the names that nobody knows."""

from __future__ import annotations

import pytest
from hypothesis import given

from bespeak.conditions import format_condition, parse
from bespeak.conditions.meaning.heads import ITEM
from bespeak.conditions.text.complete import Vocabulary, complete, point_at, unknown
from bespeak.testing.condition_trees import conditions

KNOWN = Vocabulary(
    {"Product Viewed": ("price", "category"), "Product Added": ("price",), "Order Completed": ("total", "Sales Tax")},
    ("country", "Favourite Colour", "city"),
    ("loyal", "new"),
)


ITEMS = [f"item.{name}" for name in ITEM]
LOCAL = ["local.hour", "local.weekday", "local.date"]


def offered(text):
    return [option.text for option in complete(text, len(text), KNOWN).options]


@pytest.mark.parametrize(
    "text, options",
    [
        ("tra", ['traits."Favourite Colour"', "traits.city", "traits.country"]),
        ("traits.co", ["traits.country"]),
        ("not traits.ci", ["traits.city"]),
        ("perf", ["performed("]),
        ("(co", ["count("]),
        ("traits.city ", ["=", "!=", "<", "<=", ">", ">=", "in [", "not in [", "contains", "starts with", "ends with", "matches", "between", "has all [", "has been", "on date", "within last", "within 20 km of (", "exists", "is missing"]),
        ("traits.city i", ["in [", "is missing"]),
        ("traits.city starts ", ["with"]),
        ("traits.city = traits.co", ["traits.country"]),
        ("traits.city = da", ["date"]),
        ("device.os", ["device.os_version"]),
        ("local", ["local.hour", "local.weekday", "local.date"]),
        ("place.l", ["place.latitude", "place.longitude"]),
        ("buck", ["bucket("]),
        ("traits.city within 20 ", []),
        ("traits.city = e", ["exactly"]),
    ("traits.city < e", []),
    ("traits.city is ", ["missing"]),
        ("traits.city exists ", ["and", "or"]),
        ("traits.city exists a", ["and"]),
        ("(traits.city exists ", [")", "and", "or"]),
        ("seq", ["sequence("]),
        ("sequence(", ['"Order Completed"', '"Product Added"', '"Product Viewed"']),
        ('sequence("Product Viewed" ', [")", ",", "then", "where", "within", "without"]),
        ('sequence("Product Viewed" then "Product A', ['"Product Added"']),
        ('sequence("Product Viewed" then "Product Added" within 1 h', ["hours"]),
        ('sequence("Product Viewed" then "Product Added" without "Order Completed" f', ["for"]),
        ('last("Order Completed") ', ["has"]),
        ('last("Order Completed") has (prop', ['properties."Sales Tax"', "properties.total"]),
        ("traits.city has b", ["been"]),
        ('traits.city has been "Wien" ', ["for"]),
        ('traits.city has been "Wien" for l', ["less"]),
        ("in_segment(", ['"loyal"', '"new"']),
        ('in_segment("l', ['"loyal"']),
        ("performed(", ['"Order Completed"', '"Product Added"', '"Product Viewed"']),
        ('performed("Product', ['"Product Added"', '"Product Viewed"']),
        ('performed("product v', ['"Product Viewed"']),
        ('count("Product Viewed"', [")", ",", "where"]),
        ('count("Product Viewed" ', [")", ",", "where"]),
        ('count("Product Viewed" where ', ["properties.category", "properties.price", "type", "context.", *ITEMS, *LOCAL, "any of", "not", "true", "false"]),
        ('count("Order Completed" where prop', ['properties."Sales Tax"', "properties.total"]),
        ('count("Order Completed" where properties.total > 5 a', ["and"]),
        ('count("Order Completed", th', ["this week", "this month", "this quarter", "this year", "this session"]),
        ('count("Order Completed", last 3 d', ["days"]),
        ('count("Order Completed", this ', ["week", "month", "quarter", "year", "session"]),
        ('count("Order Completed") ', ["=", "!=", "<", "<=", ">", ">=", "in [", "not in [", "contains", "starts with", "ends with", "matches", "between", "has all [", "has been", "on date", "within last", "within 20 km of (", "exists", "is missing"]),
        ("sum(", ['properties."Sales Tax"', "properties.category", "properties.price", "properties.total"]),
        ("sum(properties.total ", ["of"]),
        ('sum(properties.total of "Ord', ['"Order Completed"']),
        ("any of traits.city where (", ["it.", "any of", "not", "true", "false"]),
        ("traits.city == ", []),
        ("traits.city = 'x", []),
    ],
)  # fmt: skip
def test_at_the_cursor_is_offered_what_may_stand_there(text, options):
    found = offered(text)
    assert sorted(found) == sorted(options)


def test_an_option_takes_the_place_of_what_was_begun():
    text = 'traits.city = "Wien" and performed("Prod")'
    found = complete(text, len(text) - 2, KNOWN)
    assert text[found.start : found.end] == '"Prod'
    text = "traits.country exists"
    found = complete(text, 9, KNOWN)
    assert (found.start, found.end) == (0, 9)
    assert [option.text for option in found.options] == ["traits.country"]


@given(conditions)
def test_at_no_place_of_a_condition_does_the_editor_fail(condition):
    text = format_condition(condition)[:300]
    for cursor in range(0, len(text) + 1, 3):
        found = complete(text, cursor, KNOWN)
        assert 0 <= found.start <= found.end == cursor


@pytest.mark.parametrize(
    "text, said",
    [
        ('performed("Product Viewd")', ["unknown event 'Product Viewd': did you mean 'Product Viewed'?"]),
        ('performed("Xyz")', ["unknown event 'Xyz'"]),
        ('performed("Product*")', []),
        ('count("Product Viewed" where properties.pric > 5) > 1', ["unknown property 'properties.pric': did you mean 'properties.price'?"]),
        ('sum(properties.totl of "Order Completed") > 1', ["unknown property 'properties.totl': did you mean 'properties.total'?"]),
        ('traits.countrx = "DE" or traits.city = traits.citty', ["unknown trait 'traits.citty': did you mean 'traits.city'?", "unknown trait 'traits.countrx': did you mean 'traits.country'?"]),
        ("traits.city.deep = 1", []),
        ('in_segment("loial")', ["unknown segment 'loial': did you mean 'loyal'?"]),
        ("not any of traits.cty where (it.x = 1)", ["unknown trait 'traits.cty': did you mean 'traits.city'?"]),
        ("sessions.count > 1", []),
    ],
)  # fmt: skip
def test_names_that_nobody_knows_are_named_with_the_nearest(text, said):
    assert sorted(one.message() for one in unknown(parse(text), KNOWN)) == said


def test_an_unknown_name_is_pointed_at():
    text = 'traits.city = "x" and performed("Product Viewd")'
    (one,) = unknown(parse(text), KNOWN)
    assert point_at(text, one) == (
        'condition, column 33: expected a known event, found "Product Viewd"; did you mean "Product Viewed"?\n'
        f"  {text}\n"
        "                                  ^^^^^^^^^^^^^^^"
    )


DEFINED = Vocabulary(
    {"Order Completed": ("total",)},
    computed=("computed.revenue", "computed.rfm", "computed.rfm.cell", "computed.rfm.recency"),
    scores=("scores.lead", "scores.lead.band"),
    lists=("vip", "staff"),
    values={"scores.lead.band": ("cold", "high intent"), "computed.rfm.cell": ("champions", "loyal")},
)


@pytest.mark.parametrize(
    "text, options",
    [
        ("computed.re", ["computed.revenue"]),
        ("not computed.rfm", ["computed.rfm.cell", "computed.rfm.recency"]),
        ("scor", ["scores.lead", "scores.lead.band"]),
        ("known = true and scores.lead.b", ["scores.lead.band"]),
        ('computed.revenue > 5 and computed.rfm.cell = "', ['"champions"', '"loyal"']),
        ('computed.rfm.cell in ["champions", "l', ['"loyal"']),
        ('scores.lead.band != "h', ['"high intent"']),
        ('scores.lead.band = "cold" or traits.city = "h', []),
        ("traits.limit >= computed.rev", ["computed.revenue"]),
        ("in_list(", ['"staff"', '"vip"']),
        ('in_list("v', ['"vip"']),
        ('count("Order Completed" where comp', []),
    ],
)
def test_what_is_defined_is_offered_with_the_values_that_it_takes(text, options):
    found = complete(text, len(text), DEFINED)
    assert sorted(option.text for option in found.options) == sorted(options)


def test_an_option_says_what_it_is():
    kinds = {option.text: option.kind for option in complete("", 0, DEFINED).options}
    assert (kinds["computed.revenue"], kinds["scores.lead"], kinds["known"]) == ("computed", "score", "path")
    assert [option.kind for option in complete('in_list("', 9, DEFINED).options] == ["list", "list"]
    assert {option.kind for option in complete('scores.lead.band = "', 20, DEFINED).options} == {"value"}


@pytest.mark.parametrize(
    "text, said",
    [
        ("computed.revenu > 5", ["unknown computed trait 'computed.revenu': did you mean 'computed.revenue'?"]),
        ("computed.rfm.sell exists", ["unknown computed trait 'computed.rfm.sell': did you mean 'computed.rfm.cell'?"]),
        ('scores.led = 1 and scores.lead.band = "x"', ["unknown score 'scores.led': did you mean 'scores.lead'?"]),
        ('computed.rfm.cell = "champions"', []),
    ],
)
def test_what_is_not_defined_is_named_with_the_nearest(text, said):
    assert sorted(one.message() for one in unknown(parse(text), DEFINED)) == said
