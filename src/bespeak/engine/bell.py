"""Wakes whoever waits for something that was written: they look for themselves what it is."""

from __future__ import annotations

import asyncio


class Bell:
    """Rung when there may be something new on disk; used on the event loop's thread."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self._is_silent = False

    async def wait(self, seconds: float) -> bool:
        """Wait until it rings, for so many seconds at most; says whether it is worth to look and to wait again."""
        if self._is_silent or seconds <= 0:
            return False
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait([future], timeout=seconds)
        finally:
            self._waiting.discard(future)
        return future.done() and not self._is_silent

    def ring(self) -> None:
        """Wake whoever waits."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def silence(self) -> None:
        """Wake whoever waits, and let nobody wait any more, since the end is near."""
        self._is_silent = True
        self.ring()
