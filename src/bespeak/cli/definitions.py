"""`bespeak apply`: put the definitions of a project folder in force."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from bespeak.cli.client import Client, Refused, ask, connected, path_part
from bespeak.cli.output import show, table
from bespeak.cli.progress import Bar
from bespeak.engine import definitions_in

WAIT_SECONDS = 0.5


def apply(arguments: Namespace) -> int:
    """Read the folder, check all of it, and put it in force: all, or nothing."""
    directory = Path(arguments.directory)
    config = directory / "bespeak.toml"
    if arguments.config is None and config.is_file():
        arguments.config = str(config)
    with connected(arguments) as client:
        applied = apply_folder(client, directory, wait=not arguments.no_wait)
    rows = [(one["kind"], one["id"], one["version"], _change(one)) for one in applied]
    return show(arguments, applied, table(("kind", "id", "version", "change"), rows))


def apply_folder(client: Client, directory: Path, *, wait: bool = True) -> list[dict[str, Any]]:
    """Send the definitions of a folder; returns what became of each.

    Parameters
    ----------
    wait
        Until all are in force, telling how far history is counted for them.

    Raises
    ------
    Refused
        They are not in order; or they are not in force in the end, since history could not be counted, or others have
        replaced them meanwhile.
    """
    definitions = [
        {"kind": one.kind, "id": one.id, "body": one.body, "source": one.source} for one in definitions_in(directory)
    ]
    applied: list[dict[str, Any]] = ask(client, "POST", "/v1/definitions", definitions, wait=0)
    if not wait or not any(one.get("preparing") for one in applied):
        return applied
    prepared = [one for one in applied if one.pop("preparing", False)]
    _counted(client, {(one["kind"], one["id"]) for one in prepared})
    for one in prepared:
        held = ask(client, "GET", f"/v1/{one['kind']}/{path_part(one['id'])}")
        if held["version"] != one["version"]:
            raise Refused(f"{one['kind']}/{one['id']} was changed once more before this version of it was in force")
    return applied


def _counted(client: Client, names: set[tuple[str, str]]) -> None:
    """Wait until definitions are in force, and tell how far they are."""
    bar = Bar()
    try:
        while True:
            found = ask(client, "GET", "/v1/definitions/preparing", wait=WAIT_SECONDS)
            failed = [one for one in found["failed"] if (one["kind"], one["id"]) in names]
            if failed:
                raise Refused(f"{failed[0]['kind']}/{failed[0]['id']} was not put in force: {failed[0]['reason']}")
            left = [one for one in found["preparing"] if (one["kind"], one["id"]) in names]
            if not left:
                return
            bar.update("counting history", min(one["done"] for one in left), left[0]["total"], "records")
    finally:
        bar.finish()


def _change(applied: dict[str, Any]) -> str:
    return f"{applied['change']}, once history is counted" if applied.get("preparing") else str(applied["change"])
