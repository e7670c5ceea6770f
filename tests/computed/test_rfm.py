"""Recency, frequency and monetary value are graded by the quintiles of everybody, and turn at their instant."""

from __future__ import annotations

from statistics import quantiles
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.clock import DAY, HOUR, NEVER, format_time, parse_time
from bespeak.computed import Borders, Spread, is_due, load_borders, load_score, load_trait, quintiles
from bespeak.conditions import Feeds, Path
from bespeak.conditions.asking.answers import reader
from bespeak.conditions.asking.grades import CELLS, cell_of, grade_of
from bespeak.conditions.derived import Grade
from bespeak.errors import DefinitionError
from bespeak.events import Event
from bespeak.profiles import Folding, Profile, ProfileSettings, View, fold
from bespeak.segments import Segments, load, named_in
from bespeak.testing.data import data_dir

START = parse_time("2026-01-01")
SETTINGS = ProfileSettings()
FREQUENCY = 'count("Bought", last 100 days)'
TRAITS: list[dict[str, Any]] = [
    {"id": "idle", "days_since": {"last": "Bought"}},
    {
        "id": "rfm",
        "rfm": {
            "recency": "computed.idle",
            "frequency": FREQUENCY,
            "monetary": 'sum(properties.total of "Bought")',
        },
    },
]
BORDERS = {"id": "rfm", "recency": [10, 20, 30, 40], "frequency": [1, 1, 2, 5], "monetary": [10, 20, 50, 100]}
FIFTHS = (0.2, 0.4, 0.6, 0.8)


def site(
    segments: dict[str, str] | None = None,
    borders: dict[str, Any] | None = BORDERS,
    traits: list[dict[str, Any]] = TRAITS,
) -> Segments:
    return Segments(
        [load({"id": name, "condition": text}, source="test") for name, text in (segments or {}).items()],
        [load_trait(one, source="test") for one in traits],
        (),
        [] if borders is None else [load_borders(borders, source="test")],
    )


def bought(*rows: tuple[int, float], segments: Segments) -> Profile:
    profile = Profile(id="a:a")
    folding = Folding(Feeds(segments.aggregates()), lambda _item: None, SETTINGS)
    for place, (day, total) in enumerate(rows):
        time = START + day * DAY
        event = Event(
            type="track", name="Bought", message_id=f"m{place}", time=time, received=time, properties={"total": total}
        )
        fold(profile, event, folding)
    return profile


def grades(segments: Segments, profile: Profile, day: float) -> list[object]:
    at = START + int(day * DAY)
    view = View(profile, at, SETTINGS, worked={path: reader(one) for path, one in segments.operands.items()})
    parts = ("", ".recency", ".frequency", ".monetary", ".cell")
    return [view.get(f"computed.rfm{part}") for part in parts]


def test_grades_count_the_borders_below_and_of_days_less_is_better():
    segments = site()
    somebody = bought((0, 30), (5, 21), segments=segments)
    assert grades(segments, somebody, 5) == ["534", 5, 3, 4, "champions"]
    assert grades(segments, somebody, 15) == ["534", 5, 3, 4, "champions"], "10 days are not more than 10"
    assert grades(segments, somebody, 15.5) == ["434", 4, 3, 4, "loyal"]
    assert grades(segments, somebody, 46) == ["134", 1, 3, 4, "at risk"]
    assert grades(segments, somebody, 104) == ["114", 1, 1, 4, "at risk"], "one has left the 100 days"


def test_without_borders_and_without_figures_grades_are_missing():
    none = site(borders=None)
    assert grades(none, bought((0, 30), segments=none), 1) == [None] * 5
    segments = site()
    assert grades(segments, bought(segments=segments), 1) == [None, None, 1, 1, None]


def test_who_is_in_by_a_grade_leaves_when_their_days_pass_the_border():
    segments = site({"keen": "computed.rfm.recency >= 4", "best": 'computed.rfm.cell = "champions"'})
    somebody = bought((0, 30), (5, 21), segments=segments)
    view, at = View(somebody, START, SETTINGS), START + 6 * DAY
    keen, best = (segments.compiled(name) for name in ("keen", "best"))
    assert keen is not None
    assert best is not None
    left = START + 25 * DAY + 1
    holds, until = keen.answers(view, at)
    assert holds
    while until < NEVER and keen.holds(view, until):
        holds, until = keen.answers(view, until)
    assert until == left
    assert [keen.holds(view, then) for then in (left - 1, left)] == [True, False]
    assert [best.holds(view, then) for then in (START + 15 * DAY, START + 15 * DAY + 1)] == [True, False]
    assert best.answers(view, START + 14 * DAY) == (True, START + 15 * DAY + 1)


