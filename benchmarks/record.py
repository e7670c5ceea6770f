"""Run the benchmarks and write down what they say: `python benchmarks/record.py` on a quiet machine.

All of them are run, those that take minutes (`start`, `storm`), too. With names only these are run anew (`python
benchmarks/record.py fold decide`), and the others stay as they were. Written are three tables of `docs/performance.md`
(results, parts, steps) and `results.json`, which is the same for programs; `storm.py`, `preview.py`, `million.py` and
`steady.py` write pages of their own.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bespeak import __version__
from bespeak.testing import bench

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
PAGE = HERE.parent / "docs" / "performance.md"
BUDGETS = {
    "ingest": 20_000,
    "fold": 10,
    "fold-days": 10,
    "fold-town": 10,
    "import": 40_000,
    "replay": 40_000,
    "backfill": 40_000,
    "decide": 1.5,
    "segments": 2,
    "segments-100": 2,
    "start": 5,
    "start-memory": 1_024,
    "seal": 5,
    "erase": 100,
    "storm": 10,
}
"""Events a second are at least this; times and memory are at most this."""

STEPS = ("fold", "fold-days", "fold-town")


def machine() -> str:
    """Return processor, cores and Python, as a reader needs them to judge a figure."""
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model[1] if model else platform.machine()}, {cores} cores, Python {platform.python_version()}"


def command(name: str, given: Sequence[str]) -> str:
    """Return a benchmark's command as a page shows it: without the folder, which is another one on each machine.

    Examples
    --------
    >>> command("storm.py", ["--people", "20", "--folder", "/mnt/a disk"])
    'python benchmarks/storm.py --people 20'
    """
    if "--folder" in given:
        place = given.index("--folder")
        given = [*given[:place], *given[place + 2 :]]
    shown = [one for one in given if not one.startswith("--folder=")]
    return shlex.join(["python", f"benchmarks/{name}", *shown])


def row(result: dict[str, Any]) -> str:
    """Return one line of the table, with the verdict on the budget."""
    name, value, unit = str(result["name"]), float(result["value"]), str(result["unit"])
    budget = BUDGETS.get(name)
    more = unit.endswith("/s")
    told = "" if budget is None else f"{budget:,} or {'more' if more else 'less'}"
    met = budget is None or (value >= budget if more else value <= budget)
    verdict = "" if budget is None else "met" if met else "**not met**"
    return f"| `{name}` | {value:,g} {unit} | {float(result['floor']):,g} | {result['ratio']} | {told} | {verdict} |"


def results_table(told: dict[str, Any]) -> str:
    """Return everything that was measured, with its floor and its budget."""
    lines = ["| name | measured | floor | times the floor | budget | |", "| --- | --- | --- | --- | --- | --- |"]
    known = {str(one["name"]): one for one in told["results"]}
    return "\n".join([f"bespeak {told['version']}, {told['machine']}.", "", *lines, *map(row, known.values())])


def parts_table(told: dict[str, Any]) -> str:
    """Return where the time of an event goes on its way in by HTTP."""
    lines = ["| part | us of CPU an event | what it is |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {one['name']} | {one['us']:.1f} | {one['what']} |" for one in told["parts"])])


def steps_table(told: dict[str, Any]) -> str:
    """Return where the time goes between a parsed event and the segments."""
    names = list(next(iter(told["steps"].values())))
    lines = [f"| us of CPU an event | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    rows = (
        f"| `{bench_name}` | {' | '.join(f'{costs[name]:.1f}' for name in names)} |"
        for bench_name, costs in told["steps"].items()
    )
    return "\n".join([*lines, *rows])


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "results": results_table,
    "parts": parts_table,
    "steps": steps_table,
}


def main() -> int:
    """Run, write, and show."""
    names = sys.argv[1:]
    told: dict[str, Any] = json.loads(RESULTS.read_text()) if names and RESULTS.exists() else {}
    held = {one["name"]: one for one in told.get("results", [])}
    for name in names or bench.BENCHMARKS:
        for one in bench.run([name]):
            held[one["name"]] = one
            print(row(one), flush=True)
    told |= {
        "version": __version__,
        "machine": machine(),
        "results": [held[name] for name in bench.BENCHMARKS if name in held],
        "parts": [{"name": one.name, "us": one.us, "what": one.what} for one in bench.ingest_parts()],
        "steps": {name: bench.fold_steps(name) for name in STEPS},
    }
    RESULTS.write_text(json.dumps(told, indent=2) + "\n")
    page = PAGE.read_text()
    for name, table in TABLES.items():
        head, rest = page.split(f"<!-- {name} -->\n")
        page = f"{head}<!-- {name} -->\n\n{table(told)}\n\n<!-- end -->{rest.split('<!-- end -->', 1)[1]}"
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
