"""Run the benchmarks and write down what they say: `python benchmarks/record.py` on a quiet machine."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from pathlib import Path

from bespeak import __version__
from bespeak.testing import bench

HERE = Path(__file__).parent
BUDGETS = {
    "ingest": 20_000,
    "import": 40_000,
    "fold": 10,
    "fold-days": 10,
    "fold-town": 10,
    "decide": 1.5,
    "seal": 5,
    "erase": 100,
}
"""Events a second are at least this; times are at most this."""


def machine() -> str:
    """Return processor, cores and Python, as a reader needs them to judge a figure."""
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model[1] if model else platform.machine()}, {cores} cores, Python {platform.python_version()}"


def row(result: dict[str, object]) -> str:
    """Return one line of the table, with the verdict on the budget."""
    name, value, unit = str(result["name"]), float(str(result["value"])), str(result["unit"])
    budget = BUDGETS.get(name)
    met = budget is None or (value >= budget if unit.endswith("/s") else value <= budget)
    floor = float(str(result["floor"]))
    told = "-" if budget is None else "met" if met else "not met"
    return f"| `{name}` | {value:,g} {unit} | {floor:,g} | {result['ratio']} | {told} |"


def main() -> int:
    """Run, write, and show."""
    results = bench.run(sys.argv[1:] or None)
    told = {"version": __version__, "machine": machine(), "results": results}
    (HERE / "results.json").write_text(json.dumps(told, indent=2) + "\n")
    table = [
        "| name | measured | floor | times the floor | budget |",
        "| --- | --- | --- | --- | --- |",
        *map(row, results),
    ]
    text = "\n".join([f"bespeak {__version__}, {machine()}.", "", *table])
    readme = HERE / "README.md"
    page = re.sub(
        r"(<!-- results -->\n).*?(<!-- end -->)",
        lambda match: f"{match[1]}\n{text}\n\n{match[2]}",
        readme.read_text(),
        flags=re.DOTALL,
    )
    readme.write_text(page)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
