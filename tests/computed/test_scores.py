"""Scores add up to what was promised, fade together, and turn at their very instant."""

from __future__ import annotations

from typing import Any

import pytest

from bespeak.clock import DAY, HOUR, NEVER, SECOND
from bespeak.computed import explain, load_score
from bespeak.conditions import Feeds, compile_condition, parse
from bespeak.conditions.asking.explain import next_turn
from bespeak.errors import DefinitionError
from bespeak.events import Event
from bespeak.profiles import Folding, Profile, ProfileSettings, View, fold
from bespeak.segments import Segments
from bespeak.segments import load as load_segment

START = 1_780_000_000 * SECOND
SETTINGS = ProfileSettings()
LEADS = {
    "id": "lead",
    "halflife": "14 days",
    "elements": [
        {"event": "Newsletter Opened", "points": 2, "most": 6},
        {"event": "White Paper Downloaded", "points": 3, "name": "White paper"},
        {"condition": 'performed("Product Added", last 2 days)', "points": -2, "name": "Abandoned cart"},
    ],
    "floor": 0,
    "cap": 20,
    "bands": {"cold": 0, "warm": 3, "high intent": 8},
}


def lived(events: list[tuple[str, int]], score: dict[str, Any] = LEADS) -> tuple[Segments, Profile]:
    """Return somebody who did these at these instants after the start."""
    segments, profile = Segments((), (), [load_score(score, source="test")]), Profile(id="a:a")
    folding = Folding(Feeds(segments.aggregates()), lambda _item: None, SETTINGS)
    for place, (name, offset) in enumerate(events):
        time = START + offset
        fold(profile, Event(type="track", name=name, message_id=f"m{place}", time=time, received=time), folding)
    return segments, profile


def explained(segments: Segments, profile: Profile, at: int, score: str = "lead") -> Any:
    operands: Any = segments.operands
    band = operands.get(f"scores.{score}.band")
    return explain(operands[f"scores.{score}"].derived, band, View(profile, at, SETTINGS), at)


def test_points_add_up_and_half_of_what_events_gave_is_left_after_a_half_life():
    somebody = lived([("Newsletter Opened", 0), ("White Paper Downloaded", 0)])
    assert [explained(*somebody, START + days * DAY).value for days in (0, 14, 28)] == [5.0, 2.5, 1.25]


def test_an_element_gives_no_more_than_its_most_until_it_has_faded_below():
    somebody = lived([("Newsletter Opened", 0)] * 6)
    found = explained(*somebody, START)
    assert found.value == 6.0
    assert found.contributions[0].capped
    assert found.contributions[0].counts == 6.0
    assert explained(*somebody, START + 14 * DAY).value == 6.0, "12 points have become 6"
    assert explained(*somebody, START + 28 * DAY).value == 3.0


def test_a_condition_gives_its_points_as_long_as_it_holds_and_the_floor_holds():
    somebody = lived([("Newsletter Opened", 0), ("Newsletter Opened", 0), ("Product Added", 0)])
    assert explained(*somebody, START).value == 2.0
    assert explained(*somebody, START + 2 * DAY - 1).contributions[2].worth == -2.0
    assert explained(*somebody, START + 2 * DAY).contributions[2].worth == 0.0
    alone = explained(*lived([("Product Added", 0)]), START)
    assert (alone.total, alone.value, alone.band) == (-2.0, 0.0, "cold")


def test_the_cap_holds():
    found = explained(*lived([("White Paper Downloaded", 0)] * 9), START)
    assert (found.total, found.value) == (27.0, 20)


def test_contributions_add_up_to_the_total_and_say_what_they_are_about():
    events = [("Newsletter Opened", 0), ("White Paper Downloaded", DAY), ("Product Added", 3 * DAY)]
    found = explained(*lived(events), START + 4 * DAY)
    assert sum(one.worth for one in found.contributions) == pytest.approx(found.total, abs=1e-8)
    names = [one.element for one in found.contributions]
    assert names == ['count("Newsletter Opened")', "White paper", "Abandoned cart"]


def test_it_says_when_the_band_changes_and_into_which():
    segments, profile = lived([("White Paper Downloaded", 0)] * 2)
    found = explained(segments, profile, START)
    assert (found.value, found.band, found.next_band) == (6.0, "warm", "cold")
    assert abs(found.next_change - (START + 14 * DAY)) < SECOND
    assert explained(segments, profile, found.next_change - 1).band == "warm"
    assert explained(segments, profile, found.next_change).band == "cold"
    last = explained(segments, profile, found.next_change)
    assert (last.next_change, last.next_band) == (None, None), "0 is where it stays"


def test_what_takes_points_away_fades_too_so_that_a_score_may_rise_by_itself():
    score = {
        "id": "mood",
        "halflife": "1 hour",
        "elements": [{"event": "Viewed", "points": 2, "most": 1}, {"event": "Returned", "points": -2}],
    }
    segments, profile = lived([("Viewed", 0), ("Viewed", 0), ("Viewed", 0), ("Returned", 0)], score)
    values = [explained(segments, profile, START + hours * HOUR, "mood").value for hours in (0, 1, 2, 3)]
    assert values == [-1.0, 0.0, 0.5, 0.5]
    keen = Segments(
        [load_segment({"id": "keen", "condition": "scores.mood > 0.3"}, source="test")], (), segments.scores
    ).compiled("keen")
    assert keen is not None
    view = View(profile, START, SETTINGS)
    holds, rises = next_turn(keen.answers, view, START)
    assert not holds
    assert [keen.holds(view, at) for at in (rises - 1, rises)] == [False, True]
    assert START + HOUR < rises < START + 2 * HOUR
    holds, falls = next_turn(keen.answers, view, rises)
    assert holds
    assert [keen.holds(view, at) for at in (falls - 1, falls)] == [True, False]
    assert START + 3 * HOUR < falls < START + 4 * HOUR
    assert next_turn(keen.answers, view, falls) == (False, NEVER)


