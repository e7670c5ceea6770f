"""Who entered and left which segment, by HTTP: page by page, or waited for."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response

from bespeak.clock import format_time
from bespeak.engine import Cause, Engine, MoveTold, read_changes
from bespeak.engine.changes import LATEST, LIMIT_MAX, WAIT_MAX, place_of

After = Annotated[
    str,
    Query(max_length=100, description=f"The `next` of the page before; `{LATEST}`: what comes from now on."),
]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many changes one page has at most.")]
Segment = Annotated[str | None, Query(max_length=100, description="Only changes of this segment.")]
Profile = Annotated[str | None, Query(max_length=400, description="Only of this person: any id of theirs.")]
Wait = Annotated[float, Query(ge=0, le=WAIT_MAX, description="Seconds to wait for a change where there is none yet.")]


class ShownChange(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody entered or left a segment.

    Parameters
    ----------
    id
        Names this change for good: whoever gets it twice knows it by that.
    cursor
        What to give as `after` for what comes behind it.
    at
        When it came true, which may be long before it was known: while no server ran, say.
    version
        The version of the segment by which it is so.
    why
        The part of the condition that decided, in words.
    """

    id: str
    cursor: str
    at: str
    profile: str
    segment: str
    version: int
    entered: bool
    why: str
    cause: Cause


class ShownChanges(msgspec.Struct, frozen=True, kw_only=True):
    """One page of changes."""

    changes: tuple[ShownChange, ...]
    next: str
    more: bool
    missed: bool


def change_routes(router: APIRouter, engine: Engine) -> None:
    """Add the route of changes to those of the owner."""

    @router.get("/v1/changes", tags=["profiles"], summary="Who entered and left segments, and why")
    async def changes(
        after: After = "",
        limit: Limit = 100,
        segment: Segment = None,
        profile: Profile = None,
        wait: Wait = 0,
    ) -> Response:
        """In the order in which they came true and were written, each once; with `next` for the next page.

        Where `more` is true there may be more already. `missed` says that changes behind `after` are not kept any more.
        With `wait`, a page that would be empty is answered when there is something, or after so many seconds.
        """
        page = await read_changes(engine, after, limit=limit, segment=segment, profile=profile, wait=wait)
        shown = ShownChanges(
            changes=tuple(map(_shown, page.changes)), next=str(page.next), more=page.more, missed=page.missed
        )
        return Response(msgspec.json.encode(shown), media_type="application/json")


def _shown(move: MoveTold) -> ShownChange:
    return ShownChange(
        id=move.id,
        cursor=str(place_of(move)),
        at=format_time(move.at),
        profile=move.profile,
        segment=move.segment,
        version=move.version,
        entered=move.entered,
        why=move.why,
        cause=move.cause,
    )
