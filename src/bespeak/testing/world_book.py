"""What senders were told, and what the log must hold because of it: each message that was taken, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from copy import deepcopy
from typing import Literal, TypeAlias

from bespeak.clock import HOUR, Instant
from bespeak.engine.dedupe import WINDOW_HOURS
from bespeak.engine.pages import OWN
from bespeak.events import Event
from bespeak.testing.world_truth import is_statement

Name: TypeAlias = tuple[str, str]
"""A message: the name of the key that it came with, and its id."""

Expected: TypeAlias = Literal["new", "duplicate", "either"]


class Book:
    """Every message that was taken, and the hour in which it was.

    A message that was here within 24 hours, by every clock that the engine has seen since, is a duplicate; later than
    that it may be taken for new.
    """

    def __init__(self) -> None:
        self._hours: list[int] = []
        self.taken: dict[Name, list[int]] = {}
        self.stated: dict[Name, list[int]] = {}
        self.erased: Counter[Name] = Counter()
        self.unsaid: Counter[Name] = Counter()
        self._files: list[tuple[frozenset[Name], int]] = []
        self.unsure: set[Name] = set()
        """Refused ones of which one statement more or less may be kept: they came again after the window."""

    def begin(self, now: Instant) -> None:
        """Note the hour in which something is sent."""
        self._hours.append(now // HOUR)

    def expects(self, name: Name) -> Expected:
        """Say what must become of a message that comes now."""
        return self._expects(self.taken.get(name, []))

    def answered(self, name: Name, status: str, *, states: bool) -> None:
        """Take in an answer; `states`: it is a refusal, and the message said something of consent, which is kept.

        Raises
        ------
        AssertionError
            It is not the answer that the message had to have.
        """
        expected = self.expects(name)
        if (status == "duplicate" and expected == "new") or (status != "duplicate" and expected == "duplicate"):
            raise AssertionError(f"message {name}: expected {expected}, was told {status}")
        if status == "ok":
            self.taken.setdefault(name, []).append(len(self._hours) - 1)
        elif status == "refused" and states:
            self._state(name)

    def imported(self, events: Iterable[Event], taken: int) -> None:
        """Note an import, of which so many were taken; which ones, nobody was told."""
        self._files.append((frozenset((event.source, event.message_id) for event in events), taken))

    def erase_all(self, events: Iterable[Event]) -> None:
        """Note that these were about somebody who was erased: they may never be read again."""
        for event in events:
            erased = self.unsaid if is_statement(event) else self.erased
            erased[event.source, event.message_id] += 1

    def check(self, stored: Counter[Name], stated: Counter[Name]) -> None:
        """Compare with what the log holds.

        Raises
        ------
        AssertionError
            A message that was acknowledged is not there, or one is there twice, or one that nobody sent.
        """
        stored = Counter({name: count for name, count in stored.items() if name[0] != OWN})
        for names, taken in self._files:
            there = {name: stored.pop(name) for name in names if name in stored}
            erased = sum(self.erased[name] for name in names)
            if max(there.values(), default=1) > 1 or sum(there.values()) + erased != taken:
                raise AssertionError(f"of an import {taken} events were taken, {len(there)} are in the log: {there}")
        _differ({name: len(places) - self.erased[name] for name, places in self.taken.items()}, stored, "acknowledged")
        said = {name: len(places) - self.unsaid[name] for name, places in self.stated.items()}
        for name in self.unsure:
            said[name] = stated[name]
        _differ(said, stated, "what a refused message said of consent")

    def copy(self) -> Book:
        """Return this book as it is now: what a backup of the store knows."""
        return deepcopy(self)

    def _state(self, name: Name) -> None:
        expected = self._expects(self.stated.get(name, []))
        if expected == "either":
            self.unsure.add(name)
        elif expected == "new":
            self.stated.setdefault(name, []).append(len(self._hours) - 1)

    def _expects(self, places: list[int]) -> Expected:
        if not places:
            return "new"
        latest = max(self._hours[places[-1] :])
        return "duplicate" if latest - self._hours[places[-1]] <= WINDOW_HOURS else "either"


def _differ(told: dict[Name, int], stored: Counter[Name], what: str) -> None:
    for name in sorted({*told, *stored}):
        if told.get(name, 0) != stored[name]:
            raise AssertionError(
                f"{what}: {name} is expected {told.get(name, 0)} times in the log, found {stored[name]}"
            )
