# ruff: noqa: E501 - a case stands on one line

"""Conditions of Apache Unomi: each type and operator in our words, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from bespeak.conditions import format_condition
from bespeak.conditions.text.unomi import from_unomi
from bespeak.errors import ConditionError


def condition(kind, **given):
    return {"type": kind, "parameterValues": given}


def prop(operator, **value):
    return condition("profilePropertyCondition", propertyName="properties.x", comparisonOperator=operator, **value)


def event(kind):
    return condition("eventTypeCondition", eventTypeId=kind)


PAGE = Path(__file__).resolve().parents[2] / "docs" / "conditions.md"
VIEW = event("view")
PAID = condition(
    "eventPropertyCondition", propertyName="properties.total", comparisonOperator="greaterThan", propertyValueInteger=50
)
READ = [
    (condition("matchAllCondition"), "true"),
    (prop("equals", propertyValue="DE"), 'traits.x = "DE"'),
    (prop("notEquals", propertyValue="DE"), 'traits.x != "DE"'),
    (prop("lessThan", propertyValueInteger=5), "traits.x < 5"),
    (prop("lessThanOrEqualTo", propertyValueDouble=5.5), "traits.x <= 5.5"),
    (prop("greaterThan", propertyValueDate="2026-01-31"), 'traits.x > date "2026-01-31"'),
    (prop("greaterThan", propertyValueDate=1_769_817_600_000), 'traits.x > date "2026-01-31T00:00:00Z"'),
    (prop("greaterThanOrEqualTo", propertyValueDateExpr="now-7d/d"), 'traits.x >= date "now-7d/d"'),
    (prop("between", propertyValuesInteger=[5, 10]), "traits.x between 5 and 10"),
    (prop("between", propertyValuesDateExpr=["now-7d", "now"]), 'traits.x between date "now-7d" and date "now"'),
    (prop("exists"), "traits.x exists"),
    (prop("missing"), "traits.x is missing"),
    (prop("contains", propertyValue="a"), 'traits.x contains "a"'),
    (prop("notContains", propertyValue="a"), 'traits.x exists and not (traits.x contains "a")'),
    (prop("startsWith", propertyValue="a"), 'traits.x starts with "a"'),
    (prop("endsWith", propertyValue="a"), 'traits.x ends with "a"'),
    (prop("matchesRegex", propertyValue="a+"), 'traits.x matches "a+"'),
    (prop("in", propertyValues=["a", "b"]), 'traits.x in ["a", "b"]'),
    (prop("distance", center="48.21,16.37", distance=10, unit="km"), "traits.x within 10 km of (48.21, 16.37)"),
    (prop("distance", center={"lat": 1, "lon": 2}, distance="1.5mi"), "traits.x within 1.5 miles of (1, 2)"),
    (prop("distance", center="1,2", distance=300), "traits.x within 300 metres of (1, 2)"),
    (condition("profileUserListCondition", lists=["a", "b"], matchType="in"), 'in_list("a") or in_list("b")'),
    (condition("profileUserListCondition", lists=["a", "b"], matchType="all"), 'in_list("a") and in_list("b")'),
    (condition("profileUserListCondition", lists=["a"], matchType="notIn"), 'not in_list("a")'),
    (condition("geoLocationSessionCondition", country="AT", city="Wien"), 'place.country = "AT" and place.city = "Wien"'),
    (condition("geoLocationByPointSessionCondition", type="circle", circleLatitude=48.2, circleLongitude=16, distance="10km"), "place within 10 km of (48.2, 16)"),
    (condition("geoLocationByPointSessionCondition", type="rectangle", rectLatitudeNE=49, rectLongitudeNE=17, rectLatitudeSW=46.5, rectLongitudeSW=9), "place.latitude between 46.5 and 49 and place.longitude between 9 and 17"),
    (prop("notIn", propertyValues=["a", "b"]), 'traits.x not in ["a", "b"]'),
    (prop("all", propertyValues=["a", "b"]), 'traits.x has all ["a", "b"]'),
    (prop("inContains", propertyValues=["a", "b"]), 'traits.x contains any ["a", "b"]'),
    (prop("hasSomeOf", propertyValues=["a"]), 'traits.x in ["a"]'),
    (prop("hasNoneOf", propertyValues=["a"]), 'traits.x not in ["a"]'),
    (prop("isDay", propertyValueDate="2026-01-31"), 'traits.x on date "2026-01-31"'),
    (
        prop("isNotDay", propertyValueDate="2026-01-31"),
        'traits.x exists and not (traits.x on date "2026-01-31")',
    ),
    (
        condition("booleanCondition", operator="or", subConditions=[prop("exists"), condition("matchAllCondition")]),
        "traits.x exists or true",
    ),
    (condition("booleanCondition", subConditions=[prop("exists"), prop("missing")]), "traits.x exists and traits.x is missing"),
    (condition("notCondition", subCondition=prop("equals", propertyValueInteger=1)), "not (traits.x = 1)"),
    (
        condition(
            "nestedCondition",
            path="properties.addresses",
            subCondition=condition(
                "profilePropertyCondition",
                propertyName="properties.addresses.city",
                comparisonOperator="equals",
                propertyValue="Wien",
            ),
        ),
        'any of traits.addresses where (it.city = "Wien")',
    ),
    (condition("profileSegmentCondition", segments=["a", "b"], matchType="in"), 'in_segment("a") or in_segment("b")'),
    (condition("profileSegmentCondition", segments=["a"], matchType="notIn"), 'not in_segment("a")'),
    (condition("profileSegmentCondition", segments=["a", "b"], matchType="all"), 'in_segment("a") and in_segment("b")'),
    (condition("scoringCondition", scoringPlanId="keen", scoreValue=10), "scores.keen >= 10"),
    (condition("sessionDurationCondition", minimumDuration=60, maximumDuration=600), "sessions.minutes >= 1.0 and sessions.minutes <= 10.0"),
    (event("login"), 'performed("login")'),
    (condition("profileUpdatedEventCondition"), 'performed("profileUpdated")'),
    (condition("formEventCondition", formId="f1"), 'performed("form" where properties.target.itemId = "f1")'),
    (
        condition("pastEventCondition", eventCondition=VIEW, fromDate="2026-01-01"),
        'count("Page Viewed", since date "2026-01-01") >= 1',
    ),
    (condition("pastEventCondition", eventCondition=VIEW), 'count("Page Viewed") >= 1'),
    (
        condition("pastEventCondition", eventCondition=VIEW, numberOfDays=7, minimumEventCount=2, maximumEventCount=5),
        'count("Page Viewed", last 7 days) between 2 and 5',
    ),
    (
        condition("pastEventCondition", eventCondition=VIEW, numberOfDays=7, operator="eventsNotOccurred"),
        'not performed("Page Viewed", last 7 days)',
    ),
    (
        condition("pastEventCondition", eventCondition=VIEW, fromDate="2026-01-01", toDate="2026-02-01"),
        'count("Page Viewed", from date "2026-01-01" to date "2026-02-01") >= 1',
    ),
    (
        condition(
            "pastEventCondition",
            eventCondition=condition("booleanCondition", subConditions=[event("order"), PAID]),
            minimumEventCount=2,
        ),
        'count("order" where properties.total > 50) >= 2',
    ),
    (
        condition(
            "booleanCondition",
            country="AT",
            subConditions=[prop("equals", propertyValue="parameter::country")],
        ),
        'traits.x = "AT"',
    ),
]  # fmt: skip


@pytest.mark.parametrize("old, text", READ, ids=[text for _, text in READ])
def test_a_condition_is_read_as_what_it_means(old, text):
    assert format_condition(from_unomi(old).condition) == text


REFUSED = [
    (condition("profilePropertyCondition", propertyName="systemProperties.x"), "properties.NAME or scores.NAME, found `systemProperties.x`"),
    (prop("equals", propertyValue="script::1 + 1"), "found a script; conditions are data"),
    (prop("equals"), "expected a propertyValue, found none"),
    (prop("resembles", propertyValue="a"), "an operator of Unomi, found 'resembles'"),
    (prop("distance", distance=5), "top (profilePropertyCondition).center: expected a place"),
    (prop("distance", center="1,2", distance="5 parsecs"), "a distance in km, mi or m, such as 10km, found '5 parsecs'"),
    (condition("profileUserListCondition", lists=[]), "lists: expected a list of ids"),
    (condition("geoLocationSessionCondition", admin2="x"), "ask for the city, or a distance"),
    (condition("geoLocationByPointSessionCondition", type="square"), "circle or rectangle, found 'square'"),
    (condition("geoLocationByPointSessionCondition", type="rectangle"), "rectLatitudeSW: expected a number"),
    (prop("between", propertyValuesInteger=[1]), "expected two values, found 1"),
    (prop("matchesRegex", propertyValue="(?=a)"), "expected a pattern by RE2's syntax"),
    (prop("greaterThan", propertyValueDateExpr="now-7x"), "expected a unit"),
    (condition("profilePropertyConditon"), "did you mean `profilePropertyCondition`?"),
    (condition("idsCondition", ids=["a"]), "found `idsCondition`; ids of profiles differ"),
    (condition("goalMatchCondition", goalId="g"), "write the goal's event"),
    (condition("notCondition"), "top (notCondition).subCondition: expected a condition such as"),
    (PAID, "put it into a pastEventCondition"),
    (condition("pastEventCondition", eventCondition=prop("exists")), "a condition on events of one type"),
    (condition("booleanCondition", subConditions=[condition("x")]), "subConditions[0]"),
    ({"kind": "x"}, "`type` and `parameterValues`"),
]  # fmt: skip


@pytest.mark.parametrize("old, said", REFUSED, ids=[said for _, said in REFUSED])
def test_what_has_no_counterpart_is_refused_with_its_place(old, said):
    with pytest.raises(ConditionError) as caught:
        from_unomi(old)
    assert said in str(caught.value)


WITHOUT_COUNTERPART = {
    "idsCondition": "`user_id in [...]`",
    "goalMatchCondition": "performed(...)",
    "newVisitorCondition": "sessions.count = 1",
    "returningVisitorCondition": "sessions.count > 1",
    "profileAliasesPropertyCondition": "aliases are followed by themselves",
    "topicPropertyCondition": "interests.category.NAME",
    "userListPropertyCondition": "in_list(...)",
    "sourceEventPropertyCondition": "context.page.path",
}


@pytest.mark.parametrize("kind, remedy", WITHOUT_COUNTERPART.items())
def test_a_type_without_a_counterpart_is_refused_with_what_would_do_and_the_page_has_it(kind, remedy):
    with pytest.raises(ConditionError) as caught:
        from_unomi(condition(kind, since=3))
    assert f"expected a condition that has a counterpart here, found `{kind}`; " in str(caught.value)
    assert remedy in str(caught.value)
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert [line for line in rows if f"`{kind}`" in line and remedy.strip("`") in line] != []


def test_nesting_has_a_bound():
    old = condition("matchAllCondition")
    for _ in range(500):
        old = condition("notCondition", subCondition=old)
    with pytest.raises(ConditionError, match="at most 16 levels"):
        from_unomi(old)


def test_what_is_only_near_is_said():
    old = condition(
        "sessionPropertyCondition", propertyName="properties.country", comparisonOperator="equals", propertyValue="AT"
    )
    found = from_unomi(old)
    assert format_condition(found.condition) == 'context.country = "AT"'
    assert found.notes == (
        "session property properties.country: asked of the request, as context; segments do not know it",
    )


def test_events_have_the_names_that_they_are_given():
    assert format_condition(from_unomi(event("view"), events={"view": "Seen"}).condition) == 'performed("Seen")'
