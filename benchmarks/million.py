"""A million people under a thousand segments, written to `million.md`: `python benchmarks/million.py`.

Says how much disk it needs before it starts, and each step as it ends.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import msgspec
from record import command, machine

from bespeak import __version__
from bespeak.errors import BespeakError
from bespeak.testing.bench_million import Plan, Step, run

HERE = Path(__file__).parent


def main() -> int:
    """Run, show each step, and write the page."""
    given = _arguments()
    plan = Plan(given.people, given.segments)
    sys.stdout.write(f"{plan.people:,} people; up to {plan.disk / 1e9:.1f} GB of disk in {given.folder}\n")
    heads = " | ".join(Step.__struct_fields__)
    lines = [f"| {heads} |", f"|{' --- |' * len(Step.__struct_fields__)}"]
    sys.stdout.write("\n".join(lines) + "\n")

    def tell(step: Step) -> None:
        values = (f"{value:,}" if isinstance(value, int | float) else value for value in msgspec.structs.astuple(step))
        lines.append(f"| {' | '.join(values)} |")
        sys.stdout.write(lines[-1] + "\n")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        try:
            asyncio.run(run(plan, Path(folder), tell))
        except BespeakError as error:
            sys.stderr.write(f"{error.message}\n")
            return 1
    told = command("million.py", sys.argv[1:])
    text = [
        f"# {plan.people:,} people under {plan.segments:,} segments",
        "",
        f"bespeak {__version__}, {machine()}.",
        "",
        "Ten segments ask about each event name; a person has three events. Everything is sealed, and on disk.",
        "",
        "```sh",
        told,
        "```",
        "",
        *lines,
        "",
    ]
    (HERE / "million.md").write_text("\n".join(text))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1_000_000, help="how many (default: a million)")
    parser.add_argument("--segments", type=int, default=1_000, help="how many, in tens (default: a thousand)")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where the store is made, and removed after")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
