"""What goes back over the wire: one small value, one way to send it, one shape for every error."""

from __future__ import annotations

import logging
import re
import traceback
from typing import TypeVar

import msgspec
from starlette.types import Send

from bespeak.errors import BespeakError, CallerError, InvalidInput, MalformedJSON, Problem, TooLarge, Unavailable

_T = TypeVar("_T")
_JSON = b"application/json"
_VALIDATION = re.compile(r"(?P<what>.+?)(?: - at `(?P<path>[^`]+)`)?$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `([^`]+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]+)`")
_TYPES = re.compile(r"Expected `(?P<expected>[^`]+)`(?:, got `(?P<found>[^`]+)`)?")

log = logging.getLogger("bespeak.server")


class Answer(msgspec.Struct, frozen=True):
    """One answer: status, body, content type, and the headers beyond type and length."""

    body: bytes
    status: int = 200
    content_type: bytes = _JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every error. SDKs read `code` and `message`; `errors` says the same by field."""

    code: str
    message: str
    errors: tuple[Problem, ...] = ()


class RequestTimeout(CallerError):
    """The client was too slow with its body; SDKs send it again."""

    code = "request_timeout"
    status = 408


class MethodNotAllowed(CallerError):
    """The address is known, and does something else."""

    code = "method_not_allowed"
    status = 405


SUCCESS = Answer(b'{"success":true}')
INTERNAL = Answer(
    msgspec.json.encode(ErrorBody("internal", "something went wrong on our side; it is in the server's log")),
    status=500,
)


async def send_answer(send: Send, answer: Answer) -> None:
    """Send an answer whole, with its length."""
    length = str(len(answer.body)).encode()
    headers = [(b"content-type", answer.content_type), (b"content-length", length), *answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def json_answer(value: object, *, status: int = 200) -> Answer:
    """Encode a value as the body of an answer."""
    return Answer(msgspec.json.encode(value), status=status)


def error_answer(error: BespeakError) -> Answer:
    """Return what the caller is told of an error: all of a `CallerError`, only the code of our own trouble.

    413 is never sent: SDKs drop a batch for good on it, as on 400, but proxies and clients treat it as a size
    they may probe; oversize is 400 with code `too_large`. 429 and 503 say when to come back.
    """
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if isinstance(error, CallerError):
        body = ErrorBody(error.code, error.message, error.problems)
        if error.status == 401:
            headers = ((b"www-authenticate", b'Basic realm="bespeak"'),)
    else:
        log_failure(error)
        body = ErrorBody(
            error.code, "not now; please try again" if error.status < 500 or error.status == 503 else "internal error"
        )
    if isinstance(error, Unavailable):
        headers = ((b"retry-after", str(error.retry_after).encode()),)
    return Answer(msgspec.json.encode(body), status=error.status, headers=headers)


def log_failure(error: BaseException) -> None:
    """Log what failed and where; an unexpected exception's own text is left out, since it may quote personal data."""
    where = "".join(traceback.format_tb(error.__traceback__)[-6:])
    text = error.message if isinstance(error, BespeakError) else "(text withheld)"
    log.error("%s: %s\n%s", type(error).__name__, text, where)


def decode(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    """Decode a body, telling malformed JSON from a wrong shape.

    Raises
    ------
    MalformedJSON
        Not JSON, or not UTF-8.
    TooLarge
        Nested too deep to be read.
    InvalidInput
        JSON of another shape; `problems` names the path.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        problem = problem_of(error)
        told = f"expected {problem.expected}, found {problem.found}" if problem.found else problem.expected
        raise InvalidInput(f"{problem.path}: {told}", problems=(problem,)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedJSON(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise TooLarge("the body is nested too deep to be read") from None


def problem_of(error: msgspec.ValidationError) -> Problem:
    """Take msgspec's sentence apart.

    Examples
    --------
    >>> problem_of(msgspec.ValidationError("Expected `int`, got `str` - at `$.slots[0].n`"))
    Problem(path='slots[0].n', expected='int', found='str')
    >>> problem_of(msgspec.ValidationError("Object missing required field `id` - at `$.slots[0]`"))
    Problem(path='slots[0].id', expected='a value', found='nothing')
    >>> problem_of(msgspec.ValidationError("Object contains unknown field `idx`"))
    Problem(path='idx', expected='a field that is known here', found='idx')
    >>> problem_of(msgspec.ValidationError("slot ids must be unique within a decision"))
    Problem(path='body', expected='slot ids must be unique within a decision', found='')
    """
    match = _VALIDATION.match(str(error))
    what, path = (match["what"], match["path"]) if match else (str(error), None)
    place = (path or "$").removeprefix("$").removeprefix(".")
    if types := _TYPES.match(what):
        return Problem(place or "body", types["expected"], types["found"] or "")
    if missing := _MISSING.match(what):
        return Problem(f"{place}.{missing[1]}".removeprefix("."), "a value", "nothing")
    if unknown := _UNKNOWN.match(what):
        return Problem(f"{place}.{unknown[1]}".removeprefix("."), "a field that is known here", unknown[1])
    return Problem(place or "body", what, "")
