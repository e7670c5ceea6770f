"""Files of the archive written by a process of its own, so that whoever is answered waits for no byte of Python there.

A thread that runs Python keeps the interpreter for 5 ms at a time, and the loop's thread gives it away in every read of
the store and every seal: beside a thread that writes files it waits for a good part of its time. A process has an
interpreter of its own.

Both sides speak msgpack behind its length (4 bytes, big-endian), over the pipes of stdin and stdout: one `Job`, one
answer, and so on until the pipe ends. The master keys go that way, too: what stands in the arguments or the environment
of a process can be read by others.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
from typing import IO, TypeAlias

import msgspec

from bespeak.analytics import Damaged
from bespeak.clock import Instant
from bespeak.engine.archive import Made
from bespeak.engine.archive_writing import Stopped
from bespeak.errors import BespeakError, CorruptLog, StoreError
from bespeak.privacy.envelope import KeyMissing, SealBroken
from bespeak.privacy.masters import Masters, encode_masters
from bespeak.settings import Settings

WORKER = "bespeak.engine.archive_worker"

NICE = 10
"""How much the process yields to others; the kernel takes its place in the queue of the disk from this as well."""

_length = struct.Struct(">I")
_KNOWN = {kind.code: kind for kind in (StoreError, CorruptLog, SealBroken, KeyMissing, Damaged)}


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is to do: write the next file that is due at `now`, or everything.

    Parameters
    ----------
    masters
        The master keys, as `encode_masters` writes them.
    """

    settings: Settings
    masters: bytes
    now: Instant
    everything: bool

    def __repr__(self) -> str:
        return f"Job(now={self.now}, everything={self.everything})"


class Wrote(msgspec.Struct, frozen=True, tag="wrote"):
    """The file is on disk; or None: nothing was due. It took so many seconds of CPU."""

    made: Made | None
    seconds: float


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """There is no file: the code of the error, empty where it is none of ours, and its message, as `failed` has it."""

    code: str
    message: str


Answer: TypeAlias = Wrote | Failed

_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def send(pipe: IO[bytes], message: msgspec.Struct) -> None:
    """Write one message. Raises `OSError` when nobody reads."""
    data = msgspec.msgpack.encode(message)
    pipe.write(_length.pack(len(data)) + data)
    pipe.flush()


def receive(pipe: IO[bytes]) -> bytes | None:
    """Return one message; None when the other side has gone."""
    head = pipe.read(_length.size)
    if len(head) < _length.size:
        return None
    size: int = _length.unpack(head)[0]
    data = pipe.read(size)
    return data if len(data) == size else None


def failed(error: Exception) -> Failed:
    """Return an error as it is sent; of one that is none of ours which it is and where it was raised.

    What it says is left out: it goes to the log, and may quote personal data.
    """
    if isinstance(error, BespeakError):
        return Failed(error.code, error.message)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f", at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return Failed("", f"{type(error).__name__} (text withheld){place}")


def leave_no_dump() -> None:
    """Let no core of this process be written when it crashes: master keys and events that are open would be in it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Apart:
    """The process for one run: it is started when the first file is asked for, and ended with the run.

    `next` blocks, and is called by one thread at a time; `kill` by any. `seconds` is the CPU that the last file took:
    the process writes a file without a pause, since the write-ahead log cannot begin anew while it reads the store.
    """

    seconds = 0.0

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._killed = False

    @property
    def pid(self) -> int | None:
        """The number of the process; None while there is none."""
        return None if self._process is None else self._process.pid

    def next(self, masters: Masters, now: Instant, *, everything: bool) -> Made | None:
        """Let the next file that is due be written; None when none is. As `write_next`, over the store on disk.

        Raises
        ------
        Stopped
            It was killed by us.
        StoreError
            The file could not be written, or the process did not come to its end; the next call starts another one.
        CorruptLog, SealBroken, KeyMissing
            The log cannot be read.
        """
        job = Job(settings=self._settings, masters=encode_masters(masters), now=now, everything=everything)
        with self._turn:
            process = self._started()
            data = _asked(process, job)
            if data is None:
                raise self._gone(process)
        answer = _answers.decode(data)
        if isinstance(answer, Wrote):
            self.seconds = answer.seconds
            return answer.made
        known = _KNOWN.get(answer.code)
        raise StoreError(f"the archive's process failed: {answer.message}") if known is None else known(answer.message)

    def kill(self) -> None:
        """Let the process end at once, whatever it does, and none be started any more; nobody waits for it here."""
        with self._lock:
            self._killed = True
            if self._process is not None:
                self._process.kill()

    def end(self) -> None:
        """Kill the process, and wait until it has gone."""
        self.kill()
        with self._turn:
            if self._process is not None:
                self._process.wait()
                let_go(self._process)

    def _started(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._killed:
                raise Stopped
            if self._process is None:
                self._process = _start()
            return self._process

    def _gone(self, process: subprocess.Popen[bytes]) -> Exception:
        """Wait for the end of a process that does not answer, and return the error to raise."""
        process.kill()
        status = process.wait()
        let_go(process)
        with self._lock:
            self._process = None
            if self._killed:
                return Stopped()
        how = f"signal {-status}, {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        return StoreError(
            f"the process that writes the archive ended before it answered ({how}); the next run goes on where it was."
            " If it was killed for want of memory, lower archive.rows or archive.mib"
        )


def _start() -> subprocess.Popen[bytes]:
    """Start the process that writes the archive."""
    return start_beside(
        WORKER, "cannot start the process that writes the archive: {}; archive.apart = false uses a thread"
    )


def start_beside(module: str, complaint: str) -> subprocess.Popen[bytes]:
    """Start a process: of this Python, with the modules of this one, and nothing from the folder that we are in.

    Parameters
    ----------
    module
        What it runs; it speaks over stdin and stdout.
    complaint
        What is said when it cannot be started, with a place for the reason.

    Raises
    ------
    StoreError
        It cannot.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-P", "-m", module]
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)  # noqa: S603
    except OSError as error:
        raise StoreError(complaint.format(error.strerror)) from error
    with contextlib.suppress(OSError):  # a service that is hardened may not; then it has its share of the CPU as it is
        os.setpriority(os.PRIO_PROCESS, process.pid, min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICE))
    return process


def _asked(process: subprocess.Popen[bytes], job: Job) -> bytes | None:
    """Send a job and return the answer; None when the process has gone."""
    assert process.stdin is not None  # noqa: S101  both are pipes
    assert process.stdout is not None  # noqa: S101
    try:
        send(process.stdin, job)
    except OSError:
        return None
    return receive(process.stdout)


def let_go(process: subprocess.Popen[bytes]) -> None:
    """Close the pipes of a process that has gone."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what it was to be told goes nowhere
                pipe.close()
