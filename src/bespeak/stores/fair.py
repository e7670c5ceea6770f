"""A lock that is given to those who wait, in turn."""

from __future__ import annotations

import threading


class FairLock:
    """A lock that a thread in a tight loop cannot keep from the others; use it with `with`, once at a time.

    A plain lock lets the thread that releases it take it again before a waiting one has woken. Here a thread that
    waits holds the door, so whoever comes back stands behind it.
    """

    def __init__(self) -> None:
        self._door = threading.Lock()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._door:
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
