"""Flips stand in the order of time, each name once, and the earlier of two instants stays."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bespeak.clock import NEVER
from bespeak.conditions import Flips

asked = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 9), st.booleans()), max_size=30)


@given(asked)
def test_the_earliest_of_what_was_asked_for_stays_until_it_is_taken(steps: list[tuple[str, int, bool]]) -> None:
    flips, truth = Flips(), dict[str, int]()
    for name, at, take in steps:
        if take and truth:
            first = min(truth, key=lambda one: (truth[one], one))
            assert (flips.next, flips.take()) == (truth.pop(first), first)
        flips.by(name, at)
        truth[name] = min(at, truth.get(name, NEVER))
        assert list(zip(flips.times, flips.names, strict=True)) == sorted((at, one) for one, at in truth.items())
        assert [flips.at(one) for one in "abcdef"] == [truth.get(one, NEVER) for one in "abcdef"]
    assert flips.next == min(truth.values(), default=NEVER)
