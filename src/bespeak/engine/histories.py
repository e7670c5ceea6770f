"""What each person dealt with last, kept as it grows, so that it need not be gathered anew at every event."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping

from bespeak.events import Event
from bespeak.ids import ProfileId
from bespeak.profiles import Profile, Recent
from bespeak.recommend.interactions import CODE_BYTES

HELD_MAX = 65_536
"""People whose last items are kept, about 400 bytes each; with more, all begin anew."""


class _Held:
    """The codes of somebody's last items, `newest` and the `length` recent events up to it included."""

    __slots__ = ("length", "newest", "past")

    def __init__(self, newest: Recent, length: int, past: bytes) -> None:
        self.newest = newest
        self.length = length
        self.past = past


class Histories:
    """The items of people's last events, as codes.

    What is kept is true as long as the event that was the newest then stands where it stood: an event that came late
    moves it on, and profiles that were merged or read from the store have others in its place. Only where recent events
    were dropped at their bound would that not show; so there nothing is kept.

    Parameters
    ----------
    names
        Events that count.
    codes
        Gives each item its code.
    most
        Items kept, the newest.
    bound
        Recent events that a profile keeps at most.
    """

    def __init__(self, names: Collection[str], codes: Mapping[str, bytes], *, most: int, bound: int) -> None:
        self._names = names
        self._codes = codes
        self._most = most
        self._bytes = most * CODE_BYTES
        self._bound = bound
        self._held: dict[ProfileId, _Held] = {}

    def before(self, profile: Profile, event: Event) -> bytes:
        """Return the codes of the items that the person dealt with before this event, oldest first.

        The event was just folded into `profile`.
        """
        recent = profile.recent
        end, size = _place(recent, event), len(recent)
        held = self._held.get(profile.id)
        if size >= self._bound or not size:
            return self._gathered(recent, end)
        if held is None or not held.length <= end or recent[held.length - 1] is not held.newest:
            past = self._gathered(recent, end)
            if end < size and recent[-1].time > event.time:
                return past
            if len(self._held) >= HELD_MAX:
                self._held.clear()
            self._held[profile.id] = held = _Held(recent[-1], size, past)
        else:
            past = held.past
            if held.length < end:
                past = self._with(past, recent[held.length : end])
        held.past = self._with(past, recent[end:])
        held.newest = recent[-1]
        held.length = size
        return past

    def clear(self) -> None:
        """Forget everybody."""
        self._held.clear()

    def _with(self, past: bytes, rows: list[Recent]) -> bytes:
        for row in rows:
            if row.item is not None and row.name in self._names:
                past += self._codes[row.item]
        return past[-self._bytes :]

    def _gathered(self, recent: list[Recent], end: int) -> bytes:
        """Gather the last items before place `end`."""
        names, wanted = self._names, self._most
        found: list[str] = []
        while end and len(found) < self._most:
            start = max(0, end - wanted)
            found[:0] = [row.item for row in recent[start:end] if row.item is not None and row.name in names]
            end, wanted = start, 2 * wanted
        return b"".join(map(self._codes.__getitem__, found[-self._most :]))


def _place(recent: list[Recent], event: Event) -> int:
    """Return how many recent events come before this one, which is among them and mostly the newest."""
    time, message_id = event.time, event.message_id
    if recent and recent[-1].time > time:
        return bisect_left(recent, (time, message_id), key=lambda row: (row.time, row.message_id))
    place = len(recent)
    while place and recent[place - 1].time == time and recent[place - 1].message_id >= message_id:
        place -= 1
    return place
