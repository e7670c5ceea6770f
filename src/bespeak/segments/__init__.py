"""Segments: named conditions with live membership, since when and why."""

from bespeak.segments.classify import By, Change, Changed, Segments
from bespeak.segments.references import NamedKind, named_by, named_in, unknown
from bespeak.segments.segment import MAX_SEGMENTS, Segment, load

__all__ = [
    "MAX_SEGMENTS",
    "By",
    "Change",
    "Changed",
    "NamedKind",
    "Segment",
    "Segments",
    "load",
    "named_by",
    "named_in",
    "unknown",
]
