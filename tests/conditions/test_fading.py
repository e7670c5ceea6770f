"""What fades passes a number at one microsecond, and never comes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bespeak.clock import DAY, NEVER, SECOND
from bespeak.conditions.values.fading import Fading

weights = st.builds(
    Fading,
    st.floats(1e-6, 1e6),
    st.integers(0, 10**15),
    st.sampled_from([7, 1_000, SECOND, 14 * DAY, 3_650 * DAY]),
)


@given(weights, st.floats(1e-9, 1e6), st.integers(0, 10**12))
def test_it_is_above_until_just_before_and_not_from_then_on(fading, bound, later):
    at = fading.time + later
    to, below = fading.falls_to(bound, at), fading.falls_below(bound, at)
    assert (to == NEVER) == (fading.worth(at) <= bound)
    assert (below == NEVER) == (fading.worth(at) < bound)
    if to != NEVER:
        assert at < to
        assert fading.worth(to) <= bound < fading.worth(to - 1)
    if below != NEVER:
        assert at < below
        assert fading.worth(below) < bound <= fading.worth(below - 1)


def test_half_is_left_after_one_half_life():
    weight = Fading(8.0, time=100, halflife=7)
    assert [weight.worth(at) for at in (100, 107, 114)] == [8.0, 4.0, 2.0]
    assert weight.falls_to(4.0, 100) == 107
    assert weight.falls_below(4.0, 100) == 108
    assert weight.falls_to(4.0, 107) == NEVER, "there it is already"


def test_nothing_falls_below_nothing():
    weight = Fading(8.0, time=0, halflife=7)
    assert weight.falls_below(0, 0) == weight.falls_to(-1, 0) == NEVER
    assert weight.worth(weight.falls_to(0, 0)) == 0.0  # by and by too small to be told from nothing
