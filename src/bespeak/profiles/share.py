"""Equal values of a profile that was read are made one object, as they were while it was live.

What is decoded stands alone: each profile would have its own copy of every key, and each state its own copy of the time
of one event. They took more than half of its memory, and each look-up had to compare texts letter by letter.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import intern
from typing import TypeAlias, TypeVar

from bespeak.conditions.counting.states import State
from bespeak.conditions.counting.states_figures import Sums, Times
from bespeak.conditions.counting.states_marks import Marks
from bespeak.conditions.counting.states_values import Entries, Entry, First, Last, Tally
from bespeak.profiles.profile import Membership, Profile, Recent

T = TypeVar("T")

_One: TypeAlias = Callable[[T, T], T]
"""Returns the value that was given first of those that are equal."""


def share(profile: Profile) -> None:
    """Let names be those that everybody's are, and times and message ids those of this profile; all stays equal."""
    time: _One[int] = {profile.last_seen: profile.last_seen}.setdefault
    message: _One[str] = dict[str, str]().setdefault
    profile.recent = [
        Recent(
            time(one.time, one.time),
            message(one.message_id, one.message_id),
            intern(one.name),
            None if one.item is None else intern(one.item),
        )
        for one in profile.recent
    ]
    profile.counts = _named(profile.counts)
    profile.last = {intern(name): time(at, at) for name, at in profile.last.items()}
    if profile.zone is not None:
        zone = profile.zone
        zone.name, zone.time = intern(zone.name), time(zone.time, zone.time)
        zone.message_id = message(zone.message_id, zone.message_id)
    for said in (profile.place, profile.device):
        if said is not None:
            said.values = {
                intern(name): intern(value) if isinstance(value, str) else value for name, value in said.values.items()
            }
            said.time, said.message_id = time(said.time, said.time), message(said.message_id, said.message_id)
    profile.lists = _named(profile.lists)
    profile.interests = _named(profile.interests)
    for value in profile.interests.values():
        value.time = time(value.time, value.time)
    profile.aggregates = _named(profile.aggregates)
    for state in profile.aggregates.values():
        _share_state(state, time, message)
    profile.segments = {
        intern(name): Membership(time(one.since, one.since), one.version, intern(one.why))
        for name, one in profile.segments.items()
    }
    profile.flips.names = [intern(name) for name in profile.flips.names]


def _named(held: dict[str, T]) -> dict[str, T]:
    return {intern(name): value for name, value in held.items()}


def _share_state(state: State, time: _One[int], message: _One[str]) -> None:
    def shared(entry: Entry) -> Entry:
        at, name, value = entry
        return time(at, at), message(name, name), intern(value) if isinstance(value, str) else value

    if isinstance(state, Times | Sums):
        state.times = [time(at, at) for at in state.times]
    elif isinstance(state, Last | Entries):
        state.entries = [shared(entry) for entry in state.entries]
    elif isinstance(state, Marks):
        state.entries = [(time(at, at), message(name, name), kind) for at, name, kind in state.entries]
    elif isinstance(state, First):
        state.entry = shared(state.entry)
    elif isinstance(state, Tally):
        state.values = _named(state.values)
