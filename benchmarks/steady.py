"""An hour of steady load, written to `steady.md`: `python benchmarks/steady.py --rate 5000`.

Says how much disk it needs before it starts. `--server-cores 0` keeps the server to one core.
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
from bespeak.testing.steady import SETTINGS, Minute, Plan, run, slopes

HERE = Path(__file__).parent


def main() -> int:
    """Run, show each minute, and write the page."""
    given = _arguments()
    plan = Plan(given.rate, given.minutes, given.warm_up, given.seed)
    pin = None if given.server_cores is None else [int(core) for core in given.server_cores.split(",")]
    sys.stdout.write(f"{plan.events:,} events; up to {plan.disk / 1e9:.1f} GB of disk in {given.folder}\n")
    heads = " | ".join(Minute.__struct_fields__)
    lines = [f"| {heads} |", f"|{' --- |' * len(Minute.__struct_fields__)}"]
    sys.stdout.write("\n".join(lines) + "\n")

    def tell(minute: Minute) -> None:
        lines.append(f"| {' | '.join(f'{value:,}' for value in msgspec.structs.astuple(minute))} |")
        sys.stdout.write(lines[-1] + "\n")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        try:
            minutes = asyncio.run(run(plan, Path(folder), tell, pin=pin))
        except BespeakError as error:
            sys.stderr.write(f"{error.message}\n")
            return 1
    found = [
        "| what | mean | rise over the measured time, % of the mean | its standard error |",
        "| --- | --- | --- | --- |",
        *(f"| {one.name} | {one.mean:,} | {one.rise:+} | {one.error} |" for one in slopes(minutes)),
    ]
    sys.stdout.write("\n".join(found) + "\n")
    _write(command("steady.py", sys.argv[1:]), plan, found, lines)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=10_000, help="events a second (default: half the budget)")
    parser.add_argument("--minutes", type=float, default=60, help="how long is measured (default 60)")
    parser.add_argument("--warm-up", type=float, default=10, help="minutes before that (default 10)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where the store is made, and removed after")
    parser.add_argument("--server-cores", help="cores that the server may use, for instance 0")
    return parser.parse_args()


def _write(asked: str, plan: Plan, found: list[str], lines: list[str]) -> None:
    text = [
        "# An hour of steady load",
        "",
        f"bespeak {__version__}, {machine()}.",
        "",
        f"{plan.rate:,} events a second in batches of 20, each acknowledged when",
        "on disk, with 100 live segments and encryption on, and 20 decisions a second.",
        "A latency counts from the instant at which its request was due. Caches are small enough to be full early:",
        f"{', '.join(f'`{name}={value}`' for name, value in SETTINGS.items())}.",
        "",
        "```sh",
        asked,
        "```",
        "",
        *found,
        "",
        "Minutes up to 0 are the warm-up.",
        "",
        *lines,
        "",
    ]
    (HERE / "steady.md").write_text("\n".join(text))


if __name__ == "__main__":
    sys.exit(main())
