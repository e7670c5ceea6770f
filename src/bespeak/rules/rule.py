"""What a rule is: a filter, a boost or a pin, for some slots, some visitors and some items, at some times."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal, TypeAlias, cast

import msgspec

from bespeak.clock import NEVER, Instant, format_time
from bespeak.conditions import Compiled, Condition, compile_condition
from bespeak.definitions import check_id, read
from bespeak.errors import DefinitionError, Problem

ITEM = "item."
"""What the paths that read an item begin with."""
MAX_PLACE = 200
MAX_SLOTS = 100


class _Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True, tag_field="kind"):
    """What every kind of rule has.

    Parameters
    ----------
    id
        1 to 100 characters, unique among rules.
    slots
        Names of the slots it is for; empty for all of them.
    priority
        Of two pins that want the same place or item, the higher has it; of equals, the one whose id sorts first.
    when
        For which visitors; None for everyone.
    enabled
        False is as if it were not there.
    starts, until
        It works at `starts <= at < until` (`from` and `until` in files); None is open.
    version
        Counted by the store, one more each time the definition changes.
    """

    id: str
    slots: tuple[str, ...] = ()
    priority: int = 0
    when: Condition | None = None
    enabled: bool = True
    starts: Instant | None = msgspec.field(name="from", default=None)
    until: Instant | None = None
    description: str = ""
    version: int = 1

    def __post_init__(self) -> None:
        check_id(self.id, "rule")
        if len(self.slots) > MAX_SLOTS or not all(1 <= len(slot) <= 100 for slot in self.slots):
            raise ValueError(f"rule {self.id!r}: slots are at most {MAX_SLOTS} names of 1 to 100 characters")
        if self.starts is not None and self.until is not None and self.starts >= self.until:
            times = f"{format_time(self.starts)} and {format_time(self.until)}"
            raise ValueError(f"rule {self.id!r}: from must be before until, got {times}")

    @cached_property
    def visitors(self) -> Compiled | None:
        """The condition on the visitor, compiled once; None for everyone."""
        return None if self.when is None else compile_condition(self.when)

    def works(self, slot: str, at: Instant) -> bool:
        """Say whether it is enabled, in its time, and for this slot."""
        return (
            self.enabled
            and (not self.slots or slot in self.slots)
            and (self.starts or 0) <= at < (NEVER if self.until is None else self.until)
        )


class Filter(_Rule, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True, tag_field="kind", tag="filter"):
    """Which items may be shown: `keep` lets only those through that match, `drop` takes them out.

    A filter is final: no boost and no pin brings an item back. Filters add up; their order does not matter.

    Parameters
    ----------
    items
        Condition on an item (`item.price <= 100`), and on the visitor beside it where that is needed.
    """

    action: Literal["keep", "drop"]
    items: Condition


class Boost(_Rule, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True, tag_field="kind", tag="boost"):
    """Moves items up or down in the ranking. Scores are standardised: 1 is one standard deviation of a recommender.

    Exactly one of `add` and `factor` is given. All boosts of an item work together, whatever their order:
    `score = lowest + (score - lowest) * product of factors + sum of adds`, where `lowest` is the lowest score
    among the candidates that the filters let through.

    Parameters
    ----------
    items
        Condition on an item, and on the visitor beside it where that is needed.
    add
        Standard deviations to add, -100 to 100: also lifts what the recommenders know nothing about.
    factor
        Multiplies the distance from the lowest candidate, 0 to 100: stretches what is already liked. 1 does nothing,
        0 puts it at the end.
    """

    items: Condition
    add: float | None = None
    factor: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.add is None) == (self.factor is None):
            raise ValueError(
                f"rule {self.id!r}: a boost has either add or factor, got {'both' if self.add else 'neither'}"
            )
        if self.add is not None and not (math.isfinite(self.add) and -100 <= self.add <= 100):
            raise ValueError(f"rule {self.id!r}: add must be -100 to 100 standard deviations, got {self.add}")
        if self.factor is not None and not (math.isfinite(self.factor) and 0 <= self.factor <= 100):
            raise ValueError(f"rule {self.id!r}: factor must be 0 to 100, got {self.factor}")


class Pin(_Rule, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True, tag_field="kind", tag="pin"):
    """Puts an item at a place, whatever its score; of several that match a condition, the one with the best score.

    Exactly one of `item` and `items` is given. An item that a filter drops, or that may not be shown, is not pinned.

    Parameters
    ----------
    place
        1 is the first place of the slot; up to 200.
    item
        Item id.
    items
        Condition on an item, and on the visitor beside it where that is needed.
    """

    place: int
    item: str | None = None
    items: Condition | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.item is None) == (self.items is None):
            raise ValueError(
                f"rule {self.id!r}: a pin has either item or items, got {'both' if self.item else 'neither'}"
            )
        if not 1 <= self.place <= MAX_PLACE:
            raise ValueError(f"rule {self.id!r}: place must be 1 to {MAX_PLACE}, got {self.place}")


Rule: TypeAlias = Filter | Boost | Pin


def load(raw: object, *, source: str, version: int = 1) -> Rule:
    """Read a rule from what YAML or JSON gave; `kind` says which it is.

    Parameters
    ----------
    source
        File name or address, for messages.
    version
        Which version of the definition this is.

    Raises
    ------
    DefinitionError
        A field is unknown, missing or not what it must be; the message names file, field and value.

    Examples
    --------
    >>> load({"id": "sale", "kind": "boost", "items": 'item.tags = "sale"', "add": 0.5}, source="sale.yaml").add
    0.5
    """
    rule = read(
        raw,
        cast("type[Rule]", Rule),  # a union of tagged types, which msgspec reads as one
        what="rule",
        source=source,
        conditions_in=("when", "items"),
        times_in=("from", "until"),
        extra={"version": version},
    )
    _check_paths(rule, source)
    return rule


def _check_paths(rule: Rule, source: str) -> None:
    """Refuse a visitor's condition that reads items, and an item's condition that reads none."""
    if rule.visitors is not None:
        read_items = sorted(path for path in rule.visitors.depends.paths if path.startswith(ITEM))
        if read_items:
            raise DefinitionError(
                f"{source}: when: reads {read_items[0]}, and `when` is about the visitor; write it under items",
                problems=(Problem("when", "paths of the visitor", read_items[0]),),
            )
    if rule.items is not None:
        paths = compile_condition(rule.items).depends.paths
        if not any(path.startswith(ITEM) for path in paths):
            raise DefinitionError(
                f"{source}: items: reads nothing of an item; begin a path with item. (such as item.price), or write "
                "it under when",
                problems=(Problem("items", "a path of an item", ", ".join(sorted(paths)) or "none"),),
            )
