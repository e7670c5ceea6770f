"""`bespeak evaluate` and `bespeak bench`: how good, and how fast."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from pathlib import Path

import msgspec

from bespeak.cli.output import show, table
from bespeak.errors import InvalidInput


def evaluate(arguments: Namespace) -> int:
    """Measure decisions against tastes that the engine never reads."""
    from bespeak.testing import evaluate as town

    report = asyncio.run(town.run(seed=arguments.seed, people=arguments.people, items=arguments.items, out=_say))
    if arguments.out:
        _write(Path(arguments.out), msgspec.json.encode(report))
    rows = [
        (name, report[name]["mean"], report[name]["se"], report[name]["people"]) for name in ("decisions", "popularity")
    ]
    told = table(("NDCG@10 of", "mean", "std. error", "people"), rows)
    return show(arguments, report, f"{told}\nratio {report['ratio']:.2f} on {report['events']:,} events")


def bench(arguments: Namespace) -> int:
    """Measure the hot paths, each beside the least that any program could do."""
    from bespeak.testing import bench as paths

    results = paths.run(arguments.names or None)
    rows = [(one["name"], one["value"], one["unit"], one["floor"], one["ratio"]) for one in results]
    return show(arguments, results, table(("name", "value", "unit", "floor", "ratio"), rows))


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _write(path: Path, report: bytes) -> None:
    try:
        path.write_bytes(report + b"\n")
    except OSError as error:
        raise InvalidInput(f"--out {path}: cannot be written: {error.strerror}") from None
