"""What comes too late for a profile, and what is of nobody, judged as the log goes on."""

from __future__ import annotations

import pytest

from bespeak.analytics.lateness import NOBODY, Lateness, Meanings

DAY = 86_400


def judged(*events: tuple[int, int, bool, bool] | tuple[int, int], joins: dict[int, tuple[int, int]] | None = None):
    """Return the offsets that are late and those of nobody, of events: who and when, ours or not, speaking or not."""
    late = Lateness(DAY)
    late.grow(10)
    rows = []
    for offset, (own, happened, *flags) in enumerate(events, 1):
        silent, speaks = flags or (False, False)
        rows.append((offset, happened, own, *(joins or {}).get(offset, (NOBODY, NOBODY)), silent, speaks))
    found = list(late.judge(rows))
    return [one for one, is_late, _ in found if is_late], [one for one, _, unheard in found if unheard]


def test_a_day_behind_the_newest_is_in_time_and_more_is_late() -> None:
    assert judged((0, 10 * DAY), (0, 9 * DAY), (0, 9 * DAY - 1), (1, 0)) == ([3], [])


def test_what_we_did_moves_nothing_on_and_is_of_nobody_before_somebody_is_there() -> None:
    ours = (0, 10 * DAY, True, False)
    assert judged(ours, (0, 5 * DAY), ours, (0, 4 * DAY)) == ([], [1])


def test_what_makes_somebody_known_is_heard() -> None:
    assert judged((0, 0, True, True), (0, 0, True, False)) == ([], [])


def test_from_a_join_on_both_are_judged_by_what_both_have_seen() -> None:
    phone, laptop, ann = 0, 1, 2
    days = [(phone, 10), (laptop, 5), (ann, 10), (laptop, 4), (ann, 10), (laptop, 5)]
    events = [(who, day * DAY) for who, day in days]
    assert judged(*events, joins={3: (phone, ann), 5: (laptop, ann)}) == ([6], [])


def test_whoever_is_joined_twice_over_means_the_last() -> None:
    events = [(0, 10 * DAY), (1, 0), (2, 0), (0, 5 * DAY), (1, 5 * DAY), (2, 5 * DAY), (3, 0)]
    assert judged(*events, joins={2: (0, 1), 3: (1, 2)}) == ([2, 3, 4, 5, 6], [])


@pytest.mark.parametrize("length", [2, 50])
def test_a_long_chain_of_names_ends(length: int) -> None:
    meant = Meanings()
    meant.grow(length)
    for number in range(length - 1):
        meant.join(number, number + 1)
    assert [meant.of(number) for number in range(length)] == [length - 1] * length
