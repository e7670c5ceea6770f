"""Computed traits and scores in segments: at every instant who is in is what the raw events say, flips included."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bespeak.clock import HOUR, SECOND
from bespeak.computed import load_borders, load_score, load_trait
from bespeak.conditions import Feeds, load, parse
from bespeak.conditions.asking.answers import reader
from bespeak.events import Event
from bespeak.profiles import Folding, Profile, ProfileSettings, View, fold
from bespeak.segments import Segments
from bespeak.segments import load as load_segment
from bespeak.testing.naive_computed import Named, Somebody

START = 1_780_000_000 * SECOND
SETTINGS = ProfileSettings()
NEAR = 1e-6

OPERATORS = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
BOUNDS = st.sampled_from(["0", "0.5", "1", "2", "3", "5", "-1", "0.25"])
CONDITIONS = (
    'performed("Added", last 2 hours)',
    'not performed("Bought", last 1 day)',
    'count("Viewed", last 3 hours) >= 2 and known = false',
    "computed.viewed >= 2",
    "computed.idle > 0.5",
    'in_segment("busy")',
    "scores.simple >= 3",
)
SPENT = 'sum(properties.total of "Bought", half-life 2 hours)'
BORDERS = {"recency": [0.125, 0.25, 0.25, 1], "frequency": [0, 1, 2, 3], "monetary": [0.25, 0.5, 1, 2]}
TRAITS: dict[str, dict[str, Any]] = {
    "viewed": {"value": 'count("Viewed", last 5 hours)'},
    "spent": {"value": 'sum(properties.total of "Bought")'},
    "rate": {"ratio": {"of": 'count("Bought", last 1 day)', "to": "computed.viewed"}},
    "net": {"difference": {"of": 'sum(properties.total of "Bought", last 1 day)', "less": "computed.viewed"}},
    "idle": {"days_since": {"last": "Viewed", "where": "properties.total > 1"}},
    "age": {"days_since": {"first": "Viewed"}},
    "graded": {"rfm": {"recency": "computed.idle", "frequency": 'count("Bought", last 8 hours)', "monetary": SPENT}},
    "faded": {"value": 'count("Viewed", half-life 3 hours)'},
}
ORDERS = {"event": "Bought", "id": "properties.order", "amount": "properties.total", "refunds": "Refunded"}
SIMPLE = {"elements": [{"event": "Viewed", "points": 1, "most": 3}, {"condition": CONDITIONS[0], "points": 1.5}]}
BUSY = 'count("Viewed", last 4 hours) >= 3 or computed.spent > 2'

elements = st.one_of(
    st.fixed_dictionaries(
        {"event": st.sampled_from(["Viewed", "Added", "Bought"]), "points": st.sampled_from([-2, -1, 0.5, 1, 2, 3])},
        optional={"most": st.sampled_from([1, 2.5, 4]), "where": st.just("properties.total >= 2")},
    ),
    st.fixed_dictionaries({"condition": st.sampled_from(CONDITIONS), "points": st.sampled_from([-2, 1, 2.5])}),
)
scores = st.fixed_dictionaries(
    {"elements": st.lists(elements, min_size=1, max_size=4), "bands": st.just({"low": 0, "warm": 1.25, "hot": 4})},
    optional={
        "halflife": st.sampled_from(["20 minutes", "3 hours", "1 day"]),
        "floor": st.sampled_from([-3, 0]),
        "cap": st.sampled_from([2.75, 5]),
    },
)
orders = st.fixed_dictionaries(
    {
        "window": st.sampled_from(["last 5 hours", "today", "last 1 day"]),
        "read": st.sampled_from(["sum", "count", "avg"]),
    },
    optional={"refunded": st.just("properties.total")},
).map(lambda fields: {"orders": {**ORDERS, **fields}})
asked = st.one_of(
    st.builds("scores.made {} {}".format, OPERATORS, BOUNDS),
    st.builds("scores.made {} {}".format, OPERATORS, BOUNDS),
    st.builds("scores.made.band {} {}".format, st.sampled_from(["=", "!="]), st.sampled_from(['"warm"', '"HOT"'])),
    st.builds("scores.made between {} and 4".format, BOUNDS),
    st.builds("scores.made > computed.viewed and {}".format, st.sampled_from(CONDITIONS)),
    st.sampled_from(["scores.made.band is missing", "scores.simple = 3 or scores.made < 0", "computed.rate exists"]),
    st.builds("computed.{} {} {}".format, st.sampled_from(sorted(TRAITS)), OPERATORS, BOUNDS),
    st.builds("computed.graded.cell = {}".format, st.sampled_from(['"lost"', '"at risk"', '"new"', '"hibernating"'])),
    st.builds("computed.graded.{} {} 3".format, st.sampled_from(["recency", "monetary", "frequency"]), OPERATORS),
    st.sampled_from(['computed.graded = "512"', "computed.graded exists", "computed.graded.monetary in [1, 2, 5]"]),
    st.builds("computed.kept {} {}".format, OPERATORS, BOUNDS),
)
happened = st.lists(
    st.tuples(
        st.sampled_from(["Viewed", "Viewed", "Added", "Bought", "Bought", "Refunded"]),
        st.one_of(
            st.integers(0, 30 * 60).map(lambda minutes: minutes * 60), st.integers(0, 30).map(lambda h: h * 3600)
        ),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=12,
).map(lambda rows: sorted(rows, key=lambda row: row[1]))
looks = st.lists(st.integers(0, 60 * 3600), max_size=12)


def properties_of(place: int, total: int) -> dict[str, Any]:
    """Return the properties of an event; every fourth has no order, and who pays 3 says no amount."""
    return {"order": place % 3 if place % 4 else None, **({} if total == 3 and place % 2 else {"total": total})}


def definitions(
    score: dict[str, Any], kept: dict[str, Any], conditions: list[str]
) -> dict[str, dict[str, dict[str, Any]]]:
    segments = {f"s{place}": {"condition": text} for place, text in enumerate(conditions)}
    return {
        "segments": {"busy": {"condition": BUSY}, **segments},
        "traits": {**TRAITS, "kept": kept},
        "scores": {"simple": SIMPLE, "made": score},
        "borders": {"graded": BORDERS},
    }


def site_of(written: dict[str, dict[str, dict[str, Any]]]) -> Segments:
    def each(kind: str) -> list[dict[str, Any]]:
        return [{"id": name, **body} for name, body in written[kind].items()]

    return Segments(
        [load_segment(one, source="test") for one in each("segments")],
        [load_trait(one, source="test") for one in each("traits")],
        [load_score(one, source="test") for one in each("scores")],
        [load_borders(one, source="test") for one in each("borders")],
    )


def near(text: str, somebody: Somebody) -> bool:
    """Say whether the answer may turn on the last digits of a sum."""
    numbers = [somebody.get(path) for path in ("scores.made", "scores.simple", "computed.faded")]
    numbers.append(somebody.worth(parse(f"{SPENT} exists").operand))  # type: ignore[union-attr]
    marks = [0, 0.25, 0.5, 1, 1.25, 2, 3, 4, 5, -1, somebody.get("computed.viewed")]
    differences = [abs(float(str(number)) - float(str(mark))) for number in numbers for mark in marks]
    return any(0 < one < NEAR for one in differences) and any(one in text for one in ("scores", "faded", "graded"))


@given(scores, orders, st.lists(asked, min_size=1, max_size=4), happened, looks)
def test_who_is_in_is_what_the_raw_events_say_at_every_instant(score, kept, conditions, rows, looked):
    written = definitions(score, kept, conditions)
    segments, profile = site_of(written), Profile(id="a:a")
    folding = Folding(Feeds(segments.aggregates()), lambda _item: None, SETTINGS)
    seen: list[Event] = []
    pending = sorted({START + offset * SECOND for offset in looked} | {START + 60 * HOUR})

    def compare(at: int) -> None:
        segments.advance(profile, at, SETTINGS)
        somebody = Somebody(Named(written, {"known": False, "zone": "UTC"}), seen, at)
        for name, body in written["segments"].items():
            if not near(body["condition"], somebody):
                assert (name in profile.segments) is somebody.holds(load(body["condition"])), (name, body, at - START)

    for place, (name, offset, total) in enumerate(rows):
        time = START + offset * SECOND
        while pending and pending[0] < time:
            at = pending.pop(0)
            if seen:
                compare(at)
        event = Event(
            type="track",
            name=name,
            message_id=f"m{place:03d}",
            time=time,
            received=time,
            anonymous_id="a",
            properties=properties_of(place, total),
        )
        segments.advance(profile, time, SETTINGS)
        folded = fold(profile, event, folding)
        ask = segments.classify if seen else segments.welcome
        seen.append(event)
        ask(profile, event, folded, SETTINGS)
        compare(time)
    for at in pending:
        if at >= seen[-1].time:
            compare(at)


@given(scores, orders, happened, st.integers(0, 60 * 3600))
def test_a_view_reads_what_the_raw_events_come_to(score, kept, rows, later):
    written = definitions(score, kept, [])
    segments, profile = site_of(written), Profile(id="a:a")
    folding = Folding(Feeds(segments.aggregates()), lambda _item: None, SETTINGS)
    seen = []
    for place, (name, offset, total) in enumerate(rows):
        time = START + offset * SECOND
        event = Event(
            type="track",
            name=name,
            message_id=f"m{place:03d}",
            time=time,
            received=time,
            properties=properties_of(place, total),
        )
        fold(profile, event, folding)
        seen.append(event)
    at = seen[-1].time + later * SECOND
    view = View(profile, at, SETTINGS, worked={path: reader(one) for path, one in segments.operands.items()})
    somebody = Somebody(Named(written, {"known": False, "zone": "UTC"}), seen, at)
    assert segments.operands
    for path in segments.operands:
        found, expected = view.get(path), somebody.get(path)
        if near(path, somebody):
            continue
        if isinstance(expected, float):
            assert isinstance(found, int | float)
            assert abs(found - expected) < NEAR
        else:
            assert found == expected
