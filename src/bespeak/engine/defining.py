"""New definitions: history counted in what they declare, logged, and everybody asked, while the rest goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import msgspec

from bespeak.engine.backfill import Backfill
from bespeak.engine.definitions import Applied, Definition, DefinitionKind
from bespeak.engine.issuing import Issuing
from bespeak.engine.records import DefinitionRecord, Record
from bespeak.engine.site import Site
from bespeak.errors import Conflict, NotFound, Unavailable

READ_AT_ONCE = 250
"""Records of the log that are read before others have their turn: some ten milliseconds."""

NAMED_MAX = 20
"""Definitions that a message names; of more it says how many there are."""

_Versioned: TypeAlias = tuple[DefinitionKind, str, int, dict[str, Any] | None]
"""One change: kind, id, version, and what it says; None when it is deleted."""


class Defining(Issuing):
    """A ledger whose definitions can be changed."""

    async def close(self) -> None:
        """Ask nobody more, which whoever waits for it is told, then close; the next start goes on asking."""
        await self._stop_asking()
        await super().close()

    async def apply(self, definitions: Sequence[Definition]) -> tuple[Applied, ...]:
        """Put definitions in force, all or none; unchanged ones keep their version. Returns when everybody was asked.

        Raises
        ------
        DefinitionError
            One is not well formed; nothing was changed.
        StoreError
            They could not be written, and nothing was changed; or the engine was closed before everybody was asked, and
            the next start goes on.
        """
        async with self._changing:
            return await self._apply_all(definitions)

    async def _apply_all(self, definitions: Sequence[Definition]) -> tuple[Applied, ...]:
        self._open_writer()
        reading = self._readings
        results: list[Applied] = []
        changes: list[Definition] = []
        for definition in definitions:
            held = self.registry.get(definition.kind, definition.id)
            if held is not None and held.body == definition.body:
                results.append(Applied(definition.kind, definition.id, held.version, "unchanged"))
                continue
            version = self.registry.next_version(definition.kind, definition.id)
            changes.append(msgspec.structs.replace(definition, version=version))
            results.append(Applied(definition.kind, definition.id, version, "created" if held is None else "updated"))
        site = await asyncio.to_thread(self.registry.with_changes, tuple(changes))
        await self._define([(one.kind, one.id, one.version, one.body) for one in changes], site, reading)
        return tuple(results)

    async def delete(self, kind: DefinitionKind, definition_id: str) -> Applied:
        """Take a definition out of force; its versions stay readable.

        Raises
        ------
        NotFound
            There is none.
        Conflict
            Others ask for it; the message names them.
        """
        async with self._changing:
            self._open_writer()
            reading = self._readings
            if self.registry.get(kind, definition_id) is None:
                raise NotFound(f"there is no {kind} {definition_id!r}")
            others = await asyncio.to_thread(self.registry.dependents, kind, definition_id)
            if others:
                raise Conflict(_asked_for(kind, definition_id, others))
            site = await asyncio.to_thread(self.registry.with_changes, (), ((kind, definition_id),))
            version = self.registry.next_version(kind, definition_id)
            await self._define([(kind, definition_id, version, None)], site, reading)
        return Applied(kind, definition_id, version, "deleted")

    async def _define(self, changes: Sequence[_Versioned], site: Site, reading: int) -> None:
        """Log changes and put them in force; what was read before `reading` changed is not what is known now.

        Raises
        ------
        Unavailable
            The store is not writable, or what is known was undone and read again; nothing was changed.
        """
        if not changes:
            await self._on_disk()  # what is there already may be there since a moment ago
            return
        self._open_writer()
        await self._all_asked()
        async with self._history_counted(site) as backfill:
            writer = self._open_writer()  # once more: that may have taken long
            if self._readings != reading:  # versions, what is compiled and what was counted may be of what was undone
                raise Unavailable("what is known was read again meanwhile", retry_after=1)
            now = self.clock.now()
            records: list[Record] = []
            with self._all_or_none():
                self._pass_time(now, records)
                for kind, definition_id, version, body in changes:
                    records.append(DefinitionRecord(kind, definition_id, version, body, now))
                    self._offset += 1
                    self._note(records[-1])
                self.registry.site = site
                self.sequencer.begin(site.segments, site.aggregates, backfill, at=now)
            self._queue(writer, now, records)
            durable = self._durable()
        self._ask_on()
        await asyncio.shield(durable)
        await self._all_asked()
        await self._settle(self.checkpoint())

    @asynccontextmanager
    async def _history_counted(self, site: Site) -> AsyncGenerator[Backfill]:
        """Count history in what a site newly declares, while events are held back and pages are answered.

        Nobody may join anybody while history is read, and what it is read up to must be on disk and folded. The
        definitions so far serve meanwhile; those who send wait until it is done.
        """
        await self._on_disk()
        backfill = self.sequencer.backfill(site.aggregates, upto=self._offset)
        if not backfill.has_work:
            yield backfill
            return
        self._held = asyncio.get_running_loop().create_future()
        try:
            await self._on_disk()
            backfill = self.sequencer.backfill(site.aggregates, upto=self._offset)
            while backfill.read(READ_AT_ONCE):  # noqa: ASYNC110  not a wait: others have their turn
                await asyncio.sleep(0)
            yield backfill
        finally:
            held, self._held = self._held, None
            held.set_result(None)

    def definitions(self, kind: DefinitionKind) -> tuple[Definition, ...]:
        """Return the definitions of a kind that are in force, ordered by id."""
        return self.registry.all(kind)


def _asked_for(kind: DefinitionKind, definition_id: str, others: Sequence[Definition]) -> str:
    names = ", ".join(f"{one.kind}/{one.id}" for one in others[:NAMED_MAX])
    more = f" and {len(others) - NAMED_MAX} more" if len(others) > NAMED_MAX else ""
    return f"{kind}/{definition_id} is asked for by {names}{more}: change or delete these first"
