"""The process that holds events for the previews of a running server: `python -m bespeak.engine.preview_worker`.

It reads the store beside the server and writes nothing at all. While nobody asks it looks every now and then for what
was committed, so that a question has little left to read. It lives no longer than the pipe through which it is asked.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
import time
from typing import IO

from bespeak.analytics.conditions_sql import Query
from bespeak.engine.archive_apart import failed, leave_no_dump, receive, send
from bespeak.engine.preview_apart import Answered, Asked, Open, Ready, Row, Taking, Told, said
from bespeak.engine.preview_reading import Following
from bespeak.errors import InvalidInput
from bespeak.privacy.masters import decode_masters

FOLLOW_SECONDS = 2.0
"""How often it looks for what was committed while nobody asks."""

TELL_SECONDS = 0.2
"""How often it says how far it is while it takes everything in."""


def main() -> None:
    """Hold events and answer until nobody is there to ask, or something cannot be read."""
    leave_no_dump()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a whole group is told to stop: the server ends us when it is time
    asked = queue.Queue[bytes]()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, asked), daemon=True).start()
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what a library prints is no answer
        speaker = _Speaker(answers)
        try:
            _serve(asked, speaker)
        except Exception as error:  # noqa: BLE001  whatever it is, the server is told
            speaker.say(failed(error))
        finally:
            os._exit(1)  # Python at its end would abort, since a thread waits for the pipe


class _Speaker:
    """Says what the server is to know."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._told = 0.0
        self.took_in = False

    def say(self, message: Told) -> None:
        with contextlib.suppress(OSError):  # nobody is there to hear it, as `_listen` finds, too
            send(self._pipe, message)

    def watch(self, done: int, total: int) -> None:
        """Say how far everything is taken in, now and then."""
        now = time.monotonic()
        if not self.took_in or now - self._told >= TELL_SECONDS:
            self.took_in, self._told = True, now
            self.say(Taking(done, total))


def _serve(asked: queue.Queue[bytes], speaker: _Speaker) -> None:
    first = said.decode(asked.get())
    if not isinstance(first, Open):
        raise TypeError("expected to be told first what to hold")
    held = Following(first.settings, decode_masters(first.masters))
    _follow(held, first, speaker)
    while True:
        try:
            message = said.decode(asked.get(timeout=FOLLOW_SECONDS))
        except queue.Empty:
            message = None
        _follow(held, first, speaker)
        if isinstance(message, Asked):
            rows = tuple(_row(held, query) for query in message.queries)
            speaker.say(Answered(held.upto, rows))


def _follow(held: Following, first: Open, speaker: _Speaker) -> None:
    began = time.monotonic()
    speaker.took_in = False
    held.follow(speaker.watch, first.kept)
    if speaker.took_in:
        speaker.say(Ready(held.upto, held.events, held.held_mib, time.monotonic() - began))


def _row(held: Following, query: Query) -> Row:
    began = time.perf_counter()
    try:
        values = held.ask(query)
    except InvalidInput as error:
        return Row((), time.perf_counter() - began, error.message)
    return Row(values, time.perf_counter() - began)


def _listen(pipe: IO[bytes], asked: queue.Queue[bytes]) -> None:
    """Take in what is asked, and end the process with the pipe, in the middle of an answer as well."""
    while (data := receive(pipe)) is not None:
        asked.put(data)
    os._exit(0)


if __name__ == "__main__":
    main()