@pytest.mark.parametrize("bound", ["1.2345678901234", "0.000000001", "6", "5.9999999999", "0", "1e-12"])
@pytest.mark.parametrize("op", [">=", ">", "<", "<="])
def test_a_bound_is_passed_at_its_microsecond_however_it_is_written(op, bound):
    score = {"id": "s", "halflife": "1 hour", "elements": [{"event": "Viewed", "points": 6}], "floor": 0, "cap": 6}
    segments, profile = lived([("Viewed", 0), ("Viewed", 0)], score)
    asked = load_segment({"id": "s", "condition": f"scores.s {op} {bound}"}, source="test")
    compiled = Segments([asked], (), segments.scores).compiled("s")
    assert compiled is not None
    view, moves, at = View(profile, START, SETTINGS), [], START
    for _ in range(20):
        holds, until = next_turn(compiled.answers, view, at)
        assert holds is compiled.holds(view, at)
        if until >= NEVER:
            break
        assert compiled.holds(view, until - 1) is holds
        moves.append(until)
        at = until
    passed = {(">", "6"): 0, ("<=", "6"): 0, ("<", "0"): 0, (">=", "0"): 0}.get((op, bound), 1)
    assert len(moves) == passed
    assert compiled.holds(view, START) is (op in {">=", ">"}) or passed == 0


def test_without_a_half_life_points_stay():
    somebody = lived([("Viewed", 0), ("Viewed", 9)], {"id": "life", "elements": [{"event": "Viewed", "points": 1.5}]})
    assert explained(*somebody, START + 3_000 * DAY, "life").value == 3.0


def test_a_score_of_nobody_is_nothing():
    assert explained(*lived([]), START).value == 0


def test_a_filter_chooses_among_the_events():
    score = {"id": "big", "elements": [{"event": "Bought", "where": "properties.total > 100", "points": 5}]}
    segments = Segments((), (), [load_score(score, source="test")])
    assert [one.where for one in segments.aggregates()] == [
        compile_condition(parse("properties.total > 100")).condition
    ]


@pytest.mark.parametrize(
    "change, said",
    [
        ({"elements": []}, "test.yaml: elements: expected 1 to 100 elements, found 0"),
        ({"elements": [{"event": "E"}]}, "elements[0].points: is missing"),
        ({"elements": [{"event": "E", "points": 0}]}, "elements[0].points: expected a number other than 0, found 0"),
        ({"elements": [{"event": "E", "points": "two"}]}, "elements[0].points: expected a number, found 'two'"),
        ({"elements": [{"event": "E", "point": 2}]}, "elements[0].point: unknown field; did you mean 'points'?"),
        ({"elements": [{"points": 2}]}, "elements[0]: expected either event or condition, found 'neither'"),
        (
            {"elements": [{"points": 2, "event": "E", "condition": "true"}]},
            "elements[0]: expected either event or condition, found 'both'",
        ),
        ({"elements": [{"event": "E", "points": 2, "most": -1}]}, "elements[0].most: expected a number from above 0"),
        (
            {"elements": [{"condition": "true", "points": 2, "most": 1}]},
            "elements[0].most: expected nothing, beside condition, found 1.0; it goes with event",
        ),
        (
            {"elements": [{"event": "E", "points": 1, "where": "properties.x ="}]},
            "elements[0].where: condition, column 15: expected a value",
        ),
        (
            {"elements": [{"event": "E", "points": 1, "where": 'count("E") > 1'}]},
            "elements[0]: condition, filter on an event: expected properties.NAME",
        ),
        ({"elements": [{"condition": "yes", "points": 1}]}, "elements[0].condition: condition, column"),
        ({"halflife": "soon"}, "halflife: "),
        ({"halflife": "4000 days"}, "halflife: expected whole milliseconds, from 1 millisecond to 3,660 days"),
        ({"floor": 5, "cap": 5}, "cap: expected more than the floor, 5, found 5.0"),
        ({"cap": 1e9}, "cap: expected a number from -1,000,000 to 1,000,000"),
        ({"bands": {"a": 1, "b": 1}}, "bands.b: expected another least score than that of 'a', found 1.0"),
        ({"bands": {"": 1}}, "bands: expected names of 1 to 200 characters"),
        ({"id": "Big Score"}, "id: expected 1 to 100 of a-z, 0-9, - and _, found 'Big Score'"),
        ({"half_life": "14 days"}, "half_life: unknown field; did you mean 'halflife'?"),
    ],
)
def test_a_score_that_cannot_be_says_where_what_and_what_would_do(change, said):
    body = {"id": "lead", "elements": [{"event": "E", "points": 1}], **change}
    with pytest.raises(DefinitionError) as refused:
        load_score(body, source="test.yaml")
    assert said in refused.value.message
