"""What the owner sees and changes: profiles, items, definitions, the quarantine. FastAPI, secret key.

Bodies and answers are msgspec as everywhere else; FastAPI brings paths, parameters and their documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, cast

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from bespeak.catalog import Item
from bespeak.clock import Instant, format_time, parse_time
from bespeak.conditions import Vocabulary
from bespeak.engine import KINDS, SHARE, Applied, Definition, DefinitionKind, Engine, unseen_in
from bespeak.errors import Conflict, InvalidInput, NotFound, Problem
from bespeak.events import Event
from bespeak.privacy import Key
from bespeak.server.access import Gate
from bespeak.server.answers import decode
from bespeak.server.bodies import BodyLimits, read_body
from bespeak.server.changes import change_routes
from bespeak.server.conditions import condition_routes
from bespeak.server.keys import key_routes
from bespeak.server.lists import list_routes
from bespeak.server.previews import preview_routes
from bespeak.server.schemas import body_of
from bespeak.server.scopes import scope_for

Id = Annotated[str, Path(min_length=1, max_length=400)]
At = Annotated[str | None, Query(description="ISO 8601; the moment that is asked about. Default: now.")]

_ITEM = msgspec.json.Decoder(Item)
_ITEMS = msgspec.json.Decoder(list[Item])
_EVENTS = msgspec.json.Decoder(list[Event])
_OBJECT = msgspec.json.Decoder(dict[str, Any])


class WrittenDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One definition of `POST /v1/definitions`: the mapping that would stand in its YAML file, and where it stands."""

    kind: DefinitionKind
    id: str
    body: dict[str, Any]
    source: str = ""


class Count(msgspec.Struct, frozen=True):
    """How many things a bulk call changed."""

    count: int


class Imported(msgspec.Struct, frozen=True):
    """What became of the events of one bulk import; the three add up to what was sent."""

    accepted: int
    duplicate: int
    refused: int


class Quarantined(msgspec.Struct, frozen=True):
    """One thing that was not accepted: where it came from, its place there, why, and the thing itself as text."""

    source: str
    place: str
    reason: str
    at: str
    data: str


_DEFINITIONS = msgspec.json.Decoder(list[WrittenDefinition])


def admin_routes(engine: Engine, gate: Gate) -> APIRouter:
    """Return the routes of the owner; each asks for a secret key before it reads anything else."""

    async def owner(request: Request) -> Key:
        tag = cast("list[str]", request.scope["route"].tags)[0]
        return gate.admin(dict(request.scope["headers"]), scope_for(request.method, tag))

    router = APIRouter(dependencies=[Depends(owner)])
    bodies = BodyLimits(engine.settings.server.admin_bytes_max, engine.settings.server.body_seconds)
    _profiles(router, engine)
    _items(router, engine, bodies)
    _definitions(router, engine, bodies)
    condition_routes(router, engine, bodies)
    preview_routes(router, engine, bodies)
    list_routes(router, engine, bodies)
    change_routes(router, engine)
    key_routes(router, engine, gate, bodies)
    _log(router, engine, bodies)
    return router


def _profiles(router: APIRouter, engine: Engine) -> None:
    @router.get("/v1/profiles/{any_id}", tags=["profiles"], summary="A live profile")
    async def profile(any_id: Id, at: At = None) -> Response:
        """By profile id (`u:1234`), user id or anonymous id."""
        return _json(_found(engine.profile(any_id, at=_instant(at)), "profile", any_id))

    @router.get("/v1/profiles/{any_id}/segments", tags=["profiles"], summary="Why somebody is in a segment, or not")
    async def segments(any_id: Id, at: At = None, *, explain: bool = False) -> Response:
        """With `explain=1` each segment's condition, leaf by leaf: its value, and when it next changes by itself."""
        explained = _found(engine.explain_segments(any_id, at=_instant(at)), "profile", any_id)
        return _json(_dated(explained) if explain else _names(explained))

    @router.get("/v1/profiles/{any_id}/scores", tags=["profiles"], summary="Somebody's scores, and why")
    async def scores(any_id: Id, at: At = None, *, explain: bool = False) -> Response:
        """Value and band; with `explain=1` also what each element gives, and when the band changes by itself."""
        explained = _found(engine.explain_scores(any_id, at=_instant(at)), "profile", any_id)
        if explain:
            return _json(_dated(explained))
        return _json({name: {"value": one["value"], "band": one["band"]} for name, one in explained.items()})

    @router.delete("/v1/profiles/{any_id}", tags=["profiles"], summary="Erase a person")
    async def erase(any_id: Id) -> Response:
        """Answered when it is on disk, with a receipt by place. It cannot be undone."""
        return _json(await engine.erase(any_id))


