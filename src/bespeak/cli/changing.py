"""`bespeak changes`: who entered and left which segment, a line of JSON each."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from bespeak.cli.client import Client, Remote, ask, connected
from bespeak.cli.output import print_json
from bespeak.errors import Conflict

AT_ONCE = 1_000
"""Changes of one answer."""

WAIT_SECONDS = 25
"""How long one request waits for something new."""

MISSED = "bespeak: changes behind {after} are not kept any more; these are the oldest that are"


def changes(arguments: Namespace) -> int:
    """Print the changes that are kept, in order, and with `--follow` those that come."""
    with connected(arguments) as client:
        if arguments.follow and not isinstance(client, Remote):
            raise Conflict(
                "no server runs over this store, so nobody enters or leaves: start one with `bespeak serve`, or leave"
                " out --follow"
            )
        _print(client, arguments)
    return 0


def _print(client: Client, arguments: Namespace) -> None:
    """Ask for page after page, until the limit or, without `--follow`, the end."""
    asked: dict[str, object] = {"segment": arguments.segment, "profile": arguments.profile, "after": arguments.after}
    left: int | None = arguments.limit
    while left is None or left > 0:
        asked["limit"] = AT_ONCE if left is None else min(left, AT_ONCE)
        page: dict[str, Any] = ask(client, "GET", "/v1/changes", **asked)
        if page["missed"]:
            print(MISSED.format(after=asked["after"]), file=sys.stderr)
        for change in page["changes"]:
            print_json(change)
        asked["after"] = page["next"]
        left = None if left is None else left - len(page["changes"])
        if page["more"]:
            continue
        if not arguments.follow:
            return
        asked["wait"] = WAIT_SECONDS
