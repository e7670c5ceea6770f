"""The verbs about scores: what there is, and why somebody's is what it is."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from bespeak.cli.client import ask, connected, path_part
from bespeak.cli.output import show, table
from bespeak.errors import NotFound


def scores(arguments: Namespace) -> int:
    """List the scores with their bands."""
    with connected(arguments) as client:
        found = ask(client, "GET", "/v1/scores")
    rows = [
        (one["id"], one["version"], one["body"].get("halflife", "none"), len(one["body"]["elements"]), _bands(one))
        for one in found
    ]
    return show(arguments, found, table(("id", "version", "half-life", "elements", "bands"), rows))


def explain(arguments: Namespace) -> int:
    """Say why somebody's score is what it is."""
    with connected(arguments) as client:
        found = ask(client, "GET", f"/v1/profiles/{path_part(arguments.id)}/scores", explain=1, at=arguments.at)
    if arguments.score not in found:
        raise NotFound(f"there is no score {arguments.score!r}; there are: {', '.join(found) or 'none'}")
    one = found[arguments.score]
    rows = [
        (f"{part['worth']:g}", f"{part['counts']:g}", f"{part['points']:g}", _most(part), part["element"])
        for part in one["contributions"]
    ]
    told = f"{arguments.id}: {arguments.score} is {one['value']:g}{_band(one)}"
    return show(arguments, one, f"{told}\n{table(('worth', 'counts', 'points', 'most', 'element'), rows)}")


def _bands(score: Mapping[str, Any]) -> str:
    bands: Mapping[str, float] = score["body"].get("bands", {})
    return ", ".join(f"{name} {least:g}" for name, least in sorted(bands.items(), key=lambda pair: pair[1]))


def _band(score: Mapping[str, Any]) -> str:
    band = f", {score['band']}" if score["band"] is not None else ""
    if not score["next_change"]:
        return band
    return f"{band}; {score['next_band'] or 'in no band'} from {score['next_change']} on if nothing happens"


def _most(part: Mapping[str, Any]) -> str:
    return f"{part['most']:g}{' (reached)' if part.get('capped') else ''}" if part.get("most") else ""
