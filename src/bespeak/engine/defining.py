"""New definitions: compiled, put in force at once or when history is counted for them, and everybody asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

import msgspec

from bespeak.engine.definitions import Applied, Definition, DefinitionKind
from bespeak.engine.preparing import Preparing, Versioned
from bespeak.engine.site import Site
from bespeak.engine.wishes import Name
from bespeak.errors import Conflict, DefinitionError, NotFound

NAMED_MAX = 20
"""Definitions that a message names; of more it says how many there are."""


class Defining(Preparing):
    """A ledger whose definitions can be changed."""

    async def apply(self, definitions: Sequence[Definition], *, wait: bool = True) -> tuple[Applied, ...]:
        """Put definitions in force, all or none; unchanged ones keep their version.

        Where they declare aggregates that are not maintained yet, history is counted for them first, while events are
        taken in and the definitions so far serve; `preparing` says how far that is.

        Parameters
        ----------
        wait
            Return when they are in force and everybody was asked; else as soon as it is on disk that they will be.

        Raises
        ------
        DefinitionError
            One is not well formed, or stands there twice; nothing was changed.
        Conflict
            One was changed or deleted once more before it was in force, and given up with that.
        StoreError
            They could not be written, and nothing was changed; or the engine was closed before everybody was asked, and
            the next start goes on.
        """
        _check_once(definitions)
        async with self._changing:
            applied, batches = await self._apply_all(definitions)
        if not wait or not batches:
            return applied
        for batch in sorted(batches):
            await asyncio.shield(self._end_of(batch))
        await self._all_asked()
        for one, definition in zip(applied, definitions, strict=True):
            held = self.registry.get(one.kind, one.id)
            if one.preparing and (held is None or held.body != definition.body):
                raise Conflict(
                    f"{one.kind}/{one.id}: it was changed or deleted before this version was in force, and given up"
                )
        return tuple(msgspec.structs.replace(one, preparing=False) for one in applied)

    async def _apply_all(self, definitions: Sequence[Definition]) -> tuple[tuple[Applied, ...], set[int]]:
        """Put in force what needs no history, and write down the rest; returns in which batches that is, too."""
        self._open_writer()
        reading = self._readings
        applied: list[Applied] = []
        changes: list[Definition] = []
        withdrawn: list[Name] = []
        batches: set[int] = set()
        for definition in definitions:
            kind, name = definition.kind, definition.id
            held, wish = self.registry.get(kind, name), self._wishes.get((kind, name))
            change: Literal["created", "updated"] = "created" if held is None else "updated"
            if wish is not None and wish.definition.body == definition.body:
                applied.append(Applied(kind, name, wish.definition.version, change, preparing=True))
                batches.add(wish.batch)
            elif held is not None and held.body == definition.body:
                applied.append(Applied(kind, name, held.version, "unchanged"))
                withdrawn.append((kind, name))
            else:
                version = self.registry.next_version(kind, name)
                changes.append(msgspec.structs.replace(definition, version=version))
                applied.append(Applied(kind, name, version, change))
        if not changes and not any(self._wishes.get(name) for name in withdrawn):
            await self._on_disk()  # what is there already may be there since a moment ago
            return tuple(applied), batches
        site = await self._site_with(changes)
        if site is not None and not self._needs_history(site):
            await self._all_asked()
        if site is not None and not self._needs_history(site):
            await self._define([(one.kind, one.id, one.version, one.body) for one in changes], site, reading, withdrawn)
            return tuple(applied), batches
        self._check_reading(reading)
        batch = self._wish_for(changes, withdrawn)
        await self._on_disk()
        changed: set[Name] = {(one.kind, one.id) for one in changes}
        batches.add(batch)
        told = (
            msgspec.structs.replace(one, preparing=one.preparing or (one.kind, one.id) in changed) for one in applied
        )
        return tuple(told), batches

    async def _site_with(self, changes: Sequence[Definition]) -> Site | None:
        """Compile what will be in force; None where that asks for what is not in force yet itself."""
        try:
            return await asyncio.to_thread(self.registry.with_changes, tuple(changes))
        except DefinitionError:
            wishes = tuple(wish.definition for wish in self._wishes.all())
            if not wishes:
                raise
            await asyncio.to_thread(self.registry.with_changes, (*wishes, *changes))
            return None

    def _needs_history(self, site: Site) -> bool:
        return self._offset > 0 and bool(self.sequencer.lacks(site.aggregates).keys)

    async def delete(self, kind: DefinitionKind, definition_id: str) -> Applied:
        """Take a definition out of force, and give up one that is not in force yet; its versions stay readable.

        The borders of a computed trait go with it.

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
            name: Name = (kind, definition_id)
            held, wish = self.registry.get(*name), self._wishes.get(name)
            if held is None and wish is None:
                raise NotFound(f"there is no {kind} {definition_id!r}")
            wishes = tuple(one.definition for one in self._wishes.all())
            gone = self._gone_with(name)
            named = await asyncio.to_thread(self.registry.dependents, kind, definition_id, wishes)
            others = [one for one in named if (one.kind, one.id) not in gone]
            if others:
                raise Conflict(_asked_for(kind, definition_id, others))
            version = self.registry.next_version(*name)
            if held is None:
                self._check_reading(reading)
                self._wish_for((), (name,))
                await self._on_disk()
            else:
                site = await asyncio.to_thread(self.registry.with_changes, (), gone)
                await self._all_asked()
                changes: list[Versioned] = [(*one, self.registry.next_version(*one), None) for one in gone]
                await self._define(changes, site, reading, ())
        return Applied(kind, definition_id, version, "deleted")

    def _gone_with(self, name: Name) -> tuple[Name, ...]:
        """Return what goes with a definition, itself the last: the borders of a computed trait that is graded."""
        borders: Name = ("borders", name[1])
        held = name[0] == "traits" and self.registry.get(*borders) is not None
        return (borders, name) if held else (name,)

    async def _define(self, changes: Sequence[Versioned], site: Site, reading: int, withdrawn: Sequence[Name]) -> None:
        """Put changes in force that need no history, and wait until everybody was asked; `reading` as there."""
        backfill = self.sequencer.backfill(self.sequencer.lacks(site.aggregates))
        if changes:
            durable = self._put_in_force(changes, site, backfill, reading, withdrawn)
            self._end_over()
            await asyncio.shield(durable)
            await self._all_asked()
            await self._settle(self.checkpoint())
        else:
            self._check_reading(reading)
            self._wish_for((), withdrawn)
            await self._on_disk()

    def definitions(self, kind: DefinitionKind) -> tuple[Definition, ...]:
        """Return the definitions of a kind that are in force, ordered by id."""
        return self.registry.all(kind)


def _check_once(definitions: Sequence[Definition]) -> None:
    """Refuse two definitions of the same kind and id: only one of them can be in force."""
    seen: set[Name] = set()
    for one in definitions:
        if (one.kind, one.id) in seen:
            raise DefinitionError(f"{one.kind}/{one.id} stands twice in what is applied; leave one of the two out")
        seen.add((one.kind, one.id))


def _asked_for(kind: DefinitionKind, definition_id: str, others: Sequence[Definition]) -> str:
    names = ", ".join(f"{one.kind}/{one.id}" for one in others[:NAMED_MAX])
    more = f" and {len(others) - NAMED_MAX} more" if len(others) > NAMED_MAX else ""
    return f"{kind}/{definition_id} is asked for by {names}{more}: change or delete these first"
