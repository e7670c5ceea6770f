"""Who entered and left segments, on the way to the store: gathered as it happens, and written with what caused it.

What one cause moves of one person at one instant is one row, sealed under that person's key. The store keeps a row once
for each person, instant and cause, and all three follow from the log and from time: so what is worked out anew after a
kill is known there, and is not written twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

import msgspec

from bespeak.clock import Instant
from bespeak.engine.packing import pack, unpack
from bespeak.engine.vault import CHANGE, Vault
from bespeak.events import Event
from bespeak.ids import ProfileId, digest
from bespeak.privacy.sealing import Sealer
from bespeak.segments import By, Change
from bespeak.stores import ChangeRow

PACKED_BYTES = 600
"""Rows with more than this are packed: somebody new enters many segments at once."""

TIME: Final = "time"
"""The cause of what time alone has moved; every other one says which record of the log it was."""


class Move(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One segment that somebody entered or left, under which version, why, when, and by what."""

    segment: str
    version: int
    entered: bool
    why: str
    at: Instant
    by: By


class Moved(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What stands in the envelope of a row: whose it is, the event that did it (empty: none), and the moves."""

    profile: ProfileId
    event: str
    message_id: str
    moves: tuple[Move, ...]


class Cause(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What moved somebody.

    Parameters
    ----------
    kind
        An event of theirs; time alone; somebody who they turned out to be; a definition that came into force; another
        time zone for people who name none.
    offset
        The record of the log that says so; 0 where it was time.
    event, message_id
        The event's name and message id, for `event` and `join`.
    """

    kind: By
    offset: int = 0
    event: str = ""
    message_id: str = ""


class MoveTold(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a membership, as the store keeps it.

    Parameters
    ----------
    number, place
        The row of the store, and which of its moves this is, counted from 0; `last` says that it is the last of them.
    id
        Names the change for good: the same one always has the same id, 32 hexadecimal digits.
    """

    number: int
    place: int
    last: bool
    id: str
    at: Instant
    profile: ProfileId
    segment: str
    version: int
    entered: bool
    why: str
    cause: Cause


_Plain: TypeAlias = tuple[str, int, bool, str, Instant, By]
"""A `Move` as it is encoded."""


class _Noted(msgspec.Struct, frozen=True):
    changes: Sequence[Change]
    offset: int
    at: Instant
    event: str
    message_id: str
    sealer: Sealer | None


class Moves:
    """Gathers changes while somebody takes them to the store, and nothing before: a replay has written them already.

    Parameters
    ----------
    included
        The number up to which rows in the store say what the newest checkpoint holds, be it on disk or being made.
    """

    def __init__(self) -> None:
        self._noted: list[_Noted] = []
        self._is_on = False
        self._told_until: Instant = 0
        self.included = 0

    def __bool__(self) -> bool:
        return bool(self._noted)

    def begin(self, told_until: Instant) -> None:
        """Gather from now on; what time moved up to an instant may have been written by a process before."""
        self._is_on = True
        self._told_until = told_until

    def stop(self) -> None:
        """Gather no more, and forget what was gathered."""
        self._is_on = False
        self._noted = []

    def note(
        self, changes: Sequence[Change], offset: int, event: Event | None = None, sealer: Sealer | None = None
    ) -> None:
        """Gather changes in the order in which they came.

        Parameters
        ----------
        offset
            The record's that caused those not of time.
        sealer
            The key of the person, who is one for all these changes, where it is at hand.
        """
        if self._is_on and changes:
            at, name, message_id = (0, "", "") if event is None else (changes[-1].at, event.name, event.message_id)
            self._noted.append(_Noted(changes, offset, at, name, message_id, sealer))

    def rows(self, vault: Vault, written: Instant) -> tuple[ChangeRow, ...]:
        """Return what was gathered since the last call, sealed; whoever asks writes it.

        Raises
        ------
        StoreError
            A key could not be read; what was gathered is lost, and must be undone with what caused it.
        """
        noted, self._noted = self._noted, []
        sealers = {one.changes[0].profile: one.sealer for one in noted if one.sealer is not None}
        vault.gather(dict.fromkeys(it.profile for one in noted for it in one.changes if it.profile not in sealers))
        return tuple(
            _row(vault, sealers.get(profile) or vault.sealer(profile), at, cause, written, data)
            for profile, at, cause, data in _grouped(noted, self._told_until)
        )


def _grouped(noted: Iterable[_Noted], told_until: Instant) -> Iterator[tuple[ProfileId, Instant, str, bytes]]:
    """Put together what one cause has moved of one person at one instant; the bytes are a `Moved`.

    What an event found due comes with what it moved itself, in one row: they are written with the event or not at all,
    and nobody works it out again. Only what may have been written without it, by timers of a process before, is not.
    """
    groups: dict[tuple[ProfileId, Instant, str], tuple[_Noted, list[_Plain]]] = {}
    for one in noted:
        events = f"event {one.offset}"
        for change in one.changes:
            at, by = change.at, change.by
            if one.at and (by != TIME or at > told_until):
                key = (change.profile, one.at, events)
            else:
                key = (change.profile, at, TIME if by == TIME else f"{by} {one.offset}")
            group = groups.get(key)
            if group is None:
                group = groups[key] = (one, [])
            group[1].append((change.segment, change.version, change.entered, change.why, at, by))
    for (profile, at, cause), (one, moves) in groups.items():
        event, message_id = ("", "") if cause == TIME else (one.event, one.message_id)
        yield profile, at, cause, _encoder.encode((profile, event, message_id, moves))


def _row(vault: Vault, sealer: Sealer, at: Instant, cause: str, written: Instant, data: bytes) -> ChangeRow:
    sealed = vault.seal_with(sealer, CHANGE, pack(data) if len(data) > PACKED_BYTES else data)
    return ChangeRow(sealer.subject, at, cause, written, sealed)


def opened(vault: Vault, row: ChangeRow) -> Moved | None:
    """Return what stands in the envelope of a row; None where its person was erased.

    Raises
    ------
    StoreError
        A key could not be read, or the row is not as it was written.
    """
    data = vault.open(row.data, CHANGE)
    return None if data is None else _decoder.decode(unpack(data))


def tell(row: ChangeRow, moved: Moved, place: int) -> MoveTold:
    """Return one of the moves of a row that was opened, by its place."""
    move, offset = moved.moves[place], row.cause.partition(" ")[2]
    is_time, way = move.by == TIME, "entered" if move.entered else "left"
    cause = Cause(TIME) if is_time else Cause(move.by, int(offset), moved.event, moved.message_id)
    said = TIME if is_time else f"{move.by} {offset}"
    named = digest(row.name, str(move.at), said, move.segment, str(move.version), way)
    return MoveTold(
        number=row.number,
        place=place,
        last=place == len(moved.moves) - 1,
        id=named.hex(),
        at=move.at,
        profile=moved.profile,
        segment=move.segment,
        version=move.version,
        entered=move.entered,
        why=move.why,
        cause=cause,
    )


def told(vault: Vault, row: ChangeRow) -> Iterator[MoveTold]:
    """Yield the changes of a row; none where its person was erased. Raises `StoreError` as `opened` does."""
    moved = opened(vault, row)
    if moved is not None:
        yield from (tell(row, moved, place) for place in range(len(moved.moves)))


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Moved)
