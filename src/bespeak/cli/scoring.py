"""The verbs about computed traits and scores: what there is, where borders lie, and why a score is what it is."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from bespeak.cli.client import ask, connected, path_part
from bespeak.cli.output import show, table
from bespeak.errors import NotFound


def traits(arguments: Namespace) -> int:
    """List the computed traits, with the borders of those that are graded."""
    with connected(arguments) as client:
        found = ask(client, "GET", "/v1/traits")
    rows = [(one["id"], one["version"], _drawn(one.get("borders")), _told(one["body"])) for one in found]
    return show(arguments, found, table(("id", "version", "borders", "what"), rows))


def borders(arguments: Namespace) -> int:
    """Draw the borders of the quintiles of a computed trait."""
    with connected(arguments) as client:
        found = ask(client, "POST", f"/v1/traits/{path_part(arguments.trait)}/borders")
    rows = [(figure, *(f"{border:g}" for border in lines)) for figure, lines in found["borders"].items()]
    off = f"within {found['rank_error']:.2%} of them" if found["rank_error"] else "exact"
    told = f"{arguments.trait}: of {found['people']:,} people, {off}, version {found['version']} ({found['change']})"
    return show(arguments, found, f"{told}\n{table(('figure', '20 %', '40 %', '60 %', '80 %'), rows)}")


def _drawn(status: Mapping[str, Any] | None) -> str:
    """Say how borders stand in a few words; nothing where there can be none."""
    if status is None:
        return ""
    if status["drawing"]:
        return f"drawing: {status['drawing']['done']:,} of {status['drawing']['total']:,}"
    if status["failed"]:
        return f"not drawn: {status['failed']}"
    if not status["version"]:
        return "none yet"
    return f"{status['drawn']}, of {status['people']:,}" if status["drawn"] else "written by hand"


def _told(body: Mapping[str, Any]) -> str:
    """Say what a computed trait is in a few words, as it was written."""
    (form,) = [one for one in body if one not in {"id", "name", "description"}]
    return str(body[form]) if form == "value" else f"{form}: {', '.join(str(one) for one in body[form].values())}"


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
