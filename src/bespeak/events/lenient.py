"""One message read member by member: what the typed decode refused, understood where it can be, else explained."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec

from bespeak.clock import Instant
from bespeak.errors import Problem
from bespeak.events.build import EventRejected, Reason, instant
from bespeak.events.event import EVENT_TYPES, EventType
from bespeak.events.limits import EventLimits
from bespeak.events.wire import ANY, LARGEST, SMALLEST, Message

_IDS = ("messageId", "userId", "anonymousId", "previousId", "groupId")
_TEXTS = ("event", "name", "category", "userSignature")
_TIMES = ("timestamp", "originalTimestamp", "sentAt")
_OBJECTS = ("properties", "traits", "context", "integrations")
_FIELDS = {name: re.sub(r"[A-Z]", lambda c: "_" + c[0].lower(), name) for name in (*_IDS, *_TEXTS, *_TIMES, *_OBJECTS)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_BELOW = 10**11
_AN_ID = "text or a number"
_A_TIME = "an ISO 8601 time such as 2026-01-31T12:00:00Z, or Unix seconds or milliseconds"


def read(raw: bytes, limits: EventLimits) -> Message[Any]:
    """Return the message in `raw`, which is valid JSON, or raise `EventRejected` with every problem found."""
    found = _decode(raw)
    if not isinstance(found, dict):
        raise EventRejected("not_an_object", Problem("", "an object", kind_of(found)))
    members = cast("dict[str, object]", found)
    problems: list[Problem] = []
    message: Message[Any] = Message(type=_type(members.get("type"), problems))
    for names, reader in ((_IDS, _id), (_TEXTS, _text), (_TIMES, time_of)):
        for name in names:
            setattr(message, _FIELDS[name], reader(members.get(name), name, problems))
    for name in _OBJECTS:
        setattr(message, _FIELDS[name], object_of(members.get(name), name, problems, limits))
    if problems:
        raise EventRejected(reason_of(problems), *problems, message_id=_readable_id(message.message_id))
    return message


def reason_of(problems: list[Problem]) -> Reason:
    """Return the word for what is wrong: type or depth if that is all, else that a field is not what it must be."""
    if all(problem.path == "type" for problem in problems):
        return "unknown_type"
    return "too_deep" if all("levels" in problem.expected for problem in problems) else "invalid_field"


def kind_of(value: object) -> str:
    """Say what a JSON value is, in a few words, without repeating what may be private."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return f"text of {len(value)} characters"
        case list():
            return "a list"
        case _:
            return "an object"


def time_of(value: object, path: str, problems: list[Problem]) -> datetime | None:
    """Read a time as people and old trackers write it; None when there is none, or it is none (a problem is noted).

    Text is ISO 8601, with `T` or a space, a date alone included, without a zone in UTC. Numbers below 1e11 are
    Unix seconds (until the year 5138), others Unix milliseconds.
    """
    try:
        if value is None or value == "":
            return None
        if isinstance(value, str):
            return datetime.fromisoformat(value.strip())
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value if abs(value) < _SECONDS_BELOW else value / 1_000
            return _EPOCH + timedelta(microseconds=round(seconds * 1_000_000))
    except (ValueError, OverflowError):
        found = "a number out of range" if not isinstance(value, str) else repr(value[:40])
    else:
        found = kind_of(value)
    problems.append(Problem(path, _A_TIME, found))
    return None


def instant_of(value: object, path: str, problems: list[Problem]) -> Instant | None:
    """Read a time as `time_of` does, to microseconds since 1970."""
    found = time_of(value, path, problems)
    return None if found is None else instant(found)


def object_of(value: object, path: str, problems: list[Problem], limits: EventLimits) -> dict[str, Any] | None:
    """Return an object whose values can be kept; None when there is none, or it cannot be (a problem is noted)."""
    if value is None:
        return None
    if not isinstance(value, dict):
        problems.append(Problem(path, "an object", kind_of(value)))
        return None
    members = cast("dict[str, Any]", value)
    problem = _unkeepable(members, path, limits.depth)
    if problem is not None:
        problems.append(problem)
    return members


def _decode(raw: bytes) -> object:
    try:
        return ANY.decode(raw)
    except RecursionError:
        problem = Problem("", "at most a few levels of nesting", "hundreds")
        raise EventRejected("too_deep", problem) from None
    except msgspec.DecodeError as error:
        raise EventRejected("invalid_field", Problem("", "values that can be kept", str(error))) from None
    except UnicodeDecodeError:
        raise EventRejected("not_unicode", Problem("", "text in UTF-8", "bytes that are none")) from None


def _type(value: object, problems: list[Problem]) -> EventType | None:
    if value is None:
        return None
    if isinstance(value, str) and value in EVENT_TYPES:
        return cast("EventType", value)
    found = repr(value[:40]) if isinstance(value, str) else kind_of(value)
    problems.append(Problem("type", "track, identify, page, screen, group or alias", found))
    return None


def _id(value: object, path: str, problems: list[Problem]) -> str | float | None:
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        return value
    problems.append(Problem(path, _AN_ID, kind_of(value)))
    return None


def _text(value: object, path: str, problems: list[Problem]) -> str | None:
    if value is None or isinstance(value, str):
        return value
    problems.append(Problem(path, "text", kind_of(value)))
    return None


def _readable_id(value: str | float | None) -> str | None:
    return value if isinstance(value, str) and value else None


def _unkeepable(value: object, path: str, levels: int) -> Problem | None:
    """Return the first thing below `value` that no event can hold: nested too deep, or too large a number."""
    if isinstance(value, dict | list):
        if levels == 0:
            return Problem(path, "fewer levels of nesting", kind_of(cast("object", value)))
        members = cast("dict[str, object] | list[object]", value)
        pairs = members.items() if isinstance(members, dict) else enumerate(members)
        for key, member in pairs:
            below = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key[:100]}"
            if (problem := _unkeepable(member, below, levels - 1)) is not None:
                return problem
        return None
    if isinstance(value, int) and not isinstance(value, bool) and not SMALLEST <= value <= LARGEST:
        return Problem(path, "a whole number of 64 bits", "a larger one")
    return None
