"""Filters on an event, and reading its properties: compiled once, asked for every event of a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Protocol, cast

from bespeak.clock import Instant
from bespeak.conditions.source import Source, dig
from bespeak.conditions.tree import Condition, InSegment, Leaf, Path, Performed


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
    def context(self) -> Mapping[str, object]:
        """What the sender said around it."""
        ...


def compile_where(condition: Condition) -> Callable[[Happening], bool]:
    """Build the function that says whether an event passes a (checked) filter."""
    source = Source()

    def leaf(node: Leaf) -> str:
        if isinstance(node, Performed | InSegment) or not isinstance(node.operand, Path):
            raise TypeError("a filter on an event reads the event only")
        return source.test(node, _read(source, node.operand.path))

    return source.function("event", source.expression(condition, leaf))


def reader(path: str) -> Callable[[Happening], object]:
    """Build the function that reads a (checked) path of an event: `properties.revenue`; None where it is missing."""
    root, *parts = path.split(".")
    of_root = attrgetter(root)
    if not parts:
        return cast("Callable[[Happening], object]", of_root)
    if len(parts) == 1:
        name = parts[0]
        return lambda event: of_root(event).get(name)
    names = tuple(parts)
    return lambda event: dig(of_root(event), names)


def _read(source: Source, path: str) -> str:
    """Write the expression that reads a path of `event`; the roots are our own words, the rest are constants."""
    root, *parts = path.split(".")
    if root == "type":
        return "event.type"
    mapping = "event.properties" if root == "properties" else "event.context"
    if len(parts) == 1:
        return f"{mapping}.get({source.constant(parts[0])})"
    return f"dig({mapping}, {source.constant(tuple(parts))})"
