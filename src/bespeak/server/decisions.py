"""Decisions out: `POST /v1/decide`, and `GET /api/personalized-recommendations` for a page that wants only items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope

from bespeak.catalog import Catalog
from bespeak.clock import format_time, parse_time
from bespeak.decide import BlockAnswer, DecideRequest, Decision, SlotAnswer, SlotRequest
from bespeak.engine import Engine
from bespeak.errors import CallerError, InvalidInput, Problem, Unavailable
from bespeak.events import Parsed
from bespeak.privacy import Key
from bespeak.recommend import Because, Scored
from bespeak.server.access import Gate
from bespeak.server.answers import Answer, decode, json_answer, log_failure
from bespeak.server.bodies import BodyLimits, read_body
from bespeak.server.hot import Hot
from bespeak.server.scopes import require

RECOMMENDATIONS = "/api/personalized-recommendations"
SLOT = "recommendations"
"""The slot of the short form; rules and content may name it."""

_PARAMETERS = ("user_id", "anonymous_id", "signature", "n", "item", "category", "slot", "explain")
_NO_EVENTS = Parsed(events=(), indexes=(), rejected=(), write_key=None)
_REQUEST = msgspec.json.Decoder(DecideRequest)


class Reason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event that brought an item, with its part of the score and the item that it was about."""

    event: str
    weight: float
    item: str | None = None
    title: str = ""
    time: str | None = None


class ShownItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One item of an answer, ready to be drawn.

    Parameters
    ----------
    source, sources, why, rules, pinned, propensity
        Only with `explain` and a secret key: which recommender brought it, the events behind it, the rules that
        changed it, the place a rule pinned it to, and the probability that it stands here.
    """

    id: str
    score: float
    title: str = ""
    url: str = ""
    image: str = ""
    price: float | None = None
    brand: str = ""
    categories: tuple[str, ...] = ()
    source: str | None = None
    sources: Mapping[str, float] = {}
    why: tuple[Reason, ...] = ()
    rules: tuple[str, ...] = ()
    pinned: int | None = None
    propensity: float | None = None


class ShownSlot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer for one slot; `reason` says in a sentence what it rests on."""

    reason: str
    items: tuple[ShownItem, ...] = ()
    content: BlockAnswer | None = None


