"""Segments that ask for segments hold as if the conditions that they name stood in them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.clock import SECOND
from bespeak.conditions import Feeds
from bespeak.errors import DefinitionError
from bespeak.events import Event
from bespeak.profiles import Folding, Profile, ProfileSettings, fold
from bespeak.segments import Segments, load

START = 1_780_000_000 * SECOND
SETTINGS = ProfileSettings()
NAMED = {
    "buyers": 'performed("Buy", last 20 seconds)',
    "lookers": 'count("View", last 5 seconds) >= 2',
    "active": 'in_segment("buyers") or in_segment("lookers")',
    "away": 'known = true or not in_segment("active")',
    "torn": 'in_segment("lookers") and not in_segment("buyers")',
}
WRITTEN_OUT = {
    **NAMED,
    "active": 'performed("Buy", last 20 seconds) or count("View", last 5 seconds) >= 2',
    "away": 'known = true or not (performed("Buy", last 20 seconds) or count("View", last 5 seconds) >= 2)',
    "torn": 'count("View", last 5 seconds) >= 2 and not performed("Buy", last 20 seconds)',
}


def segments_of(texts: dict[str, str]) -> Segments:
    return Segments(load({"id": name, "condition": text}, source="test") for name, text in texts.items())


def moves(texts: dict[str, str], happened: list[tuple[str, int]]) -> list[Any]:
    """Live through events of one person, and return who entered and left what, and when."""
    segments, profile = segments_of(texts), Profile(id="a:a")
    folding = Folding(Feeds(segments.aggregates()), lambda _item: None, SETTINGS)
    found: list[Any] = []
    for place, (name, at) in enumerate(happened):
        time = START + at * SECOND
        event = Event(type="track", name=name, message_id=f"m{place:03d}", time=time, received=time, anonymous_id="a")
        found += segments.advance(profile, time, SETTINGS)
        folded = fold(profile, event, folding)
        ask = segments.classify if place else segments.welcome
        found += ask(profile, event, folded, SETTINGS)
    found += segments.advance(profile, START + 100 * SECOND, SETTINGS)
    return sorted((one.at, one.segment, one.entered) for one in found)


@given(
    st.lists(st.tuples(st.sampled_from(["View", "Buy", "Other"]), st.integers(0, 40)), min_size=1, max_size=15).map(
        lambda events: sorted(events, key=lambda one: one[1])
    )
)
def test_naming_a_segment_is_the_same_as_writing_its_condition_out(happened: list[tuple[str, int]]) -> None:
    assert moves(NAMED, happened) == moves(WRITTEN_OUT, happened)


def test_the_condition_stays_as_it_was_written() -> None:
    segments = segments_of(NAMED)
    assert {one.id: one for one in segments.all()}["active"] == load(
        {"id": "active", "condition": NAMED["active"]}, source="test"
    )


@pytest.mark.parametrize(
    "texts, said",
    [
        ({"a": 'in_segment("a")'}, "segment 'a': it asks for itself: a > a"),
        (
            {"a": 'in_segment("b")', "b": 'not in_segment("c")', "c": 'known = true and in_segment("a")'},
            "segment 'a': it asks for itself: a > b > c > a",
        ),
        ({"fans": "known = true", "keen": 'in_segment("fan")'}, "no segment 'fan' to be in; did you mean 'fans'"),
        ({"keen": 'in_segment("zzz")'}, "define it, or repeat its condition"),
        ({"keen": 'in_segment("page")', "page": 'context.page = "/"'}, "'context.page' is not known outside a request"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_reason(texts: dict[str, str], said: str) -> None:
    with pytest.raises(DefinitionError, match=said.replace("(", r"\(").replace(")", r"\)")):
        segments_of(texts)


def test_conditions_that_grow_too_large_by_those_they_name_are_refused() -> None:
    texts = {"s0": " or ".join(f"traits.t{place} = 1" for place in range(100))}
    texts |= {f"s{place}": f'in_segment("s{place - 1}") or known = true' for place in range(1, 4)}
    segments_of(texts)
    texts["many"] = " or ".join(f'(in_segment("s0") and traits.x = {place})' for place in range(6))
    with pytest.raises(DefinitionError, match=r"with the segments that it asks for: .*at most 500 parts"):
        segments_of(texts)
