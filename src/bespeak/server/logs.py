"""The log on standard error: text for people, or one JSON object a line; each line names the request that it is about.

No line holds personal data: an exception's own text is left out (it may quote what somebody sent), its type and the
places in the code are there.
"""

from __future__ import annotations

import logging
import re
import secrets
import sys
import traceback
from contextvars import ContextVar
from typing import Literal, TextIO

import msgspec

from bespeak.clock import format_time
from bespeak.errors import BespeakError

REQUEST_ID: ContextVar[str] = ContextVar("bespeak_request_id", default="")
"""The id of the request that is being answered; empty outside of one."""

_GIVEN = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_FRAMES = 6


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the log under `server.log_format = "json"`.

    Parameters
    ----------
    time
        ISO 8601 in UTC, with microseconds.
    request_id
        What the answer carries as `X-Request-Id`; left out where no request is at work.
    error
        The type of the exception, and for our own ones its code and message.
    where
        The innermost places in the code that it came through.
    """

    time: str
    level: str
    logger: str
    message: str
    request_id: str = ""
    error: str = ""
    where: tuple[str, ...] = ()


def request_id(given: bytes | None) -> str:
    """Return the id that was given, if it is one (1 to 128 letters, digits, `.`, `_` or `-`); else make one.

    Examples
    --------
    >>> request_id(b"edge-7f3a")
    'edge-7f3a'
    >>> len(request_id(b"ada@example.com"))
    16
    """
    if given is not None and _GIVEN.fullmatch(given):
        return given.decode()
    return secrets.token_hex(8)


class JsonLines(logging.Formatter):
    """Writes each record as one `Line`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of JSON."""
        error, where = _failure(record)
        line = Line(
            time=format_time(int(record.created * 1_000_000)),
            level=record.levelname.lower(),
            logger=record.name,
            message=record.getMessage(),
            request_id=REQUEST_ID.get(),
            error=error,
            where=where,
        )
        return msgspec.json.encode(line).decode()


class TextLines(logging.Formatter):
    """Writes each record as people read it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, and below it the places in the code where there is an exception."""
        error, where = _failure(record)
        said = REQUEST_ID.get()
        head = f"{self.formatTime(record)} {record.levelname} {record.name}: {record.getMessage()}"
        lines = [
            f"{head} [{said}]" if said else head,
            *([f"  {error}"] if error else []),
            *(f"  {one}" for one in where),
        ]
        return "\n".join(lines)


def log_to(stream: TextIO | None = None, *, form: Literal["text", "json"] = "text") -> None:
    """Send the log to a stream (standard error by default): our own from INFO on, others' from WARNING on."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("bespeak").setLevel(logging.INFO)


def _failure(record: logging.LogRecord) -> tuple[str, tuple[str, ...]]:
    if record.exc_info is None or record.exc_info[1] is None:
        return "", ()
    error = record.exc_info[1]
    name = type(error).__name__
    told = f"{name}: {error.code}: {error.message}" if isinstance(error, BespeakError) else name
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return told, tuple(f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)
