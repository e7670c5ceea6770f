"""Events in: Segment's wire on `/v1/{track,...,batch,import}`, and `/v1/events`, which answers one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec
from starlette.types import Receive, Scope

from bespeak.engine import Engine, EventResult
from bespeak.errors import InvalidInput, Problem
from bespeak.events import EventType, Parsed
from bespeak.server.access import Gate
from bespeak.server.answers import SUCCESS, Answer, json_answer
from bespeak.server.bodies import BodyLimits, read_body
from bespeak.server.hot import Handler, Hot

SHORT: dict[str, EventType] = {"i": "identify", "t": "track", "p": "page", "s": "screen", "g": "group", "a": "alias"}
"""The short paths of Segment's browser SDK; `/v1/b` is its batch."""


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one event of `POST /v1/events`.

    `ok`: kept, or here already. `warning`: kept, with the remark in `reason`. `drop`: not kept, and sending it
    again would not help. `retry`: not kept, send it again.
    """

    status: Literal["ok", "warning", "drop", "retry"]
    reason: str | None = None


class Verdicts(msgspec.Struct, frozen=True):
    """The answer of `POST /v1/events`: by messageId, or by position in the body where the sender gave none."""

    results: Mapping[str, Verdict]


class _Named(msgspec.Struct, frozen=True, rename="camel"):
    message_id: str | int | float | None = None


class _Body(msgspec.Struct, frozen=True, rename="camel"):
    batch: tuple[_Named, ...] | None = None
    message_id: str | int | float | None = None


_NAMES = msgspec.json.Decoder(_Body)


class Ingest:
    """Reads, authenticates and takes in events; the answer waits until they are on disk."""

    def __init__(self, engine: Engine, gate: Gate) -> None:
        self._engine = engine
        self._gate = gate
        settings = engine.settings
        self._limits = BodyLimits(settings.events.batch_bytes, settings.server.body_seconds)

    def endpoints(self) -> dict[str, Hot]:
        """Return every ingest endpoint by its path."""
        kinds: dict[str, EventType | None] = {f"/v1/{kind}": kind for kind in get_args(EventType)}
        kinds |= {f"/v1/{short}": kind for short, kind in SHORT.items()}
        kinds |= dict.fromkeys(("/v1/batch", "/v1/import", "/v1/b"))
        found = {path: Hot(self._segment(kind)) for path, kind in kinds.items()}
        found["/v1/events"] = Hot(self.events)
        return found

    def _segment(self, kind: EventType | None) -> Handler:
        async def segment(_scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> Answer:
            await self._take(headers, receive, kind)
            return SUCCESS

        return segment

    async def events(self, _scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> Answer:
        """Take events in and say what became of each."""
        body, parsed, results = await self._take(headers, receive, None)
        return json_answer(Verdicts(_by_name(body, parsed, results)))

    async def _take(
        self, headers: Mapping[bytes, bytes], receive: Receive, kind: EventType | None
    ) -> tuple[bytes, Parsed, tuple[EventResult, ...]]:
        body = await read_body(receive, headers, self._limits)
        key = self._gate.sender(headers, body, scope="events")
        parsed = self._engine.parse(body, key=key, kind=kind)
        if parsed.rejected and headers.get(b"x-strict-mode") == b"1":
            raise _strict(parsed)
        return body, parsed, await self._engine.track(parsed, key)


def _strict(parsed: Parsed) -> InvalidInput:
    """Under `X-Strict-Mode: 1` one bad event refuses the request, and nothing of it is kept."""
    problems = [
        Problem(f"[{each.index}].{problem.path}", problem.expected, problem.found)
        for each in parsed.rejected
        for problem in (each.problems or (Problem("", each.reason, ""),))
    ]
    first = parsed.rejected[0]
    return InvalidInput(
        f"{len(parsed.rejected)} of the events cannot be taken, and none was; first, at {first.index}: {first.reason}",
        problems=tuple(problems[:100]),
    )


def _by_name(body: bytes, parsed: Parsed, results: tuple[EventResult, ...]) -> dict[str, Verdict]:
    clamped = {
        index for index, event in zip(parsed.indexes, parsed.events, strict=True) if event.original_time is not None
    }
    names = _names(body)
    found: dict[str, Verdict] = {}
    for index, result in enumerate(results):
        name = names[index] if index < len(names) else None
        place = name if name is not None and name not in found else str(index)
        found[place] = _verdict(result, clamped=index in clamped)
    return found


def _names(body: bytes) -> tuple[str | None, ...]:
    """Return the message ids that the sender gave, by position; empty when they cannot be read alike."""
    try:
        read = _NAMES.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return ()
    if read.batch is None:
        return (_text(read.message_id),)
    return tuple(_text(each.message_id) for each in read.batch)


def _text(message_id: str | float | None) -> str | None:
    return None if message_id is None else str(message_id)


def _verdict(result: EventResult, *, clamped: bool) -> Verdict:
    match result.status:
        case "ok" if clamped:
            return Verdict("warning", "the timestamp lies in the future; it was set to the time of arrival")
        case "ok":
            return Verdict("ok")
        case "duplicate":
            return Verdict("ok", "duplicate: this messageId is here already")
        case "refused" | "rejected":
            return Verdict("drop", result.reason)
