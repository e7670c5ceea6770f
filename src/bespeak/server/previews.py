"""Previews by HTTP: who would be in a segment before it is one, over every event that is held."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from bespeak.analytics.conditions_sql import NAMED_MAX
from bespeak.clock import format_time, parse_time
from bespeak.conditions import load
from bespeak.engine import Engine, Taking, WarmPreview
from bespeak.errors import InvalidInput
from bespeak.server.answers import decode
from bespeak.server.bodies import BodyLimits, read_body
from bespeak.server.schemas import body_of


class Tried(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A condition that is tried.

    Parameters
    ----------
    condition
        As text, or as JSON.
    at
        As of which instant, ISO 8601; now by default.
    sample
        How many people are named, 1 to 1,000.
    overlaps
        Whether to say how many of them are in each of the segments in force.
    """

    condition: str | dict[str, Any]
    at: str | None = None
    sample: int = 20
    overlaps: bool = True


_TRIED = msgspec.json.Decoder(Tried)


def preview_routes(router: APIRouter, engine: Engine, bodies: BodyLimits) -> None:
    """Add the routes of previews to those of the owner."""
    extra, summary = body_of(Tried), "Who would be in a segment"

    @router.post("/v1/segments/preview", tags=["previews"], summary=summary, openapi_extra=extra)
    async def previewed(request: Request) -> Response:
        """How many exactly, some of them by id, and how many of them are in each segment in force.

        Over everything up to the last commit, `offset`. The first preview makes a process take all events into memory:
        until it has, the answer is 202 with how far that is, and `Retry-After`; ask again with the same body. Some
        minutes after the last preview they are let go of, and so they are when somebody is erased or keys change.
        """
        tried = decode(_TRIED, await read_body(request.receive, dict(request.scope["headers"]), bodies))
        if not 1 <= tried.sample <= NAMED_MAX:
            raise InvalidInput(f"sample: expected 1 to {NAMED_MAX:,}, got {tried.sample:,}")
        at = None if tried.at is None else parse_time(tried.at)
        condition = load(tried.condition)
        found = await engine.preview(condition, at=at, most=tried.sample, overlaps=tried.overlaps)
        if isinstance(found, Taking):
            told = {"state": "warming", "done": found.done, "total": found.total}
            return _json(told, status=202, headers={"retry-after": "1"})
        return _json(shown(found))

    @router.get("/v1/segments/preview/progress", tags=["previews"], summary="How previews stand")
    async def progress() -> Response:
        """Whether events are held for previews (`warm`), being taken in (`warming`), not (`cold`), or never (`off`)."""
        return _json(engine.previews())


def shown(found: WarmPreview) -> dict[str, Any]:
    """Return a preview as it is answered."""
    beside = found.preview.found
    size = beside.members.size
    others = {
        name: {"size": one.size, "both": one.both, "only_this": size - one.both, "only_other": one.size - one.both}
        for name, one in beside.others.items()
    }
    return {
        "at": format_time(found.at),
        "offset": found.preview.offset,
        "found": {"people": beside.people, "members": msgspec.to_builtins(beside.members), "others": others},
        "left_out": found.preview.left_out,
        "seconds": msgspec.to_builtins(found.seconds),
    }


def _json(value: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, headers=headers, media_type="application/json")
