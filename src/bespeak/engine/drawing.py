"""Borders of quintiles that are drawn by themselves: when it is time, one after the other, beside everything else.

When it is time follows from the borders in force, which a record of the log has put there: so a restart draws nothing
anew, and after a long stop they are drawn once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec

from bespeak.clock import MINUTE, NEVER, SECOND, Clock, Instant, format_time
from bespeak.computed import FIGURES, Borders, RfmPlan, Trait, drawn_body, every, is_due
from bespeak.engine.bordering import borders_of, graded
from bespeak.engine.defining import Defining
from bespeak.engine.definitions import Applied, Definition
from bespeak.errors import BespeakError, InvalidInput
from bespeak.privacy.masters import KeyPlace
from bespeak.settings import Settings
from bespeak.stores import Store, StoreLock

log = logging.getLogger("bespeak.engine")

LOOKED_EVERY = MINUTE
"""How often it is looked whether borders are due; for the first time so long after the start."""

AGAIN = 10 * MINUTE
"""After borders that could not be drawn, since nobody has figures or something failed, it is not tried before this."""

SHARE = 0.25
"""The part of the time that drawing takes beside a server's work; by hand somebody waits for it, and it takes all."""


class DrawingNow(msgspec.Struct, frozen=True):
    """How far a drawing is: people who were looked at, of how many there were when it began."""

    done: int
    total: int


class BordersStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the borders of a computed trait stand. JSON-ready.

    Parameters
    ----------
    version
        That of the borders in force; 0 when there are none.
    drawn
        As of when they were worked out; None when there are none, or they were written by hand.
    people, rank_error
        Of how many people, and how far off a border may be, as a part of these.
    next
        From when on they are drawn again by themselves; None: they are not.
    drawing
        How far a drawing is that is under way.
    failed
        Why the last try since the start drew none; empty when it did.
    """

    version: int
    drawn: str | None
    people: int
    rank_error: float
    next: str | None
    drawing: DrawingNow | None
    failed: str


class Drawing(Defining):
    """A ledger that draws the borders of what is graded."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        rng: Random,
        lock: StoreLock | None,
        keys: KeyPlace | None = None,
    ) -> None:
        super().__init__(settings, store, clock, rng, lock, keys)
        self._drawing_turn = asyncio.Lock()
        self._drawing: asyncio.Task[None] | None = None
        self._now_drawn: tuple[str, DrawingNow] | None = None
        self._undrawn: dict[str, tuple[Instant, str]] = {}
        self._looked_for_due: Instant = 0
        self._imported_at: Instant = -NEVER

    async def start(self) -> None:
        """Begin to write and to keep time; borders that are due are drawn from a minute later on."""
        self._looked_for_due = self.clock.now()
        await super().start()

    async def close(self) -> None:
        """Give up a drawing, then close; the next start draws what is due."""
        if self._drawing is not None:
            self._drawing.cancel()
            await asyncio.gather(self._drawing, return_exceptions=True)
        await super().close()

    async def draw_borders(self, trait_id: str) -> dict[str, Any]:
        """Work out the quintiles of a computed trait that is graded, of everybody as of now, and put them in force.

        Events and pages have their turn between. A drawing that is under way ends first.

        Raises
        ------
        NotFound
            There is no such computed trait, or it is not graded.
        InvalidInput
            Nobody has figures yet.
        """
        graded(trait_id, self.registry.site)
        async with self._drawing_turn:
            body, applied = await self._draw(trait_id, share=1.0)
        figures = {name: body[name] for name in FIGURES}
        told = {name: body[name] for name in ("people", "rank_error", "drawn")}
        return {**told, "borders": figures, "version": applied.version, "change": applied.change}

    def borders_status(self, trait_id: str) -> BordersStatus | None:
        """Say how the borders of a computed trait stand; None where it is not there, or nothing of it is graded."""
        trait = next((one for one in self._graded_traits() if one.id == trait_id), None)
        if trait is None:
            return None
        borders, often = self._borders_in_force().get(trait_id), every(trait)
        drawn = None if borders is None else borders.drawn
        return BordersStatus(
            version=0 if borders is None else borders.version,
            drawn=None if drawn is None else format_time(drawn),
            people=0 if borders is None else borders.people,
            rank_error=0.0 if borders is None else borders.rank_error,
            next=None if drawn is None or often is None else format_time(drawn + often),
            drawing=self._now_drawn[1] if self._now_drawn is not None and self._now_drawn[0] == trait_id else None,
            failed=self._undrawn.get(trait_id, (0, ""))[1],
        )

    def _gauges(self) -> Mapping[str, float]:
        drawn = {
            f'bespeak_borders_drawn_timestamp_seconds{{trait="{one.id}"}}': one.drawn / SECOND
            for one in self._borders_in_force().values()
            if one.drawn is not None
        }
        left = 0 if self._now_drawn is None else max(0, self._now_drawn[1].total - self._now_drawn[1].done)
        return {**super()._gauges(), "bespeak_borders_people_left": left, **drawn}

    def _graded_traits(self) -> list[Trait]:
        return [one for one in self.registry.site.segments.traits if isinstance(one.value, RfmPlan)]

    def _borders_in_force(self) -> dict[str, Borders]:
        return {one.id: one for one in self.registry.site.segments.borders}

    def _tick(self, now: Instant, due: Instant) -> Instant:
        if abs(now - self._looked_for_due) >= LOOKED_EVERY:
            self._looked_for_due = now
            self._draw_if_due(now)
        return super()._tick(now, due)

    def due_borders(self, now: Instant) -> list[str]:
        """Return the computed traits whose borders are to be drawn by themselves, ordered by id."""
        held = self._borders_in_force()
        waiting = {name for name, (tried, _) in self._undrawn.items() if abs(now - tried) < AGAIN}
        return [one.id for one in self._graded_traits() if one.id not in waiting and is_due(one, held.get(one.id), now)]

    def _draw_if_due(self, now: Instant) -> None:
        """Begin to draw what is due, unless that is under way, or everything else is of more weight just now."""
        idle = self._drawing is None or self._drawing.done()
        importing = self._importing or abs(now - self._imported_at) < LOOKED_EVERY  # it comes in many calls
        self._undrawn = {one.id: self._undrawn[one.id] for one in self._graded_traits() if one.id in self._undrawn}
        if not idle or importing or self._undoing or self._asks_nobody or not self.is_writable:
            return
        due = self.due_borders(now)
        if due:
            self._drawing = asyncio.create_task(self._draw_each(due), name="bespeak-borders")

    async def _draw_each(self, trait_ids: list[str]) -> None:
        for trait_id in trait_ids:
            try:
                async with self._drawing_turn:
                    if trait_id not in self.due_borders(self.clock.now()):
                        continue  # somebody has drawn them by hand meanwhile, or they are not there any more
                    await self._draw(trait_id, share=SHARE)
            except InvalidInput as error:  # nobody has figures: that is no fault
                self._undrawn[trait_id] = (self.clock.now(), error.message)
            except Exception as error:
                if self._asks_nobody:
                    return  # the engine is being closed
                self._undrawn[trait_id] = (self.clock.now(), str(error))
                self.metrics.add("bespeak_borders_failures_total")
                known = isinstance(error, BespeakError)
                log.warning("borders of %s could not be drawn, for now: %s", trait_id, error, exc_info=not known)

    async def _draw(self, trait_id: str, *, share: float) -> tuple[dict[str, Any], Applied]:
        """Work out borders and put them in force; whoever calls it has the turn."""
        site, now, total = self.registry.site, self.clock.now(), self.sequencer.profiles
        operands = graded(trait_id, site)
        (trait,) = (one for one in site.segments.traits if one.id == trait_id)

        def looked_at(people: int) -> None:
            self._now_drawn = (trait_id, DrawingNow(min(people, total), total))

        looked_at(0)
        try:
            everybody, settings = self.sequencer.live.in_order(), self.settings.profiles
            found = await borders_of(trait_id, operands, everybody, now, settings, share=share, looked_at=looked_at)
            graded(trait_id, self.registry.site)  # it may have been taken away meanwhile
            body = drawn_body(trait, found.lines, at=now, people=found.people, rank_error=found.rank_error)
            (applied,) = await self.apply([Definition(kind="borders", id=trait_id, body=body, source="borders")])
        finally:
            self._now_drawn = None
        self._undrawn.pop(trait_id, None)
        self.metrics.add("bespeak_borders_drawn_total")
        log.info("borders of %s drawn of %d people, version %d", trait_id, found.people, applied.version)
        return body, applied
