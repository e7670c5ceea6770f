"""The verbs that ask: profile, segments, recommend, decide."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from bespeak.cli.client import ask, connected, path_part
from bespeak.cli.output import print_json, show, table
from bespeak.errors import InvalidInput, MalformedJSON, NotFound

SLOT = "recommendations"


def profile(arguments: Namespace) -> int:
    """Show what is known about somebody."""
    with connected(arguments) as client:
        found = ask(client, "GET", f"/v1/profiles/{path_part(arguments.id)}", at=arguments.at)
    return show(arguments, found)


def segments(arguments: Namespace) -> int:
    """List the segments with their sizes."""
    with connected(arguments) as client:
        found = ask(client, "GET", "/v1/segments")
    rows = [(one["id"], one["size"], one["version"], one["body"].get("condition", "")) for one in found]
    return show(arguments, found, table(("id", "size", "version", "condition"), rows))


def explain(arguments: Namespace) -> int:
    """Say why somebody is in a segment, or not."""
    path = f"/v1/profiles/{path_part(arguments.id)}/segments"
    with connected(arguments) as client:
        found = ask(client, "GET", path, explain=1, at=arguments.at)
    if arguments.segment not in found:
        raise NotFound(f"there is no segment {arguments.segment!r}; there are: {', '.join(found) or 'none'}")
    one = found[arguments.segment]
    state = f"in since {one['since']}" if one["member"] and one["since"] else "in" if one["member"] else "not in"
    lines = [f"{arguments.id} is {state}: {arguments.segment}", *_leaves(one["explanation"], depth=1)]
    return show(arguments, one, "\n".join(lines))


def count(arguments: Namespace) -> int:
    """Count who is in a segment."""
    with connected(arguments) as client:
        found = ask(client, "GET", f"/v1/segments/{path_part(arguments.segment)}/count", at=arguments.at)
    return show(arguments, found, str(found["count"]))


def complete(arguments: Namespace) -> int:
    """Say what may stand at the cursor of a condition; where the text before it is wrong, what is wrong."""
    with connected(arguments) as client:
        found = ask(client, "GET", "/v1/conditions/complete", text=arguments.text, cursor=arguments.cursor)
    rows = [(one["text"], one["kind"]) for one in found["options"]]
    return show(arguments, found, table(("may follow", "which is a"), rows) if rows else "nothing may follow")


def recommend(arguments: Namespace) -> int:
    """Show items for somebody, with reasons."""
    who = "anonymousId" if arguments.device else "userId"
    request: dict[str, Any] = {who: arguments.user, "explain": True, "slots": [{"id": SLOT, "n": arguments.n}]}
    if arguments.at:
        request["context"] = {"at": arguments.at}
    with connected(arguments) as client:
        decision = ask(client, "POST", "/v1/decide", request)
    slot = decision["slots"][SLOT]
    if arguments.json:
        return show(arguments, {**slot, "decisionId": decision["decisionId"], "personalized": decision["personalized"]})
    items: list[dict[str, Any]] = slot.get("items", [])
    rows = [
        (place, item["id"], item.get("title", ""), item["score"], item["source"], _why(item))
        for place, item in enumerate(items, start=1)
    ]
    print("; ".join(filter(None, (slot["reason"], decision["reason"]))))
    return show(arguments, slot, table(("", "id", "title", "score", "source", "why"), rows) if rows else "no items")


def decide(arguments: Namespace) -> int:
    """Answer a decision request in JSON, as `POST /v1/decide` does."""
    raw = sys.stdin.buffer.read() if arguments.request == "-" else _file(Path(arguments.request))
    try:
        msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise MalformedJSON(f"{arguments.request}: not JSON: {error}") from None
    with connected(arguments) as client:
        decision = ask(client, "POST", "/v1/decide", raw)
    print_json(decision)
    return 0


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from None


def _why(item: Mapping[str, Any]) -> str:
    """Put the strongest reasons in a few words."""
    reasons = [
        f"{why['event']}: {why.get('title') or why['item']}" if why.get("item") else str(why["event"])
        for why in item.get("why", ())
    ]
    rules = [f"rule {rule}" for rule in item.get("rules", ())]
    return "; ".join([*dict.fromkeys(reasons), *rules])


def _leaves(explanation: Mapping[str, Any], *, depth: int) -> list[str]:
    mark = "yes" if explanation["holds"] else "no "
    value, change = explanation.get("value"), explanation.get("next_change")
    newest = f", newest at {explanation['events'][0]}" if explanation.get("events") else ""
    found = "" if explanation.get("children") else f"   (found {value!r}{newest})"
    until = f", until {change}" if change else ""
    idle = "" if explanation.get("decides", True) else ", decides nothing"
    lines = [f"{'  ' * depth}{mark} {explanation['text']}{found}{until}{idle}"]
    children = cast("list[Mapping[str, Any]]", explanation.get("children", []))
    return lines + [line for child in children for line in _leaves(child, depth=depth + 1)]
