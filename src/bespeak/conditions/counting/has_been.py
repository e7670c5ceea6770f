"""Since when a trait has been what it is: from the messages that said it, in the order of their times.

What counts is what `=` makes of the value that each message gives, so that `Pro` after `pro` goes on, and a list goes
on as long as the value is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias, cast

from bespeak.clock import NEVER, Instant
from bespeak.conditions.asking.source import dig, matcher
from bespeak.conditions.counting.states_marks import Mark
from bespeak.conditions.counting.where import Happening
from bespeak.conditions.tree import Compare, HasBeen, Path

Said: TypeAlias = Callable[[Happening], "int | None"]
"""Returns 1 where an event says that the trait is so, 0 where it says that it is something else, None where nothing."""

SAYS_TRAITS = frozenset({"identify", "group"})
"""Types of events that say traits; besides them `context.traits` of any does."""


def asked(leaf: HasBeen) -> Compare:
    """Return what is asked of each value that is said."""
    return Compare(Path(leaf.path), "=", leaf.value, leaf.exact)


def said_of(leaf: HasBeen) -> Said:
    """Build what reads from an event whether a trait is so."""
    name, *deeper = leaf.path.split(".")[1:]
    inside, passes = tuple(deeper), matcher(asked(leaf))

    def said(event: Happening) -> int | None:
        given = _traits_of(event, name)
        return None if given is None else int(passes(dig(given[name], inside)))

    return said


def _traits_of(event: Happening, name: str) -> Mapping[str, object] | None:
    """Return what says a trait: what the event is for, before what is said beside it."""
    if event.type == "identify" and name in event.properties:
        return event.properties
    if event.type == "group" and name == "group_id":
        return {name: event.group_id}
    beside = event.context.get("traits")
    return cast("Mapping[str, object]", beside) if isinstance(beside, dict) and name in beside else None


def runs(marks: Iterable[Mark]) -> Iterator[tuple[Instant, Instant]]:
    """Yield from when until when a trait was so, in order; the last until `clock.NEVER` where it still is.

    Examples
    --------
    >>> list(runs([(1, "a", 1), (3, "b", 1), (5, "c", 0), (7, "d", 1)]))
    [(1, 5), (7, 4611686018427387904)]
    """
    since: Instant | None = None
    for time, _, so in marks:
        if so and since is None:
            since = time
        elif not so and since is not None:
            yield since, time
            since = None
    if since is not None:
        yield since, NEVER


def spans(leaf: HasBeen, marks: Iterable[Mark]) -> list[tuple[Instant, Instant]]:
    """Return from when until when a leaf holds, in order."""
    if leaf.less:
        return [(since, min(since + leaf.lasting, until)) for since, until in runs(marks)]
    return [(since + leaf.lasting, until) for since, until in runs(marks)]