def _items(router: APIRouter, engine: Engine, bodies: BodyLimits) -> None:
    @router.put("/v1/items", tags=["items"], summary="Many items", openapi_extra=body_of(list[Item]))
    @router.post("/v1/items", tags=["items"], summary="Many items", openapi_extra=body_of(list[Item]))
    async def put_items(request: Request) -> Response:
        """A JSON array, or one item a line (NDJSON). All of them, or none."""
        body = await _body(request, bodies)
        items = decode(_ITEMS, body) if body.lstrip()[:1] == b"[" else _lines(body)
        return _json(Count(await engine.put_items(items)))

    @router.get("/v1/items/{item_id:path}", tags=["items"], summary="One item")
    async def item(item_id: Id) -> Response:
        return _json(_found(engine.catalog.item(item_id), "item", item_id))

    @router.put(
        "/v1/items/{item_id:path}", tags=["items"], summary="Create or replace one item", openapi_extra=body_of(Item)
    )
    async def put_item(item_id: Id, request: Request) -> Response:
        """The `id` may be left out of the body; when it is there, it is the one of the path."""
        body = await _body(request, bodies)
        fields = decode(_OBJECT, body)
        if fields.setdefault("id", item_id) != item_id:
            raise InvalidInput(
                f"id: expected {item_id!r}, as in the path, got {fields['id']!r}",
                problems=(Problem("id", item_id, str(fields["id"])[:200]),),
            )
        return _json(Count(await engine.put_items([decode(_ITEM, msgspec.json.encode(fields))])))

    @router.delete("/v1/items/{item_id:path}", tags=["items"], summary="Remove one item")
    async def remove_item(item_id: Id) -> Response:
        if await engine.remove_items([item_id]) == 0:
            raise NotFound(f"no item {item_id!r}")
        return _json(Count(1))


def _definitions(router: APIRouter, engine: Engine, bodies: BodyLimits) -> None:
    extra = body_of(list[WrittenDefinition])

    @router.post("/v1/definitions", tags=["definitions"], summary="Apply many definitions", openapi_extra=extra)
    async def apply(request: Request, *, wait: bool = True) -> Response:
        """All of them, or none; each answer says its version and whether it was created, updated or unchanged.

        Where history is to be counted for them, the answer comes when they are in force; with `wait=0` at once,
        and they are `preparing`. `unseen` are names in it that nobody has sent yet, each with the nearest one that was,
        where there is one.
        """
        written = decode(_DEFINITIONS, await _body(request, bodies))
        definitions = [Definition(kind=one.kind, id=one.id, body=one.body, source=one.source) for one in written]
        applied = await engine.apply(definitions, wait=wait)
        known = await engine.vocabulary()
        return _json([_with_unseen(*each, known) for each in zip(definitions, applied, strict=True)])

    @router.get("/v1/definitions/preparing", tags=["definitions"], summary="What is not in force yet")
    async def preparing(wait: Annotated[float, Query(ge=0, le=60)] = 0) -> Response:
        """How many records of the log are counted for it, and what could not be put in force, and why.

        With `wait`, answered when all of it is in force, or after so many seconds.
        """
        return _json(await engine.prepared(wait))

    @router.get("/v1/segments/{segment_id}/count", tags=["definitions"], summary="How many are in a segment")
    async def count(segment_id: Id, at: At = None) -> Response:
        """Counted anew over every profile, as of `at`."""
        moment = _instant(at)
        return _json(Count(await engine.segment_count(segment_id, at=engine.clock.now() if moment is None else moment)))

    @router.post("/v1/traits/{trait_id}/borders", tags=["definitions"], summary="Draw the borders of the quintiles")
    async def draw_borders(trait_id: Id) -> Response:
        """Worked out of everybody as of now; answered when they are in force, and everybody was asked.

        `rank_error` is how far off a border may be, as a part of `people`; 0 where it is exact. Of a trait with `every`
        this happens by itself; `GET /v1/traits/{trait_id}` says when next, and how far a drawing is.
        """
        return _json(await engine.draw_borders(trait_id))

    for kind in KINDS:
        _definitions_of(router, engine, bodies, kind)


