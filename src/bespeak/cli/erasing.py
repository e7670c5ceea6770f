"""`bespeak erase`: forget a person."""

from __future__ import annotations

import sys
from argparse import Namespace

from bespeak.cli.client import ask, connected, path_part
from bespeak.cli.output import show
from bespeak.errors import InvalidInput


def erase(arguments: Namespace) -> int:
    """Erase a person, after a question unless `--yes` was said, and show the receipt."""
    if not arguments.yes and not _agreed(arguments.user):
        raise InvalidInput("nothing was erased; say --yes to erase without being asked")
    with connected(arguments) as client:
        receipt = ask(client, "DELETE", f"/v1/profiles/{path_part(arguments.user)}")
    head = f"record {receipt['erasure']} at {receipt['at']}: {receipt['identifiers']} ids, {receipt['keys']} keys"
    lines = [
        f"erased, {head}",
        *(f"  {place:<11} {told}" for place, told in receipt["stores"].items()),
    ]
    return show(arguments, receipt, "\n".join(lines))


def _agreed(user: str) -> bool:
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"Erase everything about {user!r}? This cannot be undone. Type yes: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip() == "yes"
