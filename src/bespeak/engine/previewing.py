"""A condition tried over the archive and the log behind it before it is defined, or changed."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bespeak.analytics.conditions_compared import Beside, Difference, beside, difference
from bespeak.analytics.conditions_sql import Events, Rules, sql_of
from bespeak.analytics.conditions_sql_values import NotInSql
from bespeak.clock import Instant
from bespeak.conditions import Condition
from bespeak.engine.archive_reading import Cut, cut_of
from bespeak.settings import Settings

OVERLAPS_MAX = 200
"""Segments beside which a condition is shown; more take SQL too long."""


class Preview(msgspec.Struct, frozen=True):
    """Who would be in, and beside which segments.

    Parameters
    ----------
    offset
        The last record of the log that is in it.
    found
        How many people there are, who of them hold the condition, and how many of these are in each segment.
    left_out
        Segments that are not beside it, and why.
    """

    offset: int
    found: Beside
    left_out: dict[str, str]


def preview(
    settings: Settings, condition: Condition, segments: Mapping[str, Condition], at: Instant, *, most: int = 20
) -> Preview:
    """Say who would be in a segment, exactly, and how many of them are in each of the others.

    Parameters
    ----------
    segments
        Those in force, as `segments.references.inlined` returns them.
    most
        People named, 1 to 1,000.

    Raises
    ------
    NotInSql
        The log does not answer it (the context of a request, items of a time that was dropped); the message names the
        part.
    InvalidInput, StoreError, Damaged
        As `ask_archive`.
    """
    query = sql_of(condition, at, segments=segments)  # whether it can be asked, before anything is read
    others, left_out = comparable(segments, at)
    with cut_of(settings, goods=query.reads_items or any(map(reads_items, others.values()))) as cut:
        for name in [name for name, one in others.items() if cut.goods.doubtful and reads_items(one)]:
            left_out[name] = "it reads items, and the log of their time was dropped"
            del others[name]
        limits, rules = settings.archive, _rules(settings)
        found = beside(condition, others, at, _events(cut), limits, rules, segments=segments, most=most)
        return Preview(cut.offset, found, left_out)


def comparable(segments: Mapping[str, Condition], at: Instant) -> tuple[dict[str, Condition], dict[str, str]]:
    """Return the segments that a condition can be shown beside, and of the others why they are left out."""
    others: dict[str, Condition] = {}
    left_out: dict[str, str] = {}
    for name, one in segments.items():
        reason = _reason(one, at)
        if reason is None and len(others) >= OVERLAPS_MAX:
            reason = f"more than {OVERLAPS_MAX} segments"
        if reason is None:
            others[name] = one
        else:
            left_out[name] = reason
    return others, left_out


def compare(
    settings: Settings,
    old: Condition,
    new: Condition,
    segments: Mapping[str, Condition],
    at: Instant,
    *,
    most: int = 20,
) -> tuple[int, Difference]:
    """Say who would enter and leave a segment, were its condition changed; with the offset of the cut.

    Parameters and errors are those of `preview`.
    """
    queries = [sql_of(one, at, segments=segments) for one in (old, new)]
    with cut_of(settings, goods=any(query.reads_items for query in queries)) as cut:
        limits, rules = settings.archive, _rules(settings)
        found = difference(old, new, at, _events(cut), limits, rules, segments=segments, most=most)
        return cut.offset, found


def reads_items(condition: Condition) -> bool:
    """Say whether a condition that SQL answers reads the items of events, or interests, which follow from them."""
    return sql_of(condition, 0).reads_items


def _reason(condition: Condition, at: Instant) -> str | None:
    """Say why SQL cannot answer a condition; None when it can."""
    try:
        sql_of(condition, at)
    except NotInSql as error:
        return error.message
    return None


def _rules(settings: Settings) -> Rules:
    return Rules(settings.profiles, settings.identity)


def _events(cut: Cut) -> Events:
    return Events(cut.files, cut.tail, cut.aliases, cut.goods)
