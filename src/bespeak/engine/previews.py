"""Previews on a running engine: events held beside it while somebody asks, and let go of when nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal, TypeAlias, cast

import msgspec

from bespeak.analytics.conditions_compared import Beside, Overlap
from bespeak.analytics.conditions_sql import Members, Query, sql_of_counts
from bespeak.analytics.warm import KEPT_MAX
from bespeak.clock import HOUR, Duration, Instant
from bespeak.conditions import Condition
from bespeak.engine.archive import folder_of
from bespeak.engine.drawing import Drawing
from bespeak.engine.preview_apart import LET_GO, Answered, Asked, Row, Taking, WarmApart
from bespeak.engine.preview_reading import DoesNotFit, NotWarm
from bespeak.engine.previewing import Preview, comparable, reads_items
from bespeak.engine.site import Site
from bespeak.errors import InvalidInput, Overloaded, Unavailable
from bespeak.segments.references import filled, inlined

WAITING_MAX = 16
"""Previews that may wait for their turn; more are told to come back."""

UNFIT_FOR: Duration = HOUR
"""How long nobody tries again to take in events that did not fit: until then previews are for the files."""


class Seconds(msgspec.Struct, frozen=True):
    """How long a preview took: for its own size and sample, and for what it has in common with segments."""

    alone: float
    overlaps: float


class WarmPreview(msgspec.Struct, frozen=True):
    """What a preview says, as of which instant, and how long it took."""

    at: Instant
    preview: Preview
    seconds: Seconds


class Previews(msgspec.Struct, frozen=True, kw_only=True):
    """How previews stand.

    Parameters
    ----------
    state
        Whether events are held (`warm`), being taken in (`warming`), not asked for (`cold`), or never (`off`).
    done, total
        Events taken in, and how many there are, while they are.
    offset, events, mib
        Up to which offset events were held at first, how many, and in how much RAM.
    seconds
        How long taking them in took.
    """

    state: Literal["off", "cold", "warming", "warm"]
    done: int = 0
    total: int = 0
    offset: int = 0
    events: int = 0
    mib: float = 0.0
    seconds: float = 0.0


class Questions(msgspec.Struct, frozen=True):
    """What is asked for one preview: of the condition alone, of it beside segments, which these are, and the others."""

    alone: Query
    beside: Query | None
    others: tuple[str, ...]
    left_out: dict[str, str]


class Sited(msgspec.Struct, frozen=True):
    """The segments in force: what each asks for, those that SQL answers, and why it does not answer the others."""

    site: Site
    segments: Mapping[str, Condition]
    others: dict[str, Condition]
    left_out: dict[str, str]


Told: TypeAlias = WarmPreview | Taking


class Previewing(Drawing):
    """A ledger that says who would be in a segment, without anybody waiting for it who did not ask."""

    _warm: WarmApart | None = None
    _warm_lock: asyncio.Lock | None = None
    _warm_turn: asyncio.Lock | None = None
    _warm_idle: asyncio.TimerHandle | None = None
    _warm_given_up = 0
    _warm_unfit: tuple[Instant, str] | None = None
    _sited: Sited | None = None
    _warm_waiting = 0

    async def preview(
        self, condition: Condition, *, at: Instant | None = None, most: int = 20, overlaps: bool = True
    ) -> Told:
        """Say who would be in a segment, over everything up to the last commit; or how far events are taken in for it.

        Parameters
        ----------
        at
            As of which instant; now by default.
        most
            People named, 1 to 1,000.
        overlaps
            Whether to say how many of them are in each of the segments in force.

        Raises
        ------
        NotInSql
            Events alone do not answer it; the message names the part.
        InvalidInput
            The store is in RAM, `at` or `most` is out of bounds, or the question takes longer than
            `archive.query_seconds`, takes too much memory, or has no answer.
        NotWarm
            `archive.preview_mib` is 0, or too little, which nobody tries again within an hour; or it reads items or
            interests, which are not held.
        Overloaded
            Too many previews wait already.
        Unavailable
            Somebody was erased, or keys were changed meanwhile; ask again.
        """
        self._check_known()
        at = self.clock.now() if at is None else at
        questions = await asyncio.to_thread(self._asked_for, condition, at, most, overlaps=overlaps)
        if self._warm_waiting >= WAITING_MAX:
            raise Overloaded("too many previews wait for their turn", retry_after=1)
        self._warm_waiting += 1
        try:
            warm = await self._warmed(questions)
            if warm.ready is None:
                return warm.taking
            queries = [questions.alone] if questions.beside is None else [questions.alone, questions.beside]
            self._warm_turn = self._warm_turn or asyncio.Lock()
            async with self._warm_turn:  # who waits here keeps no thread from others
                answered = await asyncio.to_thread(warm.ask, Asked(tuple(queries)))
            if self._warm is not warm:
                raise Unavailable(LET_GO)
            return preview_of(at, questions, answered)
        finally:
            self._warm_waiting -= 1

    def previews(self) -> Previews:
        """Say how previews stand."""
        warm = self._warm
        if not self.settings.archive.preview_mib or folder_of(self.settings) is None:
            return Previews(state="off")
        if warm is None or warm.failure is not None:
            return Previews(state="cold")
        if (ready := warm.ready) is None:
            return Previews(state="warming", done=warm.taking.done, total=warm.taking.total)
        return Previews(
            state="warm",
            offset=ready.offset,
            events=ready.events,
            mib=round(ready.mib, 1),
            seconds=round(ready.seconds, 3),
        )

    async def close(self) -> None:
        """Let go of what is held for previews, then close."""
        warm, self._warm = self._warm, None
        self._let_go_of_events()
        if warm is not None:
            warm.kill()
            await asyncio.to_thread(warm.end)
        await super().close()

    def _asked_for(self, condition: Condition, at: Instant, most: int, *, overlaps: bool) -> Questions:
        """Return what is asked for a preview; called in a thread, since many segments take a while to write down."""
        site, known = self.registry.site, self._sited
        if known is None or known.site is not site:
            known = self._sited = sited(site, at)
        return asked_for(condition, known, at, most, overlaps=overlaps)

    async def _warmed(self, questions: Questions) -> WarmApart:
        """Return what holds events; it is begun where it is not there."""
        mib = self.settings.archive.preview_mib
        if folder_of(self.settings) is None:
            raise InvalidInput('store.type is "memory": there is no archive')
        if not mib:
            raise NotWarm(
                "archive.preview_mib is 0: no events are held for previews; raise it, or let"
                " `bespeak segments preview --cold` read the files"
            )
        self._warm_lock = self._warm_lock or asyncio.Lock()
        async with self._warm_lock:
            warm = self._warm
            if warm is not None and warm.failure is not None:
                self._let_go_of_events()
                raise warm.failure
            if warm is None:
                self._refuse_unfit()
                given_up = self._warm_given_up
                kept = questions.alone.kept if questions.beside is None else questions.beside.kept
                warm = await asyncio.to_thread(WarmApart, self.settings, self.vault.masters, kept)
                if self._warm_given_up != given_up:  # somebody was erased while it was started
                    warm.kill()
                    raise Unavailable(LET_GO)
                self._warm = warm
        self._stay()
        return warm

    def _refuse_unfit(self) -> None:
        """Raise what was said of events that did not fit a short while ago, so that nobody waits for that again."""
        if self._warm_unfit is not None and abs(self.clock.now() - self._warm_unfit[0]) < UNFIT_FOR:
            raise DoesNotFit(self._warm_unfit[1])

    def _stay(self) -> None:
        """Let what is held stay for some minutes from now."""
        if self._warm_idle is not None:
            self._warm_idle.cancel()
        seconds = self.settings.archive.preview_minutes * 60
        self._warm_idle = asyncio.get_running_loop().call_later(seconds, self._let_go_of_events)

    def _let_go_of_events(self) -> None:
        self._warm_given_up += 1
        warm, self._warm = self._warm, None
        if self._warm_idle is not None:
            self._warm_idle.cancel()
            self._warm_idle = None
        if warm is not None:
            warm.kill()
            if isinstance(warm.failure, DoesNotFit):
                self._warm_unfit = self.clock.now(), warm.failure.message


def sited(site: Site, at: Instant) -> Sited:
    """Return what the segments in force ask for, and which of them SQL answers."""
    live = site.segments
    segments = inlined(live.all(), live.traits, live.scores, live.borders).conditions
    others, left_out = comparable(segments, at)
    for name in [name for name, one in others.items() if reads_items(one)]:
        left_out[name] = "it reads items or interests, which are not held for previews"
        del others[name]
    return Sited(site, segments, others, left_out)


def asked_for(condition: Condition, known: Sited, at: Instant, most: int, *, overlaps: bool) -> Questions:
    """Return what is asked for a preview; raises `NotInSql`, `DefinitionError`, and `NotWarm`."""
    live = known.site.segments
    condition = filled(condition, live.all(), live.traits, live.scores, live.borders)
    alone = sql_of_counts(condition, {}, at, segments=known.segments, most=most, keeps=KEPT_MAX)
    if alone.reads_items:
        raise NotWarm(
            "it reads items or interests, which are not held for previews:"
            " `bespeak segments preview --cold` reads the files and knows the catalog"
        )
    others, left_out = (known.others, known.left_out) if overlaps else ({}, {})
    beside = (
        sql_of_counts(condition, others, at, segments=known.segments, most=most, keeps=KEPT_MAX) if others else None
    )
    return Questions(alone, beside, tuple(others), left_out)


def preview_of(at: Instant, questions: Questions, answered: Answered) -> WarmPreview:
    """Return what a preview says.

    Raises
    ------
    InvalidInput
        The condition alone took too long, or too much memory, or has no answer.
    """
    alone, *more = answered.rows
    if alone.failure:
        raise InvalidInput(alone.failure)
    people, size, sample, *_ = alone.values
    members = Members(cast("int", size), tuple(cast("list[str] | None", sample) or ()))
    overlaps: Mapping[str, Overlap] = {}
    left_out, seconds = questions.left_out, 0.0
    for row in more:
        seconds = row.seconds
        overlaps = _overlaps(questions.others, row)
        if row.failure:
            left_out = {**left_out, **dict.fromkeys(questions.others, row.failure)}
    preview = Preview(answered.offset, Beside(cast("int", people), members, dict(overlaps)), left_out)
    return WarmPreview(at, preview, Seconds(round(alone.seconds, 4), round(seconds, 4)))


def _overlaps(names: tuple[str, ...], row: Row) -> dict[str, Overlap]:
    """Return the pairs of figures that stand behind the first three."""
    figures = cast("tuple[int, ...]", row.values[3:])
    pairs = zip(names, figures[::2], figures[1::2], strict=False)
    return {name: Overlap(size, both) for name, size, both in pairs}
