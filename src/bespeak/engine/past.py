"""What the log has dropped, as the archive has it: events in the order of the log."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from bespeak.analytics import Damaged
from bespeak.analytics.parquet import connect, path_of
from bespeak.engine.archive import ArchiveFile, listed, opened
from bespeak.engine.vault import Vault
from bespeak.errors import StoreError
from bespeak.events import Event
from bespeak.ids import ProfileId
from bespeak.stores import Store

AT_ONCE = 2_000
"""Events that are fetched at once."""

REMEDY = (
    "what the log has dropped is counted from it: restore it from a backup, or remove it, and `bespeak archive run`"
    " takes it from the list; what only it held is not counted then"
)
"""What to do about a file that is not what was written."""

_MIB = 1_024
"""RAM that DuckDB may take for one file."""

_COLUMNS = (
    "log_offset, type, name, message_id, epoch_us(time), epoch_us(received), user_id, anonymous_id, previous_id,"
    " group_id, properties, context, source, signed, data_key, joined"
)

Archived: TypeAlias = tuple[int, Event, ProfileId | None]
"""An event, its offset, and whom it joined: empty for nobody, None where the log did not say it."""

_object = msgspec.json.Decoder(dict[str, Any]).decode


class Past:
    """The events of the archive, up to where the log begins.

    It may be asked from any thread, from one at a time. Whoever was erased since a file was opened is still in it.

    Parameters
    ----------
    upto
        The last offset that the log has dropped.
    """

    def __init__(self, store: Store, vault: Vault, folder: Path, upto: int) -> None:
        self._store = store
        self._vault = vault
        self._folder = folder
        self._events: Generator[Archived] | None = None
        self.upto = upto

    @property
    def begins_first(self) -> bool:
        """Whether the archive begins with the first event that there ever was."""
        return any(file.first == 1 for file in listed(self._store)[:1])

    def fetch(self, after: int) -> list[Archived]:
        """Return the next events, of those behind an offset if it begins anew; nothing at their end.

        Raises
        ------
        StoreError
            A file was written anew meanwhile, or cannot be read now.
        Damaged
            A file is not what was written.
        """
        events = self._events = self._events or self._read(after)
        try:
            return list(islice(events, AT_ONCE))
        except BaseException:
            self._events = None
            raise

    def close(self) -> None:
        """Let go of the file that is open."""
        events, self._events = self._events, None
        if events is not None:
            with suppress(ValueError):  # it is at work in another thread, and goes with it
                events.close()

    def _read(self, after: int) -> Generator[Archived]:
        for file in listed(self._store):
            if file.first <= self.upto and file.last > after:
                yield from self._of_file(file, after)

    def _of_file(self, file: ArchiveFile, after: int) -> Generator[Archived]:
        with ExitStack() as stack:
            try:
                (held,) = opened(stack, self._store, self._vault.masters, self._folder, [file])
            except Damaged as error:
                if file not in listed(self._store):
                    raise StoreError(f"{file.name} was written anew meanwhile") from None
                raise Damaged(f"{error.message}; {REMEDY}") from None
            connection = stack.enter_context(connect(threads=1, mib=_MIB))
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM read_parquet(?) WHERE log_offset > ? AND log_offset <= ? ORDER BY log_offset",  # noqa: S608
                [path_of(held), after, self.upto],
            )
            while some := rows.fetchmany(AT_ONCE):
                yield from map(_event, some)


def _event(row: tuple[Any, ...]) -> Archived:
    offset, kind, name, message, time, received, user, device, previous, group, properties, context, *rest = row
    source, signed, data_key, joined = rest
    event = Event(
        type=kind,
        name=name,
        message_id=message,
        time=time,
        received=received,
        user_id=user,
        anonymous_id=device,
        previous_id=previous,
        group_id=group,
        properties=_object(properties),
        context=_object(context),
        source=source,
        signed=signed,
    )
    return offset, event, joined or ("" if data_key else None)
