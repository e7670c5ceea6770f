"""A storm of flips beside a server under load, written to `storm.md`: `python benchmarks/storm.py`.

The windows of a hundred thousand people end within one second, while events come in as fast as they are acknowledged:
once with half of them in RAM, and once with all. It takes four minutes. `--live-max 100` keeps nearly nobody in RAM.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from record import command, machine

from bespeak import __version__
from bespeak.errors import BespeakError
from bespeak.testing.bench import definitions
from bespeak.testing.bench_storm import Plan, Storm, weather

HERE = Path(__file__).parent


def main() -> int:
    """Run, show what was measured, and write the page."""
    given = _arguments()
    found: list[Storm] = []
    for live_max in given.live_max:
        plan = Plan(given.people, live_max, given.warm_up, given.calm)
        with (
            tempfile.TemporaryDirectory(dir=given.folder) as folder,
            ProcessPoolExecutor(1, get_context("spawn")) as one,
        ):
            try:
                found.append(one.submit(weather, plan, Path(folder), definitions()).result())
            except BespeakError as error:
                sys.stderr.write(f"{error.message}\n")
                return 1
    lines = _table(given.live_max, found)
    sys.stdout.write("\n".join(lines) + "\n")
    text = [
        f"# {given.people:,} flips due in one second",
        "",
        f"bespeak {__version__}, {machine()}.",
        "",
        "Half of the people leave a segment, the other half enter one, with 100 other live segments and encryption on.",
        "At most so many of them are in RAM (`profiles.live_max`), all others rest on the disk; of twice as many the",
        "data keys are held. Events come in batches of 20 over 16 connections, each acknowledged when on disk.",
        "",
        "```sh",
        command("storm.py", sys.argv[1:]),
        "```",
        "",
        *lines,
        "",
    ]
    (HERE / "storm.md").write_text("\n".join(text))
    return 0


def _table(live_max: Sequence[int], found: Sequence[Storm]) -> list[str]:
    rows = (
        ("in RAM at most", [f"{most:,}" for most in live_max]),
        ("from the first window's end to the last flip done", [f"{one.seconds:.2f} s" for one in found]),
        ("flips a second", [f"{one.flips / one.seconds:,.0f}" for one in found]),
        ("events a second before the storm", [f"{one.before:,.0f}" for one in found]),
        ("events a second while it lasts", [f"{one.during:,.0f} ({one.during / one.before:.0%})" for one in found]),
        ("99 of 100 acknowledgements before it within", [f"{one.before_p99_ms:.1f} ms" for one in found]),
        ("99 of 100 acknowledgements while it lasts within", [f"{one.during_p99_ms:.1f} ms" for one in found]),
        ("the longest of these", [f"{one.longest_ms:.1f} ms" for one in found]),
        ("most memory, preparation included", [f"{one.peak_mib:,.0f} MiB" for one in found]),
    )
    head, *rest = (f"| {what} | {' | '.join(told)} |" for what, told in rows)
    return [head, f"|{' --- |' * (len(found) + 1)}", *rest]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=100_000, help="how many, an even number (default 100,000)")
    parser.add_argument(
        "--live-max",
        type=int,
        nargs="+",
        default=[50_000, 200_000],
        help="how many may be in RAM, one storm for each (default 50,000 and 200,000)",
    )
    parser.add_argument("--warm-up", type=float, default=5, help="seconds of load that are not measured (default 5)")
    parser.add_argument("--calm", type=float, default=10, help="seconds measured before the storm (default 10)")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where the store is made, and removed after")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