def _definitions_of(router: APIRouter, engine: Engine, bodies: BodyLimits, kind: DefinitionKind) -> None:
    one = "set of borders" if kind == "borders" else kind.removesuffix("s")

    @router.get(f"/v1/{kind}", tags=["definitions"], summary=f"All {kind}", operation_id=f"list_{kind}")
    async def listed() -> Response:
        return _json([_shown(engine, each) for each in _all(engine, kind)])

    path = f"/v1/{kind}/{{definition_id}}"

    @router.get(path, tags=["definitions"], summary=f"One {one}", operation_id=f"get_{kind}")
    async def definition(definition_id: Id) -> Response:
        """Its version is the `ETag`; send it back as `If-Match` to change only what you have seen.

        While history is counted for a new version, `preparing` says how far that is, and the version before it is in
        force; one that there is none before has version 0 until then.
        """
        held = _held(engine, kind, definition_id)
        found = _found(held or _coming(engine, kind, definition_id), one, definition_id)
        return _json(_shown(engine, found), headers={"etag": f'"{found.version}"'} if held is not None else None)

    summary, extra = f"Create or change one {one}", body_of(dict[str, Any])

    @router.put(path, tags=["definitions"], summary=summary, operation_id=f"put_{kind}", openapi_extra=extra)
    async def put_definition(definition_id: Id, request: Request, *, wait: bool = True) -> Response:
        """The body is the mapping that would stand in the YAML file; what was in force stays in the history.

        Answered when it is in force; with `wait=0` when it is written down that it will be.
        """
        body = decode(_OBJECT, await _body(request, bodies))
        if body.setdefault("id", definition_id) != definition_id:
            raise InvalidInput(f"id: expected {definition_id!r}, as in the path, got {body['id']!r}")
        _check_version(request, _held(engine, kind, definition_id))
        source = f"PUT /v1/{kind}/{definition_id}"
        changed = Definition(kind=kind, id=definition_id, body=body, source=source)
        (applied,) = await engine.apply([changed], wait=wait)
        return _json(applied, headers={"etag": f'"{applied.version}"'})

    @router.delete(path, tags=["definitions"], summary=f"End one {one}", operation_id=f"delete_{kind}")
    async def delete_definition(definition_id: Id, request: Request) -> Response:
        """Its versions stay readable in the log."""
        _check_version(request, _held(engine, kind, definition_id))
        return _json(await engine.delete(kind, definition_id))


def _with_unseen(definition: Definition, applied: Applied, known: Vocabulary) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(applied)
    unseen = () if applied.change == "unchanged" else unseen_in(definition, known)
    return {**shown, "unseen": [one.message() for one in unseen]} if unseen else shown


def _held(engine: Engine, kind: DefinitionKind, definition_id: str) -> Definition | None:
    return next((each for each in engine.definitions(kind) if each.id == definition_id), None)


def _check_version(request: Request, held: Definition | None) -> None:
    """Hold a change back when somebody else was faster: `If-Match` names the version that the caller has seen."""
    wanted = request.headers.get("if-match")
    if wanted is None or (wanted == "*" and held is not None):
        return
    version = str(held.version) if held is not None else "none"
    if wanted.removeprefix("W/").strip('"') != version:
        raise Conflict(f"If-Match: expected version {wanted}, found {version}; read it again, then change it")


