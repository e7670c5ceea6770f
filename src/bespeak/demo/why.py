"""The panel behind `?why=1`: what is known about this visitor, and why the page looks as it does, in plain words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from bespeak.catalog import Catalog
from bespeak.clock import Instant, parse_time
from bespeak.demo import words
from bespeak.demo.cards import card
from bespeak.demo.drawing import draw
from bespeak.demo.shelves import Shown
from bespeak.engine import Engine
from bespeak.events.vocabulary import CONSENT_UPDATED, DECISION_MADE, IMPRESSION
from bespeak.ids import anonymous_profile
from bespeak.recommend import Scored
from bespeak.testing.world import KINDS

_IN_SEGMENT = re.compile(r'in_segment\("([^"]+)"\)')
_TITLES = {kind.key: kind.title for kind in KINDS}
_SLOTS: Mapping[str, str] = {
    "home-hero": "The welcome",
    "home-picks": "Picked for you",
    "home-trending": "Trending now",
    "product-similar": "You may also like",
    "category-picks": "Your kind of it",
    "cart-addons": "Goes well with it",
}
_DAILY = {"Page Viewed": "opened a page", "Identified": "said who you are", CONSENT_UPDATED: "chose what we may use"}
_UNTOLD = frozenset({DECISION_MADE, IMPRESSION})
"""What the page did, not the visitor."""


def panel(engine: Engine, anonymous_id: str, shown: Shown, close: str) -> Markup:
    """Draw the whole panel for a page that shows `shown`; `close` is the address of the page without it."""
    at = shown.decision.at
    return draw(
        "why",
        {
            "close": close,
            "live": live(engine, anonymous_id),
            "experiments": _experiments(shown),
            "slots": [_slot(name, shown, engine, at) for name in shown.slots],
        },
    )


def live(engine: Engine, anonymous_id: str) -> Markup:
    """Draw the part of the panel that changes by itself: the profile and the segments."""
    at = engine.clock.now()
    device = anonymous_profile(anonymous_id)  # never a user id that somebody has put into their cookie
    profile = engine.profile(device) or {}
    consent: Mapping[str, bool] = profile.get("consent") or {}
    segments = _segments(engine.explain_segments(device) or {}, at)
    return draw(
        "why_live",
        {
            "facts": _facts(profile, at),
            "allowed": consent.get("personalization", True),
            "interests": _interests(profile),
            "recent": _recent(profile, engine.catalog, at),
            "inside": [row for row in segments if row["member"]],
            "outside": [row for row in segments if not row["member"]],
        },
    )


def _facts(profile: Mapping[str, Any], at: Instant) -> list[dict[str, object]]:
    traits: Mapping[str, Any] = profile.get("traits") or {}
    counts: Mapping[str, int] = profile.get("counts") or {}
    session: Mapping[str, Any] = profile.get("session") or {}
    facts = [
        ("You are", traits.get("first_name") or traits.get("email") or "a visitor without a name"),
        ("Known since", words.ago(at - parse_time(profile["firstSeen"])) if profile.get("firstSeen") else "this page"),
        ("Visits before this one", max(0, profile.get("sessions", 0) - 1)),
        ("Events in this visit", session.get("events", 0)),
        ("Products looked at", counts.get("Product Viewed", 0)),
        ("Orders", counts.get("Order Completed", 0)),
    ]
    return [{"name": name, "value": str(value)} for name, value in facts]


def _interests(profile: Mapping[str, Any]) -> list[dict[str, object]]:
    """Return the strongest interests, as shares of the strongest."""
    interests: Mapping[str, float] = profile.get("interests") or {}
    top = list(interests.items())[:6]
    most = max((value for _, value in top), default=1.0) or 1.0
    return [
        {"name": _interest(key), "share": round(100 * value / most), "words": f"{value:.1f} points"}
        for key, value in top
    ]


def _interest(key: str) -> str:
    kind, _, name = key.partition(":")
    return _TITLES.get(name, name.capitalize()) if kind == "category" else f"“{name}”"


def _recent(profile: Mapping[str, Any], catalog: Catalog, at: Instant) -> list[dict[str, object]]:
    rows: Sequence[Mapping[str, Any]] = profile.get("recent") or ()
    found: list[dict[str, object]] = []
    for row in rows:
        if row["event"] in _UNTOLD:
            continue
        item = catalog.item(row["item"]) if row["item"] else None
        if row["event"] in words.DEEDS:
            text = words.DEEDS[row["event"]].format(item.title if item is not None else "something")
        else:
            text = _DAILY.get(row["event"], f"“{row['event']}”")
        found.append({"text": text.capitalize()[:1] + text[1:], "ago": words.ago(at - parse_time(row["time"]))})
    return found[:6]


def _segments(explained: Mapping[str, Mapping[str, Any]], at: Instant) -> list[dict[str, object]]:
    """Return every segment, those that hold first, with what its condition found."""
    rows: list[dict[str, object]] = []
    for entry in sorted(explained.values(), key=lambda one: (not one["member"], one["name"])):
        explanation: Mapping[str, Any] = entry["explanation"]
        change: Instant | None = explanation.get("next_change")
        rows.append(
            {
                "name": entry["name"],
                "member": entry["member"],
                "since": f"for {words.span(at - entry['since'])}" if entry["member"] and entry["since"] else "",
                "reasons": [words.leaf(leaf) for leaf in words.leaves(explanation)],
                "change": f"Looked at again by itself in {words.span(change - at)}" if change and change > at else "",
            }
        )
    return rows


def _experiments(shown: Shown) -> list[dict[str, object]]:
    reasons: Mapping[str, Mapping[str, Any]] = (shown.decision.reasons or {}).get("experiments") or {}
    rows: list[dict[str, object]] = []
    for name, assignment in reasons.items():
        settings: Mapping[str, object] = assignment.get("settings") or {}
        rows.append(
            {
                "name": name,
                "variant": shown.decision.experiments.get(name, ""),
                "reason": str(assignment.get("reason", "")),
                "settings": ", ".join(f"{key} {value}" for key, value in sorted(settings.items())),
            }
        )
    return rows


def _slot(name: str, shown: Shown, engine: Engine, at: Instant) -> dict[str, object]:
    answer = shown.slots[name]
    catalog, content = engine.catalog, answer.content
    return {
        "title": _SLOTS.get(name, name),
        "reason": _content(content.reason, engine) if content is not None else _mix(answer.reason),
        "items": [row for scored in answer.items if (row := _item(scored, catalog, at)) is not None],
    }


def _content(reason: str, engine: Engine) -> str:
    """Return why a block of content was chosen: its condition, with segments by their names."""
    names = {
        definition.id: str(definition.body.get("name", definition.id)) for definition in engine.definitions("segments")
    }
    told = _IN_SEGMENT.sub(lambda match: f"you are in “{names.get(match[1], match[1])}”", reason)
    return "For everybody else" if told == "always" else f"Because {told}"


def _mix(reason: str) -> str:
    """Return the engine's mix (`seqknn 60%, trending 40%`) in the words of the page."""
    return reason.replace("seqknn", "by what you did").replace("trending", "by what everybody wants").replace("%", " %")


def _item(scored: Scored, catalog: Catalog, at: Instant) -> dict[str, object] | None:
    item = catalog.item(scored.item)
    if item is None:
        return None
    total = sum(why.weight for why in scored.why) or 1.0
    return {
        "card": card(item),
        "source": words.source(scored),
        "reasons": [
            f"{words.because(why, catalog, at)} ({why.weight / total:.0%} of it)".replace("%", " %")
            for why in scored.why
            if why.event in words.DEEDS
        ],
        "rules": [rule.replace("-", " ") for rule in scored.rules],
    }
