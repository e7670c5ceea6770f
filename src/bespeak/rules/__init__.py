"""What the business insists on: which items may be shown, which move up, which stand where.

Three kinds (`Filter`, `Boost`, `Pin`), each for some slots, visitors, items and times, applied after the
recommenders have spoken and before the slot is arranged. `apply` says which rule did what to which item.
"""

from __future__ import annotations

from bespeak.rules.apply import Ruled, apply, passing
from bespeak.rules.masks import BYTES_MAX, Mask, Masks, Table, masks_of
from bespeak.rules.rule import MAX_PLACE, Boost, Filter, Pin, Rule, load

__all__ = [
    "BYTES_MAX",
    "MAX_PLACE",
    "Boost",
    "Filter",
    "Mask",
    "Masks",
    "Pin",
    "Rule",
    "Ruled",
    "Table",
    "apply",
    "load",
    "masks_of",
    "passing",
]
