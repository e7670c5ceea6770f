"""`bespeak keys`: make, list, rotate and revoke keys; change the master key."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from bespeak.cli.client import ask, connected, path_part
from bespeak.cli.output import show, table

SECOND = len("2026-11-22T05:30:00")


def create(arguments: Namespace) -> int:
    """Make a key and show its token, this once."""
    wanted: dict[str, Any] = {"kind": arguments.kind, "name": arguments.name or arguments.kind}
    if arguments.scope:
        wanted["scopes"] = [scope for given in arguments.scope for scope in given.split(",")]
    if arguments.expires:
        wanted["expiresIn"] = arguments.expires
    with connected(arguments) as client:
        made = ask(client, "POST", "/v1/keys", wanted)
    return show(arguments, made, created_text(made))


def created_text(made: dict[str, Any]) -> str:
    """Say what a new key is, and that its token is not told again."""
    lines = [f"{made['kind']} key {made['id']} ({made['name']})", *_secrets(made)]
    if "scopes" in made:
        lines.append(f"  may             {may(made)}")
    if "expires" in made:
        lines.append(f"  works until     {_second(made['expires'])}")
    return "\n".join([*lines, KEEP])


KEEP = "Keep this now: only a digest is stored, and it is not shown again."


def rotate(arguments: Namespace) -> int:
    """Give a key a new token, and show it, this once."""
    wanted = {"overlap": arguments.overlap}
    if arguments.expires:
        wanted["expiresIn"] = arguments.expires
    with connected(arguments) as client:
        turned = ask(client, "POST", f"/v1/keys/{path_part(arguments.key)}/rotate", wanted)
    overlaps = arguments.overlap != "none" and "former" in turned
    until = f"works until {_second(turned['former'][0]['until'])}" if overlaps else "works no more"
    lines = [f"{turned['kind']} key {turned['id']} ({turned['name']}) has a new token", *_secrets(turned)]
    return show(arguments, turned, "\n".join([*lines, f"The token before {until}.", KEEP]))


def list_keys(arguments: Namespace) -> int:
    """List every key."""
    with connected(arguments) as client:
        keys = ask(client, "GET", "/v1/keys")
    rows = [row for key in keys for row in _rows(key)]
    return show(arguments, keys, table(("id", "kind", "name", "may", "made", "last used", "state"), rows))


def may(key: dict[str, Any]) -> str:
    """Say what a key may, in short."""
    if "scopes" in key:
        return ",".join(key["scopes"])
    return "everything" if key["kind"] == "secret" else "events,decide"


def revoke(arguments: Namespace) -> int:
    """End a key."""
    with connected(arguments) as client:
        answer = ask(client, "DELETE", f"/v1/keys/{path_part(arguments.key)}")
    if "warning" in answer:
        print(f"bespeak: warning: {answer['warning']}", file=sys.stderr)
    return show(arguments, answer, f"{arguments.key} is revoked")


def rotate_master(arguments: Namespace) -> int:
    """Make a new master key, and wrap every data key anew under it."""
    with connected(arguments) as client:
        done = ask(client, "POST", "/v1/keys/rotate-master")
    retired = ", ".join(map(str, done["retired"])) or "none"
    text = f"master key {done['version']} is in force: {done['rewrapped']} data keys wrapped anew, retired: {retired}"
    return show(arguments, done, text)


def _rows(key: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return a line for a key, and one for each of its former tokens that still work."""
    made = key.get("rotated", key["created"])
    rows: list[tuple[str, ...]] = [
        (key["id"], key["kind"], key["name"], may(key), _second(made), _hour(key), _state(key))
    ]
    for token in key.get("former", []):
        state = f"replaced, works until {_second(token['until'])}"
        rows.append((key["id"], "", "", "", _second(token["since"]), _hour(token), state))
    return rows


def _state(key: dict[str, Any]) -> str:
    if "revoked" in key:
        return f"revoked {_second(key['revoked'])}"
    if "expires" not in key:
        return "works"
    return f"{'expired' if key.get('expired') else 'works until'} {_second(key['expires'])}"


def _secrets(key: dict[str, Any]) -> list[str]:
    lines = [f"  token           {key['token']}"]
    return lines + ([f"  signing secret  {key['signingSecret']}"] if key.get("signingSecret") else [])


def _hour(token: dict[str, Any]) -> str:
    """Say in which hour a token was last used."""
    return token["lastUsed"][: len("2026-11-22T05")] + "h" if "lastUsed" in token else "-"


def _second(time: str) -> str:
    return time[:SECOND]