def test_every_cell_has_its_name_and_there_are_eleven():
    named = {cell_of(r, f, m) for r in range(1, 6) for f in range(1, 6) for m in range(1, 6)}
    assert named == {name for row in CELLS for name in row}
    assert len(named) == 11


@given(st.lists(st.one_of(st.integers(0, 5), st.floats(-1e6, 1e6)), min_size=1, max_size=60))
def test_each_border_has_its_share_of_all_at_or_below_it_and_no_smaller_figure_has(figures):
    for place, border in enumerate(quintiles(figures), start=1):
        share = sum(figure <= border for figure in figures) / len(figures)
        assert border in figures
        assert share >= place / 5 - 1e-12
        below = [figure for figure in figures if figure < border]
        assert len(below) / len(figures) < place / 5


def test_borders_are_those_of_another_library_where_they_meet():
    figures = list(range(1, 1_000))
    theirs = quantiles(figures, n=5, method="inclusive")
    assert [abs(one - other) < 1 for one, other in zip(quintiles(figures), theirs, strict=True)] == [True] * 4


@pytest.mark.parametrize(
    "change, said",
    [
        ({"recency": [1, 2, 3]}, "recency: expected 4 numbers in ascending order, found [1.0, 2.0, 3.0]"),
        ({"monetary": [4, 3, 2, 1]}, "monetary: expected 4 numbers in ascending order"),
        ({"frequency": [1, 2, 3, float("inf")]}, "frequency: expected 4 numbers in ascending order"),
        ({"frequencies": []}, "frequencies: unknown field; did you mean 'frequency'?"),
        ({"drawn": "yesterday"}, "drawn: expected an ISO 8601 time such as 2026-01-31T12:00:00Z, found 'yesterday'"),
        ({"rank_error": 2}, "rank_error: expected a part of all, from 0 to 1, found 2"),
        ({"people": -1}, "people: expected a number of people, found -1"),
    ],
)
def test_borders_that_cannot_be_say_where_what_and_what_would_do(change, said):
    with pytest.raises(DefinitionError) as refused:
        load_borders({**BORDERS, **change}, source="test.yaml")
    assert said in refused.value.message


def test_what_is_not_there_of_a_graded_trait_is_refused():
    with pytest.raises(DefinitionError, match=r"there is no 'computed.rfm.sell'; there is computed.rfm, .*rfm.cell"):
        site({"x": 'computed.rfm.sell = "champions"'})
    with pytest.raises(DefinitionError, match=r"there is no 'computed.idle.cell'; there is computed.idle$"):
        site({"x": 'computed.idle.cell = "champions"'})
    assert set(named_in(load_trait(TRAITS[1], source="test"))) == {("traits", "idle")}


def test_a_grade_may_stand_in_a_score():
    plan = load_score({"id": "s", "elements": [{"condition": "computed.rfm.recency = 5", "points": 3}]}, source="test")
    segments = site()
    scored = Segments((), segments.traits, [plan], segments.borders)
    view = View(bought((0, 30), segments=scored), START + 10 * DAY, SETTINGS)
    assert reader(scored.operands["scores.s"])(view, START + 10 * DAY) == 3.0
    assert reader(scored.operands["scores.s"])(view, START + 10 * DAY + 1) == 0.0


@pytest.mark.parametrize("text", ["59 minutes", "0 days", "367 days", "daily", "", "1"])
def test_how_often_borders_are_drawn_is_a_length_of_time_or_never(text):
    with pytest.raises(DefinitionError) as refused:
        load_trait({**TRAITS[1], "rfm": {**TRAITS[1]["rfm"], "every": text}}, source="rfm.yaml")
    assert "rfm.yaml: rfm.every: expected a length of time from 1 hour to 366 days, or never" in refused.value.message


@pytest.mark.parametrize("text, every", [(None, DAY), ("1 hour", HOUR), ("2 weeks", 14 * DAY), ("never", None)])
def test_borders_are_drawn_once_a_day_unless_the_file_says_otherwise(text, every):
    more = {} if text is None else {"every": text}
    assert load_trait({**TRAITS[1], "rfm": {**TRAITS[1]["rfm"], **more}}, source="test").value.every == every


def drawn(ago: int | None, version: int = 1) -> Borders:
    told = {} if ago is None else {"drawn": format_time(START - ago), "people": 10, "trait_version": version}
    return load_borders({**BORDERS, **told}, source="test")


