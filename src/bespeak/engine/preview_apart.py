"""Events held in memory for previews by a process of their own, so that whoever is answered waits for nothing of it.

Taking in a log is minutes of Python, and a question keeps two cores busy: in the server's own process both would keep
the loop waiting. The process reads the store beside the server, yields to everybody else, and ends with the pipe
through which it is asked. What it holds is in its memory alone, and goes when it is killed: that is how an erasure
takes somebody out of it.

Both sides speak as `archive_apart` does. `Open` comes first; then `Taking` again and again, and `Ready`. From then on
each `Asked` has one `Answered`, or `Taking` and `Ready` before it where everything had to be read anew.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import subprocess
import threading
from typing import Final, TypeAlias

import msgspec

from bespeak.analytics import Damaged
from bespeak.analytics.conditions_sql import Query
from bespeak.analytics.conditions_sql_values import Kept
from bespeak.engine.archive_apart import Failed, let_go, receive, send, start_beside
from bespeak.engine.preview_reading import DoesNotFit, NotWarm
from bespeak.errors import BespeakError, CorruptLog, InvalidInput, StoreError, Unavailable
from bespeak.privacy.envelope import KeyMissing, SealBroken
from bespeak.privacy.masters import Masters, encode_masters
from bespeak.settings import Settings

WORKER: Final = "bespeak.engine.preview_worker"

LET_GO: Final = "the events that were held for previews were let go of; ask again"

_KNOWN = {
    kind.code: kind for kind in (InvalidInput, DoesNotFit, StoreError, CorruptLog, SealBroken, KeyMissing, Damaged)
}
"""What the process says when it fails, by code; that it is not warm it says for one reason only."""


class Open(msgspec.Struct, frozen=True, kw_only=True, tag="open"):
    """What the process is to hold.

    Parameters
    ----------
    masters
        The master keys, as `encode_masters` writes them.
    kept
        Paths into what events say that get columns of their own.
    """

    settings: Settings
    masters: bytes
    kept: tuple[Kept, ...]

    def __repr__(self) -> str:
        return "Open()"


class Asked(msgspec.Struct, frozen=True, tag="asked"):
    """Questions that have one row each, over everything up to the last commit."""

    queries: tuple[Query, ...]


class Taking(msgspec.Struct, frozen=True, tag="taking"):
    """Events are being taken in: how many are, of how many."""

    done: int
    total: int


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """All events are held: up to which offset, how many, and in how much RAM; reading them took so many seconds."""

    offset: int
    events: int
    mib: float
    seconds: float


class Row(msgspec.Struct, frozen=True):
    """What came of one question: its row, and how long it took; or why there is none."""

    values: tuple[int | list[str] | None, ...]
    seconds: float
    failure: str = ""


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """What came of questions, all of them over everything up to an offset."""

    offset: int
    rows: tuple[Row, ...]


Told: TypeAlias = Taking | Ready | Answered | Failed

told: msgspec.msgpack.Decoder[Told] = msgspec.msgpack.Decoder(Told)
said: msgspec.msgpack.Decoder[Open | Asked] = msgspec.msgpack.Decoder(Open | Asked)


class WarmApart:
    """The process at work; made, it has begun to take events in.

    `ask` blocks, and is called by one thread at a time; everything else by any.

    Parameters
    ----------
    kept
        Paths that get columns of their own at once.

    Raises
    ------
    StoreError
        It cannot be started.
    """

    def __init__(self, settings: Settings, masters: Masters, kept: tuple[Kept, ...] = ()) -> None:
        self.taking = Taking(0, 0)
        self.ready: Ready | None = None
        self.failure: BespeakError | None = None
        self._answers = queue.SimpleQueue[Answered | Failed | None]()
        self._turn = threading.Lock()
        self._killed = False
        self._process = start_beside(WORKER, "cannot start the process that holds events for previews: {}")
        self._listener = threading.Thread(target=self._listen, name="bespeak-previews", daemon=True)
        self._say(Open(settings=settings, masters=encode_masters(masters), kept=kept))
        self._listener.start()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def ask(self, asked: Asked) -> Answered:
        """Return what came of questions.

        Raises
        ------
        Unavailable
            It was killed by us.
        NotWarm
            It came to its end otherwise, or, `DoesNotFit`, has no room for what was committed since.
        InvalidInput, StoreError, CorruptLog, KeyMissing, SealBroken, Damaged
            What was committed since could not be taken in; the process ends with that.
        """
        with self._turn:
            self._say(asked)
            answer = self._answers.get()
            if answer is None:
                self._answers.put(None)  # whoever asks next finds it, too
                raise self.failure or Unavailable(LET_GO)
        if isinstance(answer, Failed):
            raise _error(answer)
        return answer

    def kill(self) -> None:
        """Let the process end at once, whatever it does; nobody waits for it here."""
        self._killed = True
        self._process.kill()

    def end(self) -> None:
        """Kill the process, and wait until it has gone."""
        self.kill()
        self._listener.join()

    def _say(self, message: Open | Asked) -> None:
        assert self._process.stdin is not None  # noqa: S101  it is a pipe
        with contextlib.suppress(OSError, ValueError):  # it has gone, and its pipe may be closed: the listener says so
            send(self._process.stdin, message)

    def _listen(self) -> None:
        """Take in what the process says until it has gone."""
        assert self._process.stdout is not None  # noqa: S101  it is a pipe
        while (data := receive(self._process.stdout)) is not None:
            match told.decode(data):
                case Taking() as taking:
                    self.taking, self.ready = taking, None
                case Ready() as ready:
                    self.ready = ready
                case Answered() | Failed() as answer:
                    if isinstance(answer, Failed):
                        self.failure = _error(answer)
                    self._answers.put(answer)
        self._gone(self._process)

    def _gone(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        status = process.wait()
        let_go(process)
        if self.failure is None:
            self.failure = Unavailable(LET_GO) if self._killed else NotWarm(_ended(status))
        self._answers.put(None)


def _ended(status: int) -> str:
    how = f"signal {-status}, {signal.Signals(-status).name}" if status < 0 else f"status {status}"
    return (
        f"the process that holds events for previews ended ({how}); if that was for want of memory, lower"
        " archive.preview_mib, or let `bespeak segments preview --cold` read the files"
    )


def _error(answer: Failed) -> BespeakError:
    known = _KNOWN.get(answer.code)
    if known is None:
        return StoreError(f"the process that holds events for previews failed: {answer.message}")
    return known(answer.message)
