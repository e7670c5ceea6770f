"""Tables of steps: what people do and how time passes, and who is in which segment after each step.

A table is YAML that a person can check by hand: what is expected is written, never worked out. After each step the
three witnesses of `three_way` are asked, and must all say what is expected: what a step does not name has not changed.

    about: what it shows, and where that is from
    begins: "2026-03-10T12:00:00Z"
    segments: {twice: 'count("Product Viewed") = 2'}
    steps:
      - {who: ann, does: Product Viewed}
      - {who: ann, does: Product Viewed, ago: 2 hours, enters: {ann: [twice]}}
      - {wait: 30 days}
      - {again: 2}
      - {who: ann, device: phone, traits: {plan: pro}, leaves: {ann: [twice]}}

Segments may name `traits`, `scores` and `borders` of the table, written as in their files without ids. A step may
change the catalog: `items` are put into it, ids in `removed` are taken out, before anybody does anything.

People are called by their user id, devices by their anonymous id; a name is either, never both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from bespeak.clock import Instant, format_time, parse_duration, parse_time
from bespeak.ids import ProfileId, anonymous_profile, user_profile
from bespeak.profiles import ProfileSettings
from bespeak.testing.held import Memberships
from bespeak.testing.three_way import SETTINGS, ThreeWays


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"said": "with"}):
    """One step: time that passes, a message sent once more, or something that somebody does.

    Parameters
    ----------
    wait, until
        How long nothing happens, or until when. What is done in the same step is done then.
    again
        The number of a step, from 1 on, whose message is sent once more.
    who, device
        The user id and the anonymous id of the message.
    does
        The event; without it the message is an `identify`, or an `alias` where `was` stands.
    said, context, traits
        Properties (`with` in the table), context, and traits of an `identify`.
    was
        Who `who` was before.
    group
        The id of a group that `who` joins.
    ago
        How long before now it happened.
    key
        The id of the message; without it, it has one of its own.
    enters, leaves
        The segments that somebody is in, or is in no more, after this step; all else is as it was before it.
    items, removed
        What is put into the catalog, and the ids of what is taken out of it, before what is done.
    gone
        Names that mean somebody else from now on.
    why
        What a reader should know.
    """

    wait: str | None = None
    until: str | None = None
    again: int | None = None
    who: str | None = None
    device: str | None = None
    does: str | None = None
    said: dict[str, Any] = {}
    context: dict[str, Any] = {}
    traits: dict[str, Any] = {}
    was: str | None = None
    group: str | None = None
    ago: str | None = None
    key: str | None = None
    enters: dict[str, list[str]] = {}
    leaves: dict[str, list[str]] = {}
    gone: list[str] = []
    items: list[dict[str, Any]] = []
    removed: list[str] = []
    why: str = ""


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of steps.

    Parameters
    ----------
    about
        What it shows, and where that is from.
    begins
        When it begins.
    segments
        Conditions of the segments in force, by id.
    traits, scores, borders
        What they may name, by id.
    not_in_sql
        Those of them that SQL does not answer: just these.
    zone
        The time zone of people and of events that name none.
    """

    about: str
    begins: str
    zone: str = "UTC"
    segments: dict[str, str]
    traits: dict[str, dict[str, Any]] = {}
    scores: dict[str, dict[str, Any]] = {}
    borders: dict[str, dict[str, Any]] = {}
    not_in_sql: frozenset[str] = frozenset()
    steps: tuple[Step, ...]


class Missed(AssertionError):
    """After a step somebody is not where the table says; the message says which step, who, and both."""


def read_table(path: Path) -> Table:
    """Read a table.

    Raises
    ------
    msgspec.ValidationError
        It is none; the message says where.
    """
    return msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), Table)


