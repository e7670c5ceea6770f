"""The process that writes files of the archive for a running server: `python -m bespeak.engine.archive_worker`.

It reads the store beside the server, as it is when a job comes, and writes nothing but the file. It lives no longer
than the pipe that its jobs come through: whoever started it has then gone, and another server may own the folder.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import IO

import msgspec

from bespeak.engine.archive import Made
from bespeak.engine.archive_apart import Answer, Job, Wrote, failed, leave_no_dump, receive, send
from bespeak.engine.archive_writing import write_next
from bespeak.errors import InvalidInput
from bespeak.privacy.masters import decode_masters
from bespeak.stores import SqliteSettings, SqliteSnapshot


def main() -> None:
    """Do what is asked until nobody is there to ask."""
    leave_no_dump()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a whole group is told to stop: the server ends us when it is time
    jobs = queue.Queue[bytes](maxsize=1)
    threading.Thread(target=_listen, args=(sys.stdin.buffer, jobs), daemon=True).start()
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what a library prints is no answer
        try:
            while True:
                answer = do(jobs.get())
                with contextlib.suppress(OSError):  # nobody is there to hear it, as `_listen` finds, too
                    send(answers, answer)
        finally:
            os._exit(1)  # Python at its end would abort, since a thread waits for the pipe


def do(data: bytes) -> Answer:
    """Write the next file, as a job says, and say what came of it."""
    try:
        began = time.process_time()
        made = _written(msgspec.msgpack.decode(data, type=Job))
        return Wrote(made, time.process_time() - began)
    except Exception as error:  # noqa: BLE001  whatever it is, the server is told
        return failed(error)


def _written(job: Job) -> Made | None:
    """Write the next file out of one view of the store.

    All that is needed is on disk: the server checkpoints before it archives, only what the checkpoint includes is due,
    and what is in this view fits together, so that no alias of it is missing and no key: the keys of events are
    committed with them, or before. The view is let go of before the answer, so that an erasure can cut the write-ahead
    log as soon as it has its turn.
    """
    settings = job.settings
    if not isinstance(settings.store, SqliteSettings):
        raise InvalidInput('store.type is "memory": there is nothing on disk to archive')
    path = Path(settings.data_dir) / settings.store.path
    with closing(SqliteSnapshot(path, settings.store)) as store:
        masters = decode_masters(job.masters)
        return write_next(store, masters, settings, job.now, everything=job.everything, pause=_go_on)


def _go_on() -> None:
    """Go on: whoever asks for files pauses between them."""


def _listen(pipe: IO[bytes], jobs: queue.Queue[bytes]) -> None:
    """Take in jobs, and end the process with the pipe, in the middle of a file as well."""
    while (data := receive(pipe)) is not None:
        jobs.put(data)
    os._exit(0)


if __name__ == "__main__":
    main()
