"""A storm of flips beside a server under load, written to `storm.md`: `python benchmarks/storm.py`.

The windows of a hundred thousand people end within one second, while events come in as fast as they are acknowledged.
It takes two minutes. `--live-max 200000` keeps everybody in RAM, `--live-max 100` nearly nobody.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

from record import machine

from bespeak import __version__
from bespeak.errors import BespeakError
from bespeak.testing.bench import definitions
from bespeak.testing.bench_storm import Plan, Storm, weather

HERE = Path(__file__).parent


def main() -> int:
    """Run, show what was measured, and write the page."""
    given = _arguments()
    plan = Plan(given.people, given.live_max, given.warm_up, given.calm)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        try:
            found = weather(plan, Path(folder), definitions())
        except BespeakError as error:
            sys.stderr.write(f"{error.message}\n")
            return 1
    lines = _table(found)
    sys.stdout.write("\n".join(lines) + "\n")
    text = [
        f"# {found.flips:,} flips due in one second",
        "",
        f"bespeak {__version__}, {machine()}.",
        "",
        "Half of the people leave a segment, the other half enter one, with 100 other live segments and encryption on.",
        f"Of them at most {plan.live_max:,} are in RAM, all others rest on the disk. Events come in batches of 20 over",
        "16 connections, each acknowledged when on disk.",
        "",
        "```sh",
        shlex.join(["python", "benchmarks/storm.py", *sys.argv[1:]]),
        "```",
        "",
        *lines,
        "",
    ]
    (HERE / "storm.md").write_text("\n".join(text))
    return 0


def _table(found: Storm) -> list[str]:
    rows = (
        ("flips", f"{found.flips:,}"),
        ("from the first window's end to the last flip done", f"{found.seconds:.2f} s"),
        ("flips a second", f"{found.flips / found.seconds:,.0f}"),
        ("events a second before the storm", f"{found.before:,.0f}"),
        ("events a second while it lasts", f"{found.during:,.0f} ({found.during / found.before:.0%})"),
        ("99 of 100 acknowledgements before it within", f"{found.before_p99_ms:.1f} ms"),
        ("99 of 100 acknowledgements while it lasts within", f"{found.during_p99_ms:.1f} ms"),
        ("the longest of these", f"{found.longest_ms:.1f} ms"),
        ("most memory, preparation included", f"{found.peak_mib:,.0f} MiB"),
    )
    return ["| what | measured |", "| --- | --- |", *(f"| {what} | {measured} |" for what, measured in rows)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=100_000, help="how many, an even number (default 100,000)")
    parser.add_argument("--live-max", type=int, default=50_000, help="how many may be in RAM (default 50,000)")
    parser.add_argument("--warm-up", type=float, default=5, help="seconds of load that are not measured (default 5)")
    parser.add_argument("--calm", type=float, default=10, help="seconds measured before the storm (default 10)")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where the store is made, and removed after")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
