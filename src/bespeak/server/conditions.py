"""What an editor of conditions asks: what may follow, whether a text is right, and what one of Unomi's says in ours."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from bespeak.conditions import complete, format_condition, from_unomi, parse, point_at, to_json, unknown
from bespeak.engine import Engine
from bespeak.server.answers import decode
from bespeak.server.bodies import BodyLimits, read_body
from bespeak.server.schemas import body_of

TEXT_MAX = 10_000

Text = Annotated[str, Query(max_length=TEXT_MAX, description="A condition, or its beginning.")]
Cursor = Annotated[
    int | None, Query(ge=0, le=TEXT_MAX, description="Where the cursor stands, in characters from 0. Default: the end.")
]

_OBJECT = msgspec.json.Decoder(dict[str, Any])


class Hint(msgspec.Struct, frozen=True):
    """A name that is not known: what it is the name of, the nearest known one, and where it stands."""

    kind: str
    name: str
    near: str | None
    message: str


class Checked(msgspec.Struct, frozen=True):
    """A condition that is well formed: as it is printed, as JSON, and what in it nobody has sent or defined.

    Parameters
    ----------
    unknown
        For each name that is not known, a message that points at it, and the nearest name that is.
    """

    text: str
    json: msgspec.Raw
    unknown: tuple[Hint, ...]


class Translated(msgspec.Struct, frozen=True):
    """A condition of Apache Unomi as ours; `notes` say where it is not quite the same."""

    text: str
    json: msgspec.Raw
    notes: tuple[str, ...]


def condition_routes(router: APIRouter, engine: Engine, bodies: BodyLimits) -> None:
    """Add the routes of an editor."""

    @router.get("/v1/conditions/complete", tags=["definitions"], summary="What may stand at the cursor")
    async def completed(text: Text, cursor: Cursor = None) -> Response:
        """Words of the language, and names: of events, properties, traits and lists among the newest events.

        Also of segments, computed traits and scores, and the bands and cells that these are compared with.
        """
        known = await engine.vocabulary()
        return _json(complete(text, len(text) if cursor is None else cursor, known))

    @router.get("/v1/conditions/check", tags=["definitions"], summary="Whether a condition is well formed")
    async def checked(text: Text) -> Response:
        """Refused with the place where it is not. Names that nobody has sent yet are told, and not refused."""
        condition = parse(text)
        known = await engine.vocabulary()
        found = unknown(condition, known) if known.events else ()
        hints = tuple(Hint(one.kind, one.name, one.near, point_at(text, one)) for one in found)
        return _json(Checked(format_condition(condition), msgspec.Raw(to_json(condition)), hints))

    extra = body_of(dict[str, Any])

    @router.post("/v1/conditions/unomi", tags=["definitions"], summary="A condition of Unomi's", openapi_extra=extra)
    async def translated(request: Request) -> Response:
        """The body is the condition as Apache Unomi's REST API gives it; the answer is the same in our language."""
        raw = decode(_OBJECT, await read_body(request.receive, dict(request.scope["headers"]), bodies))
        found = from_unomi(raw)
        return _json(Translated(format_condition(found.condition), msgspec.Raw(to_json(found.condition)), found.notes))


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
