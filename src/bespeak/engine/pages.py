"""The path of a page inside the engine: who may ask, what may be used, and the record of what was offered."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import msgspec

from bespeak.clock import DAY, Clock, Instant
from bespeak.decide import (
    DecideRequest,
    Decision,
    Offer,
    Page,
    SlotAnswer,
    Snapshot,
    decide,
    explain_assignments,
    variants,
)
from bespeak.engine.answers import profile_answer, segments_answer
from bespeak.engine.keyring import verifier
from bespeak.engine.models import Models
from bespeak.engine.sequencer import Sequencer
from bespeak.engine.site import Registry
from bespeak.errors import Forbidden, InvalidInput, StoreError
from bespeak.events import Event
from bespeak.events.vocabulary import DECISION_MADE, OUR_SOURCE
from bespeak.ids import new_id
from bespeak.privacy import PERSONALIZATION, Key, may
from bespeak.profiles import EMPTY, Profile, Resolved, View, resolve
from bespeak.segments import Change
from bespeak.settings import Settings

OWN = OUR_SOURCE
"""The source of the events that the engine itself writes."""

NO_CONSENT = "no consent for personalization"

AT_MAX: Instant = 2_932_000 * DAY
"""Instants that can be asked about lie before this one, in the year 9997: later ones cannot be written as text."""


class Answered(msgspec.Struct, frozen=True):
    """A decision, and what it leaves behind.

    Parameters
    ----------
    profile
        Whom it is about.
    event
        The record of it; None when nothing may be recorded.
    seconds
        CPU time that it took.
    changes
        Who moved where because time had passed.
    """

    decision: Decision
    profile: str
    event: Event | None
    seconds: float
    changes: tuple[Change, ...] = ()


class Pages:
    """Makes decisions over what is known now."""

    def __init__(
        self, settings: Settings, sequencer: Sequencer, registry: Registry, models: Models, clock: Clock, rng: Random
    ) -> None:
        self._settings = settings
        self._sequencer = sequencer
        self._registry = registry
        self._models = models
        self._clock = clock
        self._rng = rng

    def check(self, request: DecideRequest, key: Key) -> None:
        """Refuse what the key may not ask: with a write key, only about its own device, or a proven user id.

        Raises
        ------
        Forbidden
            The user id is not proven, or `context.at` comes with a write key.
        InvalidInput
            There is no slot, or `context.at` is not a time in microseconds.
        """
        if not request.slots:
            raise InvalidInput('slots: expected at least one slot such as {"id": "home"}, found none')
        at = request.context.get("at")
        if at is not None and (not isinstance(at, int) or isinstance(at, bool) or not 0 <= at < AT_MAX):
            raise InvalidInput(f"context.at: expected microseconds since 1970, before the year 9999, got {at!r}")
        if key.kind == "secret":
            return
        if at is not None:
            raise Forbidden("context.at needs the secret key")
        if request.user_id is not None and not self._proven(request, key):
            raise Forbidden("a write key asks about its own device (anonymousId), or needs userSignature for a userId")

    def answer(self, request: DecideRequest, key: Key) -> Answered:
        """Make one decision; always answers."""
        began = time.perf_counter()
        cpu = time.process_time()
        now = self._clock.now()
        at = int(request.context.get("at") or now)
        profile, reason = self._find(request, key)
        changes = self._sequencer.advance_profile(profile, min(at, now)) if profile is not None else ()
        snapshot = self._snapshot(request, profile, reason, at)
        offer = self._offer(now)
        page = decide(
            request.slots,
            snapshot,
            offer,
            at=at,
            rng=self._rng,
            spent=lambda: time.perf_counter() - began,
            explain=request.explain,
        )
        decision = self._decision(request, snapshot, page, at)
        event = self._record(request, snapshot, page, decision, now) if self._may_record(snapshot, at, now) else None
        return Answered(decision, snapshot.view.profile.id, event, time.process_time() - cpu, changes)

    def _proven(self, request: DecideRequest, key: Key) -> bool:
        if request.user_id is None or request.user_signature is None:
            return False
        return verifier(key, self._clock.now())(request.user_id, request.user_signature)

    def _find(self, request: DecideRequest, key: Key) -> tuple[Profile | None, str]:
        """Return whom the request is about, None with the reason when nobody is known or may be used."""
        settings = self._settings
        signed = key.kind == "secret" or self._proven(request, key)
        try:
            resolved = resolve(request, self._sequencer.aliases, settings.identity, signed=signed)
            profile = self._sequencer.live.get(resolved.profile) if isinstance(resolved, Resolved) else None
        except StoreError:
            return None, "the store did not answer"
        if not may(profile.consent if profile is not None else {}, PERSONALIZATION, settings.privacy):
            return None, NO_CONSENT
        return profile, "" if profile is not None else "nobody is known yet"

    def _snapshot(self, request: DecideRequest, profile: Profile | None, reason: str, at: Instant) -> Snapshot:
        worked = self._registry.site.worked
        view = View(profile or EMPTY, at, self._settings.profiles, request.context, worked)
        if profile is None:
            unit = {} if reason == NO_CONSENT else _unit(request.anonymous_id, request.user_id)
            return Snapshot(view, unit, personalized=False, reason=reason)
        unit = _unit(request.anonymous_id, profile.user_id or request.user_id)
        return Snapshot(view, unit, personalized=True, reason="")

    def _offer(self, now: Instant) -> Offer:
        site = self._registry.site
        return Offer(
            catalog=self._sequencer.catalog,
            recommenders=self._models.asked(now),
            rules=site.rules,
            experiments=site.experiments,
            blocks=site.blocks,
            recommend=self._settings.recommend,
            decide=self._settings.decide,
        )

    def _decision(self, request: DecideRequest, snapshot: Snapshot, page: Page, at: Instant) -> Decision:
        profile = snapshot.view.profile
        reason = snapshot.reason
        if page.late:
            reason = "; ".join(filter(None, [reason, f"no time was left for {', '.join(page.late)}"]))
        return Decision(
            decision_id=new_id(at, self._rng),
            at=at,
            slots={slot_id: offered.answer for slot_id, offered in page.slots.items()},
            segments=tuple(sorted(profile.segments)),
            experiments=variants(page.assignments),
            personalized=snapshot.personalized,
            reason=reason,
            reasons=self._reasons(profile, page, at) if request.explain else None,
        )

    def _reasons(self, profile: Profile, page: Page, at: Instant) -> dict[str, Any]:
        return {
            "profile": profile_answer(profile, at, self._settings.profiles, self._registry.site),
            "segments": segments_answer(profile),
            "experiments": explain_assignments(page.assignments),
        }

    def _may_record(self, snapshot: Snapshot, at: Instant, now: Instant) -> bool:
        return self._settings.decide.record and snapshot.personalized and at >= now

    def _record(
        self, request: DecideRequest, snapshot: Snapshot, page: Page, decision: Decision, now: Instant
    ) -> Event:
        """Return the event that says what was offered, with every candidate's score: the source of all training."""
        properties: dict[str, Any] = {
            "decision_id": decision.decision_id,
            "experiments": {name: {"variant": variant} for name, variant in decision.experiments.items()},
            "slots": {
                slot_id: _slot_record(offered.answer, offered.candidates) for slot_id, offered in page.slots.items()
            },
        }
        profile = snapshot.view.profile
        return Event(
            type="track",
            name=DECISION_MADE,
            message_id=decision.decision_id,
            time=now,
            received=now,
            user_id=profile.user_id,
            anonymous_id=None if profile.user_id is not None else profile.id[2:],
            properties=properties,
            source=OWN,
            signed=True,
        )


def _unit(device: str | None, user: str | None) -> dict[str, str]:
    """Return the ids by which experiments assign; a known person has a user id even where the page names none."""
    return {name: value for name, value in (("device", device), ("user", user)) if value is not None}


def _slot_record(answer: SlotAnswer, candidates: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "items": [
            {
                "id": item.item,
                "score": round(item.score, 6),
                "source": item.source,
                "sources": dict(item.sources),
                "rules": list(item.rules),
                "propensity": item.propensity,
            }
            for item in answer.items
        ],
        "content": answer.content.block if answer.content is not None else None,
        "candidates": dict(candidates),
    }
