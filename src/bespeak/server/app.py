"""The application: hot endpoints as plain routes, the owner's by FastAPI, one shape for every error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from bespeak import __version__
from bespeak.catalog import Item
from bespeak.engine import Engine
from bespeak.errors import BespeakError, InvalidInput, NotFound, Problem
from bespeak.events import Event
from bespeak.server.access import Gate
from bespeak.server.admin import WrittenDefinition, admin_routes
from bespeak.server.answers import INTERNAL, Answer, MethodNotAllowed, error_answer, log_failure
from bespeak.server.bodies import Disconnected
from bespeak.server.decisions import RECOMMENDATIONS, Decisions
from bespeak.server.front import Front
from bespeak.server.health import Draining, health_routes
from bespeak.server.ingest import Ingest
from bespeak.server.keys import KeyRotation, NewKey, ShownKey
from bespeak.server.lists import ListMembers
from bespeak.server.previews import Tried
from bespeak.server.reference import render_reference
from bespeak.server.schemas import join_hot

_DESCRIPTION = "Events in, profiles and segments within the second, decisions that say why."
_NO_TELEMETRY: Any = dict.fromkeys(("tracing", "metrics", "logs", "operation_spans", "auto_configure"), False)
"""FastAPI would record exceptions and their text; what is measured here is in `/metrics`, and names nobody."""


def create_app(
    engine: Engine,
    *,
    routes: Sequence[BaseRoute] = (),
    local_token: str | None = None,
    draining: Draining | None = None,
) -> ASGIApp:
    """Return the ASGI application of an engine. It neither starts nor closes the engine: who opened it does.

    Parameters
    ----------
    routes
        Further routes (pages of a shop, say); they come after bespeak's own.
    local_token
        What `X-Bespeak-Local` must carry (see `server.local`); None refuses it.
    draining
        Set by whoever stops the server; `/ready` answers 503 from then on.
    """
    gate = Gate(engine, local_token=local_token)
    hot: dict[tuple[str, str], ASGIApp] = {}
    ingest = Ingest(engine, gate).endpoints()
    for path, endpoint in (ingest | Decisions(engine, gate).endpoints()).items():
        hot["GET" if path == RECOMMENDATIONS else "POST", path] = endpoint
    plain: list[BaseRoute] = [Route(path, endpoint, methods=[method]) for (method, path), endpoint in hot.items()]
    app = FastAPI(
        title="bespeak",
        version=__version__,
        description=_DESCRIPTION,
        routes=plain,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry=_NO_TELEMETRY,
    )
    app.include_router(health_routes(engine, draining or Draining()))
    app.include_router(admin_routes(engine, gate))
    _documentation(app)
    app.router.routes.extend(routes)
    _errors(app)
    return Front(app, hot, engine.settings.server, patient=frozenset(ingest), took=engine.metrics.request)


def _documentation(app: FastAPI) -> None:
    described: list[dict[str, Any]] = []

    def schema() -> dict[str, Any]:
        if not described:
            bodies = (Item, Event, NewKey, KeyRotation, ShownKey, WrittenDefinition, ListMembers, Tried)
            described.append(join_hot(app.openapi(), bodies))
        return described[0]

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        return schema()

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(render_reference(schema()))


def _errors(app: FastAPI) -> None:
    @app.exception_handler(BespeakError)
    async def ours(_request: Request, error: BespeakError) -> Response:
        return _response(error_answer(error))

    @app.exception_handler(RequestValidationError)
    async def parameters(_request: Request, error: RequestValidationError) -> Response:
        problems = tuple(
            Problem(".".join(str(part) for part in one["loc"]), str(one["msg"]), str(one.get("input", ""))[:200])
            for one in error.errors()
        )
        message = "; ".join(f"{one.path}: {one.expected}, got {one.found!r}" for one in problems)
        return _response(error_answer(InvalidInput(message, problems=problems)))

    @app.exception_handler(HTTPException)
    async def routing(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "another method")
            answer = error_answer(MethodNotAllowed(f"{request.method} {request.url.path}: expected {allowed}"))
        else:
            answer = error_answer(NotFound(f"there is nothing at {request.url.path}; /docs lists what there is"))
        return _response(answer)

    @app.exception_handler(Disconnected)
    async def gone(_request: Request, _error: Disconnected) -> Response:
        return Response(status_code=400)

    @app.exception_handler(Exception)
    async def unexpected(_request: Request, error: Exception) -> Response:
        log_failure(error)
        return _response(INTERNAL)


def _response(answer: Answer) -> Response:
    response = Response(answer.body, status_code=answer.status, media_type=answer.content_type.decode())
    for name, value in answer.headers:
        response.headers[name.decode()] = value.decode()
    return response
