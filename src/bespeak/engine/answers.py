"""What the engine answers to its callers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal, cast

import msgspec

from bespeak.clock import Instant, format_time
from bespeak.computed import FIGURES, RfmPlan, Trait, explain
from bespeak.conditions.derived import Score, Worked
from bespeak.engine.site import Site
from bespeak.profiles import Profile, ProfileSettings, View, faded


class EventResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one event."""

    status: Literal["ok", "duplicate", "refused", "rejected"]
    message_id: str | None = None
    reason: str | None = None


class Receipt:
    """What became of each event of a body, in its order; `durable` resolves after COMMIT, or raises `StoreError`."""

    __slots__ = ("_commit", "results")

    def __init__(self, results: tuple[EventResult, ...], commit: asyncio.Future[None]) -> None:
        self.results = results
        self._commit = commit

    @property
    def durable(self) -> asyncio.Future[None]:
        """The commit, for this caller alone: who stops waiting takes nobody else's answer away."""
        return asyncio.shield(self._commit)


def profile_answer(profile: Profile, at: Instant, settings: ProfileSettings, site: Site) -> dict[str, Any]:
    """Return a profile as plain JSON, seen at an instant."""
    view = View(profile, at, settings, worked=site.worked)
    interests = {
        key: round(faded(value, at, settings.interest_halflife), 4) for key, value in profile.interests.items()
    }
    return {
        "id": profile.id,
        "userId": profile.user_id,
        "claimedUserId": profile.claimed_user_id,
        "aliases": profile.aliases,
        "firstSeen": _time(profile.first_seen),
        "lastSeen": _time(profile.last_seen),
        "timeZone": view.get("zone"),
        "place": None if profile.place is None else profile.place.values,
        "device": None if profile.device is None else profile.device.values,
        "lists": sorted(name for name, listing in profile.lists.items() if listing.joined),
        "traits": {name: trait.value for name, trait in profile.traits.items()},
        "computed": {trait.id: _computed(trait, view) for trait in site.segments.traits},
        "scores": scores_answer(view, site),
        "counts": profile.counts,
        "last": {name: format_time(time) for name, time in profile.last.items()},
        "interests": dict(sorted(interests.items(), key=lambda pair: -pair[1])),
        "sessions": profile.sessions,
        "session": _session(profile),
        "recent": [
            {"event": row.name, "item": row.item, "time": format_time(row.time)}
            for row in reversed(profile.recent[-20:])
        ],
        "bought": sorted(profile.bought),
        "hidden": sorted(profile.hidden),
        "consent": {purpose: choice.granted for purpose, choice in profile.consent.items()},
        "segments": segments_answer(profile),
    }


def segments_answer(profile: Profile) -> dict[str, Mapping[str, Any]]:
    """Return the memberships of a profile: since when, and why."""
    return {
        segment_id: {"since": format_time(membership.since), "version": membership.version, "why": membership.why}
        for segment_id, membership in sorted(profile.segments.items())
    }


def _computed(trait: Trait, view: View) -> object:
    path = f"computed.{trait.id}"
    if not isinstance(trait.value, RfmPlan):
        return view.get(path)
    return {"code": view.get(path), **{part: view.get(f"{path}.{part}") for part in (*FIGURES, "cell")}}


def scores_answer(view: View, site: Site) -> dict[str, Mapping[str, Any]]:
    """Return each score with its band; the band of one without bands is None."""
    return {
        plan.id: {"value": view.get(f"scores.{plan.id}"), "band": view.get(f"scores.{plan.id}.band")}
        for plan in site.segments.scores
    }


def scores_explained(view: View, at: Instant, site: Site) -> dict[str, Any]:
    """Return each score with its reasons."""
    operands = site.segments.operands
    answer: dict[str, Any] = {}
    for plan in site.segments.scores:
        score, band = cast("Worked", operands[f"scores.{plan.id}"]), operands.get(f"scores.{plan.id}.band")
        found = explain(cast("Score", score.derived), cast("Worked | None", band), view, at)
        answer[plan.id] = {"name": plan.name, **msgspec.to_builtins(found)}
    return answer


def _session(profile: Profile) -> Mapping[str, Any] | None:
    session = profile.session
    if session is None:
        return None
    return {"started": format_time(session.started), "ended": format_time(session.ended), "events": session.events}


def _time(at: Instant) -> str | None:
    return format_time(at) if at else None
