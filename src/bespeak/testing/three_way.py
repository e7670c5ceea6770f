"""Three witnesses of who is in which segment: the live engine, plain counting, and SQL over the events.

They share the tree of a condition and the log; what each makes of it is its own. Where they do not agree, one of them
is wrong.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from random import Random
from typing import Any, Literal, Self, cast

import msgspec

from bespeak.analytics.conditions_sql import Rules, open_to_conditions, refuse_doubtful, sql_of, sql_of_all
from bespeak.analytics.conditions_sql_values import NotInSql
from bespeak.analytics.parquet import connect
from bespeak.analytics.query import view
from bespeak.catalog import Item
from bespeak.clock import Instant, ManualClock
from bespeak.conditions import Condition
from bespeak.engine import Definition, DefinitionKind
from bespeak.engine.archive_goods import goods_of
from bespeak.engine.archive_reading import rows_in
from bespeak.ids import ProfileId
from bespeak.privacy import Key
from bespeak.segments.references import inlined
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import MemorySettings
from bespeak.testing.held import Disagreement, Held, Memberships
from bespeak.testing.world_fragile import FragileMemory, MortalEngine
from bespeak.testing.world_truth import NOTHING_DEFINED, Being, Definitions, Truth, facts, members

SETTINGS = Settings(store=MemorySettings(), engine=EngineSettings(checkpoint_seconds=3_600, models_seconds=3_600))
"""A store in RAM, which nothing is written of."""


class ThreeWays:
    """A live engine with segments in force, that can be asked together with the two other witnesses.

    Where `warm` is set, SQL is asked a second time whenever all are: over events that are held and followed from one
    time to the next, and never read twice.

    Examples
    --------
    >>> async def lived() -> Memberships:
    ...     ways = await ThreeWays.begun({"keen": 'count("View", last 5 seconds) >= 2'}, at=1_780_000_000_000_000)
    ...     said = {"type": "track", "event": "View", "userId": "ann", "timestamp": "2026-05-28T20:26:40Z"}
    ...     await ways.send([{**said, "messageId": "m1"}, {**said, "messageId": "m2"}])
    ...     found = ways.agreed()
    ...     await ways.close()
    ...     return found
    >>> asyncio.run(lived())
    {'u:ann': frozenset({'keen'})}
    """

    def __init__(self, engine: MortalEngine, clock: ManualClock, key: Key, settings: Settings) -> None:
        self.engine = engine
        self.clock = clock
        self._key = key
        self._settings = settings
        self._held: Held | None = None

    @property
    def unanswered(self) -> frozenset[str]:
        """The segments that SQL does not answer, by id: of them only the two others are asked."""
        return frozenset(self._conditions()) - frozenset(self._in_sql())

    @classmethod
    async def begun(
        cls,
        definitions: Mapping[str, str],
        at: Instant,
        settings: Settings = SETTINGS,
        kind: Literal["secret", "write"] = "secret",
        named: Definitions = NOTHING_DEFINED,
        *,
        warm: bool = False,
    ) -> Self:
        """Open an engine over an empty store at an instant, and put segments in force: their conditions, by id.

        Parameters
        ----------
        kind
            With which key messages are sent: with a secret one, whatever they say of who somebody is, is proven.
        named
            As `define` takes it.
        warm
            Whether SQL is asked over events that are held, too.
        """
        clock = ManualClock(at)
        engine = MortalEngine.open(settings, clock=clock, rng=Random(1), store=FragileMemory())
        await engine.start()
        key, _ = await engine.create_key(kind, "site")
        ways = cls(engine, clock, key, settings)
        if warm:
            ways._held = Held(settings)
        await ways.define(definitions, named)
        return ways

    async def define(self, definitions: Mapping[str, str], named: Definitions = NOTHING_DEFINED) -> None:
        """Put more segments in force, or others of the same id.

        Parameters
        ----------
        named
            Computed traits, scores and borders that they may name, by kind and id, without their ids.
        """
        segments = {name: {"condition": text} for name, text in definitions.items()}
        bodies: Definitions = {**named, "segments": segments}
        await self.engine.apply(
            [
                Definition(kind=cast("DefinitionKind", kind), id=name, body={"id": name, **body})
                for kind, held in bodies.items()
                for name, body in held.items()
            ]
        )

    async def stock(self, put: Sequence[Mapping[str, Any]], removed: Sequence[str] = ()) -> None:
        """Put items into the catalog, and take others out of it."""
        await self.engine.put_items(msgspec.convert(put, list[Item]))
        await self.engine.remove_items(removed)

    async def send(self, messages: Sequence[Mapping[str, Any]]) -> list[str]:
        """Send messages, as Segment has them, and return what became of each."""
        body = json.dumps({"batch": list(messages)}).encode()
        return [one.status for one in await self.engine.track(self.engine.parse(body, key=self._key), self._key)]

    async def wait(self, until: Instant) -> None:
        """Let time pass."""
        self.clock.advance(until - self.clock.now())
        await self.engine.tick()

    async def close(self) -> None:
        """Let go of the engine."""
        if self._held is not None:
            self._held.close()
        await self.engine.close()

    def agreed(self) -> Memberships:
        """Return who is in what, once all three have been asked.

        Raises
        ------
        Disagreement
            They do not say the same.
        """
        at = self.clock.now()
        live, now = self.live(at)
        truth = Truth(self._settings, self.engine.store, self.engine.vault)
        twice = sorted(name for name, times in truth.stored.items() if times > 1)
        if twice:
            raise Disagreement(f"the log has messages twice: {twice}")
        naive = {name: self._counted(truth, being, now[name]) for name, being in truth.beings.items()}
        asked = {instant: self.sql(instant) for instant in {at, *now.values()}}
        if self._held is not None:
            self._held.compare(self.engine, self._in_sql(), asked)
        # Whoever did something a minute ahead of the clock is asked as of then, as live memberships are.
        sql = {name: asked[now.get(name, at)][name] for name in asked[at]}
        for name in sql.keys() & live.keys():
            sql[name] |= live[name] & self.unanswered
        _compare(at, live=live, naive=naive, sql=sql)
        return live

    def _counted(self, truth: Truth, being: Being, at: Instant) -> frozenset[str]:
        """Return what somebody is in by plain counting."""
        known = facts(being, self._settings, at)
        return frozenset(members(being, known, truth.segments(), at, self._settings, truth.defined()))

    def live(self, at: Instant) -> tuple[Memberships, dict[ProfileId, Instant]]:
        """Return who is in what as the engine has it, and as of when."""
        self.engine.sequencer.ask()
        self.engine.sequencer.advance(at)
        profiles = list(self.engine.profiles())
        now = {profile.id: max(at, profile.as_of) for profile in profiles}
        return {profile.id: frozenset(profile.segments) for profile in profiles}, now

    def sql(self, at: Instant) -> Memberships:
        """Return who is in what as SQL finds it in the events."""
        conditions = self._in_sql()
        names = list(conditions)
        store, aliases = self.engine.store, dict[ProfileId, ProfileId]()
        rows = rows_in(self._settings, store, self.engine.vault, [(1, store.last_offset())], aliases, known=0)
        query, goods = sql_of_all(conditions, at), goods_of(store)
        with closing(connect(threads=1, mib=512)) as connection:
            view(connection, (), rows, aliases)
            open_to_conditions(connection, Rules(self._settings.profiles, self._settings.identity), goods)
            refuse_doubtful(connection, query)
            found: list[tuple[ProfileId, list[int]]] = connection.execute(query.text, query.parameters).fetchall()
        return {person: frozenset(names[place] for place in held) for person, held in found}

    def _conditions(self) -> dict[str, Condition]:
        segments = self.engine.sequencer.segments
        return dict(inlined(segments.all(), segments.traits, segments.scores, segments.borders).conditions)

    def _in_sql(self) -> dict[str, Condition]:
        return {name: one for name, one in self._conditions().items() if _answers(one)}


def check_three_ways(messages: Sequence[Mapping[str, Any]], definitions: Mapping[str, str], at: Instant) -> Memberships:
    """Let the engine live through messages, sent one by one at an instant, and ask all three witnesses then.

    Parameters
    ----------
    messages
        As Segment has them: each with `messageId` and `timestamp`, of the past.
    definitions
        Conditions of segments, by id; they are in force before the first message.

    Raises
    ------
    Disagreement
        The three do not say the same.
    """

    async def lived() -> Memberships:
        ways = await ThreeWays.begun(definitions, at)
        try:
            for message in messages:
                await ways.send([message])
            return ways.agreed()
        finally:
            await ways.close()

    return asyncio.run(lived())


def _answers(condition: Condition) -> bool:
    try:
        sql_of(condition, 0)
    except NotInSql:
        return False
    return True


def _compare(at: Instant, *, live: Memberships, naive: Memberships, sql: Memberships) -> None:
    if live == naive == sql:
        return
    lines: list[str] = []
    for person in sorted({*live, *naive, *sql}):
        said = [found.get(person) for found in (live, naive, sql)]
        if said[0] == said[1] == said[2]:
            continue
        names = {name for one in said if one is not None for name in one}
        for segment in sorted(name for name in names if len({one is not None and name in one for one in said}) > 1):
            told = " ".join(_answer(who, one, segment) for who, one in zip(("live", "naive", "SQL"), said, strict=True))
            lines.append(f"{person}, {segment}: {told}")
        if None in said:
            lines.append(f"{person} is not known to all: " + ", ".join(str(one is not None) for one in said))
    raise Disagreement(f"at {at}: " + "; ".join(lines))


def _answer(who: str, held: frozenset[str] | None, segment: str) -> str:
    return f"{who} {'nobody' if held is None else 'in' if segment in held else 'out'}"
