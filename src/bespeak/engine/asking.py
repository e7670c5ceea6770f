"""Everybody asked about new definitions, a few at a time, while the rest goes on; a checkpoint may fall into it."""

from __future__ import annotations

import asyncio

from bespeak.engine.committing import Committing
from bespeak.errors import StoreError

ASKED_AT_ONCE = 50
"""People who are asked about a definition before others have their turn: some ten milliseconds."""

AGAIN_SECONDS = 0.05
"""How soon it is tried again while nothing can be written, or what is known is being read again."""


class Asking(Committing):
    """Asks whom new definitions leave to ask, and lets checkpoints take those who rest as soon as they are many."""

    _asks_nobody = False

    def _ask_on(self) -> None:
        """See to it that everybody is asked, when somebody is left and nobody sees to it."""
        if self._writer is None or self._undoing or self._asks_nobody or not self.sequencer.live.owing:
            return
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_everybody(), name="bespeak-asking")
            self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())  # seen

    def ask_nobody_more(self) -> None:
        """Ask nobody more, since the end is near: whoever waits for it is told, and the next start goes on."""
        self._asks_nobody = True
        self.bell.silence()
        if self._asking is not None:
            self._asking.cancel()

    async def _stop_asking(self) -> None:
        self.ask_nobody_more()
        if self._asking is not None:
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _ask_everybody(self) -> None:
        writing: asyncio.Future[None] | None = None
        tries = False
        while self.sequencer.live.owing and self._writer is not None and not self._undoing:
            if self.sequencer.live.is_full:
                await self._settle(writing)
                writing = self.checkpoint()
            if self.sequencer.live.is_full or not self._has_room():
                await asyncio.sleep(AGAIN_SECONDS)  # nothing can be written for now, and RAM must not grow
                continue
            if not (self._writer.is_well or tries):
                tries = True
                await asyncio.sleep(AGAIN_SECONDS)  # what is written next tries the disk again
                continue
            tries = False
            self._ask_some()
            await asyncio.sleep(0)

    def _has_room(self) -> bool:
        """Say whether whoever is moved by being asked can be written down."""
        return self._writer is not None and self._writer.ready

    def _ask_some(self) -> None:
        try:
            self.sequencer.ask(ASKED_AT_ONCE)
        except Exception:
            if self._writer is not None:
                self._writer.fail(StoreError("new definitions could not be asked about everybody"))
            raise
        self._publish(self.sequencer.moved())

    async def _all_asked(self) -> None:
        """Wait until nobody is left to ask, and a checkpoint that is on disk says so.

        Raises
        ------
        StoreError
            The engine was closed, or the store failed; who is left is asked later.
        """
        while self.sequencer.live.owing or self.sequencer.is_owed_on_disk or self._pending:
            if self._writer is None or self._asks_nobody:
                raise StoreError("the engine was closed; who is left to ask is asked after its next start")
            await self._some_asked()

    async def _some_asked(self) -> None:
        self._ask_on()
        task = self._asking
        if task is not None and not task.done():
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        elif self.sequencer.live.owing:
            await asyncio.sleep(AGAIN_SECONDS)  # what is known is being read again
        elif self._pending:
            await asyncio.wait(self._pending)
        else:
            await self._settle(self.checkpoint() or asyncio.ensure_future(asyncio.sleep(AGAIN_SECONDS)))