@pytest.mark.parametrize(
    "every, held, due",
    [
        ("1 day", None, True),
        ("1 day", drawn(0), False),
        ("1 day", drawn(DAY - 1), False),
        ("1 day", drawn(DAY), True),
        ("1 day", drawn(400 * DAY), True),
        ("1 day", drawn(-DAY + 1), False),
        ("1 day", drawn(-DAY), True),
        ("1 hour", drawn(HOUR), True),
        ("1 day", drawn(HOUR, version=2), True),
        ("1 day", drawn(None), False),
        ("never", None, False),
        ("never", drawn(400 * DAY), False),
    ],
)
def test_when_borders_are_due_follows_from_those_in_force(every, held, due):
    trait = load_trait({**TRAITS[1], "rfm": {**TRAITS[1]["rfm"], "every": every}}, source="test")
    assert is_due(trait, held, START) is due


def test_borders_that_lie_where_they_lay_are_the_same_whoever_drew_them():
    def with_borders(*changed: Borders) -> Segments:
        segments = site({"keen": "computed.rfm.recency >= 4"})
        return Segments(segments.all(), segments.traits, (), changed)

    assert with_borders(drawn(0)).same_as(with_borders(drawn(DAY)))
    moved = load_borders({**BORDERS, "monetary": [1, 2, 3, 4]}, source="test")
    assert not with_borders(drawn(0)).same_as(with_borders(moved))


@pytest.mark.data
@pytest.mark.slow
def test_everybody_of_cdnow_is_graded_as_pandas_grades_them():
    folder = data_dir()
    if folder is None:
        pytest.skip("no real data here: set BESPEAK_DATA to the folder that holds cdnow")
    rows = pd.read_csv(
        folder / "cdnow" / "CDNOW_master.txt.gz",
        sep=r"\s+",
        skiprows=1,
        names=["id", "date", "cds", "usd"],
        parse_dates=["date"],
    )
    end = pd.Timestamp("1998-07-01")
    people = rows.groupby("id").agg(last=("date", "max"), n=("usd", "size"), sum=("usd", "sum")).reset_index()
    people["days"] = (end - people["last"]).dt.days.astype(float)
    columns = {"recency": "days", "frequency": "n", "monetary": "sum"}
    figures = {**TRAITS[1]["rfm"], "frequency": 'count("Bought")'}
    segments = site(borders=None, traits=[TRAITS[0], {"id": "rfm", "rfm": figures}])
    folding = Folding(Feeds(segments.aggregates()), lambda _item: None, SETTINGS)
    at, found = parse_time("1998-07-01"), {}
    graded: list[Any] = [segments.operands[f"computed.rfm.{figure}"] for figure in columns]
    reads = [reader(one.derived.operand) for one in graded]
    ordered = rows.sort_values(["id", "date"], kind="stable")
    for person, mine in ordered.groupby("id"):
        profile = Profile(id=f"u:{person}")
        for place, (date, usd) in enumerate(zip(mine["date"], mine["usd"], strict=True)):
            time = parse_time(date.strftime("%Y-%m-%d"))
            event = Event(
                type="track",
                name="Bought",
                message_id=f"{person}-{place}",
                time=time,
                received=time,
                properties={"total": float(usd)},
            )
            fold(profile, event, folding)
        view = View(profile, at, SETTINGS)
        found[person] = [read(view, at) for read in reads]
    assert len(found) == 23_570
    ours = pd.DataFrame.from_dict(found, orient="index", columns=list(columns.values()))
    theirs = people.set_index("id").loc[ours.index]
    for column in columns.values():
        assert ours[column].to_numpy() == pytest.approx(theirs[column].to_numpy(), abs=1e-6)
        values = theirs[column].round(6)
        spread = Spread()
        for figure in ours[column].round(6):
            spread.add(figure)
        borders, error = spread.quintiles(), spread.rank_error
        assert 0.0005 < error < 0.001
        for part, border in enumerate(borders, start=1):
            assert (values <= border).mean() >= part / 5 - error
            assert (values < border).mean() < part / 5 + error
        grade = Grade(Path("traits.any"), borders)
        graded_by_us = np.array([grade_of(grade, value) for value in ours[column].round(6)])
        assert graded_by_us.tolist() == (1 + np.searchsorted(borders, values)).tolist()
        graded_by_them = 1 + np.searchsorted(np.quantile(values, FIFTHS, method="inverted_cdf"), values)
        below = (values.rank(method="min") - 1) / len(values)
        near = np.any([(part - error <= below) & (below < part + error) for part in FIFTHS], axis=0)
        assert not (graded_by_us != graded_by_them)[~near].any()
        assert near.mean() < 0.35, "most people lie nowhere near a border"
