"""Static lists by HTTP: who is on one, put people on it, take them off."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response

from bespeak.engine import Engine, change_list, list_sizes, show_list
from bespeak.engine.lists import SHOWN_MAX
from bespeak.ids import ProfileId, anonymous_profile, user_profile
from bespeak.server.answers import decode
from bespeak.server.bodies import BodyLimits, read_body
from bespeak.server.schemas import body_of

ListId = Annotated[str, Path(min_length=1, max_length=100)]
Limit = Annotated[int, Query(ge=0, le=SHOWN_MAX, description="How many members are shown, the newest first.")]


class ListMembers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """People by their ids: known ones, and devices that nobody has identified yet. At most 10,000 in all."""

    user_ids: tuple[str, ...] = ()
    anonymous_ids: tuple[str, ...] = ()

    def profiles(self) -> list[ProfileId]:
        """Return the profile ids that they stand for."""
        return [*map(user_profile, self.user_ids), *map(anonymous_profile, self.anonymous_ids)]


class ListSize(msgspec.Struct, frozen=True):
    """A list, and how many are on it."""

    list: str
    members: int


_MEMBERS = msgspec.json.Decoder(ListMembers)


def list_routes(router: APIRouter, engine: Engine, bodies: BodyLimits) -> None:
    """Add the routes of lists to those of the owner."""

    async def changed(list_id: str, request: Request, *, joined: bool) -> Response:
        body = await read_body(request.receive, dict(request.scope["headers"]), bodies)
        return _json(await change_list(engine, list_id, decode(_MEMBERS, body).profiles(), joined=joined))

    @router.get("/v1/lists", tags=["lists"], summary="All lists that somebody is on")
    async def lists() -> Response:
        """Counted anew over every profile."""
        return _json([ListSize(name, members) for name, members in (await list_sizes(engine)).items()])

    @router.get("/v1/lists/{list_id}", tags=["lists"], summary="Who is on a list")
    async def shown(list_id: ListId, limit: Limit = 100) -> Response:
        """Counted anew over every profile; the members who joined last, by profile id, and since when."""
        return _json(await show_list(engine, list_id, most=limit))

    path, extra = "/v1/lists/{list_id}/members", body_of(ListMembers)

    @router.post(path, tags=["lists"], summary="Put people on a list", openapi_extra=extra)
    async def add(list_id: ListId, request: Request) -> Response:
        """Whoever is not known yet is from now on. Each id that cannot be put on it stands in `errors`, with why."""
        return await changed(list_id, request, joined=True)

    @router.delete(path, tags=["lists"], summary="Take people off a list", openapi_extra=extra)
    async def remove(list_id: ListId, request: Request) -> Response:
        """The body is as that of `POST`."""
        return await changed(list_id, request, joined=False)


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
