"""Conditions: one closed tree of data that says whether something holds, with a text form, a JSON form and reasons."""

from __future__ import annotations

from bespeak.conditions.after import AfterEvent
from bespeak.conditions.aggregates import Fed, Feeds, Happening, State, key, merge
from bespeak.conditions.answers import Visitor
from bespeak.conditions.check import check
from bespeak.conditions.compile import Compiled, Depends, compile_condition
from bespeak.conditions.explain import Explanation, counted_sentence
from bespeak.conditions.families import Move, turning
from bespeak.conditions.flips import Flips
from bespeak.conditions.items import bind, mask
from bespeak.conditions.parser import parse
from bespeak.conditions.printer import format_condition
from bespeak.conditions.together import Direction, Pass, direction, together
from bespeak.conditions.tree import (
    Aggregate,
    And,
    Compare,
    Condition,
    Exists,
    In,
    InSegment,
    Not,
    Operand,
    Or,
    Path,
    Performed,
    Value,
)
from bespeak.conditions.wire import from_json, load, to_json

__all__ = [
    "AfterEvent",
    "Aggregate",
    "And",
    "Compare",
    "Compiled",
    "Condition",
    "Depends",
    "Direction",
    "Exists",
    "Explanation",
    "Fed",
    "Feeds",
    "Flips",
    "Happening",
    "In",
    "InSegment",
    "Move",
    "Not",
    "Operand",
    "Or",
    "Pass",
    "Path",
    "Performed",
    "State",
    "Value",
    "Visitor",
    "bind",
    "check",
    "compile_condition",
    "counted_sentence",
    "direction",
    "format_condition",
    "from_json",
    "key",
    "load",
    "mask",
    "merge",
    "parse",
    "to_json",
    "together",
    "turning",
]
