"""Plain words for what the engine says: events, sources, conditions, and how long ago."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bespeak.catalog import Catalog
from bespeak.clock import DAY, HOUR, MINUTE, SECOND, Duration, Instant
from bespeak.recommend import Because, Scored

DEEDS: Mapping[str, str] = {
    "Product Viewed": "looked at {}",
    "Product Clicked": "clicked on {}",
    "Product Added": "put {} into the cart",
    "Order Completed": "bought {}",
    "Product Removed": "took {} out of the cart",
    "Item Hidden": "hid {}",
}
"""What a visitor did with a thing, by event name."""
SOURCES: Mapping[str, str] = {
    "seqknn": "People who did the same went on to this",
    "trending": "Many people want this right now",
}
_COUNT = re.compile(r'count\("(?P<event>[^"]+)"(?: where (?P<where>.+?))?(?:, last (?P<window>[^)]+))?\)')
_SUM = re.compile(r'sum\(properties\.(?P<of>\w+) of "(?P<event>[^"]+)"(?:, last (?P<window>[^)]+))?\)')
_PERFORMED = re.compile(r'performed\("(?P<event>[^"]+)"(?: where (?P<where>.+?))?(?:, last (?P<window>[^)]+))?\)')


def ago(duration: Duration) -> str:
    """Return how long ago something was, roughly.

    Examples
    --------
    >>> ago(3 * SECOND), ago(90 * SECOND), ago(50 * HOUR)
    ('just now', '1 min ago', '2 days ago')
    """
    if duration < 5 * SECOND:
        return "just now"
    return f"{span(duration)} ago"


def span(duration: Duration) -> str:
    """Return a length of time in its largest unit, rounded down."""
    for size, unit in ((DAY, "day"), (HOUR, "hour")):
        if duration >= size:
            amount = duration // size
            return f"{amount} {unit}" + ("s" if amount > 1 else "")
    return f"{duration // MINUTE} min" if duration >= MINUTE else f"{max(0, duration) // SECOND} s"


def because(why: Because, catalog: Catalog, at: Instant) -> str:
    """Return one reason for an item as a sentence."""
    item = catalog.item(why.item) if why.item is not None else None
    what = item.title if item is not None else (why.item or "something")
    deed = DEEDS.get(why.event, f"did “{why.event}” with {{}}").format(what)
    when = f", {ago(at - why.time)}" if why.time is not None else ""
    return f"You {deed}{when}"


def lead(items: Sequence[Scored], catalog: Catalog) -> str:
    """Return the one line over a shelf: what of the visitor's own doing weighs most in it; empty when nothing does."""
    weights: dict[tuple[str, str], float] = {}
    for scored in items:
        for why in scored.why:
            if why.item is not None and why.event in DEEDS and catalog.item(why.item) is not None:
                weights[why.event, why.item] = weights.get((why.event, why.item), 0.0) + why.weight
    if not weights:
        return ""
    event, item_id = max(weights, key=lambda pair: weights[pair])
    item = catalog.item(item_id)
    return f"Because you {DEEDS[event].format(item.title)}" if item is not None else ""


def source(scored: Scored) -> str:
    """Return where an item came from."""
    if scored.pinned is not None or scored.source.startswith("rule:"):
        return "The shop insists on it"
    return SOURCES.get(scored.source, scored.source)


def leaves(explanation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the parts of an explained condition that are not groups, in order."""
    children: Sequence[Mapping[str, Any]] = explanation.get("children") or ()
    if not children:
        return [explanation]
    return [leaf for child in children for leaf in leaves(child)]


def leaf(explanation: Mapping[str, Any]) -> str:
    """Return one part of a condition with the value that it found."""
    text, value, expected = explanation["text"], explanation.get("value"), explanation.get("expected")
    if match := _COUNT.match(text):
        return f"{_event(match)}: {_number(value)} (asks for {_bound(expected)})"
    if match := _SUM.match(text):
        window = f" in the last {match['window']}" if match["window"] else ""
        return (
            f"{match['of'].capitalize()} of “{match['event']}”{window}: {_number(value)} (asks for {_bound(expected)})"
        )
    if match := _PERFORMED.match(text):
        return f"{_event(match)}: {'yes' if value else 'no'}"
    return f"{text}: {'yes' if explanation['holds'] else 'no'}"


def _event(match: re.Match[str]) -> str:
    where = f" with {match['where'].replace('properties.', '')}" if match["where"] else ""
    window = f" in the last {match['window']}" if match["window"] else ""
    return f"“{match['event']}”{where}{window}"


def _number(value: object) -> str:
    return f"{value:,.10g}" if isinstance(value, int | float) else "0"


def _bound(expected: object) -> str:
    text = str(expected or "")
    for sign, words in ((">= ", "at least "), ("<= ", "at most "), ("> ", "more than "), ("< ", "fewer than ")):
        if text.startswith(sign):
            return words + text.removeprefix(sign)
    return text.removeprefix("= ")
