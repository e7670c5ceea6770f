"""What conditions may read of a profile: every path that the language offers is one that is answered."""

from __future__ import annotations

from bespeak.conditions.meaning.check import HEADS
from bespeak.profiles import PATHS

NOT_OF_A_PROFILE = {"item", "candidate", "properties", "type", "it"}
"""Heads of items, of events and of elements of lists."""


def test_on_the_right_of_a_comparison_stands_what_a_profile_answers_and_nothing_else() -> None:
    assert set(PATHS) == HEADS - NOT_OF_A_PROFILE