async def live_through(table: Table, *, warm: bool = False) -> None:
    """Live through a table, and ask all three witnesses after each step; with `warm` events that are held, too.

    Raises
    ------
    Missed
        Somebody is not where the table says.
    Disagreement
        The witnesses do not say the same.
    """
    settings = msgspec.structs.replace(SETTINGS, profiles=ProfileSettings(time_zone=table.zone))
    named = {"traits": table.traits, "scores": table.scores, "borders": table.borders}
    ways = await ThreeWays.begun(table.segments, parse_time(table.begins), settings, named=named, warm=warm)
    if ways.unanswered != table.not_in_sql:
        raise Missed(f"not_in_sql: expected {sorted(table.not_in_sql)}, found {sorted(ways.unanswered)}")
    expected: dict[str, set[str]] = {}
    sent: dict[int, dict[str, Any]] = {}
    users = {step.who for step in table.steps if step.who is not None}
    gone: set[str] = set()
    try:
        for number, step in enumerate(table.steps, 1):
            await _take(ways, number, step, sent)
            gone.update(step.gone)
            _move(expected, step, number, gone, table.segments)
            _same(number, step, ways.agreed(), expected, users)
    finally:
        await ways.close()


async def _take(ways: ThreeWays, number: int, step: Step, sent: dict[int, dict[str, Any]]) -> None:
    now = ways.clock.now()
    until = parse_time(step.until) if step.until is not None else now + (parse_duration(step.wait) if step.wait else 0)
    if until != now:
        await ways.wait(until)
    if step.items or step.removed:
        await ways.stock(step.items, step.removed)
    if step.again is not None:
        await ways.send([sent[step.again]])
    elif step.who is not None or step.device is not None:
        sent[number] = _message(step, number, until)
        statuses = await ways.send([sent[number]])
        if statuses != ["ok"]:
            raise Missed(f"step {number}: expected the message to be ok, found {statuses}")


def _message(step: Step, number: int, now: Instant) -> dict[str, Any]:
    at = now - (parse_duration(step.ago) if step.ago else 0)
    message: dict[str, Any] = {"messageId": step.key or f"step-{number:03}", "timestamp": format_time(at)}
    if step.context:
        message["context"] = step.context
    if step.who is not None:
        message["userId"] = step.who
    if step.device is not None:
        message["anonymousId"] = step.device
    if step.does is not None:
        return {**message, "type": "track", "event": step.does, "properties": step.said}
    if step.was is not None:
        return {**message, "type": "alias", "previousId": step.was}
    if step.group is not None:
        return {**message, "type": "group", "groupId": step.group, "traits": step.traits}
    return {**message, "type": "identify", "traits": step.traits}


def _move(expected: dict[str, set[str]], step: Step, number: int, gone: set[str], segments: Mapping[str, str]) -> None:
    """Take what a step says into what is expected; what it says must be news, of segments that there are."""
    for name in step.gone:
        expected.pop(name, None)
    whose = step.who or step.device
    if whose is not None and whose not in gone:
        expected.setdefault(whose, set())
    for name, left in step.leaves.items():
        if not set(left) <= expected[name]:
            raise Missed(f"step {number} of the table: {name} is not in all of {left}, so cannot leave")
        expected[name] -= set(left)
    for name, come in step.enters.items():
        if not set(come) <= set(segments) - expected[name]:
            raise Missed(f"step {number} of the table: {name} is in {come} already, or there is no such segment")
        expected[name] |= set(come)


def _same(number: int, step: Step, found: Memberships, expected: Mapping[str, set[str]], users: set[str]) -> None:
    told: dict[ProfileId, frozenset[str]] = {
        (user_profile if name in users else anonymous_profile)(name): frozenset(held) for name, held in expected.items()
    }
    if found == told:
        return
    wrong = [
        f"{name}: expected {_shown(told.get(name))}, found {_shown(found.get(name))}"
        for name in sorted({*found, *told})
        if found.get(name) != told.get(name)
    ]
    raise Missed(f"step {number} ({step.why or msgspec.json.encode(step).decode()}): " + "; ".join(wrong))


def _shown(held: Sequence[str] | frozenset[str] | None) -> str:
    return "nobody" if held is None else "in " + (", ".join(sorted(held)) or "nothing")
