"""`bespeak lists`: put people on static lists, take them off, see who is on them."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import Any

from bespeak.cli.client import Client, ask, connected, path_part
from bespeak.cli.output import show, table
from bespeak.cli.progress import Bar
from bespeak.errors import InvalidInput, NotFound

AT_ONCE = 1_000
"""Ids that are sent at once."""
SHOWN = 20
"""Ids that could not be taken which are shown, of how many there may be; `--json` has all."""


def add(arguments: Namespace) -> int:
    """Put the people of a file on a list."""
    return _change(arguments, "POST", "put on the list")


def remove(arguments: Namespace) -> int:
    """Take the people of a file off a list."""
    return _change(arguments, "DELETE", "taken off the list")


def show_lists(arguments: Namespace) -> int:
    """Show all lists with how many are on them, or one with the newest of them."""
    name: str | None = getattr(arguments, "list", None)
    with connected(arguments) as client:
        if name is None:
            lists = ask(client, "GET", "/v1/lists")
            rows = [(one["list"], one["members"]) for one in lists]
            return show(arguments, lists, table(("list", "members"), rows) if rows else "nobody is on any list")
        found = ask(client, "GET", f"/v1/lists/{path_part(name)}", limit=arguments.limit)
    members = [(one["id"], one["since"]) for one in found["newest"]]
    text = f"{found['members']:,} on {name}"
    return show(arguments, found, f"{text}\n{table(('id', 'since'), members)}" if members else text)


def _change(arguments: Namespace, method: str, done: str) -> int:
    """Send the ids of a file, and say what became of them; 1 where some could not be taken."""
    lines = _lines_of(arguments.file)
    with connected(arguments) as client:
        found = _sent(client, method, arguments, list(lines))
    for one in found["errors"]:
        one["line"] = lines[one["id"]]
    counted = f"{found['changed']:,} {done} {arguments.list}, {found['unchanged']:,} were so before"
    told = [f"line {one['line']}: {one['id']!r}: {one['reason']}" for one in found["errors"][:SHOWN]]
    left = len(found["errors"]) - len(told)
    more = [f"and {left:,} more; --json has all of them"] if left > 0 else []
    show(arguments, found, "\n".join([counted, *told, *more]))
    return 1 if found["errors"] else 0


def _sent(client: Client, method: str, arguments: Namespace, ids: list[str]) -> dict[str, Any]:
    kind = "anonymousIds" if arguments.devices else "userIds"
    path = f"/v1/lists/{path_part(arguments.list)}/members"
    counts: Counter[str] = Counter()
    errors: list[dict[str, Any]] = []
    bar = Bar()
    try:
        for start in range(0, max(1, len(ids)), AT_ONCE):
            some = ids[start : start + AT_ONCE]
            answer = ask(client, method, path, {kind: some})
            counts.update({name: answer[name] for name in ("changed", "unchanged")})
            errors += [{**one, "id": one["id"][2:]} for one in answer["errors"]]
            bar.update("listing", start + len(some), len(ids), "ids")
    finally:
        bar.finish()
    return {"list": arguments.list, "changed": counts["changed"], "unchanged": counts["unchanged"], "errors": errors}


def _lines_of(name: str) -> dict[str, int]:
    """Return the ids of a file, one a line, and on which line each stands first."""
    if name == "-":
        lines = sys.stdin.read().splitlines()
    else:
        path = Path(name)
        if not path.is_file():
            raise NotFound(f"{path}: no such file")
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{path}: expected one id a line in UTF-8: {error}") from None
    found: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            found.setdefault(line.strip(), number)
    return found
