"""`bespeak apply`: put the definitions of a project folder in force."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from bespeak.cli.client import Client, ask, connected
from bespeak.cli.output import show, table
from bespeak.engine import definitions_in


def apply(arguments: Namespace) -> int:
    """Read the folder, check all of it, and put it in force: all, or nothing."""
    directory = Path(arguments.directory)
    config = directory / "bespeak.toml"
    if arguments.config is None and config.is_file():
        arguments.config = str(config)
    with connected(arguments) as client:
        applied = apply_folder(client, directory)
    rows = [(one["kind"], one["id"], one["version"], one["change"]) for one in applied]
    for one in applied:
        for name in one.get("unseen", ()):
            sys.stderr.write(f"{one['kind']}/{one['id']}: nobody has sent it yet: {name}\n")
    return show(arguments, applied, table(("kind", "id", "version", "change"), rows))


def apply_folder(client: Client, directory: Path) -> list[dict[str, Any]]:
    """Send the definitions of a folder; returns what became of each."""
    definitions = [
        {"kind": one.kind, "id": one.id, "body": one.body, "source": one.source} for one in definitions_in(directory)
    ]
    applied: list[dict[str, Any]] = ask(client, "POST", "/v1/definitions", definitions)
    return applied
