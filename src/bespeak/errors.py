"""Every deliberate error, with its stable code.

Two halves: `CallerError` may be shown to whoever asked (it says where, what was expected, what was
found, and what would do); `OwnError` is our fault or our trouble, and its details stay in the log.

Examples
--------
>>> raise InvalidInput("the batch holds no events", problems=(Problem("batch", "1 to 2,500 events", "0"),))
Traceback (most recent call last):
    ...
bespeak.errors.InvalidInput: the batch holds no events
"""

from __future__ import annotations

from typing import ClassVar

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong: where it is, what was expected there, and what was found."""

    path: str
    expected: str
    found: str


class BespeakError(Exception):
    """Base of every deliberate error.

    Parameters
    ----------
    message
        One sentence for a person: where, what was expected, what was found, what would do.
    problems
        The same by field, for machines; empty when the message says it all.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = problems


class CallerError(BespeakError):
    """The caller can mend it; the message may be shown."""

    code = "invalid_request"
    status = 400


class InvalidInput(CallerError, ValueError):
    """A value on the wire, in a file or in an argument is not what it must be."""

    code = "invalid_input"


class TooLarge(InvalidInput):
    """A body, an event, a list or a depth is over its documented bound."""

    code = "too_large"


class MalformedJSON(InvalidInput):
    """The body is not JSON."""

    code = "malformed_json"


class DefinitionError(InvalidInput):
    """A segment, rule, experiment, block or map is not well formed; the message names file and field."""

    code = "invalid_definition"


class ConditionError(DefinitionError):
    """A condition cannot be read; the message points at the place."""

    code = "invalid_condition"


class TemplateError(DefinitionError):
    """A template cannot be read, uses what it did not declare, or broke one of its limits."""

    code = "invalid_template"


class SettingsError(CallerError, ValueError):
    """A setting has a value that it cannot have, or is not a setting."""

    code = "invalid_settings"


class Unauthorized(CallerError):
    """No key, or a key that nobody issued."""

    code = "unauthorized"
    status = 401


class Forbidden(CallerError):
    """The key is known, and may not do this."""

    code = "forbidden"
    status = 403


class NotFound(CallerError):
    """There is no such thing."""

    code = "not_found"
    status = 404


class Conflict(CallerError):
    """The thing has changed since the caller read it, or something else stands in the way."""

    code = "conflict"
    status = 409


class OwnError(BespeakError):
    """Our fault or our trouble; callers see the code, not the details."""

    code = "internal"
    status = 500


class Unavailable(OwnError):
    """Not now: try again after `retry_after` seconds. The event was not accepted."""

    code = "unavailable"
    status = 503

    def __init__(self, message: str, *, retry_after: int = 1, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message, problems=problems)
        self.retry_after = retry_after


class Overloaded(Unavailable):
    """A bounded queue is full."""

    code = "overloaded"
    status = 429


class StoreError(Unavailable):
    """The store could not read or write."""

    code = "store_failed"


class StoreLocked(CallerError):
    """Another process owns the store; `address` says where it answers, when it answers."""

    code = "store_locked"
    status = 409

    def __init__(self, message: str, *, address: str | None = None) -> None:
        super().__init__(message)
        self.address = address


class CorruptLog(OwnError):
    """A row of the log fails its CRC or breaks the chain of offsets."""

    code = "corrupt_log"
