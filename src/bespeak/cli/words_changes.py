"""The words about who entered and left segments."""

from __future__ import annotations

from argparse import ArgumentParser

from bespeak.cli.verbs import Verb


def _changes(parser: ArgumentParser) -> None:
    parser.add_argument("--segment", metavar="SEGMENT", help="only changes of this segment")
    parser.add_argument("--profile", metavar="USER", help="only of this person: profile id, user id or anonymous id")
    parser.add_argument(
        "--after", metavar="CURSOR", help="only those behind this one: the cursor of a change, or latest (default: all)"
    )
    parser.add_argument("--limit", metavar="N", type=int, help="at most so many (default: all that are kept)")
    parser.add_argument("--follow", action="store_true", help="go on with those that come, until interrupted")


CHANGES: tuple[Verb, ...] = (
    Verb(
        "changes",
        "print who entered and left segments, a line of JSON each, and why",
        "bespeak changes --segment big-spenders --follow",
        "changing:changes",
        _changes,
    ),
)
