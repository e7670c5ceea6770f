"""A bar on standard error: how much is done, how fast it goes, how long it will take."""

from __future__ import annotations

import sys
import time
from typing import TextIO

WIDTH = 24
_EVERY_SECONDS = 0.1
_EVERY_SECONDS_PLAIN = 10.0


class Bar:
    """Draws progress, at most ten times a second; on what is no terminal it writes a line now and then.

    Parameters
    ----------
    stream
        Where to; standard error by default, so that standard output stays for the answer.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._stage = ""
        self._began = 0.0
        self._drawn = 0.0

    def update(self, stage: str, done: int, total: int, unit: str) -> None:
        """Show where a stage stands; a new stage begins its own line."""
        now = time.monotonic()
        if stage != self._stage:
            self.finish()
            self._stage, self._began, self._drawn = stage, now, now if not self._live else 0.0
        if now - self._drawn < (_EVERY_SECONDS if self._live else _EVERY_SECONDS_PLAIN) and (
            done < total or not self._live
        ):
            return
        self._drawn = now
        line = bar_text(stage, done, total, unit, seconds=now - self._began)
        self._stream.write(f"\r{line}\x1b[K" if self._live else f"{line}\n")
        self._stream.flush()

    def finish(self) -> None:
        """End the line that is being drawn."""
        if self._stage and self._live:
            self._stream.write("\n")
            self._stream.flush()
        self._stage = ""


def bar_text(stage: str, done: int, total: int, unit: str, *, seconds: float) -> str:
    """Return one line.

    Examples
    --------
    >>> bar_text("importing", 5_000, 20_000, "records", seconds=2.0)
    'importing  [######..................]  25 %  5,000 of 20,000 records  2,500/s  6 s left'
    """
    share = min(1.0, done / total) if total else 1.0
    filled = round(share * WIDTH)
    rate = done / seconds if seconds > 0 else 0.0
    left = f"  {_span((total - done) / rate)} left" if rate and done < total else ""
    return (
        f"{stage}  [{'#' * filled}{'.' * (WIDTH - filled)}] {share * 100:3.0f} %"
        f"  {done:,} of {total:,} {unit}  {rate:,.0f}/s{left}"
    )


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
