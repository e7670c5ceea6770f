"""What goes to standard output: JSON for programs, tables and plain text for people."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from typing import cast

import msgspec
import yaml


def print_json(value: object) -> None:
    """Write one line of JSON, at once: a program may be waiting for it."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def show(arguments: Namespace, value: object, text: str | None = None) -> int:
    """Print JSON under `--json`, else `text`, else the value as indented text; returns the exit code of success."""
    if arguments.json:
        print_json(value)
    else:
        print(text if text is not None else as_text(value))
    return 0


def as_text(value: object) -> str:
    """Write plain data as people read it: YAML, in the order it came, without what is empty."""
    return yaml.safe_dump(_filled(value), sort_keys=False, allow_unicode=True, width=110).rstrip("\n")


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Line columns up; numbers to the right.

    Examples
    --------
    >>> print(table(("id", "size"), [("big-spenders", 7), ("new", 120)]))
    id            size
    big-spenders     7
    new            120
    """
    given = [list(row) for row in rows]
    lines = [list(heads), *([_cell(value) for value in row] for row in given)]
    places = range(len(heads))
    widths = [max(len(line[place]) for line in lines) for place in places]
    numeric = [all(isinstance(row[place], int | float) for row in given) for place in places]
    padded = (
        [cell.rjust(widths[place]) if numeric[place] else cell.ljust(widths[place]) for place, cell in enumerate(line)]
        for line in lines
    )
    return "\n".join("  ".join(cells).rstrip() for cells in padded)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1_000 else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _filled(value: object) -> object:
    if isinstance(value, dict):
        fields = cast("dict[object, object]", value)
        return {name: _filled(inner) for name, inner in fields.items() if inner not in (None, {}, [], "")}
    if isinstance(value, list):
        return [_filled(inner) for inner in cast("list[object]", value)]
    return value
