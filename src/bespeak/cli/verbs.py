"""What a verb of the command line is, and the options that many of them take. Imports nothing but argparse."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import NamedTuple


class Verb(NamedTuple):
    """One verb: what it does, how it looks in use, the options it takes, and `module:function` that runs it."""

    name: str
    summary: str
    example: str
    run: str
    options: Callable[[ArgumentParser], object]


class Group(NamedTuple):
    """Verbs that belong together; `run` is what the group's name alone does, None where it needs a verb."""

    name: str
    summary: str
    run: str | None
    verbs: tuple[Verb, ...]


def nothing(_parser: ArgumentParser) -> None:
    """Take no option of its own."""


def at_moment(parser: ArgumentParser) -> None:
    """Take the moment that is asked about."""
    parser.add_argument("--at", metavar="TIME", help="as of this moment, ISO 8601 (default: now)")
