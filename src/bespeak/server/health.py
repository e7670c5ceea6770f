"""For those who look after the server: alive, ready, and the figures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from fastapi import APIRouter, Response

from bespeak import __version__
from bespeak.engine import BOUNDS, COUNTERS, GAUGES, HISTOGRAMS, Engine, Histogram
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
        return Response(exposition(engine.metrics.snapshot(), engine.metrics.histograms()), media_type=_PROMETHEUS)

    return router


def exposition(
    figures: Mapping[str, float], histograms: Mapping[str, Mapping[str, Histogram]] = MappingProxyType({})
) -> str:
    """Write figures in Prometheus' text format, each family once with its help and type.

    Parameters
    ----------
    figures
        Counters and gauges by name, labels included.
    histograms
        By name, then by their labels.

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
    for family, kinds in sorted(histograms.items()):
        lines += [f"# HELP {family} {HISTOGRAMS[family]}", f"# TYPE {family} histogram"]
        lines += [line for labels, one in kinds.items() for line in _histogram(family, labels, one)]
    return "\n".join(lines) + "\n"


def _histogram(family: str, labels: str, histogram: Histogram) -> Iterator[str]:
    counts = histogram.cumulative()
    more, own = (f"{labels},", f"{{{labels}}}") if labels else ("", "")
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True):
        yield f'{family}_bucket{{{more}le="{bound}"}} {count}'
    yield f"{family}_sum{own} {histogram.sum:.17g}"
    yield f"{family}_count{own} {counts[-1]}"
