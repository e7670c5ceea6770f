"""`bespeak keys`: make, list and revoke keys; change the master key."""

from __future__ import annotations

from argparse import Namespace

from bespeak.cli.client import ask, connected, path_part
from bespeak.cli.output import show, table


def create(arguments: Namespace) -> int:
    """Make a key and show its token, this once."""
    wanted = {"kind": arguments.kind, "name": arguments.name or arguments.kind}
    with connected(arguments) as client:
        made = ask(client, "POST", "/v1/keys", wanted)
    return show(arguments, made, created_text(made))


def created_text(made: dict[str, str]) -> str:
    """Say what a new key is, and that its token is not told again."""
    lines = [f"{made['kind']} key {made['id']} ({made['name']})", f"  token           {made['token']}"]
    if made.get("signingSecret"):
        lines.append(f"  signing secret  {made['signingSecret']}")
    return "\n".join([*lines, "Keep this now: only a digest is stored, and it is not shown again."])


def list_keys(arguments: Namespace) -> int:
    """List every key."""
    with connected(arguments) as client:
        keys = ask(client, "GET", "/v1/keys")
    rows = [(key["id"], key["kind"], key["name"], key["created"][:19], key.get("revoked", "")[:19]) for key in keys]
    return show(arguments, keys, table(("id", "kind", "name", "created", "revoked"), rows))


def revoke(arguments: Namespace) -> int:
    """End a key."""
    with connected(arguments) as client:
        answer = ask(client, "DELETE", f"/v1/keys/{path_part(arguments.key)}")
    return show(arguments, answer, f"{arguments.key} is revoked")


def rotate_master(arguments: Namespace) -> int:
    """Make a new master key, and wrap every data key anew under it."""
    with connected(arguments) as client:
        done = ask(client, "POST", "/v1/keys/rotate-master")
    retired = ", ".join(map(str, done["retired"])) or "none"
    text = f"master key {done['version']} is in force: {done['rewrapped']} data keys wrapped anew, retired: {retired}"
    return show(arguments, done, text)
