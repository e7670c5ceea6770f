"""Filters on an event, and reading its properties: written once, asked for every event of a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol, TypeAlias, cast

from bespeak.clock import Instant, zone_named
from bespeak.conditions.asking.source import Source, read_on_the_right
from bespeak.conditions.meaning.heads import Part
from bespeak.conditions.tree import Condition, InList, InSegment, Leaf, Path, Performed
from bespeak.conditions.values.local import shown


class Happening(Protocol):
    """What conditions need to know of an event; `events.Event` is one."""

    @property
    def type(self) -> str:
        """Which call it was: `track`, `page`, ..."""
        ...

    @property
    def name(self) -> str:
        """What conditions call it: `Product Viewed`."""
        ...

    @property
    def message_id(self) -> str:
        """The sender's id of it, which breaks ties of time."""
        ...

    @property
    def time(self) -> Instant:
        """When it happened."""
        ...

    @property
    def properties(self) -> Mapping[str, object]:
        """What the sender said of it."""
        ...

    @property
    def group_id(self) -> str | None:
        """Which group a call of type `group` names."""
        ...

    @property
    def context(self) -> Mapping[str, object]:
        """What the sender said around it."""
        ...


ReadItems: TypeAlias = Callable[[Happening, tuple[str, ...]], object]
"""Reads an attribute of the items that an event speaks of, given its path without `item`."""


def no_items(_event: Happening, _parts: tuple[str, ...], /) -> object:
    """Know of no items."""
    return None


def clock_in(zone: str) -> Callable[[Happening, Part], int | str]:
    """Return what reads the clock where an event happened: in the zone that it names itself, else in this one.

    Parameters
    ----------
    zone
        Where events happen whose `context.timezone` names no zone; a name of the tz database.
    """

    def read(event: Happening, part: Part) -> int | str:
        named = event.context.get("timezone")
        known = isinstance(named, str) and zone_named(named) is not None
        return shown(part, event.time, named if known else zone)

    return read


class EventSource(Source):
    """Source of a function of one `event`, in which each property is read once, whoever asks for it.

    In a filter `now` is the time of the event, and dates without a zone are in UTC: the event alone decides, and what
    the catalog knows of its items. Its `local` time is that of its own time zone, else of `of_zone`.
    """

    now: ClassVar[str] = "event.time"
    zone: ClassVar[str] = "None"

    def __init__(self, items: ReadItems = no_items, of_zone: str = "UTC") -> None:
        super().__init__()
        self.namespace["item_of"] = items
        self.namespace["clock_of"] = clock_in(of_zone)
        self._reads: dict[str, str] = {}

    @property
    def reads(self) -> list[str]:
        """The lines that read what the expressions stand on; they come first."""
        return [f"{name} = {expression}" for expression, name in self._reads.items()]

    def filter(self, condition: Condition) -> str:
        """Return an expression that is true when the event passes a (checked) filter."""
        return self.expression(condition, self._leaf)

    def read(self, path: str) -> str:
        """Return the name of the value at a (checked) path of the event; None where it is missing."""
        expression = self._expression(path)
        return self._reads.setdefault(expression, f"v{len(self._reads)}")

    def _leaf(self, leaf: Leaf) -> str:
        if isinstance(leaf, Performed | InSegment | InList) or not isinstance(leaf.operand, Path):
            raise TypeError("a filter on an event reads the event only")
        rights = [self.read(cast("Path", right).path) for right in read_on_the_right(leaf)]
        return self.test(leaf, self.read(leaf.operand.path), rights)

    def _expression(self, path: str) -> str:
        """Write what reads a path; the roots are our own words, the rest are constants, the same one a value."""
        root, *parts = path.split(".")
        if root == "type":
            return "event.type"
        if root == "item":
            return f"item_of(event, {self.shared(tuple(parts))})"
        if root == "local":
            return f"clock_of(event, {self.shared(parts[0])})"
        mapping = "event.properties" if root == "properties" else "event.context"
        if len(parts) == 1:
            return f"{mapping}.get({self.shared(parts[0])})"
        return f"dig({mapping}, {self.shared(tuple(parts))})"
