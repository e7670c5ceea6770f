"""`bespeak models`: how the recommenders' models stand, and building them anew from the log."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from bespeak.cli.client import Embedded, ask, connected
from bespeak.cli.output import show
from bespeak.cli.progress import Bar
from bespeak.errors import Unavailable

WAIT_SECONDS = 1


def status(arguments: Namespace) -> int:
    """Say whose part the models still hold, and how far a rebuild is."""
    with connected(arguments) as client:
        found = ask(client, "GET", "/v1/models")
    return show(arguments, found, status_text(found))


def rebuild(arguments: Namespace) -> int:
    """Build the models anew, and wait until they are in force."""
    bar = Bar()
    with connected(arguments) as client:
        share = 1 if isinstance(client, Embedded) else None
        try:
            found = ask(client, "POST", "/v1/models/rebuild", share=share)
            while found["rebuilding"]:
                bar.update("building the models", found["done"], found["total"], "records")
                found = ask(client, "GET", "/v1/models", wait=WAIT_SECONDS)
        finally:
            bar.finish()
    if found["failed"]:
        raise Unavailable(f"the models were not built anew: {found['failed']}")
    return show(arguments, found, status_text(found))


def status_text(found: dict[str, Any]) -> str:
    """Say how the models stand in a few lines."""
    built = found["built"]
    lines = [f"built anew from the log at record {built:,}" if built else "never built anew from the log"]
    if found["erased"] is None:
        lines.append("nobody who was erased is in them")
    else:
        lines.append(f"they hold the part of people erased since {found['erased']}; `bespeak models rebuild` ends that")
    if found["rebuilding"]:
        lines.append(f"being built anew: {found['done']:,} of {found['total']:,} records")
    return "\n".join(lines)
