"""By HTTP: the engine behind Segment's wire, decisions, and what the owner sees and changes.

`create_app` gives the ASGI application, `serve` runs it until it is told to stop. The hot endpoints are plain routes
(msgspec in, bytes out); everything else is FastAPI; `/openapi.json` and `/docs` show both.

Names are looked up when they are asked for: a command that only talks to a running server reads `server.local`, and
need not wait for FastAPI.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bespeak.server.app import create_app
    from bespeak.server.health import Draining
    from bespeak.server.running import address_of, listen, serve, serve_engine

__all__ = ["Draining", "address_of", "create_app", "listen", "serve", "serve_engine"]

_PLACES = {"create_app": "app", "Draining": "health"} | dict.fromkeys(
    ("address_of", "listen", "serve", "serve_engine"), "running"
)


def __getattr__(name: str) -> object:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"bespeak.server.{place}"), name)
