"""Computed traits and scores from the raw events, each time anew: the second evaluator of what has a name.

It reads definitions as they are written, and shares with the one at work only the texts of conditions. Names are looked
up when they are met, a score is a sum over its events, and nothing knows when it will change.

Examples
--------
>>> known = Named({"scores": {"keen": {"halflife": "1 day", "elements": [{"event": "View", "points": 2}]}}}, {})
>>> seen = [Event(type="track", name="View", message_id=f"m{day}", time=day * DAY, received=0) for day in (0, 1)]
>>> Somebody(known, seen, at=2 * DAY).get("scores.keen")
1.5
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any, cast

import msgspec

from bespeak.clock import DAY, Instant, parse_duration
from bespeak.conditions import Condition, Exists, Operand, Path, load
from bespeak.events import Event
from bespeak.testing.naive import Known, holds, of_event, worth
from bespeak.testing.naive_counts import is_meant


class Named(msgspec.Struct, frozen=True):
    """Definitions as they are written, by kind and id (`segments`, `traits`, `scores`), and what else is known."""

    definitions: Mapping[str, Mapping[str, Mapping[str, Any]]]
    facts: Known


class Somebody:
    """What is known of one person at an instant, by path; names included.

    Parameters
    ----------
    events
        All of theirs, in any order.
    timely
        Those that came within the allowed delay; None: all did.
    """

    def __init__(
        self, named: Named, events: Sequence[Event], at: Instant, *, timely: Sequence[Event] | None = None
    ) -> None:
        self._named = named
        self._events = events
        self._timely = timely
        self._at = at

    def get(self, path: str, /) -> object:
        """Return the value at a path; None where there is none."""
        head, _, rest = path.partition(".")
        written = self._named.definitions
        if head == "segments":
            return self.holds(load(written["segments"][rest]["condition"]))
        if head == "computed":
            name, _, part = rest.partition(".")
            trait = written["traits"][name]
            return (
                self._graded(trait["rfm"], written["borders"].get(name), part) if "rfm" in trait else self._trait(trait)
            )
        if head == "scores":
            name, _, part = rest.partition(".")
            score = self._score(written["scores"][name])
            return self._band(written["scores"][name]["bands"], score) if part == "band" else score
        return self._named.facts.get(path)

    def holds(self, condition: Condition) -> bool:
        """Say whether a condition holds of them."""
        return holds(condition, self, self._events, self._at, timely=self._timely)

    def worth(self, operand: Operand) -> object:
        """Return what a path or an aggregate is of them."""
        return worth(operand, self, self._events, self._at, timely=self._timely)

    def _trait(self, written: Mapping[str, Any]) -> object:
        if "value" in written:
            return self.worth(_operand(written["value"]))
        if "ratio" in written:
            of, to = (self.worth(_operand(written["ratio"][side])) for side in ("of", "to"))
            return None if _no_number(of) or _no_number(to) or not to else cast("float", of) / cast("float", to)
        if "difference" in written:
            of, less = (self.worth(_operand(written["difference"][side])) for side in ("of", "less"))
            return None if _no_number(of) or _no_number(less) else round(cast("float", of) - cast("float", less), 6)
        if "orders" in written:
            return self._orders(written["orders"])
        since = written["days_since"]
        event = since.get("last") or since["first"]
        times = [one.time for one in self._events if is_meant(event, one.name) and _passes(since.get("where"), one)]
        if not times:
            return None
        return max(0, self._at - (max(times) if "last" in since else min(times))) / DAY

    def _graded(self, figures: Mapping[str, str], borders: Mapping[str, Sequence[float]] | None, part: str) -> object:
        """Grade by counting who is worse: a border below is one step up, or down where less is better."""
        grades: dict[str, int] = {}
        for figure in _FIGURES:
            value = self.worth(_operand(figures[figure]))
            if borders is None or _no_number(value):
                continue
            below = sum(1 for border in borders[figure] if border < cast("float", value))
            grades[figure] = 5 - below if figure == "recency" else 1 + below
        if part in _FIGURES:
            return grades.get(part)
        if len(grades) < len(_FIGURES):
            return None
        code = "".join(str(grades[figure]) for figure in _FIGURES)
        if part != "cell":
            return code
        mean = str((Decimal(int(code[1]) + int(code[2])) / 2).quantize(Decimal(1), ROUND_HALF_UP))
        return next(name for name, codes in _CELLS.items() if code[0] + mean in codes.split())

    def _orders(self, written: Mapping[str, Any]) -> object:
        """Take each order by itself: what was paid last under its id, less all that was refunded under it by now."""
        window = f", {written['window']}" if "window" in written else ", last 3660 days"
        seen = self._events if self._timely is None else self._timely
        left: list[Fraction] = []
        for order in seen:
            paid, name = of_event(order, written["amount"]), of_event(order, written["id"])
            counts = cast("Exists", load(f'count("{written["event"]}"{window}) exists')).operand
            if _no_number(paid) or not worth(counts, self, [order], self._at):
                continue
            later = [
                other
                for other in seen
                if name is not None
                and other.name == written["event"]
                and of_event(other, written["id"]) == name
                and not _no_number(of_event(other, written["amount"]))
                and worth(counts, self, [other], self._at)
                and (other.time, other.message_id) > (order.time, order.message_id)
            ]
            if later:
                continue
            back = [
                of_event(one, written["refunded"]) if "refunded" in written else None
                for one in seen
                if one.name == written["refunds"] and name is not None
                if of_event(one, written["id"]) == name and one.time <= self._at
            ]
            if not any(map(_no_number, back)):
                left.append(_exact(paid) - sum(map(_exact, back)))
        left = [one for one in left if one > 0]
        if written["read"] == "count":
            return len(left)
        return float(sum(left)) if written["read"] == "sum" else float(sum(left) / len(left)) if left else None

    def _score(self, written: Mapping[str, Any]) -> float:
        total = sum(self._points(element, written.get("halflife")) for element in written["elements"])
        cap, floor = float(written.get("cap", "inf")), float(written.get("floor", "-inf"))
        return max(min(round(total, 9), cap), floor)

    def _points(self, element: Mapping[str, Any], halflife: str | None) -> float:
        points = float(element["points"])
        if "condition" in element:
            return points if self.holds(load(element["condition"])) else 0.0
        found = [
            one.time
            for one in self._events
            if is_meant(element["event"], one.name) and _passes(element.get("where"), one)
        ]
        if halflife is not None:
            now = max([self._at, *found])
            worth_now = points * sum(math.pow(0.5, (now - time) / parse_duration(halflife)) for time in found)
        else:
            worth_now = points * len(found)
        most = float(element.get("most", "inf"))
        return max(-most, min(most, worth_now))

    def _band(self, bands: Mapping[str, float], score: float) -> str | None:
        reached = [(least, name) for name, least in bands.items() if score >= least]
        return max(reached)[1] if reached else None


_FIGURES = ("recency", "frequency", "monetary")
_CELLS = {
    "champions": "54 55",
    "loyal": "44 45 34 35",
    "potential loyalist": "52 53 42 43",
    "new": "51",
    "promising": "41",
    "needs attention": "33",
    "about to sleep": "31 32",
    "at risk": "23 24 13 14",
    "cannot lose": "25 15",
    "hibernating": "21 22 12",
    "lost": "11",
}


def _operand(text: str) -> Operand:
    return Path(text) if "(" not in text else cast("Exists", load(f"{text} exists")).operand


def _passes(where: str | None, event: Event) -> bool:
    if where is None:
        return True
    counted = load(f"count({_ANY} where {where}) = 1")
    return holds(counted, {}, [event], event.time)


def _exact(value: object) -> Fraction:
    return Fraction(Decimal(repr(value)))


def _no_number(value: object) -> bool:
    return not isinstance(value, int | float) or isinstance(value, bool)


_ANY = '"*"'
