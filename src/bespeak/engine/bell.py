"""Wakes whoever waits for something that was written: they look for themselves what it is."""

from __future__ import annotations

import asyncio


class Bell:
    """Rung when there may be something new on disk; used on the event loop's thread.

    Parameters
    ----------
    rung
        How often it was: whoever looks takes it down before, and has missed nothing meanwhile if it is the same after.
    """

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self._is_silent = False
        self.rung = 0

    async def wait(self, seconds: float, rung: int) -> bool:
        """Wait until it rings, for so many seconds at most; says whether it is worth to look and to wait again.

        Parameters
        ----------
        rung
            How often it was when whoever waits began to look; where it has rung since, nobody waits.
        """
        if self._is_silent or seconds <= 0:
            return False
        if self.rung != rung:
            return True
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait([future], timeout=seconds)
        finally:
            self._waiting.discard(future)
        return future.done() and not self._is_silent

    def ring(self) -> None:
        """Wake whoever waits."""
        self.rung += 1
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def silence(self) -> None:
        """Wake whoever waits, and let nobody wait any more, since the end is near."""
        self._is_silent = True
        self.ring()
