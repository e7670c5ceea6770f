"""Conditions: one closed tree of data that says whether something holds, with a text form, a JSON form and reasons."""

from __future__ import annotations

from bespeak.conditions.asking.after import AfterEvent
from bespeak.conditions.asking.answers import Visitor
from bespeak.conditions.asking.compile import Compiled, Depends, compile_condition
from bespeak.conditions.asking.explain import Explanation, counted_sentence
from bespeak.conditions.asking.families import Move, turning
from bespeak.conditions.asking.flips import Flips
from bespeak.conditions.asking.items import bind, mask
from bespeak.conditions.asking.together import Direction, Pass, direction, together
from bespeak.conditions.counting.aggregates import Fed, Feeds, Happening, State, key, merge
from bespeak.conditions.meaning.check import check
from bespeak.conditions.text.complete import Completion, Unknown, Vocabulary, complete, point_at, unknown
from bespeak.conditions.text.parser import parse
from bespeak.conditions.text.printer import format_condition
from bespeak.conditions.text.unomi import from_unomi
from bespeak.conditions.text.wire import from_json, load, to_json
from bespeak.conditions.tree import (
    Aggregate,
    And,
    AnyOf,
    Between,
    Calendar,
    Compare,
    Condition,
    Declared,
    Exists,
    FromTo,
    HalfLife,
    HasAll,
    HasBeen,
    In,
    InList,
    InSegment,
    LastPerformed,
    Matches,
    Moment,
    Near,
    Not,
    Operand,
    Or,
    Path,
    Performed,
    Sequence,
    Since,
    Text,
    ThisSession,
    Value,
    Version,
    Within,
)
from bespeak.conditions.values.folding import fold

__all__ = [
    "AfterEvent",
    "Aggregate",
    "And",
    "AnyOf",
    "Between",
    "Calendar",
    "Compare",
    "Compiled",
    "Completion",
    "Condition",
    "Declared",
    "Depends",
    "Direction",
    "Exists",
    "Explanation",
    "Fed",
    "Feeds",
    "Flips",
    "FromTo",
    "HalfLife",
    "Happening",
    "HasAll",
    "HasBeen",
    "In",
    "InList",
    "InSegment",
    "LastPerformed",
    "Matches",
    "Moment",
    "Move",
    "Near",
    "Not",
    "Operand",
    "Or",
    "Pass",
    "Path",
    "Performed",
    "Sequence",
    "Since",
    "State",
    "Text",
    "ThisSession",
    "Unknown",
    "Value",
    "Version",
    "Visitor",
    "Vocabulary",
    "Within",
    "bind",
    "check",
    "compile_condition",
    "complete",
    "counted_sentence",
    "direction",
    "fold",
    "format_condition",
    "from_json",
    "from_unomi",
    "key",
    "load",
    "mask",
    "merge",
    "parse",
    "point_at",
    "to_json",
    "together",
    "turning",
    "unknown",
]