def _log(router: APIRouter, engine: Engine, bodies: BodyLimits) -> None:
    @router.post(
        "/v1/history", tags=["events"], summary="Import events of the past", openapi_extra=body_of(list[Event])
    )
    async def history(request: Request) -> Response:
        """Our own events, as `bespeak import` makes them: ids are kept without an age, times as they are."""
        events = decode(_EVENTS, await _body(request, bodies))
        return _json(Imported(*await engine.import_events(events)))

    @router.post("/v1/checkpoint", tags=["server"], summary="Write back what changed, now")
    async def checkpoint() -> Response:
        """Answered when it is on disk; `offset` is the last one that the checkpoint includes."""
        return _json({"offset": await engine.checkpoint_now()})

    @router.post("/v1/archive", tags=["server"], summary="Write what is due to the archive, now")
    async def archive(*, everything: bool = False) -> Response:
        """With `everything=1` also what does not fill a file yet. Answered when the files are listed."""
        return _json(await engine.archive(everything=everything))

    @router.get("/v1/models", tags=["server"], summary="How the models stand")
    async def models(wait: Annotated[float, Query(ge=0, le=60)] = 0) -> Response:
        """With `wait`, answered when a rebuild has ended, or after so many seconds."""
        return _json(await engine.rebuilt(wait))

    @router.post("/v1/models/rebuild", tags=["server"], summary="Build the models anew from the log")
    async def rebuild_models(share: Annotated[float, Query(ge=0.05, le=1)] = SHARE) -> Response:
        """Without the people who were erased. Begins it, in that `share` of the time; `GET /v1/models` tells of it."""
        return _json(engine.begin_rebuild(share=share))

    @router.get("/v1/rejected", tags=["events"], summary="The quarantine, newest first")
    async def rejected(limit: Annotated[int, Query(ge=1, le=1_000)] = 100) -> Response:
        return _json(
            [
                Quarantined(one.source, one.place, one.reason, format_time(one.at), one.data.decode("utf-8", "replace"))
                for one in engine.rejected(limit)
            ]
        )


def _coming(engine: Engine, kind: DefinitionKind, definition_id: str) -> Definition | None:
    """Return a definition that is not in force yet, and none is that it would replace."""
    wished = engine.wished(kind, definition_id)
    return None if wished is None else msgspec.structs.replace(wished, version=0)


def _all(engine: Engine, kind: DefinitionKind) -> list[Definition]:
    """Return what is in force and what is the first of its name and coming, ordered by id."""
    found = {one.id: one for one in engine.definitions(kind)}
    new = (one.id for one in engine.preparing() if one.kind == kind and one.id not in found)
    coming = [one for one in (_coming(engine, kind, name) for name in new) if one is not None]
    return sorted([*found.values(), *coming], key=lambda one: one.id)


def _shown(engine: Engine, definition: Definition) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": definition.id, "version": definition.version, "body": definition.body}
    if definition.kind == "segments":
        shown["size"] = engine.segment_sizes().get(definition.id, 0)
    graded = engine.borders_status(definition.id) if definition.kind == "traits" else None
    if graded is not None:
        shown["borders"] = graded
    for one in engine.preparing():
        if (one.kind, one.id) == (definition.kind, definition.id):
            shown["preparing"] = {"version": one.version, "done": one.done, "total": one.total}
    return shown


def _names(explained: Mapping[str, Any]) -> object:
    """Keep only which segments hold."""
    return [name for name, one in explained.items() if one["member"]]


_INSTANTS = frozenset({"since", "next_change"})


def _dated(value: object) -> object:
    """Write instants as ISO 8601, wherever they stand in an explanation."""
    match value:
        case dict():
            fields = cast("dict[str, object]", value)
            shown = {
                name: format_time(inner) if name in _INSTANTS and isinstance(inner, int) else _dated(inner)
                for name, inner in fields.items()
            }
            if "holds" in fields and "text" in fields:  # the times of the events behind a part
                shown["events"] = list(map(format_time, cast("Iterable[Instant]", fields.get("events", ()))))
            return shown
        case list() | tuple():
            return [_dated(inner) for inner in cast("Iterable[object]", value)]
        case _:
            return value


def _found(value: Any, what: str, name: str) -> Any:  # noqa: ANN401  passes a value of any type through
    if value is None:
        raise NotFound(f"no {what} {name!r}")
    return value


def _instant(text: str | None) -> Instant | None:
    return None if text is None else parse_time(text)


def _lines(body: bytes) -> list[Item]:
    items: list[Item] = []
    for number, line in enumerate(body.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            items.append(decode(_ITEM, line))
        except InvalidInput as error:
            problems = tuple(Problem(f"line {number}: {one.path}", one.expected, one.found) for one in error.problems)
            raise InvalidInput(f"line {number}: {error.message}; no item was taken", problems=problems) from None
    return items


async def _body(request: Request, limits: BodyLimits) -> bytes:
    return await read_body(request.receive, dict(request.scope["headers"]), limits)


def _json(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, headers=headers, media_type="application/json")