class ShownDecision(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The answer of `POST /v1/decide`; `at` is ISO 8601. `personalized` is false where the profile was not used."""

    decision_id: str
    at: str
    personalized: bool
    reason: str
    slots: Mapping[str, ShownSlot]
    segments: tuple[str, ...] = ()
    stage: str | None = None
    experiments: Mapping[str, str] = {}
    reasons: Mapping[str, Any] | None = None


class Recommendations(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer of the short form."""

    decision_id: str
    personalized: bool
    reason: str
    items: tuple[ShownItem, ...]


class Decisions:
    """Reads what is asked, asks the engine, and never leaves a page without an answer."""

    def __init__(self, engine: Engine, gate: Gate) -> None:
        self._engine = engine
        self._gate = gate
        settings = engine.settings
        self._limits = BodyLimits(settings.events.batch_bytes, settings.server.body_seconds)

    def endpoints(self) -> dict[str, Hot]:
        """Return the endpoints by path; the short form is a GET, the other a POST."""
        return {"/v1/decide": Hot(self.decide), RECOMMENDATIONS: Hot(self.recommendations)}

    async def decide(self, _scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> Answer:
        """Answer one page."""
        body = await read_body(receive, headers, self._limits)
        key = self._gate.sender(headers, body, scope="decide")
        request = decode(_REQUEST, body)
        _check_scopes(request, key)
        decision = await self._decide(request, key)
        return json_answer(shown(decision, self._engine.catalog, explain=request.explain and key.kind == "secret"))

    async def recommendations(self, scope: Scope, headers: Mapping[bytes, bytes], _receive: Receive) -> Answer:
        """Answer with the items of one slot alone."""
        key = self._gate.sender(headers, scope="decide")
        request = _from_query(scope["query_string"])
        _check_scopes(request, key)
        decision = await self._decide(request, key)
        explain = request.explain and key.kind == "secret"
        answer = shown(decision, self._engine.catalog, explain=explain).slots.get(request.slots[0].id)
        return json_answer(
            Recommendations(
                decision_id=decision.decision_id,
                personalized=decision.personalized,
                reason=(answer.reason if answer else "") or decision.reason,
                items=answer.items if answer else (),
            )
        )

    async def _decide(self, request: DecideRequest, key: Key) -> Decision:
        request = _timed(request)
        try:
            decision = self._engine.decide(request, key=key)
        except CallerError:
            raise
        except Unavailable as error:
            return self._without_events(request, key, error)
        except Exception as error:  # noqa: BLE001  a page gets its default and a reason, never a 500
            log_failure(error)
            return _default(request, "internal", self._engine.clock.now())
        if not (request.events and request.durable):
            return decision
        try:
            await self._engine.accept(_NO_EVENTS, key).durable  # the newest commit: what was folded above is in it
        except Unavailable as error:
            return _with_note(decision, error)
        return decision

    def _without_events(self, request: DecideRequest, key: Key, error: Unavailable) -> Decision:
        """Decide by what is known when the events cannot be taken now, and say so."""
        try:
            decision = self._engine.decide(msgspec.structs.replace(request, events=()), key=key)
        except Unavailable:
            return _default(request, error.code, self._engine.clock.now())
        return _with_note(decision, error) if request.events else decision


def shown(decision: Decision, catalog: Catalog, *, explain: bool) -> ShownDecision:
    """Return a decision as it goes over the wire: items with what it takes to draw them, reasons when asked for."""
    return ShownDecision(
        decision_id=decision.decision_id,
        at=format_time(decision.at),
        personalized=decision.personalized,
        reason=decision.reason,
        slots={name: _shown_slot(slot, catalog, explain=explain) for name, slot in decision.slots.items()},
        segments=decision.segments,
        stage=decision.stage,
        experiments=decision.experiments,
        reasons=decision.reasons if explain else None,
    )


def _shown_slot(slot: SlotAnswer, catalog: Catalog, *, explain: bool) -> ShownSlot:
    items = tuple(_shown_item(scored, catalog, explain=explain) for scored in slot.items)
    return ShownSlot(reason=slot.reason, items=items, content=slot.content)


def _shown_item(scored: Scored, catalog: Catalog, *, explain: bool) -> ShownItem:
    item = catalog.item(scored.item)
    bare = ShownItem(id=scored.item, score=scored.score)
    if item is not None:
        bare = ShownItem(
            id=scored.item,
            score=scored.score,
            title=item.title,
            url=item.url,
            image=item.image,
            price=item.price,
            brand=item.brand,
            categories=item.categories,
        )
    if not explain:
        return bare
    reasons = (_reason(why, catalog) for why in scored.why)
    return msgspec.structs.replace(
        bare,
        source=scored.source,
        sources=scored.sources,
        why=tuple(reasons),
        rules=scored.rules,
        pinned=scored.pinned,
        propensity=scored.propensity,
    )


def _reason(why: Because, catalog: Catalog) -> Reason:
    item = None if why.item is None else catalog.item(why.item)
    return Reason(
        event=why.event,
        weight=why.weight,
        item=why.item,
        title="" if item is None else item.title,
        time=None if why.time is None else format_time(why.time),
    )


def _with_note(decision: Decision, error: Unavailable) -> Decision:
    note = f"the events were not kept ({error.code}); send them again"
    return msgspec.structs.replace(decision, reason="; ".join(filter(None, (decision.reason, note))))


def _check_scopes(request: DecideRequest, key: Key) -> None:
    """Refuse what a decision would let a key do that it was not given: send events, read a profile in the reasons."""
    if request.events:
        require(key, "events")
    if request.explain and key.kind == "secret":
        require(key, "profiles:read")


def _timed(request: DecideRequest) -> DecideRequest:
    """Read `context.at` as it goes over the wire: ISO 8601."""
    at = request.context.get("at")
    if not isinstance(at, str):
        return request
    return msgspec.structs.replace(request, context={**request.context, "at": parse_time(at)})


def _from_query(query: bytes) -> DecideRequest:
    """Read the short form's query; an unknown name is an error, since a misspelt one would be silently ignored."""
    given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=50))
    for name in given:
        if name not in _PARAMETERS:
            expected = ", ".join(_PARAMETERS)
            raise InvalidInput(
                f"query: {name!r} is not a parameter; expected {expected}", problems=(Problem(name, expected, name),)
            )
    text = given.get("n", "10")
    if not text.isdecimal() or len(text) > 4:
        raise InvalidInput(
            f"query: n must be a whole number, 0 to 200, got {text[:20]!r}",
            problems=(Problem("n", "0 to 200", text[:20]),),
        )
    try:
        slot = SlotRequest(
            id=given.get("slot") or SLOT,
            n=int(text),
            item=given.get("item") or None,
            category=given.get("category") or None,
        )
    except ValueError as error:
        raise InvalidInput(f"query: {error}") from None
    return DecideRequest(
        user_id=given.get("user_id") or None,
        anonymous_id=given.get("anonymous_id") or None,
        user_signature=given.get("signature") or None,
        slots=(slot,),
        explain=given.get("explain") in ("1", "true"),
    )


def _default(request: DecideRequest, code: str, at: int) -> Decision:
    reason = f"default, since the engine could not answer ({code})"
    slots = {slot.id: SlotAnswer(reason=reason) for slot in request.slots}
    return Decision(decision_id="", at=at, slots=slots, personalized=False, reason=reason)
