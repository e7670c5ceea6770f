"""Static lists of people: who is put on one or taken off it, and who is on it.

What is said of a person is an event of theirs, `List Joined` or `List Left`: so it is sealed under their key, goes with
them when they are erased, comes along when two turn out to be one, and is there again after a replay. A list is there
as long as somebody is on it; it holds no ids of its own.
"""

from __future__ import annotations

import asyncio
import heapq
import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice

import msgspec

from bespeak.clock import Instant, format_time
from bespeak.engine.asking import ASKED_AT_ONCE
from bespeak.engine.engine import Engine
from bespeak.errors import InvalidInput, Problem
from bespeak.events import Event
from bespeak.events.vocabulary import LIST_JOINED, LIST_LEFT, OUR_SOURCE
from bespeak.ids import ProfileId, digest, is_blocked
from bespeak.profiles import LISTS_MAX, Profile, canonical

MEMBERS_MAX = 10_000
"""Ids that one call may name."""
TAKEN_AT_ONCE = 250
"""Ids that are taken before others have their turn: some ten milliseconds."""
SHOWN_MAX = 10_000
"""Members of a list that are shown at once."""

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")


class Unlisted(msgspec.Struct, frozen=True):
    """An id that could not be put on a list or taken off, and why."""

    id: str
    reason: str


class ListChanged(msgspec.Struct, frozen=True):
    """What became of the ids of one call: `changed`, `unchanged` and `errors` add up to the different ones of them."""

    list: str
    changed: int
    unchanged: int
    errors: tuple[Unlisted, ...]


class ListMember(msgspec.Struct, frozen=True):
    """Somebody on a list, and since when."""

    id: ProfileId
    since: str


class ListShown(msgspec.Struct, frozen=True):
    """A list: how many are on it, and those who joined it last."""

    list: str
    members: int
    newest: tuple[ListMember, ...]


async def change_list(engine: Engine, list_id: str, people: Sequence[ProfileId], *, joined: bool) -> ListChanged:
    """Put people on a list, or take them off it; returns when it is on disk.

    Whoever is on it already, or not on it, stays as they are, without an event. Who is not known yet is from now on.

    Parameters
    ----------
    people
        Profile ids: `u:` and a user id, `a:` and an anonymous id; at most `MEMBERS_MAX`.

    Raises
    ------
    InvalidInput
        The list's id is none, or there are too many people; nothing was changed.
    Unavailable
        The store is not writable or too much waits for it; those before may have been taken, which does no harm.
    """
    _check(list_id, people)
    changed, unchanged = 0, 0
    errors: list[Unlisted] = []
    different = list(dict.fromkeys(people))
    for start in range(0, len(different), TAKEN_AT_ONCE):
        events: dict[ProfileId, Event] = {}
        for profile_id in different[start : start + TAKEN_AT_ONCE]:
            found = _said(engine, list_id, profile_id, joined=joined)
            person = canonical(profile_id, engine.sequencer.aliases)
            if isinstance(found, str) and found:
                errors.append(Unlisted(profile_id, found))
            elif isinstance(found, Event) and person not in events:
                events[person] = found
            else:
                unchanged += 1
        for event, result in zip(events.values(), await engine.say(tuple(events.values())), strict=True):
            if result.status == "ok":
                changed += 1
            else:
                errors.append(Unlisted(_who(event), result.reason or result.status))
    return ListChanged(list_id, changed, unchanged, tuple(errors))


async def list_sizes(engine: Engine) -> dict[str, int]:
    """Count who is on each list, from every profile; events and pages have their turn between."""
    sizes: Counter[str] = Counter()
    profiles = engine.profiles()
    while some := list(islice(profiles, ASKED_AT_ONCE)):
        sizes.update(name for profile in some for name, one in profile.lists.items() if one.joined)
        await asyncio.sleep(0)
    return dict(sorted(sizes.items()))


async def show_list(engine: Engine, list_id: str, *, most: int = 100) -> ListShown:
    """Count who is on a list, and return those who joined it last, at most `most`."""
    _check(list_id, ())
    members = 0
    newest: list[tuple[Instant, ProfileId]] = []
    profiles = engine.profiles()
    while some := list(islice(profiles, ASKED_AT_ONCE)):
        found = [(one.lists[list_id].time, one.id) for one in some if _is_on(one, list_id)]
        members += len(found)
        newest = heapq.nlargest(most, [*newest, *found])
        await asyncio.sleep(0)
    return ListShown(list_id, members, tuple(ListMember(who, format_time(since)) for since, who in newest))


def _check(list_id: str, people: Sequence[ProfileId]) -> None:
    if not _ID.fullmatch(list_id):
        expected = "1 to 100 of a-z, 0-9, - and _"
        problem = Problem("list", expected, list_id[:100])
        raise InvalidInput(f"list: expected {expected}, got {list_id[:100]!r}", problems=(problem,))
    if len(people) > MEMBERS_MAX:
        problem = Problem("userIds", f"at most {MEMBERS_MAX:,} ids", f"{len(people):,}")
        raise InvalidInput(f"list: expected {problem.expected} in one call, got {problem.found}", problems=(problem,))


def _said(engine: Engine, list_id: str, profile_id: ProfileId, *, joined: bool) -> Event | str:
    """Return the event that says so; where none is needed nothing, and where it cannot be, why."""
    kind, name = profile_id[:2], profile_id[2:]
    if kind not in {"u:", "a:"} or is_blocked(name):
        return "it names nobody"
    longest = engine.settings.events.id_length
    if len(name) > longest:
        return f"expected at most {longest} characters, got {len(name):,}"
    sequencer = engine.sequencer
    profile = sequencer.live.get(canonical(profile_id, sequencer.aliases))
    held = None if profile is None else profile.lists.get(list_id)
    if not joined and profile is None:
        return "nobody is known by it"
    if (held is not None and held.joined) is joined:
        return ""
    if profile is not None and held is None and _is_full(profile):
        return f"expected at most {LISTS_MAX} lists of one person; take them off another first"
    now = engine.clock.now()
    time = now if held is None else max(now, held.time + 1)
    return Event(
        type="track",
        name=LIST_JOINED if joined else LIST_LEFT,
        message_id="list-" + digest(list_id, profile_id, str(time)).hex(),
        time=time,
        received=now,
        user_id=name if kind == "u:" else None,
        anonymous_id=name if kind == "a:" else None,
        properties={"list": list_id},
        source=OUR_SOURCE,
        signed=True,
    )


def _is_full(profile: Profile) -> bool:
    """Say whether there is no room for one more list, not even by forgetting one that was left."""
    return len(profile.lists) >= LISTS_MAX and all(one.joined for one in profile.lists.values())


def _who(event: Event) -> ProfileId:
    return f"u:{event.user_id}" if event.user_id is not None else f"a:{event.anonymous_id}"


def _is_on(profile: Profile, list_id: str) -> bool:
    held = profile.lists.get(list_id)
    return held is not None and held.joined
