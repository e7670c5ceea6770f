"""Previews of segments over ten million events, written to `preview.md`: `python benchmarks/preview.py`.

Says how much disk it needs before it starts, and each step as it ends.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from record import command, machine

from bespeak import __version__
from bespeak.errors import BespeakError
from bespeak.testing.bench_preview import AGAIN, CONDITIONS, DAYS, EVENTS_EACH, Plan, Step, run

HERE = Path(__file__).parent


def main() -> int:
    """Run, show each step, and write the page."""
    given = _arguments()
    plan = Plan(given.events, given.rows, given.mib)
    sys.stdout.write(f"{plan.events:,} events; up to {plan.disk / 1e9:.1f} GB of disk in {given.folder}\n")
    lines = ["| what | people in | seconds | the first time |", "| --- | ---: | ---: | ---: |"]
    sys.stdout.write("\n".join(lines) + "\n")

    def tell(step: Step) -> None:
        people = "" if step.people is None else f"{step.people:,}"
        first = "" if step.first is None else f"{step.first:,}"
        lines.append(f"| {step.what} | {people} | {step.seconds:,} | {first} |")
        sys.stdout.write(lines[-1] + "\n")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        try:
            asyncio.run(run(plan, Path(folder), tell, cold=not given.warm))
        except BespeakError as error:
            sys.stderr.write(f"{error.message}\n")
            return 1
    (HERE / "preview.md").write_text("\n".join(_page(plan, lines)))
    return 0


def _page(plan: Plan, lines: list[str]) -> list[str]:
    told = command("preview.py", sys.argv[1:])
    return [
        f"# Previews over {plan.events:,} events",
        "",
        f"bespeak {__version__}, {machine()}.",
        "",
        f"{EVENTS_EACH} events a person over {DAYS} days, in sealed files of {plan.rows:,};",
        f"archive.preview_mib is {plan.mib:,}. What is asked of memory is asked {AGAIN + 1} times: the first time",
        "paths into properties get columns of their own; the middle of the others counts.",
        "",
        "```sh",
        told,
        "```",
        "",
        *lines,
        "",
        "| condition | text |",
        "| --- | --- |",
        *(f"| {name} | `{text}` |" for name, text in CONDITIONS.items()),
        "",
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000, help="how many (default: ten million)")
    parser.add_argument("--rows", type=int, default=50_000, help="events in one file (default: 50,000)")
    parser.add_argument("--mib", type=int, default=10_000, help="archive.preview_mib (default: 10,000)")
    parser.add_argument("--warm", action="store_true", help="leave out the question over the files")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where the store is made, and removed after")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
