"""What must hold of the changes that are told: they alternate, come in time's order, and come to what is live."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from bespeak.engine import Engine, MoveTold
from bespeak.engine.moves import told
from bespeak.ids import ProfileId
from bespeak.testing.world_promises import BrokenPromise, same

AT_ONCE = 1_000


def all_changes(engine: Engine) -> list[MoveTold]:
    """Return every change that is on disk, in order."""
    found: list[MoveTold] = []
    after = 0
    while rows := engine.store.changes(after, limit=AT_ONCE):
        found += (move for row in rows for move in told(engine.vault, row))
        after = rows[-1].number
    return found


def folded(changes: Sequence[MoveTold]) -> dict[ProfileId, dict[str, int]]:
    """Return since when who is in which segment, as changes from the beginning on say it.

    Raises
    ------
    BrokenPromise
        Somebody enters twice, or leaves what they are not in; an instant is before the one before; an id stands twice.
    """
    held: defaultdict[ProfileId, dict[str, int]] = defaultdict(dict)
    last: dict[ProfileId, int] = {}
    for one in changes:
        same(f"being in {one.segment} before {one}", one.segment in held[one.profile], not one.entered)
        if one.at < last.get(one.profile, one.at):
            raise BrokenPromise(f"{one}: it comes behind what happened later, at {last[one.profile]}")
        last[one.profile] = one.at
        if one.entered:
            held[one.profile][one.segment] = one.at
        else:
            del held[one.profile][one.segment]
    same("ids of changes that stand once", len({one.id for one in changes}), len(changes))
    return {who: segments for who, segments in held.items() if segments}


def changes_are_live(engine: Engine) -> None:
    """The changes on disk, one after the other, come to the memberships; nothing may be on its way to the disk.

    Raises
    ------
    BrokenPromise
        They do not; the message says whose.
    """
    if engine.store.dropped_changes():
        return  # their beginning is gone
    live: Mapping[ProfileId, Mapping[str, int]] = {
        profile.id: {name: held.since for name, held in profile.segments.items()} for profile in engine.profiles()
    }
    same("memberships by changes", folded(all_changes(engine)), {who: held for who, held in live.items() if held})
