"""Segments that ask for membership in segments: each is asked as if the conditions that it names stood in it.

So nothing has to be asked in an order, no flip waits for another at the same instant, and whoever looks at what a
segment depends on sees all of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping

from bespeak.conditions import And, Condition, InSegment, Not, Or
from bespeak.errors import DefinitionError
from bespeak.segments.segment import Segment


def inlined(segments: Iterable[Segment]) -> dict[str, Condition]:
    """Return what each segment asks, by its id, with the conditions of others in the place of `in_segment(...)`.

    Raises
    ------
    DefinitionError
        A segment names one that is not there, or itself by way of others.
    """
    known = {segment.id: segment for segment in segments}
    found: dict[str, Condition] = {}
    for segment_id in known:
        _inline(segment_id, known, found, ())
    return found


def named_in(condition: Condition) -> Iterator[str]:
    """Yield the segments that a condition asks for."""
    match condition:
        case And(parts) | Or(parts):
            for part in parts:
                yield from named_in(part)
        case Not(part):
            yield from named_in(part)
        case InSegment(segment_id):
            yield segment_id
        case _:
            return


def _inline(
    segment_id: str, known: Mapping[str, Segment], found: dict[str, Condition], way: tuple[str, ...]
) -> Condition:
    if segment_id in found:
        return found[segment_id]
    if segment_id in way:
        circle = " > ".join((*way[way.index(segment_id) :], segment_id))
        raise DefinitionError(f"segment {segment_id!r}: it asks for itself: {circle}; take one in_segment(...) out")
    if segment_id not in known:
        close = difflib.get_close_matches(segment_id, known, n=1)
        advice = f"did you mean {close[0]!r}?" if close else "define it, or repeat its condition"
        raise DefinitionError(f"segment {way[-1]!r}: there is no segment {segment_id!r} to be in; {advice}")
    condition = known[segment_id].condition
    if any(True for _ in named_in(condition)):
        condition = _replaced(condition, known, found, (*way, segment_id))
    found[segment_id] = condition
    return condition


def _replaced(
    condition: Condition, known: Mapping[str, Segment], found: dict[str, Condition], way: tuple[str, ...]
) -> Condition:
    match condition:
        case And(parts):
            return And(tuple(_replaced(part, known, found, way) for part in parts))
        case Or(parts):
            return Or(tuple(_replaced(part, known, found, way) for part in parts))
        case Not(part):
            return Not(_replaced(part, known, found, way))
        case InSegment(segment_id):
            return _inline(segment_id, known, found, way)
        case _:
            return condition
