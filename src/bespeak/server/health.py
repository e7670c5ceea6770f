"""For those who look after the server: alive, ready, and the figures."""

from __future__ import annotations

import re

from fastapi import APIRouter, Response

from bespeak import __version__
from bespeak.engine import COUNTERS, GAUGES, Engine
from bespeak.errors import Unavailable

_FAMILY = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Draining:
    """Whether the server has been told to stop; then it is no longer ready, and streams should end.

    Examples
    --------
    >>> draining = Draining()
    >>> draining.begun
    False
    """

    def __init__(self) -> None:
        self.begun = False


def health_routes(engine: Engine, draining: Draining) -> APIRouter:
    """Return `/health`, `/ready` and `/metrics`; they ask for no key, and tell nothing of anybody."""
    router = APIRouter(tags=["server"])

    @router.get("/health", summary="The process answers")
    async def health() -> dict[str, str]:
        """Restart the process when this fails."""
        return {"status": "ok", "service": "bespeak", "version": __version__}

    @router.get("/ready", summary="Events and questions are welcome")
    async def ready() -> dict[str, str]:
        """Send no traffic while this answers 503: it is stopping, or the last commit failed (it goes on trying)."""
        if draining.begun:
            raise Unavailable("the server is stopping")
        if not engine.is_writable:
            raise Unavailable("the last commit failed; the disk is tried again every two seconds")
        return {"status": "ready"}

    @router.get("/metrics", summary="Figures for Prometheus")
    async def metrics() -> Response:
        return Response(exposition(engine.metrics.snapshot()), media_type=_PROMETHEUS)

    return router


def exposition(figures: dict[str, float]) -> str:
    """Write figures in Prometheus' text format, each family once with its help and type.

    References
    ----------
    [^1]: Prometheus documentation, "Exposition formats", text-based format 0.0.4.
    """
    families: dict[str, list[tuple[str, float]]] = {}
    for name, value in figures.items():
        match = _FAMILY.match(name)
        families.setdefault(match[0] if match else name, []).append((name, value))
    lines: list[str] = []
    for family, samples in sorted(families.items()):
        described = COUNTERS.get(family) or GAUGES.get(family)
        if described:
            lines.append(f"# HELP {family} {described}")
        lines.append(f"# TYPE {family} {'counter' if family in COUNTERS else 'gauge'}")
        lines += [f"{name} {value:.17g}" for name, value in samples]
    return "\n".join(lines) + "\n"
